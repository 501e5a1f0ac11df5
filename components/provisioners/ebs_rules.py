"""What EBS makes of a class: limits of the volume types, and every setting that driver or EC2 refuses, lowers, ignores or misreads.

Sources, where a rule names no other: the driver's own code and documentation (aws-ebs-csi-driver 1.64: pkg/driver/controller.go,
pkg/driver/validation.go, pkg/cloud/cloud.go, docs/parameters.md, docs/modify-volume.md, docs/snapshot.md, docs/tagging.md), and the text
of EC2's API (CreateVolume, ModifyVolume, LockSnapshot). None of it was tried on AWS.
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from components.kube.quantity import GI, quantity
from components.provisioners.class_rules import attribute_names, mount_options, regions, zones
from components.provisioners.finding import Finding, Volume, error, warning, wrong_size

if TYPE_CHECKING:
    from components.provisioners.ebs import EbsAttributes, EbsParameters, EbsSnapshots

DRIVER = "ebs.csi.aws.com"
AUTO_MODE_DRIVER = "ebs.csi.eks.amazonaws.com"
FSTYPE = "csi.storage.k8s.io/fstype"

ZONE_KEY = "topology.kubernetes.io/zone"
AUTO_MODE_KEY = "eks.amazonaws.com/compute-type"


@dataclass(frozen=True)
class Limits:
    """What a volume type can have: sizes in GiB, IOPS in all and for each GiB, throughput in MiB/s; None where it can't be set."""

    gib: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0
    throughput: tuple[int, int] | None = None


# EC2's API text (CreateVolume, of 2026), and for IOPS a GiB the driver's constants. Older pages, and the driver's fall-back where EC2
# doesn't answer, have 16,000 IOPS, 1,000 MiB/s and 16 TiB for gp3.
TYPES = {
    "gp3": Limits((1, 65_536), (3_000, 80_000), 500, (125, 2_000)),
    "gp2": Limits((1, 16_384)),
    "io1": Limits((4, 16_384), (100, 64_000), 50),
    "io2": Limits((4, 65_536), (100, 256_000), 1_000),
    "st1": Limits((125, 16_384)),
    "sc1": Limits((125, 16_384)),
    "standard": Limits((1, 1_024)),
}
DEFAULT_TYPE = "gp3"
IOPS_PER_MIB = 4  # EC2: "Throughput (MiBps) to iops ratio … is too high; maximum is 0.250000 MiBps per iops" (runs-on#260)
OLD_GP3 = {"iops": 16_000, "throughput": 1_000, "gib": 16_384}

MOST_WITHOUT_NITRO = 32_000
# What works, but not for databases and logs of a few GiB.
SLOW = {
    "gp2": "gp2 has 3 IOPS a GiB and at least 100, so 100 up to 33Gi; gp3 has 3000 at any size, for less",
    "sc1": "a hard disk for data that is seldom read",
    "standard": "a hard disk of the previous generation",
}

FILE_SYSTEMS = ("ext4", "xfs", "ext3")
# Which options for making a file system can't be had on which one (the driver's FileSystemConfigs).
_FORMATTING = {
    "block_size": ("blockSize", ("ntfs",)),
    "inode_size": ("inodeSize", ("ntfs",)),
    "bytes_per_inode": ("bytesPerInode", ("xfs", "ntfs")),
    "number_of_inodes": ("numberOfInodes", ("xfs", "ntfs")),
    "ext4_big_alloc": ("ext4BigAlloc", ("ext3", "xfs", "ntfs")),
    "ext4_cluster_size": ("ext4ClusterSize", ("ext3", "xfs", "ntfs")),
    "ext4_encryption_support": ("ext4EncryptionSupport", ("ext3", "xfs", "ntfs")),
}

