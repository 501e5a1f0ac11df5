"""What GCE PD makes of a class: limits of the disk types, and every setting that driver or API refuses, ignores or misreads.

Sources, where a rule names no other: the driver's own code (gcp-compute-persistent-disk-csi-driver 1.26: pkg/parameters, pkg/convert,
pkg/gce-pd-csi-driver/controller.go), which leaves the values to the API ("We leave validation of the values to the cloud provider"), and
Google's pages (GKE, "About Hyperdisk", of April 2026; Compute Engine, on each disk type). None of it was tried on Google Cloud. Figures
that were found neither there nor in an error message of the API are warnings.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from components.kube.quantity import GI, quantity
from components.provisioners.class_rules import attribute_names, mount_options, regions, zones
from components.provisioners.finding import Finding, Volume, error, warning, wrong_size

if TYPE_CHECKING:
    from components.provisioners.gce_pd import GcePdAttributes, GcePdParameters, GcePdSnapshots

DRIVER = "pd.csi.storage.gke.io"
FSTYPE = "csi.storage.k8s.io/fstype"
ZONE_KEY = "topology.gke.io/zone"
DEFAULT_TYPE = "pd-standard"  # the driver's own, a hard disk
DYNAMIC = "dynamic"
HIGHLY_AVAILABLE = "hyperdisk-balanced-high-availability"

IOPS = "provisioned-iops-on-create"
THROUGHPUT = "provisioned-throughput-on-create"


@dataclass(frozen=True)
class Limits:
    """What a disk type can have: sizes in GiB, IOPS and throughput (MiB/s) in all; None where they can't be set."""

    gib: tuple[int, int]
    iops: tuple[int, int] | None = None
    throughput: tuple[int, int] | None = None


# Sizes: 64 TiB is the driver's MaxVolumeSizeInBytes; hyperdisk-balanced "Disk size cannot be smaller than 4 GB" (issue #2038); a zonal PD
# can have 1 GiB (the driver's least, and seen to work; Google's pages say 10 GB).
TYPES = {
    "pd-standard": Limits((1, 65_536)),
    "pd-balanced": Limits((1, 65_536)),
    "pd-ssd": Limits((1, 65_536)),
    "pd-extreme": Limits((500, 65_536), iops=(2_500, 120_000)),
    "hyperdisk-balanced": Limits((4, 65_536), (2_000, 160_000), (140, 2_400)),
    HIGHLY_AVAILABLE: Limits((4, 65_536), (2_000, 100_000), (140, 1_200)),
    "hyperdisk-throughput": Limits((2_048, 32_768), throughput=(20, 2_400)),
    "hyperdisk-extreme": Limits((64, 65_536), iops=(128, 350_000)),
    "hyperdisk-ml": Limits((4, 65_536), throughput=(400, 1_200_000)),
}
BALANCED = ("hyperdisk-balanced", HIGHLY_AVAILABLE)
BALANCED_PER_GIB = 500
BALANCED_LEAST = 3_000
FIXED_BELOW = 6  # GiB: smaller ones have exactly 500 IOPS a GiB, larger ones at least 3,000 (pull request #2054)
EXTREME_PER_GIB = (2, 1_000)  # pull request #2054 for the least; the most is not confirmed
THROUGHPUT_PER_TIB = (10, 90)
ML_PER_GIB = (0.12, 1_600)
REGIONAL_STANDARD_GIB = 200
# The driver's flags on GKE: --supports-dynamic-iops-provisioning and --supports-dynamic-throughput-provisioning.
CHANGEABLE = {
    "iops": ("hyperdisk-balanced", "hyperdisk-extreme"),
    "throughput": ("hyperdisk-balanced", "hyperdisk-throughput", "hyperdisk-ml"),
}

FILE_SYSTEMS = ("ext4", "xfs")
ACCESS_MODES = ("READ_WRITE_SINGLE", "READ_ONLY_MANY", "READ_WRITE_MANY")

