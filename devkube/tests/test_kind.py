"""Kind clusters, with `kind` and `docker` replaced by executables that record how they are called:
neither runs here."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest
import yaml

from devkube.cluster import kind
from devkube.errors import MachineError
from devkube.images.oci import ImageConfig, write_archive
from devkube.tests.kind_machine import KindMachine, kind_machine

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the recording executables are scripts")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KindMachine:
    return kind_machine(tmp_path, monkeypatch)


def test_created_on_loopback_with_the_volumes_in_a_host_folder(machine: KindMachine) -> None:
    access = machine.cluster.start()
    assert (access.kind, access.context) == ("kind", "storage-tiers-dev")
    created = next(call for call in machine.calls() if call["command"][:3] == ["kind", "create", "cluster"])
    words = created["command"]
    assert words[words.index("--name") + 1] == "dev-1"
    # Else ~/.kube/config would be changed.
    assert words[words.index("--kubeconfig") + 1] == str(machine.cluster.kubeconfig)
    config = yaml.safe_load(created["stdin"])
    # Docker keeps the port for good: none that an outgoing connection may have later.
    port = config["networking"].pop("apiServerPort")
    assert 30000 <= port < 32768
    assert config["networking"] == {"apiServerAddress": "127.0.0.1"}
    assert config["nodes"] == [
        {
            "role": "control-plane",
            "extraMounts": [{"hostPath": str(machine.cluster.volumes), "containerPath": "/var/local-path-provisioner"}],
        }
    ]


def test_kubeconfig_is_private_and_its_context_is_the_stacks(machine: KindMachine) -> None:
    machine.cluster.start()
    path = machine.cluster.kubeconfig
    content = yaml.safe_load(path.read_text())
    assert content["current-context"] == content["contexts"][0]["name"] == "storage-tiers-dev"
    assert content["contexts"][0]["context"]["cluster"] == "kind-dev-1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_second_provisioner_is_installed(machine: KindMachine) -> None:
    machine.cluster.start()
    assert not [command for command in machine.commands() if "apply" in command or "local-path-storage" in command]


def test_stop_and_start_keep_the_cluster(machine: KindMachine) -> None:
    machine.cluster.start()
    machine.cluster.stop()
    assert not machine.cluster.running()
    machine.forget()
    machine.cluster.start()
    assert machine.cluster.running()
    assert "docker start dev-1-control-plane" in machine.commands()
    assert not machine.commands_with("kind create", "kind delete")


def test_start_of_a_running_cluster_starts_nothing(machine: KindMachine) -> None:
    machine.cluster.start()
    machine.forget()
    machine.cluster.start()
    assert not machine.commands_with("kind create", "docker start")


def test_failed_creation_leaves_no_half_cluster(machine: KindMachine) -> None:
    machine.set("fail", "kind create")
    with pytest.raises(MachineError, match="it broke"):
        machine.cluster.start()
    assert machine.commands()[-1].startswith("kind delete cluster --name dev-1")
    assert not machine.cluster.exists()


def test_a_missing_cluster_is_made_again_over_its_volumes(machine: KindMachine) -> None:
    machine.cluster.start()
    (machine.cluster.volumes / "pvc-1").mkdir()
    machine.lose_nodes()  # `kind delete cluster` by hand
    machine.cluster.start()
    assert (machine.cluster.volumes / "pvc-1").exists()
    assert machine.cluster.running()


def test_delete_takes_cluster_volumes_and_kubeconfig(machine: KindMachine) -> None:
    machine.cluster.start()
    (machine.cluster.volumes / "pvc-1").mkdir()
    assert any("pvc-1" in line for line in machine.cluster.contents())
    machine.cluster.stop()
    machine.cluster.delete()
    assert not machine.cluster.home.exists()
    assert not machine.cluster.kubeconfig.exists()
    assert not machine.cluster.exists()
    assert machine.cluster.contents() == []
    assert any(command.startswith("kind delete cluster --name dev-1") for command in machine.commands())


def test_delete_of_what_never_was_calls_nothing(machine: KindMachine) -> None:
    machine.cluster.delete()
    machine.cluster.stop()
    assert machine.calls() == []


def test_stopped_engine_is_named(machine: KindMachine) -> None:
    machine.cluster.start()
    machine.set("no-engine")
    assert kind.lacking() == [
        "the Docker engine does not answer (`docker version`): Cannot connect to the Docker daemon at unix:///var/run/docker.sock. "
        "Is the docker daemon running?"
    ]
    with pytest.raises(MachineError, match="Docker engine does not answer"):
        machine.cluster.start()
    with pytest.raises(MachineError, match="can't be deleted"):
        machine.cluster.delete()
    assert machine.cluster.home.exists()


def archive(folder: Path, text: str = "one") -> Path:
    """An image like those that are made on this machine: named by its content as well."""
    (folder / "rootfs").mkdir(exist_ok=True)
    (folder / "rootfs/file").write_text(text)
    write_archive(folder / "rootfs", ImageConfig(), "storage-tiers.local/python", ["1", "{digest}"], folder / "image.tar")
    return folder / "image.tar"


def test_image_is_imported_once_by_the_node_itself(machine: KindMachine, tmp_path: Path) -> None:
    machine.cluster.start()
    machine.forget()
    machine.cluster.load_image(archive(tmp_path))
    imports = [command for command in machine.commands() if " import " in command]
    # The node's own platform and snapshotter; without a platform `ctr` wants all that an index has.
    assert imports == [
        "docker exec --interactive dev-1-control-plane ctr --namespace=k8s.io images import --platform=linux/amd64 --snapshotter=native -"
    ]
    assert not machine.cluster.has_pulled("storage-tiers.local/python:1")
    machine.cluster.load_image(archive(tmp_path))
    machine.cluster.load_image(archive(tmp_path, "another"))  # the same name, other content
    assert len([command for command in machine.commands() if " import " in command]) == 2
    assert not machine.commands_with("kind load")


def test_an_official_image_is_pulled_once_and_named_as_the_stack_names_it(machine: KindMachine) -> None:
    machine.cluster.start()
    machine.forget()
    for _ in range(2):
        machine.cluster.pull_image("docker.io/library/python:3.13-slim", "storage-tiers.local/python:1")
    assert machine.commands_with("docker pull", "docker tag", "docker save", "kind load") == [
        "docker pull docker.io/library/python:3.13-slim",
        "docker tag docker.io/library/python:3.13-slim storage-tiers.local/python:1",
        "docker save storage-tiers.local/python:1",
    ]
    assert machine.state["nodes"]["dev-1-control-plane"]["images"] == ["storage-tiers.local/python:1"]
    assert machine.cluster.has_pulled("storage-tiers.local/python:1")
