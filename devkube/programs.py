"""Programs that this process starts, in whichever thread, and that never outlive what waits for
them; and work that goes on beside other work."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from devkube.errors import MachineError

T = TypeVar("T")

_under_way: set[subprocess.Popen[str]] = set()
_given_up = threading.Event()


@contextmanager
def ended_with(process: subprocess.Popen[str]) -> Iterator[None]:
    """End `process`, the first of a group of its own, where the block fails or is interrupted, or
    where what goes on beside it does. Raises MachineError where that has happened already."""
    _under_way.add(process)
    try:
        go_on()
        yield
    except BaseException:
        end(process)
        raise
    finally:
        _under_way.discard(process)


def go_on() -> None:
    """Raise MachineError where what goes on beside this has failed: nobody waits for it then."""
    if _given_up.is_set():
        raise MachineError("given up, because what was done beside it has failed")


@contextmanager
def beside(work: Callable[[], T]) -> Iterator[Callable[[], T]]:
    """Do `work` in a thread while the block goes on; yields what waits for its result.

    Where either fails, or is interrupted, the programs that the other one has started are ended,
    and the first error is raised. Nothing outlives the block.
    """
    try:
        with ThreadPoolExecutor(1) as threads:
            doing = threads.submit(work)
            doing.add_done_callback(lambda done: _give_up() if done.exception() else None)
            try:
                yield doing.result
                doing.result()
            except BaseException as problem:
                first = doing.exception() if doing.done() and isinstance(problem, Exception) else None
                _give_up()
                raise (first or problem) from None
    finally:
        _given_up.clear()


def _give_up() -> None:
    _given_up.set()
    for process in list(_under_way):
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End `process`, the first of a group of its own, and everything that it has started."""
    if os.name == "nt":
        process.kill()
        process.wait()
        return
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            return
        last = time.monotonic() + 5
        while time.monotonic() < last and process.poll() is None:
            time.sleep(0.05)
