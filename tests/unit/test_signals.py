"""What is done in spite of signals, and what a terminal that is closed does."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from components.canary.signals import deferred, raise_on_hangup, undisturbed

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in ASKING}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_closed_terminal_is_a_ctrl_c_once() -> None:
    raise_on_hangup()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)  # from the shell and from the kernel


def test_where_it_is_ignored_it_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    raise_on_hangup()
    os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("number", ASKING)
def test_cleaning_up_is_not_disturbed(number: int) -> None:
    with undisturbed():
        os.kill(os.getpid(), number)


def test_what_has_to_be_done_whole_is_ended_afterwards() -> None:
    raise_on_hangup()
    done = []
    with pytest.raises(KeyboardInterrupt), deferred():
        os.kill(os.getpid(), signal.SIGHUP)
        done.append("whole")
    assert done == ["whole"]
