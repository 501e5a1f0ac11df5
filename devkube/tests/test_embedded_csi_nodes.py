"""Several nodes with a cloud's CSI driver: a volume stays in its zone, and goes to the zone's other
node when its own is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from devkube.cluster import csi
from devkube.cluster.embedded import EmbeddedCluster
from devkube.tests import test_embedded_csi
from devkube.tests.test_embedded_csi import CLOUDS, Disks, pod, storage_class

# In `make test` the rehearsal of aws goes the same way (tests/integration/test_rehearsal.py).
pytestmark = [*test_embedded_csi.pytestmark, pytest.mark.soak]

ZONES = csi.ZONES["ebs"]
# The fourth node is in the first one's zone.
PLACES = {"storage-tiers": ZONES[0], "storage-tiers-2": ZONES[1], "storage-tiers-3": ZONES[2], "storage-tiers-4": ZONES[0]}


def spread(replicas: int) -> dict[str, Any]:
    """A StatefulSet with a pod in each zone."""
    made = pod("data")["spec"]
    del made["volumes"]
    made["topologySpreadConstraints"] = [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "kafka"}},
        }
    ]
    claim = {"accessModes": ["ReadWriteOncePod"], "storageClassName": "xfs", "resources": {"requests": {"storage": "2Gi"}}}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "kafka"},
        "spec": {
            "serviceName": "kafka",
            "replicas": replicas,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": "kafka"}},
            "template": {"metadata": {"labels": {"app": "kafka"}}, "spec": made},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disks]:
    """Four nodes in three zones, and a pod with a volume in each zone."""
    made = Disks(CLOUDS[0], tmp_path_factory.mktemp("several"), "disks-nodes")
    made.cluster = EmbeddedCluster(made.identity, made.cluster.context, made.kubeconfig, driver="ebs", nodes=4)
    made.cluster.delete()
    try:
        made.cluster.start()
        made.kubectl("cordon", "storage-tiers")  # so that a node with a mount namespace is the one to lose
        made.apply(storage_class(made.cloud, "xfs", "xfs"), spread(3))
        made.kubectl("rollout", "status", "statefulset/kafka", "--timeout=180s")
        made.kubectl("uncordon", "storage-tiers")
        yield made
    finally:
        made.cluster.delete()


def nodes_of(several: Disks) -> dict[str, str]:
    """The node of each pod."""
    found = json.loads(several.kubectl("get", "pods", "-o", "json"))["items"]
    return {each["metadata"]["name"]: each["spec"]["nodeName"] for each in found}


def test_every_volume_is_in_its_pods_zone(several: Disks) -> None:
    nodes = nodes_of(several)
    assert {PLACES[node] for node in nodes.values()} == set(ZONES)
    for name, node in nodes.items():
        volume = several.volume(f"data-{name}")
        terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
        assert terms[0]["matchExpressions"][0]["values"] == [PLACES[node]]
        several.sh(name, f"echo {name} > /data/name")


def test_a_lost_nodes_volume_goes_to_the_zones_other_node(several: Disks) -> None:
    name, lost = next((name, node) for name, node in nodes_of(several).items() if PLACES[node] == ZONES[0])
    other = next(node for node, zone in PLACES.items() if zone == ZONES[0] and node != lost)
    assert lost == "storage-tiers-4"
    several.cluster.kill_node(lost)
    several.until(lambda: "NotReady" in several.kubectl("get", "node", lost), 120)
    several.kubectl("taint", "node", lost, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute")
    several.until(lambda: nodes_of(several).get(name) == other)
    several.ready(name)
    assert several.sh(name, "cat /data/name") == f"{name}\n"
    several.cluster.start_node(lost)
    several.kubectl("taint", "node", lost, "node.kubernetes.io/out-of-service-")
    several.until(lambda: len(csi.attached(several.layout.home / "csi")) == len(ZONES))
    assert several.cluster.running()


def test_the_node_that_was_lost_takes_volumes_again(several: Disks) -> None:
    name = next(name for name, node in nodes_of(several).items() if PLACES[node] == ZONES[0])
    several.kubectl("cordon", nodes_of(several)[name])
    several.kubectl("delete", "pod", name)
    several.until(lambda: nodes_of(several).get(name) == "storage-tiers-4")
    several.ready(name)
    assert several.sh(name, "cat /data/name") == f"{name}\n"


def test_delete_leaves_no_device_of_any_node(several: Disks) -> None:
    home = several.layout.home
    several.cluster.delete()
    assert csi.attached(home / "csi") == []
    assert not home.exists()
