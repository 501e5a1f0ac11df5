"""Whether a partition of a compacted topic has the same last record of each key on both sides.

Each side compacts its own log whenever it likes, so what else is there differs. It is read from
its beginning each time. For each key about 300 bytes of memory are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from .compare import Compared, Span
from .records import BATCH, Log, Record, Stream


def digest(record: Record) -> bytes:
    """Of all that counts of a record."""
    return blake2b(repr(record[1:]).encode(), digest_size=16).digest()


@dataclass
class _Last:
    """The source's last record of a key, and what the target has of it."""

    offset: int
    digest: bytes
    timestamp: int
    is_removal: bool
    found: int | None = None  # the target's offset
    other: int | None = None  # that of the target's last record of this key, which is another one


class CompactedComparison:
    """Of one partition. `tell` hears how many records are read.

    With `last` the source stands still: the target may have no other record behind these.
    """

    def __init__(self, source: Log, target: Log, span: Span, patience: float, tell: Callable[[int], None], *, last: bool = False) -> None:
        self._source = Stream(source, 0, span.source_to)
        self._target = Stream(target, 0, None)
        self._span, self._patience, self._tell, self._is_last = span, patience, tell, last
        self._keys: dict[bytes, _Last] = {}
        self._others: dict[bytes, tuple[int, bool]] = {}  # of the target alone: offset, whether it is a removal
        self.found = Compared(source_to=span.source_to)

    def run(self) -> Compared:
        """Compare. Raises MirrorFault, and Removed."""
        self._read_source()
        self._read_target()
        self.found.records = len(self._keys)
        self.found.target_to = self._target.log.next
        self.found.difference = self._difference()
        return self.found

    def _read_source(self) -> None:
        read = 0
        while records := self._source.look(BATCH):
            for each in records:
                self._keys[_key(each)] = _Last(each.offset, digest(each), each.timestamp, each.value is None)
            self._source.drop(len(records))
            read += len(records)
            self._tell(read)

    def _read_target(self) -> None:
        read = 0
        while records := self._more():
            for each in records:
                self._take(each)
            self._target.drop(len(records))
            read += len(records)
            self._tell(read)

    def _more(self) -> list[Record]:
        """What the target has next; it is waited for while something lacks."""
        self._target.patience = 0
        return self._target.look(BATCH) or self._wait_for_more()

    def _wait_for_more(self) -> list[Record]:
        self._target.patience = self._patience
        return self._target.look() if any(map(self._lacks, self._keys.values())) else []

    def _lacks(self, known: _Last) -> bool:
        if self._is_last and known.other is not None:
            return True
        return known.found is None and known.other is None and not known.is_removal

    def _take(self, record: Record) -> None:
        key = _key(record)
        known = self._keys.get(key)
        if known is None:
            self._others[key] = (record.offset, record.value is None)
        elif digest(record) == known.digest:
            known.found, known.other = record.offset, None
        else:
            known.other = record.offset

    def _difference(self) -> str:
        first = min((each.found for each in self._keys.values() if each.found is not None), default=self._target.log.next)
        for known in self._keys.values():
            said = f"source offset {known.offset}: the last record of its key "
            if known.found is None and known.other is None and not known.is_removal:
                if self._target.log.low > 0 and known.timestamp < self._span.expires:
                    self.found.source_only += 1
                    continue
                return f"{said}is missing"
            # While the source goes on, the target may have a newer one already.
            if self._is_last and known.other is not None:
                return f"{said}is another one at the target, at offset {known.other}"
        for offset, is_removal in self._others.values():
            if is_removal:  # one that the source has removed for good meanwhile
                continue
            if self._source.log.low > 0 and offset < first:
                self.found.target_only += 1
            elif self._is_last:
                return f"target offset {offset}: the source has no record of its key"
        return ""


def _key(record: Record) -> bytes:
    return blake2b(record.key or b"", digest_size=16).digest()
