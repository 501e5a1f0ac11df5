"""A stack's state as Pulumi exports it, and what an interrupted run makes necessary to change in
it. Nothing here talks to anybody.

Why it is edited, not repaired by `pulumi refresh` or `pulumi import` alone, is in
docs/decisions/0006-healing-edits-the-state.md. What is added here has the inputs that the program
declares; `pulumi refresh` then reads the rest from the cluster.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Entry = dict[str, Any]  # a resource, as the state has it

COMMAND = "command:local:Command"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # stands for a value that a preview can't know (sdk/go/common/resource/plugin)
_KUBERNETES = "kubernetes:"
_PROVIDER = "pulumi:providers:"
# What the program decides of a resource; all else of an entry is what happened to it.
_DECLARED = (
    "urn",
    "custom",
    "type",
    "inputs",
    "parent",
    "provider",
    "dependencies",
    "propertyDependencies",
    "protect",
    "customTimeouts",
    "replaceOnChanges",
)


@dataclass(frozen=True, order=True)
class Ref:
    """Which object: `namespace` is empty for one of the cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" + (f" in namespace {self.namespace}" if self.namespace else "")

    @property
    def id(self) -> str:
        """Its id in Pulumi's state."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


def ref_of(inputs: Mapping[str, Any]) -> Ref:
    """Which object a resource's inputs declare."""
    metadata = inputs["metadata"]
    return Ref(inputs["kind"], metadata.get("namespace") or "", metadata["name"])


def is_object(entry: Mapping[str, Any]) -> bool:
    """Whether the resource is an object of the cluster."""
    return bool(entry["type"].startswith(_KUBERNETES) and "kind" in entry.get("inputs", {}))


def runs_nothing_when_made(entry: Mapping[str, Any]) -> bool:
    """Whether the resource is a command that has only something to run when it is deleted, as the
    destroy guard has.
    """
    return bool(entry["type"] == COMMAND and "create" not in entry.get("inputs", {}))


def is_guard(entry: Mapping[str, Any]) -> bool:
    """Whether the resource is the command by which a destroy must pass."""
    return f"storage-tiers:index:DestroyGuard${COMMAND}::" in entry["urn"]


def urns(deployment: Mapping[str, Any]) -> set[str]:
    """What is in the state."""
    return {each["urn"] for each in deployment.get("resources") or []}


def pending(deployment: Mapping[str, Any]) -> list[tuple[str, Entry]]:
    """What the last run had begun and not ended: (`creating`, `deleting`, …; the resource)."""
    return [(each["type"], each["resource"]) for each in deployment.get("pending_operations") or []]


def known_objects(deployment: Mapping[str, Any]) -> set[Ref]:
    """The objects that the state has. One that was deleted to be made anew isn't there any more."""
    entries = [each for each in deployment.get("resources") or [] if is_object(each) and not each.get("pendingReplacement")]
    known = set()
    for entry in entries:
        namespace, _, name = entry.get("id", "").rpartition("/")
        known.add(Ref(entry["inputs"]["kind"], namespace, name) if name else ref_of(entry["inputs"]))
    return known


def missing(deployment: Mapping[str, Any], plan: Iterable[Mapping[str, Any]]) -> dict[str, Entry]:
    """By URN what the program declares and the state doesn't have, in the plan's order: components
    and providers too.

    An object that is to get another name counts as well: its successor may be there already.
    """
    there = {each["urn"]: each for each in deployment.get("resources") or [] if _is_live(each)}
    declared = {step["urn"]: step["newState"] for step in plan if step.get("newState")}
    return {
        urn: entry
        for urn, entry in declared.items()
        if not entry.get("external")
        and (urn not in there or (is_object(entry) and is_object(there[urn]) and ref_of(entry["inputs"]) != ref_of(there[urn]["inputs"])))
    }


def _is_live(entry: Mapping[str, Any]) -> bool:
    """Whether the entry is what its URN stands for, and not what was deleted, or is yet to be, in
    favour of another one.
    """
    return not entry.get("pendingReplacement") and not entry.get("delete")


