"""Kafka 4: how much a broker's volume holds at most.

With n partitions on the broker:

    n x (retention.bytes + segment.bytes) + ingress per broker x (check interval + delete delay)

- n: partitions x replication factor / brokers, rounded up. Kafka spreads replicas evenly.
- `retention.bytes` is of each partition. A check deletes a segment only if what stays is at least
  that much (UnifiedLog, deleteRetentionSizeBreachedSegments): so up to one segment more stays.
- What comes in until the next check (`log.retention.check.interval.ms`, 5 minutes), and then until
  a deleted file is really gone (`log.segment.delete.delay.ms`, 1 minute). It is needed, and is
  enough: 376 MiB were measured where 382 are reckoned (tests/integration/test_sizing.py).
- Time instead of size: `retention.ms` of ingress, if that is less.
- Indexes: an entry of 8 bytes in one and of 12 in the other for each 4096 bytes of messages
  (`log.index.interval.bytes`; OffsetIndex, TimeIndex), in whole blocks, and a producer snapshot for
  each segment. Index files look like 10 MiB each while a segment is written
  (`log.index.size.max.bytes`), but they are sparse: what nothing was written to takes no room.
- The metadata log of KRaft: `metadata.max.retention.bytes`, 100 MiB.

Names and defaults: https://kafka.apache.org/documentation/#brokerconfigs and #topicconfigs.
Ingress is taken as spread evenly too. A broker that catches up after a long time writes faster.
"""

from __future__ import annotations

from components.engines.budget import EngineBudget
from components.kube.quantity import MI

CHECK_INTERVAL_SECONDS = 300
DELETE_DELAY_SECONDS = 60
METADATA_LOG = 100 * MI
_INDEX_INTERVAL, _INDEX_ENTRIES = 4096, (8, 12)
_BLOCK = 4096


def budget(
    *,
    brokers: int,
    partitions: int,
    replication_factor: int,
    retention_bytes: int | None,
    segment_bytes: int,
    ingress: int | None,
    retention_ms: int | None,
) -> EngineBudget:
    """The budget of one of the `brokers`. Sizes are in bytes.

    `partitions` are those of all topics together, without their copies. `ingress` is what producers
    send to all of them, in bytes a second; None where it isn't known. `retention_bytes` and
    `retention_ms` are None for no limit.
    """
    here = -(-partitions * replication_factor // brokers)
    received = -(-(ingress or 0) * replication_factor // brokers)
    bounds = [here * retention_bytes] if retention_bytes is not None else []
    if retention_ms is not None and ingress is not None:
        bounds.append(-(-received * retention_ms // 1000))
    data = min(bounds, default=0)
    growing, waiting = here * segment_bytes, received * (CHECK_INTERVAL_SECONDS + DELETE_DELAY_SECONDS)
    segments = here + -(-(data + growing + waiting) // segment_bytes)
    parts = {
        "a segment of each partition": growing,
        f"ingress of {CHECK_INTERVAL_SECONDS + DELETE_DELAY_SECONDS} s": waiting,
        "indexes": segments * _index_bytes(segment_bytes),
        "the metadata log": METADATA_LOG,
    }
    unknown = ("ingressBytesPerSecond",) if ingress is None else ()
    return EngineBudget("Kafka", parts, data, unknown if bounds else ("retentionBytes",))


def _index_bytes(segment_bytes: int) -> int:
    """What the files beside a segment take, a block for the producer snapshot among them."""
    entries = -(-segment_bytes // _INDEX_INTERVAL)
    return _BLOCK + sum(-(-entries * size // _BLOCK) * _BLOCK for size in _INDEX_ENTRIES)
