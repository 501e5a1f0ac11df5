"""Brings written files to the disk, and gives them their names."""

from __future__ import annotations

import ctypes
import errno
import os
import queue
import resource
import threading
from collections.abc import Iterable
from typing import NamedTuple

from .journal import Journal
from .nodes import Entry, value_of
from .voice import Failed, words

BATCH_FILES, BATCH_BYTES = 400, 2**28  # what is synced at once


class Written(NamedTuple):
    """A file whose contents are written, under its temporary name."""

    fd: int
    temporary: bytes
    final: bytes
    line: Entry


class Committer:
    """Brings files to the disk and gives them their names, many at once, in a thread of its own."""

    def __init__(self, root: bytes, journal: Journal) -> None:
        self._journal = journal
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = BATCH_FILES * 4 if hard == resource.RLIM_INFINITY else min(hard, BATCH_FILES * 4)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        self._most = min(BATCH_FILES, wanted // 4)
        self._batch: list[Written] = []
        self._bytes = 0
        self._queue: queue.Queue[list[Written] | None] = queue.Queue(1)
        self._problem: Failed | None = None
        self.cache_dropped = True
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, written: Written, size: int) -> None:
        """A file is written. Raises Failed for an earlier one that the disk didn't take."""
        self._batch.append(written)
        self._bytes += size
        if len(self._batch) >= self._most or self._bytes >= BATCH_BYTES:
            self._queue.put(self._batch)
            self._batch, self._bytes = [], 0
            if self._problem:
                raise self._problem

    def close(self) -> None:
        """All files are on the disk and have their names. Raises Failed."""
        self._queue.put(self._batch)
        self._queue.put(None)
        self._thread.join()
        if self._problem:
            raise self._problem

    def sync(self, fds: Iterable[int] = ()) -> None:
        """Bring all to the disk. Raises OSError where the disk didn't take it."""
        if self._syncfs is None:
            for fd in [*fds, self._root]:
                os.fsync(fd)
        elif self._syncfs(self._root):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def _work(self) -> None:
        while (batch := self._queue.get()) is not None:
            path = b""
            try:
                if batch and not self._problem:
                    self.sync(each.fd for each in batch)
                    self._journal.add(each.line for each in batch)
                    for each in batch:
                        path = value_of("path", each.line)
                        os.rename(each.temporary, each.final)
                        self._drop(each.fd)
            except OSError as problem:
                self._problem = of_target(problem, path)
            for each in batch:
                os.close(each.fd)

    def _drop(self, fd: int) -> None:
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            self.cache_dropped = False


def of_target(problem: OSError, path: bytes) -> Failed:
    """A fault of the target."""
    full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
    return Failed("full" if full else "unwritable", words(problem), path)
