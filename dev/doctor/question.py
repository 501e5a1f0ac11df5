"""Questions that are asked beside each other, none of which can hold up the answer."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Generic, TypeVar

import psutil

Answer = TypeVar("Answer")

SECONDS = 0.9  # for all questions together, beside each other
_LOOKS = 8  # for programs that haven't answered then
_ENDING = 0.02  # seconds between two looks that found some


class Question(Generic[Answer]):
    """Asked at once, in a thread of its own that ends with the process at the latest."""

    def __init__(self, ask: Callable[[], Answer]) -> None:
        self._ask = ask
        self._answer: Answer | None = None
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = self._ask()
        except BaseException as problem:  # raised again by whoever wants the answer
            self._problem = problem

    def answer(self, until: float) -> Answer | None:
        """What it gave, or None where it gave nothing until then (by time.monotonic).

        Raises what the question has raised.
        """
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._problem:
            raise self._problem
        return self._answer


def said(*command: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str] | None:
    """What a program says; None where it can't be started or doesn't end in time: it is ended
    then.

    `environment` is all of its variables, this process' own where none are given.
    """
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=SECONDS,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def end_what_was_asked() -> None:
    """End the programs that have not answered: nobody wants their answers any more.

    Whoever waits for one in a thread may go on with the next then, so it is looked again a moment
    later.
    """
    for _ in range(_LOOKS):
        running = psutil.Process().children(recursive=True)
        for process in running:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(running, timeout=_ENDING)
        time.sleep(_ENDING if running else 0)
