"""The embedded cluster: real processes, a real node, real volumes, in throw-away clusters of these tests' own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import stat
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from devkube import paths
from devkube.cluster import embedded as embedded_module
from devkube.cluster import host
from devkube.cluster import layout as layouts
from devkube.cluster.embedded import EmbeddedCluster
from devkube.images import reference
from devkube.toolchain.build import build

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(embedded_module.lacking()), reason="; ".join(embedded_module.lacking())),
]


class Fixture:
    """A throw-away cluster, with kubectl."""

    def __init__(self, name: str, folder: Path) -> None:
        self.identity = f"test-{paths.clone_identity()}-{name}"
        self.kubeconfig = folder / "config" / f"{name}.yaml"
        self.cluster = EmbeddedCluster(self.identity, f"context-{name}", self.kubeconfig)

    @property
    def layout(self) -> layouts.Layout:
        found = layouts.load(self.identity)
        assert found
        return found

    def kubectl(self, *arguments: str, stdin: str = "") -> str:
        command = [str(build("node") / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def write_pod(self) -> None:
        """A pod that appends a line to a file in its volume each time it starts."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(OBJECTS))
        self.wait_ready()

    def wait_ready(self) -> None:
        self.kubectl("wait", "pod/writer", "--for=condition=Ready", "--timeout=120s")

    def lines(self, at_least: int) -> list[str]:
        """The file's lines as the pod sees them, as soon as there are `at_least` so many."""
        end = time.monotonic() + 90
        lines: list[str] = []
        while time.monotonic() < end:
            command = [str(build("node") / "kubectl"), f"--kubeconfig={self.kubeconfig}", "exec", "writer", "--", "cat", "/data/starts"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = done.stdout.splitlines() if done.returncode == 0 else []
            if len(lines) >= at_least:
                return lines
            time.sleep(0.5)
        pytest.fail(f"{len(lines)} starts were written, not {at_least}")

    def pod_pids(self) -> set[int]:
        return host.cgroup_pids(self.layout.cgroup)


OBJECTS = [
    {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "local", "annotations": {"defaultVolumeType": "local"}},
        "provisioner": "rancher.io/local-path",
        "volumeBindingMode": "WaitForFirstConsumer",
        "reclaimPolicy": "Retain",
    },
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "16Mi"}}},
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "writer"},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "containers": [
                {
                    "name": "writer",
                    "image": reference("busybox"),
                    "command": ["sh", "-c", "trap exit TERM; echo started | tee -a /data/starts; while :; do sleep 0.2; done"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    },
]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    """A cluster with the writing pod; the tests below use it one after the other."""
    made = Fixture("a", tmp_path_factory.mktemp("embedded"))
    made.cluster.delete()
    try:
        made.cluster.start()
        made.write_pod()
        yield made
    finally:
        made.cluster.delete()


def request(address: str, context: ssl.SSLContext) -> int:
    """The HTTP status of a GET, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(address, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_pod_writes_to_its_volume_and_logs_and_exec_work(embedded: Fixture) -> None:
    assert embedded.lines(1)[0] == "started"
    assert "started" in embedded.kubectl("logs", "writer")
    folders = list(embedded.cluster.volumes.iterdir())
    assert [folder.joinpath("starts").exists() for folder in folders] == [True]
    assert stat.S_IMODE(folders[0].stat().st_mode) == 0o777


def test_kubeconfig_is_private_and_has_the_one_context(embedded: Fixture) -> None:
    assert stat.S_IMODE(embedded.kubeconfig.stat().st_mode) == 0o600
    content = yaml.safe_load(embedded.kubeconfig.read_text())
    assert content["current-context"] == "context-a"
    assert [each["name"] for each in content["contexts"]] == ["context-a"]
    assert content["clusters"][0]["cluster"]["server"].startswith("https://127.0.0.1:")
    assert not embedded.layout.kubeconfig("super-admin").exists()


def test_keys_are_for_root_alone(embedded: Fixture) -> None:
    assert stat.S_IMODE(embedded.layout.home.stat().st_mode) == 0o700
    keys = [*embedded.layout.pki.rglob("*.key"), *embedded.layout.home.joinpath("kubeconfig").glob("*.conf")]
    assert len(keys) > 10
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_strangers_are_refused(embedded: Fixture, tmp_path: Path) -> None:
    layout = embedded.layout
    api, kubelet = f"https://127.0.0.1:{layout.ports.api}/api", f"https://{layout.address}:{layout.ports.kubelet}/pods"
    anonymous = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    assert request(api, anonymous) == 401
    assert request(kubelet, anonymous) == 401
    # A certificate of another authority (etcd's own, which is closest at hand) with a name that would be allowed everything.
    wrong = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    wrong.load_cert_chain(layout.pki / "apiserver-etcd-client.crt", layout.pki / "apiserver-etcd-client.key")
    assert request(api, wrong) == 401
    right = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    right.load_cert_chain(layout.pki / "apiserver-kubelet-client.crt", layout.pki / "apiserver-kubelet-client.key")
    assert request(kubelet, right) == 200


def test_nothing_listens_beyond_loopback_and_the_bridge(embedded: Fixture) -> None:
    pids = set(embedded.cluster.processes())
    listening = {
        getattr(each.laddr, "ip", "") for each in psutil.net_connections("tcp") if each.pid in pids and each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1", embedded.layout.address}


def test_provisioner_has_no_more_rights_than_it_needs(embedded: Fixture) -> None:
    def may(*what: str) -> bool:
        command = [str(build("node") / "kubectl"), f"--kubeconfig={embedded.layout.kubeconfig('local-path-provisioner')}", "auth", "can-i"]
        return subprocess.run([*command, *what], capture_output=True, check=False).returncode == 0

    assert may("create", "persistentvolumes")
    assert may("create", "pods", "-n", "local-path-storage")
    assert not may("create", "pods", "-n", "default")
    assert not may("get", "secrets", "-n", "local-path-storage")
    assert not may("delete", "persistentvolumeclaims")


def test_start_again_changes_nothing(embedded: Fixture) -> None:
    before = sorted(embedded.cluster.processes())
    embedded.cluster.start()
    assert sorted(embedded.cluster.processes()) == before


def test_stop_leaves_only_data_and_start_brings_it_back(embedded: Fixture) -> None:
    starts = len(embedded.lines(1))
    embedded.cluster.stop()
    assert not embedded.cluster.running()
    assert_nothing_runs(embedded)
    embedded.cluster.stop()  # twice is fine
    embedded.cluster.start()
    assert len(embedded.lines(starts + 1)) == starts + 1


def test_start_heals_after_every_process_was_killed(embedded: Fixture) -> None:
    starts = len(embedded.lines(1))
    killed = [*embedded.cluster.processes(), *embedded.pod_pids()]
    assert len(killed) >= 9  # four of the control plane, containerd, kubelet, provisioner, a shim, the pod
    for pid in killed:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # a container's process goes with its first one
            continue
    shutil.rmtree(embedded.layout.run / "pids")  # /run does not outlive a reboot
    embedded.cluster.start()
    assert len(embedded.lines(starts + 1)) == starts + 1


def test_start_brings_back_a_single_daemon_and_keeps_the_pods(embedded: Fixture) -> None:
    starts = len(embedded.lines(1))
    pods = embedded.pod_pids()
    pid = json.loads((embedded.layout.run / "pids/kube-apiserver.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    embedded.cluster.start()
    assert len(embedded.lines(1)) == starts
    assert {pid for pid in pods if host.is_work(pid)} & embedded.pod_pids()


def test_two_clusters_side_by_side_and_delete_leaves_nothing(embedded: Fixture, tmp_path: Path) -> None:
    other = Fixture("b", tmp_path)
    other.cluster.delete()
    starts = len(embedded.lines(1))
    try:
        other.cluster.start()
        other.write_pod()
        assert len(other.lines(1)) == 1
        layout = other.layout
    finally:
        other.cluster.delete()
    assert not layout.home.exists()
    assert not other.kubeconfig.exists()
    assert_nothing_runs(other, layout)
    assert not other.cluster.contents()
    assert len(embedded.lines(1)) == starts  # nobody noticed


def assert_nothing_runs(fixture: Fixture, layout: layouts.Layout | None = None) -> None:
    """No process, mount, bridge, cgroup, socket or note of the cluster is left on the machine."""
    layout = layout or fixture.layout
    marks = (f"{layout.home}/", f"{layout.run}/")
    commands = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if any(mark in command for mark in marks)]
    assert not host.mounts_below(layout.home)
    assert not host.mounts_below(layout.run)
    assert not host.bridge_exists(layout.bridge)
    assert not [folder for folder in host.cgroup_folders(layout.cgroup) if folder.exists()]
    assert not layout.run.exists()
    notes = Path("/var/lib/cni/results")
    assert not (notes.exists() and [note for note in notes.iterdir() if note.name.startswith(f"{layout.network}-")])
