"""What the script of every engine needs: its report, its share of the volume, content that can be
told from any other.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

BLOCK = 500  # numbers that one digest is of
LOCKING = 60  # seconds in which the processes of a killed pod end
LAST_LINES = 2  # seconds in which the last of an engine's log comes
SHOWN = 20  # lines of a tool's output
DISK_ERRORS = ("ENOSPC", "EDQUOT", "EROFS", "EIO")
_SPEECH = threading.Lock()


class EngineFault(Exception):
    """The engine failed. `code` is a name of an errno, an SQLSTATE, or a program's name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EngineLog:
    """An engine's log on its way to stderr.

    `trouble` is the last line that matches `troubles`, but the first that names a disk's fault:
    what an engine says after that is what came of it. `kept` are all that match `keeping`.
    """

    def __init__(self, troubles: re.Pattern[str], keeping: re.Pattern[str] | None = None) -> None:
        self.trouble = ""
        self.kept: list[str] = []
        self._troubles = troubles
        self._keeping = keeping
        self._following: threading.Thread | None = None

    def follow(self, log: IO[bytes]) -> None:
        """Pass it on until it ends, in a thread."""
        self._following = threading.Thread(target=self.pass_on, args=(log,), daemon=True)
        self._following.start()

    def pass_on(self, log: Iterable[bytes]) -> None:
        """Pass it on until it ends."""
        for line in log:
            sys.stderr.buffer.write(line)
            sys.stderr.flush()
            text = line.decode("utf-8", "replace")
            found = self._troubles.search(text)
            if found and not disk_error(self.trouble):
                self.trouble = found[0].strip()
            if self._keeping and (found := self._keeping.search(text)):
                self.kept.append(found[0].strip())

    def explained(self, problem: EngineFault) -> EngineFault:
        """The same fault with the trouble. Where that is a disk's, its errno names the fault."""
        if self._following:
            self._following.join(LAST_LINES)
        code = disk_error(self.trouble) or problem.code
        return EngineFault(code, f"{problem}: {self.trouble}" if self.trouble else str(problem))


def disk_error(text: str) -> str:
    """The name of the errno with which a disk fails, if a text has its words; else empty."""
    return next((name for name in DISK_ERRORS if os.strerror(getattr(errno, name)) in text), "")


def say(word: str, value: object) -> None:
    """One line of the report."""
    with _SPEECH:
        sys.stdout.write(f"{word} {json.dumps(value, separators=(',', ':'))}\n")
        sys.stdout.flush()


def content(run: str, writer: int, number: int) -> str:
    """128 to 638 characters that no other run, writer or number has."""
    first = hashlib.blake2b(f"{writer}/{number}".encode(), key=bytes.fromhex(run), digest_size=64).hexdigest()
    return (first * 5)[: 128 + 2 * int(first[:2], 16)]


def blocks(rows: Iterable[tuple[int, str]]) -> Iterator[list[Any]]:
    """[first, last, digest] of numbers in a row, from (number, content) in their order.

    A block ends at a multiple of BLOCK. A number that comes twice, or late, begins a new one.
    """
    first = last = -1  # none
    digest = hashlib.blake2b(digest_size=8)
    for number, text in rows:
        if first >= 0 and (number != last + 1 or last % BLOCK == 0):
            yield [first, last, digest.hexdigest()]
            first = -1
        if first < 0:
            first, digest = number, hashlib.blake2b(digest_size=8)
        digest.update(text.encode())
        last = number
    if first >= 0:
        yield [first, last, digest.hexdigest()]


def latencies(seconds: Iterable[float]) -> dict[str, float]:
    """Percentiles in milliseconds: what at least so many of a hundred or a thousand took."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    at = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3) for name, share in at.items()}


def tail(text: str) -> list[str]:
    """The last lines of a program's output."""
    return [line.strip() for line in text.splitlines() if line.strip()][-SHOWN:]


def run_tool(*command: str) -> tuple[int, list[str]]:
    """A program's exit status and the last lines of what it says."""
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return answer.returncode, tail(answer.stdout)


def take(root: Path) -> int:
    """Take the volume for this pod; returns the lock's descriptor, for the engine to inherit.

    A pod that is deleted without grace is gone from the API before its processes are. They hold
    the lock until the last of them has ended. Raises EngineFault after LOCKING seconds, OSError.
    """
    import fcntl  # noqa: PLC0415 - whoever compares imports this file too, on Windows as well

    held = os.open(root / "accept.lock", os.O_RDWR | os.O_CREAT, 0o600)
    end = time.monotonic() + LOCKING
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        except BlockingIOError:
            if time.monotonic() > end:
                raise EngineFault("lock", f"the killed pod's processes still use the volume after {LOCKING} s") from None
        time.sleep(0.02)


def mounted_type(mounts: str, root: str) -> str:
    """The type of the file system that is mounted at `root`, from the text of /proc/mounts."""
    found = [fields for line in mounts.splitlines() if len(fields := line.split()) > 2 and fields[1] == root]
    return found[-1][2] if found else "unknown"


def say_mount(root: Path) -> None:
    """The file system that the volume is. Raises OSError."""
    usage = shutil.disk_usage(root)
    kind = mounted_type(Path("/proc/mounts").read_text(encoding="utf-8", errors="replace"), str(root))
    say("mount", {"type": kind, "bytes": usage.total, "freeBytes": usage.free, "found": sorted(path.name for path in root.iterdir())})


def say_fault(problem: EngineFault | OSError) -> None:
    """What ended the script."""
    if isinstance(problem, EngineFault):
        say("fault", {"errno": problem.code, "path": "", "message": str(problem)})
    else:
        name = errno.errorcode.get(problem.errno or 0, "")
        say("fault", {"errno": name, "path": str(problem.filename or ""), "message": problem.strerror or str(problem)})


def parts(numbers: Sequence[int]) -> list[list[int]]:
    """[first, last] of numbers in a row, in the order in which they come."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found
