"""What GCE PD makes of a class: every setting that driver or API refuses, ignores or misreads.

`check` is the list of all rules.
Rules for types and sizes are in type_rules.py, for IOPS and throughput in performance_rules.py, for
labels and tags in label_rules.py, for snapshots in snapshot_rules.py; the numbers are in limits.py.

Sources, where a rule names no other: the driver's own code (gcp-compute-persistent-disk-csi-driver
1.26: pkg/parameters, pkg/convert, pkg/gce-pd-csi-driver/controller.go), which leaves the values to
the API ("We leave validation of the values to the cloud provider"), and Google's pages (see
limits.py). Issues and pull requests are the driver's. None of it was tried on Google Cloud.
Figures that were found neither there nor in an error message of the API are warnings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from components.provisioners.base import FSTYPE
from components.provisioners.findings import Finding, RequestedVolume, error, warning
from components.provisioners.gce_pd.label_rules import labels, resource_tags
from components.provisioners.gce_pd.limits import CHANGEABLE, DEFAULT_TYPE, DYNAMIC, HIGHLY_AVAILABLE
from components.provisioners.gce_pd.parameters import (
    ACCESS_MODES,
    EXAMPLE_KEY,
    EXAMPLE_POOL,
    EXAMPLE_REGION,
    EXAMPLE_ZONE,
    IOPS,
    THROUGHPUT,
    ZONE,
    GcePdAttributes,
    GcePdParameters,
)
from components.provisioners.gce_pd.performance_rules import DiskPerformance
from components.provisioners.gce_pd.snapshot_rules import snapshots
from components.provisioners.gce_pd.type_rules import disk_type, size, types_of
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Add, Drop, Either, Rename, Set
from components.provisioners.shared_rules import attribute_names, mount_options, regions, zones

FILE_SYSTEMS = ("ext4", "xfs")

_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
_POOL = re.compile(r"projects/[^/]+/zones/(?P<zone>[^/]+)/storagePools/[^/]+")


def check(parameters: GcePdParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
    """All rules for a class with these parameters, of which these volumes are wanted."""
    p = parameters
    yield from disk_type(p)
    for kind in types_of(p):
        performance = DiskPerformance("", IOPS, THROUGHPUT, kind, p.provisioned_iops_on_create, p.provisioned_throughput_on_create)
        # A dynamic class has figures for the Hyperdisk.
        # The driver drops what its other type can't have (sanitize.go).
        if not (p.type == DYNAMIC and kind.startswith("pd-")):
            yield from performance.check(volumes)
        for volume in volumes:
            yield from size(kind, volume, regional=p.replication_type == "regional-pd")
    yield from _replication(p)
    yield from _encryption(p)
    yield from _pools(p)
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


def lower_case_keys(manifest: StorageClassManifest) -> Iterator[Finding]:
    """Keys of an existing class that the driver looks up a second time, in lower case alone."""
    written = {key.lower(): str(value).lower() for key, value in manifest.parameters.items()}
    looked_up: dict[str, tuple[str, ...]] = {}
    if written.get("enable-confidential-storage") == "true":
        looked_up["enable-confidential-storage: true"] = ("disk-encryption-kms-key",)
    if written.get("type") == DYNAMIC:
        looked_up["type: dynamic"] = ("type", "hyperdisk-type", "pd-type", "disk-type-preference")
    for setting, keys in looked_up.items():
        for key, value in manifest.parameters.items():
            if key.lower() in keys and key not in keys:
                rule = f"with `{setting}` the driver looks for `{key.lower()}` in lower case alone, and doesn't find this"
                yield error(key, value, rule, Rename(key.lower()))


def _replication(p: GcePdParameters) -> Iterator[Finding]:
    kind, replication = p.type or DEFAULT_TYPE, p.replication_type
    if replication is not None and replication not in ("none", "regional-pd"):
        yield error("replication-type", replication, "none or regional-pd: the driver refuses the class", Set("regional-pd"))
    regional = replication == "regional-pd"
    of_pd_ssd = Either(Drop("replication-type"), Add({"type": "pd-ssd"}))
    if regional and kind.startswith("hyperdisk-") and kind != HIGHLY_AVAILABLE:
        rule = f"{kind} has no regional disks: the API refuses them; {HIGHLY_AVAILABLE} is replicated by itself"
        yield error("replication-type", replication, rule, Drop("replication-type", with_={"type": HIGHLY_AVAILABLE}))
    if regional and kind == "pd-extreme":
        rule = "pd-extreme is zonal only: the API refuses regional disks (pull request #1079)"
        yield error("replication-type", replication, rule, of_pd_ssd)
    if regional and kind == DYNAMIC:
        rule = "where a dynamic class becomes a Hyperdisk, the driver drops it without a word, and the disk is in one zone"
        yield error("replication-type", replication, rule, of_pd_ssd)
    both = regional or kind == HIGHLY_AVAILABLE
    if both and len(p.zones) == 1:
        rule = "a regional disk is in two zones: with one the driver finds no second"
        yield error("zones", p.zones, rule, Set(["europe-west1-b", "europe-west1-c"]))
    if p.availability_class is not None and p.availability_class not in ("none", "regional-hard-failover"):
        rule = "none or regional-hard-failover: the driver refuses the class"
        yield error("availability-class", p.availability_class, rule, Set("regional-hard-failover"))
    if p.availability_class == "regional-hard-failover" and not both:
        rule = "for regional disks alone: `invalid availability class for zonal disk`"
        yield error("availability-class", p.availability_class, rule, Add({"replication-type": "regional-pd"}))


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
        if match is None:
            rule = "it needs `disk-encryption-kms-key`: the driver refuses the class"
            yield error("enable-confidential-storage", True, rule, Add({"disk-encryption-kms-key": example}))
        if not (p.type or DEFAULT_TYPE).startswith("hyperdisk-balanced"):
            rule = "for Hyperdisk Balanced alone: the API refuses other disks"
            yield error("enable-confidential-storage", True, rule, Add({"type": "hyperdisk-balanced"}))


def _pools(p: GcePdParameters) -> Iterator[Finding]:
    """Storage pools against type, replication, confidential storage and zones.

    In the driver: validateStoragePools.
    """
    if not p.storage_pools:
        return
    rule = "pools need a driver that is set up for them (--enable-storage-pools): others refuse the class"
    yield warning("storage-pools", p.storage_pools, rule, Drop("storage-pools"))
    written, found = p.storage_pools, [_POOL.fullmatch(pool) for pool in p.storage_pools]
    for pool, match in zip(written, found, strict=True):
        if match is None:
            yield error("storage-pools", pool, "`projects/…/zones/…/storagePools/…`: the driver refuses the class", Set(EXAMPLE_POOL))
    pools = [match["zone"] for match in found if match]
    first = {match["zone"]: match[0] for match in reversed(found) if match}
    for zone in dict.fromkeys(each for each in pools if pools.count(each) > 1):
        rule = f"one pool for each zone, and {zone} has {pools.count(zone)}: the driver refuses the class"
        yield error("storage-pools", written, rule, Set(list(reversed(first.values()))))
    if (p.type or DEFAULT_TYPE) not in ("hyperdisk-balanced", "hyperdisk-throughput"):
        rule = "pools are for hyperdisk-balanced and hyperdisk-throughput: the driver refuses the class"
        yield error("storage-pools", written, rule, Add({"type": "hyperdisk-balanced"}))
    if p.replication_type == "regional-pd":
        rule = "pools have no regional disks: the driver refuses the class"
        yield error("storage-pools", written, rule, Drop("replication-type"))
    if p.enable_confidential_storage:
        rule = "pools have no confidential storage: the driver refuses the class"
        yield error("storage-pools", written, rule, Drop("enable-confidential-storage"))
    if pools and all(found) and sorted(set(pools)) != sorted(p.zones):
        rule = "the class's zones are exactly those of its pools: the driver refuses it otherwise"
        yield error("zones", list(p.zones), rule, Set(list(dict.fromkeys(pools))))


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
        rule = f"{', '.join(ACCESS_MODES)}: the API refuses anything else"
        yield error("access-mode", p.access_mode, rule, Set(ACCESS_MODES[0]))
    elif p.access_mode not in (None, ACCESS_MODES[0]):
        rule = "the claims are for one pod at a time; a disk that several nodes can attach is not kept from being written by two"
        yield warning("access-mode", p.access_mode, rule, Set(ACCESS_MODES[0]))
    if p.enable_multi_zone_provisioning:
        rule = "it makes an own, different disk in each zone behind one volume: for copies to read, not for what is written"
        yield error("enable-multi-zone-provisioning", True, rule, Drop("enable-multi-zone-provisioning"))
    if p.use_allowed_disk_topology is not None:
        rule = "a driver that isn't set up for it (--disk-topology) ignores it with a line in its log"
        yield warning("use-allowed-disk-topology", p.use_allowed_disk_topology, rule, Drop("use-allowed-disk-topology"))


def _file_system(p: GcePdParameters) -> Iterator[Finding]:
    kind = p.csi_fstype
    if kind in ("btrfs", "ntfs"):
        what = "btrfs is experimental in the driver" if kind == "btrfs" else "ntfs is for Windows nodes"
        yield warning(FSTYPE, kind, what, Set("ext4"))
    elif kind is not None and kind not in FILE_SYSTEMS:
        rule = "ext4 or xfs, in lower case: with any other the disk is made, and its pod never starts"
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
                yield replace(finding, severity="warning")
