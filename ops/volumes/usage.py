"""How much of a volume is used, where that can be read.

It is read from its directory on this machine, by the node, or from the kubelet's statistics.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from components.kube.errors import ApiError
from ops.volumes.api import VolumesApi
from ops.volumes.found import VolumesFolder
from ops.volumes.volume import Volume

_BLOCK = 512  # bytes: the unit of st_blocks, whatever the file system's own (POSIX, sys/stat.h)


def used_bytes(volumes: Iterable[Volume], api: VolumesApi, folder: VolumesFolder | None) -> Mapping[str, int]:
    """The used bytes of those volumes that can be read, by volume name.

    The kubelet knows only mounted volumes, and of a folder on a shared disk it gives what the whole
    disk holds: so it is asked for volumes of CSI drivers alone.
    """
    used: dict[str, int] = {}
    mounted: dict[tuple[str, str], str] = {}
    for volume in volumes:
        here, in_node = directory_here(volume, folder), _in_folder(volume, folder)
        if here or in_node:
            size = _size(here) if here else None
            if size is None and in_node and folder and folder.used:
                size = folder.used(volume.location.path)  # a database's directory is its user's alone
            if size is not None:
                used[volume.name] = size
        elif volume.location.handle and volume.claim and volume.phase == "Bound":
            mounted[volume.claim.namespace, volume.claim.name] = volume.name
    if mounted:
        for claim, number in _kubelet_figures(api):
            if claim in mounted:
                used[mounted[claim]] = number
    return used


def directory_here(volume: Volume, folder: VolumesFolder | None) -> Path | None:
    """The volume's directory on this machine.

    None where it isn't here, or where it can't be told that it is this one.

    Without a dev cluster's `folder` it counts as here when a directory of that path is, with the
    volume's own name in it: that has a UID.
    """
    path = volume.location.path
    if not path:
        return None
    here = folder.on_this_machine(path) if folder else None
    if here is None and volume.name in path:
        here = Path(path)
    with suppress(OSError):
        return here if here and here.is_dir() else None
    return None


def _in_folder(volume: Volume, folder: VolumesFolder | None) -> bool:
    """Whether the volume is a directory of the dev cluster's folder, whether this user may look
    there or not."""
    return bool(folder and volume.location.path and folder.on_this_machine(volume.location.path))


def _size(folder: Path) -> int | None:
    """Bytes of disk that a folder and everything in it takes.

    None where a part of it may not be read.
    """
    total = 0
    unread: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unread.append):
        for name in (*folders, *files):
            try:
                total += (Path(parent) / name).lstat().st_blocks * _BLOCK
            except OSError as problem:  # also a file that has just gone: the volume may be in use
                unread.append(problem)
    return None if any(isinstance(problem, PermissionError) for problem in unread) else total


def _kubelet_figures(api: VolumesApi) -> Iterable[tuple[tuple[str, str], int]]:
    """Per mounted claim (namespace, name) its used bytes, from every node that tells."""
    for node in api.nodes():
        with suppress(ApiError):  # a figure for people: a node that doesn't answer, or a right that is missing, leaves it out
            summary = api.kube.get(f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary")
            for pod in summary.get("pods") or []:
                for volume in pod.get("volume") or []:
                    reference = volume.get("pvcRef")
                    if reference and "usedBytes" in volume:
                        yield (reference["namespace"], reference["name"]), int(volume["usedBytes"])
