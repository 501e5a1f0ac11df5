"""Brings written files to the disk, and gives them their names."""

from __future__ import annotations

import errno
import os
import queue
import resource
import threading
from collections.abc import Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import NamedTuple

from .journal import Journal
from .nodes import MARKER, Entry, value_of
from .voice import Failed, asking, words

BATCH_FILES, BATCH_BYTES = 400, 2**28  # what is brought to the disk together
SYNCS = 16  # syncs at once: a file system does them in one go


class Written(NamedTuple):
    """A file whose contents are written, under its temporary name."""

    fd: int
    temporary: bytes
    final: bytes
    line: Entry


class Committer:
    """Brings files to the disk and gives them their names, many at once, by threads of its own."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._batch: list[Written] = []
        self._bytes = 0
        self._most = _files_at_once()
        self._queue: queue.Queue[list[Written] | None] = queue.Queue(1)
        self._problem: Failed | None = None
        self.cache_dropped = True
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, written: Written, size: int) -> None:
        """A file is written. Raises Failed for an earlier one that the disk didn't take."""
        self._drop(written.fd)  # of what isn't on the disk yet, this begins to write it
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

    def _work(self) -> None:
        with ThreadPoolExecutor(SYNCS) as pool:
            while (batch := self._queue.get()) is not None:
                if not self._problem:
                    try:
                        self._commit(batch, pool)
                    except Failed as problem:
                        self._problem = problem
                for each in batch:
                    os.close(each.fd)

    def _commit(self, batch: list[Written], pool: Executor) -> None:
        for problem in pool.map(_synced, (batch[number::SYNCS] for number in range(SYNCS))):
            if problem:
                raise problem
        path = MARKER
        try:
            self._journal.add(each.line for each in batch)
            self._journal.sync()
            for each in batch:
                path = value_of("path", each.line)
                with asking("writes", path):
                    os.rename(each.temporary, each.final)
                self._drop(each.fd)
        except OSError as problem:
            raise of_target(problem, path) from None

    def _drop(self, fd: int) -> None:
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            self.cache_dropped = False


def _files_at_once() -> int:
    """How many files a batch may keep open: two batches are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = BATCH_FILES * 4 if hard == resource.RLIM_INFINITY else min(hard, BATCH_FILES * 4)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return min(BATCH_FILES, wanted // 4)


def _synced(files: Iterable[Written]) -> Failed | None:
    """Bring the contents of files to the disk; says why that failed."""
    for written in files:
        try:
            with asking("syncs", value_of("path", written.line)):
                os.fsync(written.fd)
        except OSError as problem:
            return of_target(problem, value_of("path", written.line))
    return None


def sync_folders(folders: Iterable[bytes]) -> None:
    """Bring the names in folders to the disk. Raises OSError, with the folder."""
    with ThreadPoolExecutor(SYNCS) as pool:
        for _ in pool.map(_sync_folder, folders):
            pass


def _sync_folder(where: bytes) -> None:
    fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        with asking("syncs", where):
            os.fsync(fd)
    except OSError as problem:
        raise OSError(problem.errno, words(problem), where) from None
    finally:
        os.close(fd)


def of_target(problem: OSError, path: bytes) -> Failed:
    """A fault of the target."""
    full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
    if full:
        return Failed("full", f"the target has no room left: {words(problem)}", path)
    return Failed("unwritable", words(problem), path)
