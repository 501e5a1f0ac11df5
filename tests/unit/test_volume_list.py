"""The list of volumes: what is wrong with one stands beside it, in words and as JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from rich.console import Console

from ops.volumes import listing, saved
from ops.volumes.matching import make_plan
from ops.volumes.stack_volumes import ObservedVolumes
from ops.volumes.volume import Volume, retain
from ops.volumes.wanted import wanted_claims
from tests.unit.volume_objects import NODE, claim, on, settings, stamp, volume, wanted

GOING = "2026-01-01T00:00:00Z"


class Stack:
    """What the list asks of a stack."""

    settings = settings()
    wanted = wanted_claims(settings)

    def plan(self, seen: ObservedVolumes) -> Any:
        return make_plan(self.wanted, seen.claims, seen.volumes, seen.nodes)


def bound(name: str = "pv1", *, going: bool = False, **spec: Any) -> Volume:
    made = volume(name, marks=stamp(), phase="Bound", **spec)
    return Volume(**{**made.__dict__, "deleting": going})


def records(volumes: list[Volume], claims: list[dict[str, Any]], nodes: list[Any] | None = None) -> list[saved.SavedVolume]:
    seen = ObservedVolumes(claims, volumes, [NODE] if nodes is None else nodes)
    return listing.records(Stack(), seen, {}, "`adopt`")  # type: ignore[arg-type]


def shown(found: list[saved.SavedVolume]) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(listing.table(found, datetime.now(UTC)))
    return captured.get()


def test_a_volume_in_use_has_no_problem() -> None:
    (found,) = records([bound()], [claim(volume="pv1")])
    assert found.problems == []
    assert " Bound  " in shown([found])


NOT_READY = {**NODE, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
ZONE = {
    "required": {
        "nodeSelectorTerms": [{"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["b"]}]}],
    }
}


@pytest.mark.parametrize(
    ("found", "nodes", "mark", "fact", "todo"),
    [
        (bound(going=True), [NODE], "being deleted", "is being deleted, and goes with its claim", "volumes adopt"),
        (
            bound(nodeAffinity=on("old")),
            [NODE],
            "no node",
            "is usable on node old alone, which the cluster does not have",
            "start it again",
        ),
        (bound(), [NOT_READY], "unready node", "is usable on node here alone, which is not Ready", "kubectl get nodes"),
        (bound(nodeAffinity=ZONE), [NODE], "no node there", "is usable on zone b alone, which the cluster does not have", "an autoscaler"),
    ],
)
def test_what_is_wrong_is_marked_and_said(found: Volume, nodes: list[Any], mark: str, fact: str, todo: str) -> None:
    (record,) = records([found], [claim(volume="pv1")], nodes)
    (problem,) = record.problems
    assert (problem.mark, problem.fact) == (mark, fact)
    assert todo in problem.todo
    assert f"Bound, {mark}" in " ".join(shown([record]).split())
    assert f"  {fact}: {problem.todo}" in listing.details([record])


def test_a_claim_without_its_volume_is_listed_too_and_the_saved_list_is_read_as_before() -> None:
    for phase in ("Bound", "Lost"):
        seen = ObservedVolumes([claim(volume="gone", phase=phase), claim("data-kafka-2")], [], [NODE])
        lost = listing.lost_claims(settings(), seen)
        assert [(each.claim, each.volume) for each in lost] == [("data-kafka-1", "gone")]
    text = listing.saved_list(settings(), [], lost).model_dump_json(by_alias=True)
    assert '"lostClaims":[{"namespace":"","name":"data-kafka-1","volume":"gone"}]' in text
    older = saved.SavedList.model_validate_json(text.replace(',"lostClaims":', ',"somethingElse":'))
    assert older.lost_claims == []


class TestAdoption:
    def test_a_volume_that_is_being_deleted_is_said_with_what_becomes_of_its_data(self) -> None:
        delete = "Stop the pods, delete the claim (`kubectl -n data delete pvc data-kafka-1`), then try again"
        going = "the volume pv1 is being deleted, and goes with the claim"
        kept = volume("kept", marks=stamp(), local={"path": "/volumes/pv1"})
        for volumes, words in (
            ([bound(going=True), kept], f"{going}; its data is declared as kept too. {delete}"),
            ([bound(going=True)], f"{going}. {delete}"),
            (
                [bound(going=True, persistentVolumeReclaimPolicy="Delete")],
                f"{going} and its data, unless its policy becomes Retain: `{retain('pv1')}`. {delete}",
            ),
        ):
            made = make_plan([wanted()], [claim(volume="pv1")], volumes, [NODE])
            assert [problem for _, problem in made.problems] == [words]

    def test_a_volume_that_is_gone_under_a_claim_that_says_bound_is_lost(self) -> None:
        made = make_plan([wanted()], [claim(volume="pv1")], [], [NODE])
        assert [problem for _, problem in made.problems] == [
            "the claim has lost its volume pv1, whose object was deleted. Delete the claim (`kubectl -n data delete pvc data-kafka-1`), "
            "then try again"
        ]

    def test_once_the_claim_is_gone_its_data_is_given_under_the_second_object_even_while_the_first_one_goes(self) -> None:
        kept = volume("kept", marks=stamp(), local={"path": "/volumes/pv1"})
        first = Volume(**{**volume("pv1", marks=stamp()).__dict__, "deleting": True})
        for volumes in ([kept], [kept, first]):
            made = make_plan([wanted()], [], volumes, [NODE])
            assert {each.name: found.name for each, found in made.gives.items()} == {"data-kafka-1": "kept"}
