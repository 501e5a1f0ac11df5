"""Signals that ask for the end: the program cleans up on its way out, and then isn't disturbed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

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
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
