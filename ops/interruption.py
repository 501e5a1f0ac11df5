"""Ctrl-C while a command line is loaded: half a second in which there is nothing to clean up.

Standard library only.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # as shells have it: 128 and the number of SIGINT
MESSAGE = "Interrupted. Run the same command again to go on."


def hold_back() -> None:
    """Keep Ctrl-C back until `end_at_once`: a Python interpreter that is only just starting would
    answer it with a traceback.
    """
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def end_at_once() -> None:
    """From now on Ctrl-C ends the process with the message and the status; `raise_again` ends that.

    A KeyboardInterrupt would not do: Python before 3.12 makes a RuntimeError of one that comes
    while a class is made, and any Python a message of one in a callback. Where Ctrl-C is ignored
    (nohup, a job in the background), it stays so.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _end)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def raise_again() -> None:
    """From now on Ctrl-C raises KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def ignore() -> None:
    """From now on Ctrl-C does nothing: all is done and said, and the status is known.

    Python gives a signal its default back while it ends, unless it is ignored: Ctrl-C would then
    end the process without a word and with another status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, f"{MESSAGE}\n".encode())  # print() may be what was interrupted
    os._exit(INTERRUPTED)
