"""Whether what is on the source fits onto the target, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ops.move.records import readable_records
from ops.volumes.listing import readable

# A file system's own need besides what the source's blocks say: one of another kind has other
# blocks, folders and journals. In parts of what is used, and at least so many bytes.
_SPARE, _LEAST_SPARE = 50, 16 * 2**20
ASSUMED = 50.0  # MB (10^6 bytes) a second, before any move has been measured
_PASSES = 2  # it is copied, then read back
_STARTING = 10.0  # seconds in which pods are made and go: of six to fourteen (docs/benchmarks.md)


def too_small(used: Mapping[str, Any], room: Mapping[str, Any]) -> str:
    """Why the target can't hold what the source has, as the end of a sentence; empty if it can.

    What a part of the same move holds already counts as room.
    """
    wanted = with_spare(used["usedBytes"])
    there = room["freeBytes"] + (room["usedBytes"] if room.get("move") else 0)
    if wanted > there:
        return (
            f"is too small: the source uses {readable(used['usedBytes'])}, which takes {readable(wanted)}, and {readable(there)} are free"
        )
    inodes = room.get("freeInodes") or 0
    if inodes and used["inodes"] > inodes + (room["inodes"] if room.get("move") else 0):
        return f"has too few inodes: the source has {used['inodes']} entries, and {inodes} inodes are free"
    return ""


def with_spare(size: int) -> int:
    """The bytes that a file system takes for so many of another one's."""
    return size + max(_LEAST_SPARE, size // _SPARE)


def left_out(used: Mapping[str, Any]) -> str:
    """That there is something in the source's `lost+found`: a sentence. Else empty."""
    count = used.get("leftOut") or 0
    if not count:
        return ""
    what = "1 entry, which isn't" if count == 1 else f"{count} entries, which aren't"
    return f"lost+found of the source has {what} moved: what a check of the file system has found stays there."


def occupied(room: Mapping[str, Any], move: str) -> str:
    """That a target holds something which isn't of this move: a sentence's end. Else empty."""
    if room["empty"] or room["move"] == move:
        return ""
    return f"holds a part of another move ({room['move']})" if room["move"] else f"isn't empty: it has {room['inodes']} entries"


def partial(used: Mapping[str, Any]) -> str:
    """That a source is the unfinished target of another move: a sentence's end. Else empty."""
    return f"holds only a part of what another move ({used['move']}) is to bring there" if used.get("move") else ""


def rate_between(source: Mapping[str, Any], target: Mapping[str, Any]) -> float | None:
    """The MB a second of the last move between the same two classes of the same two clusters."""
    newest: tuple[str, float] | None = None
    for record in readable_records():
        with suppress(ValueError, KeyError, TypeError):
            verdict = record["verdict"]
            same = all(verdict[end].get(name) == mine.get(name) for end, mine in (("source", source), ("target", target)) for name in _WAY)
            if same and verdict["bytes"] and (newest is None or newest[0] < verdict["provenAt"]):
                newest = verdict["provenAt"], float(verdict["MBps"])
    return newest[1] if newest else None


_WAY = ("context", "storageClass")


def seconds_for(number_of_bytes: int, rate: float) -> float:
    """How long so many bytes take: pods are made, they are copied, and read back."""
    return _STARTING + _PASSES * number_of_bytes / (max(rate, 0.1) * 1e6)
