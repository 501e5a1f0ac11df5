"""What may change on a claim, and what may not.

The program's own check and the review of a pull request both ask these rules.

To Pulumi a claim with another name, class or access mode is another claim. It deletes the old one
and makes a new one, which is empty. Each rule is a function of the old and the new values. Its text
is the same wherever it is shown; who asks adds where and on what.

The fields for which a claim is replaced are those of the plugin (pulumi-kubernetes,
provider/pkg/provider/diff.go). What Kubernetes refuses is in its own validation
(ValidatePersistentVolumeClaimUpdate in kubernetes, pkg/apis/core/validation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import Any, NamedTuple

# Fields of a claim, as paths in its manifest.
NAME = "metadata.name"
NAMESPACE = "metadata.namespace"
STORAGE_CLASS = "spec.storageClassName"
ACCESS_MODES = "spec.accessModes"
SIZE = "spec.resources.requests.storage"

# The fields of which another value means another claim, each as a sentence calls it.
REPLACING: Mapping[str, str] = {
    NAME: "name",
    NAMESPACE: "namespace",
    STORAGE_CLASS: "class",
    ACCESS_MODES: "access mode",
    "spec.selector": "selector",
    "spec.volumeName": "volume",
}
# The fields that Kubernetes refuses to change, and for which nothing is replaced.
FIXED = ("spec.volumeMode", "spec.dataSource", "spec.dataSourceRef")
SMALLER = "a volume can't be made smaller"
FIELDS = (*REPLACING, *FIXED, SIZE)

ClaimValues = Mapping[str, Any]
"""A claim by the paths above, with values as a manifest has them.

A path that isn't in it is one whose value isn't known.
"""


class Effect(Enum):
    """What a change does to a claim."""

    DELETED = auto()
    """It is deleted, and no other takes its place."""
    REPLACED = auto()
    """It is deleted, and an empty one takes its place."""
    REFUSED = auto()
    """Kubernetes refuses the change: the claim stays as it is, and the run fails."""


class ClaimFinding(NamedTuple):
    """A change of a claim that loses its data, or can't be made."""

    effect: Effect
    """What the change does."""
    rule: str
    """Why, as a part of a sentence."""
    field: str = ""
    """The path in the claim's manifest.

    Empty where the claim is gone, or its whole cluster is another.
    """


def compare(old: ClaimValues, new: ClaimValues) -> Iterator[ClaimFinding]:
    """What is found of the fields that are in both, but for the size.

    Those that replace the claim come first.
    """
    for field in REPLACING:
        if _differ(field, old, new):
            yield replacing(field)
    for field in FIXED:
        if _differ(field, old, new):
            yield ClaimFinding(Effect.REFUSED, "Kubernetes refuses to change it", field)


def replacing(field: str) -> ClaimFinding:
    """What is found of another value of one of the fields in REPLACING."""
    return ClaimFinding(Effect.REPLACED, f"a claim can't change its {REPLACING[field]}: it would be made anew, empty", field)


def is_smaller(old: int, new: int, has: int | None) -> bool:
    """Whether another size of a bound claim asks its volume to shrink. All in bytes.

    `has` is what the volume has where that is known: an expansion that failed or goes on may be
    asked for less again, as long as that is more than there is (kubernetes,
    ValidatePersistentVolumeClaimUpdate, from 1.32 on).
    """
    return new < old and (has is None or new <= has)


def compare_sizes(old: int, new: int, grower: str, grows: bool, has: int | None = None) -> Iterator[ClaimFinding]:
    """What is found of another size, in bytes, of a bound claim.

    A volume never shrinks, and grows only where its class lets it.

    `grower` is what makes a volume larger, as a sentence calls it, and `grows` whether it can.
    `has` is what the volume has where that is known.
    """
    if is_smaller(old, new, has):
        yield ClaimFinding(Effect.REFUSED, SMALLER, SIZE)
    if new > old and not grows:
        yield ClaimFinding(Effect.REFUSED, f"{grower} can't make a volume larger", SIZE)


def compare_sizes_unbound(old: int, new: int) -> Iterator[ClaimFinding]:
    """What is found of another size, in bytes, of a claim that was never bound.

    Nothing is in it, and yet its size is fixed.
    """
    if new != old:
        yield ClaimFinding(Effect.REFUSED, "Kubernetes changes the size of a bound claim only", SIZE)


def removed(ordinal: int | None, replicas: int) -> ClaimFinding:
    """What is found of a claim that isn't declared any more.

    `ordinal` is which replica's it was, None for one that isn't named like a service's. Its service
    has `replicas` now, 0 if it is gone.
    """
    if ordinal is None:
        return ClaimFinding(Effect.DELETED, "a claim that isn't declared any more is deleted")
    if not replicas:
        return ClaimFinding(Effect.DELETED, "the claims of a service that is removed or renamed are deleted")
    return ClaimFinding(Effect.DELETED, "the claims above that number are deleted")


def another_cluster(key: str) -> ClaimFinding:
    """What is found of every claim when another `key` tells its cluster, such as an identifier."""
    return ClaimFinding(Effect.REPLACED, f"another {key} is another cluster, on which everything is made anew")


# --- what works instead ---------------------------------------------------------------------------


def keep_or_copy(kept: str, anew: str = "service") -> str:
    """The value that keeps a claim, or how to have another value with its data.

    `anew` is what the data is copied to: a new service, or a new stack.
    """
    return f"{kept}; or a new {anew} and a copy of the data (docs/changes.md)"


def keep_or_part(kept: str) -> str:
    """The value that keeps the cluster, or how to have another one beside it."""
    return f"{kept}; or a stack of its own for another cluster (`pulumi stack init <name>`)"


def keep_or_give_up(kept: str, delete: str, number: int, then: str) -> str:
    """The value that keeps `number` claims, or how to do without them on purpose.

    `delete` is the command that deletes them, and `then` is what comes next.
    """
    them, volumes = ("it", "the volume is") if number == 1 else ("them", "the volumes are")
    return f"{kept}; or, to do without {them}, stop the pods, `{delete}` ({volumes} retained: `python -m ops volumes`), then {then}"


def delete_command(context: str, namespace: str, names: Iterable[str]) -> str:
    """The command that deletes claims; an empty `context` is kubectl's current one."""
    return f"kubectl{f' --context {context}' if context else ''} -n {namespace} delete pvc {' '.join(names)}"


def is_within(path: str, fields: Iterable[str]) -> bool:
    """Whether the path in a manifest is one of the fields, or a part of one."""
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


def _differ(field: str, old: ClaimValues, new: ClaimValues) -> bool:
    return field in old and field in new and old[field] != new[field]
