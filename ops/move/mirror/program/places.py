"""Which offset of the target is the same place as one of the source.

A group's committed offset is that of the first record which it hasn't had. The same place of the
target is before its first record that is this one or comes after it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from .compacted import digest
from .records import BATCH, Log, Stream


def translate(source: Log, target: Log, marks: Sequence[tuple[int, int]], wanted: Sequence[int], ends: tuple[int, int]) -> dict[int, int]:
    """Of a partition that was compared. `marks` are its runs. `ends` are the ends of both sides.

    From a mark on, both sides have the same records. So as many as the source has from the wanted
    offset to the next mark, the target has before that mark: they are counted.
    """
    places = sorted({*map(tuple, marks), ends})
    found = {}
    for offset in wanted:
        after = bisect_left(places, (offset, -1))
        if after >= len(places) or offset >= ends[0]:
            found[offset] = ends[1]
            continue
        there, here = places[after]
        count = _count(source, offset, there)
        if not count:
            found[offset] = here
            continue
        begin = places[after - 1][1] if after else 0
        last: deque[int] = deque(maxlen=count)
        stream = Stream(target, begin, here)
        while records := stream.look(BATCH):
            last += [each.offset for each in records]
            stream.drop(len(records))
        found[offset] = last[0] if last else here
    return found


def translate_compacted(source: Log, target: Log, wanted: Sequence[int], ends: tuple[int, int]) -> dict[int, int]:
    """Of a compacted partition: records themselves are looked for.

    Those of the source from the lowest wanted offset on are kept, by about 150 bytes each.
    """
    if not wanted:
        return {}
    kept: dict[bytes, deque[int]] = {}
    stream = Stream(source, min(wanted), ends[0])
    while records := stream.look(BATCH):
        for each in records:
            kept.setdefault(digest(each), deque()).append(each.offset)
        stream.drop(len(records))
    left = sorted(wanted)
    found = {}
    stream = Stream(target, 0, ends[1])
    while left and kept and (records := stream.look(BATCH)):
        for each in records:
            same = kept.get(digest(each))
            offset = same.popleft() if same else -1
            while left and left[0] <= offset:
                found[left.pop(0)] = each.offset
        stream.drop(len(records))
    return {**found, **dict.fromkeys(left, ends[1])}


def _count(log: Log, begin: int, end: int) -> int:
    stream = Stream(log, begin, end)
    count = 0
    while records := stream.look(BATCH):
        stream.drop(len(records))
        count += len(records)
    return count