def graft(deployment: Mapping[str, Any], added: Mapping[str, Entry], support: Mapping[str, Entry]) -> dict[str, Any]:
    """The deployment with the resources `added` (by URN), and without pending operations.

    `support` has the components and the provider that these need and that may be missing as well;
    they come in as far as needed.
    """
    changed = copy.deepcopy(dict(deployment))
    resources: list[Entry] = changed.get("resources") or []
    changed["pending_operations"] = []
    providers = {each["urn"]: each["id"] for each in resources if each["type"].startswith(_PROVIDER) and not each.get("delete")}
    used = {_provider_urn(entry) for entry in added.values() if entry.get("provider")}
    needed = {**{urn: _default_provider(urn) for urn in used}, **support, **added}
    wanted: dict[str, Entry] = {}

    def want(urn: str) -> None:
        there = any(each["urn"] == urn and _is_live(each) for each in resources)
        if not urn or urn in wanted or urn not in needed or (there and urn not in added):
            return
        entry = needed[urn]
        want(entry.get("parent", ""))
        want(_provider_urn(entry))
        wanted[urn] = entry

    for urn in added:
        want(urn)
    for urn, source in wanted.items():
        entry = _entry(source)
        if entry["type"].startswith(_PROVIDER):
            providers[urn] = entry["id"]
        elif entry.get("provider"):
            provider = _provider_urn(entry)
            entry["provider"] = f"{provider}::{providers[provider]}"
        _place(resources, entry)
    for index, entry in enumerate(resources):
        before = {each["urn"] for each in resources[:index]}
        if entry["urn"] in wanted:
            _keep_dependencies(entry, before)
    changed["resources"] = resources
    return changed


def _provider_urn(entry: Mapping[str, Any]) -> str:
    """`<urn>::<id>` without the id."""
    return str(entry.get("provider", "")).rpartition("::")[0]


def _default_provider(urn: str) -> Entry:
    """A provider that the engine makes by itself, and of which no plan has a step: its name has its
    version (`default_1_2_1`).
    """
    version = urn.rpartition("::default_")[2].replace("_", ".")
    return {"urn": urn, "custom": True, "type": urn.split("::")[2], "inputs": {"__internal": {}, "version": version}}


def _entry(source: Mapping[str, Any]) -> Entry:
    """An entry with what the program declares, and an id by which the plugin finds the rest."""
    entry = {key: copy.deepcopy(source[key]) for key in _DECLARED if source.get(key) is not None}
    inputs = entry.setdefault("inputs", {})
    if not entry.get("custom"):
        return entry
    if is_object(entry):
        entry["id"] = ref_of(inputs).id
        entry["outputs"] = {}
    elif entry["type"].startswith(_PROVIDER):
        entry["id"] = str(uuid.uuid4())
        entry["outputs"] = {name: value for name, value in copy.deepcopy(inputs).items() if name != "__internal"}
    else:  # what the command plugin itself would have written
        entry["id"] = entry["urn"].rpartition("::")[2] + secrets.token_hex(4)
        entry["outputs"] = {**copy.deepcopy(inputs), "stdout": "", "stderr": ""}
    return entry


def _place(resources: list[Entry], entry: Entry) -> None:
    """Put the entry where the engine would have it: in place of the one that it replaces, else at
    the end.
    """
    for index, other in enumerate(resources):
        if other["urn"] != entry["urn"] or other.get("delete"):
            continue
        if other.get("id") == entry.get("id") and not other.get("pendingReplacement"):
            raise ValueError(f"{entry['urn']} is in the state already")  # marked for deletion, it would take the object with it
        if other.get("pendingReplacement"):  # deleted already, to be made anew: this is the new one
            resources[index] = entry
        else:  # its successor is there already, and it has yet to go
            other["delete"] = True
            resources.insert(index, entry)
        return
    resources.append(entry)


def _keep_dependencies(entry: Entry, before: set[str]) -> None:
    """Leave out dependencies on what isn't there; the next `up` writes them all again."""
    entry["dependencies"] = [urn for urn in entry.get("dependencies") or [] if urn in before]
    entry["propertyDependencies"] = {
        name: [urn for urn in urns if urn in before] for name, urns in (entry.get("propertyDependencies") or {}).items()
    }
