"""What is asked of the machine before a Kind cluster is made on it."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from devkube import paths
from devkube.cluster import ClusterChoice, EmbeddedCluster, KindCluster, choose, embedded, host, kind, start
from devkube.cluster.kind import checks
from devkube.cluster.kind.checks import DockerEngine
from devkube.errors import MachineError
from devkube.tests.kind_machine import KindMachine, kind_machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the recording executables are scripts")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KindMachine:
    return kind_machine(tmp_path, monkeypatch)


def engine(**said: str) -> DockerEngine:
    usual = {"version": "28.2.2", "cgroups": "2", "kernel": platform.release(), "system": "", "folder": "", "architecture": "x86_64"}
    return DockerEngine(**{**usual, **said})


@pytest.mark.parametrize("named", ["podman", "nerdctl", "finch", "nerdctl.lima"])
def test_another_provider_is_refused_by_name(machine: KindMachine, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", named)
    with pytest.raises(MachineError, match=f"KIND_EXPERIMENTAL_PROVIDER={named}: a Kind cluster of this project needs Docker"):
        machine.cluster.start()
    assert not machine.commands_with("kind create")


@pytest.mark.parametrize("named", ["", "docker", "something-new"])
def test_what_kind_takes_for_docker_is_none(machine: KindMachine, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", named)
    assert kind.lacking() == []


def test_podman_under_dockers_name(machine: KindMachine) -> None:
    machine.set("docker-v", "podman version 4.9.3")
    assert kind.lacking() == ["`docker` on PATH is not Docker (`docker -v`: podman version 4.9.3)"]


def test_a_user_who_may_not_use_docker_is_told_how(machine: KindMachine) -> None:
    machine.set("no-engine", "permission denied while trying to connect to the Docker daemon socket")
    assert "sudo usermod -aG docker" in kind.lacking()[0]


@pytest.mark.parametrize("endpoint", ["ssh://me@far", "tcp://10.1.2.3:2376", "tcp://docker:2375"])
def test_docker_on_another_machine(machine: KindMachine, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    [reason] = kind.unfit()
    assert f"Docker is on another machine (DOCKER_HOST: {endpoint})" in reason


@pytest.mark.parametrize("endpoint", ["unix:///run/user/1000/docker.sock", "npipe:////./pipe/docker_engine", "tcp://127.0.0.1:2375"])
def test_docker_on_this_machine(machine: KindMachine, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", endpoint)
    assert kind.unfit() == []


def test_in_a_container_with_the_outer_engines_socket(machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_containers_of_this_process", lambda: ["0123456789ab"])
    assert kind.unfit() == []  # an engine in the container, which knows no container of that name
    machine.set("outer")
    assert "Docker is the engine outside of it" in kind.unfit()[0]


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("kindest/node:v1.34.0", (1, 34)),
        ("registry.example:5000/kind/node:v1.35.2-eks@sha256:0123", (1, 35)),
        ("kindest/node@sha256:0123", None),
        ("mine:latest", None),
        ("", (1, 37)),
    ],
)
def test_kubernetes_of_a_node_image(machine: KindMachine, image: str, version: tuple[int, int] | None) -> None:
    assert checks.kubernetes_of(image) == version


@pytest.mark.parametrize(("said", "version"), [("kind v0.30.0 go1.24", (1, 34)), ("kind v0.40.1 go1.30", (1, 37)), ("kind v0.20.0", None)])
def test_kubernetes_of_kinds_own_image(machine: KindMachine, said: str, version: tuple[int, int] | None) -> None:
    machine.set("kind-version", said)
    assert checks.kubernetes_of() == version


def test_cgroup_v1_and_a_kubernetes_that_refuses_it(machine: KindMachine, tmp_path: Path) -> None:
    machine.set("info", '{"CgroupVersion": "1"}')
    with pytest.raises(MachineError, match=r"cgroup v1 here, on which the kubelet of Kubernetes 1\.37 doesn't start") as caught:
        machine.cluster.start()
    assert not machine.commands_with("kind create")
    assert not machine.cluster.home.exists()
    assert "KIND_IMAGE=kindest/node:v1.34.0" in str(caught.value)
    machine.another(image="kindest/node:v1.34.0").start()  # as it says
    machine.another().delete()
    (tmp_path / "kind.yaml").write_text("kubeadmConfigPatches: ['{kind: KubeletConfiguration, failCgroupV1: false}']")
    machine.another(config=str(tmp_path / "kind.yaml")).start()


def test_too_few_inotify_instances(machine: KindMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.set("info", f'{{"KernelVersion": "{platform.release()}"}}')
    monkeypatch.setattr(host, "inotify_instances_left", lambda wanted: min(wanted, 25))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(MachineError, match=r"sudo sysctl fs\.inotify\.max_user_instances=512"):
        machine.cluster.start()
    assert not machine.commands_with("kind create")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="inotify is Linux'")
def test_inotify_instances_for_a_user_who_isnt_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "limit").write_text("128\n")
    monkeypatch.setattr(checks, "_INOTIFY_LIMIT", tmp_path / "limit")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert checks.inotify_shortage(engine(), nodes=1, running=3) is None
    assert checks.inotify_shortage(engine(), nodes=1, running=4)
    assert checks.inotify_shortage(engine(), nodes=2, running=3)
    assert checks.inotify_shortage(engine(kernel="of a virtual machine"), nodes=9) is None


class TestChoice:
    """Which cluster is taken where Kind can't be, or was asked for."""

    @pytest.fixture
    def ours(self, machine: KindMachine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr(paths, "MACHINE_STATE", tmp_path / "lib")
        monkeypatch.setattr(paths, "MACHINE_RUN", tmp_path / "run")
        monkeypatch.delenv("KUBECONFIG", raising=False)
        monkeypatch.setattr(embedded, "lacking", list)
        return machine.kubeconfig

    def test_docker_elsewhere_leaves_the_embedded_node(self, ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "ssh://me@far")
        assert isinstance(choose("dev", "dev-1", ours), EmbeddedCluster)
        monkeypatch.setattr(embedded, "lacking", lambda: ["it needs root"])
        with pytest.raises(MachineError, match="Docker is on another machine"):
            choose("dev", "dev-1", ours)
        assert isinstance(choose("dev", "dev-1", ours, ClusterChoice("kind")), KindCluster)  # who asks for it may try

    def test_a_kubernetes_that_cant_run_leaves_the_embedded_node(self, machine: KindMachine, ours: Path) -> None:
        machine.set("info", '{"CgroupVersion": "1"}')
        assert isinstance(choose("dev", "dev-1", ours), EmbeddedCluster)
        assert isinstance(choose("dev", "dev-1", ours, ClusterChoice(kind_image="kindest/node:v1.34.0")), KindCluster)

    def test_what_is_asked_for_is_taken(self, ours: Path) -> None:
        assert isinstance(choose("dev", "dev-1", ours), KindCluster)
        assert isinstance(choose("dev", "dev-1", ours, ClusterChoice("embedded")), EmbeddedCluster)

    def test_not_beside_the_clones_volumes_in_another_cluster(self, machine: KindMachine, ours: Path) -> None:
        machine.cluster.start()
        with pytest.raises(
            MachineError, match="cluster: embedded: this clone's cluster is a Kind cluster, and its volumes are in that one"
        ):
            choose("dev", "dev-1", ours, ClusterChoice("embedded"))

    def test_an_existing_one_must_be_there(self, ours: Path) -> None:
        with pytest.raises(MachineError, match="cluster: existing: no context dev is in your kubeconfig"):
            choose("dev", "dev-1", ours, ClusterChoice("existing"))

    def test_without_its_node_image_the_embedded_node_is_used(
        self, machine: KindMachine, ours: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(EmbeddedCluster, "start", lambda self: self.identity)
        machine.set("fail", 'kind create => ERROR: failed to create cluster: failed to pull image "kindest/node:v1.37.0": exit status 1')
        chosen = choose("dev", "dev-1", ours)
        cluster, access = start(chosen)
        assert isinstance(cluster, EmbeddedCluster)
        assert access == "dev-1"  # type: ignore[comparison-overlap]
        assert "the node image kindest/node:v1.37.0 can't be pulled" in capsys.readouterr().out
        assert not machine.cluster.home.exists()
        asked = ClusterChoice("kind")
        with pytest.raises(MachineError, match="KIND_IMAGE=<registry>/kindest/node"):
            start(choose("dev", "dev-1", ours, asked), asked)
        monkeypatch.setattr(embedded, "lacking", lambda: ["it needs root"])
        with pytest.raises(MachineError, match="can't be pulled"):
            start(chosen)

    def test_volumes_are_not_left_behind_for_want_of_an_image(self, machine: KindMachine, ours: Path) -> None:
        machine.cluster.start()
        (machine.cluster.volumes / "pvc-1").mkdir()
        machine.lose_nodes()
        machine.set("fail", 'kind create => ERROR: failed to create cluster: failed to pull image "kindest/node:v1.37.0": exit status 1')
        with pytest.raises(MachineError, match="can't be pulled"):
            start(choose("dev", "dev-1", ours))
        assert (machine.cluster.volumes / "pvc-1").exists()
