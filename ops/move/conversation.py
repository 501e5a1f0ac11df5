"""What the programs beside the data say, and the way of the bytes between two of them.

One thread joins both: stdout of each goes to stdin of the other, unlooked at. What they say for
this machine comes as JSON lines on stderr. Of a program only these lines are a sign of life: the
stream of a container that is gone may stay open, and the API server answers pings for it.
"""

from __future__ import annotations

import json
import select
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.canary.signals import Interrupted
from ops.move.process import Process

SILENCE = 30.0  # seconds without a sign of life after which a program counts as dead
# Seconds in which neither program has done anything: a disk that isn't gone answers sooner. Linux
# gives a SCSI command up after 30 s and 5 repeats.
STALLED = 300.0
_NOTHING = 2  # milliseconds of work that are none: two clocks aren't read at once
LAST_WORDS = 10.0  # seconds for the other one to say why, once one has ended badly
_FULL = 2**22  # bytes that wait for one before no more is read from the other
_LOOK = 0.25  # seconds between two looks at the clock
_LONGEST = 2**20  # bytes of a line that is kept
_NAMED = 10  # of many failures; all of them are in `failures`, and in --json

Event = dict[str, Any]


class Broken(Exception):
    """A program has failed, or the way to it. The text says which, and why.

    `passing`: it may go on when it is run again.
    """

    def __init__(self, text: str, failures: Sequence[Event] = (), *, passing: bool = False) -> None:
        super().__init__(text)
        self.failures = list(failures)
        self.passing = passing


class Stalled(Broken):
    """Both programs are there, and neither does anything: a storage doesn't answer."""

    def __init__(self, text: str, failures: Sequence[Event] = ()) -> None:
        super().__init__(text, failures, passing=True)


@dataclass
class _Party:
    process: Process
    heard: float
    moved: float = field(default_factory=time.monotonic)
    work: int = 0
    asks: str = ""
    peer: _Party | None = None
    output: bytearray = field(default_factory=bytearray)
    rest: bytes = b""
    done: Event | None = None
    failures: list[Event] = field(default_factory=list)
    other_lines: list[str] = field(default_factory=list)

    @property
    def held(self) -> bool:
        """Whether it isn't read, because the other one takes no more."""
        return self.peer is not None and not self.peer.process.ended and self.peer.process.backlog > _FULL


def alone(
    process: Process, hear: Callable[[Event], None], stop: threading.Event, *, silence: float = SILENCE, stalled: float = STALLED
) -> bytes:
    """Listen to one program until it has ended well; its stdout is returned.

    Raises Broken, and Stalled where it stands still.
    """
    party = _Party(process, time.monotonic())
    _converse([party], lambda _, event: hear(event), stop, (silence, stalled))
    return bytes(party.output)


def together(
    processes: Sequence[Process],
    hear: Callable[[Process, Event], None],
    stop: threading.Event,
    *,
    silence: float = SILENCE,
    stalled: float = STALLED,
) -> None:
    """Listen to programs side by side, until all have ended well. Raises as `alone` does."""
    now = time.monotonic()
    _converse([_Party(each, now) for each in processes], hear, stop, (silence, stalled))


def joined(
    sender: Process,
    receiver: Process,
    hear: Callable[[Process, Event], None],
    stop: threading.Event,
    *,
    silence: float = SILENCE,
    stalled: float = STALLED,
) -> tuple[Event, Event]:
    """Join two programs until both have ended well; their last words are returned.

    Raises Broken, and Stalled where both stand still.
    """
    now = time.monotonic()
    one, other = _Party(sender, now), _Party(receiver, now)
    one.peer, other.peer = other, one
    _converse([one, other], hear, stop, (silence, stalled))
    assert one.done is not None and other.done is not None, "they have ended well"
    return one.done, other.done


def _converse(parties: list[_Party], hear: Callable[[Process, Event], None], stop: threading.Event, bounds: tuple[float, float]) -> None:
    silence, stalled = bounds
    try:
        deadline = None
        while not all(party.process.ended for party in parties) and (deadline is None or time.monotonic() < deadline):
            if stop.is_set():
                raise Interrupted
            _wait(parties)
            for party in parties:
                _turn(party, hear, parties, silence)
            if time.monotonic() - max(party.moved for party in parties) > stalled:
                raise Stalled(_still(parties, stalled), _failures(parties))
            if deadline is None and any(map(_is_bad, parties)):
                deadline = time.monotonic() + LAST_WORDS
                for party in parties:
                    party.process.end_input()  # nothing more comes: that one ends as well, and says why
        bad = [party for party in parties if _is_bad(party)]
    finally:
        for party in parties:
            party.process.close()
    if bad:
        raise _explained(bad, parties)


