"""What `pulumi up` runs for a tier that an engine accepts: its command line, its limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.acceptance import driver
from components.acceptance import plan as plans
from components.acceptance.engines import ACCEPTANCES
from components.acceptance.of_settings import ENGINES
from components.canary.limits import LIMITED_FIGURES, FigureLimit
from components.canary.words import NotProven, too_slow
from tests.unit.accepting_cluster import AcceptingCluster

ARGUMENTS = [
    "accept",
    "--context=ctx",
    "--namespace=data-canary",
    "--instance=dev",
    "--tier=database",
    "--profile=database",
    "--storage-class=database-local-path",
    "--engine=postgresql",
    "--image=postgres:17",
    "--client-image=python:3.13-slim",
    "--size=2147483648",
]
FIGURES: dict[str, Any] = {"transactionsPerSecond": 40.0, "commitMs": {"p50": 1.0, "p99": 20.5}, "recoverySeconds": 2.5}


@pytest.fixture(autouse=True)
def killed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "KILLED_AFTER", (0.2, 0.4))


def run(monkeypatch: pytest.MonkeyPatch, cluster: AcceptingCluster, *more: str) -> int:
    monkeypatch.setattr(driver, "open_api", lambda context: cluster)
    monkeypatch.setattr(driver, "raise_on_signals", lambda: None)
    return driver.main([*ARGUMENTS, *more])


def test_a_tier_that_is_accepted_is_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, AcceptingCluster(tmp_path / "volume"), "--limit=recoverySeconds=1") == 0
    said = capsys.readouterr()
    assert '"verdict":"accepted"' in said.out
    assert said.err.startswith("postgresql on database-local-path, seed ")


def test_a_tier_that_loses_data_fails_the_run_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, AcceptingCluster(tmp_path / "volume", lost=3)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "the engine did not keep what it acknowledged: acknowledged, and lost: " in said.err


def test_a_tier_that_is_too_slow_fails_the_run_with_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, AcceptingCluster(tmp_path / "volume"), "--limit=recoverySeconds=0.3") == 1
    said = capsys.readouterr().err
    assert "it keeps data, but recoverySeconds is 0.4, the limit is at most 0.3" in said
    assert "The limits are in canary.limits.database of the stack's settings." in said


def test_every_run_has_a_seed_of_its_own() -> None:
    assert driver.parse(ARGUMENTS).seed != driver.parse(ARGUMENTS).seed


def test_what_the_command_line_names_is_the_plan() -> None:
    plan = driver.parse([*ARGUMENTS, "--sizes-enforced", "--limit=commitP99Ms=20", '--pod={"runAsUser":1000}'])
    assert (plan.engine, plan.client_image, plan.proof.image, plan.proof.size) == ("postgresql", "python:3.13-slim", "postgres:17", 2**31)
    assert plan.proof.sizes_enforced
    assert plan.proof.pod == {"runAsUser": 1000}
    assert plan.limits == (FigureLimit(LIMITED_FIGURES["commitP99Ms"], 20),)
    assert "canary.engines.postgresql" in plan.proof.other_image


def test_there_is_an_acceptance_for_each_engine() -> None:
    assert tuple(ACCEPTANCES) == ENGINES


def broken(**limits: float) -> NotProven | None:
    return too_slow([FigureLimit.parse(f"{name}={number}") for name, number in limits.items()], FIGURES, "database")


def test_figures_of_an_engine_are_held_against_their_limits() -> None:
    assert broken(transactionsPerSecond=40, commitP99Ms=20.5, recoverySeconds=2.5) is None
    problem = broken(transactionsPerSecond=41, commitP99Ms=20)
    assert problem and problem.sentence == (
        "it keeps data, but transactionsPerSecond is 40, the limit is at least 41; commitP99Ms is 20.5, the limit is at most 20"
    )


def test_a_limit_of_another_engine_is_none_of_this_one() -> None:
    assert broken(recordsMBps=1000, ackP99Ms=0.001) is None


def test_a_figure_of_the_probe_that_is_not_there_breaks_its_limit() -> None:
    problem = too_slow([FigureLimit.parse("writeIOPS=500")], {"syncMs": {"p99": 1.0}}, "database")
    assert problem and "writeIOPS was not measured in time, the limit is at least 500" in problem.sentence


def test_a_figure_that_there_was_no_time_to_measure_breaks_its_limit() -> None:
    slow = {**FIGURES, "commitMs": None}
    problem = too_slow([FigureLimit.parse("commitP99Ms=20")], slow, "database")
    assert problem and "commitP99Ms was not measured in time, the limit is at most 20" in problem.sentence