_ZONE = re.compile(r"(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]+)(?:-[a-z]+-[0-9]+)?[a-z]")
EXAMPLE_REGION = "eu-central-1"
EXAMPLE_ZONE = f"{EXAMPLE_REGION}a"
_KEY_ID = r"(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|mrk-[0-9a-f]{32})"
_KMS = r"arn:aws(?:-[a-z]+)*:kms:(?P<region>[a-z0-9-]+):[0-9]{12}:"
_KEY_ARN = re.compile(_KMS + "key/" + _KEY_ID)
_OTHER_KEYS = re.compile(f"{_KMS}alias/[A-Za-z0-9/_-]+|alias/[A-Za-z0-9/_-]+|{_KEY_ID}")
_OUTPOST = re.compile(r"arn:aws(?:-[a-z]+)*:outposts:[a-z0-9-]+:[0-9]{12}:outpost/op-[0-9a-f]+")
EXAMPLE_OUTPOST = f"arn:aws:outposts:{EXAMPLE_REGION}:111122223333:outpost/op-0123456789abcdef0"
EXAMPLE_KEY = f"arn:aws:kms:{EXAMPLE_REGION}:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

# EC2's rules for tags, and what the driver keeps for itself (pkg/driver/validation.go). It sets two tags on every volume; EC2 takes 50.
MOST_TAGS = 48
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")
_RESERVED_TAGS = ("CSIVolumeName", "CSIVolumeSnapshotName")
_RESERVED_PREFIXES = ("kubernetes.io", "aws:", f"{DRIVER}/", f"{AUTO_MODE_DRIVER}/")
VOLUME_FIELDS = ("PVCNamespace", "PVCName", "PVName")
SNAPSHOT_FIELDS = ("VolumeSnapshotNamespace", "VolumeSnapshotName", "VolumeSnapshotContentName")

LONGEST_LOCK = 36_500  # days (EC2, LockSnapshot)
LONGEST_COOL_OFF = 72  # hours (EC2, LockSnapshot)


def check(parameters: EbsParameters, volumes: Sequence[Volume]) -> Iterator[Finding]:
    """All rules for a class with these parameters, of which these volumes are wanted."""
    p = parameters
    yield from _type(p.type, "type")
    if p.type in SLOW:
        yield warning("type", p.type, SLOW[p.type], DEFAULT_TYPE)
    figures = Figures("", p.type or DEFAULT_TYPE, p.iops, p.iops_per_gb, p.throughput, bool(p.allow_auto_iops_per_gb_increase))
    yield from figures.check(volumes, sizes=True)
    yield from _increases(p)
    yield from _encryption(p)
    yield from _file_system(p)
    yield from _initialization(p)
    yield from tags(p.tag_specification, "", VOLUME_FIELDS)
    yield from zones(p.zones, _ZONE, "AWS", EXAMPLE_ZONE)
    yield from mount_options(p.mount_options)
    if p.snapshots is not None:
        yield from _snapshots(p.snapshots)
    yield from attribute_names(p.attributes)
    for name, attributes in p.attributes.items():
        yield from _attributes(p, name, attributes, volumes)


