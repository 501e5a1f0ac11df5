"""An embedded cluster of several nodes: real kubelets, real volumes, in a throw-away cluster of
these tests' own."""

from __future__ import annotations

import json
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from devkube.cluster import embedded as embedded_module
from devkube.cluster import host, mount_namespace
from devkube.cluster import layout as layouts
from devkube.cluster.embedded import EmbeddedCluster
from devkube.errors import MachineError
from devkube.images import reference
from devkube.tests.test_embedded_cluster import OBJECTS, Fixture, assert_nothing_runs
from devkube.toolchain.build import build

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(embedded_module.lacking()), reason="; ".join(embedded_module.lacking())),
]

NAMES = ["storage-tiers", "storage-tiers-2", "storage-tiers-3"]
# Each writes its address to its volume, and serves it.
BROKERS = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "kafka"},
    "spec": {
        "serviceName": "kafka",
        "replicas": 3,
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": "kafka"}},
        "template": {
            "metadata": {"labels": {"app": "kafka"}},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                # The fourth node is left without a volume.
                "affinity": {
                    "nodeAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": {
                            "nodeSelectorTerms": [
                                {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": NAMES}]}
                            ]
                        }
                    },
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"labelSelector": {"matchLabels": {"app": "kafka"}}, "topologyKey": "kubernetes.io/hostname"}
                        ]
                    },
                },
                "containers": [
                    {
                        "name": "broker",
                        "image": reference("busybox"),
                        "command": ["sh", "-c", "trap exit TERM; hostname > /data/index.html; httpd -f -p 9092 -h /data & wait"],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
            },
        },
        "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": OBJECTS[1]["spec"]}],
    },
}


def resized(fixture: Fixture, nodes: int) -> EmbeddedCluster:
    fixture.cluster = EmbeddedCluster(fixture.identity, fixture.cluster.context, fixture.kubeconfig, nodes=nodes)
    return fixture.cluster


def nodes_of(fixture: Fixture) -> dict[str, str]:
    """The Ready condition of each node, by name."""
    found = json.loads(fixture.kubectl("get", "nodes", "-o", "json"))["items"]
    conditions = {node["metadata"]["name"]: node["status"]["conditions"] for node in found}
    return {name: next(each["status"] for each in listed if each["type"] == "Ready") for name, listed in conditions.items()}


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fixture]:
    """A cluster that had one node with a volume before it got three more; two are in one zone."""
    made = Fixture("several", tmp_path_factory.mktemp("several"))
    made.cluster.delete()
    try:
        made.cluster.start()
        made.write_pod()
        made.lines(1)
        resized(made, 4).start()
        made.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(BROKERS))
        made.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")
        yield made
    finally:
        made.cluster.delete()


