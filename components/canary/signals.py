"""Signals that ask for the end: the program cleans up on its way out, and then isn't disturbed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal asked for the end."""


def raise_on_signals() -> None:
    """From now on SIGINT and SIGTERM raise Interrupted where the program is."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    for number in _SIGNALS:
        signal.signal(number, interrupt)


@contextmanager
def undisturbed() -> Iterator[None]:
    """SIGINT and SIGTERM are ignored meanwhile: what is done here ends by itself."""
    with _handled_by(signal.SIG_IGN):
        yield


@contextmanager
def deferred() -> Iterator[None]:
    """SIGINT and SIGTERM that come meanwhile come at its end: what is done here is done whole."""
    came: list[int] = []
    with _handled_by(lambda number, _: came.append(number)):
        yield
    if came:
        signal.raise_signal(came[0])


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object] | signal.Handlers) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
