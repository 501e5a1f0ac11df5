"""What GCE PD makes of a class: every setting that driver or API refuses, ignores or misreads.

`check` is the list of all rules.
Rules for types and sizes are in type_rules.py, for IOPS and throughput in performance_rules.py, for
replication in replication_rules.py, for storage pools in pool_rules.py, for labels and tags in
label_rules.py, for snapshots in snapshot_rules.py, for the keys of a class in key_rules.py; the
numbers are in limits.py.

Sources, where a rule names no other: the driver's own code (gcp-compute-persistent-disk-csi-driver
1.28.1: pkg/parameters and pkg/convert, which tests/oracles/gce-pd holds the rules against;
pkg/gce-pd-csi-driver/controller.go and utils.go), which leaves the values to the API ("We leave
validation of the values to the cloud provider"), and Google's pages (see limits.py). Issues and
pull requests are the driver's. None of it was tried on Google Cloud.
Figures that were found neither there nor in an error message of the API are warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from components.provisioners.base import FSTYPE
from components.provisioners.findings import Finding, RequestedVolume, error, warning
from components.provisioners.gce_pd.label_rules import labels, resource_tags
from components.provisioners.gce_pd.limits import CHANGEABLE, DEFAULT_TYPE, DYNAMIC, MULTI_ZONE
from components.provisioners.gce_pd.parameters import (
    ACCESS_MODES,
    EXAMPLE_KEY,
    EXAMPLE_REGION,
    EXAMPLE_ZONE,
    IOPS,
    THROUGHPUT,
    ZONE,
    GcePdAttributes,
    GcePdParameters,
)
from components.provisioners.gce_pd.performance_rules import BELOW_ZERO, DiskPerformance
from components.provisioners.gce_pd.pool_rules import storage_pools
from components.provisioners.gce_pd.replication_rules import replication
from components.provisioners.gce_pd.snapshot_rules import snapshots
from components.provisioners.gce_pd.type_rules import disk_type, size, types_of
from components.provisioners.remedies import Add, Advice, Drop, Set
from components.provisioners.shared_rules import attribute_names, mount_options, regions, zones

# With what is to be said of each.
FILE_SYSTEMS = {
    "ext4": "",
    "xfs": "",
    "ext3": "",
    "ext2": "it has no journal: after a machine stops, files may be damaged, and the whole disk is checked before it is mounted",
    "btrfs": "btrfs is experimental in the driver",
    "ntfs": "ntfs is for Windows nodes",
}

_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")


def check(parameters: GcePdParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
    """All rules for a class with these parameters, of which these volumes are wanted."""
    p = parameters
    yield from disk_type(p)
    yield from _left_out(p)
    for kind in types_of(p):
        iops, throughput = p.provisioned_iops_on_create, p.provisioned_throughput_on_create or None
        iops = iops if iops and iops > 0 else None
        if p.type == DYNAMIC and kind.startswith("pd-"):
            yield from _dropped_figures(p, kind)
            iops, throughput = iops if kind == "pd-extreme" else None, None
        yield from DiskPerformance("", IOPS, THROUGHPUT, kind, iops, throughput).check(volumes)
        for volume in volumes:
            yield from size(kind, volume, regional=p.replication_type == "regional-pd")
    yield from replication(p)
    yield from _encryption(p)
    yield from storage_pools(p)
    yield from _data_cache(p)
    yield from _access(p)
    yield from _file_system(p)
    yield from labels(p.labels, "labels")
    yield from resource_tags(p.resource_tags, "resource-tags")
    yield from zones(p.zones, ZONE, "Google Cloud", EXAMPLE_ZONE)
    yield from mount_options(p.mount_options)
    if p.snapshots is not None:
        yield from snapshots(p.snapshots)
    yield from attribute_names(p.attributes)
    for name, attributes in p.attributes.items():
        yield from _attributes(p, name, attributes, volumes)


def _left_out(p: GcePdParameters) -> Iterator[Finding]:
    """Figures that the driver asks the API for only where they are above 0 (gce-compute.go)."""
    iops, throughput = p.provisioned_iops_on_create, p.provisioned_throughput_on_create
    rule = "the driver leaves it out, and the disk has what the API gives it"
    if iops is not None and iops < 0:
        yield error(IOPS, iops, f"below 0: {rule}", Drop(IOPS))
    if throughput is not None and throughput < 0 and not types_of(p):
        yield error(THROUGHPUT, throughput, BELOW_ZERO, Drop(THROUGHPUT))
    for key, figure in ((IOPS, iops), (THROUGHPUT, throughput)):
        if figure == 0:
            yield warning(key, figure, f"0 is as good as none: {rule}", Drop(key))


def _dropped_figures(p: GcePdParameters, kind: str) -> Iterator[Finding]:
    """The figures that a dynamic class has for the Hyperdisk alone.

    In the driver: sanitize.go, which drops them where the disk becomes a Persistent Disk.
    """
    figures = {IOPS: None if kind == "pd-extreme" else p.provisioned_iops_on_create, THROUGHPUT: p.provisioned_throughput_on_create}
    for key, value in figures.items():
        if value is not None and value > 0:
            rule = f"for the Hyperdisk alone: where the disk becomes a {kind}, the driver drops it, without a word"
            yield warning(key, value, rule, Advice("nothing, where that is what is meant"))


def _encryption(p: GcePdParameters) -> Iterator[Finding]:
    """Google encrypts every disk; a key of one's own is where the disk is, or in a wider location.

    The driver looks at a key for confidential storage alone.
    There it is content with one in the middle of a text.
    """
    key, own = p.disk_encryption_kms_key, regions(p.zones, ZONE)
    example = EXAMPLE_KEY.replace(f"/{EXAMPLE_REGION}/", f"/{min(own, default=EXAMPLE_REGION)}/")
    match = _KEY.fullmatch(key) if key is not None else None
    if key is not None and match is None:
        rule = "`projects/…/locations/…/keyRings/…/cryptoKeys/…`, without a version"
        works = re.sub("/cryptoKeyVersions/.*", "", key)
        yield error("disk-encryption-kms-key", key, rule, Set(works if _KEY.fullmatch(works) else example))
    if match and own and re.fullmatch("[a-z]+-[a-z]+[0-9]+", match["location"]) and match["location"] not in own:
        rule = f"a key of the disks' own region, {', '.join(sorted(own))}, or of a wider location: {match['location']} is another region"
        works = match[0].replace(f"/locations/{match['location']}/", f"/locations/{min(own)}/")
        yield error("disk-encryption-kms-key", key, rule, Set(works))
    if p.enable_confidential_storage:
        if not _KEY.search(key or ""):
            rule = "it needs `disk-encryption-kms-key`: the driver refuses the class"
            yield error("enable-confidential-storage", True, rule, Add({"disk-encryption-kms-key": example}))
        if not (p.type or DEFAULT_TYPE).startswith("hyperdisk-balanced"):
            rule = "for Hyperdisk Balanced alone: the API refuses other disks"
            yield error("enable-confidential-storage", True, rule, Add({"type": "hyperdisk-balanced"}))


def _data_cache(p: GcePdParameters) -> Iterator[Finding]:
    """A cache on the node's own SSD; its size is in GiB."""
    if p.data_cache_size is not None and p.data_cache_size <= 0:
        yield error("data-cache-size", p.data_cache_size, "above 0 Gi: the driver refuses the class", Set(100))
    if p.data_cache_mode is not None and p.data_cache_mode not in ("writethrough", "writeback"):
        rule = "writethrough or writeback, in lower case: the driver refuses the class"
        yield error("data-cache-mode", p.data_cache_mode, rule, Set("writethrough"))
    if p.data_cache_mode is not None and p.data_cache_size is None:
        rule = "it needs `data-cache-size`: without one there is no cache"
        yield error("data-cache-mode", p.data_cache_mode, rule, Add({"data-cache-size": 100}))
    if p.data_cache_size is not None:
        rule = "it needs a cluster and nodes with GKE Data Cache (local SSDs): others refuse the class"
        yield warning("data-cache-size", p.data_cache_size, rule, Drop("data-cache-size"))
    if p.data_cache_mode == "writeback":
        rule = "what was acknowledged is on the node's own SSD first, and is lost with the node"
        yield warning("data-cache-mode", "writeback", rule, Set("writethrough"))


