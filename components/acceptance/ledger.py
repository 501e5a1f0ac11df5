"""What an engine has acknowledged, kept outside of the volume. Pure functions and values.

The writers of a run are numbered from 0, and so are their entries from 1: the transactions of a
PostgreSQL client, the records of a Kafka partition. The next one begins after the last was
acknowledged, so an acknowledgement is the highest number of a writer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

Numbers: TypeAlias = Sequence[int]  # [first, last] of numbers in a row

SHOWN = 5  # ranges that a sentence lists


@dataclass
class Ledger:
    """What was acknowledged, by writer the highest number."""

    acknowledged: dict[int, int] = field(default_factory=dict)

    def add(self, acks: Mapping[str, int]) -> None:
        """Add the value of an `acks` line of a script."""
        for writer, number in acks.items():
            self.acknowledged[int(writer)] = max(number, self.acknowledged.get(int(writer), 0))

    @property
    def total(self) -> int:
        """How many entries were acknowledged, of all writers."""
        return sum(self.acknowledged.values())


class WriterDifference(NamedTuple):
    """How one writer's entries as they were found differ from what was acknowledged.

    Each has the ranges of numbers: acknowledged and not there, there more than once, after one
    that is higher, and not there although a later one is (which nobody has acknowledged).
    """

    writer: int
    lost: tuple[tuple[int, int], ...] = ()
    doubled: tuple[tuple[int, int], ...] = ()
    reordered: tuple[tuple[int, int], ...] = ()
    skipped: tuple[tuple[int, int], ...] = ()

    @property
    def is_none(self) -> bool:
        """Whether all is as it was acknowledged."""
        return not (self.lost or self.doubled or self.reordered or self.skipped)


def difference(writer: int, acknowledged: int, found: Iterable[Numbers]) -> WriterDifference:
    """Compare one writer's entries, `found` in the order in which the engine gives them.

    What is there beyond the last acknowledgement is right: a commit whose acknowledgement was on
    its way when the pod was killed.
    """
    seen: set[int] = set()
    doubled: list[int] = []
    reordered: list[int] = []
    highest = 0
    for first, last in found:
        for number in range(first, last + 1):
            if number in seen:
                doubled.append(number)
            elif number < highest:
                reordered.append(number)
            seen.add(number)
            highest = max(highest, number)
    lost = [number for number in range(1, acknowledged + 1) if number not in seen]
    skipped = [number for number in range(acknowledged + 1, highest) if number not in seen]
    return WriterDifference(writer, *map(_ranges, (lost, doubled, reordered, skipped)))


def count(ranges: Iterable[Numbers]) -> int:
    """How many numbers there are in ranges."""
    return sum(last - first + 1 for first, last in ranges)


def shown(ranges: Sequence[Numbers]) -> str:
    """Ranges for a sentence: `3, 7-9 and 4 more`."""
    texts = [str(first) if first == last else f"{first}-{last}" for first, last in ranges[:SHOWN]]
    return ", ".join(texts) + (f" and {len(ranges) - SHOWN} more ranges" if len(ranges) > SHOWN else "")


def _ranges(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and number == found[-1][1] + 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


def as_ranges(blocks: Iterable[Sequence[Any]]) -> list[Numbers]:
    """The ranges of blocks of [first, last, digest]."""
    return [(int(first), int(last)) for first, last, _ in blocks]
