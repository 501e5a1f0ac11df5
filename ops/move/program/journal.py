"""The marker in a target: the move's ID, then a line for each thing that the move makes.

A line is written when a file's contents are on the disk and before it gets its name: it can't tell
of anything that a crash has taken along.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import zlib
from collections.abc import Iterable, Iterator

from .nodes import LOST_FOUND, MARKER, Entry, at, value_of
from .stream import write_all
from .voice import Failed, asking, readable


def marked(root: bytes) -> str | None:
    """The ID of the move whose target this is; empty where it was cut at its very beginning."""
    try:
        with open(at(root, MARKER), "rb", opener=_open_anything) as file:
            return str(json.loads(file.readline())["move"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        return ""


def _open_anything(where: bytes | str, flags: int) -> int:
    """In a source it's anybody's: a link that leads nowhere, or a fifo that nobody writes to."""
    return os.open(where, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def others(root: bytes) -> list[bytes]:
    """What is in the root, apart from what isn't anybody's data."""
    return sorted(set(os.listdir(root)) - {LOST_FOUND, MARKER})


class Journal:
    """The marker: the move's ID, then a line for each thing that is about to get its name."""

    def __init__(self, root: bytes, move: str) -> None:
        found = marked(root)
        if found != move and (found or others(root)):
            held = f"a part of another move ({found})" if found else f"something already, as {readable(others(root)[0])}"
            raise Failed("foreign", f"the target holds {held}; a move is made to an empty volume alone")
        self._fd = os.open(at(root, MARKER), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("foreign", "another process of the same move writes to the target still") from None
        if marked(root) not in (found, ""):
            raise Failed("foreign", "another move has begun to write to the target just now")
        self.resumed = found == move
        self.lines: dict[bytes, int] = {}  # by path, the last line that tells of it: there may be very many
        self._lock = threading.Lock()
        if self.resumed:
            self._load()
        else:
            os.ftruncate(self._fd, 0)
            write_all(self._fd, json.dumps({"move": move}).encode() + b"\n")
            os.fsync(self._fd)

    def _load(self) -> None:
        kept = 0
        for number, (line, text) in enumerate(self._whole_lines(), 1):
            if text:
                self.lines[value_of("path", json.loads(text))] = number
            kept += len(line)
        os.ftruncate(self._fd, kept)
        os.lseek(self._fd, kept, os.SEEK_SET)

    def _whole_lines(self) -> Iterator[tuple[bytes, bytes]]:
        """Lines, and what they tell; up to where a crash has cut one."""
        with open(os.dup(self._fd), "rb") as file:
            file.seek(0)
            yield file.readline(), b""  # the move's ID
            for line in file:
                check, _, text = line.rstrip(b"\n").partition(b" ")
                if not line.endswith(b"\n") or check != b"%08x" % zlib.crc32(text):
                    return
                yield line, text

    def told(self) -> Iterator[Entry]:
        """What the last line of each path tells, before anything is added."""
        for number, (_, text) in enumerate(self._whole_lines(), 1):
            entry: Entry = json.loads(text or b"{}")
            if entry and self.lines[value_of("path", entry)] == number:
                yield entry

    def add(self, entries: Iterable[Entry]) -> None:
        """These are about to get their names."""
        texts = [json.dumps(each, separators=(",", ":")).encode() for each in entries]
        with self._lock, asking("writes", MARKER):
            write_all(self._fd, b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts))

    def sync(self) -> None:
        """Bring the lines to the disk, so that no file has a name there that they don't tell of."""
        with asking("syncs", MARKER):
            os.fsync(self._fd)
