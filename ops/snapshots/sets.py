"""A set of snapshots: one of each volume of a service, taken side by side.

A VolumeSnapshot is one of ours by the labels that every object of a stack has, by who manages it,
and by the set that it names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from components.kube import labels
from components.kube.api import KubeApi
from components.kube.ownership import Stamp
from components.kube.quantity import bytes_of
from components.provisioners import SNAPSHOT_API
from ops.errors import UserError
from ops.volumes.volume import Volume
from ops.volumes.wanted import Wanted

Json = Mapping[str, Any]

MANAGER = "storage-tiers-snapshots"
SET = "storage-tiers/snapshot-set"  # a label: when the set was taken, as in its name
COUNT = "storage-tiers/snapshot-volumes"  # how many snapshots make the set whole
RUN = "storage-tiers/run"  # which run made it: no other one takes it away again
TERMS = "storage-tiers/node-terms"  # from which nodes the volume could be reached
CLASS = "storage-tiers/attributes-class"  # the VolumeAttributesClass that it had

_CONTENTS = f"/apis/{SNAPSHOT_API}/volumesnapshotcontents"
_STAMP = "%Y%m%d-%H%M%S"
_SET = re.compile(r"(?P<service>.+)-(?P<moment>[0-9]{8}-[0-9]{6})")


def path(namespace: str, name: str = "") -> str:
    """Where the VolumeSnapshots of a namespace are in the API; with a name, where that one is."""
    return f"/apis/{SNAPSHOT_API}/namespaces/{namespace}/volumesnapshots" + (f"/{name}" if name else "")


def content_path(name: str = "") -> str:
    """Where VolumeSnapshotContents are, what the driver has of snapshots; with a name, that one."""
    return _CONTENTS + (f"/{name}" if name else "")


@dataclass(frozen=True)
class SetPart:
    """One VolumeSnapshot of a set.

    `size` is the least that a volume from it must have, in bytes, None until the driver says it.
    `cut`: the driver has taken it, so later writes are not in it; `ready`: it can be restored.
    """

    name: str
    uid: str
    ordinal: int
    tier: str
    run: str
    content: str = ""
    cut: bool = False
    ready: bool = False
    size: int | None = None
    error: str = ""
    going: bool = False
    node_terms: Sequence[Json] = ()
    attributes_class: str = ""


@dataclass(frozen=True)
class SnapshotSet:
    """The snapshots of one service of one moment.

    `count` is how many belong to it; `parts` those that are there.
    """

    service: str
    taken: datetime
    count: int
    parts: Sequence[SetPart]

    @property
    def name(self) -> str:
        """What a person calls it: `kafka-20261127-103644`."""
        return set_name(self.service, self.taken)

    @property
    def moment(self) -> str:
        """When it was taken, as it is in its name and its label."""
        return f"{self.taken:{_STAMP}}"

    @property
    def complete(self) -> bool:
        """Whether every volume of the service can be restored from it."""
        good = {part.ordinal for part in self.parts if part.ready and not part.going}
        return len(good) == self.count == len(self.parts)

    @property
    def whole(self) -> bool:
        """Whether the driver has taken all of it; it may still have to be copied."""
        cut = {part.ordinal for part in self.parts if part.cut and not part.going}
        return len(cut) == self.count == len(self.parts)

    @property
    def size(self) -> int:
        """What its volumes need at least together, in bytes, as far as it is known."""
        return sum(part.size or 0 for part in self.parts)

    @property
    def lacks(self) -> str:
        """Why it isn't complete, as the rest of a sentence; ``""`` where it is."""
        if self.complete:
            return ""
        waiting = [part.name for part in self.parts if not part.ready]
        going = [part.name for part in self.parts if part.going]
        failed = [f"{part.name}: {part.error}" for part in self.parts if part.error and not part.ready]
        if len(self.parts) != self.count:
            return f"has {len(self.parts)} of {self.count} snapshots"
        if going:
            return f"is being deleted ({', '.join(going)})"
        if failed:
            return f"has failed ({'; '.join(failed)})"
        missing = [part.name for part in self.parts if not part.cut]
        return f"is not taken yet ({', '.join(missing)})" if missing else f"is taken, and still being copied ({', '.join(waiting)})"


def set_name(service: str, taken: datetime) -> str:
    """A set's name, by which `adopt --from-snapshot` finds it."""
    return f"{service}-{taken:{_STAMP}}"