_ZONE = re.compile(r"(?P<region>[a-z]+-[a-z]+[0-9]+)-[a-z]")
EXAMPLE_REGION = "europe-west1"
EXAMPLE_ZONE = f"{EXAMPLE_REGION}-b"
_KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
_POOL = re.compile(r"projects/[^/]+/zones/(?P<zone>[^/]+)/storagePools/[^/]+")
EXAMPLE_KEY = f"projects/my-project/locations/{EXAMPLE_REGION}/keyRings/my-ring/cryptoKeys/my-key"
EXAMPLE_POOL = "projects/my-project/zones/europe-west1-b/storagePools/my-pool"

MOST_LABELS = 64
MOST_TAGS = 50
_TAG_PARENT = re.compile(r"[1-9][0-9]{0,31}|[a-z][a-z0-9-]{4,28}[a-z0-9]")
_TAG_KEY = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.-]{0,61}[a-zA-Z0-9])?")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.@%=+:*#&()\[\]{}\-\s]{0,61}[a-zA-Z0-9])?")
_LOCATION = re.compile(r"[a-z]+|[a-z]+-[a-z]+[0-9]{1,2}")


def check(parameters: GcePdParameters, volumes: Sequence[Volume]) -> Iterator[Finding]:
    """All rules for a class with these parameters, of which these volumes are wanted."""
    p = parameters
    yield from _type(p)
    for kind in _types(p):
        figures = Figures("", IOPS, THROUGHPUT, kind, p.provisioned_iops_on_create, p.provisioned_throughput_on_create)
        # A dynamic class has figures for the Hyperdisk, and the driver drops what its other type can't have (sanitize.go).
        if not (p.type == DYNAMIC and kind.startswith("pd-")):
            yield from figures.check(volumes)
        for volume in volumes:
            yield from _size(kind, volume, regional=p.replication_type == "regional-pd")
    yield from _replication(p)
    yield from _encryption(p)
    yield from _pools(p)
    yield from _data_cache(p)
    yield from _access(p)
    yield from _file_system(p)
    yield from labels(p.labels, "labels")
    yield from resource_tags(p.resource_tags, "resource-tags")
    yield from zones(p.zones, _ZONE, "Google Cloud", EXAMPLE_ZONE)
    yield from mount_options(p.mount_options)
    if p.snapshots is not None:
        yield from _snapshots(p.snapshots)
    yield from attribute_names(p.attributes)
    for name, attributes in p.attributes.items():
        yield from _attributes(p, name, attributes, volumes)


def _types(p: GcePdParameters) -> tuple[str, ...]:
    """The types that a volume of the class may get; none for one that isn't known here."""
    wanted = (p.hyperdisk_type or "hyperdisk-balanced", p.pd_type or "pd-balanced") if p.type == DYNAMIC else (p.type or DEFAULT_TYPE,)
    return tuple(kind for kind in wanted if kind in TYPES)


def _type(p: GcePdParameters) -> Iterator[Finding]:
    """The driver checks no type; the API does, when the first pod comes."""
    kind = p.type
    if kind is not None and kind not in TYPES and kind != DYNAMIC:
        known = ", ".join([*TYPES, DYNAMIC])
        owner = "; this one is ebs's" if re.fullmatch("gp[23]|io[12]|st1|sc1|standard", kind) else ""
        yield error("type", kind, f"the disk types are {known}{owner}", kind.lower() if kind.lower() in TYPES else "pd-balanced")
    if (kind or DEFAULT_TYPE) == "pd-standard":
        value = kind or "(missing)"
        yield warning("type", value, "a hard disk, too slow for databases and logs at these sizes (0.75 IOPS a GiB)", "pd-balanced")
    if kind == HIGHLY_AVAILABLE:
        yield warning(
            "type", kind, "it needs a driver that is set up for it (--enable-hdha): others refuse the class", "hyperdisk-balanced"
        )
    if kind == "hyperdisk-ml":
        yield warning("type", kind, "made to be written once and read by many: for neither databases nor logs", "hyperdisk-balanced")
    choices: dict[str, str | None] = {
        "hyperdisk-type": p.hyperdisk_type,
        "pd-type": p.pd_type,
        "disk-type-preference": p.disk_type_preference,
    }
    for key, wanted in choices.items():
        if wanted is None:
            continue
        if kind != DYNAMIC:
            yield error(key, wanted, f"it needs `type: {DYNAMIC}`: the driver refuses the class", f"without `{key}`")
        elif key == "disk-type-preference" and wanted not in ("hyperdisk-type", "pd-type"):
            yield error(key, wanted, "hyperdisk-type or pd-type: the driver refuses the class", "hyperdisk-type")
        elif key != "disk-type-preference" and (wanted not in TYPES or not wanted.startswith(key.removesuffix("type"))):
            works = "hyperdisk-balanced" if key == "hyperdisk-type" else "pd-balanced"
            yield error(key, wanted, f"a disk type that begins with `{key.removesuffix('type')}`", works)
    if kind == DYNAMIC:
        yield warning("type", kind, "it needs driver 1.23 or newer with --dynamic-volumes: others refuse the class", "hyperdisk-balanced")


