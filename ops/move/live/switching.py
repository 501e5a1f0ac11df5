"""The switch of a live move.

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
from ops.move.live import checks
from ops.move.live.bridge import Bridge
from ops.move.live.calling_off import slot_left, way_back
from ops.move.live.run import CLOSING, FOLLOWING, PROMOTED, PROMOTING, LiveMove
from ops.move.live.sql import literal
from ops.move.planning import refuse
from ops.move.pods import sweep

_LAST = 60  # seconds in which the standby gets the last of the WAL, with the source closed, and it is opened
_TURNS = 5  # of closing, while databases are made


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
        if move.state == PROMOTED:  # the source has nothing more to give, and may be gone
            unreached = move.reach()
            move.have_pod()
            move.target.start_standby(move.kept.record().get("settings", {}), lambda: None)
            return _hand_over(move, unreached)
        move.facts = move.source.facts()
        _check_nothing_lacks(move)
        with move.following() as bridge:
            if move.target.is_standby():
                _promote(move, bridge)
            elif move.state != PROMOTING:
                raise move.promoted_by_others()
            move.kept.save(state=PROMOTED)
            return _hand_over(move)


def _check_nothing_lacks(move: LiveMove) -> None:
    """The standby has, or gets, all that the source has. Raises UserError."""
    refuse(list(checks.unlogged(move.source, move.facts)))
    if move.slot in (move.facts["slots"] or {}) and move.slot not in move.facts["lost"]:
        return
    if move.state != PROMOTING:
        raise UserError(
            f"{move.title}: replication slot {move.slot} is gone from the source, or lost: the standby may lack WAL.",
            "Begin anew: --live --cancel, then --live.",
        )
    move.source.drop_slot(move.slot)  # the source has been closed since: what it has written is there
    move.source.make_slot(move.slot)


def _promote(move: LiveMove, bridge: Bridge) -> None:
    asked = move.state == PROMOTING  # by a run before, and it may come at any moment
    began = time.monotonic()
    try:
        move.kept.save(state=PROMOTING if asked else CLOSING)
        _close(move)
        flushed = move.source.flushed()
        _wait_for(move, flushed, bridge)
        move.kept.save(state=PROMOTING, lsn=flushed)
    except BaseException:
        if not asked:
            with undisturbed():
                _open_again(move)
        raise
    with deferred():  # from here on there is one way: forward
        move.target.promote()
        move.kept.save(state=PROMOTED, pauseSeconds=round(time.monotonic() - began, 2))


def _close(move: LiveMove) -> None:
    """Every database of the source, those as well that a session has made or opened meanwhile."""
    found = move.source.databases()
    for _ in range(_TURNS):
        closed = sorted({*move.kept.record().get("databases", []), *found})
        move.kept.save(databases=closed)
        move.tell("closing the source", ", ".join(closed))
        found = move.source.close(found)
        if not found:
            return
    raise Broken(f"databases of the source don't stay closed: {', '.join(found)}", passing=True)


def _wait_for(move: LiveMove, lsn: str, bridge: Bridge) -> None:
    end = time.monotonic() + _LAST
    while move.target.sql(f"SELECT pg_last_wal_replay_lsn() >= {literal(lsn)}") != "t":
        bridge.check()
        if time.monotonic() > end:
            raise Broken(f"the standby hasn't replayed the source's last WAL ({lsn}) in {_LAST} s", passing=True)


def _open_again(move: LiveMove) -> None:
    """What has made the switch fail may pass: it is tried for a while."""
    end = time.monotonic() + _LAST
    while True:
        try:
            move.source.reopen(move.kept.record().get("databases", []))
            move.kept.save(state=FOLLOWING, databases=[])
            return
        except (Broken, ApiError) as problem:
            if time.monotonic() > end:
                raise UserError(
                    f"{move.title}: the source's databases are closed, and couldn't be opened again: {problem}",
                    f"--live --cancel opens them, --live --switch goes on. By hand: {way_back(move)[0]}",
                ) from None
        time.sleep(1)


def _hand_over(move: LiveMove, unreached: str = "") -> dict[str, Any]:
    """Free the target's claim. `unreached`: why the source can't be asked any more."""
    record, target = move.kept.record(), move.target
    move.tell("ending PostgreSQL in the target's pod", "")
    target.make_its_own(record.get("databases", []))
    left = slot_left(move, unreached)
    target.stop()
    target.volume("finish")
    verdict = {
        **move.report(),
        "verdict": PROVEN,
        "pauseSeconds": record.get("pauseSeconds"),
        "lsn": record.get("lsn"),
        "databases": record.get("databases", []),
        "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
        "left": left,
    }
    move.kept.save(state=PROVEN, verdict=verdict)  # before the claim is free: nothing may start there again
    target.remove()
    return verdict
