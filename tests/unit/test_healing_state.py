"""What healing writes into a state: the right entries, in an order that the engine accepts, and
nothing else changed.
"""

from __future__ import annotations

import copy
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.healing import state
from ops.healing.state import Ref

STACK = "urn:pulumi:dev::storage-tiers::pulumi:pulumi:Stack::storage-tiers-dev"
PROVIDER = "urn:pulumi:dev::storage-tiers::pulumi:providers:kubernetes::cluster"
PREFIX = "urn:pulumi:dev::storage-tiers::storage-tiers:index:"


def component(kind: str, name: str) -> state.Entry:
    return {"urn": f"{PREFIX}{kind}::{name}", "custom": False, "type": f"storage-tiers:index:{kind}", "parent": STACK}


def resource(parent: state.Entry, type_: str, name: str, inputs: dict[str, Any], after: tuple[str, ...] = ()) -> state.Entry:
    above = parent["urn"].split("::")[2]
    return {
        "urn": f"urn:pulumi:dev::storage-tiers::{above}${type_}::{name}",
        "custom": True,
        "type": type_,
        "inputs": inputs,
        "parent": parent["urn"],
        "dependencies": list(after),
        "propertyDependencies": {"metadata": list(after)},
    }


def declared(kind: str, version: str, name: str, namespace: str = "") -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, **({"namespace": namespace} if namespace else {})}}


def on_cluster(entry: state.Entry, provider_id: str = state.UNKNOWN) -> state.Entry:
    return {**entry, "provider": f"{PROVIDER}::{provider_id}"}


STACK_ENTRY: state.Entry = {"urn": STACK, "custom": False, "type": "pulumi:pulumi:Stack"}
PROVIDER_ENTRY: state.Entry = {
    "urn": PROVIDER,
    "custom": True,
    "type": "pulumi:providers:kubernetes",
    "inputs": {"context": "x", "version": "4.34.2"},
    "parent": STACK,
}
SPACE = component("ServiceNamespace", "namespace")
NAMESPACE = on_cluster(resource(SPACE, "kubernetes:core/v1:Namespace", "namespace", declared("Namespace", "v1", "data")))
TIER = component("StorageTier", "database")
CLASS = on_cluster(
    resource(TIER, "kubernetes:storage.k8s.io/v1:StorageClass", "database", declared("StorageClass", "storage.k8s.io/v1", "database-x"))
)
SERVICE = component("ServiceVolumes", "postgres")
CLAIM = on_cluster(
    resource(
        SERVICE,
        "kubernetes:core/v1:PersistentVolumeClaim",
        "data-postgres-0",
        declared("PersistentVolumeClaim", "v1", "data-postgres-0", "data"),
        (NAMESPACE["urn"], CLASS["urn"]),
    )
)
GUARD_PARENT = component("DestroyGuard", "destroy-guard")
COMMANDS = "urn:pulumi:dev::storage-tiers::pulumi:providers:command::default_1_2_1"  # the plan has no step for it
GUARD = {
    **resource(GUARD_PARENT, state.COMMAND, "destroy-guard", {"delete": "destroy"}, (CLAIM["urn"],)),
    "provider": f"{COMMANDS}::{state.UNKNOWN}",
}
CANARY_PARENT = component("TierCanary", "database")
CANARY = resource(CANARY_PARENT, state.COMMAND, "canary-database", {"create": "prove"}, (CLASS["urn"],))
PLAN = [
    STACK_ENTRY,
    PROVIDER_ENTRY,
    SPACE,
    NAMESPACE,
    TIER,
    CLASS,
    CANARY_PARENT,
    CANARY,
    SERVICE,
    CLAIM,
    GUARD_PARENT,
    GUARD,
]
OBJECTS = [NAMESPACE, CLASS, CLAIM]


def steps(op: str = "create") -> list[dict[str, Any]]:
    return [{"op": op, "urn": entry["urn"], "newState": entry} for entry in PLAN]


def in_state(entry: state.Entry) -> state.Entry:
    """The entry as a finished run has it."""
    made = copy.deepcopy(entry)
    if made["custom"]:
        made["id"] = state.ref_of(made["inputs"]).id if state.is_object(made) else "0000-provider" if entry is PROVIDER_ENTRY else "some-id"
    if "provider" in made:
        made["provider"] = made["provider"].replace(state.UNKNOWN, "0000-provider")
    return made


def check(deployment: dict[str, Any]) -> None:
    """What the engine's VerifyIntegrity asks for: whatever an entry refers to comes before it, and
    no URN is live twice.
    """
    seen: dict[str, state.Entry] = {}
    for entry in deployment["resources"]:
        live = not entry.get("delete")
        assert not (live and entry["urn"] in seen and not seen[entry["urn"]].get("delete")), f"{entry['urn']} twice"
        for urn in (
            entry.get("parent"),
            *entry.get("dependencies", []),
            *chain.from_iterable(entry.get("propertyDependencies", {}).values()),
        ):
            assert not urn or urn in seen, f"{entry['urn']} refers to {urn}, which comes later or never"
        if entry.get("provider"):
            urn, _, identity = entry["provider"].rpartition("::")
            assert seen[urn]["id"] == identity
        assert not entry["custom"] or entry["id"]
        seen[entry["urn"]] = entry if live or entry["urn"] not in seen else seen[entry["urn"]]


