"""What was compared of each partition, kept beside the move's record: a comparison goes on from
there, and the groups' offsets follow from it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field

from ops.errors import UserError
from ops.move.kept import KeptMove, write
from ops.move.mirror.brokers import Partition
from ops.move.mirror.pod import Compared

_FILE = "compared.json"


@dataclass
class PartitionPairs:
    """Of one partition: `records` are the same up to `source` and `target`, the offsets from which
    to go on. `target_only` and `source_only` are records at the front that the other side's
    retention has removed. `marks` are offsets of one record on both sides, in order. `ids` are
    those of the topics that were compared. `last` are both offsets of the last record that was.
    """

    source: int
    target: int
    records: int = 0
    target_only: int = 0
    source_only: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    last: tuple[int, int] | None = None

    def add(self, found: Compared, *, anew: bool) -> None:
        """What was compared; `anew` from the beginning."""
        if anew:
            self.records = self.target_only = self.source_only = 0
            self.marks, self.last = [], None
        self.source, self.target = found.source_to, found.target_to
        self.records += found.records
        self.target_only += found.target_only
        self.source_only += found.source_only
        self.marks += found.runs
        self.last = found.last or self.last


class ComparedPartitions:
    """All partitions of a move."""

    def __init__(self, kept: KeptMove) -> None:
        self._file = kept.folder / _FILE
        self._known: dict[Partition, PartitionPairs] = {}
        self._read = False

    def _all(self) -> dict[Partition, PartitionPairs]:
        if not self._read and self._file.exists():
            try:
                for topic, number, one in json.loads(self._file.read_text(encoding="utf-8")):
                    marks, last = [(source, target) for source, target in one["marks"]], one.get("last")
                    self._known[topic, number] = PartitionPairs(**{**one, "marks": marks, "last": (last[0], last[1]) if last else None})
            except (ValueError, TypeError, KeyError):
                raise UserError(f"{self._file} isn't what this command wrote there.", "Begin anew: --live --cancel, then --live.") from None
        self._read = True
        return self._known

    def of(self, partition: Partition) -> PartitionPairs:
        """What is known of one; from nothing on where that is nothing."""
        return self._all().setdefault(partition, PartitionPairs(0, 0))

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._all())

    def begin(self, starts: Iterable[tuple[Partition, int]]) -> None:
        """Nothing was compared yet; the source's partitions begin here."""
        self._known, self._read = {partition: PartitionPairs(start, 0) for partition, start in starts}, True
        self.save()

    def save(self) -> None:
        """For the next command."""
        write(self._file, json.dumps([[*partition, asdict(each)] for partition, each in self._known.items()]) + "\n")

    def forget(self) -> None:
        """The move was called off, or its groups have their offsets."""
        self._file.unlink(missing_ok=True)
