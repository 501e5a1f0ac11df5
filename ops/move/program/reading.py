"""Reading a file as a whole: its bytes, its hash, its holes."""

from __future__ import annotations

import collections
import contextlib
import errno
import hashlib
import os
from collections.abc import Container, Iterable, Iterator

from .nodes import Entry, TreeNode, at, check_flags, signature
from .voice import Failed, asking

CHUNK = 2**20 - 8  # bytes of a file in one frame, beside their offset
AHEAD = 16  # files that a disk is asked for before they are read
BEGINNING = 2**22  # bytes of each: of what is longer, the system itself reads ahead
HOLE = 2**16  # bytes: file systems have blocks of up to 64 KiB, and keep holes of whole blocks


class Reading:
    """A file that is read as a whole; `entry` then has its hash. Raises Failed where it changes."""

    def __init__(self, root: bytes, node: TreeNode, entry: Entry) -> None:
        self._node, self._entry = node, entry
        self._fd = os.open(at(root, node.path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            self._check()
            check_flags(self._fd, node.path)
            self._extents = list(extents(self._fd, node.stat.st_size))
        except BaseException:
            os.close(self._fd)
            raise
        holes = [[start, end - start] for start, end in map(whole_blocks, gaps(self._extents, node.stat.st_size)) if start < end]
        if holes:
            entry["holes"] = holes

    def __enter__(self) -> Reading:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def chunks(self) -> Iterator[tuple[int, bytes, bool]]:
        """Offsets, bytes, and whether they are a hole: it is one if there are only zeros in it."""
        digest, offset, size = hashlib.sha256(), 0, self._node.stat.st_size
        ends = iter([*self._extents, (size, size)])
        start, end = next(ends)
        while offset < size:
            while offset >= end and end < size:
                start, end = next(ends)
            hole = offset < start
            with asking("reads", self._node.path):
                data = os.pread(self._fd, min(CHUNK, (start if hole else end) - offset), offset)
            if not data:
                raise Failed("changed", "it became shorter while it was read", self._node.path)
            digest.update(data)
            yield offset, data, hole and data == bytes(len(data))
            offset += len(data)
        self._check()
        self._entry["hash"] = digest.hexdigest()

    def _check(self) -> None:
        if signature(os.fstat(self._fd)) != signature(self._node.stat):
            raise Failed("changed", "it changed while it was read", self._node.path)


def ahead(root: bytes, nodes: Iterable[TreeNode], but: Container[bytes] = (), *, from_disk: bool = False) -> Iterator[TreeNode]:
    """The same nodes, while the disk is at work on the next ones already, `but` on some paths.

    `from_disk`: what the system's memory has of them is read anew.
    """
    waiting: collections.deque[TreeNode] = collections.deque()
    for node in nodes:
        if node.is_read and node.path not in but:
            with contextlib.suppress(OSError):  # whoever reads it says so
                _ask_for(at(root, node.path), from_disk)
        waiting.append(node)
        if len(waiting) > AHEAD:
            yield waiting.popleft()
    yield from waiting


def _ask_for(where: bytes, from_disk: bool) -> None:
    with asking("reads", where):
        fd = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if from_disk:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.posix_fadvise(fd, 0, BEGINNING, os.POSIX_FADV_WILLNEED)
    finally:
        os.close(fd)


def extents(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Where a file has data: from, to. All of it where its file system doesn't tell.

    How much is allocated says nothing about it: that may be behind the file's end.
    """
    offset = 0
    while offset < size:
        try:
            start = os.lseek(fd, offset, os.SEEK_DATA)
        except OSError as problem:
            if problem.errno == errno.ENXIO:
                return  # a hole up to the end
            if problem.errno == errno.EINVAL:
                yield 0, size
                return
            raise
        offset = min(os.lseek(fd, start, os.SEEK_HOLE), size)
        yield start, offset


def gaps(found: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    """What is between extents."""
    before = 0
    for start, end in found:
        yield before, start
        before = end
    yield before, size


def whole_blocks(gap: tuple[int, int]) -> tuple[int, int]:
    """The part of a gap that is a hole in any file system."""
    return -(-gap[0] // HOLE) * HOLE, gap[1] // HOLE * HOLE
