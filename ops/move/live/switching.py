"""The switch of a live move, and calling one off.

Nothing is written to the source but that its databases take no connections. Until the promotion has
been asked for, whatever fails opens them again.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from components.canary.signals import deferred, undisturbed
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.conversation import Broken
from ops.move.kept import PROVEN
from ops.move.live.bridge import Bridge
from ops.move.live.run import CLOSING, FOLLOWING, PROMOTED, PROMOTING, LiveMove
from ops.move.live.sql import literal
from ops.move.pods import sweep

_LAST = 60  # seconds in which the standby gets the last of the WAL, with the source closed


def switch(move: LiveMove) -> dict[str, Any]:
    """Close the source, wait for the last of its WAL, promote, and free the claim.

    Raises UserError, Broken and ApiError.
    """
    with move.kept.alone():
        if move.state == PROVEN:
            sweep(move.target_side.api, move.target_side.settings.namespace.name, move.id)  # a cut run's
            return {**move.kept.record()["verdict"], "done": "before"}
        if move.state not in (FOLLOWING, CLOSING, PROMOTING, PROMOTED):
            raise UserError(f"{move.title}: there is no standby that follows.", "Run it with --live first.")
        move.facts = move.source.facts()
        if move.state != PROMOTED and move.slot not in (move.facts["slots"] or {}):
            raise UserError(
                f"{move.title}: replication slot {move.slot} is gone from the source: the standby may lack WAL.",
                "Begin anew: --live --cancel, then --live.",
            )
        with move.following() as bridge:
            if move.target.is_standby():
                _promote(move, bridge)
            elif move.state not in (PROMOTING, PROMOTED):
                raise UserError(
                    f"{move.title}: the target was promoted by somebody else, while the source took transactions.",
                    "Begin anew: --live --cancel, then --live.",
                )
            move.kept.save(state=PROMOTED)
            return _hand_over(move)


def _promote(move: LiveMove, bridge: Bridge) -> None:
    databases = sorted({*move.kept.record().get("databases", []), *move.source.databases()})
    asked = move.state == PROMOTING  # by a run before, and it may come at any moment
    move.kept.save(state=PROMOTING if asked else CLOSING, databases=databases)
    began = time.monotonic()
    try:
        move.tell("closing the source", ", ".join(databases))
        move.source.close(databases)
        flushed = move.source.flushed()
        _wait_for(move, flushed, bridge)
    except BaseException:
        if not asked:
            with undisturbed():
                _open_again(move, databases)
        raise
    with deferred():  # from here on there is one way: forward
        move.kept.save(state=PROMOTING)
        move.target.promote()
        move.kept.save(state=PROMOTED, pauseSeconds=round(time.monotonic() - began, 2), lsn=flushed)


def _wait_for(move: LiveMove, lsn: str, bridge: Bridge) -> None:
    end = time.monotonic() + _LAST
    while move.target.sql(f"SELECT pg_last_wal_replay_lsn() >= {literal(lsn)}") != "t":
        bridge.check()
        if time.monotonic() > end:
            raise Broken(f"the standby hasn't replayed the source's last WAL ({lsn}) in {_LAST} s", passing=True)


def _open_again(move: LiveMove, databases: list[str]) -> None:
    try:
        move.source.reopen(databases)
        move.kept.save(state=FOLLOWING, databases=[])
    except (Broken, ApiError) as problem:
        raise UserError(
            f"{move.title}: the source's databases are closed, and couldn't be opened again: {problem}", "\n".join(way_back(move))
        ) from None


def _hand_over(move: LiveMove) -> dict[str, Any]:
    record, target = move.kept.record(), move.target
    move.tell("ending PostgreSQL in the target's pod", "")
    target.make_its_own(record.get("databases", []))
    move.source.drop_slot(move.slot)
    target.stop()
    target.volume("finish")
    verdict = {
        **move.report(),
        "verdict": PROVEN,
        "pauseSeconds": record.get("pauseSeconds"),
        "lsn": record.get("lsn"),
        "databases": record.get("databases", []),
        "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    move.kept.save(state=PROVEN, verdict=verdict)  # before the claim is free: nothing may start there again
    target.remove()
    return verdict


def way_back(move: LiveMove) -> list[str]:
    """The commands with which the source takes connections again."""
    side, source = move.source_side, move.source
    where = f"kubectl --context {side.api.context} -n {side.settings.namespace.name} exec {source.pod} -c {source.container}"
    return [
        f"{where} -- psql -h 127.0.0.1 -U {source.user} -d template1 -c 'ALTER DATABASE \"{name}\" ALLOW_CONNECTIONS true'"
        for name in move.kept.record().get("databases", [])
    ]


def cancel(move: LiveMove) -> bool:
    """Remove standby, copy and slot; the source takes connections as before.

    False where there was nothing. Raises UserError where the target was promoted, Broken and
    ApiError.
    """
    with move.kept.alone():
        if move.state in ("", PROVEN):
            return False
        if move.state in (PROMOTING, PROMOTED):
            raise UserError(f"{move.title}: the target was promoted already.", "Run it with --live --switch to end it.")
        databases = move.kept.record().get("databases", [])
        if databases:
            move.source.reopen(databases)
        if move.target.runs():
            move.target.stop()
            move.target.volume("clear")
        left = move.remove()
        if left:
            raise UserError(f"{move.title}: it isn't called off yet.", move.to_remove(left))
        move.kept.forget()
        return True
