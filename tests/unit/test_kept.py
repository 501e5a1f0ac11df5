"""Volumes that are going or gone under their claims: seen, and their data declared once more."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from components.kube import labels
from components.kube.bindings import BrokenBinding, broken, unreachable
from components.kube.errors import ApiError
from components.kube.kept import KeptVolume, NotKept, keep_volumes
from components.kube.ownership import NOBODY, Stamp
from components.preflight.volumes import warnings

STAMP = Stamp("dev", "kafka", 1, "streaming")
SINCE = "2026-01-01T00:00:00Z"
NODE = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "n1"}}}


def claim(phase: str = "Bound", volume: str = "pvc-1", **annotations: str) -> dict[str, Any]:
    metadata = {"name": "data-kafka-1", "namespace": "data", "uid": "u1", "labels": labels.recommended("kafka", "dev", "streaming")}
    return {"metadata": {**metadata, "annotations": annotations}, "spec": {"volumeName": volume}, "status": {"phase": phase}}


def volume(name: str = "pvc-1", *, going: bool = True, uid: str = "u1", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "annotations": {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path", "pv.kubernetes.io/bound-by-controller": "yes"},
            "labels": {"topology.kubernetes.io/zone": "one"},
            **({"deletionTimestamp": SINCE} if going else {}),
        },
        "spec": {
            "capacity": {"storage": "3380Mi"},
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "streaming-local-path",
            "local": {"path": f"/volumes/{name}"},
            "claimRef": {"namespace": "data", "name": "data-kafka-1", "uid": uid},
            **spec,
        },
        "status": {"phase": "Bound"},
    }


class Cluster:
    """An API that keeps what is created."""

    def __init__(self, claims: list[dict[str, Any]], volumes: list[dict[str, Any]], refused: int = 0) -> None:
        self.claims, self.volumes, self.refused = claims, volumes, refused

    def get(self, path: str) -> dict[str, Any]:
        return {"items": deepcopy(self.volumes if path.endswith("persistentvolumes") else self.claims)}

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        assert path == "/api/v1/persistentvolumes"
        if self.refused:
            raise ApiError("refused", self.refused)
        self.volumes.append(body)
        return body


def test_the_data_of_a_volume_that_is_being_deleted_gets_a_second_object() -> None:
    cluster = Cluster([claim()], [volume()])
    (kept,) = keep_volumes(cluster, "data", "dev")
    made = cluster.volumes[-1]
    assert kept == KeptVolume("pvc-1", made["metadata"]["name"])
    assert made["metadata"]["labels"] == {"topology.kubernetes.io/zone": "one", **STAMP.labels}
    assert made["metadata"]["annotations"] == {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "data", "name": "data-kafka-1", "uid": NOBODY}
    assert made["spec"] == {**volume()["spec"], "claimRef": reference}
    assert keep_volumes(cluster, "data", "dev") == [], "once"


@pytest.mark.parametrize(
    ("claims", "volumes"),
    [
        ([claim()], [volume(going=False)]),
        ([claim()], [volume(uid="another claim of that name")]),
        ([claim()], [volume(persistentVolumeReclaimPolicy="Delete")]),  # whoever said so wants the data gone
        ([claim()], []),
        ([{**claim(), "spec": {}}], [volume()]),
        ([claim()], [volume(), volume("mine", going=False, uid="", local={"path": "/volumes/pvc-1"})]),
        (
            [claim()],
            [
                volume(local=None, csi={"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1", "fsType": "xfs"}),
                volume("mine", going=False, local=None, csi={"driver": "ebs.csi.aws.com", "volumeHandle": "vol-1"}),
            ],
        ),
    ],
)
def test_and_no_other(claims: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> None:
    assert keep_volumes(Cluster(claims, volumes), "data", "dev") == []


def test_another_run_may_have_been_quicker_and_a_missing_right_is_told() -> None:
    assert keep_volumes(Cluster([claim()], [volume()], refused=409), "data", "dev") == []
    with pytest.raises(NotKept) as refused:
        keep_volumes(Cluster([claim()], [volume()], refused=403), "data", "dev")
    assert (refused.value.volume, refused.value.claim, refused.value.reason) == ("pvc-1", "data-kafka-1", "403 Forbidden")


@pytest.mark.parametrize(
    ("claims", "volumes", "expected"),
    [
        ([claim()], [volume(going=False)], []),
        ([claim()], [volume()], [BrokenBinding("data", "data-kafka-1", "pvc-1", SINCE)]),
        ([claim()], [volume(uid="another")], []),
        ([claim()], [], [BrokenBinding("data", "data-kafka-1", "pvc-1", "")]),
        (
            [claim("Lost", **{"volume.kubernetes.io/selected-node": "n1"})],
            [],
            [BrokenBinding("data", "data-kafka-1", "pvc-1", "", "n1")],
        ),
        ([claim("Pending")], [], []),  # named before it is made
        ([claim("Pending", "")], [], []),
    ],
)
def test_claims_whose_volume_is_going_or_gone(
    claims: list[dict[str, Any]], volumes: list[dict[str, Any]], expected: list[BrokenBinding]
) -> None:
    assert list(broken(claims, volumes)) == expected


def affinity(key: str, value: str) -> list[dict[str, Any]]:
    return [{"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}]


def test_volumes_that_no_node_can_use() -> None:
    stopped = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    host = "kubernetes.io/hostname"
    assert unreachable([], []) is None
    assert unreachable(affinity(host, "n1"), [NODE]) is None
    assert unreachable(affinity(host, "n1"), [stopped, NODE]) is None
    found = {
        name: unreachable(affinity(key, value), [node])
        for name, key, value, node in (
            ("gone", host, "old", NODE),
            ("not ready", host, "n1", stopped),
            ("zone", "topology.gke.io/zone", "z", NODE),
        )
    }
    assert {name: (each.missing, each.returns) for name, each in found.items() if each} == {
        "gone": (True, False),
        "not ready": (False, False),
        "zone": (True, True),
    }


def test_an_up_warns_of_them_and_of_a_class_that_became_the_default() -> None:
    beta = "storageclass.beta.kubernetes.io/is-default-class"
    default = {"metadata": {"name": "streaming-ebs", "annotations": {beta: "true"}}}
    old = volume(going=False, nodeAffinity={"required": {"nodeSelectorTerms": affinity("kubernetes.io/hostname", "old")}})
    assert list(warnings([claim()], [volume()], [NODE], [default])) == [
        f"the volume pvc-1 of claim data/data-kafka-1 is being deleted since {SINCE}, and goes with the claim",
        f"class streaming-ebs is the default class, by its annotation {beta}",
    ]
    assert list(warnings([claim()], [], [NODE], [])) == ["the volume pvc-1 of claim data/data-kafka-1 was deleted"]
    assert list(warnings([claim()], [old], [NODE], [])) == [
        "the volume pvc-1 of claim data/data-kafka-1 is usable on node old alone, which the cluster does not have"
    ]
    assert list(warnings([claim()], None, None, [])) == [], "what may not be read is not looked at"