def test_the_zones_in_turn(several: Fixture) -> None:
    found = json.loads(several.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [(node["metadata"]["name"], node["metadata"]["labels"]["topology.kubernetes.io/zone"]) for node in found] == list(
        zip([*NAMES, "storage-tiers-4"], ["zone-a", "zone-b", "zone-c", "zone-a"], strict=True)
    )


def test_the_first_nodes_volume_is_still_there(several: Fixture) -> None:
    several.wait_ready()
    assert len(several.lines(2)) >= 2


def test_brokers_and_their_volumes_are_spread_and_reach_each_other(several: Fixture) -> None:
    pods = json.loads(several.kubectl("get", "pods", "-l", "app=kafka", "-o", "json"))["items"]
    assert sorted(pod["spec"]["nodeName"] for pod in pods) == NAMES
    assert len({pod["status"]["podIP"] for pod in pods}) == 3
    for one in pods:
        for other in pods:
            address = other["status"]["podIP"]
            said = several.kubectl("exec", one["metadata"]["name"], "--", "wget", "-qO-", f"http://{address}:9092/index.html")
            assert said.strip() == other["metadata"]["name"]
    for own in several.layout.each_node[:3]:
        assert [path for path in own.node_volumes.iterdir() if "data-kafka" in path.name], own.node_name


@pytest.mark.skipif(not mount_namespace.possible(), reason="no mount namespaces here")
@pytest.mark.skipif(not mount_namespace.possible(), reason="no mount namespaces here")
def test_what_a_further_node_mounts_is_its_own(several: Fixture) -> None:
    first, second = several.layout.each_node[:2]
    assert host.mounts_below(first.kubelet_root), "the first node is the machine itself"
    assert not host.mounts_below(second.kubelet_root)
    assert any(second.kubelet_root in point.parents for point in mounts_of(several, second))
    assert second.node_home.joinpath("device-plugins/kubelet.sock").is_socket()


def mounts_of(fixture: Fixture, own: layouts.Layout) -> list[Path]:
    namespace = fixture.cluster.node_namespace(own.node_name)
    return namespace.mounts() if namespace else host.mounts_below(Path("/"))


def test_keys_are_for_root_alone_and_each_kubelet_speaks_for_its_node(several: Fixture) -> None:
    second = several.layout.of_node(2)
    for own in several.layout.each_node:
        keys = [own.kubeconfig(own.kubelet_user), *own.kubelet_root.joinpath("pki").glob("*.pem")]
        assert len(keys) >= 2, own.node_name
        assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    kubectl = [str(build("node") / "kubectl"), f"--kubeconfig={second.kubeconfig(second.kubelet_user)}", "label", "node"]
    for name, allowed in ((second.node_name, True), (NAMES[0], False)):
        done = subprocess.run([*kubectl, name, "example.com/a=b"], capture_output=True, text=True, check=False)
        assert (done.returncode == 0) is allowed, done.stderr
        assert allowed or "Error from server (Forbidden)" in done.stderr


def sandboxes(*each: layouts.Layout) -> set[int]:
    """The pause processes of the pods on these nodes: they live as long as their pods."""
    found = set()
    for pid in (pid for own in each for pid in host.cgroup_pids(own.cgroup)):
        with suppress(psutil.Error):
            if psutil.Process(pid).name() == "pause":
                found.add(pid)
    return found


def serves(own: layouts.Layout) -> bool:
    """Whether a broker runs on the node, within 90 s."""
    end = time.monotonic() + 90
    while time.monotonic() < end:
        for pid in host.cgroup_pids(own.cgroup):
            with suppress(psutil.Error):
                if "9092" in psutil.Process(pid).cmdline():
                    return True
        time.sleep(0.5)
    return False


def test_a_node_is_killed_and_brought_back(several: Fixture) -> None:
    first, second, third = several.layout.each_node[:3]
    others = sandboxes(first, third)
    several.cluster.kill_node(second.node_name)
    assert not host.cgroup_pids(second.cgroup)
    assert not host.mounts_below(second.node_home) and not host.mounts_below(second.node_run)
    assert not several.cluster.running()
    several.cluster.start_node(second.node_name)
    assert several.cluster.running()
    assert not [point for point in mounts_of(several, second) if first.kubelet_root in point.parents], "the machine's, not its own"
    assert serves(second)
    assert others and others <= sandboxes(first, third), "the others don't notice"
    several.cluster.kill_node(first.node_name)
    assert serves(second) and not several.cluster.running()
    several.cluster.start()
    assert several.cluster.running() and serves(first)


def test_down_and_up_take_them_as_one_and_an_empty_node_may_go(several: Fixture) -> None:
    several.cluster.stop()
    each = several.layout.each_node
    for own in each:
        assert_nothing_runs(several, own)
    with pytest.raises(MachineError, match="data-kafka"):
        resized(several, 2).start()
    assert each[3].node_home.exists()
    resized(several, 3).start()
    assert nodes_of(several) == dict.fromkeys(NAMES, "True")
    assert not each[3].node_home.exists()
    assert all(serves(own) for own in several.layout.each_node)
    several.cluster.start()  # nothing to do
    assert several.cluster.node_count() == 3


def test_delete_leaves_nothing_of_any_node(several: Fixture) -> None:
    each = several.layout.each_node
    several.cluster.delete()
    for own in each:
        assert not own.home.exists()
        assert_nothing_runs(several, own)
