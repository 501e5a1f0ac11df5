"""What the probe writes by profile, and which of its workloads gives which figure.

The probe runs alone in a pod, so it can't read this table. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from components.canary import probe


class WrittenFile(NamedTuple):
    """A file that the probe writes. `size` in bytes, None where it is random.

    `workload` is its name among the probe's figures; empty where it isn't timed.
    """

    name: str
    entries: int
    size: int | None = None
    workload: str = ""


class Profile(NamedTuple):
    """How a tier is written to.

    `throughput`, `iops` and `sync` name the workloads of which the tier's MB/s, IOPS and latency of
    a sync are.
    """

    name: str
    files: tuple[WrittenFile, ...]
    throughput: str
    iops: str
    sync: str

    def file_of(self, workload: str) -> WrittenFile:
        """The file in which a workload is timed."""
        return next(file for file in self.files if file.workload == workload)

    def is_complete(self, reported: Iterable[Mapping[str, Any]]) -> bool:
        """Whether the probe's `file` reports are of all the files, each with all its entries."""
        found = {file["name"]: file for file in reported}
        return all(
            file.name in found and len(found[file.name]["entries"]) == file.entries and file.size in (None, found[file.name]["size"])
            for file in self.files
        )

    def figures(self, workloads: Mapping[str, Any]) -> dict[str, Any]:
        """The tier's figures, from those of its workloads.

        MB are 10^6 bytes, latencies are in milliseconds.
        """
        return {
            "writeMBps": workloads[self.throughput]["MBps"],
            "writeIOPS": workloads[self.iops]["IOPS"],
            "syncMs": workloads[self.sync]["syncMs"],
            "workloads": workloads,
        }


DATABASE = Profile(
    "database",
    files=(
        WrittenFile("table.pages", probe.PAGES, probe.PAGE * probe.PAGES, "pages"),
        WrittenFile("wal.entries", probe.COMMITS, workload="wal"),
        WrittenFile("notes.txt", 40),
        WrittenFile("picture.entries", 1),
        WrittenFile("service.log", 200),
    ),
    throughput="pages",
    iops="pages",
    sync="wal",
)
STREAMING = Profile(
    "streaming",
    files=(
        WrittenFile("segment.entries", probe.ENTRIES, workload="entries"),
        WrittenFile("stream.blocks", probe.BLOCKS, probe.BLOCK * probe.BLOCKS, "stream"),
    ),
    throughput="stream",
    iops="entries",
    sync="entries",
)
PROFILES = {profile.name: profile for profile in (DATABASE, STREAMING)}
