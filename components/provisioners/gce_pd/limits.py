"""The numbers of GCE PD: what each disk type can have, and what the driver takes at most.

Sources, where a number names no other: Google's pages (GKE, "About Hyperdisk", of April 2026;
Compute Engine, on each disk type). Issues and pull requests are those of the driver,
gcp-compute-persistent-disk-csi-driver.
"""

from __future__ import annotations

from typing import NamedTuple


class DiskTypeLimits(NamedTuple):
    """What a disk type can have, each from the least to the most; None where it can't be set.

    `gib` is the size in GiB, `iops` is for the whole disk, `throughput` is in MiB/s.
    """

    gib: tuple[int, int]
    iops: tuple[int, int] | None = None
    throughput: tuple[int, int] | None = None


DEFAULT_TYPE = "pd-standard"  # the driver's own, a hard disk
DYNAMIC = "dynamic"
HIGHLY_AVAILABLE = "hyperdisk-balanced-high-availability"
MULTI_ZONE = "hyperdisk-ml"  # on GKE, the only type with a disk in each zone behind one volume
POOLED = ("hyperdisk-balanced", "hyperdisk-throughput")  # the types that storage pools have
BALANCED = ("hyperdisk-balanced", HIGHLY_AVAILABLE)

# 64 TiB is the driver's MaxVolumeSizeInBytes.
# hyperdisk-balanced: "Disk size cannot be smaller than 4 GB" (issue #2038).
# A zonal PD can have 1 GiB, the driver's least, and seen to work; Google's pages say 10 GB.
TYPES = {
    "pd-standard": DiskTypeLimits((1, 65_536)),
    "pd-balanced": DiskTypeLimits((1, 65_536)),
    "pd-ssd": DiskTypeLimits((1, 65_536)),
    "pd-extreme": DiskTypeLimits((500, 65_536), iops=(2_500, 120_000)),
    "hyperdisk-balanced": DiskTypeLimits((4, 65_536), (2_000, 160_000), (140, 2_400)),
    HIGHLY_AVAILABLE: DiskTypeLimits((4, 65_536), (2_000, 100_000), (140, 1_200)),
    "hyperdisk-throughput": DiskTypeLimits((2_048, 32_768), throughput=(20, 2_400)),
    "hyperdisk-extreme": DiskTypeLimits((64, 65_536), iops=(128, 350_000)),
    "hyperdisk-ml": DiskTypeLimits((4, 65_536), throughput=(400, 1_200_000)),
}
# The smallest regional pd-standard, in GiB.
REGIONAL_STANDARD_GIB = 200

# Hyperdisk Balanced of less than 6 GiB has exactly 500 IOPS a GiB, a larger one at least 3,000
# (pull request #2054).
BALANCED_PER_GIB = 500
BALANCED_LEAST = 3_000
FIXED_BELOW = 6
# IOPS for each GiB of a hyperdisk-extreme.
# Pull request #2054 has the least; the most is unconfirmed.
EXTREME_PER_GIB = (2, 1_000)
# IOPS of a pd-extreme: the API's text has more for the least than Google's page.
EXTREME_LEAST_OF_API = 10_000
# MiB/s for each TiB of a hyperdisk-throughput, and for each GiB of a hyperdisk-ml.
THROUGHPUT_PER_TIB = (10, 90)
ML_PER_GIB = (0.12, 1_600)
# Google's page on Hyperdisk Balanced: at most a quarter of a MiB/s for each IOPS.
IOPS_PER_MIB = 4

# What a VolumeAttributesClass can change of which type. The driver's flags on GKE:
# --supports-dynamic-iops-provisioning and --supports-dynamic-throughput-provisioning.
CHANGEABLE = {
    "iops": ("hyperdisk-balanced", "hyperdisk-extreme"),
    "throughput": ("hyperdisk-balanced", "hyperdisk-throughput", "hyperdisk-ml"),
}

MOST_LABELS = 64
LONGEST_LABEL = 63  # characters of a key, and of a value
MOST_TAGS = 50
