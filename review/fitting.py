"""Lines of Markdown that fit into a page of bounded size: what matters most stands first, and only
the end is cut.

A size is counted in bytes of UTF-8. GitHub says "characters" and doesn't say which, and no text has
fewer bytes than characters of any kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

CUT = "Cut here; the job's log has all of it."
_LEAST = 1_000  # a section that is cut gets no less room than this, or none


def size(lines: Sequence[str]) -> int:
    """The bytes of the lines, each with its end."""
    return sum(len(line.encode()) + 1 for line in lines)


def first_of(lines: Sequence[str], room: int) -> list[str]:
    """As many whole lines, from the first on, as have room."""
    kept: list[str] = []
    for line in lines:
        room -= size([line])
        if room < 0:
            break
        kept.append(line)
    return kept


def fitted(sections: Sequence[Sequence[str]], room: int) -> list[str]:
    """The sections one after another; where they don't all fit, each has its share of the room.

    What a short one leaves goes to the longer ones. A section that is cut says so, and those for
    which there is no room at all are counted at the end.
    """
    if sum(map(size, sections)) <= room:
        return [line for section in sections for line in section]
    left_for = room - size(["", _left_out(len(sections)), ""])
    least = accumulate(min(size(section), _LEAST) for section in sections)
    shown = sections[: sum(needed <= left_for for needed in least)]
    lines: list[str] = []
    for section, share in zip(shown, _shares(list(map(size, shown)), left_for), strict=True):
        lines += section if size(section) <= share else [*first_of(section, share - size(["", CUT, ""])), "", CUT, ""]
    left_out = len(sections) - len(shown)
    return [*lines, _left_out(left_out), ""] if left_out and left_for >= 0 else lines


def _left_out(number: int) -> str:
    return f"There is no room for the details of {number} more stacks; the job's log has them."


def _shares(sizes: Sequence[int], room: int) -> list[int]:
    """What each may take of the room: the same for all, but for those who need less."""
    shares = [0] * len(sizes)
    for done, index in enumerate(sorted(range(len(sizes)), key=lambda each: sizes[each])):
        shares[index] = min(sizes[index], room // (len(sizes) - done))
        room -= shares[index]
    return shares
