"""Whether a source is still what it was when it was read."""

from __future__ import annotations

from collections.abc import Iterable

from ops.move.kept import Entry, key

_LOOKED_AT = ("kind", "mode", "uid", "gid", "mtimeNs", "ctimeNs", "ino", "size", "target")


def unread(entry: Entry) -> bool:
    """Whether it is a file whose contents nobody has read."""
    return entry["kind"] == "file" and "hash" not in entry and "link" not in entry


def changes(before: Iterable[Entry], after: Iterable[Entry]) -> list[str]:
    """What changed at the source, by all that can be seen without reading it again."""
    old, new = {key(each): each for each in before}, {key(each): each for each in after}
    found = [f"{old[each]['path']} is gone" for each in old if each not in new]
    found += [f"{new[each]['path']} is new" for each in new if each not in old]
    for each in old.keys() & new.keys():
        told = [name for name in _LOOKED_AT if name in old[each] and name in new[each] and old[each][name] != new[each][name]]
        if told and not (told == ["size"] and old[each]["kind"] == "directory"):
            found.append(f"{old[each]['path']}: another {', '.join(told)} than before")
    return sorted(found)
