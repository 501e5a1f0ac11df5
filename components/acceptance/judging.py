"""Compares what an engine has kept with the ledger. Pure functions.

A fault of the disk shows in more than one way, so every finding is reported, and the most telling
one names the verdict.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from components.acceptance.ledger import Ledger, WriterDifference, as_ranges, count, difference, shown
from components.acceptance.scripts.common import content

DIGEST_BYTES = 8
FIRST_LINES = 3  # of a tool's output, in a sentence


class KeptFault(Enum):
    """What can be wrong with what an engine has kept. The first that is found names the verdict."""

    EMPTY = "nothing is there"
    LOST = "acknowledged, and lost"
    DAMAGED = "damaged"
    TORN = "half of a transaction"
    SKIPPED = "missing before later ones"
    DOUBLED = "doubled"
    REORDERED = "in another order"
    CHECKSUM = "page checksums are wrong"
    INDEX = "an index differs from its table"
    SEGMENT = "a log segment is damaged"
    DISCARDED = "a broker has thrown records away"
    REPLICA = "a replica lacks records"
    SLOT = "the logical slot lacks changes"


class KeptFinding(NamedTuple):
    """One finding; `detail` goes on after a colon."""

    fault: KeptFault
    detail: str

    def __str__(self) -> str:
        return f"{self.fault.value}: {self.detail}"


def worst_first(findings: Iterable[KeptFinding]) -> list[KeptFinding]:
    """The findings, the one that explains the others best at the front."""
    ranks = list(KeptFault)
    return sorted(findings, key=lambda finding: ranks.index(finding.fault))


def postgresql_findings(run: str, ledger: Ledger, said: Mapping[str, Sequence[Any]]) -> list[KeptFinding]:
    """Everything that is wrong with what PostgreSQL has kept; the most telling finding first.

    `said` are the values of the recovering script's words. A word that is missing is no finding
    here: whoever asks has seen that the report is complete.
    """
    rows = {each["client"]: each for each in said.get("rows", [])}
    sent = {each["client"]: each["ranges"] for each in said.get("slot", [])}
    unreadable = {each["what"]: each["message"] for each in said.get("unreadable", [])}
    findings: list[KeptFinding] = []
    if "rows" in unreadable:
        findings.append(KeptFinding(KeptFault.DAMAGED, f"the table can't be read: {unreadable['rows']}"))
    elif ledger.total and not any(each["blocks"] for each in rows.values()):
        return [KeptFinding(KeptFault.EMPTY, f"{ledger.total} transactions were acknowledged")]
    else:
        for writer, acknowledged in sorted(ledger.acknowledged.items()):
            found = rows.get(writer, {"counted": 0, "blocks": []})
            findings += differences("transactions", f"client {writer}", difference(writer, acknowledged, as_ranges(found["blocks"])))
            findings += contents(run, writer, "transactions", f"client {writer}", found["blocks"])
            there = count(as_ranges(found["blocks"]))
            if found["counted"] != there:
                findings.append(KeptFinding(KeptFault.TORN, f"client {writer} has {there} rows, and counted {found['counted']}"))
    if "slot" in unreadable:
        findings.append(KeptFinding(KeptFault.SLOT, f"it can't be read: {unreadable['slot']}"))
    else:
        for writer, acknowledged in sorted(ledger.acknowledged.items()):
            lacking = difference(writer, acknowledged, sent.get(writer, []))
            if not lacking.is_none:
                ranges = lacking.lost or lacking.skipped or lacking.doubled or lacking.reordered
                findings.append(KeptFinding(KeptFault.SLOT, f"of client {writer} {count(ranges)} ({shown(ranges)})"))
    findings += _tools(said)
    return worst_first(findings)


def differences(what: str, whose: str, found: WriterDifference) -> Iterator[KeptFinding]:
    """What is lost, skipped, doubled and in another order."""
    by_fault = {
        KeptFault.LOST: found.lost,
        KeptFault.SKIPPED: found.skipped,
        KeptFault.DOUBLED: found.doubled,
        KeptFault.REORDERED: found.reordered,
    }
    for fault, ranges in by_fault.items():
        if ranges:
            yield KeptFinding(fault, f"{count(ranges)} {what} of {whose} ({shown(ranges)})")


def contents(run: str, writer: int, what: str, whose: str, blocks: Iterable[Sequence[Any]]) -> Iterator[KeptFinding]:
    """Blocks whose content isn't what this run has written."""
    for first, last, digest in blocks:
        right = hashlib.blake2b(digest_size=DIGEST_BYTES)
        for number in range(first, last + 1):
            right.update(content(run, writer, number).encode())
        if right.hexdigest() != digest:
            yield KeptFinding(KeptFault.DAMAGED, f"among {what} {first}-{last} of {whose} is one of another content")


def _tools(said: Mapping[str, Sequence[Any]]) -> Iterator[KeptFinding]:
    """What PostgreSQL's own tools have found."""
    for word, fault in (("checksums", KeptFault.CHECKSUM), ("amcheck", KeptFault.INDEX)):
        for answer in said.get(word, []):
            if answer["status"] != 0:
                yield KeptFinding(fault, " / ".join(answer["said"][:FIRST_LINES]) or f"exit status {answer['status']}")
