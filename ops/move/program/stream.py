"""What sender and receiver say to each other, by stdout and stdin.

A frame is a letter, a length, a CRC-32 of these, and a payload: bytes of a file at an offset, or
JSON after its own CRC-32. Contents are checked at a file's end, by their SHA-256.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import queue
import struct
import threading
import zlib
from collections.abc import Iterator
from typing import Any

from .voice import Failed, words

Frame = tuple[bytes, Any]

VERSION = 1
LONGEST = 2**24  # bytes of a frame
QUEUED = 12  # of what goes on together, between two threads
FLUSHED = 2**19  # bytes that go on together
HEADER = struct.Struct(">cII")
OFFSET, CHECK = struct.Struct(">Q"), struct.Struct(">I")


def packed(kind: bytes, value: Any) -> bytes:  # noqa: ANN401 - JSON
    """A frame of JSON."""
    text = json.dumps(value, separators=(",", ":")).encode()
    return header(kind, CHECK.size + len(text)) + CHECK.pack(zlib.crc32(text)) + text


def header(kind: bytes, length: int) -> bytes:
    """The beginning of a frame."""
    return HEADER.pack(kind, length, zlib.crc32(kind + CHECK.pack(length)))


class Input(io.FileIO):
    """What the other end writes to this one's stdin."""

    def __init__(self) -> None:
        super().__init__(0, "rb", closefd=False)
        self._buffered = io.BufferedReader(self, 2**20)
        self._ahead = 0  # bytes that have been read and not been taken
        self._taken = 0

    def readinto(self, buffer: Any) -> int | None:  # noqa: ANN401 - whatever has a buffer
        """Read, and count."""
        count = super().readinto(buffer)
        self._ahead += count or 0
        return count

    def frames(self) -> Iterator[Frame]:
        """Single frames. Raises Failed where one isn't what was said, or the stream ends."""
        while True:
            head = self._take(HEADER.size)
            kind, length, check = HEADER.unpack(head)
            if check != zlib.crc32(kind + CHECK.pack(length)) or not CHECK.size <= length <= LONGEST:
                raise Failed("protocol", "the stream from the other end arrived damaged (a frame's beginning)")
            payload = self._take(length)
            if kind == b"D":
                yield kind, payload
                continue
            text = payload[CHECK.size :]
            if CHECK.unpack_from(payload)[0] != zlib.crc32(text):
                raise Failed("protocol", "the stream from the other end arrived damaged (a frame's payload)")
            yield kind, json.loads(text)

    def batches(self) -> Iterator[list[Frame]]:
        """The same frames: all that has come together, as waking a thread for each takes time."""
        batch: list[Frame] = []
        before = self._taken
        try:
            for frame in self.frames():
                batch.append(frame)
                if not self._ahead or self._taken - before >= FLUSHED or frame[0] == b"Z":
                    yield batch
                    batch, before = [], self._taken
        except Failed:
            yield batch  # whole frames before what is wrong
            raise

    def _take(self, length: int) -> bytes:
        try:
            found = self._buffered.read(length)
        except OSError as problem:
            raise Failed("protocol", f"the stream from the other end: {words(problem)}") from None
        if len(found) < length:
            raise Failed("protocol", "the stream from the other end was cut")
        self._ahead -= length
        self._taken += length
        return found


class Output:
    """Writes to the other end by a thread of its own, so that reading goes on meanwhile."""

    def __init__(self) -> None:
        self._queue: queue.Queue[list[bytes] | None] = queue.Queue(QUEUED)
        self._waiting: list[bytes] = []
        self._size = 0
        self._problem: OSError | None = None
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def put(self, *parts: bytes) -> None:
        """Bytes that are written some time after this. Raises Failed where nobody reads them."""
        self._waiting.extend(parts)
        self._size += sum(map(len, parts))
        if self._size >= FLUSHED:
            self.flush()

    def flush(self) -> None:
        """Leave nothing waiting here."""
        if self._problem:
            raise Failed("protocol", f"the other end is gone: {words(self._problem)}")
        self._queue.put(self._waiting)
        self._waiting, self._size = [], 0

    def close(self) -> None:
        """All is written, or nobody reads it."""
        self.flush()
        self._queue.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (parts := self._queue.get()) is not None:
            if self._problem:
                continue
            try:
                write_all(1, b"".join(parts))
            except OSError as problem:
                self._problem = problem


def write_all(fd: int, data: bytes) -> None:
    """Write all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def widen(fd: int) -> None:
    """A pipe takes as much as a frame, where it may."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(fd, 1031, 2**20)  # F_SETPIPE_SZ