@given(st.sets(st.integers(0, len(PLAN) - 1)), st.sets(st.sampled_from([entry["urn"] for entry in OBJECTS])))
def test_any_part_of_a_state_is_completed_to_a_valid_one(lost: set[int], found: set[str]) -> None:
    commands = {"urn": COMMANDS, "custom": True, "type": "pulumi:providers:command", "id": "0000-provider", "inputs": {}}
    kept = [commands, *(in_state(entry) for index, entry in enumerate(PLAN) if index not in lost)]
    there = {entry["urn"] for entry in kept}
    # A state never has an entry without what that refers to.
    changed = True
    while changed:
        fine = [
            entry
            for entry in kept
            if {
                entry.get("parent", STACK),
                *entry.get("dependencies", []),
                *([entry["provider"].rpartition("::")[0]] if entry.get("provider") else []),
            }
            <= there | {STACK}
            and (entry["urn"] in (STACK, COMMANDS) or entry.get("parent") in there)
        ]
        changed = len(fine) != len(kept)
        kept, there = fine, {entry["urn"] for entry in fine}
    before = {"manifest": {"version": "v3"}, "resources": kept}
    missing = state.missing(before, steps())
    added = {urn: entry for urn, entry in missing.items() if urn in found}
    after = state.graft(before, added, missing)
    check(after)
    live = {entry["urn"] for entry in after["resources"]}
    assert live >= there | (found & set(missing))
    assert [entry for entry in after["resources"] if entry["urn"] in there] == kept, "what was there is as it was"
    assert not {CANARY["urn"], GUARD["urn"]} & (live - there), "commands come in only when asked for"


def test_a_lost_state_gets_objects_their_components_the_provider_and_the_guard() -> None:
    before: dict[str, Any] = {"manifest": {}}
    missing = state.missing(before, steps())
    wanted = {entry["urn"]: entry for entry in (*OBJECTS, GUARD)}
    after = state.graft(before, wanted, missing)
    check(after)
    by_urn = {entry["urn"]: entry for entry in after["resources"]}
    assert set(by_urn) == {COMMANDS, *(entry["urn"] for entry in PLAN)} - {CANARY["urn"], CANARY_PARENT["urn"]}
    assert by_urn[COMMANDS]["inputs"]["version"] == "1.2.1"
    assert by_urn[CLAIM["urn"]]["id"] == "data/data-postgres-0"
    assert by_urn[CLAIM["urn"]]["dependencies"] == [NAMESPACE["urn"], CLASS["urn"]]
    assert by_urn[CLASS["urn"]]["id"] == "database-x"
    guard = by_urn[GUARD["urn"]]
    assert guard["outputs"] == {"delete": "destroy", "stdout": "", "stderr": ""}
    assert guard["dependencies"] == [CLAIM["urn"]], "so that it is deleted, and its check passed, first"
    assert state.is_guard(GUARD)
    assert not state.is_guard(CANARY)
    assert state.runs_nothing_when_made(GUARD)
    assert not state.runs_nothing_when_made(CANARY)


def test_pending_operations_are_settled() -> None:
    before = {
        "resources": [in_state(entry) for entry in (STACK_ENTRY, PROVIDER_ENTRY, SPACE)],
        "pending_operations": [{"resource": in_state(NAMESPACE), "type": "creating"}, {"resource": CANARY, "type": "creating"}],
    }
    assert [kind for kind, _ in state.pending(before)] == ["creating", "creating"]
    added = {NAMESPACE["urn"]: state.pending(before)[0][1]}
    after = state.graft(before, added, {})
    check(after)
    assert after["pending_operations"] == []
    assert [entry["urn"] for entry in after["resources"]][-1] == NAMESPACE["urn"]
    assert len(before["resources"]) == 3, "the deployment that was given is unchanged"


def test_a_class_that_was_deleted_to_be_made_anew() -> None:
    old = {**in_state(CLASS), "pendingReplacement": True}
    before = {"resources": [*(in_state(entry) for entry in (STACK_ENTRY, PROVIDER_ENTRY, TIER)), old, in_state(SERVICE)]}
    assert Ref("StorageClass", "", "database-x") not in state.known_objects(before)
    after = state.graft(before, {CLASS["urn"]: CLASS}, {})
    check(after)
    (new,) = (entry for entry in after["resources"] if entry["urn"] == CLASS["urn"])
    assert "pendingReplacement" not in new
    assert after["resources"].index(new) == 3, "in the place of the old one: what depends on it comes later"


def test_a_successor_of_another_name() -> None:
    old = in_state(CLASS)
    before = {"resources": [in_state(entry) for entry in (STACK_ENTRY, PROVIDER_ENTRY, TIER, CLASS)]}
    new = {**CLASS, "inputs": declared("StorageClass", "storage.k8s.io/v1", "database-y")}
    assert state.missing(before, [{"op": "replace", "urn": new["urn"], "newState": new}]) == {new["urn"]: new}
    after = state.graft(before, {CLASS["urn"]: new}, {})
    check(after)
    assert [(entry["id"], entry.get("delete", False)) for entry in after["resources"][-2:]] == [("database-y", False), (old["id"], True)]


@pytest.mark.parametrize(("id_", "ref"), [("data/data-postgres-0", Ref("PersistentVolumeClaim", "data", "data-postgres-0"))])
def test_known_objects(id_: str, ref: Ref) -> None:
    entry = {**in_state(CLAIM), "id": id_}
    assert state.known_objects({"resources": [in_state(STACK_ENTRY), entry]}) == {ref}
    assert str(ref) == "PersistentVolumeClaim data-postgres-0 in namespace data"
    assert state.known_objects({}) == set()


def test_an_entry_is_never_marked_for_deletion_in_favour_of_the_same_object() -> None:
    before = {"resources": [in_state(entry) for entry in (STACK_ENTRY, PROVIDER_ENTRY, SPACE, NAMESPACE)]}
    with pytest.raises(ValueError, match="is in the state already"):
        state.graft(before, {NAMESPACE["urn"]: NAMESPACE}, {})
