"""pd.csi.storage.gke.io: Persistent Disk and Hyperdisk on GKE. The rules that a class keeps are in gce_pd_rules.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from components.kinds import STREAMING, TierKind
from components.kube.quantity import GI
from components.provisioners import gce_pd_rules
from components.provisioners.finding import Finding, Volume, error
from components.provisioners.forms import CommaList, Count, GiB, LowerCase, MiB, Pairs, Text, Truth, in_gib, in_mib, written
from components.provisioners.manifests import Manifest
from components.provisioners.shape import Provisioner, SnapshotClassFields, StorageClassFields, TierParameters


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
    """A VolumeAttributesClass: what a Hyperdisk of the tier is changed to when its claim names this class."""

    iops: Annotated[int | None, Field(description="a whole number of IOPS", examples=["4000"]), Count()] = None
    throughput: Annotated[int | None, BeforeValidator(in_mib), Field(description="a whole number of MiB/s", examples=["250"]), MiB()] = None


class GcePdParameters(_Driver):
    """A tier's settings on GCE PD: the driver's parameters under its own names, and the fields of the class."""

    type: Annotated[
        str | None,
        Field(
            description=f"the disk type: {', '.join(gce_pd_rules.TYPES)}, dynamic; default pd-ssd, for the tier `streaming` pd-balanced",
            examples=["pd-balanced"],
        ),
        LowerCase(),
    ] = None
    replication_type: Annotated[
        str | None, Field(description="none, or regional-pd: a disk in two zones", examples=["regional-pd"]), LowerCase()
    ] = None
    disk_encryption_kms_key: Annotated[
        str | None, Field(description="the Cloud KMS key; default: Google's own", examples=[gce_pd_rules.EXAMPLE_KEY]), Text()
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
        Field(description="a list of storage pools, one for each zone", examples=[f"[{gce_pd_rules.EXAMPLE_POOL}]"]),
        CommaList(spaces=False),
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
        Field(description=f"the disk's access mode: {', '.join(gce_pd_rules.ACCESS_MODES)}", examples=["READ_WRITE_SINGLE"]),
        Text(),
    ] = None
    use_allowed_disk_topology: Annotated[
        bool | None, Field(description="true: pods go to nodes that can attach the disk type", examples=["true"]), Truth()
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
        LowerCase(),
    ] = None
    csi_fstype: Annotated[
        str | None,
        Field(
            alias=gce_pd_rules.FSTYPE,
            description="the file system: ext4 or xfs; default ext4, for the tier `streaming` xfs",
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


class GcePd(Provisioner[GcePdParameters]):
    """Classes on Persistent Disk and Hyperdisk. Volumes grow online, are a whole number of GiB, and belong to a zone, or to two."""

    name = "gce-pd"
    driver = gce_pd_rules.DRIVER
    caveat = "A zonal disk is in one zone, and only nodes of that zone can use it."
    size_unit = GI
    keys_in_any_case = True
    topology_keys: ClassVar[Mapping[str, str]] = {gce_pd_rules.ZONE_KEY: "zone"}

    @property
    def parameters_model(self) -> type[GcePdParameters]:
        """Every parameter of the driver, and zones, mountOptions, snapshots, attributes."""
        return GcePdParameters

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """pd-ssd for databases, pd-balanced for logs, with the file system of the kind; never the driver's pd-standard, a hard disk.

        At a few GiB a disk performs by its type: pd-ssd has 30 IOPS a GiB and the shortest sync, which every commit waits for; a log is
        written in long runs, for which pd-balanced has enough at less cost. Both can be attached by the usual machine series (E2, N2,
        N2D, C3); the newest (N4, C4) take Hyperdisk alone: there, `type: hyperdisk-balanced`. ext4 is what PostgreSQL runs on most, and the
        driver's own default. Kafka's documentation measured XFS ahead of ext4 for its long appends, and an XFS volume has no
        `lost+found` at its root, over which Kafka would stumble. noatime spares a write for each read, in both.
        """
        return {
            "type": "pd-balanced" if kind == STREAMING else "pd-ssd",
            gce_pd_rules.FSTYPE: kind.file_system,
            "mountOptions": ["noatime"],
        }

    def findings(self, parameters: GcePdParameters, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """See gce_pd_rules.py."""
        return gce_pd_rules.check(parameters, volumes)

    def storage_class(self, parameters: GcePdParameters) -> StorageClassFields:
        """A class whose volumes can grow; a restriction to zones has the one key that the driver reads."""
        expressions = [{"key": gce_pd_rules.ZONE_KEY, "values": list(parameters.zones)}]
        return StorageClassFields(
            parameters=written(parameters),
            allow_volume_expansion=True,
            mount_options=parameters.mount_options,
            allowed_topologies=[{"match_label_expressions": expressions}] if parameters.zones else [],  # type: ignore[typeddict-item]
        )

    def snapshot_class(self, parameters: GcePdParameters) -> SnapshotClassFields | None:
        """The driver's parameters for snapshots."""
        wanted = parameters.snapshots
        return SnapshotClassFields(wanted.deletion_policy, written(wanted)) if wanted is not None else None

    def attributes_classes(self, parameters: GcePdParameters) -> Mapping[str, Mapping[str, str]]:
        """The driver's parameters that can be changed."""
        return {name: written(each) for name, each in parameters.attributes.items()}

    def class_findings(self, manifest: Manifest) -> Iterator[Finding]:
        """As for every block storage; and some keys the driver looks up a second time, in lower case alone."""
        yield from super().class_findings(manifest)
        written = {key.lower(): str(value).lower() for key, value in manifest.parameters.items()}
        looked_up: dict[str, tuple[str, ...]] = {}
        if written.get("enable-confidential-storage") == "true":
            looked_up["enable-confidential-storage: true"] = ("disk-encryption-kms-key",)
        if written.get("type") == gce_pd_rules.DYNAMIC:
            looked_up["type: dynamic"] = ("type", "hyperdisk-type", "pd-type", "disk-type-preference")
        for setting, keys in looked_up.items():
            for key, value in manifest.parameters.items():
                if key.lower() in keys and key not in keys:
                    rule = f"with `{setting}` the driver looks for `{key.lower()}` in lower case alone, and doesn't find this"
                    yield error(key, value, rule, f"{key.lower()}: {value}")

    def unknown(self, key: str, value: object) -> Finding:
        """A bare fstype, which EBS takes, has its right key as what works."""
        works = f"{gce_pd_rules.FSTYPE}: {value}" if key.lower() == "fstype" else f"without `{key}`"
        return error(key, value, self.why_refused(key), works)

    def why_refused(self, key: str) -> str:
        """For the two spellings that documentation has wrong, or that another driver takes; else what the driver does."""
        if key.lower() in (gce_pd_rules.FSTYPE, "fstype"):
            return f"`{gce_pd_rules.FSTYPE}`, in this case, is the only key for it: the driver refuses a bare `fstype`"
        if key == "use-allowed-disk-topologies":
            return "the driver's own README has this spelling, and the driver refuses it: it is `use-allowed-disk-topology`"
        return "the driver refuses a class with a parameter that it doesn't know"
