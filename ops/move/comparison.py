"""Whether a target is what its source was, by the manifests of both."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

Entry = Mapping[str, Any]

# Of an entry, what a copy has as well, and how it is shown. The time of the last access, that of
# the inode's change and the inode's number are the file system's own.
_OF_ANY: dict[str, Callable[[Any], str]] = {
    "mode": lambda value: f"{value:04o}",
    "uid": str,
    "gid": str,
    "mtimeNs": lambda value: f"{value // 10**9}.{value % 10**9:09d} s",
    "size": lambda value: f"{value} bytes",
    "target": repr,
    "device": str,
}
_NAMES = {"uid": "owner", "gid": "group", "mtimeNs": "time of change", "target": "link's target"}


def compare(source: Iterable[Entry], target: Iterable[Entry]) -> list[str]:
    """All differences, a sentence each, in the order of paths; none where the target is the source.

    The entries are those of the move's program, in any order. A file of which either side has no
    hash is a difference: it hasn't been read. `lost+found` in the root isn't compared.
    """
    return [f"{entry['path']}: {sentence}" for entry, sentence in _compared(source, target)]


def differing(source: Iterable[Entry], target: Iterable[Entry]) -> list[Entry]:
    """The entries of both that `compare` says something of."""
    return [entry for entry, _ in _compared(source, target)]


def _compared(source: Iterable[Entry], target: Iterable[Entry]) -> Iterator[tuple[Entry, str]]:
    one, other = _by_path(source), _by_path(target)
    for path in sorted(one.keys() | other.keys()):
        if path.split(b"/")[0] == b"lost+found":
            continue
        entry = one.get(path) or other[path]
        if path not in other:
            yield entry, "is missing on the target"
        elif path not in one:
            yield entry, "is on the target alone"
        else:
            for sentence in _differences(entry, other[path]):
                yield entry, sentence


def _by_path(entries: Iterable[Entry]) -> dict[bytes, Entry]:
    return {_bytes(each, "path"): each for each in entries}


def _bytes(entry: Entry, name: str) -> bytes:
    encoded = entry.get(f"{name}Base64")
    return base64.b64decode(encoded) if encoded else str(entry.get(name, "")).encode()


def _differences(one: Entry, other: Entry) -> Iterator[str]:
    if one["kind"] != other["kind"]:
        yield f"is a {other['kind']} on the target, a {one['kind']} on the source"
        return
    for key, shown in _OF_ANY.items():
        if key == "size" and one["kind"] == "directory":
            continue
        if one.get(key) != other.get(key) or _bytes(one, key) != _bytes(other, key):
            mine, theirs = (shown(each[key]) if each.get(key) is not None else "none" for each in (one, other))
            yield f"its {_NAMES.get(key, key)} is {theirs} on the target, {mine} on the source"
    if _bytes(one, "link") != _bytes(other, "link"):
        mine, theirs = (f"the same file as {each['link']}" if "link" in each else "a file of its own" for each in (one, other))
        yield f"is {theirs} on the target, {mine} on the source"
    elif one["kind"] == "file" and "link" not in one:
        yield from _contents(one, other)
    yield from _attributes(one.get("xattrs") or {}, other.get("xattrs") or {})


def _contents(one: Entry, other: Entry) -> Iterator[str]:
    for entry, side in ((one, "source"), (other, "target")):
        if not entry.get("hash"):
            yield f"its contents on the {side} haven't been read"
            return
    if one["hash"] != other["hash"]:
        yield f"its contents are others (SHA-256 {other['hash'][:16]}… on the target, {one['hash'][:16]}… on the source)"
    # A file system may well make holes of zeros by itself. That it fills them is a loss of space.
    kept = list(reversed(other.get("holes") or []))
    filled = [hole for hole in one.get("holes") or [] if not _covered(hole, kept)]
    if filled:
        yield f"{len(filled)} of its {len(one['holes'])} holes are written out on the target, the first one at {filled[0][0]}"


def _covered(hole: list[int], kept: list[list[int]]) -> bool:
    """Whether a hole (offset, length) lies in one of those, the first one last."""
    while kept and sum(kept[-1]) <= hole[0]:
        kept.pop()
    return bool(kept) and kept[-1][0] <= hole[0] and sum(hole) <= sum(kept[-1])


def _attributes(one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        what = "its ACL" if name == "system.posix_acl_access" else f"its extended attribute {name}"
        if name not in other:
            yield f"{what} is missing on the target"
        elif name not in one:
            yield f"{what} is on the target alone"
        elif one[name] != other[name]:
            yield f"{what} is another on the target"
