"""The settings of a tier on EBS: the driver's parameters, typed, under its own names."""

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from components.provisioners.base import FSTYPE, TierParameters
from components.provisioners.codecs import CommaList, ExactTruth, Int32, Numbered, Text
from components.provisioners.ebs.limits import TYPES
from components.provisioners.validators import gather_numbered, number_as_text

DRIVER = "ebs.csi.aws.com"
AUTO_MODE_DRIVER = "ebs.csi.eks.amazonaws.com"
ZONE_KEY = "topology.kubernetes.io/zone"
AUTO_MODE_KEY = "eks.amazonaws.com/compute-type"

# An availability zone (eu-central-1a, eusc-de-east-1a), a local zone (us-west-2-lax-1a) or a
# Wavelength zone (us-east-1-wl1-bos-wlz-1).
ZONE = re.compile(r"(?P<region>[a-z]+(?:-[a-z]+)+-[0-9]+)(?:[a-z]|(?:-[a-z]+[0-9]*)+-[0-9]+[a-z]?)")

EXAMPLE_REGION = "eu-central-1"
EXAMPLE_ZONE = f"{EXAMPLE_REGION}a"
EXAMPLE_KEY = f"arn:aws:kms:{EXAMPLE_REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
EXAMPLE_OUTPOST = f"arn:aws:outposts:{EXAMPLE_REGION}:111122223333:outpost/op-0123456789abcdef0"

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
        return gather_numbered(values, "tagSpecification", _TAGS)


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
        str | None, Field(description="the ARN of the outpost that keeps the snapshots", examples=[EXAMPLE_OUTPOST]), Text()
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
    """A VolumeAttributesClass: what a volume is changed to when its claim names the class.

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
        return gather_numbered(values, "tagDeletion", "tagDeletion_N")


_Formatting = Annotated[str | None, BeforeValidator(number_as_text)]


class EbsParameters(_Tagged):
    """A tier's settings on EBS: the driver's parameters and the fields of the class."""

    type: Annotated[str | None, Field(description=f"the volume type: {', '.join(TYPES)}; default gp3", examples=["gp3"]), Text()] = None
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
        Field(description="the ARN of the KMS key; default: the account's own for EBS", examples=[EXAMPLE_KEY]),
        Text(),
    ] = None
    csi_fstype: Annotated[
        str | None,
        Field(
            alias=FSTYPE,
            description="the file system: ext4, xfs, ext3 or ext2; default ext4, for a tier of kind streaming xfs",
            examples=["ext4"],
        ),
        Text(),
    ] = None
    fstype: Annotated[str | None, Field(description=f"deprecated for `{FSTYPE}`", examples=["ext4"]), Text()] = None
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
            description=f"true: the class is for EKS Auto Mode, whose driver is {AUTO_MODE_DRIVER}; default false",
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
