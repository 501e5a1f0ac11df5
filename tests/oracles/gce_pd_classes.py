"""Made-up parameters of StorageClasses on GCE PD: right values, near misses and nonsense."""

from __future__ import annotations

import random

from components.provisioners.base import FSTYPE

IOPS, THROUGHPUT = "provisioned-iops-on-create", "provisioned-throughput-on-create"
KEY = "projects/p/locations/us-central1/keyRings/r/cryptoKeys/k"
POOL = "projects/p/zones/us-central1-a/storagePools/a"
OTHER_POOL = "projects/p/zones/us-central1-ai1a/storagePools/b"

_HYPERDISKS = ("balanced", "balanced-high-availability", "throughput", "extreme", "ml")
_TYPES = ["pd-standard", "pd-balanced", "pd-ssd", "pd-extreme", *(f"hyperdisk-{kind}" for kind in _HYPERDISKS), "dynamic"]
_TRUTHS = ["true", "false", "True", "FALSE", "yes", "no", "1", "0", "on", "off", "", " true", "t", "maybe"]
_NUMBERS = ["0", "1", "5", "250", "2500", "3000", "4000", "10000", "160000", "350000", "00300", "262144000", "1073741824", "1234567"]
_BEYOND = ["9223372036854775806", "9223372036854775807", "9223372036854775808", "92233720368547758070", "8Ei", "7.9Ei", "1e19", "1e99"]
_UNITS = [
    "",
    "",
    "k",
    "M",
    "G",
    "Ki",
    "Mi",
    "Mi",
    "Gi",
    "Ti",
    "m",
    "u",
    "n",
    "P",
    "Pi",
    "E",
    "K",
    "MB",
    "MiB",
    " Mi",
    "gi",
    "e2",
    "E3",
    "e-2",
]
_ODD = [
    "",
    " ",
    "abc",
    "-1",
    "-0",
    "+3000",
    "-3000",
    "-250Mi",
    "-0.5",
    ".5",
    "5.",
    "1.5",
    "0.0001",
    "1,000",
    "3_000",
    "0x10",
    "1e",
    "--1",
    "∞",
    "٣",
]
_LABELS = [
    "team=data",
    "env=",
    "größe=übergroß",
    "Team=data",
    "team=Data",
    " a = b ",
    "a=b=c",
    "a",
    "",
    "1a=b",
    "_a=b",
    "ª=a",
    "a=ª",
    "team=x",
]
_TAGS = [
    "p-roject/k/v",
    "123/k/v",
    "123/k/w",
    "0123/k/v",
    "Project/k/v",
    "p/k/v",
    "123/k",
    "123//v",
    " 123 / k / v w ",
    "123/k/v@.%=+:*#&(){}[]a",
]

