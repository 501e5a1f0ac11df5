"""The settings of a tier on GCE PD: the driver's parameters, typed, under its own names."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from components.provisioners.base import FSTYPE, TierParameters
from components.provisioners.codecs import CommaList, Count, GiB, LenientTruth, LowerCase, MiB, Pairs, Text, Truth
from components.provisioners.gce_pd.limits import TYPES
from components.provisioners.validators import in_gib, in_mib

DRIVER = "pd.csi.storage.gke.io"
ZONE_KEY = "topology.gke.io/zone"
# Zones (`europe-west1-b`), and a region's AI zones (`us-central1-ai1a`, Google's page on these).
# Regions of sovereign clouds begin with `u-` (the driver's GetRegionFromZones).
ZONE = re.compile(r"(?P<region>(u-)?[a-z]+-[a-z]+[0-9]+)-([a-z]|[a-z]{2}[0-9]+[a-z])")
IOPS = "provisioned-iops-on-create"
THROUGHPUT = "provisioned-throughput-on-create"
ACCESS_MODES = ("READ_WRITE_SINGLE", "READ_ONLY_MANY", "READ_WRITE_MANY")

EXAMPLE_REGION = "europe-west1"
EXAMPLE_ZONE = f"{EXAMPLE_REGION}-b"
EXAMPLE_KEY = f"projects/my-project/locations/{EXAMPLE_REGION}/keyRings/my-ring/cryptoKeys/my-key"
EXAMPLE_POOL = f"projects/my-project/zones/{EXAMPLE_ZONE}/storagePools/my-pool"


def _key(name: str) -> str:
    """The driver's spelling of a field: `data_cache_size` is `data-cache-size`."""
    return name.replace("_", "-")


class _Driver(TierParameters):
    """Base of the driver's parameters, which it writes with hyphens."""

    model_config = ConfigDict(alias_generator=_key)


_Labels = Annotated[
    dict[str, str],
    Field(description="a mapping from label keys to values", examples=["{team: data}"]),
    Pairs(),
]
_ResourceTags = Annotated[
    list[str],
    Field(description="a list of resource tags, each `parent/key/value`", examples=["[my-project/environment/production]"]),
    CommaList(),
]


class GcePdSnapshots(_Driver):
    """The tier's VolumeSnapshotClass. Snapshots are kept unless the stack says otherwise."""

    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Field(
            alias="deletionPolicy",
            description="Retain or Delete: whether a snapshot stays when its VolumeSnapshot is deleted",
            examples=["Retain"],
        ),
    ] = "Retain"
    storage_locations: Annotated[
        str | None, Field(description="one region or multi-region that keeps the snapshots", examples=["eu"]), Text()
    ] = None
    snapshot_type: Annotated[str | None, Field(description="snapshots or images", examples=["snapshots"]), Text()] = None
    image_family: Annotated[str | None, Field(description="the family of the images", examples=["my-family"]), Text()] = None
    labels: _Labels = Field(default_factory=dict)
    resource_tags: _ResourceTags = Field(default_factory=list)


class GcePdAttributes(_Driver):
    """A VolumeAttributesClass: what a Hyperdisk is changed to when its claim names the class."""

    iops: Annotated[int | None, Field(description="a whole number of IOPS", examples=["4000"]), Count()] = None
    throughput: Annotated[int | None, BeforeValidator(in_mib), Field(description="a whole number of MiB/s", examples=["250"]), MiB()] = None


