"""Starting the standby of a live move, until it has what the source has, and checking it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from components.kube.errors import ApiError
from ops.move.conversation import Broken
from ops.move.live.bridge import Bridge
from ops.move.live.source import Source
from ops.move.live.sql import literal
from ops.move.live.target import Target
from ops.volumes.listing import readable

Told = Callable[[str, str], None]  # a step, and how far it is

_NEAR = 2**20  # bytes of WAL behind the source that count as caught up
_STALLED = 120  # seconds without progress after which a standby doesn't catch up
_POLL = 0.2
_STARTING = "starting the standby"
_SHOWN = 5.0  # seconds between two looks how far it is meanwhile


def distance(name: str, other: str, size: int) -> int:
    """Bytes of WAL from one segment's file to another's. `size` is that of a segment, in bytes."""
    there, here = (int(each[8:16], 16) * (2**32 // size) + int(each[16:24], 16) for each in (other, name))
    return (there - here) * size


class _Replay:
    """What a standby replays before it answers, told every few seconds."""

    def __init__(self, source: Source, target: Target, bridge: Bridge, tell: Told) -> None:
        self._source, self._target, self._bridge, self._tell = source, target, bridge, tell
        self._next = time.monotonic() + _SHOWN

    def check(self) -> None:
        """Raises what the way between both has failed of."""
        self._bridge.check()
        if time.monotonic() >= self._next:
            with suppress(Broken, ApiError):  # how far it is isn't worth a failure
                self._look()
            self._next = time.monotonic() + _SHOWN

    def _look(self) -> None:
        replayed = self._target.replayed()
        if replayed:
            written, size = self._source.wal_file()
            self._tell(_STARTING, f"replays WAL, {readable(max(distance(replayed, written, size), 0))} behind")


def catch_up(source: Source, target: Target, settings: dict[str, str], bridge: Bridge, tell: Told) -> None:
    """Start the standby, and wait until it has caught up. One that was promoted never does.

    Raises Broken and ApiError.
    """
    tell(_STARTING, "")
    target.start_standby(settings, _Replay(source, target, bridge, tell).check)
    if not target.is_standby():
        return
    least, since = None, time.monotonic()
    while True:
        bridge.check()
        # The source first: what it writes while the standby is asked doesn't count.
        lsn = source.sql("SELECT pg_current_wal_flush_lsn()")
        behind = int(target.sql(f"SELECT pg_wal_lsn_diff({literal(lsn)}, coalesce(pg_last_wal_replay_lsn(), '0/0'))"))
        streams = target.sql("SELECT count(*) FROM pg_stat_wal_receiver WHERE status = 'streaming'") == "1"
        tell("catching up", f"{readable(max(behind, 0))} behind")
        if streams and behind < _NEAR:
            return
        if least is None or behind < least:
            least, since = behind, time.monotonic()
        if time.monotonic() - since > _STALLED:
            raise Broken(f"the standby doesn't catch up: {readable(behind)} behind. It says: {target.log()[-500:]}", passing=True)
        time.sleep(_POLL)


def check_indexes(source: Source, target: Target, bridge: Bridge, tell: Told) -> list[str]:
    """By amcheck, in databases that have it, on the standby: it makes the pause no longer.

    The names of these. Raises Broken and ApiError.
    """
    checked = []
    for name in source.databases():
        tell("looking for amcheck", name)
        if target.has_amcheck(name):
            tell("checking tables and indexes (amcheck)", name)
            target.check_indexes(name, bridge.check)
            checked.append(name)
    return checked
