"""What a file system keeps of its device for itself.

Both rules were held against new file systems, mounted, from 1 GiB (the least that a cloud's volume
has) to 500 GiB: mke2fs 1.47.0 with `-F -m0`, as the kubelet's and the drivers' mount code calls it
(k8s.io/mount-utils, FormatAndMount), and mkfs.xfs 6.1.0. Available was what statfs(2) said.

| device | ext4 keeps | the rule | XFS keeps | the rule |
|---|---|---|---|---|
| 1 GiB | 67 MiB | 69 | 103 MiB | 117 |
| 5 GiB | 181 MiB | 183 | 132 MiB | 199 |
| 16 GiB | 446 MiB | 472 | 210 MiB | 424 |
| 500 GiB | 9148 MiB | 11280 | 3850 MiB | 10522 |

Options of a class that ask for more inodes make it more (components/canary/verdict.py).
"""

from __future__ import annotations

from components.kube.quantity import GI, MI

# Of any size: inode tables (256 bytes for each 16 KiB, a 64th) and block groups of ext4. Of XFS the
# reservations of its trees: below one percent, and one more where mkfs.xfs makes a reverse map.
_TREES_AND_TABLES = 50

# ext4's journal by the largest device that gets it (e2fsprogs, ext2fs_default_journal_size).
_JOURNALS = ((2 * GI, 32 * MI), (16 * GI, 64 * MI), (32 * GI, 128 * MI), (64 * GI, 256 * MI), (128 * GI, 512 * MI))
_LARGEST_JOURNAL = GI
# Blocks that ext4 keeps for extents that must not fail (the kernel's s_resv_clusters, 4096).
_RESERVED = 16 * MI

# XFS's log is 64 MiB, or a 2048th of the device (xfsprogs, calculate_log_size); the headers of its
# allocation groups come to 32 MiB at most on small ones.
_XFS_LOG, _XFS_LOG_SHARE, _XFS_HEADERS = 64 * MI, 2048, 32 * MI


def own_share(file_system: str | None, device_bytes: int) -> int:
    """The bytes of a device that are no room for files, rounded up.

    `file_system` is as the classes name it; any but xfs counts as ext4. None is a plain folder,
    which keeps nothing.
    """
    if file_system is None:
        return 0
    tables = -(-device_bytes // _TREES_AND_TABLES)
    if file_system == "xfs":
        return tables + max(_XFS_LOG, -(-device_bytes // _XFS_LOG_SHARE)) + _XFS_HEADERS
    journal = next((size for largest, size in _JOURNALS if device_bytes < largest), _LARGEST_JOURNAL)
    return tables + journal + _RESERVED
