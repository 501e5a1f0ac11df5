"""The comparison: objects as the stack's state declares them, and as the cluster has them.

No request is made here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from components.kube import labels
from components.kube.ownership import Stamp
from components.kube.quantity import bytes_of
from ops.command_line import option_of
from ops.volumes.volume import give_up

Json: TypeAlias = Mapping[str, Any]

CLAIM = "PersistentVolumeClaim"
# Kubernetes itself puts this one on every namespace.
GIVEN_LABELS = {"kubernetes.io/metadata.name"}
# Kubernetes quantities are at these keys; 1024Mi there is 1Gi.
_QUANTITIES = {"requests", "hard"}
# These mappings are declared as a whole: a key more is a difference too.
_WHOLE = {*_QUANTITIES, "parameters", "data"}

AGAIN = "`pulumi up --refresh` puts it back"
ANEW = "`pulumi up --refresh` makes it anew"


@dataclass(frozen=True)
class Name:
    """Which object: `namespace` is empty for one of the whole cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Declared:
    """An object of the state: `fields` as the program declares them.

    One that is only read (`ours` false) is not the stack's to change.
    """

    name: Name
    api_version: str
    fields: Json
    ours: bool = True


@dataclass(frozen=True)
class Difference:
    """One thing that differs: `what` is a field's path or a fact, `todo` what a person does about
    it.
    """

    object: Name
    what: str
    declared: str
    found: str
    todo: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "object": {"kind": self.object.kind, "namespace": self.object.namespace, "name": self.object.name},
            "what": self.what,
            "declared": self.declared,
            "found": self.found,
            "todo": self.todo,
        }


@dataclass(frozen=True)
class LiveObjects:
    """What the cluster has.

    `objects` are those that the state names, `volumes` all there are, `claims` all in the
    namespaces of the stack's claims.
    """

    objects: Mapping[Name, Json]
    volumes: Mapping[str, Json]
    claims: Mapping[Name, Json]


def differences(declared: Iterable[Declared], cluster: LiveObjects, stack: str) -> list[Difference]:
    """Everything in which the cluster isn't as the state of `stack` says, object by object."""
    declared = list(declared)
    claims = {each.name: each for each in declared if each.name.kind == CLAIM}
    return [
        *(difference for each in declared for difference in _of_object(each, cluster.objects.get(each.name), stack)),
        *(difference for each in claims.values() for difference in _of_volume(each, cluster, stack)),
        *_reservations(claims, cluster),
        *_unknown_claims(claims, cluster, stack),
    ]


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
        for path, wanted, found in _fields(declared.fields, live, ()):
            yield Difference(name, ".".join(path), _shown(wanted), _shown(found), _repair(name, path, wanted, found))
        yield from _foreign_labels(declared, live)


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


def _foreign_labels(declared: Declared, live: Json) -> Iterator[Difference]:
    wanted = declared.fields.get("metadata", {}).get("labels") or {}
    for key, value in (live["metadata"].get("labels") or {}).items():
        if key not in wanted and key not in GIVEN_LABELS:
            where = f" -n {declared.name.namespace}" if declared.name.namespace else ""
            command = f"kubectl{where} label {declared.name.kind.lower()} {declared.name.name} {key}-"
            yield Difference(declared.name, f"metadata.labels.{key}", "(none)", _shown(value), f"a foreign label: `{command}`")


def _repair(name: Name, path: tuple[str, ...], wanted: object, found: object) -> str:
    """What to do about a field that was changed."""
    if name.kind == CLAIM and path == ("spec", "resources", "requests", "storage"):
        if bytes_of(str(found)) > bytes_of(str(wanted)):
            return "a volume can't shrink: set the service's `size` to that, then `pulumi up --refresh`"
        return AGAIN
    if name.kind == "StorageClass" and path[0] != "metadata":
        return f"{AGAIN}: the class is made anew, no claim is touched"
    return AGAIN


