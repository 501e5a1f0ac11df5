"""What would be moved, whether it can be, and what comes after it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
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


Sides = list[tuple[ClaimSide | None, ClaimSide | None]]


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


def problems(sides: Sides, made: Sequence[VolumeMove], *, verify: bool) -> list[str]:
    """Everything that keeps the moves from beginning, before any pod is made. Raises ApiError."""
    found: list[str] = []
    seen: set[tuple[str, str]] = set()
    for (source, target), move in zip(sides, made, strict=True):
        if move.done and not verify:
            continue
        for side, writes in ((source, False), (target, True)):
            if side is None or (verify and not writes):
                continue
            where = side.api.context, side.settings.namespace.name
            if where not in seen:
                seen.add(where)
                missing = lacking(side.api, where[1], "a move")
                if missing:
                    found += missing
                    continue
            found += claims.refusals(side, writes=writes, move=move.id)
            try:
                try_out(side.api, side.settings, move.id, "target" if writes else "source", side.name, writes=writes)
            except UserError as problem:
                if str(problem) not in found:
                    found.append(str(problem))
    return found


def refuse(problems: Sequence[str]) -> None:
    """Raise UserError with all that keeps moves from beginning, where there is anything."""
    if problems:
        raise UserError("\n".join(["nothing was moved:", *(f"  {each}" for each in problems)]))


def planned(move: VolumeMove) -> dict[str, Any]:
    """What a move would do: bytes, free bytes, time. Raises as VolumeMove.sizes does.

    Of a move that is proven already nothing would be: `done` has when it was proven.
    A target claim without a volume gets none: its size is what it asks for.
    """
    target = move.target
    bound = not isinstance(target, ClaimEnd) or target.side.is_bound
    used, room = move.sizes(look_at_target=bound)
    rate = sizes.rate_between(move.source.described, move.target.described)
    if room is None:
        assert isinstance(target, ClaimEnd), "a folder is looked at"
        room = {"freeBytes": target.side.size, "usedBytes": 0, "inodes": 0, "empty": True, "move": ""}
    done = move.done
    refusal = None if done else move.refusal(used, room)
    return {
        "move": move.id,
        "volume": move.title,
        "source": move.source.described,
        "target": move.target.described,
        "usedBytes": used["usedBytes"],
        "files": used["files"],
        "freeBytes": room["freeBytes"],
        "seconds": round(sizes.seconds_for(used["usedBytes"], rate or sizes.ASSUMED), 1),
        "measured": rate is not None,
        **({"done": done["provenAt"]} if done else {}),
        **({"caveat": move.source.caveat} if move.source.caveat else {}),
        "problem": f"{refusal.message} {refusal.hint}" if refusal else "",
    }


def next_steps(sides: Sides, source: str | None, target: str | None, *, verified: bool) -> Iterator[str]:
    """What a person does next, with the commands."""
    if verified:
        yield "Everything is as it was moved."
        return
    yield "Both sides are whole: the source is as it was."
    if target is None:
        yield "Later, from the folder to a stack: `python -m ops move --from-folder DIR --to STACK`"
        return
    services: dict[str, ClaimSide] = {side.service: side for _, side in sides if side}
    yield f"Next, start what uses the volumes, on stack {target} (docs/consumers.md). Where it is a StatefulSet that has 0 replicas:"
    for name, side in services.items():
        replicas = side.settings.services[name].replicas
        where = f"--context {side.api.context} -n {side.settings.namespace.name}"
        yield f"  kubectl {where} scale statefulset {name} --replicas={replicas}"
    if source is None:
        return
    yield from letting_go(source)


def letting_go(source: str) -> Iterator[str]:
    """How the old stack goes, once everything is on the new one."""
    yield f"Later, when nobody wants stack {source} back (its volumes are retained until they are pruned):"
    yield f"  pulumi destroy --stack {source}"
    yield f"  python -m ops volumes prune --stack {source}"
