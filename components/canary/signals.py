"""Signals that ask for the end: the program cleans up on its way out, and then isn't disturbed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_HANGUP = (signal.SIGHUP,) if sys.platform != "win32" else ()  # of a terminal that was closed


class Interrupted(BaseException):
    """A signal asked for the end."""


def raise_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise Interrupted where the program is."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    for number in _SIGNALS:
        signal.signal(number, interrupt)


def raise_on_hangup() -> None:
    """From now on a terminal that is closed is a Ctrl-C, unless it is ignored (nohup).

    Else it would end the program with no way out.
    """
    for number in _HANGUP:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _hung_up)


def _hung_up(number: int, _frame: FrameType | None) -> None:
    """The shell and the kernel may both send it: the second one must not end the way out."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP are ignored meanwhile: what is done here ends by itself."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP that come meanwhile come at its end: this is done whole."""
    came: list[int] = []
    with _handled_by(lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in (*_SIGNALS, *_HANGUP)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
