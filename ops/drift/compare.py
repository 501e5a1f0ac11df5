"""The comparison: objects as the stack's state declares them, and as the cluster has them.

No request is made here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from components.kube import labels
from components.kube.quantity import bytes_of
from ops.command_line import option_of
from ops.drift import repairs, undeclared, volumes
from ops.drift.objects import CLAIM, Declared, Difference, Json, LiveObjects, Name, shown
from ops.drift.repairs import ANEW

__all__ = ["CLAIM", "Declared", "Difference", "Json", "LiveObjects", "Name", "differences", "remarks"]

# Kubernetes quantities are at these keys; 1024Mi there is 1Gi.
_QUANTITIES = {"requests", "hard"}
# These mappings are declared as a whole: a key more is a difference too.
_WHOLE = {*_QUANTITIES, "parameters", "data"}

# What a class has none of isn't in the state, and is declared all the same: storage reads it.
_EMPTY: Mapping[str, Json] = {
    "StorageClass": {"parameters": {}, "mountOptions": [], "allowedTopologies": []},
    "VolumeSnapshotClass": {"parameters": {}},
    "VolumeAttributesClass": {"parameters": {}},
}


def differences(declared: Iterable[Declared], cluster: LiveObjects, stack: str) -> list[Difference]:
    """Everything in which the cluster isn't as the state of `stack` says, object by object."""
    declared = list(declared)
    claims = _claims(declared)
    return [
        *(difference for each in declared for difference in _of_object(each, cluster.objects.get(each.name), stack)),
        *undeclared.read_by_storage(declared, cluster.objects),
        *(difference for each in claims.values() for difference in volumes.of_claim(each, cluster, stack)),
        *volumes.growing(_there(claims, cluster), worked_on=False),
        *volumes.unused_reservations(claims, cluster),
        *_unknown_claims(claims, cluster, stack),
    ]


def remarks(declared: Iterable[Declared], cluster: LiveObjects) -> list[Difference]:
    """What is worth a word and no difference: nobody has to do anything about it."""
    claims = _claims(declared)
    return [*volumes.waiting_for_nodes(claims, cluster), *volumes.growing(_there(claims, cluster), worked_on=True)]


def _claims(declared: Iterable[Declared]) -> dict[Name, Declared]:
    return {each.name: each for each in declared if each.name.kind == CLAIM}


def _there(claims: Iterable[Name], cluster: LiveObjects) -> list[Json]:
    return [cluster.objects[name] for name in claims if name in cluster.objects]


def _of_object(declared: Declared, live: Json | None, stack: str) -> Iterator[Difference]:
    name = declared.name
    if live is None:
        todo = f"its volume is retained: `python -m ops volumes adopt{option_of(stack)}`, then {ANEW}" if name.kind == CLAIM else ANEW
        yield Difference(name, "exists", "yes", "no", todo if declared.ours else f"`kubectl create {name.kind.lower()} {name.name}`")
        return
    if live["metadata"].get("deletionTimestamp"):
        todo = f"it can't be brought back: what uses or is in it has to end first; then {ANEW}"
        yield Difference(name, "is being deleted", "no", f"since {live['metadata']['deletionTimestamp']}", todo)
    if live.get("status", {}).get("phase") == "Lost":
        yield Difference(name, "status.phase", "Bound", "Lost", f"its volume was deleted: see `python -m ops volumes{option_of(stack)}`")
    if declared.ours:
        for path, wanted, found in _fields({**_EMPTY.get(name.kind, {}), **declared.fields}, live, ()):
            added = not wanted and not isinstance(found, bool) and path[0] != "metadata"
            todo = repairs.of_added(name) if added else repairs.of_field(name, path, wanted, found, live)
            yield Difference(name, ".".join(path), shown(wanted), shown(found), todo)


def _fields(wanted: Json, found: Json, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """Each declared field that is otherwise in `found`.

    Nothing, false, and an empty list or mapping are the same to the API.
    """
    for key, value in wanted.items():
        here, there = (*path, key), found.get(key)
        if isinstance(value, Mapping) and value and isinstance(there, Mapping):
            yield from _fields(value, there, here)
        elif not _same(value, there, here):
            yield here, value, there
    if path and path[-1] in _WHOLE:
        yield from (((*path, key), None, value) for key, value in found.items() if key not in wanted)


def _same(wanted: object, found: object, path: tuple[str, ...]) -> bool:
    if wanted == found or (not wanted and not found):
        return True
    if len(path) > 1 and path[-2] in _QUANTITIES and isinstance(wanted, str) and isinstance(found, str):
        return bytes_of(wanted) == bytes_of(found)
    return False


def _unknown_claims(claims: Mapping[Name, Declared], cluster: LiveObjects, stack: str) -> Iterator[Difference]:
    """Claims with the stack's labels that the stack doesn't know of."""
    for name, live in cluster.claims.items():
        if name not in claims and labels.stack_of(labels.of(live)) == stack:
            todo = f"whoever made it takes the label off: `kubectl -n {name.namespace} label pvc {name.name} {labels.INSTANCE}-`"
            yield Difference(name, f"metadata.labels.{labels.INSTANCE}", "(none)", stack, todo)
