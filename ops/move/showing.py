"""How far moves are: a bar each on a terminal, a line each every few seconds elsewhere, or JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from ops.console import console, duration, errors, say
from ops.move.progress import FAILED
from ops.move.progress import Progress as HowFar
from ops.move.run import VolumeMove
from ops.volumes.listing import readable

EVERY = 5.0  # seconds between two lines


@contextmanager
def shown(moves: Sequence[VolumeMove], *, as_json: bool) -> Iterator[Callable[[], None]]:
    """What is to be called a few times a second while the moves go on."""
    if as_json or not console.is_terminal:
        yield _Lines(moves, as_json=as_json)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}
        phases: dict[str, str] = {}

        def look() -> None:
            for move in moves:
                now = move.progress
                if now.phase == "waiting":
                    continue
                text = f"{move.title}: {now.phase}"
                if phases.get(move.id) != now.phase:
                    if move.id in tasks:
                        bars.remove_task(tasks[move.id])
                    tasks[move.id] = bars.add_task(text, total=now.of_bytes or None)
                    phases[move.id] = now.phase
                total = 0 if now.phase == FAILED else now.of_bytes or None  # without one the bar is as if it were at work
                bars.update(tasks[move.id], completed=now.bytes, total=total)

        yield look


class _Lines:
    """A line when a phase begins, and every few seconds of it."""

    def __init__(self, moves: Sequence[VolumeMove], *, as_json: bool) -> None:
        self._moves = moves
        self._as_json = as_json
        self._said: dict[str, tuple[str, float]] = {}

    def __call__(self) -> None:
        for move in self._moves:
            now = move.progress
            phase, when = self._said.get(move.id, ("waiting", 0.0))
            if now.phase != phase or (now.bytes and time.monotonic() - when > EVERY):
                self._said[move.id] = now.phase, time.monotonic()
                if self._as_json:
                    as_json_line(_event(move))
                else:
                    say(f"  {move.title}: {now.phase}{_amount(now)}")


def _event(move: VolumeMove) -> dict[str, object]:
    now = move.progress
    amounts = {"bytes": now.bytes, "ofBytes": now.of_bytes, "files": now.files, "ofFiles": now.of_files}
    return {"event": "progress", "move": move.id, "volume": move.title, "phase": now.phase, **amounts}


def _amount(now: HowFar) -> str:
    if not now.of_bytes:
        return ""
    seconds = time.monotonic() - now.since
    rate = now.bytes / max(seconds, 0.001)
    left = f", about {duration((now.of_bytes - now.bytes) / rate)} left" if now.bytes and seconds > 1 and now.bytes < now.of_bytes else ""
    at = f", {rate / 1e6:.0f} MB/s" if now.bytes and seconds > 1 else ""
    return f", {readable(now.bytes)} of {readable(now.of_bytes)}{at}{left}"


def as_json_line(event: Mapping[str, object]) -> None:
    """Print an event as a line of JSON to standard error."""
    errors.file.write(json.dumps(event) + "\n")
    errors.file.flush()


def as_json(found: object) -> None:
    """Print JSON."""
    click.echo(json.dumps(found, indent=2))
