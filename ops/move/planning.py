"""What would be moved, and whether it can be."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.kube.api import KubeApi
from components.settings import Settings
from ops.errors import UserError
from ops.move import claims, sizes
from ops.move.claims import ClaimSide
from ops.move.ends import ClaimEnd, End, FolderEnd, check_root
from ops.move.pods import lacking, try_out
from ops.move.run import VolumeMove


class StackAndApi(NamedTuple):
    """A stack and the API of its cluster."""

    api: KubeApi
    settings: Settings


Sides = Sequence[tuple[ClaimSide | None, ClaimSide | None]]


def moves(
    source: StackAndApi | None,
    target: StackAndApi | None,
    from_folder: Path | None,
    to_folder: Path | None,
    *,
    service: str | None,
    ordinal: int | None,
    stop: threading.Event,
) -> tuple[list[VolumeMove], Sides]:
    """The moves, and the claims of each. Raises UserError and ApiError."""
    for option, folder in (("--from-folder", from_folder), ("--to-folder", to_folder)):
        if folder:
            check_root(option, folder)
    if from_folder and not from_folder.is_dir():
        raise UserError(f"--from-folder: there is no folder {from_folder}.", "It is the one that --to-folder had.")
    sides: Sides = []
    if source and target:
        sides = list(paired(source, target, claims.wanted(source.settings, service, ordinal, "--from")))
    elif source:
        sides = [(side, None) for side in claims.find(*source, claims.wanted(source.settings, service, ordinal, "--from"))]
    elif target:
        replicas = claims.wanted(target.settings, service, ordinal, "--to")
        sides = [(None, side) for side in claims.find(*target, replicas)]
    made = []
    for one, other in sides:
        side = one or other
        assert side is not None, "one of them is a claim"
        first: End = ClaimEnd(one, stop) if one else FolderEnd(_folder(from_folder, side))
        second: End = ClaimEnd(other, stop) if other else FolderEnd(_folder(to_folder, side))
        made.append(VolumeMove(f"{side.service}-{side.ordinal}", first, second, stop))
    return made, sides


def paired(source: StackAndApi, target: StackAndApi, replicas: Sequence[tuple[str, int]]) -> list[tuple[ClaimSide, ClaimSide]]:
    """The claims of these replicas in both stacks. Raises UserError and ApiError."""
    lacking = [f"{name}-{number}" for name, number in replicas if not _has(target.settings, name, number)]
    if lacking:
        raise UserError(
            f"stack {target.settings.stack} has no volumes for {', '.join(lacking)} of stack {source.settings.stack}.",
            f"Add them to `services` in Pulumi.{target.settings.stack}.yaml, or move one service: --service NAME",
        )
    return claims.pairs(claims.find(*source, replicas), claims.find(*target, replicas))


def _has(settings: Settings, service: str, ordinal: int) -> bool:
    return service in settings.services and ordinal < settings.services[service].replicas


def _folder(base: Path | None, side: ClaimSide) -> Path:
    assert base is not None, "the other end is a folder"
    return base / side.name


def problems(sides: Sides, made: Sequence[VolumeMove], *, verify: bool) -> dict[str, list[str]]:
    """By the IDs of moves, everything that keeps them from beginning, before any pod is made.

    Raises ApiError.
    """
    found: dict[str, list[str]] = {}
    rights: dict[tuple[str, str], list[str]] = {}  # what is lacking, by context and namespace
    for (source, target), move in zip(sides, made, strict=True):
        if move.done and not verify:
            continue
        own = found.setdefault(move.id, [])
        for side, writes in ((source, False), (target, True)):
            if side is None or (verify and not writes):
                continue
            where = side.api.context, side.settings.namespace.name
            if where not in rights:
                rights[where] = lacking(side.api, where[1], "a move")
            own += rights[where] or _in_the_way(side, move.id, writes=writes)
    return {move: each for move, each in found.items() if each}


def _in_the_way(side: ClaimSide, move: str, *, writes: bool) -> list[str]:
    found = list(claims.refusals(side, writes=writes, move=move))
    try:
        try_out(side.api, side.settings, move, "target" if writes else "source", side.name, writes=writes)
    except UserError as problem:
        found.append(str(problem))
    return found


def each_once(found: Mapping[str, Sequence[str]]) -> list[str]:
    """What keeps several moves from beginning is said once."""
    return list(dict.fromkeys(problem for each in found.values() for problem in each))


def refuse(problems: Sequence[str], done: str = "moved") -> None:
    """Raise UserError with all that keeps moves from beginning, where there is anything.

    `done` is what was to be done: moved or verified.
    """
    if problems:
        raise UserError("\n".join([f"nothing was {done}:", *(f"  {each}" for each in problems)]))


def planned(move: VolumeMove) -> dict[str, Any]:
    """What a move would do: bytes, free bytes, time. Raises as VolumeMove.sizes does.

    A target claim without a volume gets none: its size is what it asks for. Of a move that is done
    nothing is looked at: a service may run on its target.
    """
    known = _known(move)
    if verdict := move.done:
        amounts = {"usedBytes": verdict["bytes"], "files": verdict["files"], "freeBytes": None, "seconds": 0.0, "measured": True}
        return {**known, **amounts, "done": "before", "provenAt": verdict["provenAt"], "problem": ""}
    target = move.target
    bound = not isinstance(target, ClaimEnd) or target.side.is_bound
    used, room = move.sizes(look_at_target=bound)
    rate = sizes.rate_between(move.source.described, move.target.described)
    if room is None:
        assert isinstance(target, ClaimEnd), "a folder is looked at"
        room = {"freeBytes": target.side.size, "usedBytes": 0, "inodes": 0, "empty": True, "move": ""}
    refusal = move.refusal(used, room)
    return {
        **known,
        "usedBytes": used["usedBytes"],
        "files": used["files"],
        "freeBytes": room["freeBytes"],
        "seconds": round(sizes.seconds_for(used["usedBytes"], rate or sizes.ASSUMED), 1),
        "measured": rate is not None,
        **move.caveat(used),
        "problem": f"{refusal.message} {refusal.hint}" if refusal else "",
    }


def unplanned(move: VolumeMove) -> dict[str, Any]:
    """A move that can't begin, in the same form: how much there is nobody knows."""
    return {**_known(move), **dict.fromkeys(("usedBytes", "files", "freeBytes", "seconds"), None), "measured": False, "problem": ""}


def _known(move: VolumeMove) -> dict[str, Any]:
    return {"move": move.id, "volume": move.title, "source": move.source.described, "target": move.target.described}