VALUES: dict[str, list[str]] = {
    "type": [*_TYPES, *_TYPES, "PD-SSD", "Hyperdisk-Balanced", "Dynamic", "", " pd-ssd", "gp3", "ssd", "pd_ssd", "hyperdisk-ballanced"],
    "replication-type": ["none", "regional-pd", "Regional-PD", "NONE", "", "zonal", "regional", "regional-pd "],
    "disk-encryption-kms-key": [
        KEY,
        f"{KEY}/cryptoKeyVersions/1",
        f"//x/{KEY}",
        "mine",
        "",
        "projects/p/locations//keyRings/r/cryptoKeys/k",
    ],
    "availability-class": ["none", "regional-hard-failover", "None", "Regional-Hard-Failover", "", "zonal", "high"],
    "enable-confidential-storage": _TRUTHS,
    "enable-multi-zone-provisioning": _TRUTHS,
    "use-allowed-disk-topology": _TRUTHS,
    "storage-pools": [
        POOL,
        OTHER_POOL,
        f"{POOL},{OTHER_POOL}",
        f"{POOL}, {OTHER_POOL}",
        f"{POOL},{POOL}",
        f"{POOL},",
        "",
        "pool",
        f"/{POOL}",
    ],
    "data-cache-mode": ["writethrough", "writeback", "WriteBack", "", "none"],
    "access-mode": ["READ_WRITE_SINGLE", "READ_ONLY_MANY", "READ_WRITE_MANY", "", "ReadWriteOnce", "read_write_single"],
    "hyperdisk-type": [*(f"hyperdisk-{kind}" for kind in _HYPERDISKS), "Hyperdisk-ML", "", "pd-ssd", "balanced"],
    "pd-type": ["pd-standard", "pd-balanced", "pd-ssd", "pd-extreme", "PD-SSD", "", "hyperdisk-ml", "ssd"],
    "disk-type-preference": ["hyperdisk-type", "pd-type", "PD-Type", "", "pd", "hyperdisk"],
    FSTYPE: ["ext4", "xfs", "ext3", "ext2", "btrfs", "ntfs", "XFS", "", "zfs"],
}
# Keys with made-up values of their own.
_MADE = (IOPS, THROUGHPUT, "data-cache-size", "labels", "resource-tags")
KEYS = (*VALUES, *_MADE)
# Keys that are none of the driver's, or none of the sidecar's.
_FOREIGN = {
    "fstype": ["ext4", ""],
    "fsType": ["xfs"],
    "CSI.storage.k8s.io/fstype": ["ext4", ""],
    "csi.storage.k8s.io/fsType": ["ext4"],
    "csi.storage.k8s.io/provisioner-secret-name": ["s"],
    "csi.storage.k8s.io/secret-name": ["s"],
    "csi.storage.k8s.io/controller-modify-secret-namespace": ["s"],
    "csi.storage.k8s.io/pvc/name": ["n"],
    "csiProvisionerSecretName": ["s"],
    "csiprovisionersecretname": ["s"],
    "use-allowed-disk-topologies": ["true"],
    "iops": ["3000"],
    "throughput": ["250", "250Mi"],
    "iopsPerGB": ["50"],
    "kmsKeyId": [KEY],
    "replicationType": ["none"],
    "zone": ["us-central1-a"],
    "zones": ["us-central1-a,us-central1-b"],
    "label": ["a=b"],
    "encrypted": ["true"],
    "": ["x"],
    " type": ["pd-ssd"],
    "type ": ["pd-ssd"],
    "ty\u212ae": ["pd-ssd"],  # the sign of Kelvin is a k in lower case
}


def made_up(seed: int, number: int) -> list[dict[str, str]]:
    """As many sets of parameters, always the same for a seed."""
    chance = random.Random(seed)
    return [_class(chance) for _ in range(number)]


def _class(chance: random.Random) -> dict[str, str]:
    """Up to six parameters, most of them right: so that about as many sets are taken as refused."""
    made: dict[str, str] = {}
    if chance.random() < 0.7:
        made["type"] = chance.choice(_TYPES)
    for _ in range(chance.choice((0, 1, 1, 2, 2, 3, 5))):
        key = chance.choice(KEYS)
        made[_spelled(chance, key)] = _value(chance, key)
    if chance.random() < 0.06:
        key = chance.choice(list(_FOREIGN))
        made[key] = chance.choice(_FOREIGN[key])
    return made


def _spelled(chance: random.Random, key: str) -> str:
    roll = chance.random()
    if roll < 0.9:
        return key
    if roll < 0.97:
        return chance.choice((key.upper(), key.title(), key.capitalize()))
    at = chance.randrange(len(key))
    return chance.choice((key.replace("-", "_"), key.replace("-", ""), key[:at] + key[at + 1 :], f"{key}s", f"{key} "))


def _value(chance: random.Random, key: str) -> str:
    if key in VALUES:
        return chance.choice(VALUES[key])
    if key in ("labels", "resource-tags"):
        some = _LABELS if key == "labels" else _TAGS
        if chance.random() < 0.04:  # about as many as the driver takes at most
            few = chance.randint(49, 66)
            return ",".join(f"k{n}=v" if key == "labels" else f"123/k{n}/v" for n in range(few))
        if chance.random() < 0.05:
            length = chance.choice((62, 63, 64))
            return f"{'k' * length}=v" if key == "labels" else f"123/k/{'v' * length}"
        return ",".join(chance.choice(some) for _ in range(chance.choice((1, 1, 1, 2, 3))))
    return _quantity(chance)


def _quantity(chance: random.Random) -> str:
    roll = chance.random()
    if roll < 0.15:
        return chance.choice(_ODD)
    if roll < 0.2:
        return chance.choice(_BEYOND)
    number = chance.choice(_NUMBERS) if roll < 0.7 else f"{chance.randint(0, 400)}.{chance.randint(0, 9999)}"
    return f"{chance.choice(('', '', '', '', '', '+', '-'))}{number}{chance.choice(_UNITS)}"
