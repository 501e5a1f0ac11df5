"""Whether a partition of the target has what the source's has: record by record, in their order.

Offsets may differ: a transaction's end takes one, and retention has removed records at the
beginning. What is compared is all else: key, value, headers, timestamp.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from .records import BATCH, Log, Record, Stream

MARKS = 4000  # of a partition, at most
_WINDOW = 64  # records that say where both sides begin
_ALIKE = 8  # records that go on alike
_AHEAD = 1000  # records that are looked at to say what is different
_NEVER = 2**63
_FIELDS = ("timestamp", "key", "value", "headers")


@dataclass(frozen=True)
class Span:
    """What is compared: from `source_from` to before `source_to`, from `target_from` on.

    Records of before `expires` (milliseconds since 1970) may be missing at the target's front,
    where the target's own retention has removed them. `last` are both offsets of the last record
    that was compared before.
    """

    source_from: int
    source_to: int
    target_from: int
    expires: int = 0
    last: tuple[int, int] | None = None


@dataclass
class Compared:
    """What was found. All up to `source_to` and `target_to` is the same, unless `difference` says
    otherwise.

    `runs` are places of both sides from which on both have the same records.
    `target_only` are records at the front that the source's retention has removed meanwhile,
    `source_only` those that the target's has. Where the source's has removed all, `is_gone`: which
    of the target's records these are isn't known before there are more, or no more may come.
    `last` are both offsets of the last record that was the same.
    """

    records: int = 0
    source_to: int = 0
    target_to: int = 0
    runs: list[tuple[int, int]] = field(default_factory=list)
    target_only: int = 0
    source_only: int = 0
    difference: str = ""
    is_gone: bool = False
    last: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """For the driver."""
        return asdict(self)


class Marks:
    """Places of both sides: one wherever their difference changes, or fewer where that is often."""

    def __init__(self) -> None:
        self.kept: list[tuple[int, int]] = []
        self._shift: int | None = None
        self._every, self._changes = 1, 0

    def add(self, source: int, target: int) -> None:
        """A record is at these offsets."""
        if target - source == self._shift:
            return
        self._shift = target - source
        self._changes += 1
        if self._changes % self._every == 0 or not self.kept:
            self.kept.append((source, target))
        if len(self.kept) >= MARKS:
            del self.kept[1::2]
            self._every *= 2


class PartitionComparison:
    """Of one partition. `tell` hears how many records are compared.

    With `last` nothing more may be at the target's end.
    """

    def __init__(self, source: Log, target: Log, span: Span, patience: float, tell: Callable[[int], None], *, last: bool = False) -> None:
        self._source = Stream(source, span.source_from, span.source_to)
        self._target = Stream(target, span.target_from, None, patience)
        self._span = span
        self._tell = tell
        self._last = last
        self._marks = Marks()
        self._before: list[Record] = []  # the last ones that were the same
        self.found = Compared(source_to=span.source_from, target_to=span.target_from)

    def run(self) -> Compared:
        """Compare. Raises MirrorFault, and Removed where retention has been quicker."""
        end = self._target.log.end
        if end < self._span.target_from:
            return self._differs(
                f"the target's log ends at offset {end}: what was compared up to its offset {self.found.target_to} is lost there"
            )
        if not self._align():
            return self.found
        while ours := self._source.look(BATCH):
            theirs = self._target.look()
            if not theirs:
                where = f"the target has nothing from its offset {self.found.target_to} on"
                return self._differs(f"source offset {ours[0].offset} and what follows is missing: {where}")
            theirs = list(self._target.waiting)
            for ahead, (one, other) in enumerate(zip(ours, theirs, strict=False)):
                if one[1:] != other[1:]:
                    self._before = [*self._before, *ours[:ahead]][-_AHEAD:]
                    return self._differs(self._words(one, other))
                self._marks.add(one.offset, other.offset)
                self._source.waiting.popleft()
                self._target.waiting.popleft()
                self.found.records += 1
                self.found.source_to, self.found.target_to = one.offset + 1, other.offset + 1
                self.found.last = one.offset, other.offset
            self._before = [*self._before, *ours][-_AHEAD:]
            self._tell(self.found.records)
        self.found.is_gone = not self.found.records and self._source.removed > 0
        if self.found.is_gone and not self._last:
            return self.found
        self.found.source_to = max(self._span.source_to, self.found.source_to)
        if self._last:
            self._look_for_more()
        self.found.runs = [*self._marks.kept, (self.found.source_to, self.found.target_to)]
        return self.found

    def _look_for_more(self) -> None:
        # What the source has removed before it was compared may be there.
        room = self._source.removed if self.found.is_gone else 0
        self._target.patience = 0
        while more := self._target.look(BATCH):
            if len(more) > room:
                again = any(each[1:] == more[room][1:] for each in self._before)
                what = "doubled: an earlier record comes again" if again else "the source has no such record"
                self._differs(f"target offset {more[room].offset}, behind the source's last record, {what}")
                return
            room -= len(more)
            self.found.target_only += len(more)
            self._target.drop(len(more))
        self.found.target_to = max(self.found.target_to, self._target.log.next)

    def _differs(self, how: str) -> Compared:
        self.found.difference = how
        self.found.runs = self._marks.kept
        return self.found

    # --- where both begin -----------------------------------------------------------------------

    def _align(self) -> bool:
        """Leave out what retention has removed at one side's beginning; False where it differs."""
        source, target = self._source, self._target
        ours = source.look(_WINDOW)
        if not ours or not (source.removed or target.removed):
            return True
        theirs = target.look(len(ours))
        if _same(ours, theirs):
            return True
        # Where a record soon after the first is another one, the first alone says where both begin.
        for wanted in (ours, ours[:1]) if source.removed else ():
            self.found.target_only = _skip_to(target, wanted, [], _NEVER)
            if target.waiting:
                return self._are_few(self.found.target_only, source, "target", target.waiting[0])
            self.found.target_only = 0
            target.again()
        for wanted in (theirs, theirs[:1]) if target.removed and theirs else ():
            young: list[Record] = []
            self.found.source_only = _skip_to(source, wanted, young, self._span.expires)
            if source.waiting:
                if young:
                    return self._is_too_young(young, theirs[0])
                return self._are_few(self.found.source_only, target, "source", source.waiting[0])
            self.found.source_only = 0
            source.again()
        return True

    def _are_few(self, count: int, other: Stream, side: str, first: Record) -> bool:
        """Whether these records before `first` can be those that the other side has removed."""
        if count <= other.removed:
            return True
        self._differs(
            f"{side} offset {first.offset}: {count} records before it are there alone, and retention has removed at most {other.removed} "
            "at the other side"
        )
        return False

    def _is_too_young(self, young: Sequence[Record], first: Record) -> bool:
        self._differs(
            f"source offset {young[0].offset}, of {_when(young[0])}, is missing: the target begins with offset {first.offset}. "
            f"{len(young)} such records are younger than its retention allows to remove"
        )
        return False

    # --- what is different ----------------------------------------------------------------------

    def _words(self, one: Record, other: Record) -> str:
        """What is different at a pair of records."""
        where = f"source offset {one.offset}, target offset {other.offset}: "
        self._target.patience = 0
        ours, theirs = self._source.look(_AHEAD), self._target.look(_AHEAD)
        if not _same(ours[1:_ALIKE], theirs[1:_ALIKE]):  # it isn't one record that is another
            lacking, more = _shift(ours, theirs), _shift(theirs, ours)
            if lacking and (not more or lacking <= more):
                return f"{where}missing: the target lacks {lacking} {'record' if lacking == 1 else 'records'} here"
            if more:
                before = {each[1:] for each in self._before}
                if all(each[1:] in before for each in theirs[:more]):
                    return f"{where}doubled: an earlier record comes again"
                return f"{where}the target has {more} more here, which the source has not"
            later = next((each for each in theirs if each[1:] == one[1:]), None)
            if later and any(each[1:] == other[1:] for each in ours):
                return f"{where}another order: the source's record is at the target's offset {later.offset}"
        fields = [name for name in _FIELDS if getattr(one, name) != getattr(other, name)]
        return f"{where}{', '.join(fields)} {'differs' if len(fields) == 1 else 'differ'}"