@dataclass(frozen=True)
class Figures:
    """What a disk is to perform. `prefix` is where it is written, below the tier; the keys are those of the class.

    What a finding says works has been held against all the volumes.
    """

    prefix: str
    iops_key: str
    throughput_key: str
    type: str
    iops: int | None
    throughput: int | None

    def check(self, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """The figures against the type's limits, by themselves and at each size."""
        limits = TYPES[self.type]
        iops_bounds = [self._iops_bounds(volume, limits) for volume in volumes] if limits.iops else []
        iops = _that_works(self.iops, [limits.iops, *iops_bounds], self.iops_key) if limits.iops else None
        bounds = [self._throughput_bounds(volume, limits) for volume in volumes] if limits.throughput else []
        if self.type in BALANCED and isinstance(iops, int) and limits.throughput:
            bounds.append((limits.throughput[0], max(iops // 4, limits.throughput[0])))
        throughput = _that_works(self.throughput, [limits.throughput, *bounds], self.throughput_key) if limits.throughput else None
        yield from self._settable(self.iops_key, self.iops, limits.iops, "IOPS", iops)
        yield from self._settable(self.throughput_key, self.throughput, limits.throughput, "MiB/s", throughput)
        if self.type in BALANCED and isinstance(iops, int) and self.throughput is not None and self.throughput > iops // 4:
            rule = f"Google's page: at most a quarter of a MiB/s for each IOPS, so {iops // 4} with {iops} IOPS"
            yield warning(f"{self.prefix}{self.throughput_key}", self.throughput, rule, throughput)
        if self.type == "pd-extreme" and self.iops is not None and 2_500 <= self.iops < 10_000:
            rule = "the API's text has at least 10000 for pd-extreme, Google's page 2500"
            yield warning(f"{self.prefix}{self.iops_key}", self.iops, rule, 10_000)
        for volume in volumes:
            yield from self._iops_at(volume, limits, iops)
            yield from self._throughput_at(volume, limits, throughput)

    def _settable(self, key: str, value: int | None, limits: tuple[int, int] | None, unit: str, works: object) -> Iterator[Finding]:
        if value is None:
            return
        path = f"{self.prefix}{key}"
        if limits is None:
            yield error(path, value, f"{self.type} takes no {unit} of its own: the API refuses the disk", f"without `{key}`")
        elif not limits[0] <= value <= limits[1]:
            rule = f"from {limits[0]} to {limits[1]} {unit} for {self.type}: the API refuses anything else"
            yield error(path, value, rule, works)

    def _iops_bounds(self, volume: Volume, limits: Limits) -> tuple[int, int]:
        """hyperdisk-balanced: "4Gi needs exactly 2000 IOPS, and 5Gi exactly 2500. Disks 6Gi and more need a minimum of 3000" (#2054)."""
        assert limits.iops is not None
        gib, (least, most) = _possible(volume, limits), limits.iops
        if self.type in BALANCED:
            least = BALANCED_PER_GIB * gib if gib < FIXED_BELOW else BALANCED_LEAST
            most = min(most, max(BALANCED_PER_GIB * gib, least))
        elif self.type == "hyperdisk-extreme":
            least, most = max(least, EXTREME_PER_GIB[0] * gib), min(most, EXTREME_PER_GIB[1] * gib)
        return least, most

    def _iops_at(self, volume: Volume, limits: Limits, works: object) -> Iterator[Finding]:
        if self.iops is None or limits.iops is None or not limits.iops[0] <= self.iops <= limits.iops[1]:
            return
        least, most = self._iops_bounds(volume, limits)
        make = error
        if self.type == HIGHLY_AVAILABLE:
            make = warning  # the figures of its sibling are taken for its own
        elif self.type == "hyperdisk-extreme":
            make = error if self.iops < least else warning
        if not least <= self.iops <= most:
            bounds = f"exactly {least} IOPS" if least == most else f"from {least} to {most} IOPS"
            size = quantity(_possible(volume, limits) * GI)
            rule = f"{bounds} for {self.type} at {size} ({volume.path}): the API refuses anything else"
            yield make(f"{self.prefix}{self.iops_key}", self.iops, rule, works)

    def _throughput_bounds(self, volume: Volume, limits: Limits) -> tuple[int, int]:
        assert limits.throughput is not None
        gib, (least, most) = _possible(volume, limits), limits.throughput
        if self.type == "hyperdisk-throughput":
            least, most = max(least, math.ceil(THROUGHPUT_PER_TIB[0] * gib / 1024)), min(most, THROUGHPUT_PER_TIB[1] * gib // 1024)
        elif self.type == "hyperdisk-ml":
            least, most = max(least, math.ceil(ML_PER_GIB[0] * gib)), min(most, ML_PER_GIB[1] * gib)
        return least, most

    def _throughput_at(self, volume: Volume, limits: Limits, works: object) -> Iterator[Finding]:
        if self.throughput is None or limits.throughput is None or not limits.throughput[0] <= self.throughput <= limits.throughput[1]:
            return
        least, most = self._throughput_bounds(volume, limits)
        if not least <= self.throughput <= most:
            size = quantity(_possible(volume, limits) * GI)
            rule = f"from {least} to {most} MiB/s for {self.type} at {size} ({volume.path}): the API refuses anything else"
            yield error(f"{self.prefix}{self.throughput_key}", self.throughput, rule, works)


def _possible(volume: Volume, limits: Limits) -> int:
    """The size in GiB that the type has next to the volume's, which is wrong by itself where it is another."""
    return min(max(volume.gib, limits.gib[0]), limits.gib[1])


def _that_works(written: int | None, bounds: Sequence[tuple[int, int]], key: str) -> int | str | None:
    """The figure next to the written one that is within all bounds; the driver's own, without the key, where none is."""
    least, most = max(low for low, _ in bounds), min(high for _, high in bounds)
    if written is None or least > most:
        return None if written is None else f"without `{key}`"
    return min(max(written, least), most)


def _size(kind: str, volume: Volume, *, regional: bool) -> Iterator[Finding]:
    """The driver never rounds a size up to the type's least ("Rounding up results in unexpected costs", issue #2038)."""
    least, most = TYPES[kind].gib
    if regional and kind == "pd-standard":
        least = REGIONAL_STANDARD_GIB
    if not least <= volume.gib <= most:
        what = f"{'regional ' if regional else ''}{kind}"
        bound = least if volume.gib < least else most
        rule = (
            f"a volume of type {what} has from {quantity(least * GI)} to {quantity(most * GI)}: the API refuses {quantity(volume.gib * GI)}"
        )
        yield wrong_size(volume, rule, quantity(bound * GI))
    elif kind in BALANCED and volume.gib < FIXED_BELOW:
        iops = BALANCED_PER_GIB * volume.gib
        rule = (
            f"below 6Gi a {kind} has {iops} IOPS, no more and no less, and drivers of before May 2025 can't make it larger: "
            "`Requested provisioned IOPS cannot be smaller than 3000` (issue #1816)"
        )
        yield Finding("warning", "", volume.size.requested, rule, "6Gi", volume)


def _replication(p: GcePdParameters) -> Iterator[Finding]:
    kind, replication = p.type or DEFAULT_TYPE, p.replication_type
    if replication is not None and replication not in ("none", "regional-pd"):
        yield error("replication-type", replication, "none or regional-pd: the driver refuses the class", "regional-pd")
    regional = replication == "regional-pd"
    if regional and kind.startswith("hyperdisk-") and kind != HIGHLY_AVAILABLE:
        rule = f"{kind} has no regional disks: the API refuses them; {HIGHLY_AVAILABLE} is replicated by itself"
        yield error("replication-type", replication, rule, f"without `replication-type`, with `type: {HIGHLY_AVAILABLE}`")
    if regional and kind == "pd-extreme":
        rule = "pd-extreme is zonal only: the API refuses regional disks (pull request #1079)"
        yield error("replication-type", replication, rule, "without `replication-type`, or with `type: pd-ssd`")
    if regional and kind == DYNAMIC:
        rule = "where a dynamic class becomes a Hyperdisk, the driver drops it without a word, and the disk is in one zone"
        yield error("replication-type", replication, rule, "without `replication-type`, or with `type: pd-ssd`")
    both = regional or kind == HIGHLY_AVAILABLE
    if both and len(p.zones) == 1:
        yield error(
            "zones", p.zones, "a regional disk is in two zones: with one the driver finds no second", "[europe-west1-b, europe-west1-c]"
        )
    if p.availability_class is not None and p.availability_class not in ("none", "regional-hard-failover"):
        rule = "none or regional-hard-failover: the driver refuses the class"
        yield error("availability-class", p.availability_class, rule, "regional-hard-failover")
    if p.availability_class == "regional-hard-failover" and not both:
        rule = "for regional disks alone: `invalid availability class for zonal disk`"
        yield error("availability-class", p.availability_class, rule, "with `replication-type: regional-pd`")


def _encryption(p: GcePdParameters) -> Iterator[Finding]:
    """Google encrypts every disk; a key of one's own has to be where the disk is, or in a wider location.

    The driver looks at a key for confidential storage alone, and there it is content with one in the middle of a text.
    """
    key, own = p.disk_encryption_kms_key, regions(p.zones, _ZONE)
    example = EXAMPLE_KEY.replace(f"/{EXAMPLE_REGION}/", f"/{min(own, default=EXAMPLE_REGION)}/")
    match = _KEY.fullmatch(key) if key is not None else None
    if key is not None and match is None:
        rule = "`projects/…/locations/…/keyRings/…/cryptoKeys/…`, without a version"
        works = re.sub("/cryptoKeyVersions/.*", "", key)
        yield error("disk-encryption-kms-key", key, rule, works if _KEY.fullmatch(works) else example)
    if match and own and re.fullmatch("[a-z]+-[a-z]+[0-9]+", match["location"]) and match["location"] not in own:
        rule = f"a key of the disks' own region, {', '.join(sorted(own))}, or of a wider location: {match['location']} is another region"
        works = key.replace(f"/locations/{match['location']}/", f"/locations/{min(own)}/") if key else example
        yield error("disk-encryption-kms-key", key, rule, works)
    if p.enable_confidential_storage:
        if match is None:
            rule = "it needs `disk-encryption-kms-key`: the driver refuses the class"
            yield error("enable-confidential-storage", True, rule, f"with `disk-encryption-kms-key: {example}`")
        if not (p.type or DEFAULT_TYPE).startswith("hyperdisk-balanced"):
            rule = "for Hyperdisk Balanced alone: the API refuses other disks"
            yield error("enable-confidential-storage", True, rule, "with `type: hyperdisk-balanced`")


def _pools(p: GcePdParameters) -> Iterator[Finding]:
    """The driver's validateStoragePools: types, replication, confidential storage, and the class's zones."""
    if not p.storage_pools:
        return
    rule = "pools need a driver that is set up for them (--enable-storage-pools): others refuse the class"
    yield warning("storage-pools", p.storage_pools, rule, "without `storage-pools`")
    written, found = p.storage_pools, [_POOL.fullmatch(pool) for pool in p.storage_pools]
    for pool, match in zip(written, found, strict=True):
        if match is None:
            yield error("storage-pools", pool, "`projects/…/zones/…/storagePools/…`: the driver refuses the class", EXAMPLE_POOL)
    pools = [match["zone"] for match in found if match]
    first = {match["zone"]: match[0] for match in reversed(found) if match}
    for zone in dict.fromkeys(each for each in pools if pools.count(each) > 1):
        rule = f"one pool for each zone, and {zone} has {pools.count(zone)}: the driver refuses the class"
        yield error("storage-pools", written, rule, f"[{', '.join(reversed(first.values()))}]")
    if (p.type or DEFAULT_TYPE) not in ("hyperdisk-balanced", "hyperdisk-throughput"):
        rule = "pools are for hyperdisk-balanced and hyperdisk-throughput: the driver refuses the class"
        yield error("storage-pools", written, rule, "with `type: hyperdisk-balanced`")
    if p.replication_type == "regional-pd":
        yield error("storage-pools", written, "pools have no regional disks: the driver refuses the class", "without `replication-type`")
    if p.enable_confidential_storage:
        rule = "pools have no confidential storage: the driver refuses the class"
        yield error("storage-pools", written, rule, "without `enable-confidential-storage`")
    if pools and all(found) and sorted(set(pools)) != sorted(p.zones):
        rule = "the class's zones are exactly those of its pools: the driver refuses it otherwise"
        yield error("zones", list(p.zones), rule, f"[{', '.join(dict.fromkeys(pools))}]")


def _data_cache(p: GcePdParameters) -> Iterator[Finding]:
    if p.data_cache_size is not None and p.data_cache_size <= 0:
        yield error("data-cache-size", p.data_cache_size, "above 0 Gi: the driver refuses the class", "100")
    if p.data_cache_mode is not None and p.data_cache_mode not in ("writethrough", "writeback"):
        rule = "writethrough or writeback, in lower case: the driver refuses the class"
        yield error("data-cache-mode", p.data_cache_mode, rule, "writethrough")
    if p.data_cache_mode is not None and p.data_cache_size is None:
        yield error(
            "data-cache-mode", p.data_cache_mode, "it needs `data-cache-size`: without one there is no cache", "with `data-cache-size: 100`"
        )
    if p.data_cache_size is not None:
        rule = "it needs a cluster and nodes with GKE Data Cache (local SSDs): others refuse the class"
        yield warning("data-cache-size", p.data_cache_size, rule, "without `data-cache-size`")
    if p.data_cache_mode == "writeback":
        rule = "what was acknowledged is on the node's own SSD first, and is lost with the node"
        yield warning("data-cache-mode", "writeback", rule, "writethrough")


def _access(p: GcePdParameters) -> Iterator[Finding]:
    if p.access_mode is not None and p.access_mode not in ACCESS_MODES:
        yield error("access-mode", p.access_mode, f"{', '.join(ACCESS_MODES)}: the API refuses anything else", ACCESS_MODES[0])
    elif p.access_mode not in (None, ACCESS_MODES[0]):
        rule = "the claims are for one pod at a time; a disk that several nodes can attach is not kept from being written by two"
        yield warning("access-mode", p.access_mode, rule, ACCESS_MODES[0])
    if p.enable_multi_zone_provisioning:
        rule = "it makes an own, different disk in each zone behind one volume: for copies to read, not for what is written"
        yield error("enable-multi-zone-provisioning", True, rule, "without `enable-multi-zone-provisioning`")
    if p.use_allowed_disk_topology is not None:
        rule = "a driver that isn't set up for it (--disk-topology) ignores it with a line in its log"
        yield warning("use-allowed-disk-topology", p.use_allowed_disk_topology, rule, "without `use-allowed-disk-topology`")


def _file_system(p: GcePdParameters) -> Iterator[Finding]:
    kind = p.csi_fstype
    if kind in ("btrfs", "ntfs"):
        what = "btrfs is experimental in the driver" if kind == "btrfs" else "ntfs is for Windows nodes"
        yield warning(FSTYPE, kind, what, "ext4")
    elif kind is not None and kind not in FILE_SYSTEMS:
        rule = "ext4 or xfs, in lower case: with any other the disk is made, and its pod never starts"
        yield error(FSTYPE, kind, rule, kind.lower() if kind.lower() in FILE_SYSTEMS else "ext4")


def labels(written: Mapping[str, str], path: str) -> Iterator[Finding]:
    """Labels as the driver checks them; lower case means of any script (`\\p{Ll}`)."""
    for key, value in written.items():
        text = f"{key}={value}"
        if not _is_label(key, 1) or not key[0].islower():
            rule = "a label's key is lower-case letters, digits, `_`, `-`, begins with a letter, at most 63 long: the driver refuses it"
            yield error(path, text, rule, "{team: data}")
        if not _is_label(value, 0):
            rule = "a label's value is lower-case letters, digits, `_`, `-`, at most 63 long: the driver refuses it"
            yield error(path, text, rule, "{team: data}")
        if key.startswith("goog"):
            yield warning(path, text, "labels that begin with `goog` are Google's own", f"{{my-{key}: {value}}}")
    if len(written) > MOST_LABELS:
        yield error(path, f"{len(written)} labels", f"at most {MOST_LABELS} labels: the driver refuses the class", f"{MOST_LABELS} labels")


def _is_label(text: str, least: int) -> bool:
    allowed = all(each in "0123456789_-" or (each.isalpha() and each.islower()) for each in text)
    return least <= len(text) <= 63 and allowed


def resource_tags(written: Sequence[str], path: str) -> Iterator[Finding]:
    """Tags as the driver checks them: `parent/key/value`, each key once, at most 50."""
    example = "my-project/environment/production"
    seen: set[str] = set()
    for tag in written:
        parts = [part.strip() for part in tag.split("/")]
        patterns = (_TAG_PARENT, _TAG_KEY, _TAG_VALUE)
        if len(parts) != 3 or not all(pattern.fullmatch(part) for pattern, part in zip(patterns, parts, strict=False)):
            rule = (
                "`parent/key/value`: an organization's number or a project's id, then a key and a value of at most 63 characters, which "
                "begin and end with a letter or digit: the driver refuses the class"
            )
            yield error(path, tag, rule, example)
            continue
        if "/".join(parts[:2]) in seen:
            yield error(path, tag, f"{parts[0]}/{parts[1]} is there twice: the driver refuses the class", example)
        seen.add("/".join(parts[:2]))
    if len(written) > MOST_TAGS:
        yield error(path, f"{len(written)} tags", f"at most {MOST_TAGS} tags: the driver refuses the class", f"{MOST_TAGS} tags")


def _attributes(p: GcePdParameters, name: str, attributes: GcePdAttributes, volumes: Sequence[Volume]) -> Iterator[Finding]:
    """A VolumeAttributesClass changes disks of this class: `Disk type pd-ssd does not support dynamic provisioning`."""
    prefix = f"attributes.{name}."
    given = {"iops": attributes.iops, "throughput": attributes.throughput}
    if all(value is None for value in given.values()):
        yield error(f"attributes.{name}", {}, "a class that changes nothing; Kubernetes wants parameters in it", "{iops: 4000}")
    kinds = _types(p)
    for key, value in given.items():
        wrong = [kind for kind in kinds if kind not in CHANGEABLE[key] and p.type != DYNAMIC]
        if value is not None and wrong:
            rule = f"{key} of a {wrong[0]} can't be changed; that of {', '.join(CHANGEABLE[key])} can"
            yield error(f"{prefix}{key}", value, rule, f"without `{key}`")
            given[key] = None
    for kind in kinds:
        if kind.startswith("pd-"):
            continue
        figures = Figures(prefix, "iops", "throughput", kind, given["iops"], given["throughput"])
        always = list(figures.check(()))
        known = {(each.path, each.rule) for each in always}
        yield from always
        # A class that changes volumes is for those that it suits: what doesn't suit all sizes of the tier is worth a word, no more.
        yield from (replace(finding, severity="warning") for finding in figures.check(volumes) if (finding.path, finding.rule) not in known)


def _snapshots(s: GcePdSnapshots) -> Iterator[Finding]:
    path = "snapshots."
    yield from labels(s.labels, f"{path}labels")
    yield from resource_tags(s.resource_tags, f"{path}resource-tags")
    if s.storage_locations is not None and not _LOCATION.fullmatch(s.storage_locations.strip().lower()):
        rule = "one region (europe-west1) or multi-region (eu): the driver refuses the class"
        yield error(f"{path}storage-locations", s.storage_locations, rule, "eu")
    if s.snapshot_type is not None and s.snapshot_type not in ("snapshots", "images"):
        yield error(f"{path}snapshot-type", s.snapshot_type, "snapshots or images: the driver refuses the class", "snapshots")
    if s.image_family is not None and s.snapshot_type != "images":
        rule = "for `snapshot-type: images` alone: it has no effect"
        yield warning(f"{path}image-family", s.image_family, rule, "without `image-family`")
