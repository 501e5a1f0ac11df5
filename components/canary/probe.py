"""Runs in the canary's pods: writes fresh random data as a database or a log would, and reads it back in another pod.

One file, standard library only, Python 3.9 or newer. It knows nothing of Kubernetes: a folder (the mounted volume) and a
run's id are all that it gets. What it has to say goes to stdout, a line each: a word, a space, JSON. The words:

    mount   the file system: type, size and free bytes, and what was found in the volume's root
    file    one file: its size, its digest and its entries as [number, timestamp, digest], in the order of the file
    figures what was measured, by workload
    ack     [number, timestamp, digest] of an entry, after the sync that made it durable has returned
    busy    a writer is at work and nothing hangs
    done    the end of a step
    fault   an operation of the volume failed: errno, operation, path, message

The writer takes the `file` lines from its memory, the reader from the volume: who compares the two is somebody outside.

Every file is made of entries that say which run wrote them, which number they have, when they were written, and a
checksum of all that, so that a reader can tell a lost entry from a stale, a moved or a damaged one.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import json
import os
import random
import stat
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

FOLDER = "storage-tiers-canary"  # in the volume's root, where ext4 has its lost+found
MAGIC = b"STcanary"
OWNER = "owner.json"
HEADER = struct.Struct(">8s8sQQII")  # magic, run, number, timestamp (microseconds), bytes of payload, CRC-32 of all before and the payload
LONGEST_ENTRY = 16 * 2**20  # bytes; a length above it in a header is damage

PAGE = 8 * 2**10  # PostgreSQL's BLCKSZ
PAGES = 10 * 2**20 // PAGE  # a table of 10 MiB
COMMITS = 200
ENTRIES = 102
BLOCK = 2**20  # a Kafka producer's batches end up in writes of about this size
BLOCKS = 128
PACE = 0.002  # seconds between two entries of the stream that is killed, so that it lasts
STREAM_SECONDS = 60  # and its end, if nobody kills it


BUSY = 5  # seconds of silence after which a writer says that it is still at work
LAST_SAID = [0.0]


class Entry(NamedTuple):
    """An entry of a file, as manifest and report have it: timestamp in microseconds since 1970."""

    number: int
    timestamp: int
    digest: str


def say(word: str, value: object) -> None:
    """One line of the report."""
    LAST_SAID[0] = time.monotonic()
    sys.stdout.write(f"{word} {json.dumps(value, separators=(',', ':'))}\n")
    sys.stdout.flush()


def digest(content: bytes) -> str:
    """64 bits of BLAKE2b: enough to tell damage, short enough for a report of thousands."""
    return hashlib.blake2b(content, digest_size=8).hexdigest()


class Clock:
    """The time of day that never goes back: of the machine's clock only the start is taken, whatever is done to it later."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def microseconds(self) -> int:
        """Microseconds since 1970."""
        return (self._offset + time.monotonic_ns()) // 1000


class Maker:
    """Makes entries of one run: all payload is random and of this run alone."""

    def __init__(self, run: str) -> None:
        self.run = bytes.fromhex(run)
        self.clock = Clock()

    def entry(self, number: int, size: int) -> tuple[bytes, Entry]:
        """An entry of `size` bytes in all, in binary form."""
        payload = os.urandom(size - HEADER.size)
        timestamp = self.clock.microseconds()
        front = HEADER.pack(MAGIC, self.run, number, timestamp, len(payload), 0)
        content = HEADER.pack(MAGIC, self.run, number, timestamp, len(payload), zlib.crc32(payload, zlib.crc32(front))) + payload
        return content, Entry(number, timestamp, digest(content))

    def line(self, number: int, text: str) -> tuple[bytes, Entry]:
        """An entry as a line of text."""
        timestamp = self.clock.microseconds()
        front = f"{self.run.hex()} {number} {timestamp} {text} {os.urandom(16).hex()}"
        content = f"{front} {zlib.crc32(front.encode()):08x}\n".encode()
        return content, Entry(number, timestamp, digest(content))


