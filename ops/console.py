"""What a run shows while it works: one line per step, with a running clock on a terminal and plain
lines elsewhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.status import Status

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)
if not console.is_terminal:
    console.width = 120  # a log has no width of its own; the 80 that rich assumes would fold tables

_STILL_AFTER = 30.0  # seconds between signs of life where there is no terminal


def duration(seconds: float) -> str:
    """Seconds as people say them: `0.4 s`, `12 s`, `3 min 20 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"


def say(text: str) -> None:
    """One plain line."""
    console.print(text, markup=False)


class Step:
    """A step under way. `detail` is shown beside its name: set it to say how far it is."""

    def __init__(self, title: str, estimate: float | None) -> None:
        self.title = title
        self.estimate = estimate
        self.detail = ""
        self.started = time.monotonic()

    def line(self) -> str:
        """The step as one line of text."""
        about = f" of about {duration(self.estimate)}" if self.estimate else ""
        detail = f" · {self.detail}" if self.detail else ""
        return f"{self.title} … {duration(time.monotonic() - self.started)}{about}{detail}"


class _Board:
    """The steps under way on a terminal, a line each, over one spinner: threads have theirs at the
    same time, and each may end first.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._steps: list[Step] = []
        self._status: Status | None = None

    def add(self, step: Step) -> None:
        with self._lock:
            self._steps.append(step)
            if self._status is None:
                self._status = console.status("", spinner="dots")
                self._status.start()

    def refresh(self) -> None:
        with self._lock:
            if self._status:
                self._status.update("\n  ".join(escape(each.line()) for each in self._steps))

    def remove(self, step: Step) -> None:
        with self._lock:
            self._steps.remove(step)
            if self._status and not self._steps:
                self._status.stop()
                self._status = None


_board = _Board()


@contextmanager
def step(title: str, *, estimate: float | None = None) -> Iterator[Step]:
    """Show `title` while the block runs, then how long it took; `estimate` is in seconds.

    On a terminal a spinner and a clock; elsewhere a line at the start of a long step, one every
    half minute, one at its end.
    """
    current = Step(title, estimate)
    done = threading.Event()
    terminal = console.is_terminal

    def show() -> None:
        while not done.wait(0.25 if terminal else _STILL_AFTER):
            if terminal:
                _board.refresh()
            else:
                say(f"  {current.line()}")

    if terminal:
        _board.add(current)
    elif estimate and estimate >= _STILL_AFTER:
        say(f"  {title} … about {duration(estimate)}")
    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    mark = "✗"
    try:
        yield current
        mark = "✓"
    finally:
        done.set()
        thread.join()
        if terminal:
            _board.remove(current)
        detail = f" · {current.detail}" if current.detail else ""
        colour = "green" if mark == "✓" else "red"
        text = f"{title} ({duration(time.monotonic() - current.started)}){detail}"
        console.print(f"[{colour}]{mark}[/] {escape(text)}")  # in one piece: another thread may end a step at this moment
