"""ebs.csi.aws.com: EBS volumes on EKS and other clusters on AWS. The rules that a class keeps are in ebs_rules.py."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.kinds import TierKind
from components.kube.quantity import GI
from components.provisioners import ebs_rules
from components.provisioners.finding import Finding, Volume, warning
from components.provisioners.forms import CommaList, ExactTruth, Int32, Numbered, Text, gathered, natural, written
from components.provisioners.manifests import Manifest
from components.provisioners.shape import Provisioner, SnapshotClassFields, StorageClassFields, TierParameters

_TAGS = "tagSpecification_N"
_TAGS_MEANING = "a tag as `key=value`, under `tagSpecification_1`, `tagSpecification_2` and so on"


class _Tagged(TierParameters):
    """Base of the three classes that may set tags."""

    tag_specification: Annotated[
        dict[str, str], Field(alias=_TAGS, description=_TAGS_MEANING, examples=["team=data"]), Numbered("tagSpecification")
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_tags(cls, values: object) -> object:
        return gathered(values, "tagSpecification", _TAGS)


class EbsSnapshots(_Tagged):
    """The tier's VolumeSnapshotClass. Snapshots are kept unless the stack says otherwise."""

    deletion_policy: Annotated[
        Literal["Retain", "Delete"],
        Field(description="Retain or Delete: whether a snapshot stays when its VolumeSnapshot is deleted", examples=["Retain"]),
    ] = "Retain"
    fast_snapshot_restore_availability_zones: Annotated[
        list[str],
        Field(
            description="a list of availability zones in which volumes from its snapshots are fast at once (billed by the hour)",
            examples=["[eu-central-1a]"],
        ),
        CommaList(),
    ] = Field(default_factory=list)
    outpost_arn: Annotated[
        str | None, Field(description="the ARN of the outpost that keeps the snapshots", examples=[ebs_rules.EXAMPLE_OUTPOST]), Text()
    ] = None
    lock_mode: Annotated[
        str | None, Field(description="governance or compliance: snapshots are locked against deletion", examples=["governance"]), Text()
    ] = None
    lock_duration: Annotated[int | None, Field(description="a whole number of days that the lock lasts", examples=["7"]), Int32()] = None
    lock_expiration_date: Annotated[
        str | None,
        Field(description="a text, until when the lock lasts, as RFC 3339 has it", examples=['"2030-12-31T23:59:59Z"']),
        Text(),
    ] = None
    lock_cool_off_period: Annotated[
        int | None, Field(description="a whole number of hours in which a compliance lock may still be lifted", examples=["24"]), Int32()
    ] = None


class EbsAttributes(_Tagged):
    """A VolumeAttributesClass: what a volume of the tier is changed to when its claim names this class.

    The driver takes these keys in exactly this case.
    """

    type: Annotated[str | None, Field(description="the volume type to change to", examples=["gp3"]), Text()] = None
    volume_type: Annotated[str | None, Field(description="deprecated for `type`", examples=["gp3"]), Text()] = None
    iops: Annotated[int | None, Field(description="a whole number of IOPS", examples=["4000"]), Int32()] = None
    throughput: Annotated[int | None, Field(description="a whole number of MiB/s", examples=["250"]), Int32()] = None
    iopspergb: Annotated[int | None, Field(description="a whole number of IOPS for each GiB", examples=["50"]), Int32()] = None
    allowautoiopsincreaseonmodify: Annotated[
        bool | None, Field(description="true: iopspergb is kept when a volume grows", examples=["true"]), ExactTruth()
    ] = None
    tag_deletion: Annotated[
        dict[str, str],
        Field(
            alias="tagDeletion_N",
            description="the key of a tag to remove, under `tagDeletion_1` and so on",
            examples=["tagDeletion_1: team"],
        ),
        Numbered("tagDeletion"),
    ] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_deletions(cls, values: object) -> object:
        return gathered(values, "tagDeletion", "tagDeletion_N")


_Formatting = Annotated[str | None, BeforeValidator(natural)]


