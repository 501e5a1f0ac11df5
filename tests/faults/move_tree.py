"""A tree with everything in it that a file system has, and a picture of one to compare.

It runs as a program beside a volume as well, in any pod that has Python 3.9:

    python3 -IB move_tree.py make ROOT [--files N] [--large BYTES] [--seed N]
    python3 -IB move_tree.py show ROOT

`show` is another way to look at a tree than the move's own program: it shares nothing with it.
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import os
import random
import socket
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

OWNER = 999  # as PostgreSQL's image has it
HOLE = 2**18  # bytes of the holes here: file systems have blocks of up to 64 KiB
SIZES = (0, 1, 4095, 4096, 4097, 2**20 - 8, 2**20 - 7, 2**20, 2**20 + 1, 3 * 2**20 + 5)
NAMES = (
    b"two\nlines",
    b"not UTF-8 \xff\xfe",
    b" spaces ",
    b"-rf",
    b"back\\slash 'and' \"quotes\" $HOME `id` *",
    "Zoë Straße 日本 e\u0301".encode(),
    b"\x01\x1b[31mred\x7f",
    b"n" * 255,
    b".hidden",
)


def make(root: str, files: int, large: int, seed: int) -> None:
    """Make the tree; the same seed gives the same contents."""
    top, chance = os.fsencode(root), random.Random(seed)
    _folders(top)
    _files(top, files, chance)
    _holes(top, large, chance)
    _links(top)
    _specials(top)
    _attributes(top)
    _owners_and_times(top, chance)


def _folders(top: bytes) -> None:
    for name in (b"pgdata/base/1", b"pgdata/pg_wal", b"kafka/topic-0", b"empty", b"odd", b"many", b"shared", b"/".join([b"deep"] * 40)):
        os.makedirs(os.path.join(top, name))
    os.makedirs(os.path.join(top, b"odd", b"folder \xff\n"))


def _files(top: bytes, files: int, chance: random.Random) -> None:
    for size in SIZES:
        _write(os.path.join(top, b"kafka/topic-0/%d.log" % size), chance.randbytes(size))
    for name in NAMES:
        _write(os.path.join(top, b"odd", name), chance.randbytes(100))
    _write(os.path.join(top, b"odd", b"folder \xff\n", b"file"), b"inside")
    for number in range(files):
        folder = os.path.join(top, b"many", b"%d" % (number % 20))
        os.makedirs(folder, exist_ok=True)
        _write(os.path.join(folder, b"%d" % number), chance.randbytes(chance.choice((0, 10, 1000, 8192, 20000))))


def _holes(top: bytes, large: int, chance: random.Random) -> None:
    _sparse(os.path.join(top, b"pgdata/between"), 4 * HOLE, {0: chance.randbytes(HOLE), 3 * HOLE: chance.randbytes(HOLE)})
    _sparse(os.path.join(top, b"pgdata/first"), 3 * HOLE + 7, {2 * HOLE: chance.randbytes(HOLE + 7)})
    _sparse(os.path.join(top, b"pgdata/last"), 3 * HOLE + 7, {0: chance.randbytes(10)})
    _sparse(os.path.join(top, b"pgdata/nothing"), max(large, 8 * HOLE), {})
    _write(os.path.join(top, b"pgdata/zeros"), bytes(4 * HOLE))  # written: no hole


def _links(top: bytes) -> None:
    os.link(os.path.join(top, b"pgdata/between"), os.path.join(top, b"kafka/second name"))
    os.link(os.path.join(top, b"pgdata/between"), os.path.join(top, b"empty.third name"))
    for name, target in {
        b"relative": b"../kafka",
        b"absolute": b"/etc/hostname",
        b"dangling": b"nowhere",
        b"itself": b"itself",
        b"one": b"other",
        b"other": b"one",
        b"up": b"..",
        b"odd": b"not UTF-8 \xff",
    }.items():
        os.symlink(target, os.path.join(top, b"shared", name))
    os.link(os.path.join(top, b"shared/dangling"), os.path.join(top, b"shared/dangling too"), follow_symlinks=False)


def _specials(top: bytes) -> None:
    os.mkfifo(os.path.join(top, b"shared/fifo"), 0o620)
    one = socket.socket(socket.AF_UNIX)
    # A socket's path has at most 107 bytes: it is made where that is short.
    before = os.open(".", os.O_RDONLY)
    os.chdir(os.path.join(top, b"shared"))
    one.bind(b"socket")
    one.close()
    os.fchdir(before)
    os.close(before)


def _attributes(top: bytes) -> None:
    with suppress(OSError):  # not every file system has them
        os.setxattr(os.path.join(top, b"pgdata/zeros"), "user.note", b"\x00\xffbytes")
        os.setxattr(os.path.join(top, b"pgdata/zeros"), "user.empty", b"")
        os.setxattr(os.path.join(top, b"pgdata"), "user.folder", b"x" * 1000)
    with suppress(OSError):
        os.setxattr(os.path.join(top, b"pgdata/last"), "system.posix_acl_access", _acl())
        os.setxattr(os.path.join(top, b"shared"), "system.posix_acl_default", _acl())
        os.setxattr(os.path.join(top, b"shared/fifo"), "system.posix_acl_access", _acl())


def _acl() -> bytes:
    """user::rw-, user:999:r--, group::r--, mask::rw-, other::---, as the kernel has it."""
    nobody = 2**32 - 1
    entries = [(1, 6, nobody), (2, 4, OWNER), (4, 4, nobody), (0x10, 6, nobody), (0x20, 0, nobody)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *each) for each in entries)


def _owners_and_times(top: bytes, chance: random.Random) -> None:
    modes = {
        b"kafka/topic-0/0.log": 0o000,
        b"kafka/topic-0/1.log": 0o4755,
        b"kafka/topic-0/4095.log": 0o2755,
        b"pgdata": 0o700,
        b"pgdata/base": 0o500,
        b"shared": 0o1777,
        b"kafka": 0o2775,
    }
    for folder, folders, names in os.walk(top, topdown=False):
        for name in (*names, *folders):
            path = os.path.join(folder, name)
            if b"pgdata" in path or b"4095" in path:
                os.chown(path, OWNER, OWNER, follow_symlinks=False)
            mode = modes.get(os.path.relpath(path, top))
            if mode is not None:
                os.chmod(path, mode)
            seconds = chance.choice((-86400, 0, 1_600_000_000, 2_000_000_000))
            os.utime(path, ns=(0, seconds * 10**9 + chance.randrange(10**9)), follow_symlinks=False)
    os.utime(top, ns=(0, 1_234_567_890_123_456_789))


def _write(path: bytes, data: bytes) -> None:
    with open(path, "xb") as file:
        file.write(data)


def _sparse(path: bytes, size: int, parts: dict[int, bytes]) -> None:
    with open(path, "xb") as file:
        file.truncate(size)
        for offset, data in parts.items():
            file.seek(offset)
            file.write(data)


def show(root: str | Path) -> dict[str, dict[str, Any]]:
    """All that a copy has to have, by path. What a move keeps for itself is shown as well."""
    top = os.fsencode(root)
    found: dict[str, dict[str, Any]] = {}
    first: dict[int, str] = {}
    paths = [top]
    for folder, folders, names in os.walk(top):
        if folder == top:
            folders[:] = [name for name in folders if name != b"lost+found"]
        paths += [os.path.join(folder, name) for name in (*folders, *names)]
    for path in sorted(paths):
        name, seen = ascii(os.path.relpath(path, top)), os.lstat(path)
        picture: dict[str, Any] = {"mode": oct(seen.st_mode), "owner": [seen.st_uid, seen.st_gid], "mtime": seen.st_mtime_ns}
        if not stat.S_ISDIR(seen.st_mode):
            picture["links"] = seen.st_nlink
            picture["same as"] = first.setdefault(seen.st_ino, name)
        if stat.S_ISLNK(seen.st_mode):
            picture["to"] = ascii(os.readlink(path))
        if stat.S_ISREG(seen.st_mode):
            picture["size"] = seen.st_size
            picture["blake2b"], picture["hole"] = _contents(path)
        try:
            names_of_attributes = sorted(os.listxattr(path, follow_symlinks=False))
            picture["xattrs"] = {each: os.getxattr(path, each, follow_symlinks=False).hex() for each in names_of_attributes}
        except OSError as problem:
            if problem.errno != errno.ENOTSUP:
                raise
        found[name] = picture
    return found


def _contents(path: bytes) -> tuple[str, int]:
    """The hash of a file, and how many whole blocks of 64 KiB of it are holes."""
    digest, data, block = hashlib.blake2b(), 0, 2**16
    with open(path, "rb") as file:
        while part := file.read(2**20):
            digest.update(part)
        size = os.fstat(file.fileno()).st_size
        blocks = set(range(size // block))
        with suppress(OSError):
            while True:
                data = os.lseek(file.fileno(), data, os.SEEK_DATA)
                end = os.lseek(file.fileno(), data, os.SEEK_HOLE)
                blocks -= set(range(data // block, -(-end // block)))
                data = end
    return digest.hexdigest(), len(blocks)


def main() -> None:
    parser = argparse.ArgumentParser(description="Makes a tree with everything in it, or shows one.")
    parser.add_argument("what", choices=("make", "show"))
    parser.add_argument("root")
    parser.add_argument("--files", type=int, default=200, help="small files beside the special ones")
    parser.add_argument("--large", type=int, default=2**23, help="bytes of the file that is one hole")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.what == "make":
        Path(given.root).mkdir(exist_ok=True)
        make(given.root, given.files, given.large, given.seed)
        return
    for name, picture in show(given.root).items():
        print(json.dumps([name, picture]))


if __name__ == "__main__":
    main()
