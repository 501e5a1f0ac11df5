"""What healing decides, by what state, plan and cluster say.

The two are stood in for, the deciding is real.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from components.kube.labels import recommended
from components.settings import load
from ops.errors import UserError
from ops.healing import healing
from ops.healing.healing import Healing
from ops.healing.objects import Found
from ops.healing.state import Entry, Ref, ref_of
from tests.unit.mocked_program import dev_config
from tests.unit.test_healing_state import (
    CLAIM,
    CLASS,
    GUARD,
    NAMESPACE,
    OBJECTS,
    PLAN,
    PROVIDER_ENTRY,
    SPACE,
    STACK_ENTRY,
    TIER,
    in_state,
    steps,
)

OURS = recommended("x", "dev", "x")
WHOLE = [{**in_state(entry), "outputs": {"a": 1}} for entry in PLAN]


@dataclass
class Engine:
    """In place of `pulumi`: a state, a plan, and what was asked of it."""

    resources: list[Entry]
    pending: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)
    imported: dict[str, Any] | None = None

    def backend(self) -> str:
        return "file:///state"

    def state(self, stack: str) -> dict[str, Any]:
        return {"version": 3, "deployment": {"resources": self.resources, "pending_operations": self.pending}}

    def plan(self, stack: str) -> list[dict[str, Any]]:
        self.asked.append(("preview",))
        return steps()

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        self.asked.append(arguments)
        if stdin:
            self.imported = json.loads(stdin)["deployment"]
        return ""


class InCluster:
    """In place of the cluster: these objects, with these labels.

    One that is being deleted is gone at the second look.
    """

    def __init__(self, *found: Found) -> None:
        self.found = {each.ref: each for each in found}
        self.looks = 0

    def list_all(self, namespaces: list[str]) -> Iterator[Found]:
        self.looks += 1
        if self.looks > 1:
            self.found = {ref: each for ref, each in self.found.items() if not each.terminating}
        return iter(list(self.found.values()))

    def find(self, inputs: Mapping[str, Any]) -> Found | None:
        return self.found.get(ref_of(inputs))


def found(entry: Entry, labels: Mapping[str, str] = OURS, *, terminating: bool = False) -> Found:
    return Found(ref_of(entry["inputs"]), labels, terminating)


def heal(engine: Engine, cluster: InCluster, **how: bool) -> None:
    settings = load(dev_config(services={"postgres": {"tier": "database", "size": "1Gi"}}), "dev")
    options = {"ours_alone": False, **how}
    Healing(engine, cluster, settings).complete_state(**options)  # type: ignore[arg-type]


def test_nothing_to_do_is_silent_and_asks_for_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(WHOLE)
    heal(engine, InCluster(*map(found, OBJECTS)))
    heal(engine, InCluster(*map(found, OBJECTS)), destroying=True)
    assert engine.asked == []
    assert capsys.readouterr().out == ""


def test_an_object_beside_the_state_is_taken_in(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine([entry for entry in WHOLE if entry["urn"] not in (CLAIM["urn"], GUARD["urn"])])
    heal(engine, InCluster(*map(found, OBJECTS)))
    assert engine.imported
    assert {CLAIM["urn"], GUARD["urn"]} <= {entry["urn"] for entry in engine.imported["resources"]}
    assert engine.asked[-1][:5] == ("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack")
    assert engine.asked[-1][-2:] == ("--target", CLAIM["urn"])
    assert capsys.readouterr().out == (
        "Taken into the state, where a killed run had not noted them: PersistentVolumeClaim data-postgres-0 in namespace data.\n"
    )


def test_a_pending_create_needs_no_plan(capsys: pytest.CaptureFixture[str]) -> None:
    base = [in_state(entry) for entry in (STACK_ENTRY, PROVIDER_ENTRY, SPACE, TIER)]
    engine = Engine(base, [{"type": "creating", "resource": in_state(entry)} for entry in (NAMESPACE, CLASS)])
    heal(engine, InCluster(found(NAMESPACE)))
    assert ("preview",) not in engine.asked
    assert engine.imported
    assert engine.imported["pending_operations"] == []
    assert [entry["urn"] for entry in engine.imported["resources"][4:]] == [NAMESPACE["urn"]]
    assert "Begun by a killed run, and done again: database." in capsys.readouterr().out


def test_a_state_that_knows_nothing_is_another_persons_or_lost() -> None:
    engine = Engine([])
    with pytest.raises(UserError) as refused:
        heal(engine, InCluster(*map(found, OBJECTS)))
    assert refused.value.message == (
        "the cluster has Namespace data, StorageClass database-x, PersistentVolumeClaim data-postgres-0 in namespace data of stack dev, "
        "and the state in file:///state knows nothing of the cluster: that state was lost, or the objects are another person's stack of "
        "the same name."
    )
    assert refused.value.hint == ("Put the state back, or take them over if they are yours: `python -m ops heal --stack dev --take-over`.")
    assert engine.imported is None
    heal(engine, InCluster(*map(found, OBJECTS)), ours_alone=True)
    assert engine.imported


@pytest.mark.parametrize(
    ("labels", "owner"),
    [
        ({}, "without labels"),
        ({"app": "kafka"}, "labelled app=kafka"),
        (recommended("x", "prod", "x"), "of stack prod"),
        ({**OURS, "app.kubernetes.io/managed-by": "storage-tiers-canary"}, "of stack dev"),
    ],
)
def test_a_strangers_object_is_refused_by_name(labels: dict[str, str], owner: str) -> None:
    engine = Engine([entry for entry in WHOLE if entry["urn"] != CLAIM["urn"]])
    with pytest.raises(UserError) as refused:
        heal(engine, InCluster(found(NAMESPACE), found(CLASS), found(CLAIM, labels)), ours_alone=True)
    assert refused.value.message == (
        "the cluster has objects of the names that stack dev uses, and they are not the stack's:\n"
        f"  PersistentVolumeClaim data-postgres-0 in namespace data ({owner})"
    )
    assert refused.value.hint == "Delete them if nobody needs them; or give the service another name under `services`. Nothing was changed."
    assert engine.imported is None


def test_what_is_being_deleted_is_waited_for_and_then_everything_is_read_anew() -> None:
    engine = Engine(WHOLE)
    heal(engine, InCluster(found(NAMESPACE, terminating=True), found(CLASS), found(CLAIM, terminating=True)))
    assert engine.asked == [("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", "dev")]


def test_before_a_destroy_nothing_is_waited_for() -> None:
    engine = Engine(WHOLE)
    heal(engine, InCluster(found(NAMESPACE, terminating=True)), destroying=True)
    assert engine.asked == []


def test_what_can_not_go_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(healing, "_DELETION", 1.0)
    cluster = InCluster(found(CLAIM, terminating=True))
    monkeypatch.setattr(cluster, "list_all", lambda _: iter([found(CLAIM, terminating=True)]))
    with pytest.raises(UserError) as refused:
        heal(Engine(WHOLE), cluster)
    assert refused.value.message == (
        "still being deleted after 1 s, and can't be brought back: PersistentVolumeClaim data-postgres-0 in namespace data."
    )
    assert "`kubectl -n data get pods`" in refused.value.hint


def test_a_destroy_without_a_guard_gets_one() -> None:
    engine = Engine([entry for entry in WHOLE if entry["urn"] != GUARD["urn"]])
    heal(engine, InCluster(*map(found, OBJECTS)))
    assert engine.imported is None, "an up makes it by itself"
    heal(engine, InCluster(*map(found, OBJECTS)), destroying=True)
    assert engine.imported
    assert GUARD["urn"] in {entry["urn"] for entry in engine.imported["resources"]}


def test_what_the_program_does_not_declare_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    engine = Engine(WHOLE)
    heal(engine, InCluster(*map(found, OBJECTS), Found(Ref("PersistentVolumeClaim", "data", "data-old-0"), OURS, False)))
    assert engine.imported is None
    assert capsys.readouterr().out == (
        "Left alone, with the labels of stack dev but not declared by it: PersistentVolumeClaim data-old-0 in namespace data.\n"
    )


def test_a_heal_that_was_killed_is_finished() -> None:
    unread = [{**entry, "outputs": {}} if entry["urn"] == CLAIM["urn"] else entry for entry in WHOLE]
    engine = Engine(unread)
    heal(engine, InCluster(*map(found, OBJECTS)))
    assert engine.asked == [("refresh", "--yes", "--skip-preview", "--non-interactive", "--stack", "dev", "--target", CLAIM["urn"])]


def test_a_pending_create_of_what_a_later_up_has_made_is_only_forgotten() -> None:
    engine = Engine(WHOLE, [{"type": "creating", "resource": in_state(CLAIM)}])
    heal(engine, InCluster(*map(found, OBJECTS)))
    assert engine.imported
    assert engine.imported["resources"] == WHOLE
    assert engine.imported["pending_operations"] == []