def manifest(wanted: Wanted, volume: Volume, taken: datetime, count: int, run: str) -> dict[str, Any]:
    """The VolumeSnapshot of the volume that a claim is bound to."""
    notes = {COUNT: str(count), RUN: run, TERMS: json.dumps(list(volume.node_terms))}
    return {
        "apiVersion": SNAPSHOT_API,
        "kind": "VolumeSnapshot",
        "metadata": {
            "name": f"{set_name(wanted.service, taken)}-{wanted.ordinal}",
            "namespace": wanted.namespace,
            "labels": {**wanted.stamp.labels, labels.MANAGED_BY: MANAGER, SET: f"{taken:{_STAMP}}"},
            "annotations": {**notes, **({CLASS: volume.attributes_class} if volume.attributes_class else {})},
        },
        "spec": {"volumeSnapshotClassName": wanted.storage_class, "source": {"persistentVolumeClaimName": wanted.name}},
    }


def selector(stack: str, service: str = "", taken: datetime | None = None) -> str:
    """The label selector for a stack's snapshots; for one service's, or one set's, where given."""
    more = {labels.NAME: service, SET: f"{taken:{_STAMP}}" if taken else ""}
    chosen = [f"{key}={value}" for key, value in more.items() if value]
    return ",".join([labels.selector_of_stack(stack), f"{labels.MANAGED_BY}={MANAGER}", *chosen])


def find_sets(api: KubeApi, namespace: str, stack: str, service: str = "") -> list[SnapshotSet]:
    """The stack's sets, the newest first. Raises ApiError: 404 where the cluster knows no
    snapshots."""
    return read_sets(api.items(f"{path(namespace)}?labelSelector={selector(stack, service)}"), stack)


def read_sets(found: Iterable[Json], stack: str) -> list[SnapshotSet]:
    """The sets that VolumeSnapshots, as the API's JSON has them, make up; the newest first."""
    sets: dict[tuple[str, datetime], list[tuple[int, SetPart]]] = {}
    for each in found:
        marks, stamp = labels.of(each), Stamp.of(labels.of(each))
        taken = _moment(marks.get(SET, ""))
        if marks.get(labels.MANAGED_BY) == MANAGER and stamp and stamp.stack == stack and taken:
            notes = each["metadata"].get("annotations") or {}
            count = notes.get(COUNT, "")
            sets.setdefault((stamp.service, taken), []).append((int(count) if count.isdecimal() else 0, _part(each, stamp, notes)))
    made = [
        SnapshotSet(service, taken, max(count for count, _ in parts), sorted((part for _, part in parts), key=lambda part: part.ordinal))
        for (service, taken), parts in sets.items()
    ]
    return sorted(made, key=lambda each: (each.taken, each.service), reverse=True)


def set_called(sets: Sequence[SnapshotSet], name: str, stack: str) -> SnapshotSet:
    """The set of this name. Raises UserError where there is none."""
    found = next((each for each in sets if each.name == name), None)
    if found:
        return found
    match = _SET.fullmatch(name)
    near = [each.name for each in sets if match and each.service == match["service"]] or [each.name for each in sets]
    there = f"There are: {', '.join(near[:5])}." if near else "There is none at all."
    raise UserError(f"stack {stack} has no set of snapshots {name}.", f"{there} `python -m ops snapshot list --stack {stack}` lists them.")


def _part(found: Json, stamp: Stamp, notes: Mapping[str, str]) -> SetPart:
    metadata, status = found["metadata"], found.get("status") or {}
    size = status.get("restoreSize")
    return SetPart(
        name=metadata["name"],
        uid=metadata["uid"],
        ordinal=stamp.ordinal,
        tier=stamp.tier,
        run=notes.get(RUN, ""),
        content=status.get("boundVolumeSnapshotContentName") or "",
        cut=bool(status.get("creationTime")),
        ready=bool(status.get("readyToUse")),
        size=bytes_of(size) if size else None,
        error=(status.get("error") or {}).get("message") or "",
        going=bool(metadata.get("deletionTimestamp")),
        node_terms=_terms(notes.get(TERMS, "")),
        attributes_class=notes.get(CLASS, ""),
    )


def _terms(text: str) -> Sequence[Json]:
    """The nodeSelectorTerms of an annotation; none where somebody has damaged it."""
    try:
        found = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(each for each in found if isinstance(each, dict)) if isinstance(found, list) else ()


def _moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None
