"""PostgreSQL 15 to 18: how much WAL its volume holds at most, beside its data.

WAL is kept back to the last checkpoint, and further for a replication slot:

    max_wal_size + as much again + max_slot_wal_keep_size + one segment

- `max_wal_size`: the next checkpoint begins so early that WAL ends at this size, if the checkpoint
  keeps to its schedule (xlog.c, CalculateCheckpointSegments). Old segments are also renamed to
  future ones, up to this size (XLOGfileslop).
- As much again: it is a soft limit, which WAL exceeds "under special circumstances, such as heavy
  load" (documentation, 19.5 Write Ahead Log). A checkpoint that takes twice its time lets twice the
  WAL come in before it removes any. Nothing in PostgreSQL bounds it: this is an allowance.
- `max_slot_wal_keep_size`: what slots may hold back "at checkpoint time" (documentation, 19.6
  Replication). It is one limit for all slots: the one furthest behind counts (KeepLogSeg).
- One segment: the one that is being written. WAL exists in whole segments.

A reader that is frozen rather than gone is outside of any such limit. The checkpoint that would
drop its slot waits for its walsender to end, and that waits for its socket. With
`tcp_user_timeout = 10000` the connection ends after 10 s. tests/integration/test_sizing.py holds
this against PostgreSQL; docs/sizing.md has the figures.
"""

from __future__ import annotations

from components.engines.budget import EngineBudget
from components.kube.quantity import MI

# initdb writes `max_wal_size` as 64 segments: 1GB with those of 16 MB (initdb.c, setup_config).
DEFAULT_WAL_SEGMENTS = 64

# What initdb of PostgreSQL 15 makes is 23 MiB without WAL.
EMPTY_CLUSTER = 32 * MI


def budget(*, max_wal_size: int, slot_keep_size: int | None, has_slots: bool, segment_size: int, data: int) -> EngineBudget:
    """The budget of one instance. All sizes are in bytes.

    `slot_keep_size` is max_slot_wal_keep_size, None for no limit. Without slots it holds nothing.
    `data` is what the databases are to have; less than a new cluster's own counts as that.
    """
    wal = _in_segments(max_wal_size, segment_size)
    parts = {"max_wal_size": wal, "as much again while a checkpoint is late": wal, "a WAL segment": segment_size}
    if has_slots and slot_keep_size is not None:
        parts["max_slot_wal_keep_size"] = _in_segments(slot_keep_size, segment_size)
    unbounded = ("maxSlotWalKeepSize",) if has_slots and slot_keep_size is None else ()
    return EngineBudget("PostgreSQL", parts, max(data, EMPTY_CLUSTER), unbounded)


def _in_segments(size: int, segment_size: int) -> int:
    return -(-size // segment_size) * segment_size
