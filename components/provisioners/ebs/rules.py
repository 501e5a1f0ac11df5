"""What EBS makes of a class: every setting that driver or EC2 refuses, lowers, ignores or misreads.

`check` is the list of all rules.
Rules for IOPS and throughput are in performance_rules.py, for tags in tag_rules.py, for snapshots
in snapshot_rules.py; the numbers are in limits.py.

Sources, where a rule names no other: the driver's own code and documentation (aws-ebs-csi-driver
1.64: pkg/driver/controller.go, pkg/driver/validation.go, pkg/cloud/cloud.go, docs/parameters.md,
docs/modify-volume.md), and the text of EC2's API. None of it was tried on AWS.
docs/provisioners.md has the files by subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from components.kube.quantity import GI, quantity
from components.provisioners.base import FSTYPE
from components.provisioners.ebs.limits import DEFAULT_TYPE, INITIALIZATION_RATE, OLD_GP3, SLOW, TYPES
from components.provisioners.ebs.parameters import (
    AUTO_MODE_DRIVER,
    AUTO_MODE_KEY,
    EXAMPLE_KEY,
    EXAMPLE_REGION,
    EXAMPLE_ZONE,
    ZONE,
    EbsAttributes,
    EbsParameters,
)
from components.provisioners.ebs.performance_rules import EbsPerformance
from components.provisioners.ebs.snapshot_rules import snapshots
from components.provisioners.ebs.tag_rules import VOLUME_FIELDS, tags
from components.provisioners.findings import Finding, RequestedVolume, error, poor_size, warning, wrong_size
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Add, Advice, Drop, Either, Rename, Set
from components.provisioners.shared_rules import attribute_names, mount_options, regions, zones

# What the driver takes on Linux (ValidFSTypes, pkg/driver/node.go): its image makes each of them.
FILE_SYSTEMS = ("ext4", "xfs", "ext3", "ext2")
# Options for making a file system, and on which ones they can't be had (FileSystemConfigs).
_FORMATTING = {
    "block_size": ("blockSize", ("ntfs",)),
    "inode_size": ("inodeSize", ("ntfs",)),
    "bytes_per_inode": ("bytesPerInode", ("xfs", "ntfs")),
    "number_of_inodes": ("numberOfInodes", ("xfs", "ntfs")),
    "ext4_big_alloc": ("ext4BigAlloc", ("ext2", "ext3", "xfs", "ntfs")),
    "ext4_cluster_size": ("ext4ClusterSize", ("ext2", "ext3", "xfs", "ntfs")),
    "ext4_encryption_support": ("ext4EncryptionSupport", ("ext2", "ext3", "xfs", "ntfs")),
}

_KEY_ID = r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|mrk-[0-9a-f]{32})"
_KMS = r"arn:aws(?:-[a-z]+)*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:"
_KEY_ARN = re.compile(_KMS + "key/" + _KEY_ID)
_OTHER_KEYS = re.compile(f"{_KMS}alias/[A-Za-z0-9/_-]+|alias/[A-Za-z0-9/_-]+|{_KEY_ID}")


def check(parameters: EbsParameters, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
    """All rules for a class with these parameters, of which these volumes are wanted."""
    p = parameters
    yield from _type(p.type, "type")
    if p.type in SLOW:
        yield warning("type", p.type, SLOW[p.type], Set(DEFAULT_TYPE))
    performance = EbsPerformance(
        prefix="",
        type=p.type or DEFAULT_TYPE,
        iops=p.iops,
        iops_per_gib=p.iops_per_gb,
        throughput=p.throughput,
        increase=bool(p.allow_auto_iops_per_gb_increase),
    )
    yield from _performance(performance, volumes, sizes=True)
    yield from _increases(p)
    yield from _encryption(p)
    yield from _file_system(p)
    yield from _initialization(p)
    yield from tags(p.tag_specification, "", VOLUME_FIELDS)
    yield from zones(p.zones, ZONE, "AWS", EXAMPLE_ZONE)
    yield from mount_options(p.mount_options)
    if p.snapshots is not None:
        yield from snapshots(p.snapshots)
    yield from attribute_names(p.attributes)
    for name, attributes in p.attributes.items():
        yield from _attributes(p, name, attributes, volumes)


def auto_mode(manifest: StorageClassManifest) -> Iterator[Finding]:
    """An existing class of EKS Auto Mode is for nodes of Auto Mode."""
    if manifest.provisioner == AUTO_MODE_DRIVER and AUTO_MODE_KEY not in dict(manifest.topologies):
        rule = f"without {AUTO_MODE_KEY}: auto a pod may come to another node, which can't attach the volume"
        yield warning("allowedTopologies", dict(manifest.topologies), rule, Advice(f"{AUTO_MODE_KEY}: [auto]"))


def written_truth(finding: Finding, manifest: StorageClassManifest) -> Finding:
    """What becomes of a class with a truth that isn't exactly `true` or `false`.

    The driver takes it for false.
    A text that means false is what it is taken for, and a KMS key encrypts whatever is written.
    """
    false = str(finding.value).strip().lower() in ("false", "no", "off", "0", "f", "n")
    key = any(name.lower() == "kmskeyid" and value for name, value in manifest.parameters.items())
    if finding.path.lower() != "encrypted" or not key:
        return finding._replace(severity="warning") if false else finding
    if false:
        return finding._replace(rule="with kmsKeyId the driver encrypts all the same", remedy=Set("true"))
    rule = "only the exact text `true` is true to the driver: the volumes are encrypted, because of kmsKeyId alone"
    return finding._replace(severity="warning", rule=rule)


def file_system_keys(manifest: StorageClassManifest) -> Iterator[Finding]:
    """The provisioner counts the keys for the file system, one without a value among them.

    In external-provisioner: controller.go, "fstype specified in parameters with both".
    """
    keys = [key for key in manifest.parameters if key.lower() == "fstype" or key == FSTYPE]
    for key in keys[: len(keys) - 1] if all(manifest.parameters[each] == "" for each in keys) else keys:
        if len(keys) > 1 and manifest.parameters[key] == "":
            rule = f"with both {' and '.join(f'`{each}`' for each in keys)} the provisioner refuses the class, though one is empty"
            yield error(key, "", rule, Drop(key))


def _type(name: str | None, path: str) -> Iterator[Finding]:
    """EC2 gets the type as it is written; the driver checks nothing."""
    if name is None or name in TYPES:
        return
    known = ", ".join(TYPES)
    rule = f"the volume types of EBS are {known}"
    if name.startswith(("pd-", "hyperdisk-")):
        rule += "; this one is gce-pd's"
    yield error(path, name, rule, Set(name.lower() if name.lower() in TYPES else DEFAULT_TYPE))


def _performance(performance: EbsPerformance, volumes: Sequence[RequestedVolume], *, sizes: bool) -> Iterator[Finding]:
    """IOPS and throughput; with `sizes` the sizes of the volumes as well."""
    yield from performance.check(volumes)
    for volume in volumes:
        if sizes:
            yield from _size(performance.type, volume)
        yield from performance.check_at(volume, volumes)


def _size(kind: str, volume: RequestedVolume) -> Iterator[Finding]:
    if kind not in TYPES:
        return
    least, most = TYPES[kind].gib
    if not least <= volume.gib <= most:
        bound = least if volume.gib < least else most
        rule = f"a volume of type {kind} has from {quantity(least * GI)} to {quantity(most * GI)}: EC2 refuses {quantity(volume.gib * GI)}"
        yield wrong_size(volume, rule, quantity(bound * GI))
    elif kind == "gp3" and volume.gib > OLD_GP3["gib"]:
        rule = "gp3 above 16Ti since 2025: a region that hasn't it yet refuses the volume"
        yield poor_size(volume, rule, "16Ti")


def _increases(p: EbsParameters) -> Iterator[Finding]:
    if p.allow_auto_iops_per_gb_increase and p.iops_per_gb is None and p.iops is None:
        rule = "it raises what iopsPerGB or iops ask for, and this tier has neither: it has no effect"
        yield warning("allowAutoIOPSPerGBIncrease", True, rule, Drop("allowAutoIOPSPerGBIncrease"))
    if p.allow_auto_iops_increase_on_modify and p.iops_per_gb is None:
        rule = "it keeps iopsPerGB when a volume grows, and this tier has none: it has no effect"
        yield warning("allowAutoIOPSIncreaseOnModify", True, rule, Drop("allowAutoIOPSIncreaseOnModify"))


def _encryption(p: EbsParameters) -> Iterator[Finding]:
    """A key makes the driver ask for encryption, whatever `encrypted` says.

    AWS looks at the key only later: "the action can appear to complete, but eventually fails"
    (EC2, CreateVolume).
    """
    if p.kms_key_id is None:
        if not p.encrypted:
            rule = "the volumes are not encrypted, unless the account encrypts by default"
            yield warning("encrypted", False if p.encrypted is not None else "(missing)", rule, Set(True))
        return
    if p.encrypted is False:
        rule = "with kmsKeyId the driver encrypts all the same"
        yield error("encrypted", False, rule, Either(Set(True), Drop("kmsKeyId")))
    own = regions(p.zones, ZONE)
    example = EXAMPLE_KEY.replace(f":{EXAMPLE_REGION}:", f":{min(own, default=EXAMPLE_REGION)}:")
    arn = _KEY_ARN.fullmatch(p.kms_key_id)
    other = _OTHER_KEYS.fullmatch(p.kms_key_id)
    if not arn and not other:
        rule = "the ARN of a KMS key; AWS looks at it only after the volume is made, which then vanishes"
        yield error("kmsKeyId", p.kms_key_id, rule, Set(example))
    elif other:
        rule = "the driver documents the full ARN of a key; an alias or a bare id is another key in another account or region"
        yield warning("kmsKeyId", p.kms_key_id, rule, Set(example))
    region = (arn or other or {"region": None})["region"]
    if region and own and region not in own:
        rule = f"a key of the volumes' own region, {', '.join(sorted(own))}: EC2 can't use one of {region}"
        yield error("kmsKeyId", p.kms_key_id, rule, Set(p.kms_key_id.replace(f":{region}:", f":{min(own)}:")))


def _file_system(p: EbsParameters) -> Iterator[Finding]:
    """The driver looks at the type only on the node.

    The volume is made, bound and billed by then, and its pod never starts.
    """
    if p.fstype is not None:
        if p.csi_fstype is not None:
            rule = f"with both `fstype` and `{FSTYPE}` the provisioner refuses the class"
            yield error("fstype", p.fstype, rule, Rename(FSTYPE, without="fstype"))
        else:
            yield warning("fstype", p.fstype, f"deprecated: `{FSTYPE}` is the key that every driver takes", Rename(FSTYPE))
    key, kind = (FSTYPE, p.csi_fstype) if p.csi_fstype is not None else ("fstype", p.fstype)
    if kind == "ntfs":
        yield warning(key, kind, "ntfs is for Windows nodes", Set("ext4"))
    elif kind == "ext2":
        rule = "ext2 has no journal: after a crash the whole volume is checked before it can be mounted, and may lose data"
        yield warning(key, kind, rule, Set("ext4"))
    elif kind is not None and kind not in FILE_SYSTEMS:
        rule = f"{', '.join(FILE_SYSTEMS)}, in lower case: with any other the volume is made, and its pod never starts"
        yield error(key, kind, rule, Set(kind.lower() if kind.lower() in FILE_SYSTEMS else "ext4"))
    yield from _formatting(p, kind or "ext4")


def _formatting(p: EbsParameters, file_system: str) -> Iterator[Finding]:
    for name, (option, excluded) in _FORMATTING.items():
        value = getattr(p, name)
        if value in (None, False):
            continue
        if file_system in excluded:
            rule = f"not for {file_system}: the driver refuses the class (`Cannot use {option.lower()} with fstype {file_system}`)"
            yield error(option, value, rule, Drop(option))
        if isinstance(value, str) and not re.fullmatch("[A-Za-z0-9]+", value):
            rule = f"letters and digits alone: the driver refuses the class (`Could not parse {option}`)"
            yield error(option, value, rule, Set("4096"))
    if p.ext4_cluster_size is not None and not p.ext4_big_alloc:
        rule = "it needs `ext4BigAlloc: true`: the driver refuses the class"
        yield error("ext4ClusterSize", p.ext4_cluster_size, rule, Add({"ext4BigAlloc": True}))


def _initialization(p: EbsParameters) -> Iterator[Finding]:
    """How fast a volume from a snapshot is filled, in MiB/s."""
    rate, (least, most) = p.volume_initialization_rate, INITIALIZATION_RATE
    if rate is not None and not least <= rate <= most:
        rule = f"from {least} to {most} MiB/s: EC2 refuses anything else"
        yield error("volumeInitializationRate", rate, rule, Set(min(max(rate, least), most)))
    elif rate is not None:
        rule = "for volumes from snapshots alone: the claims of a stack are new volumes"
        yield warning("volumeInitializationRate", rate, rule, Drop("volumeInitializationRate"))
    if p.block_express is not None:
        rule = "deprecated, and without effect since driver 1.47: every io2 volume is a Block Express one"
        yield warning("blockExpress", p.block_express, rule, Drop("blockExpress"))


def _attributes(p: EbsParameters, name: str, a: EbsAttributes, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
    """A VolumeAttributesClass changes volumes of this class: the rest stays as the class has it."""
    prefix = f"attributes.{name}."
    if not a.model_fields_set:
        rule = "a class that changes nothing; Kubernetes wants parameters in it"
        yield error(f"attributes.{name}", {}, rule, Set({"iops": 4000}))
    if a.volume_type is not None:
        if a.type is not None:
            yield error(f"{prefix}volumeType", a.volume_type, "beside `type` the driver ignores it", Drop("volumeType"))
        else:
            yield warning(f"{prefix}volumeType", a.volume_type, "deprecated: `type` is the key", Rename("type"))
    kind = a.type or a.volume_type
    yield from _type(kind, f"{prefix}{'type' if a.type else 'volumeType'}")
    own_iops = a.iops is not None or a.iopspergb is not None
    performance = EbsPerformance(
        prefix=prefix,
        type=kind or p.type or DEFAULT_TYPE,
        iops=a.iops if own_iops else p.iops,
        iops_per_gib=a.iopspergb if own_iops else p.iops_per_gb,
        throughput=a.throughput if a.throughput is not None else p.throughput,
        per_gib_key="iopspergb",
    )
    written = {*a.model_fields_set, *(("iops", "iopspergb", "throughput") if kind else ())}
    always = list(performance.check(()))
    known = {(each.path, each.rule) for each in always}
    yield from (each for each in always if each.path.removeprefix(prefix) in written)
    # Such a class is for the volumes that it suits.
    # What doesn't suit all sizes of the tier is worth a warning, no more.
    for finding in _performance(performance, volumes, sizes=kind is not None):
        if (finding.path, finding.rule) not in known and (finding.volume or finding.path.removeprefix(prefix) in written):
            yield finding._replace(severity="warning")
    yield from tags(a.tag_specification, prefix, VOLUME_FIELDS)
