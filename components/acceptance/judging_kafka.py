"""Compares what Kafka's brokers have kept with the ledger. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.acceptance.judging import FIRST_LINES, KeptFault, KeptFinding, contents, differences, worst_first
from components.acceptance.ledger import Ledger, as_ranges, count, difference, shown


def kafka_findings(run: str, ledger: Ledger, said: Mapping[int, Mapping[str, Sequence[Any]]]) -> list[KeptFinding]:
    """Everything that is wrong with what brokers have kept; the most telling finding first.

    `said` are the values of each broker's words, by its number. A partition's records are held
    against the ledger as consumers get them, and each broker's own segments besides: a consumer
    reads from the leader alone.
    """
    rows = {each["partition"]: each["blocks"] for words in said.values() for each in words.get("rows", [])}
    unreadable = {each["partition"]: each["message"] for words in said.values() for each in words.get("unreadable", [])}
    if ledger.total and not any(rows.values()) and not unreadable:
        return [KeptFinding(KeptFault.EMPTY, f"{ledger.total} records were acknowledged")]
    findings: list[KeptFinding] = []
    for partition, acknowledged in sorted(ledger.acknowledged.items()):
        whose, blocks = f"partition {partition}", rows.get(partition, [])
        if partition in unreadable:
            findings.append(KeptFinding(KeptFault.DAMAGED, f"{whose} can't be read: {unreadable[partition]}"))
            continue
        own = [each for each in blocks if each[0] > 0]
        findings += differences("records", whose, difference(partition, acknowledged, as_ranges(own)))
        findings += contents(run, partition, "records", whose, own)
        if own != blocks:
            findings.append(KeptFinding(KeptFault.DAMAGED, f"{whose} has records that nobody wrote"))
    for broker, words in sorted(said.items()):
        findings += _broker(run, ledger, broker, words)
    return worst_first(findings)


def _broker(run: str, ledger: Ledger, broker: int, words: Mapping[str, Sequence[Any]]) -> list[KeptFinding]:
    """What is wrong with one broker's own segments."""
    findings: list[KeptFinding] = []
    for each in words.get("replica", []):
        partition, blocks = each["partition"], each["blocks"]
        whose = f"partition {partition} on broker {broker}"
        lacking = difference(partition, ledger.acknowledged.get(partition, 0), as_ranges(blocks))
        if not lacking.is_none:
            ranges = lacking.lost or lacking.skipped or lacking.doubled or lacking.reordered
            findings.append(KeptFinding(KeptFault.REPLICA, f"{count(ranges)} of {whose} ({shown(ranges)})"))
        findings += contents(run, partition, "records", whose, blocks)
    for each in words.get("segments", []):
        if each["status"] != 0 or each["said"]:
            why = " / ".join(each["said"][:FIRST_LINES]) or f"exit status {each['status']}"
            findings.append(KeptFinding(KeptFault.SEGMENT, f"partition {each['partition']} on broker {broker}: {why}"))
    for lines in words.get("discarded", []):
        if lines:
            findings.append(KeptFinding(KeptFault.DISCARDED, f"broker {broker}: {' / '.join(lines[:FIRST_LINES])}"))
    return findings