def _of_volume(declared: Declared, cluster: LiveObjects, stack: str) -> Iterator[Difference]:
    """What is wrong with the volume that a claim is bound to."""
    live = cluster.objects.get(declared.name)
    volume_name = live["spec"].get("volumeName") if live else None
    volume = cluster.volumes.get(volume_name or "")
    if live is None or volume is None:
        return  # an unbound claim has none, and a claim whose volume is gone is Lost
    name = Name("PersistentVolume", "", volume["metadata"]["name"])
    reference = volume["spec"].get("claimRef") or {}
    if reference.get("uid") != live["metadata"]["uid"]:
        claim = f"claim {declared.name.namespace}/{declared.name.name}"
        todo = f"don't start its pods: see `python -m ops volumes{option_of(stack)}`"
        yield Difference(name, "spec.claimRef", claim, _reference(reference), todo)
        return
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if policy != "Retain":
        patch = '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'
        yield Difference(name, "spec.persistentVolumeReclaimPolicy", "Retain", _shown(policy), f"kubectl patch pv {name.name} -p '{patch}'")
    stamp, found = _stamp(declared), labels.of(volume)
    wrong = {key: found.get(key, "(none)") for key, value in stamp.labels.items() if found.get(key) != value}
    if wrong:
        says = f"{stamp}, tier {stamp.tier}"
        words = "(none)" if not stamp.labels.keys() & found.keys() else ", ".join(f"{key}={value}" for key, value in wrong.items())
        foreign = any(key in found for key in wrong)
        todo = f"`python -m ops volumes{option_of(stack)}` labels it" + ("; find out who labelled it otherwise" if foreign else "")
        yield Difference(name, "metadata.labels: whose data it holds", says, words, todo)


def _stamp(claim: Declared) -> Stamp:
    """By which a volume says whose data it holds, after its claim is gone as well."""
    own, ordinal = claim.fields["metadata"]["labels"], claim.name.name.rpartition("-")[2]
    return Stamp(own[labels.INSTANCE], own[labels.NAME], int(ordinal), own[labels.COMPONENT])


def _reservations(claims: Mapping[Name, Declared], cluster: LiveObjects) -> Iterator[Difference]:
    """Volumes that are reserved for a claim which is not there, or has another volume: an adoption
    that was not finished.
    """
    for volume in cluster.volumes.values():
        reference = volume["spec"].get("claimRef") or {}
        name = Name(CLAIM, reference.get("namespace", ""), reference.get("name", ""))
        if reference.get("uid") or name not in claims:
            continue
        live = cluster.objects.get(name)
        own = Name("PersistentVolume", "", volume["metadata"]["name"])
        if live is None:
            todo = "`pulumi up --refresh` makes the claim, which is then bound to it"
            yield Difference(own, "is reserved for a claim", f"{name.namespace}/{name.name}", "there is no such claim", todo)
        elif live["spec"].get("volumeName") not in (None, "", own.name):
            todo = f"give it up: {give_up(own.name)}"
            yield Difference(
                own, "is reserved for a claim", f"{name.namespace}/{name.name}", f"that has {live['spec']['volumeName']}", todo
            )


def _unknown_claims(claims: Mapping[Name, Declared], cluster: LiveObjects, stack: str) -> Iterator[Difference]:
    """Claims with the stack's labels that the stack doesn't know of."""
    for name, live in cluster.claims.items():
        if name not in claims and labels.stack_of(labels.of(live)) == stack:
            todo = f"whoever made it takes the label off: `kubectl -n {name.namespace} label pvc {name.name} {labels.INSTANCE}-`"
            yield Difference(name, f"metadata.labels.{labels.INSTANCE}", "(none)", stack, todo)


def _reference(reference: Json) -> str:
    if not reference:
        return "(none)"
    return f"claim {reference.get('namespace')}/{reference.get('name')} with uid {reference.get('uid') or '(none)'}"


def _shown(value: object) -> str:
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value)
