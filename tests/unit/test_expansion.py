"""Volumes that are still to become larger: what is said of each state, and where."""

from __future__ import annotations

from typing import Any

import pytest

from components.kube.expansion import Expansion, unfinished
from components.kube.quantity import GI
from components.preflight.volumes import warnings
from ops.drift.compare import LiveObjects, Name, differences, remarks
from ops.volumes import listing
from tests.unit.test_drift import CLAIM, DECLARED, NODES, VOLUME, cluster
from tests.unit.test_volume_list import bound, records, shown
from tests.unit.volume_objects import claim as listed_claim


def claim(has: str | None = "6Gi", asks: str = "9Gi", *, resource: str = "", phase: str = "Bound", **conditions: str) -> dict[str, Any]:
    """A claim; conditions are true, with these messages."""
    status: dict[str, Any] = {"phase": phase}
    status |= {"capacity": {"storage": has}} if has else {}
    status |= {"conditions": [{"type": key, "status": "True", "message": text} for key, text in conditions.items()]} if conditions else {}
    status |= {"allocatedResourceStatuses": {"storage": resource}} if resource else {}
    return {
        "metadata": {"namespace": "data", "name": "data-kafka-0", "uid": "1"},
        "spec": {"resources": {"requests": {"storage": asks}}},
        "status": status,
    }


def only(found: dict[str, Any]) -> Expansion:
    (one,) = unfinished([found])
    return one


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (claim(), "nobody has begun with it"),
        (claim(Resizing=""), "its driver makes the volume larger"),
        (claim(resource="ControllerResizeInProgress", Resizing=""), "its driver makes the volume larger"),
        (claim(FileSystemResizePending="Waiting for user"), "its file system waits for a pod that mounts the claim"),
        (claim(resource="NodeResizePending"), "its file system waits for a pod that mounts the claim"),
        (claim(resource="NodeResizeInProgress", FileSystemResizePending=""), "its node makes the file system larger"),
        (claim(ControllerResizeError="quota of the region", Resizing=""), "could not make the volume larger (quota of the region)"),
        (
            claim(resource="ControllerResizeInfeasible", ControllerResizeError="above 64Ti"),
            "its driver refuses to make the volume larger (above 64Ti)",
        ),
        (claim(resource="NodeResizeInfeasible", NodeResizeError="shut down"), "its node can't make the file system larger (shut down)"),
        # The controller has set the capacity already, and the node's part is left.
        (claim("9Gi", FileSystemResizePending=""), "its file system waits for a pod that mounts the claim"),
    ],
)
def test_every_state_says_what_it_waits_for(found: dict[str, Any], says: str) -> None:
    assert says in only(found).fact
    assert only(found).fact.startswith("the volume of claim data/data-kafka-0 is to have 9Gi and has ")
    assert "kubectl -n data describe pvc data-kafka-0" in only(found).todo


@pytest.mark.parametrize(
    "found",
    [
        claim("9Gi"),
        claim("10Gi"),  # a volume that was larger from the start
        claim(None),  # a cluster that says nothing of it
        claim(phase="Pending"),
        claim("9216Mi"),
        {**claim("9Gi"), "status": {"phase": "Bound", "conditions": [{"type": "Resizing", "status": "False"}]}},
        {**claim("9Gi"), "status": {"phase": "Bound", "conditions": [{"type": "ModifyingVolume", "status": "True"}]}},
    ],
)
def test_a_claim_that_has_what_it_asks_for_is_not_told(found: dict[str, Any]) -> None:
    assert list(unfinished([found])) == []


def test_a_refused_one_says_which_size_would_do() -> None:
    found = only(claim(resource="ControllerResizeInfeasible"))
    assert found.refused
    assert not found.worked_on
    assert "more than 6Gi, then `pulumi up`" in found.todo
    assert found.has == 6 * GI


def test_a_preview_and_an_up_say_it() -> None:
    assert list(warnings([claim(FileSystemResizePending="")], None, None, [])) == [only(claim(FileSystemResizePending="")).fact]


def seen(status: dict[str, Any]) -> LiveObjects:
    found = cluster()
    found[CLAIM]["status"] |= status
    objects = {name: item for name, item in found.items() if isinstance(name, Name)}
    return LiveObjects(objects, {VOLUME: found[VOLUME]}, {CLAIM: found[CLAIM]}, NODES)


def test_drift_cries_where_somebody_has_to_do_something() -> None:
    live = seen({"capacity": {"storage": "2Gi"}})
    (found,) = differences(DECLARED, live, "dev")
    assert (found.object, found.what, found.declared) == (CLAIM, "status.capacity", "3380Mi")
    assert found.found == "2Gi: nobody has begun with it"
    assert "resizer" in found.todo
    assert remarks(DECLARED, live) == []


def test_drift_remarks_what_ends_by_itself() -> None:
    live = seen({"capacity": {"storage": "2Gi"}, "allocatedResourceStatuses": {"storage": "ControllerResizeInProgress"}})
    assert differences(DECLARED, live, "dev") == []
    assert [each.found for each in remarks(DECLARED, live)] == ["2Gi: its driver makes the volume larger"]


@pytest.mark.parametrize(("resource", "mark"), [("", "growing to 9Gi"), ("NodeResizeInfeasible", "not growing")])
def test_the_list_of_volumes_has_it_beside_the_volume(resource: str, mark: str) -> None:
    grows = claim(resource=resource)
    there = {**listed_claim(volume="pv1"), "status": grows["status"]}
    there["spec"] = {**there["spec"], **grows["spec"]}
    there["metadata"] = {**there["metadata"], "uid": "of-pv1"}
    (found,) = records([bound()], [there])
    assert [problem.mark for problem in found.problems] == [mark]
    assert f"Bound, {mark}" in shown([found])
    assert any("is to have 9Gi and has 6Gi" in line for line in listing.details([found]))