def _turn(party: _Party, hear: Callable[[Process, Event], None], parties: Sequence[_Party], silence: float) -> None:
    process = party.process
    process.send()
    if process.ended:
        return
    if party.held:
        party.heard = time.monotonic()
        return
    _take(party, hear)
    if not process.ended and time.monotonic() - party.heard > silence:
        raise Broken(f"{process.name} has given no sign of life for {silence:.0f} s", _failures(parties), passing=True)


def _still(parties: Sequence[_Party], seconds: float) -> str:
    """Who waits for which storage."""
    asking = [f"{party.process.name} {party.asks}" for party in parties if party.asks]
    who = "; ".join(asking) or " and ".join(party.process.name for party in parties)
    return f"nothing has gone on for {seconds:.0f} s: {who}{', and its storage does not answer' if asking else ''}"


def _wait(parties: list[_Party]) -> None:
    reads = [number for party in parties if not party.held for number in party.process.reads()]
    writes = [number for party in parties for number in party.process.writes()]
    pending = any(party.process.pending and not party.held for party in parties)
    if reads or writes:
        select.select(reads, writes, [], 0 if pending else _LOOK)
    elif not pending:
        time.sleep(_LOOK)


def _take(party: _Party, hear: Callable[[Process, Event], None]) -> None:
    said = party.process.receive()
    if said.stdout and party.peer:
        party.peer.process.write(said.stdout)
    elif said.stdout:
        party.output += said.stdout
    *lines, party.rest = (party.rest + said.stderr).split(b"\n")
    if party.process.ended and party.rest:
        lines, party.rest = [*lines, party.rest], b""
    for line in lines:
        _hear(party, line, hear)


def _hear(party: _Party, line: bytes, hear: Callable[[Process, Event], None]) -> None:
    try:
        event = json.loads(line)
        kind = event["event"]
    except (ValueError, TypeError, KeyError):
        if line.strip():
            party.other_lines.append(line[:_LONGEST].decode(errors="replace").rstrip())
        return
    party.heard = time.monotonic()
    if kind != "alive":
        party.moved = party.heard
    elif (work := int(event.get("work") or 0)) > party.work + _NOTHING:
        party.moved, party.work = party.heard, work
    party.asks = f"{event['asked']} {event['path']}" if "asked" in event else ""
    if kind == "done":
        party.done = event
    elif kind == "failed":
        party.failures.append(event)
    hear(party.process, event)


def _is_bad(party: _Party) -> bool:
    process = party.process
    return process.ended and (process.status != 0 or party.done is None)


def _failures(parties: Sequence[_Party]) -> list[Event]:
    return [failure for party in parties for failure in party.failures]


def _explained(bad: Sequence[_Party], parties: Sequence[_Party]) -> Broken:
    failures = _failures(parties)
    # What one says about the stream comes of the other one's end.
    telling = [each for each in failures if each.get("kind") != "protocol"]
    first = bad[0]
    lost = [party for party in bad if party.process.status is None or party.process.status < 0 or party.process.status > 128]
    if telling:
        return Broken(_several(telling), telling)
    if lost:
        process, lines = lost[0].process, lost[0].other_lines
        how = process.reason or f"it was killed (exit status {process.status}){f': {lines[-1]}' if lines else ''}"
        return Broken(f"{process.name} is gone: {how}", failures, passing=True)
    if failures:
        return Broken(_several(failures), failures, passing=True)
    said = f": {first.other_lines[-1]}" if first.other_lines else ""
    if first.process.status == 0:  # `done` comes last, so more may be missing
        return Broken(f"{first.process.name} ended with exit status 0, and its last words were lost{said}", passing=True)
    return Broken(f"{first.process.name} ended with exit status {first.process.status}{said}")


def _several(failures: Sequence[Event]) -> str:
    """The first of them in words, and how many there are."""
    more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
    return "; ".join(map(words, failures[:_NAMED])) + more


def words(failure: Event) -> str:
    """A program's `failed` event in words."""
    path = failure.get("path")
    return f"{path}: {failure.get('reason')}" if path else str(failure.get("reason"))
