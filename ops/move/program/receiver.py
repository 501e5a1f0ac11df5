"""The target's end of a move."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import stat
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .committer import Committer, Written, of_target, sync_folders
from .journal import Journal
from .making import dress, make, proper
from .nodes import MARKER, TEMPORARY, Entry, at, named, value_of, walk
from .reading import CHUNK
from .stream import OFFSET, QUEUED, VERSION, Frame, Input, packed, write_all
from .voice import Failed, Voice, asking

THERE, SEEN = 1, 2  # no number of a line that tells of a path: the first one tells of the move
OFFERED = 500  # of what is there, in one frame
TOGETHER = 500  # of what isn't a file: one sync of the journal for so many


class Receiver:
    """The target's end."""

    def __init__(self, root: bytes, move: str, voice: Voice) -> None:
        self._root, self._voice = root, voice
        self._journal = Journal(root, move)
        self._committer = Committer(self._journal)
        self._path = b""
        self._number = 0
        self._there: dict[bytes, int] = self._journal.lines  # then: THERE or not, and SEEN; by path
        self._new: set[bytes] = set()  # what else has been seen in a run that goes on
        self._inside = {b""}  # folders of this run: whatever else has such a name may lead elsewhere
        self._folders: list[bytes] = []  # as JSON: there may be very many
        self._links: list[tuple[bytes, bytes]] = []
        self._others: list[Entry] = []  # neither files nor folders nor links; some at once
        self._queue: queue.Queue[list[Frame]] = queue.Queue(QUEUED)
        self._frames = self._each()

    def run(self) -> None:
        """Receive everything. Raises Failed."""
        self._offer()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            failures = self._take()
        except BaseException:
            with contextlib.suppress(Failed):
                self._committer.close()  # the next run goes on from here
            raise
        self._committer.close()
        if failures:
            raise Failed("protocol", f"the source's end gave up: it couldn't read {failures} of its files")
        try:
            self._end()
        except OSError as problem:
            raise of_target(problem, self._path) from None
        write_all(1, packed(b"R", self._voice.totals()))

    def _offer(self) -> None:
        """Tell the sender what is here already; remove what a cut run has left."""
        write_all(1, packed(b"H", {"version": VERSION}))
        if self._journal.resumed:
            for folder, _, names in os.walk(self._root):
                for name in filter(TEMPORARY.fullmatch, names):
                    os.unlink(os.path.join(folder, name))
            batch = []
            for line in self._journal.told():
                path = value_of("path", line)
                self._there[path] = THERE if self._is_there(path, line) else 0
                if self._there[path]:
                    batch.append(line)
                if len(batch) == OFFERED:
                    write_all(1, packed(b"h", batch))
                    batch = []
            write_all(1, packed(b"h", batch))
        write_all(1, packed(b"G", {}))

    def _is_there(self, path: bytes, line: Entry) -> bool:
        try:
            found = os.lstat(at(self._root, path))
        except OSError:
            return False
        return written(found) == line.get("written")

    def _listen(self) -> None:
        try:
            for batch in Input().batches():
                self._queue.put(batch)
                if batch and batch[-1][0] == b"Z":
                    return
        except Failed as problem:
            self._queue.put([(b"!", problem)])

    def _each(self) -> Iterator[Frame]:
        while True:
            for kind, value in self._queue.get():
                if kind == b"!":
                    raise value
                yield kind, value

    def _take(self) -> int:
        """Take frames up to the last one; returns how many failures it tells of."""
        while True:
            kind, value = next(self._frames)
            if kind == b"Z":
                return int(value["failures"])
            try:
                self._path = self._proper(value_of("path", value))
                if self._path in self._there:
                    self._there[self._path] |= SEEN
                elif self._journal.resumed:
                    self._new.add(self._path)
                if self._path in self._inside:
                    raise Failed("protocol", "the other end has sent this already, as a folder", self._path)
                if kind == b"B":
                    self._file(value)
                elif kind == b"N":
                    self._other(value)
                elif kind != b"S" or not self._there.get(self._path, 0) & THERE:
                    raise Failed("protocol", f"the other end sent a frame {kind!r} that has no place here", self._path)
                else:
                    self._voice.add(value["size"], 1)
            except OSError as problem:
                raise of_target(problem, self._path) from None

    def _proper(self, path: bytes) -> bytes:
        """A path in a folder that this run has made or found: no link is on the way there."""
        if os.path.dirname(proper(path)) not in self._inside:
            raise Failed("protocol", "the other end hasn't sent the folder that this is in", path)
        return path

    def _temporary(self) -> bytes:
        self._number += 1
        return os.path.join(os.path.dirname(at(self._root, self._path)), b"%s.%d" % (MARKER, self._number))

    def _file(self, entry: Entry) -> None:
        temporary, size = self._temporary(), entry["size"]
        with asking("writes", self._path):
            fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            end = self._contents(fd, size)
            if end is None:
                os.unlink(temporary)
                os.close(fd)
                return
            dress(fd, entry)
        except BaseException:
            os.close(fd)
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        self._make_room(self._path)
        line = {**named("path", self._path), **end, "written": written(os.fstat(fd))}
        self._committer.add(Written(fd, temporary, at(self._root, self._path), line), size)
        self._voice.add(0, 1)

    def _contents(self, fd: int, size: int) -> Entry | None:
        """Write a file's bytes; returns what its last frame says, none where it isn't to be."""
        digest, position = hashlib.sha256(), 0
        while True:
            kind, value = next(self._frames)
            if kind == b"D":
                (offset,), data = OFFSET.unpack_from(value), memoryview(value)[OFFSET.size :]
                if not position <= offset <= offset + len(data) <= size:
                    raise Failed("protocol", "the stream from the other end arrived damaged (an offset)", self._path)
                skip(digest, offset - position)
                digest.update(data)
                self._voice.add(offset + len(data) - position)
                position = offset + len(data)
                while data:
                    with asking("writes", self._path):
                        count = os.pwrite(fd, data, offset)
                    data, offset = data[count:], offset + count
            elif kind == b"X":
                return None
            elif kind == b"E":
                skip(digest, size - position)
                if digest.hexdigest() != value["hash"]:
                    raise Failed("protocol", "the stream from the other end arrived damaged (the file's hash is another)", self._path)
                if position < size:
                    os.ftruncate(fd, size)
                    self._voice.add(size - position)
                return dict(value)
            else:
                raise Failed("protocol", f"the other end sent a frame {kind!r} that has no place here", self._path)

    def _other(self, entry: Entry) -> None:
        """Make what isn't a file. Folders get theirs last, links come when all files are there."""
        if "link" in entry:
            self._links.append((self._path, self._proper(value_of("link", entry))))
        elif entry["kind"] == "directory":
            self._folders.append(json.dumps(entry).encode())
            self._folder(at(self._root, self._path))
            self._inside.add(self._path)
        else:
            self._others.append(entry)
            if len(self._others) == TOGETHER:
                self._make_others()

    def _make_others(self) -> None:
        self._tell(value_of("path", entry) for entry in self._others)
        for entry in self._others:
            self._path = value_of("path", entry)
            temporary = self._temporary()
            make(temporary, entry)
            dress(temporary, entry)
            self._name(temporary)
        self._others = []

    def _tell(self, paths: Iterable[bytes]) -> None:
        """After this a crash leaves none of these without a line that tells of it."""
        self._journal.add(named("path", path) for path in paths)
        self._journal.sync()

    def _folder(self, where: bytes) -> None:
        try:
            found = os.lstat(where)
        except FileNotFoundError:
            os.mkdir(where, 0o700)
            return
        if not stat.S_ISDIR(found.st_mode):
            self._remove(self._path)
            os.mkdir(where, 0o700)
        elif found.st_mode & 0o700 != 0o700:
            os.chmod(where, stat.S_IMODE(found.st_mode) | 0o700)

    def _name(self, temporary: bytes) -> None:
        self._make_room(self._path)
        os.rename(temporary, at(self._root, self._path))

    def _make_room(self, path: bytes) -> None:
        """The source was another when a cut run began: a folder makes place for what isn't one."""
        where = at(self._root, path)
        if self._journal.resumed and os.path.isdir(where) and not os.path.islink(where):
            self._remove(path)

    def _remove(self, path: bytes) -> None:
        """Remove what a cut run has made; raises Failed for what it hasn't."""
        where = at(self._root, path)
        if stat.S_ISDIR(os.lstat(where).st_mode):
            for name in os.listdir(where):
                self._remove(os.path.join(path, name))
            os.rmdir(where)
        elif path in self._journal.lines:
            os.unlink(where)
        else:
            raise Failed("foreign", "this isn't in the source, and this move hasn't made it", path)

    def _is_seen(self, path: bytes) -> bool:
        return bool(self._there.get(path, 0) & SEEN) or path in self._new

    def _end(self) -> None:
        self._make_others()
        self._tell(path for path, _ in self._links)
        for path, one in self._links:
            self._path = path
            temporary = self._temporary()
            os.link(at(self._root, one), temporary, follow_symlinks=False)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.lstat(temporary), os.lstat(at(self._root, self._path))):
                    os.unlink(temporary)  # renaming one name of an inode to another does nothing
                    continue
            self._name(temporary)
        if self._journal.resumed:
            found = walk(self._root, self._voice.failed)
            for path in [node.path for node in found if not self._is_seen(node.path)]:
                if os.path.lexists(at(self._root, path)):
                    self._remove(path)
        for text in reversed(self._folders):
            entry = json.loads(text)
            self._path = value_of("path", entry)
            dress(at(self._root, self._path), entry)
        try:
            sync_folders(at(self._root, value_of("path", json.loads(text))) for text in self._folders)
        except OSError as problem:
            raise of_target(problem, os.path.relpath(problem.filename, self._root)) from None
        self.result = {"cacheDropped": self._committer.cache_dropped}


def written(found: os.stat_result) -> list[int]:
    """What is another after somebody has changed a file of the target; its name changes none."""
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid, found.st_gid]


def skip(digest: Any, length: int) -> None:  # noqa: ANN401 - hashlib has no public type
    """Let zeros in."""
    zeros = bytes(min(length, CHUNK))
    while length > 0:
        digest.update(zeros[:length] if length < len(zeros) else zeros)
        length -= len(zeros)
