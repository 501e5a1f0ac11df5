"""What this tool says while it works: to standard output, unless whoever uses it has named a
reporter of their own.

As with a handler of the module `logging`: a command line calls `report_to` once, and everything
here is shown its way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


class ProgressStep(Protocol):
    """A step under way. `detail` is shown beside its title: set it to say how far it is."""

    detail: str


class Reporter(Protocol):
    """Whoever shows the progress; a module with these two functions is one too."""

    def say(self, text: str) -> None:
        """Show one line."""

    def step(self, title: str, *, estimate: float | None = None) -> AbstractContextManager[ProgressStep]:
        """Show `title` while the block runs, then how long it took. `estimate` is in seconds."""


@dataclass
class _PlainStep:
    detail: str = ""


class PlainLines:
    """The default: a line when a step begins, and one when it ends."""

    def say(self, text: str) -> None:
        """Print the line at once, also into a pipe."""
        print(text, flush=True)

    @contextmanager
    def step(self, title: str, *, estimate: float | None = None) -> Iterator[ProgressStep]:
        """Print the title, with the estimate; then whether the step was done, and its seconds."""
        self.say(f"{title} …" + (f" about {estimate:.0f} s" if estimate else ""))
        current, started, outcome = _PlainStep(), time.monotonic(), "failed"
        try:
            yield current
            outcome = "done"
        finally:
            detail = f", {current.detail}" if current.detail else ""
            self.say(f"{title}: {outcome} ({time.monotonic() - started:.1f} s{detail})")


_reporter: Reporter = PlainLines()


def report_to(reporter: Reporter) -> None:
    """From now on have `reporter` show what this tool says, in the whole process."""
    global _reporter  # noqa: PLW0603 - one terminal, one reporter, as with logging
    _reporter = reporter


def say(text: str) -> None:
    """One plain line."""
    _reporter.say(text)


@contextmanager
def step(title: str, *, estimate: float | None = None) -> Iterator[ProgressStep]:
    """Show `title` while the block runs, then how long it took. `estimate` is in seconds."""
    with _reporter.step(title, estimate=estimate) as shown:
        yield shown
    _to_do.pop(title, None)


_to_do: dict[str, float] = {}  # seconds of the steps that were announced and haven't ended, by their titles


@contextmanager
def announced(estimates: Mapping[str, float]) -> Iterator[None]:
    """While the block runs, the steps of these titles can say what remains of all of them.

    The estimates are in seconds, for each as if it ran alone. They may run beside each other, on
    the same processors: what remains is the sum.
    """
    _to_do.update(estimates)
    try:
        yield
    finally:
        for title in estimates:
            _to_do.pop(title, None)


def remains(title: str, seconds: float) -> str:
    """That `seconds` of the step of this title remain, and with them how much of all that were
    announced: for the end of its `detail`. Empty where it wasn't announced."""
    if title not in _to_do:
        return ""
    _to_do[title] = seconds
    return f", about {duration(sum(_to_do.values()))} left in all"


def duration(seconds: float) -> str:
    """An estimate as people say it: `20 s`, `9 min`."""
    return f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
