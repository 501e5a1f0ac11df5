"""Reserving and waiting: all or nothing, again where something has changed in between, and never
another's volume.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from ops.errors import UserError
from ops.volumes.matching import AdoptionPlan
from ops.volumes.stack_volumes import StackVolumes
from ops.volumes.volume import Volume
from ops.volumes.wanted import wanted_claims
from tests.unit.volume_objects import NODE, claim, on, settings, stamp


def raw(name: str, last: str, marks: dict[str, str]) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": marks,
            "annotations": {"pv.kubernetes.io/bound-by-controller": "yes"},
        },
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "database-local-path" if "postgres" in last else "streaming-local-path",
            "local": {"path": f"/volumes/{name}"},
            "nodeAffinity": on("here"),
            "claimRef": {"namespace": "data", "name": last, "uid": "gone"},
        },
        "status": {"phase": "Released"},
    }


class RecordedApi:
    """An API that keeps what is written to it.

    `conflicts` patches are too late, as if somebody had changed the volume in between.
    """

    def __init__(self, volumes: list[dict[str, Any]], claims: list[dict[str, Any]], conflicts: int = 0) -> None:
        self.objects = {each["metadata"]["name"]: deepcopy(each) for each in volumes}
        self.there = claims
        self.conflicts = conflicts
        self.patched: list[str] = []

    def volumes(self) -> list[dict[str, Any]]:
        return list(self.objects.values())

    def claims(self, namespace: str) -> list[dict[str, Any]]:
        assert namespace == "data"
        return self.there

    def nodes(self) -> list[dict[str, Any]]:
        return [NODE]

    def namespace_is_going(self, namespace: str) -> bool:
        return False

    def last_events(self, namespace: str, name: str) -> list[str]:
        return ["FailedBinding: recorded"]

    def change_volume(self, name: str, body: dict[str, Any]) -> bool:
        found = self.objects[name]
        assert body["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
        if self.conflicts:
            self.conflicts -= 1
            found["metadata"]["resourceVersion"] += "0"
            return False
        assert body["spec"]["claimRef"]["uid"] is None
        assert body["metadata"]["annotations"] == {"pv.kubernetes.io/bound-by-controller": None}
        found["spec"]["claimRef"] = {"namespace": body["spec"]["claimRef"]["namespace"], "name": body["spec"]["claimRef"]["name"]}
        found["metadata"]["annotations"] = {}
        found["status"]["phase"] = "Available"
        self.patched.append(name)
        return True


def stack(api: RecordedApi) -> StackVolumes:
    made = object.__new__(StackVolumes)  # without a cluster
    made.settings = settings()
    made.namespace, made.wanted = "data", wanted_claims(made.settings)
    made.api = api  # type: ignore[assignment]
    made.folder = made.list_file = None
    return made


OWN = [raw(f"pv{ordinal}", f"data-kafka-{ordinal}", stamp(ordinal=ordinal)) for ordinal in range(3)]


@pytest.mark.parametrize("conflicts", [0, 1, 3])
def test_each_gets_its_own_also_when_something_changes_in_between(conflicts: int) -> None:
    api = RecordedApi(OWN, [], conflicts)
    plan = stack(api).reserve()
    assert {each.name: volume.name for each, volume in plan.gives.items()} == {
        f"data-kafka-{ordinal}": f"pv{ordinal}" for ordinal in range(3)
    }
    assert {each["spec"]["claimRef"]["name"] for each in api.volumes()} == {f"data-kafka-{ordinal}" for ordinal in range(3)}
    assert sorted(api.patched) == ["pv0", "pv1", "pv2"], "what is reserved is not written again"
    assert len(stack(api).reserve().gives) == 3
    assert len(api.patched) == 3


class TakingOff(RecordedApi):
    """An API in which volumes are made and deleted, too."""

    def __init__(self, volumes: list[dict[str, Any]], *, left: bool = False) -> None:
        super().__init__(volumes, [])
        self.left = left

    def change_volume(self, name: str, body: dict[str, Any]) -> bool:
        if "claimRef" in body["spec"]:
            return super().change_volume(name, body)
        assert body["metadata"]["resourceVersion"] == self.objects[name]["metadata"]["resourceVersion"]
        self.objects[name]["spec"].update(body["spec"])
        return True

    def volume(self, name: str) -> dict[str, Any] | None:
        return self.objects.get(name)

    def create_volume(self, manifest: dict[str, Any]) -> bool:
        name = manifest["metadata"]["name"]
        made = {**manifest, "metadata": {**manifest["metadata"], "uid": f"uid-{name}", "resourceVersion": "1"}}
        self.objects[name] = {**made, "status": {"phase": "Available"}}
        return True

    def delete_volume(self, name: str, uid: str) -> None:
        found = self.objects[name]
        assert found["metadata"]["uid"] == uid
        assert found["spec"]["persistentVolumeReclaimPolicy"] == "Retain", "or its driver deletes the data"
        if self.left:
            found["metadata"]["deletionTimestamp"] = "2026-11-26T10:00:00Z"
        else:
            del self.objects[name]


def classed(ordinal: int) -> dict[str, Any]:
    found = raw(f"pv{ordinal}", f"data-kafka-{ordinal}", stamp(ordinal=ordinal))
    source = {"csi": {"driver": "ebs.csi.aws.com", "volumeHandle": f"vol-{ordinal}"}, "volumeAttributesClassName": "streaming-ebs-fast"}
    found["spec"] = {**{key: value for key, value in found["spec"].items() if key != "local"}, **source}
    return found


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("choice", [{}, {"adopt": {"kafka": {"1": "pv1", "2": "vol-2@5Gi"}}}])
def test_a_volume_that_names_an_attributes_class_could_be_bound_to_no_claim_of_a_stack(choice: dict[str, Any], left: bool) -> None:
    api = TakingOff([classed(ordinal) for ordinal in range(3)], left=left)
    volumes = stack(api)
    volumes.settings = settings(**choice)
    volumes.wanted = wanted_claims(volumes.settings)
    plan = volumes.reserve()
    assert len(plan.gives) == 3
    for each, given in plan.gives.items():
        assert given.name.startswith(f"adopted-kafka-{each.ordinal}-")
        found = api.objects[given.name]
        assert "volumeAttributesClassName" not in found["spec"]
        assert found["spec"]["csi"]["volumeHandle"] == f"vol-{each.ordinal}"
        assert found["spec"]["claimRef"]["name"] == each.name
        assert found["metadata"]["annotations"]["storage-tiers/attributes-class"] == "streaming-ebs-fast"
    assert len(volumes.reserve().gives) == 3, "a second time nothing is left to do"


def test_nothing_is_written_where_one_is_in_doubt() -> None:
    api = RecordedApi([*OWN, raw("pv9", "data-kafka-2", stamp(ordinal=2))], [])
    with pytest.raises(UserError, match="1 of the 4 claims of stack dev can't be given a volume; nothing was reserved:"):
        stack(api).reserve()
    assert not api.patched


def test_a_fight_over_the_volumes_ends() -> None:
    with pytest.raises(UserError, match="somebody else is working on them"):
        stack(RecordedApi(OWN, [], conflicts=100)).reserve()


def test_what_is_reserved_for_another_claim_is_not_taken_for_reserved() -> None:
    there = raw("pv1", "data-kafka-2", stamp())
    del there["spec"]["claimRef"]["uid"], there["metadata"]["annotations"]
    there["status"]["phase"] = "Available"
    api = RecordedApi([there], [])
    each = next(each for each in wanted_claims(settings()) if each.name == "data-kafka-1")
    assert stack(api)._reserve(each, Volume.of(there))
    assert api.objects["pv1"]["spec"]["claimRef"]["name"] == "data-kafka-1"


def plan() -> AdoptionPlan:
    each = next(each for each in wanted_claims(settings()) if each.name == "data-kafka-1")
    return AdoptionPlan(gives={each: Volume.of(OWN[1])})


def test_a_claim_that_got_another_volume_is_said() -> None:
    api = RecordedApi(OWN, [claim("data-kafka-1", "pvc-new")])
    with pytest.raises(UserError) as refused:
        stack(api).wait_bound(plan())
    assert str(refused.value) == (
        "kafka 1 (data/data-kafka-1) was bound to pvc-new, while pv1 was reserved for it: a pod has asked for the claim in between.\n"
        "Stop the pods, `kubectl -n data delete pvc data-kafka-1`, and adopt again: both volumes are kept."
    )


@pytest.mark.parametrize(("there", "phase"), [([], "not there"), ([claim("data-kafka-1")], "Pending")])
def test_a_claim_that_is_not_bound_in_time_is_said(there: list[dict[str, Any]], phase: str) -> None:
    with pytest.raises(UserError) as refused:
        stack(RecordedApi(OWN, there)).wait_bound(plan(), seconds=0)
    assert str(refused.value) == (
        "these claims were not bound in time; their volumes stay reserved:\n"
        f"  kafka 1 (data/data-kafka-1): {phase}, pv1 is reserved for it\n"
        "    FailedBinding: recorded\n"
        "Run the same command again: it goes on where this one stopped."
    )


def test_new_and_empty_beside_old_volumes() -> None:
    api = RecordedApi(OWN, [claim("data-kafka-0", "pvc-new"), claim("data-kafka-1"), claim("data-postgres-0")])
    volumes = stack(api)
    assert [each.name for each in volumes.old_for_new(volumes.look())] == ["data-kafka-1"]
