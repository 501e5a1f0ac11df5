"""What keeps a live move from beginning, a sentence each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.errors import UserError
from ops.move import pods
from ops.move.claims import ClaimSide, refusals
from ops.move.live.source import Source
from ops.volumes.listing import readable

SOURCE_RIGHTS = (
    *((verb, "pods", "") for verb in ("get", "list")),
    *((verb, f"pods/{sub}", "") for verb in ("create", "get") for sub in ("exec", "portforward")),
)
_SENDERS = 2  # the base backup's own, and that of its WAL
_MACHINES = ("x86_64", "aarch64")  # as Linux and PostgreSQL's version() name them
_SPARE = 1.1  # the WAL that comes while it is copied needs room as well


def lacking(side: ClaimSide, *, writes: bool) -> list[str]:
    """The rights that are missing in the namespace of one end. Raises ApiError."""
    return pods.lacking(side.api, side.settings.namespace.name, "a live move", pods.RIGHTS if writes else SOURCE_RIGHTS)


def of_source(source: Source, facts: dict[str, Any], slot: str) -> Iterator[str]:
    """What PostgreSQL would have to be otherwise."""
    where = f"PostgreSQL in pod {source.pod}"
    if facts["standby"]:
        yield f"{where} is a standby itself: move from its primary"
    if facts["walLevel"] == "minimal":
        yield f"{where} has wal_level = minimal: a live move takes replica or logical (and a restart of it)"
    if facts["senders"] < _SENDERS:
        yield f"{where} has {facts['senders']} free of max_wal_senders, and {_SENDERS} are needed"
    own = slot in (facts["slots"] or {})
    if facts["freeSlots"] < 1 and not own:
        yield f"{where} has no free replication slot: max_replication_slots is too small, or drop one that nobody uses"
    if facts["tablespaces"]:
        yield f"{where} has tablespaces of its own ({', '.join(facts['tablespaces'])}), which aren't on the volume's PGDATA"
    yield from unlogged(source, facts)
    if Path(facts["dataDirectory"]) != Path(source.data):
        yield f"{where} has its data in {facts['dataDirectory']}, and not where PGDATA says: {source.data}"
    if not re.search(r"(^|,)\s*(\*|localhost|127\.0\.0\.1|0\.0\.0\.0)\s*(,|$)", facts["listens"]):
        yield f"{where} listens on {facts['listens'] or 'its socket alone'}, not on its loopback: listen_addresses takes localhost as well"


def unlogged(source: Source, facts: dict[str, Any]) -> Iterator[str]:
    """What would be lost, because it isn't in the WAL."""
    if facts["unlogged"]:
        names = ", ".join(facts["unlogged"])
        yield (
            f"PostgreSQL in pod {source.pod} has unlogged tables, in {names}: what is in them isn't in the WAL, and a standby has them "
            "empty. `ALTER TABLE … SET LOGGED` each (pg_class has them with relpersistence = 'u'), or move without --live"
        )


def of_target(side: ClaimSide, facts: dict[str, Any], move: str) -> Iterator[str]:
    """What the target's claim would have to be otherwise. Raises ApiError."""
    yield from refusals(side, writes=True, move=move)
    needed = _needed(facts)
    if side.size < needed:
        yield (
            f"claim {side.name} of stack {side.settings.stack} has {readable(side.size)}, and the source needs {readable(needed)}: "
            "make it larger (`size` in its settings)"
        )


def _needed(facts: dict[str, Any]) -> int:
    """Bytes that the target has to have."""
    return int((facts["bytes"] + facts["walBytes"]) * _SPARE)


def check_volume(found: dict[str, Any], side: ClaimSide, facts: dict[str, Any], move: str) -> None:
    """What only a pod that mounts it can see. Raises UserError."""
    where = f"the volume of claim {side.name} of stack {side.settings.stack}"
    if found["others"] or found["move"] not in ("", move):
        raise UserError(f"{where} isn't empty: {', '.join(found['others']) or 'another move is under way'}.", "A move takes an empty one.")
    if not found["writable"]:
        raise UserError(f"{where} can't be written by PostgreSQL's user: its file system takes no fsGroup.", "Move without --live.")
    other = next((each for each in _MACHINES if each != found["machine"] and each in facts["built"]), "")
    if found["machine"] in _MACHINES and other:
        raise UserError(
            f"the target's node is of architecture {found['machine']}, and the source's PostgreSQL is built for {other}: replication "
            "takes the same on both.",
            "Have nodes of the source's architecture (`canary.pod.nodeSelector`), or move by pg_dump.",
        )
    needed = _needed(facts)
    if not found["begun"] and found["freeBytes"] < needed:
        raise UserError(f"{where} has {readable(found['freeBytes'])} free, and {readable(needed)} are needed.", "Make it larger.")


def begun_elsewhere(title: str, side: ClaimSide, pod: str, slot: str) -> UserError:
    """What is said of a move of which this machine knows nothing, at the target `side`."""
    where = f"kubectl --context {side.api.context} -n {side.settings.namespace.name}"
    return UserError(
        f"{title}: this move was begun on another machine, or its record here is lost: pod {pod} or replication slot {slot} is there.",
        f"Go on where it was begun. If nobody will: `{where} delete pod,configmap {pod} --ignore-not-found`, and on the source "
        f"`SELECT pg_drop_replication_slot('{slot}')`.",
    )


def warnings(facts: dict[str, Any]) -> Iterator[str]:
    """What one has to know before."""
    logical = [name for name, kind in (facts["slots"] or {}).items() if kind == "logical"]
    if logical:
        yield f"Logical replication slots don't come along: {', '.join(logical)}. Whoever reads from them begins anew on the new stack."
    if facts["subscriptions"]:
        yield f"{facts['subscriptions']} subscriptions come along, and need the slots of their publisher: look at them after the switch."
    if facts["prepared"]:
        yield f"{facts['prepared']} prepared transactions (PREPARE TRANSACTION) come along, prepared: end them on the new stack."
    if facts["archives"]:
        yield "What the move itself writes isn't archived: where the new stack archives its WAL, begin there with a new base backup."
    if facts["slotKeep"] == "-1":
        yield "max_slot_wal_keep_size is -1: what the source writes until the switch is kept for the standby, and may fill its volume."
    else:
        yield f"The source keeps up to {facts['slotKeep']} of WAL for the standby (max_slot_wal_keep_size): after more it begins anew."
