"""Making what isn't a file, and giving anything its owner, mode, attributes and time."""

from __future__ import annotations

import base64
import os
import stat
from typing import Any

from .nodes import MARKER, TEMPORARY, Entry, attributes_of, value_of
from .voice import Failed, words


def proper(path: bytes) -> bytes:
    """A path that stays inside of the target, and isn't the move's own. Raises Failed."""
    parts = path.split(b"/")
    if b"\0" in path or (path != b"." and not {b"", b".", b".."}.isdisjoint(parts)):
        raise Failed("protocol", "this path would be outside of the target", path)
    if path == MARKER or TEMPORARY.fullmatch(parts[-1]):
        raise Failed("protocol", "a move gives this name to its own files", path)
    return path


def make(where: bytes, entry: Entry) -> None:
    """Make what is neither a file nor a folder. Raises OSError."""
    kind = entry["kind"]
    if kind == "symlink":
        os.symlink(value_of("target", entry), where)
    elif kind == "device":
        letter, numbers = entry["device"].split()
        os.mknod(where, 0o600 | (stat.S_IFCHR if letter == "c" else stat.S_IFBLK), os.makedev(*map(int, numbers.split(":"))))
    else:
        os.mknod(where, 0o600 | (stat.S_IFIFO if kind == "fifo" else stat.S_IFSOCK))


def dress(where: bytes | int, entry: Entry) -> None:
    """Give something its owner, mode, extended attributes and time. Raises OSError and Failed.

    In this order: a new owner takes away set-user-ID and capabilities, an ACL sets the mode's bits
    of the group, and the time is the last that changes.
    """
    follow: dict[str, Any] = {} if isinstance(where, int) else {"follow_symlinks": False}
    found = os.stat(where, **follow)
    if (found.st_uid, found.st_gid) != (entry["uid"], entry["gid"]):
        os.chown(where, entry["uid"], entry["gid"], **follow)
    if entry["kind"] != "symlink":
        os.chmod(where, entry["mode"])
    wanted = entry.get("xattrs", {})
    for name in {*attributes_of(where), *wanted}:
        try:
            if name in wanted:
                os.setxattr(where, name, base64.b64decode(wanted[name]), **follow)
            else:
                os.removexattr(where, name, **follow)
        except OSError as problem:
            raise Failed("unwritable", f"its extended attribute {name}: {words(problem)}", value_of("path", entry)) from None
    os.utime(where, ns=(entry["mtimeNs"], entry["mtimeNs"]), **follow)
