"""Rules for disks in two zones, and for how these are attached elsewhere by force.

In the driver: DiskParameters.IsRegional, sanitize.go, and CreateVolume in controller.go.
"""

from __future__ import annotations

from collections.abc import Iterator

from components.provisioners.findings import Finding, error, warning
from components.provisioners.gce_pd.limits import DEFAULT_TYPE, DYNAMIC, HIGHLY_AVAILABLE
from components.provisioners.gce_pd.parameters import EXAMPLE_ZONE, ZONE, GcePdParameters
from components.provisioners.remedies import Add, Drop, Either, Set

_OF_PD_SSD = Either(Drop("replication-type"), Add({"type": "pd-ssd"}))


def replication(p: GcePdParameters) -> Iterator[Finding]:
    """All rules for replication."""
    kind, regional = p.type or DEFAULT_TYPE, p.replication_type == "regional-pd"
    yield from _written(p, kind)
    if regional:
        yield from _regional(p, kind)
    if (regional or kind == HIGHLY_AVAILABLE) and len(p.zones) == 1:
        rule = "a regional disk is in two zones: with one the driver finds no second"
        zone = p.zones[0] if ZONE.fullmatch(p.zones[0]) else EXAMPLE_ZONE
        second = f"{zone[:-1]}{'c' if zone.endswith('b') else 'b'}"
        yield error("zones", p.zones, rule, Set([zone, second]))
    yield from _availability(p, kind)


def _written(p: GcePdParameters, kind: str) -> Iterator[Finding]:
    written = p.replication_type
    if written in (None, "regional-pd"):
        return
    if kind == HIGHLY_AVAILABLE:
        rule = f"{kind} is in two zones by itself, whatever this says"
        yield warning("replication-type", written, rule, Drop("replication-type"))
    elif written != "none":
        works = "regional-pd" if "region" in written else "none"
        yield error("replication-type", written, "none or regional-pd: the driver refuses the class", Set(works))


def _regional(p: GcePdParameters, kind: str) -> Iterator[Finding]:
    """Types that aren't in two zones."""
    written, becomes = p.replication_type, p.hyperdisk_type or "hyperdisk-balanced"
    if kind.startswith("hyperdisk-") and kind != HIGHLY_AVAILABLE:
        rule = f"{kind} has no regional disks: the API refuses them; {HIGHLY_AVAILABLE} is replicated by itself"
        yield error("replication-type", written, rule, Drop("replication-type", with_={"type": HIGHLY_AVAILABLE}))
    if kind == "pd-extreme" or (kind == DYNAMIC and p.pd_type == "pd-extreme"):
        rule = "pd-extreme is zonal only: the API refuses regional disks (pull request #1079)"
        yield error("replication-type", written, rule, _OF_PD_SSD)
    elif kind == DYNAMIC and becomes.startswith("hyperdisk-") and becomes != HIGHLY_AVAILABLE:
        rule = "where a dynamic class becomes a Hyperdisk, the driver drops it without a word, and the disk is in one zone"
        yield error("replication-type", written, rule, _OF_PD_SSD)


def _availability(p: GcePdParameters, kind: str) -> Iterator[Finding]:
    written = p.availability_class
    if written in (None, "none"):
        return
    if written != "regional-hard-failover":
        works = "none" if "zon" in str(written) else "regional-hard-failover"
        yield error("availability-class", written, "none or regional-hard-failover: the driver refuses the class", Set(works))
    elif kind == DYNAMIC:
        rule = "where a dynamic class becomes a Hyperdisk, the driver drops it, without a word"
        if p.replication_type != "regional-pd":
            rule = f"for regional disks alone: `invalid availability class for zonal disk`; {rule}"
        yield error("availability-class", written, rule, Drop("availability-class"))
    elif p.replication_type != "regional-pd" and kind != HIGHLY_AVAILABLE:
        rule = "for regional disks alone: `invalid availability class for zonal disk`"
        yield error("availability-class", written, rule, Add({"replication-type": "regional-pd"}))