def _access(p: GcePdParameters) -> Iterator[Finding]:
    """Who attaches the disks, and where they are made."""
    if p.access_mode is not None and p.access_mode not in ACCESS_MODES:
        rule = f"{', '.join(ACCESS_MODES)}; the driver reads it, and doesn't use it"
        yield error("access-mode", p.access_mode, rule, Set(ACCESS_MODES[0]))
    elif p.access_mode not in (None, ACCESS_MODES[0]):
        rule = "the claims are for one pod at a time; a disk that several nodes can attach is not kept from being written by two"
        yield warning("access-mode", p.access_mode, rule, Set(ACCESS_MODES[0]))
    if p.enable_multi_zone_provisioning:
        rule = "it makes an own, different disk in each zone behind one volume: for copies to read, not for what is written"
        if p.type != MULTI_ZONE:
            rule = f"for {MULTI_ZONE} alone: the driver refuses the class (on GKE: --multi-zone-volume-handle-disk-types); {rule}"
        make = warning if p.type == MULTI_ZONE else error
        yield make("enable-multi-zone-provisioning", True, rule, Drop("enable-multi-zone-provisioning"))
    if p.use_allowed_disk_topology is not None:
        rule = "a driver that isn't set up for it (--disk-topology) ignores it with a line in its log"
        yield warning("use-allowed-disk-topology", p.use_allowed_disk_topology, rule, Drop("use-allowed-disk-topology"))


