"""Deleting volumes that nobody needs any more, with their data: only when asked, only what is
proven to be this stack's.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from components.settings import Settings, split_volume_reference
from ops.console import step
from ops.errors import UserError
from ops.volumes.stack_volumes import StackVolumes
from ops.volumes.usage import directory_here
from ops.volumes.volume import Volume

DELETION = 120  # seconds for the provisioner to delete what it was told to
_AGE = re.compile(r"([0-9]{1,6})(m|h|d|w)")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_ATTEMPTS = 5


def parse_age(text: str) -> timedelta:
    """The time span that `30d`, `12h`, `45m` or `2w` stands for.

    Raises UserError for any other text.
    """
    match = _AGE.fullmatch(text)
    if not match:
        raise UserError(f"--older-than {text}: an age is a whole number and one of m, h, d and w (minutes to weeks).", "Works: 30d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def why_kept(volume: Volume, settings: Settings, others: Iterable[Volume]) -> str:
    """Why a volume may not be pruned by this stack, as the rest of a sentence that begins with its
    name; ``""`` for one that may.

    `others` are all volumes of the cluster: data that another one names as well is not deleted.
    """
    return next(_reasons_to_keep(volume, settings, others), "")


def _reasons_to_keep(volume: Volume, settings: Settings, others: Iterable[Volume]) -> Iterator[str]:
    stack = settings.stack
    if volume.phase == "Bound":
        yield f"is in use: it is bound to {volume.claim}"
    if volume.of_canary:
        yield "is a canary's, which deletes it itself"
    if volume.marked_for not in ("", stack):
        yield f"is labelled for stack {volume.marked_for}: prune it with that stack (`--stack {volume.marked_for}`)"
    if volume.stamp is None:
        yield f"carries no stamp of stack {stack}: nothing proves that its data is this stack's"
    if volume.reserved:
        yield f"is reserved for {volume.claim}"
    if volume.phase not in ("Released", "Failed"):
        yield f"is in phase {volume.phase}; only a Released one is pruned"
    for service, choices in settings.adopt.items():
        for ordinal, choice in choices.items():
            named, _ = split_volume_reference(choice)
            if named == volume.name or volume.location.named(named):
                yield f"is what the setting adopt.{service}.{ordinal} names: remove that setting first"
    for other in others:
        if other.name != volume.name and volume.location.shares(other.location):
            yield f"has its data in {volume.location}, which volume {other.name} names too"


def candidates(volumes: Sequence[Volume], settings: Settings) -> list[Volume]:
    """The volumes that may be pruned, those that are being deleted already left out."""
    real = [volume for volume in volumes if volume.exists]
    found = [volume for volume in real if not volume.deleting and not why_kept(volume, settings, real)]
    return sorted(found, key=lambda volume: (str(volume.stamp), volume.name))


def by_name_alone(volume: Volume, settings: Settings) -> str:
    """Why a volume that may be pruned is not pruned by its age, as the rest of a sentence that
    begins with its name; ``""`` if it is.
    """
    if volume.since is None:  # the API server says it since Kubernetes 1.28; when it was made says nothing about it
        return "doesn't say since when it has been Released"
    if volume.claim is None or volume.claim.namespace != settings.namespace.name:
        return f"was last the volume of {volume.claim or 'no claim'}, and the stack's namespace is {settings.namespace.name}"
    return ""


def chosen(
    volumes: Sequence[Volume], settings: Settings, names: Sequence[str], older_than: timedelta | None, now: datetime
) -> list[Volume]:
    """What a prune of `names`, or of all that have been Released for longer than `older_than`,
    would delete.

    Raises UserError when one of the names can't be pruned: then none of them is.
    """
    may = {volume.name: volume for volume in candidates(volumes, settings)}
    if older_than is not None:
        return [
            volume for volume in may.values() if volume.since and now - volume.since > older_than and not by_name_alone(volume, settings)
        ]
    known = {volume.name: volume for volume in volumes if volume.exists}
    reasons = []
    for name in dict.fromkeys(names):
        if name not in known:
            reasons.append(f"  {name}: there is no such volume")
        elif name not in may:
            reason = "is being deleted already" if known[name].deleting else why_kept(known[name], settings, known.values())
            reasons.append(f"  {name} {reason}")
    if reasons:
        raise UserError("\n".join(["these volumes are not pruned, and so none is:", *reasons]))
    return [may[name] for name in dict.fromkeys(names)]


def delete(volumes: StackVolumes, doomed: Sequence[Volume], seconds: float = DELETION) -> list[str]:
    """Delete these volumes and their data, and wait until they are gone.

    What is left, a line each with the reason.

    Each is looked at once more right before, and told to go only as it was then.
    """
    left: list[str] = []
    told: list[Volume] = []
    for volume in doomed:
        reason = _tell(volumes, volume)
        if reason:
            left.append(f"{volume.name} {reason}")
        else:
            told.append(volume)
    with step(f"Volumes: deleting {len(told)}", estimate=10) as progress:
        end = time.monotonic() + seconds
        while True:
            there = {found.name: found for found in map(Volume.of, volumes.api.volumes())}
            waiting = [volume for volume in told if volume.name in there and there[volume.name].uid == volume.uid]
            remains = [volume for volume in told if volume not in waiting and directory_here(volume, volumes.folder)]
            progress.detail = f"{len(told) - len(waiting) - len(remains)} gone"
            if not waiting and not remains:
                return left
            if time.monotonic() > end:
                break
            time.sleep(0.3)
    for volume in waiting:
        said = (
            there[volume.name].message
            or "; ".join(volumes.api.last_events("default", volume.name))
            or "its provisioner has not deleted it yet"
        )
        left.append(f"{volume.name} is still there: {said}")
    return left + [f"{volume.name} is gone, but its directory is not: {volume.location}" for volume in remains]


def _tell(volumes: StackVolumes, volume: Volume) -> str:
    """Set the policy Delete on one volume, as it is now; why not, or ``""``."""
    for _ in range(_ATTEMPTS):
        there = list(map(Volume.of, volumes.api.volumes()))
        now = next((found for found in there if found.name == volume.name and found.uid == volume.uid), None)
        if now is None:
            return ""
        reason = why_kept(now, volumes.settings, there)
        if reason:
            return reason
        body = {"metadata": {"resourceVersion": now.version}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}}
        if volumes.api.change_volume(now.name, body):
            return ""
    return "changes all the time: somebody else is working on it"
