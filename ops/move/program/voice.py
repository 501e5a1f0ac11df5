"""What is said on stderr, to whoever has started the program: one JSON object a line."""

from __future__ import annotations

import json
import os
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

ALIVE, PROGRESS = 2.0, 0.25  # seconds between two of these events


_asked: dict[int, tuple[float, str, bytes]] = {}  # by thread: since when the storage is asked, for what


@contextmanager
def asking(what: str, path: bytes) -> Iterator[None]:
    """In this block the storage is asked for something, and may never answer.

    `what` says so of the program: `writes`, `syncs`, `reads`.
    """
    thread = threading.get_ident()
    _asked[thread] = (time.monotonic(), what, path)
    try:
        yield
    finally:
        del _asked[thread]


class Failed(Exception):
    """What ends a move: of which kind, why, and at which path."""

    def __init__(self, kind: str, reason: str, path: bytes = b"") -> None:
        super().__init__(reason)
        self.kind, self.reason, self.path = kind, reason, path


class Voice:
    """What is said on stderr. A thread says that the program is alive, and nothing else does."""

    def __init__(self) -> None:
        self.bytes = self.files = self.of_bytes = self.of_files = self.failures = 0
        self._said = 0.0
        self._lock = threading.Lock()
        # A thread that dies takes the program along: whoever waits for it would wait for ever.
        threading.excepthook = lambda found: self.end(found.exc_value)
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self) -> None:
        while True:
            self.say("alive", work=_work(), **_waiting())
            time.sleep(ALIVE)

    def say(self, event: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        """One line."""
        line = memoryview(json.dumps({"event": event, **more}, separators=(",", ":")).encode() + b"\n")
        with self._lock:
            try:
                while line:
                    line = line[os.write(2, line) :]
            except OSError:
                os._exit(1)  # nobody listens any more

    def expect(self, sizes: Iterable[int]) -> None:
        """Files of these sizes, in bytes, are to be done."""
        for size in sizes:
            self.of_bytes += size
            self.of_files += 1

    def add(self, number_of_bytes: int, files: int = 0) -> None:
        """So much more is done."""
        self.bytes += number_of_bytes
        self.files += files
        if time.monotonic() - self._said >= PROGRESS:
            self._said = time.monotonic()
            self.say("progress", **self.totals())

    def totals(self) -> dict[str, int]:
        """What is done, and of how much."""
        return {"bytes": self.bytes, "files": self.files, "ofBytes": self.of_bytes or self.bytes, "ofFiles": self.of_files or self.files}

    def failed(self, problem: Failed) -> None:
        """Something that fails the move."""
        self.failures += 1
        path = {"path": readable(problem.path)} if problem.path else {}
        self.say("failed", kind=problem.kind, reason=problem.reason, **path)

    def end(self, problem: BaseException | None = None, **result: Any) -> NoReturn:  # noqa: ANN401 - JSON
        """End the program, whatever its threads wait for."""
        if problem:
            self.failed(_in_words(problem))
        if not self.failures:
            self.say("done", **self.totals(), **result)
        os._exit(1 if self.failures else 0)


def _work() -> int:
    """Milliseconds of processor time of all threads but this one.

    Whatever goes on takes some: a sync too, for each part that has come to the disk. What waits for
    storage that doesn't answer, for the other end or for a lock takes none.
    """
    return (time.process_time_ns() - time.thread_time_ns()) // 10**6


def _waiting() -> dict[str, Any]:
    """What the storage was asked for first, and hasn't answered."""
    if not (found := sorted(_asked.values())):
        return {}
    since, what, path = found[0]
    return {"asked": what, "path": readable(path), "seconds": round(time.monotonic() - since, 1)}


def _in_words(problem: BaseException) -> Failed:
    if isinstance(problem, Failed):
        return problem
    if isinstance(problem, OSError):
        return Failed("unreadable", words(problem), os.fsencode(problem.filename or b""))
    place = traceback.extract_tb(problem.__traceback__)[-1]
    said = f"{type(problem).__name__}: {problem} ({os.path.basename(place.filename)}, line {place.lineno})"
    return Failed("internal", f"a fault of this program: {said}")


def readable(path: bytes) -> str:
    """A path for people: what isn't UTF-8 is shown as \\xNN."""
    return path.decode("utf-8", "backslashreplace")


def words(problem: OSError) -> str:
    """What the system says."""
    return os.strerror(problem.errno) if problem.errno else str(problem)