@dataclass(frozen=True)
class Figures:
    """What a volume is to perform. `prefix` is where it is written, below the tier; `increase` is allowAutoIOPSPerGBIncrease.

    What a finding says works has been held against all the volumes, and against the other figures as they will be when they work.
    """

    prefix: str
    type: str
    iops: int | None
    iops_per_gib: int | None
    throughput: int | None
    increase: bool = False
    per_gib_key: str = "iopsPerGB"

    def check(self, volumes: Sequence[Volume], *, sizes: bool = False) -> Iterator[Finding]:
        """The figures against the type's limits, by themselves and at each size; with `sizes` the sizes as well."""
        limits = TYPES.get(self.type)
        if limits is None:
            return
        yield from self._iops(limits, volumes)
        yield from self._throughput(limits, volumes)
        for volume in volumes:
            if sizes:
                yield from _size(self.type, limits, volume)
            yield from self._at(limits, volume, volumes)

    def _key(self, key: str) -> str:
        return f"{self.prefix}{key}"

    def _iops(self, limits: Limits, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """The driver sends iops for gp3, io1 and io2 alone, lowers what is above the maximum, and EC2 wants them for io1 and io2 (#766)."""
        if self.iops is not None and self.iops_per_gib is not None:
            rule = f"either iops or {self.per_gib_key}, not both: the driver refuses the class"
            yield error(self._key("iops"), self.iops, rule, f"without `{self.per_gib_key}`")
            return
        wanted = {"iops": self.iops, self.per_gib_key: self.iops_per_gib}
        given = [(key, value) for key, value in wanted.items() if value is not None]
        if limits.iops is None:
            for key, value in given:
                rule = f"{self.type} takes no IOPS, its size decides: the driver drops this without a word. gp3, io1 and io2 take it"
                yield error(self._key(key), value, rule, f"without `{key}`")
            return
        if not given and self.type in ("io1", "io2") and not self.prefix:
            rule = f"{self.type} needs iops or iopsPerGB: EC2 refuses a volume without (`The parameter iops must be specified`)"
            yield error("iops", "(missing)", rule, limits.iops[0])
        (least, most), highest = limits.iops, _highest_iops(limits, volumes)
        if self.iops is not None and self.iops > most:
            yield error(self._key("iops"), self.iops, f"at most {most} for {self.type}: the driver lowers it without a word", highest)
        elif self.iops is not None and self.iops < least and not (self.increase and self.iops > 0):
            what = "EC2 raises it without a word" if self.type == "gp3" else "EC2 refuses it"
            yield error(self._key("iops"), self.iops, f"at least {least} for {self.type}: {what}", least)
        elif self.type == "gp3" and (self.iops or 0) > OLD_GP3["iops"]:
            rule = f"above {OLD_GP3['iops']} needs driver 1.50 or newer: older ones lower it without a word"
            yield warning(self._key("iops"), self.iops, rule, min(OLD_GP3["iops"], highest))
        elif self.type in ("io1", "io2") and (self.iops or 0) > MOST_WITHOUT_NITRO:
            rule = f"instances that aren't built on Nitro give at most {MOST_WITHOUT_NITRO} IOPS"
            yield warning(self._key("iops"), self.iops, rule, min(MOST_WITHOUT_NITRO, highest))
        if self.iops_per_gib is not None and not 1 <= self.iops_per_gib <= limits.iops_per_gib:
            rule = f"from 1 to {limits.iops_per_gib} IOPS a GiB for {self.type}: the driver lowers more than that without a word"
            yield error(self._key(self.per_gib_key), self.iops_per_gib, rule, self._per_gib_that_works(limits, volumes)[1])

    def _throughput(self, limits: Limits, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """The driver sends throughput for gp3 alone; EC2 takes at most a quarter of a MiB/s for each IOPS."""
        if self.throughput is None:
            return
        if limits.throughput is None:
            rule = f"{self.type} takes no throughput: the driver drops it without a word. gp3 takes it"
            yield error(self._key("throughput"), self.throughput, rule, "without `throughput`")
            return
        least, most = limits.throughput
        fastest = min([most, *(iops // IOPS_PER_MIB for iops, _ in self._iops_in_the_end(limits, volumes))])
        if not least <= self.throughput <= most:
            rule = f"from {least} to {most} MiB/s for {self.type}: EC2 refuses anything else"
            yield error(self._key("throughput"), self.throughput, rule, min(max(self.throughput, least), fastest))
            return
        for iops, where in self._iops_in_the_end(limits, volumes):
            if self.throughput > iops // IOPS_PER_MIB:
                rule = f"at most 0.25 MiB/s for each IOPS, so {iops // IOPS_PER_MIB} with {iops} IOPS{where}: EC2 refuses it"
                yield error(self._key("throughput"), self.throughput, rule, fastest)
        if self.throughput > OLD_GP3["throughput"]:
            rule = f"above {OLD_GP3['throughput']} MiB/s since 2025: a region that hasn't it yet refuses the volume"
            yield warning(self._key("throughput"), self.throughput, rule, min(OLD_GP3["throughput"], fastest))

    def _iops_in_the_end(self, limits: Limits, volumes: Sequence[Volume]) -> Iterator[tuple[int, str]]:
        """The IOPS that a volume has when its figures work, and where: for iopsPerGB at each size, otherwise the same at all."""
        assert limits.iops is not None
        if self.iops is not None or self.iops_per_gib is None:
            iops = min(max(limits.iops[0], self.iops or 0), _highest_iops(limits, volumes))
            smallest = min(volumes, key=lambda volume: volume.gib, default=None)
            yield iops, f" {_at(smallest)}" if smallest and iops < (self.iops or 0) else ""
            return
        per_gib, _ = self._per_gib_that_works(limits, volumes)
        for volume in volumes:
            yield min(max(limits.iops[0], per_gib * volume.gib), _highest_iops(limits, [volume])), f" {_at(volume)}"

    def _per_gib_that_works(self, limits: Limits, volumes: Sequence[Volume]) -> tuple[int, str]:
        """The IOPS a GiB next to the written ones that suit all the volumes, and as a suggestion.

        Small volumes need more for the type's least than it takes for each GiB: then the driver has to raise them.
        """
        assert limits.iops is not None
        (least, most), written = limits.iops, self.iops_per_gib or 0
        highest = max(1, min([limits.iops_per_gib, *(most // volume.gib for volume in volumes)]))
        lowest = 1 if self.increase else max([1, *(math.ceil(least / volume.gib) for volume in volumes)])
        if lowest <= highest:
            works = min(max(written, lowest), highest)
            return works, str(works)
        works = min(max(written, 1), highest)
        if self.prefix:  # a VolumeAttributesClass has no allowAutoIOPSPerGBIncrease
            return works, f"iops: {least}, without `{self.per_gib_key}`"
        raised = "with `allowAutoIOPSPerGBIncrease: true`"
        return works, raised if works == written else f"{works}, {raised}"

    def _at(self, limits: Limits, volume: Volume, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """IOPS for each GiB at this size.

        The driver lowers what is above (newer than September 2026 also below the floor, aws-ebs-csi-driver#3021); what it sends on,
        EC2 refuses: "Iops to volume size ratio of 750.000000 is too high; maximum is 500". A gp3 of any size may have 3,000
        (kops#10843).
        """
        if limits.iops is None or (self.iops is not None and self.iops_per_gib is not None):
            return
        least, most = limits.iops
        ceiling, at = _highest_iops(limits, [volume]), _at(volume)
        if self.iops is not None and ceiling < self.iops <= most:
            rule = f"at most {limits.iops_per_gib} IOPS a GiB for {self.type}, so {ceiling} {at}: the driver lowers it or EC2 refuses it"
            yield error(self._key("iops"), self.iops, rule, _highest_iops(limits, volumes))
        per_gib = self.iops_per_gib
        if per_gib is None or not 1 <= per_gib <= limits.iops_per_gib:
            return
        total = per_gib * volume.gib
        product, (_, works) = f"{per_gib} IOPS a GiB is {total} {at}", self._per_gib_that_works(limits, volumes)
        if total > most:
            rule = f"at most {most} IOPS for {self.type}, and {product}: the driver lowers it without a word"
            yield error(self._key(self.per_gib_key), per_gib, rule, works)
        elif total < least and not self.increase:
            rule = f"at least {least} IOPS for {self.type}, and {product}: EC2 refuses or raises it"
            yield error(self._key(self.per_gib_key), per_gib, rule, works)


def _highest_iops(limits: Limits, volumes: Sequence[Volume]) -> int:
    """The most IOPS that each of the volumes can have."""
    assert limits.iops is not None
    least, most = limits.iops
    return min([most, *(max(least, limits.iops_per_gib * volume.gib) for volume in volumes)])


def _at(volume: Volume) -> str:
    return f"at {quantity(volume.gib * GI)} ({volume.path})"


def _type(name: str | None, path: str) -> Iterator[Finding]:
    """EC2 gets the type as it is written; the driver checks nothing."""
    if name is None or name in TYPES:
        return
    known = ", ".join(TYPES)
    rule = f"the volume types of EBS are {known}"
    if name.startswith(("pd-", "hyperdisk-")):
        rule += "; this one is gce-pd's"
    yield error(path, name, rule, name.lower() if name.lower() in TYPES else DEFAULT_TYPE)


def _size(type_: str, limits: Limits, volume: Volume) -> Iterator[Finding]:
    least, most = limits.gib
    if not least <= volume.gib <= most:
        bound = least if volume.gib < least else most
        rule = f"a volume of type {type_} has from {quantity(least * GI)} to {quantity(most * GI)}: EC2 refuses {quantity(volume.gib * GI)}"
        yield wrong_size(volume, rule, quantity(bound * GI))
    elif type_ == "gp3" and volume.gib > OLD_GP3["gib"]:
        rule = "gp3 above 16Ti since 2025: a region that hasn't it yet refuses the volume"
        yield Finding("warning", "", volume.size.requested, rule, "16Ti", volume)


def _increases(p: EbsParameters) -> Iterator[Finding]:
    if p.allow_auto_iops_per_gb_increase and p.iops_per_gb is None and p.iops is None:
        rule = "it raises what iopsPerGB or iops ask for, and this tier has neither: it has no effect"
        yield warning("allowAutoIOPSPerGBIncrease", True, rule, "without `allowAutoIOPSPerGBIncrease`")
    if p.allow_auto_iops_increase_on_modify and p.iops_per_gb is None:
        rule = "it keeps iopsPerGB when a volume grows, and this tier has none: it has no effect"
        yield warning("allowAutoIOPSIncreaseOnModify", True, rule, "without `allowAutoIOPSIncreaseOnModify`")


def _encryption(p: EbsParameters) -> Iterator[Finding]:
    """A key makes the driver ask for encryption, whatever `encrypted` says.

    AWS looks at the key only later: "the action can appear to complete, but eventually fails" (EC2, CreateVolume).
    """
    if p.kms_key_id is None:
        if not p.encrypted:
            rule = "the volumes are not encrypted, unless the account encrypts by default"
            yield warning("encrypted", False if p.encrypted is not None else "(missing)", rule, "true")
        return
    if p.encrypted is False:
        rule = "with kmsKeyId the driver encrypts all the same"
        yield error("encrypted", False, rule, "true, or without `kmsKeyId`")
    own = regions(p.zones, _ZONE)
    example = EXAMPLE_KEY.replace(f":{EXAMPLE_REGION}:", f":{min(own, default=EXAMPLE_REGION)}:")
    arn = _KEY_ARN.fullmatch(p.kms_key_id)
    other = _OTHER_KEYS.fullmatch(p.kms_key_id)
    if not arn and not other:
        rule = "the ARN of a KMS key; AWS looks at it only after the volume is made, which then vanishes"
        yield error("kmsKeyId", p.kms_key_id, rule, example)
    elif other:
        rule = "the driver documents the full ARN of a key; an alias or a bare id is another key in another account or region"
        yield warning("kmsKeyId", p.kms_key_id, rule, example)
    region = (arn or other or {"region": None})["region"]
    if region and own and region not in own:
        rule = f"a key of the volumes' own region, {', '.join(sorted(own))}: EC2 can't use one of {region}"
        yield error("kmsKeyId", p.kms_key_id, rule, p.kms_key_id.replace(f":{region}:", f":{min(own)}:"))


def _file_system(p: EbsParameters) -> Iterator[Finding]:
    """The driver looks at the type only on the node: the volume is made, bound and billed, and its pod never starts."""
    if p.fstype is not None:
        if p.csi_fstype is not None:
            rule = f"with both `fstype` and `{FSTYPE}` the provisioner refuses the class"
            yield error("fstype", p.fstype, rule, f"{FSTYPE}: {p.fstype}, without `fstype`")
        else:
            yield warning("fstype", p.fstype, f"deprecated: `{FSTYPE}` is the key that every driver takes", f"{FSTYPE}: {p.fstype}")
    key, kind = (FSTYPE, p.csi_fstype) if p.csi_fstype is not None else ("fstype", p.fstype)
    if kind == "ntfs":
        yield warning(key, kind, "ntfs is for Windows nodes", "ext4")
    elif kind is not None and kind not in FILE_SYSTEMS:
        rule = f"{', '.join(FILE_SYSTEMS)}, in lower case: with any other the volume is made, and its pod never starts"
        yield error(key, kind, rule, kind.lower() if kind.lower() in FILE_SYSTEMS else "ext4")
    file_system = kind or "ext4"
    for name, (option, excluded) in _FORMATTING.items():
        value = getattr(p, name)
        if value in (None, False):
            continue
        if file_system in excluded:
            rule = f"not for {file_system}: the driver refuses the class (`Cannot use {option.lower()} with fstype {file_system}`)"
            yield error(option, value, rule, f"without `{option}`")
        if isinstance(value, str) and not re.fullmatch("[A-Za-z0-9]+", value):
            yield error(option, value, f"letters and digits alone: the driver refuses the class (`Could not parse {option}`)", "4096")
    if p.ext4_cluster_size is not None and not p.ext4_big_alloc:
        rule = "it needs `ext4BigAlloc: true`: the driver refuses the class"
        yield error("ext4ClusterSize", p.ext4_cluster_size, rule, "with `ext4BigAlloc: true`")


def _initialization(p: EbsParameters) -> Iterator[Finding]:
    rate = p.volume_initialization_rate
    if rate is not None and not 100 <= rate <= 300:
        rule = "from 100 to 300 MiB/s: EC2 refuses anything else"
        yield error("volumeInitializationRate", rate, rule, min(max(rate, 100), 300))
    elif rate is not None:
        rule = "for volumes from snapshots alone: the claims of a stack are new volumes"
        yield warning("volumeInitializationRate", rate, rule, "without `volumeInitializationRate`")
    if p.block_express is not None:
        rule = "deprecated, and without effect since driver 1.47: every io2 volume is a Block Express one"
        yield warning("blockExpress", p.block_express, rule, "without `blockExpress`")


def tags(written: Mapping[str, str], prefix: str, fields: Sequence[str]) -> Iterator[Finding]:
    """Tags as `key=value`; `fields` are those that `{{ .Field }}` may name in a value.

    The driver's own look at letters lets everything pass (its expression isn't anchored); EC2 refuses.
    """
    seen: dict[str, str] = {}
    for name, text in written.items():
        path = f"{prefix}{name}"
        key, equals, value = text.partition("=")
        yield from _tag(path, text, key, value if equals else None, fields)
        if equals and key in seen:
            rule = f"the tag {key} is in {seen[key]} as well, and which one the driver takes is left to chance"
            yield error(path, text, rule, f"without `{name}`")
        seen[key] = name
    if len(written) > MOST_TAGS:
        rule = f"at most {MOST_TAGS} tags: EC2 takes 50, and the driver adds two of its own"
        yield error(f"{prefix}{list(written)[-1]}", f"{len(written)} tags", rule, f"{MOST_TAGS} tags")


def _tag(path: str, text: str, key: str, value: str | None, fields: Sequence[str]) -> Iterator[Finding]:
    example = "team=data"
    if value is None or not key:
        yield error(path, text, "a tag is `key=value`, with a key: the driver refuses the class", example)
        return
    reserved = next((each for each in _RESERVED_PREFIXES if key.startswith(each)), key if key in _RESERVED_TAGS else None)
    if reserved:
        yield error(path, text, f"`{reserved}` is reserved: the driver or EC2 refuses the tag", f"my-{key.replace('/', '-')}={value}")
    used = re.findall(r"\{\{(.*?)\}\}", value)
    literal = re.sub(r"\{\{.*?\}\}", "", value)
    if len(key) > 128 or len(literal) > 256:
        yield error(path, text, "a tag's key has at most 128 characters, its value at most 256", example)
    if "{{" in literal or "}}" in literal:
        yield error(path, text, "an open template: the driver refuses the class", f"claim={{{{ .{fields[1]} }}}}")
    elif not _TAG_TEXT.fullmatch(key) or not _TAG_TEXT.fullmatch(literal):
        yield error(path, text, "a tag has letters, digits, spaces and `_ . : / = + - @`: EC2 refuses others", example)
    for field in {name for each in used for name in re.findall(r"(?<![\w\"])\.([A-Za-z]\w*)", each)}:
        if field not in fields:
            known = ", ".join(f".{each}" for each in fields)
            yield error(path, text, f"no such field .{field}; there are {known}", f"claim={{{{ .{fields[1]} }}}}")


def _attributes(p: EbsParameters, name: str, attributes: EbsAttributes, volumes: Sequence[Volume]) -> Iterator[Finding]:
    """A VolumeAttributesClass changes volumes of this class: what it doesn't name stays as the class has it."""
    a, prefix = attributes, f"attributes.{name}."
    if not a.model_fields_set:
        yield error(f"attributes.{name}", {}, "a class that changes nothing; Kubernetes wants parameters in it", "{iops: 4000}")
    if a.volume_type is not None:
        if a.type is not None:
            yield error(f"{prefix}volumeType", a.volume_type, "beside `type` the driver ignores it", "without `volumeType`")
        else:
            yield warning(f"{prefix}volumeType", a.volume_type, "deprecated: `type` is the key", f"type: {a.volume_type}")
    kind = a.type or a.volume_type
    yield from _type(kind, f"{prefix}{'type' if a.type else 'volumeType'}")
    own_iops = a.iops is not None or a.iopspergb is not None
    figures = Figures(
        prefix,
        kind or p.type or DEFAULT_TYPE,
        a.iops if own_iops else p.iops,
        a.iopspergb if own_iops else p.iops_per_gb,
        a.throughput if a.throughput is not None else p.throughput,
        per_gib_key="iopspergb",
    )
    written = {*a.model_fields_set, *(("iops", "iopspergb", "throughput") if kind else ())}
    always = list(figures.check(()))
    known = {(each.path, each.rule) for each in always}
    yield from (each for each in always if each.path.removeprefix(prefix) in written)
    # A class that changes volumes is for those that it suits: what doesn't suit all sizes of the tier is worth a word, no more.
    for finding in figures.check(volumes, sizes=kind is not None):
        if (finding.path, finding.rule) not in known and (finding.volume or finding.path.removeprefix(prefix) in written):
            yield replace(finding, severity="warning")
    yield from tags(a.tag_specification, prefix, VOLUME_FIELDS)


def _snapshots(s: EbsSnapshots) -> Iterator[Finding]:
    """EC2 locks a snapshot for a number of days or until a date, in one of two modes (LockSnapshot)."""
    path = "snapshots."
    yield from tags(s.tag_specification, path, SNAPSHOT_FIELDS)
    restored = s.fast_snapshot_restore_availability_zones
    yield from zones(restored, _ZONE, "AWS", EXAMPLE_ZONE, f"{path}fastSnapshotRestoreAvailabilityZones")
    if s.outpost_arn is not None and not _OUTPOST.fullmatch(s.outpost_arn):
        yield error(f"{path}outpostArn", s.outpost_arn, "the ARN of an outpost", EXAMPLE_OUTPOST)
    lasting = {"lockDuration": s.lock_duration, "lockExpirationDate": s.lock_expiration_date}
    given = [key for key, value in lasting.items() if value is not None]
    if s.lock_mode is None:
        for key in [*given, *(["lockCoolOffPeriod"] if s.lock_cool_off_period is not None else [])]:
            yield error(f"{path}{key}", lasting.get(key, s.lock_cool_off_period), "it needs lockMode: EC2 refuses it", f"without `{key}`")
        return
    if s.lock_mode not in ("governance", "compliance"):
        yield error(f"{path}lockMode", s.lock_mode, "governance or compliance", "governance")
    if len(given) != 1:
        rule = "a lock has either lockDuration or lockExpirationDate: EC2 refuses none and both"
        yield error(f"{path}lockMode", s.lock_mode, rule, "with `lockDuration: 7`" if not given else "without `lockExpirationDate`")
    if s.lock_duration is not None and not 1 <= s.lock_duration <= LONGEST_LOCK:
        yield error(f"{path}lockDuration", s.lock_duration, f"from 1 to {LONGEST_LOCK} days", min(max(s.lock_duration, 1), LONGEST_LOCK))
    example = "2030-12-31T23:59:59Z"
    if s.lock_expiration_date is not None and not _is_time(s.lock_expiration_date):
        yield error(f"{path}lockExpirationDate", s.lock_expiration_date, "a moment as RFC 3339 has it, with a time zone", example)
    elif s.lock_expiration_date is not None and datetime.datetime.fromisoformat(s.lock_expiration_date) <= datetime.datetime.now(
        datetime.UTC
    ):
        yield error(f"{path}lockExpirationDate", s.lock_expiration_date, "a moment that is still to come: EC2 refuses it", example)
    yield from _cool_off(s, path)
    if s.deletion_policy == "Delete":
        rule = "a locked snapshot can't be deleted: the VolumeSnapshot would hang until the lock ends"
        yield warning(f"{path}deletionPolicy", "Delete", rule, "Retain")


def _cool_off(s: EbsSnapshots, path: str) -> Iterator[Finding]:
    hours = s.lock_cool_off_period
    if hours is not None and s.lock_mode == "governance":
        yield error(f"{path}lockCoolOffPeriod", hours, "for lockMode compliance alone: EC2 refuses it", "without `lockCoolOffPeriod`")
    elif hours is not None and not 1 <= hours <= LONGEST_COOL_OFF:
        yield error(f"{path}lockCoolOffPeriod", hours, f"from 1 to {LONGEST_COOL_OFF} hours", min(max(hours, 1), LONGEST_COOL_OFF))


def _is_time(text: str) -> bool:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", text, re.ASCII):
        return False
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        return False
    return True
