"""Rules for storage pools, in which disks are made.

In the driver: validateStoragePools and validateStoragePoolZones in utils.go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from components.provisioners.findings import Finding, error, warning
from components.provisioners.gce_pd.limits import DEFAULT_TYPE, DYNAMIC, POOLED
from components.provisioners.gce_pd.parameters import EXAMPLE_POOL, GcePdParameters
from components.provisioners.remedies import Add, Advice, Drop, Set

_POOL = re.compile(r"projects/[^/]+/zones/(?P<zone>[^/]+)/storagePools/[^/]+")


def storage_pools(p: GcePdParameters) -> Iterator[Finding]:
    """Storage pools against type, replication, confidential storage and zones."""
    if not p.storage_pools:
        return
    rule = "pools need a driver that is set up for them (--enable-storage-pools): others refuse the class"
    yield warning("storage-pools", p.storage_pools, rule, Drop("storage-pools"))
    yield from _of_the_class(p)
    written, found = p.storage_pools, [_POOL.fullmatch(pool) for pool in p.storage_pools]
    named = [match for match in found if match]
    if len(named) < len(written):
        works = [match[0] for match in named] or EXAMPLE_POOL
        rule = "`projects/…/zones/…/storagePools/…`, without blanks: the driver refuses the class"
        yield error("storage-pools", next(pool for pool in written if not _POOL.fullmatch(pool)), rule, Set(works))
        return
    first = {match["zone"]: match[0] for match in reversed(named)}
    zones = list(dict.fromkeys(match["zone"] for match in named))
    if len(zones) < len(named):
        zone = next(zone for zone in zones if sum(match["zone"] == zone for match in named) > 1)
        rule = f"one pool for each zone, and {zone} has several: the driver refuses the class"
        yield error("storage-pools", written, rule, Set([first[each] for each in zones]))
    if not p.zones or not set(p.zones) <= set(zones):
        rule = "the class's zones are among those of its pools: the driver refuses it otherwise"
        both = [zone for zone in p.zones if zone in zones]
        yield error("zones", list(p.zones), rule, Set(both or zones))


def _of_the_class(p: GcePdParameters) -> Iterator[Finding]:
    """What excludes pools; where a dynamic class becomes a Persistent Disk, it has none."""
    kind, written = p.type or DEFAULT_TYPE, p.storage_pools
    if kind == DYNAMIC:
        becomes = p.hyperdisk_type or POOLED[0]
        rule = "for the Hyperdisk alone: where the disk becomes a Persistent Disk, the driver makes it outside of the pool, without a word"
        yield warning("storage-pools", written, rule, Advice("nothing, where that is what is meant"))
    else:
        becomes = kind
    if becomes not in POOLED:
        rule = f"pools are for {' and '.join(POOLED)}: the driver refuses the class"
        yield error("storage-pools", written, rule, Add({"hyperdisk-type" if kind == DYNAMIC else "type": POOLED[0]}))
    if p.replication_type == "regional-pd" and kind != DYNAMIC:
        rule = "pools have no regional disks: the driver refuses the class"
        yield error("storage-pools", written, rule, Drop("replication-type"))
    if p.enable_confidential_storage:
        rule = "pools have no confidential storage: the driver refuses the class"
        yield error("storage-pools", written, rule, Drop("enable-confidential-storage"))
