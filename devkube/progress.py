"""What this tool says while it works: to standard output, unless whoever uses it has named a
reporter of their own.

As with a handler of the module `logging`: a command line calls `report_to` once, and everything
here is shown its way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
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


def step(title: str, *, estimate: float | None = None) -> AbstractContextManager[ProgressStep]:
    """Show `title` while the block runs, then how long it took. `estimate` is in seconds."""
    return _reporter.step(title, estimate=estimate)