class EbsParameters(_Tagged):
    """A tier's settings on EBS: the driver's parameters under its own names, and the fields of the class."""

    type: Annotated[
        str | None, Field(description=f"the volume type: {', '.join(ebs_rules.TYPES)}; default gp3", examples=["gp3"]), Text()
    ] = None
    iops: Annotated[int | None, Field(description="a whole number of IOPS (gp3, io1, io2)", examples=["3000"]), Int32()] = None
    iops_per_gb: Annotated[
        int | None, Field(alias="iopsPerGB", description="a whole number of IOPS for each GiB (gp3, io1, io2)", examples=["500"]), Int32()
    ] = None
    allow_auto_iops_per_gb_increase: Annotated[
        bool | None,
        Field(
            alias="allowAutoIOPSPerGBIncrease",
            description="true: where a size is too small for its IOPS, the driver raises them to the type's least",
            examples=["true"],
        ),
        ExactTruth(),
    ] = None
    allow_auto_iops_increase_on_modify: Annotated[
        bool | None,
        Field(alias="allowAutoIOPSIncreaseOnModify", description="true: iopsPerGB is kept when a volume grows", examples=["true"]),
        ExactTruth(),
    ] = None
    throughput: Annotated[int | None, Field(description="a whole number of MiB/s (gp3)", examples=["125"]), Int32()] = None
    encrypted: Annotated[bool | None, Field(description="true, the default: volumes are encrypted", examples=["true"]), ExactTruth()] = None
    kms_key_id: Annotated[
        str | None,
        Field(description="the ARN of the KMS key; default: the account's own for EBS", examples=[ebs_rules.EXAMPLE_KEY]),
        Text(),
    ] = None
    csi_fstype: Annotated[
        str | None,
        Field(
            alias=ebs_rules.FSTYPE,
            description="the file system: ext4, xfs or ext3; default ext4, for the tier `streaming` xfs",
            examples=["ext4"],
        ),
        Text(),
    ] = None
    fstype: Annotated[str | None, Field(description=f"deprecated for `{ebs_rules.FSTYPE}`", examples=["ext4"]), Text()] = None
    block_size: Annotated[_Formatting, Field(description="the file system's block size, in bytes", examples=["4096"]), Text()] = None
    inode_size: Annotated[_Formatting, Field(description="the file system's inode size, in bytes", examples=["512"]), Text()] = None
    bytes_per_inode: Annotated[
        _Formatting, Field(description="bytes of the volume for each inode (ext4, ext3)", examples=["16384"]), Text()
    ] = None
    number_of_inodes: Annotated[
        _Formatting, Field(description="how many inodes the file system has (ext4, ext3)", examples=["1000000"]), Text()
    ] = None
    ext4_big_alloc: Annotated[
        bool | None, Field(alias="ext4BigAlloc", description="true: ext4 allocates in clusters of blocks", examples=["true"]), ExactTruth()
    ] = None
    ext4_cluster_size: Annotated[
        _Formatting,
        Field(alias="ext4ClusterSize", description="the size of such a cluster, in bytes", examples=["16384"]),
        Text(),
    ] = None
    ext4_encryption_support: Annotated[
        bool | None,
        Field(alias="ext4EncryptionSupport", description="true: ext4 can encrypt single directories", examples=["true"]),
        ExactTruth(),
    ] = None
    volume_initialization_rate: Annotated[
        int | None, Field(description="a whole number of MiB/s at which a volume from a snapshot is filled", examples=["100"]), Int32()
    ] = None
    block_attach_until_initialized: Annotated[
        bool | None, Field(description="true: a volume from a snapshot is attached only when it is filled", examples=["true"]), ExactTruth()
    ] = None
    block_express: Annotated[bool | None, Field(description="deprecated, without effect", examples=["true"]), ExactTruth()] = None

    auto_mode: Annotated[
        bool,
        Field(
            description=f"true: the class is for EKS Auto Mode, whose driver is {ebs_rules.AUTO_MODE_DRIVER}; default false",
            examples=["true"],
        ),
    ] = False
    zones: Annotated[
        list[str],
        Field(
            description="a list of the availability zones that volumes may be in; default: wherever pods run", examples=["[eu-central-1a]"]
        ),
    ] = Field(default_factory=list)
    mount_options: Annotated[list[str], Field(description="a list of mount options; default noatime", examples=["[noatime]"])] = Field(
        default_factory=list
    )
    snapshots: Annotated[
        EbsSnapshots | None,
        Field(description="a mapping, `{}` for the driver's defaults: a VolumeSnapshotClass for the tier", examples=["{}"]),
    ] = None
    attributes: Annotated[
        dict[str, EbsAttributes],
        Field(
            description="a mapping from names to VolumeAttributesClasses, by which volumes of the tier are changed while in use",
            examples=["{fast: {iops: 6000, throughput: 250}}"],
        ),
    ] = Field(default_factory=dict)