class GcePdParameters(_Driver):
    """A tier's settings on GCE PD: the driver's parameters and the fields of the class."""

    type: Annotated[
        str | None,
        Field(
            description=f"the disk type: {', '.join(TYPES)}, dynamic; default pd-ssd, for a tier of kind streaming pd-balanced",
            examples=["pd-balanced"],
        ),
        LowerCase(),
    ] = None
    replication_type: Annotated[
        str | None, Field(description="none, or regional-pd: a disk in two zones", examples=["regional-pd"]), LowerCase()
    ] = None
    disk_encryption_kms_key: Annotated[
        str | None, Field(description="the Cloud KMS key; default: Google's own", examples=[EXAMPLE_KEY]), Text()
    ] = None
    labels: _Labels = Field(default_factory=dict)
    provisioned_iops_on_create: Annotated[
        int | None, Field(description="a whole number of IOPS (Hyperdisk, pd-extreme)", examples=["3000"]), Count()
    ] = None
    provisioned_throughput_on_create: Annotated[
        int | None, BeforeValidator(in_mib), Field(description="a whole number of MiB/s (Hyperdisk)", examples=["250"]), MiB()
    ] = None
    availability_class: Annotated[
        str | None,
        Field(description="none, or regional-hard-failover: a regional disk is attached elsewhere by force", examples=["none"]),
        LowerCase("none"),
    ] = None
    enable_confidential_storage: Annotated[
        bool | None, Field(description="true: confidential mode for Hyperdisk Balanced", examples=["true"]), Truth()
    ] = None
    storage_pools: Annotated[
        list[str],
        Field(description="a list of storage pools, one for each zone", examples=[f"[{EXAMPLE_POOL}]"]),
        CommaList(spaces=False, empty=EXAMPLE_POOL),
    ] = Field(default_factory=list)
    resource_tags: _ResourceTags = Field(default_factory=list)
    data_cache_size: Annotated[
        int | None,
        BeforeValidator(in_gib),
        Field(description="a whole number of GiB of the node's SSD as a cache", examples=["100"]),
        GiB(),
    ] = None
    data_cache_mode: Annotated[
        str | None, Field(description="writethrough or writeback", examples=["writethrough"]), Text("writethrough")
    ] = None
    enable_multi_zone_provisioning: Annotated[
        bool | None, Field(description="true: a read-only disk in each zone", examples=["false"]), Truth()
    ] = None
    access_mode: Annotated[
        str | None,
        Field(description=f"the disk's access mode: {', '.join(ACCESS_MODES)}", examples=["READ_WRITE_SINGLE"]),
        Text(),
    ] = None
    use_allowed_disk_topology: Annotated[
        bool | None, Field(description="true: pods go to nodes that can attach the disk type", examples=["true"]), LenientTruth()
    ] = None
    hyperdisk_type: Annotated[
        str | None, Field(description="with `type: dynamic`, the Hyperdisk", examples=["hyperdisk-balanced"]), LowerCase()
    ] = None
    pd_type: Annotated[
        str | None, Field(description="with `type: dynamic`, the Persistent Disk", examples=["pd-balanced"]), LowerCase()
    ] = None
    disk_type_preference: Annotated[
        str | None,
        Field(description="with `type: dynamic`, which where both can be had: hyperdisk-type or pd-type", examples=["hyperdisk-type"]),
        LowerCase("hyperdisk-type"),
    ] = None
    csi_fstype: Annotated[
        str | None,
        Field(
            alias=FSTYPE,
            description="the file system: ext4 or xfs; default ext4, for a tier of kind streaming xfs",
            examples=["ext4"],
        ),
        Text(),
    ] = None

    zones: Annotated[
        list[str],
        Field(description="a list of the zones that volumes may be in; default: wherever pods run", examples=["[europe-west1-b]"]),
    ] = Field(default_factory=list)
    mount_options: Annotated[
        list[str], Field(alias="mountOptions", description="a list of mount options; default noatime", examples=["[noatime]"])
    ] = Field(default_factory=list)
    snapshots: Annotated[
        GcePdSnapshots | None,
        Field(description="a mapping, `{}` for the driver's defaults: a VolumeSnapshotClass for the tier", examples=["{}"]),
    ] = None
    attributes: Annotated[
        dict[str, GcePdAttributes],
        Field(
            description="a mapping from names to VolumeAttributesClasses, by which volumes of the tier are changed while in use",
            examples=["{fast: {iops: 6000, throughput: 250}}"],
        ),
    ] = Field(default_factory=dict)
