"""The numbers of EBS: what each volume type can have, and what EC2 and the driver take at most.

Sources, where a number names no other: the text of EC2's API (CreateVolume, ModifyVolume,
LockSnapshot, of 2026), and the driver's constants (aws-ebs-csi-driver 1.64, pkg/cloud/cloud.go).
"""

from __future__ import annotations

from typing import NamedTuple


class VolumeTypeLimits(NamedTuple):
    """What a volume type can have, each from the least to the most; None where it can't be set.

    `gib` is the size in GiB, `iops` is for the whole volume, `throughput` is in MiB/s.
    `iops_per_gib` is the most IOPS for each GiB.
    """

    gib: tuple[int, int]
    iops: tuple[int, int] | None = None
    iops_per_gib: int = 0
    throughput: tuple[int, int] | None = None


# EC2's CreateVolume; IOPS a GiB are the driver's constants.
TYPES = {
    "gp3": VolumeTypeLimits((1, 65_536), (3_000, 80_000), 500, (125, 2_000)),
    "gp2": VolumeTypeLimits((1, 16_384)),
    "io1": VolumeTypeLimits((4, 16_384), (100, 64_000), 50),
    "io2": VolumeTypeLimits((4, 65_536), (100, 256_000), 1_000),
    "st1": VolumeTypeLimits((125, 16_384)),
    "sc1": VolumeTypeLimits((125, 16_384)),
    "standard": VolumeTypeLimits((1, 1_024)),
}
DEFAULT_TYPE = "gp3"

# gp3 on older pages of AWS, and in the driver's fall-back where EC2 doesn't answer.
OLD_GP3 = {"iops": 16_000, "throughput": 1_000, "gib": 16_384}
# EC2: "Throughput (MiBps) to iops ratio … is too high; maximum is 0.250000 MiBps per iops"
# (runs-on#260).
IOPS_PER_MIB = 4
# The most IOPS on an instance that isn't built on Nitro.
MOST_WITHOUT_NITRO = 32_000
# What works, but not for databases and logs of a few GiB.
SLOW = {
    "gp2": "gp2 has 3 IOPS a GiB and at least 100, so 100 up to 33Gi; gp3 has 3000 at any size, for less",
    "sc1": "a hard disk for data that is seldom read",
    "standard": "a hard disk of the previous generation",
}
# MiB/s from a snapshot (CreateVolume, VolumeInitializationRate).
INITIALIZATION_RATE = (100, 300)

# EC2 takes 50 tags, and the driver sets two on every volume.
MOST_TAGS = 48
# Bytes, as the driver counts them (pkg/driver/validation.go).
LONGEST_TAG_KEY = 128
LONGEST_TAG_VALUE = 256

LONGEST_LOCK = 36_500  # days (LockSnapshot)
LONGEST_COOL_OFF = 72  # hours (LockSnapshot)
