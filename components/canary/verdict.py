"""Compares what a volume gave back with what was acknowledged. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

Entry: TypeAlias = Sequence[Any]  # number, timestamp in microseconds, digest (probe.Entry)
File: TypeAlias = Mapping[str, Any]  # name, size, entries and (of a file that was read) odd

SHOWN = 5  # numbers that a sentence lists


class Fault(Enum):
    """What can be wrong with what was read. The first that is found names the verdict."""

    WRONG_VOLUME = "wrong volume"
    EMPTY = "mounted, but empty"
    STALE = "stale data of an earlier run"
    TRUNCATED = "truncated"
    DAMAGED = "damaged (flipped bits)"
    MISSING = "missing entries"
    EXTRA = "extra entries"
    ORDER = "wrong order"
    TIMESTAMPS = "timestamps go backwards"


class DataFault(NamedTuple):
    """One fault in one file (or, with no file, in the volume); `detail` goes on after a colon."""

    fault: Fault
    file: str
    detail: str

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        return f"{where}{self.fault.value}: {self.detail}"


def most_telling(findings: Iterable[DataFault]) -> DataFault | None:
    """The finding that explains the others best; None where there are none."""
    ranks = list(Fault)
    return min(findings, key=lambda finding: ranks.index(finding.fault), default=None)


def compare(folder: Mapping[str, Any], owner: Mapping[str, str], written: Sequence[File], read: Sequence[File]) -> list[DataFault]:
    """Everything that is wrong with the canary's folder.

    `folder` says whether it is `present`, and which `owner` its mark names. `owner` is the mark
    that this run has written.
    """
    found_owner = folder.get("owner")
    if not folder.get("present") or (not read and not found_owner):
        return [DataFault(Fault.EMPTY, "", "nothing of what was written is there")]
    if found_owner and found_owner.get("owner") != owner["owner"]:
        return [DataFault(Fault.WRONG_VOLUME, "", f"it holds the data of {found_owner.get('owner')}")]
    findings = []
    if found_owner and found_owner.get("run") != owner["run"]:
        findings.append(DataFault(Fault.STALE, "owner.json", f"it names run {found_owner.get('run')}, this is run {owner['run']}"))
    elif not found_owner:
        findings.append(DataFault(Fault.MISSING, "owner.json", "the file is gone or can't be read"))
    by_name = {file["name"]: file for file in read}
    for file in written:
        if file["name"] in by_name:
            findings += compare_file(file, by_name[file["name"]])
        else:
            findings.append(DataFault(Fault.MISSING, file["name"], "the file is gone"))
    known = {file["name"] for file in written}
    findings += [DataFault(Fault.EXTRA, name, "no such file was written") for name in by_name if name not in known]
    return findings


def compare_file(written: File, read: File) -> list[DataFault]:
    """What is wrong with one file, each entry against the one that was written."""
    name: str = written["name"]
    expected, found = list(map(tuple, written["entries"])), list(map(tuple, read["entries"]))
    odd = read.get("odd", [])
    findings = _stale(name, odd)
    if read["size"] < written["size"] and found == expected[: len(found)] and all(each["what"] == "cut" for each in odd):
        detail = f"{read['size']} of {written['size']} bytes are left, {len(found)} of {len(expected)} entries"
        return [*findings, DataFault(Fault.TRUNCATED, name, detail)]
    damaged = [each for each in odd if each["what"] in ("damaged", "no file")]
    if damaged:
        findings.append(DataFault(Fault.DAMAGED, name, f"checksum does not fit at {_at(damaged)}"))
    zeros = [each for each in odd if each["what"] == "zeros"]
    if zeros:
        findings.append(DataFault(Fault.MISSING, name, f"zeros where data was written, at {_at(zeros)}"))
    cut = [each for each in odd if each["what"] == "cut"]
    if cut and not damaged:
        findings.append(DataFault(Fault.TRUNCATED, name, f"an entry is cut off at {_at(cut)}"))
    return [*findings, *compare_entries(name, expected, found, explained=bool(odd))]


def compare_entries(name: str, expected: Sequence[Entry], found: Sequence[Entry], *, explained: bool = False) -> list[DataFault]:
    """What is wrong with a sequence of whole entries.

    `explained`: a finding of another kind already says why entries are absent.
    """
    findings = []
    wanted, present = Counter(entry[0] for entry in expected), Counter(entry[0] for entry in found)
    missing, extra = sorted((wanted - present).elements()), sorted((present - wanted).elements())
    if missing and not explained:
        findings.append(DataFault(Fault.MISSING, name, f"{_numbers(missing)} of {len(expected)}"))
    if extra:
        findings.append(DataFault(Fault.EXTRA, name, _numbers(extra)))
    numbers = [entry[0] for entry in found]
    misplaced = [later for earlier, later in pairwise(numbers) if later < earlier]
    if misplaced:
        findings.append(DataFault(Fault.ORDER, name, f"{_numbers(misplaced)} after a later one"))
    by_number = {entry[0]: entry for entry in expected}
    if not misplaced:
        # Pages are written at random, so their times are in no order.
        in_time = all(earlier[1] <= later[1] for earlier, later in pairwise(expected))
        back = [later[0] for earlier, later in pairwise(found) if later[1] < earlier[1]]
        if in_time and back:
            findings.append(DataFault(Fault.TIMESTAMPS, name, f"at {_numbers(back)}"))
    other = [entry[0] for entry in found if entry[0] in by_number and tuple(entry) != tuple(by_number[entry[0]])]
    if other and not any(finding.fault is Fault.TIMESTAMPS for finding in findings):
        findings.append(
            DataFault(Fault.DAMAGED, name, f"{_numbers(other)} hold something else than was written, with a checksum that fits")
        )
    return findings


def compare_stream(name: str, acknowledged: Sequence[Entry], read: File | None) -> list[DataFault]:
    """What is wrong with a stream whose writer was killed.

    All that was acknowledged must be there. More may be, and the end may be torn.
    """
    if read is None:
        return [DataFault(Fault.MISSING, name, f"the file with {len(acknowledged)} acknowledged entries is gone")] if acknowledged else []
    found = list(map(tuple, read["entries"]))
    odd = read.get("odd", [])
    last = max((entry[0] for entry in acknowledged), default=-1)
    kept = [entry for entry in found if entry[0] <= last]
    findings = _stale(name, odd)
    # Only what begins after every acknowledged entry can be the torn end.
    torn_from = len({entry[0] for entry in kept})
    if torn_from <= last and odd:
        kinds = sorted({each["what"] for each in odd if each["what"] != "stale"})
        fault = Fault.DAMAGED if "damaged" in kinds else Fault.TRUNCATED if "cut" in kinds else Fault.MISSING
        findings.append(DataFault(fault, name, f"{last + 1 - torn_from} of {last + 1} acknowledged entries can't be read ({_at(odd)})"))
        return findings
    return [*findings, *compare_entries(name, acknowledged, kept)]


# A file system keeps some of its device for itself. Measured on 1 GiB: ext4 shows about 95 %, XFS
# about 94 %. Options of a class can make it keep more: with a million inodes (`numberOfInodes`)
# ext4 shows 71.5 %, with one for each KiB (`bytesPerInode`) 70.3 %.
LEAST_SHARE_OF_CLAIM = 0.6


def too_small(file_system_bytes: int, claim_bytes: int) -> bool:
    """Whether a file system lacks more of its claim than file systems keep for themselves."""
    return file_system_bytes < claim_bytes * LEAST_SHARE_OF_CLAIM


def free_space_warning(free_bytes: int, allocated_bytes: int) -> str | None:
    """A sentence where less is free than the services are promised on the tier.

    It matters where nothing enforces sizes.
    """
    if free_bytes >= allocated_bytes:
        return None
    gib = 2**30
    return f"{free_bytes / gib:.2f} GiB are free where the tier's volumes are, and {allocated_bytes / gib:.2f} GiB are provisioned on it"


def _stale(name: str, odd: Iterable[Mapping[str, Any]]) -> list[DataFault]:
    stale = [each for each in odd if each["what"] == "stale"]
    if not stale:
        return []
    return [DataFault(Fault.STALE, name, f"{len(stale)} entries are of run {stale[0]['run']}")]


def _numbers(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:SHOWN]))
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return f"{'entries' if len(numbers) > 1 else 'entry'} {shown}{more}"


def _at(odd: Sequence[Mapping[str, Any]]) -> str:
    places = [f"byte {each['at']}" + (f" (entry {each['number']})" if each.get("number") is not None else "") for each in odd]
    return ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more places" if len(places) > SHOWN else "")