class Ebs(Provisioner[EbsParameters]):
    """Classes on EBS. Volumes grow online, are a whole number of GiB, and belong to one availability zone."""

    name = "ebs"
    driver = ebs_rules.DRIVER
    caveat = "An EBS volume is in one availability zone, and only nodes of that zone can use it."
    size_unit = GI
    keys_in_any_case = True
    topology_keys: ClassVar[Mapping[str, str]] = {
        ebs_rules.ZONE_KEY: "zone",
        "topology.ebs.csi.aws.com/zone": "zone",
        "topology.k8s.aws/zone-id": "other",
        "topology.ebs.csi.aws.com/outpost-id": "other",
        ebs_rules.AUTO_MODE_KEY: "other",
    }

    @property
    def drivers(self) -> tuple[str, ...]:
        """The driver that one installs, and the one of EKS Auto Mode."""
        return (ebs_rules.DRIVER, ebs_rules.AUTO_MODE_DRIVER)

    @property
    def parameters_model(self) -> type[EbsParameters]:
        """Every parameter of the driver, and zones, mountOptions, snapshots, attributes, autoMode."""
        return EbsParameters

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """gp3, encrypted, with the file system of the kind.

        gp3 has 3,000 IOPS and 125 MiB/s at any size: the other types have less than that at a few GiB, or cost more. ext4 is what
        PostgreSQL runs on most, is the driver's own default, and mounts on every node's kernel (newer mkfs.xfs makes what old
        ones refuse). Kafka's documentation measured XFS ahead of ext4 for its long appends, and an XFS volume has no `lost+found` at its
        root, over which Kafka would stumble. noatime spares a write for each read, in both.
        """
        return {"type": "gp3", "encrypted": True, ebs_rules.FSTYPE: kind.file_system, "mountOptions": ["noatime"]}

    def findings(self, parameters: EbsParameters, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """See ebs_rules.py."""
        return ebs_rules.check(parameters, volumes)

    def storage_class(self, parameters: EbsParameters) -> StorageClassFields:
        """A class whose volumes can grow; a restriction to zones has the key that every version of the driver reads."""
        expressions = [{"key": ebs_rules.ZONE_KEY, "values": list(parameters.zones)}] if parameters.zones else []
        if parameters.auto_mode:
            # Keeps the pods off nodes that Auto Mode doesn't run, which can't attach its volumes (EKS, "Create a storage class").
            expressions.append({"key": ebs_rules.AUTO_MODE_KEY, "values": ["auto"]})
        return StorageClassFields(
            parameters=written(parameters),
            allow_volume_expansion=True,
            mount_options=parameters.mount_options,
            allowed_topologies=[{"match_label_expressions": expressions}] if expressions else [],  # type: ignore[typeddict-item]
            driver=ebs_rules.AUTO_MODE_DRIVER if parameters.auto_mode else "",
        )

    def snapshot_class(self, parameters: EbsParameters) -> SnapshotClassFields | None:
        """The driver's parameters for snapshots."""
        wanted = parameters.snapshots
        return SnapshotClassFields(wanted.deletion_policy, written(wanted)) if wanted is not None else None

    def attributes_classes(self, parameters: EbsParameters) -> Mapping[str, Mapping[str, str]]:
        """The driver's parameters that can be changed."""
        return {name: written(each) for name, each in parameters.attributes.items()}

    def class_findings(self, manifest: Manifest) -> Iterator[Finding]:
        """As for every block storage; and a class of Auto Mode is for nodes of Auto Mode."""
        yield from super().class_findings(manifest)
        if manifest.provisioner == ebs_rules.AUTO_MODE_DRIVER and ebs_rules.AUTO_MODE_KEY not in dict(manifest.topologies):
            rule = f"without {ebs_rules.AUTO_MODE_KEY}: auto a pod may come to another node, which can't attach the volume"
            yield warning("allowedTopologies", dict(manifest.topologies), rule, f"{ebs_rules.AUTO_MODE_KEY}: [auto]")

    def why_refused(self, key: str) -> str:
        """For the keys that differ from the right one in case alone: which the driver doesn't mind, but settings have one spelling."""
        if key.lower() in (ebs_rules.FSTYPE, "fstype"):
            return f"`{ebs_rules.FSTYPE}`, in this case, is the key that every driver takes"
        return "" if key.startswith("csi.storage.k8s.io/") else "the driver refuses a class with a parameter that it doesn't know"