def _shift(ahead: Sequence[Record], behind: Sequence[Record]) -> int:
    """How many of the first have to go for both to go on alike; 0 where that doesn't help."""
    wanted = [each[1:] for each in behind[:_ALIKE]]
    contents = [each[1:] for each in ahead]
    return next((count for count in range(1, len(contents)) if contents[count : count + _ALIKE] == wanted), 0)


def _same(ours: Sequence[Record], theirs: Sequence[Record]) -> bool:
    return len(ours) == len(theirs) and all(one[1:] == other[1:] for one, other in zip(ours, theirs, strict=True))


def _skip_to(stream: Stream, wanted: Sequence[Record], young: list[Record], expires: int) -> int:
    """Leave out records until those that come are the wanted ones; how many were left out.

    All are left out where none of them are. Those that are `expires` or later go into `young`.
    """
    count = 0
    while ahead := stream.look(BATCH):
        begins = next((number for number, each in enumerate(ahead) if each[1:] == wanted[0][1:]), len(ahead))
        stream.drop(begins)
        found = False
        if begins < len(ahead):
            found = _same(stream.look(len(wanted)), wanted)
            if not found:
                stream.drop(1)
                begins += 1
        young += [each for each in ahead[:begins] if each.timestamp >= expires]
        count += begins
        if found:
            break
    return count


def _when(record: Record) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(record.timestamp / 1000))
