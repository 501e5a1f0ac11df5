"""`python -m ops accept`: a real engine on a claim of a tier, killed while it writes."""

from __future__ import annotations

import json
from typing import Any

import click
from rich import box
from rich.table import Table

from components.acceptance.acceptance import Acceptance
from components.acceptance.engines import ACCEPTANCES
from components.acceptance.of_settings import ENGINES
from components.acceptance.plan import AcceptancePlan
from components.canary.report import ProbeReport
from components.canary.words import NotProven, explanation, refused
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from ops.acceptance import plans
from ops.command_line import stack_option
from ops.console import console, errors, say
from ops.machine import Machine, pass_machine
from ops.settings import load_settings

NOT_ACCEPTED = 1  # exit status


@click.command()
@stack_option
@click.option("--tier", "tiers", multiple=True, help="Which tier; may be given several times. By default all that are made for the engine.")
@click.option("--engine", type=click.Choice(ENGINES), help="Which engine. By default the one that a tier is made for.")
@click.option("--seed", type=click.IntRange(min=0), help="Kill after as many seconds as the run that printed this number.")
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON, and progress to standard error.")
@pass_machine
def accept(machine: Machine, stack: str, tiers: tuple[str, ...], *, engine: str | None, seed: int | None, as_json: bool) -> None:
    """Run a real engine on a claim of each tier, kill it while it writes, and hold what it has kept
    against what it had acknowledged.

    The claims are its own, in the canary's namespace, and removed at the end. Exit status: 0 all
    that was acknowledged is there, 1 something isn't, or it could not be run.
    """
    chosen = plans(load_settings(stack), tiers, engine, seed)
    api = machine.cluster_for_engines(stack, quiet=as_json)
    verdicts = [_run(api, plan, as_json) for plan in chosen]
    if as_json:
        click.echo(json.dumps(verdicts, indent=2))
    elif any(each["verdict"] == "accepted" for each in verdicts):
        console.print(table(verdicts))
        for what in dict.fromkeys(line for each in verdicts for line in each.get("notShown", [])):
            say(f"Not shown: {what}.")
    if any(each["verdict"] != "accepted" for each in verdicts):
        raise SystemExit(NOT_ACCEPTED)


def _run(api: KubeApi, plan: AcceptancePlan, as_json: bool) -> dict[str, Any]:
    def progress(line: str) -> None:
        (errors if as_json else console).print(f"{plan.proof.tier}: {line}", markup=False)

    progress(f"{plan.engine} on {plan.proof.storage_class}, seed {plan.seed}")
    run = ACCEPTANCES[plan.engine](api, plan, progress)
    try:
        return run.accept()
    except NotProven as problem:
        return _not_accepted(run, plan, problem)
    except ApiError as problem:
        if problem.status is None:
            raise
        return _not_accepted(run, plan, refused(plan.proof.context, problem))


def _not_accepted(run: Acceptance, plan: AcceptancePlan, problem: NotProven) -> dict[str, Any]:
    """Say why, and give it as a verdict."""
    last = run.pods[-1] if run.pods else None
    said = explanation(plan.proof, problem, last.name if last else "", last.report if last else ProbeReport(), run.events, of="accepted")
    errors.print(said, markup=False)
    return {
        "verdict": "not-accepted",
        "reason": problem.sentence,
        "findings": [str(each) for each in getattr(problem, "findings", [])],
        "engine": plan.engine,
        "tier": plan.proof.tier,
        "storageClass": plan.proof.storage_class,
        "seed": plan.seed,
        "acknowledged": run.ledger.total,
    }


def table(verdicts: list[dict[str, Any]]) -> Table:
    """The figures as people know them, a column for each engine on a tier."""
    shown = Table("", *(each["tier"] for each in verdicts), box=box.SIMPLE_HEAD, pad_edge=False)
    columns = [_figures(each) for each in verdicts]
    names = dict.fromkeys(name for column in sorted(columns, key=len, reverse=True) for name in column if name != "Recovery")
    for name in [*names, "Recovery"]:
        shown.add_row(name, *(column.get(name, "") for column in columns))
    return shown


def _figures(verdict: dict[str, Any]) -> dict[str, str]:
    if verdict["verdict"] != "accepted":
        return {"Engine": verdict["engine"], "Verdict": "[red]not accepted[/]", "Acknowledged": str(verdict["acknowledged"])}
    return {
        "Engine": f"{verdict['engine']} {verdict['version'].split()[0]}",
        "Verdict": "[green]accepted[/]",
        "Acknowledged": str(verdict["acknowledged"]),
        "Lost": str(verdict["lost"]),
        **(_of_brokers(verdict) if verdict["engine"] == "kafka" else _of_a_database(verdict)),
        "Recovery": _figure(verdict["recoverySeconds"], " s", 1),
    }


def _of_a_database(verdict: dict[str, Any]) -> dict[str, str]:
    return {
        "Transactions/s": _figure(verdict["transactionsPerSecond"], ""),
        **_percentiles("Commit", verdict["commitMs"]),
        "WAL written": _figure(verdict["walBytes"] and verdict["walBytes"] / 1e6, " MB", 1),
    }


def _of_brokers(verdict: dict[str, Any]) -> dict[str, str]:
    return {
        "Records/s": _figure(verdict["recordsPerSecond"], ""),
        "In": _figure(verdict["MBps"], " MB/s", 2),
        **_percentiles("Acknowledgement", verdict["ackMs"]),
        "Another leader after": _figure(verdict["failoverSeconds"], " s", 1),
    }


def _percentiles(what: str, measured: dict[str, float] | None) -> dict[str, str]:
    names = (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999"))
    return {f"{what} {name}": _figure((measured or {}).get(key), " ms", 2) for name, key in names}


def _figure(number: float | None, unit: str, digits: int = 0) -> str:
    """A figure; one that there was no time to measure is a dash."""
    return "–" if number is None else f"{number:.{digits}f}{unit}"
