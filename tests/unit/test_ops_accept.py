"""Which tiers `ops accept` takes, and how it shows what it has found."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from ops.acceptance import plans
from ops.commands.accept import table
from ops.errors import UserError
from ops.settings import load_settings

ACCEPTED: dict[str, Any] = {
    "verdict": "accepted",
    "tier": "database",
    "engine": "postgresql",
    "version": "15.20 (Debian 15.20-0)",
    "acknowledged": 2036,
    "lost": 0,
    "transactionsPerSecond": 417.3,
    "commitMs": {"p50": 4.88, "p99": 66.07, "p999": 574.56},
    "walBytes": 1_400_000,
    "recoverySeconds": 2.61,
}
REFUSED = {"verdict": "not-accepted", "tier": "fast", "engine": "postgresql", "acknowledged": 12}


def shown(verdicts: list[dict[str, Any]], width: int = 80) -> list[list[str]]:
    console = Console(width=width)
    with console.capture() as caught:
        console.print(table(verdicts))
    return [line.split() for line in caught.get().splitlines() if line.strip()]


def test_each_tier_has_the_engine_that_it_is_made_for() -> None:
    taken = plans(load_settings("dev"), [], None, 7)
    assert [(each.proof.tier, each.engine) for each in taken] == [("database", "postgresql"), ("streaming", "kafka")]
    assert plans(load_settings("aws"), [], "kafka", 7)[0].proof.image == "docker.io/apache/kafka:4.4.0"


def test_the_tiers_that_an_engine_is_made_for_are_taken_where_none_is_named() -> None:
    taken = plans(load_settings("dev"), [], "postgresql", 7)
    assert [(each.proof.tier, each.proof.storage_class, each.engine, each.seed) for each in taken] == [
        ("database", "database-local-path", "postgresql", 7)
    ]
    assert [each.proof.image for each in taken] == ["storage-tiers.local/postgresql:1"]
    assert [each.client_image for each in taken] == ["storage-tiers.local/clients:1"]
    assert plans(load_settings("aws"), [], None, 7)[0].proof.image == "docker.io/library/postgres:17"


def test_any_tier_can_be_named() -> None:
    assert [each.proof.tier for each in plans(load_settings("dev"), ["streaming"], "postgresql", None)] == ["streaming"]


def test_without_a_seed_each_run_has_another() -> None:
    settings = load_settings("dev")
    assert plans(settings, [], None, None)[0].seed != plans(settings, [], None, None)[0].seed


def test_an_unknown_tier_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UserError, match="--tier fast: stack dev has no such tier") as caught:
        plans(load_settings("dev"), ["fast"], None, None)
    assert caught.value.hint == "Its tiers: database, streaming."


def test_the_figures_of_an_engine_fit_a_narrow_terminal() -> None:
    lines = shown([ACCEPTED, REFUSED], 60)
    assert ["Engine", "postgresql", "15.20", "postgresql"] in lines
    assert ["Verdict", "accepted", "not", "accepted"] in lines
    assert ["Acknowledged", "2036", "12"] in lines
    assert ["Commit", "p99.9", "574.56", "ms"] in lines
    assert ["WAL", "written", "1.4", "MB"] in lines


def test_each_engine_has_figures_of_its_own() -> None:
    kafka = {**ACCEPTED, "tier": "streaming", "engine": "kafka", "version": "4.4.0", "recordsPerSecond": 1417.2, "MBps": 0.56}
    lines = shown([ACCEPTED, {**kafka, "ackMs": {"p50": 9.1}, "failoverSeconds": 4.14, "recoverySeconds": 12.6}])
    assert ["Engine", "postgresql", "15.20", "kafka", "4.4.0"] in lines
    assert ["Records/s", "1417"] in lines
    assert ["Acknowledgement", "p50", "9.10", "ms"] in lines
    assert ["Another", "leader", "after", "4.1", "s"] in lines
    assert ["Transactions/s", "417"] in lines
    assert lines[-1] == ["Recovery", "2.6", "s", "12.6", "s"]


def test_a_figure_that_there_was_no_time_to_measure_is_a_dash() -> None:
    lines = shown([{**ACCEPTED, "transactionsPerSecond": None, "commitMs": None, "walBytes": None}])
    assert ["Transactions/s", "–"] in lines
    assert ["Commit", "p50", "–"] in lines
    assert ["WAL", "written", "–"] in lines
