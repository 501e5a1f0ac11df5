"""The program beside the data, as this machine sees it: in a pod, or on this machine.

Both kinds are read and written without blocking, by whoever joins them (conversation.py).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Protocol, cast

from components.kube.errors import in_words
from components.kube.exec import Exec, Said

_GONE = 5  # seconds for what was killed to be gone
_PART = 2**18  # bytes that are read at once


class Process(Protocol):
    """A running program with its three streams.

    `name` is for people. `status` is the exit status once it has `ended`; None where the way to it
    broke, and `reason` then says how.
    """

    name: str
    status: int | None
    reason: str
    ended: bool

    @property
    def backlog(self) -> int:
        """The bytes for its stdin that still wait."""

    @property
    def pending(self) -> bool:
        """Whether there is something to read that no file descriptor shows."""

    @property
    def wants_to_send(self) -> bool:
        """Whether something waits for its stdin to take it."""

    def reads(self) -> list[int]:
        """The file descriptors that show when there is something to read."""

    def writes(self) -> list[int]:
        """The file descriptors that show when more can be sent."""

    def write(self, data: bytes) -> None:
        """Give it `data` on stdin."""

    def end_input(self) -> None:
        """Its stdin ends, where it still runs; what waits for it is dropped."""

    def send(self) -> None:
        """Send what waits, as far as it is taken."""

    def receive(self) -> Said:
        """What has come."""

    def close(self) -> None:
        """Let go of it."""


class InPod(Exec):
    """In a pod. Raises ApiError where it can't be started."""

    name = ""

    def reads(self) -> list[int]:
        """The socket."""
        return [] if self.ended else [self.fileno()]

    def writes(self) -> list[int]:
        """The socket, while something waits."""
        return [self.fileno()] if self.wants_to_send else []


class OnThisMachine:
    """On this machine, in a process group of its own: Ctrl-C is for the command alone."""

    pending = False

    def __init__(self, command: Sequence[str], name: str) -> None:
        self.name = name
        self.status: int | None = None
        self.reason = ""
        self.ended = False
        self._waiting = bytearray()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
        )
        made = self._process
        self._stdin, self._stdout, self._stderr = (cast(IO[bytes], each) for each in (made.stdin, made.stdout, made.stderr))
        self._readable = [self._stdout, self._stderr]
        for each in (self._stdin, *self._readable):
            os.set_blocking(each.fileno(), False)

    @property
    def backlog(self) -> int:
        """Bytes for its stdin that still wait."""
        return len(self._waiting)

    @property
    def wants_to_send(self) -> bool:
        """Whether something waits for its stdin to take it."""
        return bool(self._waiting) and not self.ended

    def reads(self) -> list[int]:
        """Its stdout and stderr, until they end."""
        return [each.fileno() for each in self._readable]

    def writes(self) -> list[int]:
        """Its stdin, while something waits."""
        return [self._stdin.fileno()] if self.wants_to_send else []

    def write(self, data: bytes) -> None:
        """Give it `data` on stdin."""
        self._waiting += data
        self.send()

    def end_input(self) -> None:
        """Its stdin ends; what waits for it is dropped."""
        self._waiting.clear()
        if not self._stdin.closed:
            self._stdin.close()

    def send(self) -> None:
        """Send what waits, as far as the pipe takes it."""
        while self._waiting and not self.ended:
            try:
                sent = os.write(self._stdin.fileno(), memoryview(self._waiting)[:_PART])
            except BlockingIOError:
                return
            except OSError:  # it reads no more: how it ends says why
                self._waiting.clear()
                return
            del self._waiting[:sent]

    def receive(self) -> Said:
        """What has come."""
        parts = {self._stdout: b"", self._stderr: b""}
        for stream in list(self._readable):
            try:
                parts[stream] = os.read(stream.fileno(), _PART)
            except BlockingIOError:
                continue
            except OSError as problem:
                self.reason = in_words(problem)
            if not parts[stream]:
                self._readable.remove(stream)
        if not self._readable and not self.ended:
            self.ended = True
            self.status = self._process.wait()
        return Said(parts[self._stdout], parts[self._stderr])

    def close(self) -> None:
        """End it."""
        self.ended = True
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):  # what waits for storage that doesn't answer can't be killed
            self._process.wait(_GONE)
        for each in (self._stdin, self._stdout, self._stderr):
            each.close()
