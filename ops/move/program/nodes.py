"""What is in a folder, and what a manifest says of each thing, without reading it."""

from __future__ import annotations

import base64
import errno
import fcntl
import os
import re
import stat
import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from .voice import Failed, readable, words

Entry = dict[str, Any]

MARKER = b".storage-tiers-move"
TEMPORARY = re.compile(rb"\.storage-tiers-move\.[0-9]+")
LOST_FOUND = b"lost+found"  # where ext4 puts what it has repaired: it belongs to the file system
GETFLAGS = 0x80086601  # FS_IOC_GETFLAGS of linux/fs.h, on 64 bits
FLAGS = {0x10: ("immutable", "i"), 0x20: ("append-only", "a")}  # FS_IMMUTABLE_FL, FS_APPEND_FL
KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


class TreeNode(NamedTuple):
    """Something in a folder: its path from there, and the first name of an inode that has more."""

    path: bytes
    stat: os.stat_result
    link: bytes | None

    @property
    def is_read(self) -> bool:
        """Whether it is a file, under its first name."""
        return stat.S_ISREG(self.stat.st_mode) and self.link is None


def at(root: bytes, path: bytes) -> bytes:
    """Where a path of the move is on this machine."""
    return root if path == b"." else os.path.join(root, path)


def walk(root: bytes, failed: Callable[[Failed], None], *, foreign: bool = False) -> Iterator[TreeNode]:
    """All that is in a folder, itself first, a folder before what is in it, in the order of names.

    What can't be read is said, and the others go on. What a move gives its own names to is left
    out; where no move is at work, as in a source or a finished copy, it is `foreign`, and said.
    """
    first = os.lstat(root)
    seen: dict[tuple[int, int], bytes] = {}
    yield TreeNode(b".", first, None)
    pending = [b"."]
    while pending:
        folder = pending.pop()
        try:
            names = sorted(os.listdir(at(root, folder)))
        except OSError as problem:
            failed(Failed("unreadable", words(problem), folder))
            continue
        below = []
        for name in names:
            path = name if folder == b"." else os.path.join(folder, name)
            if path in (MARKER, LOST_FOUND):
                continue
            if TEMPORARY.fullmatch(name):
                if foreign:
                    failed(Failed("foreign", "a move gives this name to its own files", path))
                continue
            try:
                found = os.lstat(at(root, path))
            except OSError as problem:
                failed(Failed("changed" if problem.errno == errno.ENOENT else "unreadable", words(problem), path))
                continue
            if found.st_dev != first.st_dev:
                failed(Failed("unreadable", "another file system is mounted here", path))
                continue
            if stat.S_ISDIR(found.st_mode):
                below.append(path)
            link = None
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                one = seen.setdefault((found.st_dev, found.st_ino), path)
                link = one if one != path else None
            yield TreeNode(path, found, link)
        pending.extend(reversed(below))


def left_out(root: bytes) -> int:
    """How many things are in `lost+found`, which a move leaves where they are."""
    where = at(root, LOST_FOUND)
    try:
        return len(os.listdir(where))
    except FileNotFoundError:
        return 0
    except OSError:
        return 1  # a file of this name, or a folder that can't be read: it stays there all the same


def sizes(root: bytes) -> Iterator[int]:
    """The size of each file in a folder, in bytes; of one with more names, once."""
    found = walk(root, lambda _: None)  # what can't be read is said when it is read
    return (node.stat.st_size for node in found if node.is_read)


def describe(root: bytes, node: TreeNode) -> Entry:
    """What the manifest says about something, without what takes reading it. Raises OSError."""
    where, found = at(root, node.path), node.stat
    kind = KINDS[stat.S_IFMT(found.st_mode)]
    entry: Entry = {
        **named("path", node.path),
        "kind": kind,
        "mode": stat.S_IMODE(found.st_mode),
        "uid": found.st_uid,
        "gid": found.st_gid,
        "mtimeNs": found.st_mtime_ns,
        "ctimeNs": found.st_ctime_ns,
        "ino": found.st_ino,
    }
    if kind in ("file", "symlink"):
        entry["size"] = found.st_size
    if kind == "symlink":
        entry.update(named("target", os.readlink(where)))
    if kind == "device":
        entry["device"] = f"{'c' if stat.S_ISCHR(found.st_mode) else 'b'} {os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    if node.link is not None:
        entry.update(named("link", node.link))
    attributes = {name: base64.b64encode(os.getxattr(where, name, follow_symlinks=False)).decode() for name in attributes_of(where)}
    if attributes:
        entry["xattrs"] = attributes
    return entry


def attributes_of(where: bytes | int) -> list[str]:
    """Names of extended attributes; ACLs are among them. A label of SELinux is its host's."""
    try:
        found = os.listxattr(where) if isinstance(where, int) else os.listxattr(where, follow_symlinks=False)
    except OSError as problem:
        if problem.errno in (errno.ENOTSUP, errno.ENOSYS):
            return []
        raise
    return sorted(name for name in found if name != "security.selinux")


def check_flags(fd: int, path: bytes) -> None:
    """Raise Failed for a file or folder that nobody may change: no copy can get that flag.

    To set it takes CAP_LINUX_IMMUTABLE, and a volume with it isn't let go of without that.
    """
    try:
        found = struct.unpack_from("=I", fcntl.ioctl(fd, GETFLAGS, bytes(8)))[0]
    except OSError as problem:
        if problem.errno in (errno.ENOTTY, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            return  # the file system has no such flags
        raise
    for flag, (word, letter) in FLAGS.items():
        if found & flag:
            raise Failed("unwritable", f"its flag `{word}` isn't moved: take it away on the source, by `chattr -{letter}`", path)


def named(name: str, value: bytes) -> dict[str, str]:
    """A path in JSON: in Base64 as well where it isn't UTF-8."""
    try:
        return {name: value.decode("utf-8")}
    except UnicodeDecodeError:
        return {name: readable(value), f"{name}Base64": base64.b64encode(value).decode()}


def value_of(name: str, entry: Entry) -> bytes:
    """The path that `named` has put into JSON."""
    return base64.b64decode(entry[f"{name}Base64"]) if f"{name}Base64" in entry else entry[name].encode()


def signature(found: os.stat_result) -> list[int]:
    """What is another after a change of a file."""
    return [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def of_source(problem: OSError, path: bytes) -> Failed:
    """A fault of the source."""
    return Failed("changed" if problem.errno in (errno.ENOENT, errno.ELOOP) else "unreadable", words(problem), path)
