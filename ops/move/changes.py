"""Whether an end of a move is still what it was when it was read."""

from __future__ import annotations

from collections.abc import Iterable

from ops.move.kept import Entry, key

_LOOKED_AT = ("kind", "mode", "uid", "gid", "mtimeNs", "ctimeNs", "ino", "size", "target")


def unread(entry: Entry) -> bool:
    """Whether it is a file whose contents nobody has read."""
    return entry["kind"] == "file" and "hash" not in entry and "link" not in entry


class Changes:
    """What changed at an end, by all that can be seen without reading it again.

    It hears what is there now one by one: a second list of all would take the memory of the first.
    """

    def __init__(self, before: Iterable[Entry]) -> None:
        self._before = {key(each): each for each in before}
        self._found: list[str] = []

    def hear(self, now: Entry) -> None:
        """Something is there."""
        old = self._before.pop(key(now), None)
        if old is None:
            self._found.append(f"{now['path']} is new")
            return
        told = [name for name in _LOOKED_AT if name in old and name in now and old[name] != now[name]]
        if told and not (told == ["size"] and old["kind"] == "directory"):
            self._found.append(f"{old['path']}: another {', '.join(told)} than before")

    def found(self) -> list[str]:
        """All changes, a sentence each, once everything that is there has been heard of."""
        return sorted([*self._found, *(f"{each['path']} is gone" for each in self._before.values())])