def _file_system(p: GcePdParameters) -> Iterator[Finding]:
    """The file systems whose mkfs the driver's image has (its Dockerfile)."""
    kind = p.csi_fstype
    if kind in FILE_SYSTEMS:
        doubt = FILE_SYSTEMS[kind]
        if doubt:
            yield warning(FSTYPE, kind, doubt, Set("ext4"))
    elif kind is not None:
        rule = f"{', '.join(FILE_SYSTEMS)}, in lower case: with any other the disk is made, and its pod never starts"
        yield error(FSTYPE, kind, rule, Set(kind.lower() if kind.lower() in FILE_SYSTEMS else "ext4"))


def _attributes(p: GcePdParameters, name: str, attributes: GcePdAttributes, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
    """A VolumeAttributesClass changes disks of this class.

    The driver: `Disk type pd-ssd does not support dynamic provisioning`.
    """
    prefix = f"attributes.{name}."
    given = {"iops": attributes.iops, "throughput": attributes.throughput}
    if all(value is None for value in given.values()):
        rule = "a class that changes nothing; Kubernetes wants parameters in it"
        yield error(f"attributes.{name}", {}, rule, Set({"iops": 4000}))
    kinds = types_of(p)
    for key, value in given.items():
        wrong = [kind for kind in kinds if kind not in CHANGEABLE[key] and p.type != DYNAMIC]
        if value is not None and wrong:
            rule = f"{key} of a {wrong[0]} can't be changed; that of {', '.join(CHANGEABLE[key])} can"
            yield error(f"{prefix}{key}", value, rule, Drop(key))
            given[key] = None
    for kind in kinds:
        if kind.startswith("pd-"):
            continue
        performance = DiskPerformance(prefix, "iops", "throughput", kind, given["iops"], given["throughput"])
        always = list(performance.check(()))
        known = {(each.path, each.rule) for each in always}
        yield from always
        # Such a class is for the disks that it suits.
        # What doesn't suit all sizes of the tier is worth a warning, no more.
        for finding in performance.check(volumes):
            if (finding.path, finding.rule) not in known:
                yield finding._replace(severity="warning")