class Timed:
    """Writes and syncs to one file, each timed; making the content is not in it."""

    def __init__(self, path: Path, flags: int = 0) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | flags, 0o640)
        self.bytes = 0
        self.writes = 0
        self.write_seconds = 0.0
        self.syncs: list[float] = []

    def write(self, content: bytes, offset: int) -> None:
        """All of `content` at `offset`."""
        if time.monotonic() - LAST_SAID[0] > BUSY:
            say("busy", self.path.name)
        begin = time.perf_counter()
        written = os.pwrite(self.descriptor, content, offset)
        while written < len(content):
            written += os.pwrite(self.descriptor, memoryview(content)[written:], offset + written)
        self.write_seconds += time.perf_counter() - begin
        self.bytes += len(content)
        self.writes += 1

    def sync(self) -> None:
        """Data, and what of the metadata is needed to read it back; macOS has no fdatasync."""
        begin = time.perf_counter()
        getattr(os, "fdatasync", os.fsync)(self.descriptor)
        self.syncs.append(time.perf_counter() - begin)

    def close(self) -> None:
        """Drop what the node's memory holds of it, so that a reader gets it from the device where the system lets us; then close."""
        os.fsync(self.descriptor)
        drop_cached(self.descriptor)
        os.close(self.descriptor)

    def figures(self) -> dict[str, Any]:
        """MB are 10^6 bytes; IOPS are writes, each with its sync where it has one; latencies in milliseconds."""
        seconds = self.write_seconds + sum(self.syncs)
        return {
            "bytes": self.bytes,
            "writes": self.writes,
            "seconds": round(seconds, 6),
            "MBps": round(self.bytes / seconds / 1e6, 3) if seconds else 0.0,
            "IOPS": round(self.writes / seconds, 1) if seconds else 0.0,
            "syncMs": percentiles(self.syncs),
        }


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Nearest-rank percentiles in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {}
    ranks = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: round(ordered[max(0, -(-int(part * 1000) * len(ordered) // 1000) - 1)] * 1000, 4) for name, part in ranks.items()}


def drop_cached(descriptor: int) -> None:
    """Ask the kernel to forget the file's clean pages (not on every system)."""
    if hasattr(os, "posix_fadvise"):
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def sync_folder(path: Path) -> None:
    """Make new names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- writing ------------------------------------------------------------------------------------------------------------


class Writer:
    """One run's files, by profile; `folder` is the canary's own in the volume."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder = folder
        self.make = Maker(run)
        self.figures: dict[str, Any] = {}

    def database(self) -> None:
        """Like PostgreSQL: pages at random with fdatasync, a write-ahead log synced at every commit, and three plain files."""
        with self._file("table.pages", "pages") as file:
            preallocate(file.descriptor, PAGE * PAGES)
            order = list(range(PAGES))
            random.SystemRandom().shuffle(order)
            # All are made first, as a checkpoint has its pages in memory: a disk that idles between two writes is a slower one.
            pages = {number: self.make.entry(number, PAGE) for number in order}
            for number, (content, _) in pages.items():
                file.write(content, number * PAGE)
                file.sync()
            self._report(file, PAGE * PAGES, [pages[number][1] for number in range(PAGES)])
        self._append("wal.entries", "wal", [100 + random.randrange(8000) for _ in range(COMMITS)])
        self._lines("notes.txt", [f"Grüße from line {number}, naïve façade, 日本語 ✓" for number in range(40)])
        self._append("picture.entries", "", [100_000 + random.randrange(50_000)])
        self._lines("service.log", [f"INFO  checkpoint complete: wrote {number} buffers" for number in range(200)])

    def streaming(self) -> None:
        """Like a segment of Kafka's log: exactly 102 entries in sequence, then a stream of blocks of 1 MiB."""
        self._append("segment.entries", "entries", [1000 + random.randrange(15_000) for _ in range(ENTRIES)])
        with self._file("stream.blocks", "stream") as file:
            blocks = []
            for number in range(BLOCKS):
                content, entry = self.make.entry(number, BLOCK)
                blocks.append(entry)
                file.write(content, number * BLOCK)
            file.sync()
            self._report(file, BLOCK * BLOCKS, blocks)

    def until_killed(self, name: str) -> None:
        """Append entries for a minute, each acknowledged once it is synced; meant to be killed long before."""
        file = Timed(self.folder / name, os.O_EXCL)
        sync_folder(self.folder)
        offset, number, end = 0, 0, time.monotonic() + STREAM_SECONDS
        while time.monotonic() < end:
            content, entry = self.make.entry(number, 200 + random.randrange(4000))
            file.write(content, offset)
            file.sync()
            say("ack", entry)
            offset, number = offset + len(content), number + 1
            time.sleep(PACE)

    @contextlib.contextmanager
    def _file(self, name: str, workload: str) -> Iterator[Timed]:
        """A new file; what was measured in it is kept as `workload`, unless that is empty."""
        file = Timed(self.folder / name, os.O_EXCL)
        yield file
        if workload:
            self.figures[workload] = file.figures()
        file.close()

    def _append(self, name: str, workload: str, sizes: Iterable[int]) -> None:
        with self._file(name, workload) as file:
            offset, entries = 0, []
            for number, size in enumerate(sizes):
                content, entry = self.make.entry(number, max(size, HEADER.size + 1))
                file.write(content, offset)
                file.sync()
                entries.append(entry)
                offset += len(content)
            self._report(file, offset, entries)

    def _lines(self, name: str, texts: Iterable[str]) -> None:
        with self._file(name, "") as file:
            offset, entries = 0, []
            for number, text in enumerate(texts):
                content, entry = self.make.line(number, text)
                file.write(content, offset)
                entries.append(entry)
                offset += len(content)
            file.sync()
            self._report(file, offset, entries)

    def _report(self, file: Timed, size: int, entries: list[Entry]) -> None:
        say("file", {"name": file.path.name, "size": size, "entries": entries})


def preallocate(descriptor: int, size: int) -> None:
    """Room for a whole table, as PostgreSQL has it before it writes pages at random; made durable before anything is timed."""
    try:
        os.posix_fallocate(descriptor, 0, size)
    except (AttributeError, OSError) as problem:
        if getattr(problem, "errno", None) in (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO):
            raise
        os.ftruncate(descriptor, size)  # a file system without it
    os.fsync(descriptor)


# --- reading ------------------------------------------------------------------------------------------------------------


class Reader:
    """What is in a file of a run, entry by entry, and whatever in it is no entry of that run."""

    def __init__(self, run: str) -> None:
        self.run = bytes.fromhex(run)
        self.entries: list[Entry] = []
        self.odd: list[dict[str, Any]] = []

    def file(self, path: Path) -> dict[str, Any]:
        """The report on one file."""
        self.entries, self.odd = [], []
        descriptor = os.open(path, os.O_RDONLY)
        try:
            drop_cached(descriptor)
            size = os.fstat(descriptor).st_size
            with os.fdopen(os.dup(descriptor), "rb") as file:
                if path.suffix in (".pages", ".blocks"):
                    self._blocks(file, PAGE if path.suffix == ".pages" else BLOCK)
                elif path.suffix == ".entries":
                    self._entries(file.read())
                else:
                    self._lines(file.read())
        finally:
            os.close(descriptor)
        return {"name": path.name, "size": size, "entries": self.entries, "odd": self.odd}

    def _blocks(self, file: IO[bytes], size: int) -> None:
        index = 0
        while True:
            content = file.read(size)
            if not content:
                return
            if len(content) < size:
                self._note(index * size, "cut", index)
            elif not self._binary(content, index * size):
                self._note(index * size, "damaged" if any(content) else "zeros", index)
            index += 1

    def _binary(self, content: bytes, offset: int) -> bool:
        """Take one whole entry; False where it is none."""
        magic, run, number, timestamp, length, checksum = HEADER.unpack_from(content)
        payload = memoryview(content)[HEADER.size :]
        front = HEADER.pack(magic, run, number, timestamp, length, 0)
        if magic != MAGIC or length != len(payload) or zlib.crc32(payload, zlib.crc32(front)) != checksum:
            return False
        self._take(run, Entry(number, timestamp, digest(content)), offset)
        return True

    def _entries(self, content: bytes) -> None:
        offset = 0
        while offset < len(content):
            rest = len(content) - offset
            end = offset
            if rest >= HEADER.size and content.startswith(MAGIC, offset):
                length = HEADER.unpack_from(content, offset)[4]
                end = offset + HEADER.size + length
                if end <= len(content) and self._binary(content[offset:end], offset):
                    offset = end
                    continue
                number = HEADER.unpack_from(content, offset)[2]
            else:
                number = None
            following = content.find(MAGIC, offset + 1)
            if following < 0:
                tail = content[offset:]
                # The beginning of an entry whose rest is not there, or anything else
                whole_length = rest >= HEADER.size and end > len(content) and end - offset <= LONGEST_ENTRY
                beginning = tail.startswith(MAGIC[: len(tail)]) and (rest < HEADER.size or whole_length)
                self._note(offset, "cut" if beginning else "zeros" if not any(tail) else "damaged", number)
                return
            self._note(offset, "zeros" if not any(content[offset:following]) else "damaged", number)
            offset = following

    def _lines(self, content: bytes) -> None:
        offset = 0
        for line in content.splitlines(keepends=True):
            front, _, checksum = line.rstrip(b"\n").rpartition(b" ")
            parts = front.split(b" ", 3)
            if not line.endswith(b"\n"):
                self._note(offset, "cut", None)
            elif len(parts) < 4 or checksum != b"%08x" % zlib.crc32(front):
                self._note(offset, "damaged" if any(line) else "zeros", None)
            else:
                self._take(bytes.fromhex(parts[0].decode()), Entry(int(parts[1]), int(parts[2]), digest(line)), offset)
            offset += len(line)

    def _take(self, run: bytes, entry: Entry, offset: int) -> None:
        if run == self.run:
            self.entries.append(entry)
        else:
            self.odd.append({"at": offset, "what": "stale", "number": entry.number, "run": run.hex()})

    def _note(self, offset: int, what: str, number: int | None) -> None:
        self.odd.append({"at": offset, "what": what, "number": number})


def file_system(root: Path) -> dict[str, Any]:
    """Size and free bytes of the file system (what a user without privileges may use), its type and mount options."""
    found = os.statvfs(root)
    kind, options, longest = "", "", -1
    with contextlib.suppress(OSError, ValueError), Path("/proc/self/mounts").open(encoding="utf-8") as mounts:
        real = str(root.resolve())
        for line in mounts:
            _, point, type_, options_ = line.split()[:4]
            if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= longest:
                kind, options, longest = type_, options_, len(point)
    return {
        "type": kind,
        "readOnly": "ro" in options.split(","),
        "bytes": found.f_blocks * found.f_frsize,
        "freeBytes": found.f_bavail * found.f_frsize,
    }


# --- steps --------------------------------------------------------------------------------------------------------------


def look(root: Path) -> dict[str, Any]:
    """What is in the volume's root, before anything is done to it."""
    return {**file_system(root), "found": sorted(path.name for path in root.iterdir())[:20]}


def write(root: Path, run: str, profile: str, owner: str) -> None:
    """Write all files of a profile, and who wrote them."""
    folder = root / FOLDER
    folder.mkdir(mode=0o750)
    sync_folder(root)
    writer = Writer(folder, run)
    with (folder / OWNER).open("w", encoding="utf-8") as file:
        json.dump({"owner": owner, "run": run}, file)
        file.flush()
        os.fsync(file.fileno())
    getattr(writer, profile)()
    sync_folder(folder)
    say("figures", writer.figures)


def verify(root: Path, run: str) -> None:
    """Read everything that is there and report it."""
    folder = root / FOLDER
    present = folder.is_dir()
    files = {path.name: path for path in sorted(folder.iterdir())} if present else {}
    owner = None
    if OWNER in files:
        with contextlib.suppress(ValueError):
            owner = json.loads(files.pop(OWNER).read_text(encoding="utf-8", errors="replace"))
    say("folder", {"present": present, "owner": owner if isinstance(owner, dict) else None})
    reader = Reader(run)
    for name, path in files.items():
        if stat.S_ISREG(path.lstat().st_mode):
            say("file", reader.file(path))
        else:
            say("file", {"name": name, "size": 0, "entries": [], "odd": [{"at": 0, "what": "no file", "number": None}]})


def main(arguments: list[str]) -> int:
    """Run the steps; exit status 3 when an operation of the volume fails (then the last line says which), or it isn't empty."""
    parser = argparse.ArgumentParser(description="The canary's probe.")
    parser.add_argument("steps", nargs="+", choices=["write", "verify", "stream"])
    parser.add_argument("--root", type=Path, required=True, help="where the volume is mounted")
    parser.add_argument("--run", required=True, help="16 hex digits that no other run has")
    parser.add_argument("--profile", choices=["database", "streaming"], required=True)
    parser.add_argument("--owner", required=True, help="whose volume it is, for another run to tell")
    parser.add_argument("--stream-file", default="killed.entries")
    given = parser.parse_args(arguments)
    try:
        found = look(given.root)
        say("mount", found)
        for step in given.steps:
            if step == "write":
                if set(found["found"]) - {"lost+found"}:
                    return 3  # somebody's data, beside which nothing is written
                write(given.root, given.run, given.profile, given.owner)
            elif step == "verify":
                verify(given.root, given.run)
            else:
                Writer(given.root / FOLDER, given.run).until_killed(given.stream_file)
            say("done", step)
    except OSError as problem:
        name = errno.errorcode.get(problem.errno or 0, "")
        say("fault", {"errno": name, "message": problem.strerror or str(problem), "path": str(problem.filename or "")})
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
