"""Deleting sets of snapshots with what the driver has of them: only ours, only what is surplus, and
no copy that somebody else names too.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from components.kube import labels
from components.kube.api import Json, KubeApi
from ops.snapshots.sets import SetPart, SnapshotSet, content_path, path
from ops.volumes.stack_volumes import StackVolumes

GONE = 60  # seconds until deleted snapshots are gone
MADE = 10  # seconds in which the controller has made a snapshot's content
FORGOTTEN = 5  # seconds after which the snapshotter is reminded of a deleted content
REMINDED = f"{labels.PROJECT}/reminded"  # when it was


def remove(stack: StackVolumes, parts: Sequence[SetPart]) -> list[str]:
    """Delete snapshots, and what the driver has of them, whatever their class says of that.

    Waits until both are gone, at most a minute. The names of those that are left.
    """
    kube, namespace = stack.api.kube, stack.namespace
    _wait_until_made(kube, parts)
    for part in parts:
        content = kube.find(_content(part))
        if content and _is_of(content, part):
            _let_go(kube, part)
        kube.delete(path(namespace, part.name), uid=part.uid)
    began = reminded = time.monotonic()
    left = list(parts)
    while True:
        left = [part for part in left if not _is_gone(kube, namespace, part)]
        now = time.monotonic()
        if not left or now > began + GONE:
            return [part.name for part in left]
        if now > reminded + FORGOTTEN:
            reminded = now
            for part in left:
                _remind(kube, part)
        time.sleep(0.3)


def _wait_until_made(kube: KubeApi, parts: Sequence[SetPart]) -> None:
    """Wait for what the controller makes for each: nobody deletes a content that comes when its
    snapshot is gone already (external-snapshotter 8.7, snapshot_controller.go, syncContent).
    """
    end = time.monotonic() + MADE
    left = [part for part in parts if not part.content and not part.error]
    while left and time.monotonic() < end:
        left = [part for part in left if kube.find(_content(part)) is None]
        time.sleep(0.3 if left else 0)


def _content(part: SetPart) -> str:
    """Where the driver's side of a snapshot is; before the snapshot says it, by the name that the
    controller gives it (external-snapshotter, utils.GetDynamicSnapshotContentNameForSnapshot).
    """
    return content_path(part.content or f"snapcontent-{part.uid}")


def _is_of(content: Json, part: SetPart) -> bool:
    return bool((content["spec"].get("volumeSnapshotRef") or {}).get("uid") == part.uid)


def _let_go(kube: KubeApi, part: SetPart) -> None:
    """By the class' policy Retain the copy would stay, with nothing that says whose it is."""
    kube.patch(_content(part), {"spec": {"deletionPolicy": "Delete"}})


def _remind(kube: KubeApi, part: SetPart) -> None:
    """Change a deleted content, so that the snapshotter looks at it.

    One that is deleted while the snapshotter takes its own mark of it ("being created") it forgets
    until its resync, 15 minutes later (external-snapshotter 8.7, ShouldEnqueueContentChange).
    """
    content = kube.find(_content(part))
    if content and _is_of(content, part):
        kube.patch(_content(part), {"metadata": {"annotations": {REMINDED: datetime.now(UTC).isoformat()}}})


def shared(stack: StackVolumes, parts: Sequence[SetPart]) -> list[str]:
    """The names of VolumeSnapshotContents of others that name the same copies as these snapshots.

    One is made by hand to restore in another namespace: deleting the copy would delete its data.
    """
    uids = {part.uid for part in parts}
    contents = stack.api.kube.items(content_path())
    ours = [each for each in contents if (each["spec"].get("volumeSnapshotRef") or {}).get("uid") in uids]
    copies = {(each["spec"].get("driver"), handle) for each in ours if (handle := _handle(each))}
    return sorted(
        each["metadata"]["name"] for each in contents if each not in ours and (each["spec"].get("driver"), _handle(each)) in copies
    )


def _handle(content: Json) -> str:
    """The copy's name with the driver, ``""`` as long as it has none."""
    given = (content.get("status") or {}).get("snapshotHandle") or (content["spec"].get("source") or {}).get("snapshotHandle")
    return given or ""


def _is_gone(kube: KubeApi, namespace: str, part: SetPart) -> bool:
    found = kube.find(path(namespace, part.name))
    if found and found["metadata"]["uid"] == part.uid:
        return False
    content = kube.find(_content(part))
    if content is None or not _is_of(content, part):
        return True
    if not content["metadata"].get("deletionTimestamp"):  # it was just being made
        _let_go(kube, part)
        kube.delete(_content(part), uid=content["metadata"]["uid"])
    return False


def surplus(sets: Sequence[SnapshotSet], new: SnapshotSet, keep: int) -> list[SnapshotSet]:
    """The complete sets of a service beyond the `keep` newest ones, the oldest last.

    `new` was just taken, and is the newest. A set that says it is of later, by another machine's
    clock, stays and counts for nothing, and so does one that isn't complete.
    """
    older = [each for each in sets if each.service == new.service and each.complete and each.taken < new.taken]
    return sorted(older, key=lambda each: each.taken, reverse=True)[max(keep, 1) - 1 :]
