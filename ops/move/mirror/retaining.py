"""What a target's topic would lose or alter of what was mirrored to it, by its settings.

MirrorMaker brings the settings that a topic has of its own. Where it has none, the defaults of each
side's brokers count, which may be others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ops.move.mirror.pod import Topic


def losses(source: Mapping[str, Topic], target: Mapping[str, Topic], names: Iterable[str]) -> Iterator[str]:
    """A sentence for each setting of each topic that both sides have."""
    for name in names:
        if name in source and name in target:
            yield from (f"topic {name}: {each}" for each in _of(source[name], target[name]))


def _of(source: Topic, target: Topic) -> Iterator[str]:
    if _is_less(target.retention, source.retention):
        yield f"retention.ms is {target.retention} there, and {source.retention} at the source"
    if _is_less(target.retention_bytes, source.retention_bytes):
        yield f"retention.bytes is {target.retention_bytes} there, and {source.retention_bytes} at the source"
    if target.compacted and not source.compacted:
        yield "cleanup.policy compacts there, and doesn't at the source"
    if target.stamped:
        yield "message.timestamp.type is LogAppendTime there: records lose their own time"
    if target.partitions > source.partitions:
        yield f"it has {target.partitions} partitions there, and {source.partitions} at the source: records with the same key are parted"


def _is_less(target: int, source: int) -> bool:
    """Of two retentions: -1 is for ever."""
    return target >= 0 and (source < 0 or target < source)
