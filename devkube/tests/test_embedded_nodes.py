"""An embedded cluster of several nodes: real kubelets, real volumes, in a throw-away cluster of
these tests' own."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from devkube.cluster import embedded as embedded_module
from devkube.cluster import host, mount_namespace
from devkube.cluster import layout as layouts
from devkube.cluster.embedded import EmbeddedCluster
from devkube.errors import MachineError
from devkube.images import reference
from devkube.tests.test_embedded_cluster import OBJECTS, Fixture, assert_nothing_runs

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
                "affinity": {
                    "podAntiAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [
                            {"labelSelector": {"matchLabels": {"app": "kafka"}}, "topologyKey": "kubernetes.io/hostname"}
                        ]
                    }
                },
                "containers": [
                    {
                        "name": "broker",
                        "image": reference("busybox"),
                        "command": ["sh", "-c", "hostname > /data/index.html; exec httpd -f -p 9092 -h /data"],
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
    """A cluster that had one node with a volume before it got two more."""
    made = Fixture("several", tmp_path_factory.mktemp("several"))
    made.cluster.delete()
    try:
        made.cluster.start()
        made.write_pod()
        made.lines(1)
        resized(made, 3).start()
        made.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(BROKERS))
        made.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")
        yield made
    finally:
        made.cluster.delete()


def test_one_in_each_zone(several: Fixture) -> None:
    found = json.loads(several.kubectl("get", "nodes", "-o", "json"))["items"]
    assert [(node["metadata"]["name"], node["metadata"]["labels"]["topology.kubernetes.io/zone"]) for node in found] == list(
        zip(NAMES, ["zone-a", "zone-b", "zone-c"], strict=True)
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
    for own in several.layout.each_node:
        assert [path for path in own.node_volumes.iterdir() if "data-kafka" in path.name], own.node_name


@pytest.mark.skipif(not mount_namespace.possible(), reason="no mount namespaces here")
def test_what_a_further_node_mounts_is_its_own(several: Fixture) -> None:
    first, second, _ = several.layout.each_node
    assert host.mounts_below(first.kubelet_root), "the first node is the machine itself"
    assert not host.mounts_below(second.kubelet_root)
    namespace = several.cluster.node_namespace(second.node_name)
    assert namespace is not None
    mounts = subprocess.check_output([*namespace.enter, "cat", "/proc/self/mounts"], text=True)
    assert f"{second.kubelet_root}/pods/" in mounts
    assert second.node_home.joinpath("device-plugins/kubelet.sock").is_socket()


def test_a_node_is_killed_and_brought_back(several: Fixture) -> None:
    second = several.layout.of_node(2)
    several.cluster.kill_node(second.node_name)
    assert not host.cgroup_pids(second.cgroup)
    assert not host.mounts_below(second.node_home) and not host.mounts_below(second.node_run)
    assert not several.cluster.running()
    end = time.monotonic() + 120
    while nodes_of(several)[second.node_name] == "True" and time.monotonic() < end:
        time.sleep(1)
    assert nodes_of(several) == {"storage-tiers": "True", "storage-tiers-2": "Unknown", "storage-tiers-3": "True"}
    several.cluster.start_node(second.node_name)
    several.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")
    assert several.cluster.running()
    several.cluster.kill_node(NAMES[0])
    assert host.cgroup_pids(second.cgroup), "the others don't notice"
    several.cluster.start()
    several.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")


def test_down_and_up_take_them_as_one(several: Fixture) -> None:
    several.cluster.stop()
    assert_nothing_runs(several)
    for own in several.layout.each_node:
        assert_nothing_runs(several, own)
    resized(several, 0).start()
    assert set(nodes_of(several).values()) == {"True"} and len(nodes_of(several)) == 3
    several.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")


def test_a_node_goes_when_it_holds_nothing(several: Fixture) -> None:
    with pytest.raises(MachineError, match="data-kafka"):
        resized(several, 2).start()
    resized(several, 4).start()
    assert nodes_of(several)["storage-tiers-4"] == "True"
    gone: Path = several.layout.of_node(4).node_home
    assert gone.exists()
    resized(several, 3).start()
    assert sorted(nodes_of(several)) == NAMES and not gone.exists()


def test_delete_leaves_nothing_of_any_node(tmp_path: Path) -> None:
    other = Fixture("pair", tmp_path)
    other.cluster.delete()
    try:
        resized(other, 2).start()
        each: list[layouts.Layout] = other.layout.each_node
    finally:
        other.cluster.delete()
    for own in each:
        assert not own.home.exists()
        assert_nothing_runs(other, own)
