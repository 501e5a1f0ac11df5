"""EBS: every parameter, every rule on both sides of its bound, and that what passes is what the
driver reads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from components.kinds import DATABASE, STREAMING
from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, RequestedVolume, codec_of
from components.provisioners.base import FSTYPE
from components.provisioners.ebs.limits import TYPES
from components.provisioners.ebs.parameters import EXAMPLE_KEY, EbsParameters
from tests.unit.findings import Short, findings, short

EBS = PROVISIONERS["ebs"]

# aws-ebs-csi-driver 1.64, CreateVolume: the keys of pkg/driver/constants.go, in lower case as the
# driver compares them.
DRIVER_KEYS = {
    "type",
    "iops",
    "iopspergb",
    "allowautoiopspergbincrease",
    "allowautoiopsincreaseonmodify",
    "throughput",
    "encrypted",
    "kmskeyid",
    "csi.storage.k8s.io/fstype",
    "fstype",
    "blocksize",
    "inodesize",
    "bytesperinode",
    "numberofinodes",
    "ext4bigalloc",
    "ext4clustersize",
    "ext4encryptionsupport",
    "volumeinitializationrate",
    "blockattachuntilinitialized",
    "blockexpress",
    "tagspecification_n",
}
MODIFY_KEYS = {
    "type",
    "volumeType",
    "iops",
    "throughput",
    "iopspergb",
    "allowautoiopsincreaseonmodify",
    "tagSpecification_N",
    "tagDeletion_N",
}
SNAPSHOT_KEYS = {
    "fastSnapshotRestoreAvailabilityZones",
    "outpostArn",
    "lockMode",
    "lockDuration",
    "lockExpirationDate",
    "lockCoolOffPeriod",
    "tagSpecification_N",
}


def keys(model: Any) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items() if codec_of(field)}


def test_every_key_of_the_driver_is_there() -> None:
    assert {key.lower() for key in keys(EbsParameters)} == DRIVER_KEYS
    assert keys(EbsParameters.model_fields["attributes"].annotation.__args__[1]) == MODIFY_KEYS  # type: ignore[union-attr]
    assert keys(EbsParameters.model_fields["snapshots"].annotation.__args__[0]) == SNAPSHOT_KEYS  # type: ignore[union-attr]


def error(path: str, works: object) -> Short:
    return ("error", path, str(works))


def warning(path: str, works: object) -> Short:
    return ("warning", path, str(works))


TAG = "tagSpecification_1"
LONG_KEY, LONG_VALUE = "k" * 128, "v" * 256
OTHER_REGION = EXAMPLE_KEY.replace("eu-central-1", "us-east-1")
LOCKED = {"lockMode": "governance", "lockDuration": 7}


def snapshots(**wanted: Any) -> dict[str, Any]:
    return {"snapshots": wanted}


def fast(**wanted: Any) -> dict[str, Any]:
    return {"attributes": {"fast": wanted}}


# settings over the defaults, sizes, findings
CASES: dict[str, tuple[dict[str, Any], list[str], list[Short]]] = {
    "the defaults, at any size of gp3": ({}, ["1Gi", "5Gi", "3.3Gi", "16Ti"], []),
    # type
    "type: every known one but the slow": ({"type": "st1"}, [], []),
    "type: unknown": ({"type": "gp4"}, ["5Gi"], [error("type", "gp3")]),
    "type: upper case": ({"type": "GP3"}, [], [error("type", "gp3")]),
    "type: of gce-pd": ({"type": "pd-ssd"}, [], [error("type", "gp3")]),
    "type: empty": ({"type": ""}, [], [error("type", "gp3")]),
    "type: gp2": ({"type": "gp2"}, ["5Gi"], [warning("type", "gp3")]),
    "type: sc1": ({"type": "sc1"}, ["125Gi"], [warning("type", "gp3")]),
    "type: standard": ({"type": "standard"}, ["5Gi"], [warning("type", "gp3")]),
    # sizes: both sides of every bound
    "size: gp3, largest of old": ({}, ["16Ti"], []),
    "size: gp3, above": ({}, ["16385Gi"], [warning("services.16385Gi.size", "16Ti")]),
    "size: gp3, largest": ({}, ["64Ti"], [warning("services.64Ti.size", "16Ti")]),
    "size: gp3, beyond": ({}, ["65537Gi"], [error("services.65537Gi.size", "64Ti")]),
    "size: a part of a Gi beyond": ({}, ["64.0001Ti"], [error("services.64.0001Ti.size", "64Ti")]),
    "size: gp2, beyond": ({"type": "gp2"}, ["16385Gi"], [error("services.16385Gi.size", "16Ti"), warning("type", "gp3")]),
    "size: io1, below": ({"type": "io1", "iops": 100}, ["3Gi"], [error("services.3Gi.size", "4Gi")]),
    "size: io1, smallest": ({"type": "io1", "iops": 100}, ["3.3Gi", "4Gi"], []),
    "size: io1, beyond": ({"type": "io1", "iops": 100}, ["16384Gi", "16385Gi"], [error("services.16385Gi.size", "16Ti")]),
    "size: io2, below": ({"type": "io2", "iops": 100}, ["3Gi"], [error("services.3Gi.size", "4Gi")]),
    "size: io2, largest": ({"type": "io2", "iops": 100}, ["4Gi", "64Ti"], []),
    "size: io2, beyond": ({"type": "io2", "iops": 100}, ["65537Gi"], [error("services.65537Gi.size", "64Ti")]),
    "size: st1, ours": ({"type": "st1"}, ["5Gi", "3.3Gi"], [error("services.3.3Gi.size", "125Gi"), error("services.5Gi.size", "125Gi")]),
    "size: st1, below": ({"type": "st1"}, ["124Gi"], [error("services.124Gi.size", "125Gi")]),
    "size: st1, smallest": ({"type": "st1"}, ["124.1Gi", "125Gi", "16Ti"], []),
    "size: sc1, below": ({"type": "sc1"}, ["124Gi"], [error("services.124Gi.size", "125Gi"), warning("type", "gp3")]),
    "size: standard, largest": ({"type": "standard"}, ["1Ti"], [warning("type", "gp3")]),
    "size: standard, beyond": ({"type": "standard"}, ["1025Gi"], [error("services.1025Gi.size", "1Ti"), warning("type", "gp3")]),
    # iops
    "iops: gp3, below": ({"iops": 2999}, [], [error("iops", 3000)]),
    "iops: gp3, least at any size": ({"iops": 3000}, ["1Gi", "5Gi", "6Gi"], []),
    "iops: gp3, 4000 at 5Gi": ({"iops": 4000}, ["5Gi"], [error("iops", 3000)]),
    "iops: gp3, 4000 at 7Gi": ({"iops": 4000}, ["7Gi"], [error("iops", 3500)]),
    "iops: gp3, 4000 at 8Gi": ({"iops": 4000}, ["8Gi", "7.1Gi"], []),
    "iops: gp3, each size of the tier": ({"iops": 5000}, ["5Gi", "9Gi", "10Gi"], [error("iops", 3000), error("iops", 3000)]),
    "iops: gp3, highest of old": ({"iops": 16000}, ["32Gi"], []),
    "iops: gp3, above": ({"iops": 16001}, ["33Gi"], [warning("iops", 16000)]),
    "iops: gp3, highest": ({"iops": 80000}, ["160Gi"], [warning("iops", 16000)]),
    "iops: gp3, beyond": ({"iops": 80001}, ["160Gi"], [error("iops", 80000)]),
    "iops: zero": ({"iops": 0}, [], [error("iops", 3000)]),
    "iops: beyond 32 bits": ({"iops": 2**31}, [], [error("iops", 80000)]),
    "iops: io1 without": ({"type": "io1"}, ["4Gi"], [error("iops", 100)]),
    "iops: io1, below": ({"type": "io1", "iops": 99}, [], [error("iops", 100)]),
    "iops: io1, 200 at 4Gi": ({"type": "io1", "iops": 200}, ["4Gi"], []),
    "iops: io1, 201 at 4Gi": ({"type": "io1", "iops": 201}, ["4Gi"], [error("iops", 200)]),
    "iops: io1, without Nitro": ({"type": "io1", "iops": 32000}, ["640Gi"], []),
    "iops: io1, with Nitro": ({"type": "io1", "iops": 32001}, ["641Gi"], [warning("iops", 32000)]),
    "iops: io1, highest": ({"type": "io1", "iops": 64000}, ["1280Gi"], [warning("iops", 32000)]),
    "iops: io1, beyond": ({"type": "io1", "iops": 64001}, ["1281Gi"], [error("iops", 64000)]),
    "iops: io2, 5000 at 5Gi": ({"type": "io2", "iops": 5000}, ["5Gi"], []),
    "iops: io2, 5001 at 5Gi": ({"type": "io2", "iops": 5001}, ["5Gi"], [error("iops", 5000)]),
    "iops: io2, highest": ({"type": "io2", "iops": 256000}, ["256Gi"], [warning("iops", 32000)]),
    "iops: io2, beyond": ({"type": "io2", "iops": 256001}, ["257Gi"], [error("iops", 256000)]),
    **{
        f"iops: {kind} takes none": ({"type": kind, "iops": 3000}, [], [error("iops", "without `iops`"), *slow])
        for kind, slow in {
            "gp2": [warning("type", "gp3")],
            "st1": [],
            "sc1": [warning("type", "gp3")],
            "standard": [warning("type", "gp3")],
        }.items()
    },
    # iopsPerGB
    "iopsPerGB: with iops": ({"iops": 3000, "iopsPerGB": 500}, ["10Gi"], [error("iops", "without `iopsPerGB`")]),
    "iopsPerGB: gp3, 500 at 6Gi": ({"iopsPerGB": 500}, ["6Gi"], []),
    "iopsPerGB: gp3, 500 at 5Gi": ({"iopsPerGB": 500}, ["5Gi"], [error("iopsPerGB", "with `allowAutoIOPSPerGBIncrease: true`")]),
    "iopsPerGB: gp3, 500 at 5Gi, raised": ({"iopsPerGB": 500, "allowAutoIOPSPerGBIncrease": True}, ["5Gi"], []),
    "iopsPerGB: gp3, 501": ({"iopsPerGB": 501}, ["100Gi"], [error("iopsPerGB", 500)]),
    "iopsPerGB: zero": ({"iopsPerGB": 0}, ["100Gi"], [error("iopsPerGB", 30)]),
    "iopsPerGB: gp3, too few": ({"iopsPerGB": 299}, ["10Gi"], [error("iopsPerGB", 300)]),
    "iopsPerGB: gp3, enough": ({"iopsPerGB": 300}, ["10Gi"], []),
    "iopsPerGB: gp3, highest in all": ({"iopsPerGB": 500}, ["160Gi"], [warning("iopsPerGB", 100)]),
    "iopsPerGB: gp3, what every driver knows": ({"iopsPerGB": 500}, ["32Gi"], []),
    "iopsPerGB: gp3, more than every driver knows": ({"iopsPerGB": 500}, ["33Gi"], [warning("iopsPerGB", 484)]),
    "iopsPerGB: gp3, sizes far apart": (
        {"iopsPerGB": 500},
        ["6Gi", "64Gi"],
        [warning("iopsPerGB", "sizes that are nearer to each other")],
    ),
    "iopsPerGB: io2, without Nitro": ({"type": "io2", "iopsPerGB": 1000}, ["40Gi"], [warning("iopsPerGB", 800)]),
    "iopsPerGB: zero beside iops": ({"iops": 3000, "iopsPerGB": 0}, ["10Gi"], [warning("iopsPerGB", "without `iopsPerGB`")]),
    "iops: zero beside iopsPerGB": ({"iops": 0, "iopsPerGB": 300}, ["10Gi"], [warning("iops", "without `iops`")]),
    "iopsPerGB: zero beside wrong iops": (
        {"iops": 6000, "iopsPerGB": 0},
        ["10Gi"],
        [error("iops", 5000), warning("iopsPerGB", "without `iopsPerGB`")],
    ),
    "iopsPerGB: gp3, beyond in all": ({"iopsPerGB": 500}, ["161Gi"], [error("iopsPerGB", 80000 // 161)]),
    "iopsPerGB: io1, 50 at 4Gi": ({"type": "io1", "iopsPerGB": 50}, ["4Gi"], []),
    "iopsPerGB: io1, 51": ({"type": "io1", "iopsPerGB": 51}, ["4Gi"], [error("iopsPerGB", 50)]),
    "iopsPerGB: io1, too few": ({"type": "io1", "iopsPerGB": 10}, ["5Gi"], [error("iopsPerGB", 20)]),
    "iopsPerGB: io2, 1000 at 5Gi": ({"type": "io2", "iopsPerGB": 1000}, ["5Gi"], []),
    "iopsPerGB: io2, 1001": ({"type": "io2", "iopsPerGB": 1001}, ["5Gi"], [error("iopsPerGB", 1000)]),
    "iopsPerGB: st1": ({"type": "st1", "iopsPerGB": 5}, [], [error("iopsPerGB", "without `iopsPerGB`")]),
    "increase: of nothing": (
        {"allowAutoIOPSPerGBIncrease": True, "allowAutoIOPSIncreaseOnModify": True},
        [],
        [
            warning("allowAutoIOPSIncreaseOnModify", "without `allowAutoIOPSIncreaseOnModify`"),
            warning("allowAutoIOPSPerGBIncrease", "without `allowAutoIOPSPerGBIncrease`"),
        ],
    ),
    "increase: of iopsPerGB": ({"iopsPerGB": 500, "allowAutoIOPSPerGBIncrease": True, "allowAutoIOPSIncreaseOnModify": True}, ["6Gi"], []),
    # throughput
    "throughput: below": ({"throughput": 124}, [], [error("throughput", 125)]),
    "throughput: least": ({"throughput": 125}, [], []),
    "throughput: 750 of 3000 IOPS": ({"throughput": 750}, ["5Gi"], []),
    "throughput: 751 of 3000 IOPS": ({"throughput": 751}, [], [error("throughput", 750)]),
    "throughput: 1000 of 4000 IOPS": ({"throughput": 1000, "iops": 4000}, ["8Gi"], []),
    "throughput: since 2025": ({"throughput": 1001, "iops": 4004}, ["9Gi"], [warning("throughput", 1000)]),
    "throughput: highest": ({"throughput": 2000, "iops": 8000}, ["16Gi"], [warning("throughput", 1000)]),
    "throughput: beyond": ({"throughput": 2001, "iops": 16000}, ["32Gi"], [error("throughput", 2000)]),
    "throughput: of iopsPerGB at each size": ({"throughput": 1000, "iopsPerGB": 500}, ["7Gi", "8Gi"], [error("throughput", 875)]),
    "throughput: st1": ({"type": "st1", "throughput": 125}, [], [error("throughput", "without `throughput`")]),
    "throughput: io2": ({"type": "io2", "iops": 100, "throughput": 125}, [], [error("throughput", "without `throughput`")]),
    # encryption
    "encrypted: false": ({"encrypted": False}, [], [warning("encrypted", "true")]),
    "key: an ARN": ({"kmsKeyId": EXAMPLE_KEY}, [], []),
    "key: of several regions": ({"kmsKeyId": EXAMPLE_KEY.split("key/")[0] + "key/mrk-" + "0a" * 16}, [], []),
    "key: not encrypted": ({"kmsKeyId": EXAMPLE_KEY, "encrypted": False}, [], [error("encrypted", "true, or without `kmsKeyId`")]),
    "key: an alias": ({"kmsKeyId": "alias/mine"}, [], [warning("kmsKeyId", EXAMPLE_KEY)]),
    "key: an id": ({"kmsKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab"}, [], [warning("kmsKeyId", EXAMPLE_KEY)]),
    "key: nonsense": ({"kmsKeyId": "mine"}, [], [error("kmsKeyId", EXAMPLE_KEY)]),
    "key: of gce-pd": ({"kmsKeyId": "projects/p/locations/l/keyRings/r/cryptoKeys/k"}, [], [error("kmsKeyId", EXAMPLE_KEY)]),
    "key: a space": ({"kmsKeyId": f"{EXAMPLE_KEY} "}, [], [error("kmsKeyId", EXAMPLE_KEY)]),
    "key: of the zones' region": ({"kmsKeyId": EXAMPLE_KEY, "zones": ["eu-central-1a"]}, [], []),
    "key: of another region": ({"kmsKeyId": OTHER_REGION, "zones": ["eu-central-1a"]}, [], [error("kmsKeyId", EXAMPLE_KEY)]),
    # file system
    **{f"fstype: {kind}": ({FSTYPE: kind}, [], []) for kind in ("ext4", "xfs", "ext3")},
    "fstype: upper case": ({FSTYPE: "XFS"}, [], [error(FSTYPE, "xfs")]),
    "fstype: ext2": ({FSTYPE: "ext2"}, [], [warning(FSTYPE, "ext4")]),
    "fstype: ext2, with what it has": ({FSTYPE: "ext2", "blockSize": "4096", "numberOfInodes": "100"}, [], [warning(FSTYPE, "ext4")]),
    "fstype: ext2, with what ext4 alone has": (
        {FSTYPE: "ext2", "ext4EncryptionSupport": True},
        [],
        [error("ext4EncryptionSupport", "without `ext4EncryptionSupport`"), warning(FSTYPE, "ext4")],
    ),
    "fstype: btrfs": ({FSTYPE: "btrfs"}, [], [error(FSTYPE, "ext4")]),
    "fstype: ntfs": ({FSTYPE: "ntfs"}, [], [warning(FSTYPE, "ext4")]),
    "fstype: bare, beside the default": ({"fstype": "xfs"}, [], [error("fstype", f"{FSTYPE}: xfs, without `fstype`")]),
    "formatting: ext4": (
        {
            "blockSize": 4096,
            "inodeSize": "512",
            "bytesPerInode": 16384,
            "numberOfInodes": "1m",
            "ext4BigAlloc": True,
            "ext4ClusterSize": 16384,
            "ext4EncryptionSupport": True,
        },
        [],
        [],
    ),
    "formatting: xfs": (
        {FSTYPE: "xfs", "blockSize": 4096, "inodeSize": 512, "bytesPerInode": 16384, "numberOfInodes": 5},
        [],
        [error("bytesPerInode", "without `bytesPerInode`"), error("numberOfInodes", "without `numberOfInodes`")],
    ),
    "formatting: ext4's own on xfs": (
        {FSTYPE: "xfs", "ext4BigAlloc": True, "ext4ClusterSize": 16384, "ext4EncryptionSupport": True},
        [],
        [error(key, f"without `{key}`") for key in ("ext4BigAlloc", "ext4ClusterSize", "ext4EncryptionSupport")],
    ),
    "formatting: ext4's own on ext3, not wanted": ({FSTYPE: "ext3", "ext4BigAlloc": False}, [], []),
    "formatting: ext4's own on ext3": ({FSTYPE: "ext3", "ext4BigAlloc": True}, [], [error("ext4BigAlloc", "without `ext4BigAlloc`")]),
    "formatting: not alphanumeric": ({"blockSize": "4096 -F"}, [], [error("blockSize", "4096")]),
    "formatting: a cluster without bigalloc": ({"ext4ClusterSize": 16384}, [], [error("ext4ClusterSize", "with `ext4BigAlloc: true`")]),
    # from snapshots
    "initialization: below": ({"volumeInitializationRate": 99}, [], [error("volumeInitializationRate", 100)]),
    "initialization: least": (
        {"volumeInitializationRate": 100},
        [],
        [warning("volumeInitializationRate", "without `volumeInitializationRate`")],
    ),
    "initialization: most": (
        {"volumeInitializationRate": 300},
        [],
        [warning("volumeInitializationRate", "without `volumeInitializationRate`")],
    ),
    "initialization: beyond": ({"volumeInitializationRate": 301}, [], [error("volumeInitializationRate", 300)]),
    "initialization: waited for": ({"blockAttachUntilInitialized": True}, [], []),
    "blockExpress": ({"type": "io2", "iops": 100, "blockExpress": True}, [], [warning("blockExpress", "without `blockExpress`")]),
    # tags
    "tag: plain": ({TAG: "team=data"}, [], []),
    "tag: an equals sign in the value": ({TAG: "a=b=c"}, [], []),
    "tag: an empty value": ({TAG: "a="}, [], []),
    "tag: no value": ({TAG: "team"}, [], [error(TAG, "team=data")]),
    "tag: no key": ({TAG: "=data"}, [], [error(TAG, "team=data")]),
    "tag: templates": ({TAG: "claim={{ .PVCNamespace }}/{{ .PVCName | toUpper }}", "tagSpecification_2": "pv={{ .PVName }}"}, [], []),
    "tag: no such field": ({TAG: "claim={{ .PVCUid }}"}, [], [error(TAG, "claim={{ .PVCName }}")]),
    "tag: an open template": ({TAG: "claim={{ .PVCName"}, [], [error(TAG, "claim={{ .PVCName }}")]),
    "tag: reserved for volumes": ({TAG: "CSIVolumeName=x"}, [], [error(TAG, "my-CSIVolumeName=x")]),
    "tag: reserved for snapshots": ({TAG: "CSIVolumeSnapshotName=x"}, [], [error(TAG, "my-CSIVolumeSnapshotName=x")]),
    "tag: Kubernetes' prefix": ({TAG: "kubernetes.io/x=y"}, [], [error(TAG, "my-kubernetes.io-x=y")]),
    "tag: not quite Kubernetes' prefix": ({TAG: "app.kubernetes.io/x=y"}, [], []),
    "tag: AWS' prefix": ({TAG: "aws:x=y"}, [], [error(TAG, "my-aws:x=y")]),
    "tag: AWS' prefix in another case": ({TAG: "AWS:x=y"}, [], [error(TAG, "my-AWS:x=y")]),
    "tag: a template in the key": ({TAG: "{{ .PVCName }}=x"}, [], [warning(TAG, "team=data")]),
    "tag: the driver's prefix": ({TAG: "ebs.csi.aws.com/cluster=x"}, [], [error(TAG, "my-ebs.csi.aws.com-cluster=x")]),
    "tag: longest": ({TAG: f"{LONG_KEY}={LONG_VALUE}"}, [], []),
    "tag: a key too long": ({TAG: f"{LONG_KEY}k=v"}, [], [error(TAG, "team=data")]),
    "tag: a value too long": ({TAG: f"k={LONG_VALUE}v"}, [], [error(TAG, "team=data")]),
    "tag: letters of any kind": ({TAG: "a=b;c, größe (€)!*?\\"}, [], []),
    "tag: braces that are no template": ({TAG: "{{a=b}} {"}, [], []),
    "tag: a function of the driver": ({TAG: 'id={{ .PVCNamespace | field "-" 2 | toUpper }}'}, [], []),
    "tag: one of Go's": ({TAG: 'id={{ printf "%s/%s" .PVCNamespace .PVCName }}{{/* both */}}'}, [], []),
    "tag: branches": ({TAG: 'id={{ if contains "prod" .PVCName }}yes{{ else if .PVName }}no{{ else }}?{{ end }}'}, [], []),
    "tag: with": ({TAG: "id={{ with .PVCName }}{{ . }}-{{ $.PVName }}{{ end }}"}, [], []),
    "tag: text in branches isn't in every value": (
        {TAG: f"k={{{{ if .PVName }}}}{LONG_VALUE}{{{{ else }}}}{LONG_VALUE}{{{{ end }}}}"},
        [],
        [],
    ),
    "tag: a function that there isn't": ({TAG: "id={{ .PVCName | upper }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a function that is turned off": ({TAG: "id={{ html .PVCName }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a field without a dot": ({TAG: "id={{ PVCName }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: an empty template": ({TAG: "id={{ }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a block without an end": ({TAG: "id={{ if .PVCName }}x"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: wrong nesting": ({TAG: "id={{ if .PVName }}a{{ else }}b{{ else }}c{{ end }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: an end too many": ({TAG: "id={{ .PVName }}{{ end }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: too few arguments": ({TAG: 'id={{ field "-" .PVName }}'}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a field of a field": ({TAG: "id={{ .PVCName.Name }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a field inside of with": ({TAG: "id={{ with .PVCName }}{{ .PVName }}{{ end }}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: an argument to a field": ({TAG: 'id={{ .PVCName "a" }}'}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: a template that isn't defined": ({TAG: 'id={{ template "x" }}'}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: nested beyond reason": ({TAG: f"id={{{{ {'(' * 5000}.PVName{')' * 5000} }}}}"}, [], [error(TAG, "id={{ .PVCName }}")]),
    "tag: too long in bytes": ({TAG: f"k={'ü' * 129}"}, [], [error(TAG, "team=data")]),
    "tag: twice": ({TAG: "a=b", "tagSpecification_2": "a=c"}, [], [error("tagSpecification_2", "without `tagSpecification_2`")]),
    "tag: as many as EC2 takes": ({f"tagSpecification_{n}": f"k{n}=v" for n in range(48)}, [], []),
    "tag: more": ({f"tagSpecification_{n}": f"k{n}=v" for n in range(49)}, [], [error("tagSpecification_48", "48 tags")]),
    # fields of the class
    "zones": ({"zones": ["eu-central-1a", "eu-central-1b"]}, [], []),
    "zones: a local one": ({"zones": ["us-west-2-lax-1a", "us-west-2a"]}, [], []),
    "zones: of government": ({"zones": ["us-gov-west-1a"]}, [], []),
    "zones: of the sovereign cloud": ({"zones": ["eusc-de-east-1a", "eusc-de-east-1b"]}, [], []),
    "zones: of the secret regions": ({"zones": ["us-isob-east-1a"]}, [], []),
    "zones: Wavelength": ({"zones": ["us-east-1-wl1-bos-wlz-1", "us-east-1a", "us-east-1-iah-2a"]}, [], []),
    "zones: Wavelength of another region": ({"zones": ["us-east-1a", "us-west-2-wl1-las-wlz-1"]}, [], [error("zones", "us-east-1a")]),
    "zones: with a hyphen too many": ({"zones": ["eu-central-1-a"]}, [], [error("zones", "eu-central-1a")]),
    "zones: of Azure": ({"zones": ["westeurope-1"]}, [], [error("zones", "eu-central-1a")]),
    "zones: a region": ({"zones": ["eu-central-1"]}, [], [error("zones", "eu-central-1a")]),
    "zones: of Google": ({"zones": ["europe-west1-b"]}, [], [error("zones", "eu-central-1a")]),
    "zones: of two regions": ({"zones": ["eu-west-1a", "eu-central-1a"]}, [], [error("zones", "eu-central-1a")]),
    "zones: twice": ({"zones": ["eu-west-1a", "eu-west-1a"]}, [], [error("zones", "eu-west-1a")]),
    "mountOptions": ({"mountOptions": ["noatime", "discard"]}, [], []),
    "mountOptions: unsafe": ({"mountOptions": ["nobarrier"]}, [], [warning("mountOptions", "without `nobarrier`")]),
    "mountOptions: read-only": ({"mountOptions": ["ro"]}, [], [error("mountOptions", "without `ro`")]),
    "mountOptions: two in one": ({"mountOptions": ["noatime,discard"]}, [], [error("mountOptions", "noatime")]),
    "autoMode": ({"autoMode": True}, ["5Gi"], []),
    # snapshots
    "snapshots: the driver's defaults": (snapshots(), [], []),
    "snapshots: locked for days": (snapshots(**LOCKED), [], []),
    "snapshots: locked until": (snapshots(lockMode="compliance", lockExpirationDate="2030-12-31T23:59:59Z", lockCoolOffPeriod=24), [], []),
    "snapshots: an unknown mode": (snapshots(lockMode="strict", lockDuration=7), [], [error("snapshots.lockMode", "governance")]),
    "snapshots: a lock without an end": (snapshots(lockMode="governance"), [], [error("snapshots.lockMode", "with `lockDuration: 7`")]),
    "snapshots: a lock with two ends": (
        snapshots(**LOCKED, lockExpirationDate="2030-12-31T23:59:59Z"),
        [],
        [error("snapshots.lockMode", "without `lockExpirationDate`")],
    ),
    "snapshots: an end without a lock": (snapshots(lockDuration=7), [], [error("snapshots.lockDuration", "without `lockDuration`")]),
    "snapshots: a cool-off without a lock": (
        snapshots(lockCoolOffPeriod=7),
        [],
        [error("snapshots.lockCoolOffPeriod", "without `lockCoolOffPeriod`")],
    ),
    "snapshots: no days": (snapshots(lockMode="governance", lockDuration=0), [], [error("snapshots.lockDuration", 1)]),
    "snapshots: most days": (snapshots(lockMode="governance", lockDuration=36500), [], []),
    "snapshots: more days": (snapshots(lockMode="governance", lockDuration=36501), [], [error("snapshots.lockDuration", 36500)]),
    "snapshots: a date without a zone": (
        snapshots(lockMode="governance", lockExpirationDate="2030-12-31T23:59:59"),
        [],
        [error("snapshots.lockExpirationDate", "2030-12-31T23:59:59Z")],
    ),
    "snapshots: a date that is none": (
        snapshots(lockMode="governance", lockExpirationDate="2030-13-31T23:59:59Z"),
        [],
        [error("snapshots.lockExpirationDate", "2030-12-31T23:59:59Z")],
    ),
    "snapshots: a date that is past": (
        snapshots(lockMode="governance", lockExpirationDate="2020-12-31T23:59:59Z"),
        [],
        [error("snapshots.lockExpirationDate", "2030-12-31T23:59:59Z")],
    ),
    "snapshots: cool-off in governance": (
        snapshots(**LOCKED, lockCoolOffPeriod=24),
        [],
        [error("snapshots.lockCoolOffPeriod", "without `lockCoolOffPeriod`")],
    ),
    "snapshots: longest cool-off": (snapshots(lockMode="compliance", lockDuration=7, lockCoolOffPeriod=72), [], []),
    "snapshots: a longer cool-off": (
        snapshots(lockMode="compliance", lockDuration=7, lockCoolOffPeriod=73),
        [],
        [error("snapshots.lockCoolOffPeriod", 72)],
    ),
    "snapshots: no cool-off": (
        snapshots(lockMode="compliance", lockDuration=7, lockCoolOffPeriod=0),
        [],
        [error("snapshots.lockCoolOffPeriod", 1)],
    ),
    "snapshots: locked and deleted": (snapshots(**LOCKED, deletionPolicy="Delete"), [], [warning("snapshots.deletionPolicy", "Retain")]),
    "snapshots: deleted": (snapshots(deletionPolicy="Delete"), [], []),
    "snapshots: fast in zones": (snapshots(fastSnapshotRestoreAvailabilityZones=["eu-central-1a"]), [], []),
    "snapshots: fast in no zone": (
        snapshots(fastSnapshotRestoreAvailabilityZones=["europe-west1-b"]),
        [],
        [error("snapshots.fastSnapshotRestoreAvailabilityZones", "eu-central-1a")],
    ),
    "snapshots: on an outpost": (snapshots(outpostArn="arn:aws:outposts:eu-central-1:111122223333:outpost/op-0123456789abcdef0"), [], []),
    "snapshots: on nothing": (
        snapshots(outpostArn="op-0123"),
        [],
        [error("snapshots.outpostArn", "arn:aws:outposts:eu-central-1:111122223333:outpost/op-0123456789abcdef0")],
    ),
    "snapshots: a tag": (snapshots(**{TAG: "s={{ .VolumeSnapshotName }}"}), [], []),
    "snapshots: a volume's tag": (
        snapshots(**{TAG: "s={{ .PVCName }}"}),
        [],
        [error(f"snapshots.{TAG}", "s={{ .VolumeSnapshotName }}")],
    ),
    # attributes
    "attributes: nothing": (fast(), [], [error("attributes.fast", "{iops: 4000}")]),
    "attributes: throughput": (fast(throughput=250), ["5Gi"], []),
    "attributes: throughput for the class's iops": (fast(throughput=751), [], [error("attributes.fast.throughput", 750)]),
    "attributes: iops that suit": (fast(iops=6000, throughput=1000), ["12Gi"], []),
    "attributes: iops that suit some": (fast(iops=6000), ["5Gi", "12Gi"], [warning("attributes.fast.iops", 3000)]),
    "attributes: iops that suit none": (fast(iops=80001), [], [error("attributes.fast.iops", 80000)]),
    "attributes: iops a GiB": (fast(iopspergb=500, allowautoiopsincreaseonmodify=True), ["6Gi"], []),
    "attributes: both": (fast(iops=3000, iopspergb=500), [], [error("attributes.fast.iops", "without `iopspergb`")]),
    "attributes: another type": (fast(type="io2", iops=100), ["4Gi"], []),
    "attributes: another type, too small": (fast(type="st1"), ["5Gi"], [warning("services.5Gi.size", "125Gi")]),
    "attributes: no type": (fast(type="gp4"), [], [error("attributes.fast.type", "gp3")]),
    "attributes: the old key": (fast(volumeType="gp3"), [], [warning("attributes.fast.volumeType", "type: gp3")]),
    "attributes: both keys": (fast(type="gp3", volumeType="gp2"), [], [error("attributes.fast.volumeType", "without `volumeType`")]),
    "attributes: a tag": (fast(**{TAG: "kubernetes.io/a=b"}), [], [error(f"attributes.fast.{TAG}", "my-kubernetes.io-a=b")]),
    "attributes: tags off": (fast(tagDeletion_1="team"), [], []),
    "attributes: a name": ({"attributes": {"Fast_1": {"iops": 3000}}}, [], [error("attributes.Fast_1", "fast-1")]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_rule(case: str) -> None:
    wanted, sizes, expected = CASES[case]
    found = findings("ebs", wanted, sizes)
    assert short(found) == sorted(expected), [each.rule for each in found]
    assert all(each.rule and each.works for each in found)


# settings over the defaults and sizes, each refused at first by the type's limits alone
REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "iops beyond the type": ({"iops": 100_000}, ["5Gi", "100Gi"]),
    "iops that one size refuses": ({"iops": 20_000}, ["7Gi", "30Gi"]),
    "throughput beyond the type": ({"throughput": 3000}, ["5Gi"]),
    "throughput for iops that the size refuses": ({"iops": 8000, "throughput": 1500}, ["5Gi"]),
    "throughput for iops a GiB": ({"iopsPerGB": 500, "throughput": 1000}, ["8Gi", "200Gi"]),
    "iops a GiB beyond the type": ({"iopsPerGB": 600}, ["10Gi", "200Gi"]),
    "iops of io1": ({"type": "io1", "iops": 70_000}, ["4Gi"]),
    "a key that is none": ({"kmsKeyId": "mine", "zones": ["us-east-1a"]}, []),
    "an alias": ({"kmsKeyId": "alias/mine", "zones": ["us-east-1a"]}, []),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_works_is_not_refused_when_it_is_fed_back(case: str) -> None:
    """All values that work at once: no error is left, and none is new."""
    wanted, sizes = REFUSED[case]
    found = findings("ebs", wanted, sizes)
    works = {each.path: int(each.works) if each.works.isdigit() else each.works for each in found}
    assert works
    for path, value in works.items():
        assert [each for each in findings("ebs", {**wanted, path: value}, sizes) if each.path == path and each.severity == "error"] == []
    assert [each for each in findings("ebs", {**wanted, **works}, sizes) if each.severity == "error"] == []


def test_iops_a_gib_that_a_size_is_too_small_for_need_the_drivers_increase() -> None:
    assert short(findings("ebs", {"iopsPerGB": 600}, ["5Gi"])) == [error("iopsPerGB", "500, with `allowAutoIOPSPerGBIncrease: true`")]
    assert not findings("ebs", {"iopsPerGB": 500, "allowAutoIOPSPerGBIncrease": True}, ["5Gi"])
    assert short(findings("ebs", fast(iopspergb=500), ["5Gi"])) == [warning("attributes.fast.iopspergb", "iops: 3000, without `iopspergb`")]


def test_a_finding_at_a_size_names_the_size_and_where_it_is_written() -> None:
    (found,) = findings("ebs", {"iops": 4000}, ["3.3Gi", "20Gi"])
    assert found.rule == "at most 500 IOPS a GiB for gp3, so 3000 at 4Gi (services.3.3Gi.size): the driver lowers it or EC2 refuses it"


@pytest.mark.parametrize("below", [(), ("snapshots",), ("attributes", "fast")])
@pytest.mark.parametrize("key", ["tagSpecification_N", "tagDeletion_N"])
def test_the_tables_name_of_the_numbered_keys_is_a_key_like_the_others(below: tuple[str, ...], key: str) -> None:
    if key == "tagDeletion_N":
        below = ("attributes", "fast")

    def tier(value: object) -> dict[str, Any]:
        wanted: dict[str, Any] = {key: value}
        for each in reversed(below):
            wanted = {each: wanted}
        return wanted

    with pytest.raises(ValidationError, match="valid string"):
        EbsParameters.model_validate(tier({"foo": "a=b"}))
    parameters = EbsParameters.model_validate(tier("a=b"))
    classes: dict[tuple[str, ...], Callable[[], Mapping[str, str]]] = {
        (): lambda: EBS.storage_class(parameters).parameters,
        ("snapshots",): lambda: EBS.snapshot_class(parameters).parameters,  # type: ignore[union-attr]
        ("attributes", "fast"): lambda: EBS.attributes_classes(parameters)["fast"],
    }
    assert classes[below]() == {key: "a=b"}


def test_defaults_are_for_the_tiers_use() -> None:
    assert EBS.defaults(DATABASE) == {"type": "gp3", "encrypted": True, FSTYPE: "ext4", "mountOptions": ["noatime"]}
    assert EBS.defaults(STREAMING)[FSTYPE] == "xfs"


def test_a_class_has_exactly_the_strings_that_the_driver_parses() -> None:
    wanted = {
        "type": "io2",
        "iops": 4000,
        "encrypted": True,
        "allowAutoIOPSPerGBIncrease": False,
        "blockSize": 4096,
        "kmsKeyId": EXAMPLE_KEY,
        "tagSpecification_7": "a=b",
    }
    fields = EBS.storage_class(EbsParameters.model_validate(wanted))
    assert fields.parameters == {
        "type": "io2",
        "iops": "4000",
        "encrypted": "true",
        "allowAutoIOPSPerGBIncrease": "false",
        "blockSize": "4096",
        "kmsKeyId": EXAMPLE_KEY,
        "tagSpecification_7": "a=b",
    }
    assert fields.allow_volume_expansion
    assert not fields.allowed_topologies


@pytest.mark.parametrize(
    ("wanted", "gib"),
    [({}, 1), ({"iops": 5000}, 10), ({"type": "io1", "iops": 100}, 4), ({"type": "io1", "iopsPerGB": 10}, 10), ({"type": "st1"}, 125)],
)
def test_the_smallest_volume_is_the_first_that_no_rule_objects_to(wanted: dict[str, Any], gib: int) -> None:
    parameters = EbsParameters.model_validate({**EBS.defaults(DATABASE), **wanted})
    assert EBS.smallest_bytes(parameters, 2**30) == gib * 2**30


# The driver's grammar, written down a second time: what CreateVolume parses, and what EC2 takes
# (Amazon EBS User Guide, volume types).
INT32 = re.compile(r"[0-9]{1,10}")
GRAMMAR = {
    "type": re.compile("gp3|gp2|io1|io2|st1|sc1|standard"),
    "iops": INT32,
    "iopsPerGB": INT32,
    "throughput": INT32,
    "volumeInitializationRate": re.compile("[12][0-9]{2}|300"),
    "encrypted": re.compile("true|false"),
    "allowAutoIOPSPerGBIncrease": re.compile("true|false"),
    "allowAutoIOPSIncreaseOnModify": re.compile("true|false"),
    "blockAttachUntilInitialized": re.compile("true|false"),
    "blockExpress": re.compile("true|false"),
    "ext4BigAlloc": re.compile("true|false"),
    "ext4EncryptionSupport": re.compile("true|false"),
    FSTYPE: re.compile("ext4|xfs|ext3|ext2|ntfs"),
    "fstype": re.compile("ext4|xfs|ext3|ext2|ntfs"),
    **dict.fromkeys(("blockSize", "inodeSize", "bytesPerInode", "numberOfInodes", "ext4ClusterSize"), re.compile("[A-Za-z0-9]+")),
}
IOPS = {"gp3": (3000, 80000, 500), "io1": (100, 64000, 50), "io2": (100, 256000, 1000)}
SIZES = {
    "gp3": (1, 65536),
    "gp2": (1, 16384),
    "io1": (4, 16384),
    "io2": (4, 65536),
    "st1": (125, 16384),
    "sc1": (125, 16384),
    "standard": (1, 1024),
}

numbers = st.sampled_from(
    [0, 1, 50, 99, 100, 125, 200, 300, 500, 750, 1000, 2000, 2999, 3000, 4000, 16000, 64000, 80000, 256000, 2**31]
) | st.integers(-10, 300_000)
truths = st.booleans()
words = st.sampled_from(["4096", "512", "4k", "a b", "", "16384"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "type": st.sampled_from([*TYPES, "gp3", "gp3", "io2", "gp4", "GP3", "pd-ssd"]),
    "iops": numbers,
    "iopsPerGB": numbers,
    "throughput": numbers,
    "allowAutoIOPSPerGBIncrease": truths,
    "allowAutoIOPSIncreaseOnModify": truths,
    "encrypted": truths,
    FSTYPE: st.sampled_from(["ext4", "xfs", "ext3", "ext2", "XFS", "ntfs", ""]),
    "fstype": st.sampled_from(["ext4", "xfs"]),
    "blockSize": words,
    "inodeSize": words,
    "bytesPerInode": words,
    "numberOfInodes": words,
    "ext4BigAlloc": truths,
    "ext4ClusterSize": words,
    "ext4EncryptionSupport": truths,
    "volumeInitializationRate": numbers,
    "blockAttachUntilInitialized": truths,
    "blockExpress": truths,
    "tagSpecification_1": st.sampled_from(["a=b", "=b", "a", "kubernetes.io/a=b", "aws:a=b", "a={{ .PVCName }}", "a={{"]),
}


@st.composite
def parameter_sets(draw: st.DrawFn) -> dict[str, Any]:
    """Up to four parameters, so that about as many sets pass as don't.

    Those about performance are drawn more often than the others.
    """
    some = draw(st.lists(st.sampled_from([*VALUES, *(["type", "iops", "iopsPerGB", "throughput"] * 3)]), max_size=4, unique=True))
    return {key: draw(VALUES[key]) for key in some}


def refusals(written: dict[str, str], gib: int) -> Iterator[str]:
    """Why driver or EC2 would refuse this class at this size, or make another volume than it
    says.
    """
    values = [key for key, value in written.items() if not key.startswith("tagSpecification") and not GRAMMAR[key].fullmatch(value)]
    if values:
        yield f"the form of {values}"
        return
    yield from _figures(written, gib)
    yield from _formatting(written)
    if written.get("tagSpecification_1", "a=b") not in ("a=b", "a={{ .PVCName }}"):
        yield "the tag"
    if FSTYPE in written and "fstype" in written:
        yield "both keys"


def _figures(written: dict[str, str], gib: int) -> Iterator[str]:
    kind = written.get("type", "gp3")
    if not SIZES[kind][0] <= gib <= SIZES[kind][1]:
        yield "the size"
    given = {"iops", "iopsPerGB"} & written.keys()
    if len(given) == 2 and any(int(written[key]) for key in given):
        given = {key for key in given if int(written[key])}
        written = {key: value for key, value in written.items() if key in given or key not in ("iops", "iopsPerGB")}
    asked = int(written["iops"]) if "iops" in written else int(written.get("iopsPerGB", 0)) * gib
    if len(given) == 2:
        yield "both figures"
    elif kind in IOPS and (given or kind != "gp3"):
        low, high, ratio = IOPS[kind]
        raised = written.get("allowAutoIOPSPerGBIncrease") == "true" and asked > 0
        if (asked < low and not raised) or asked > min(high, max(low, ratio * gib)) or asked > 2**31 - 1:
            yield "the IOPS"
        if "iopsPerGB" in written and int(written["iopsPerGB"]) > ratio:
            yield "the IOPS a GiB"
    elif given:
        yield "IOPS that are dropped"
    if "throughput" in written:
        if kind != "gp3":
            yield "throughput that is dropped"
        elif not 125 <= int(written["throughput"]) <= 2000 or int(written["throughput"]) * 4 > max(3000, asked):
            yield "the throughput"


def _formatting(written: dict[str, str]) -> Iterator[str]:
    kind = written.get(FSTYPE, written.get("fstype", "ext4"))
    own = {key for key in ("ext4BigAlloc", "ext4EncryptionSupport") if written.get(key) == "true"} | ({"ext4ClusterSize"} & written.keys())
    if kind != "ext4" and own:
        yield "ext4's own"
    if (kind in ("xfs", "ntfs") and {"bytesPerInode", "numberOfInodes"} & written.keys()) or (
        kind == "ntfs" and {"blockSize", "inodeSize"} & written.keys()
    ):
        yield "formatting"
    if "ext4ClusterSize" in written and written.get("ext4BigAlloc") != "true":
        yield "a cluster"


def test_what_passes_is_what_the_driver_takes_and_what_it_refuses_never_passes() -> None:
    passed: Counter[bool] = Counter()

    @settings(max_examples=800, deadline=None)
    @given(parameter_sets(), st.sampled_from([1, 3, 4, 5, 6, 7, 8, 10, 124, 125, 160, 1024, 1025, 16384, 16385, 65536, 65537]))
    def check(wanted: dict[str, Any], gib: int) -> None:
        parameters = EbsParameters.model_validate(wanted)
        found = list(EBS.findings(parameters, [RequestedVolume("v", Size.parse(f"{gib}Gi").in_units_of(EBS.size_unit))]))
        errors = [each for each in found if each.severity == "error"]
        why = list(refusals(dict(EBS.storage_class(parameters).parameters), gib))
        assert bool(errors) == bool(why), (why, errors)
        passed[not errors] += 1

    check()
    assert min(passed[True], passed[False]) > 100
