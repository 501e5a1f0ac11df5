"""`python -m dev doctor`.

A command line of its own beside `dev.cli`, because loading that takes longer than the answer may.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import NoReturn

import click

from components.kube.labels import PROJECT
from dev import command_line
from dev.clone_cluster import OF_DEV_CLUSTERS, check_fits, cluster_for
from dev.doctor import looking, show
from dev.doctor.diagnosis import Diagnosis
from dev.doctor.question import end_what_was_asked
from dev.doctor.rows import diagnose
from devkube.cluster import Cluster
from devkube.errors import MachineError
from ops.command_line import stack_option, variable_of
from ops.console import console, errors
from ops.errors import UserError
from ops.paths import ROOT
from ops.stack_file import raw_config


@click.group(hidden=True)
def _alone() -> None:
    """The doctor's own command line."""


@_alone.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@stack_option
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
def doctor(stack: str, as_json: bool) -> None:
    """What this machine has for a dev stack, and what mends what it lacks.

    It changes and starts nothing, and takes less than 2 s. Exit status: 0 when nothing is in the
    way, 1 when something will fail.
    """
    path = ROOT / f"Pulumi.{stack}.yaml"
    if not path.exists():
        known = ", ".join(sorted(found.name.split(".")[1] for found in ROOT.glob("Pulumi.*.yaml")))
        raise UserError(f"stack {stack!r}: there is no {path.name} in the project folder.", f"Stacks there are: {known}.")
    try:
        rows = diagnose(looking.everything(f"make up{variable_of(stack)}", lambda: context_of(path), partial(_cluster_of, stack, path)))
    finally:
        end_what_was_asked()
    if as_json:
        print(show.as_json(rows))
    else:
        console.print(show.table(rows))
        console.print(show.summary(rows, f"make up{variable_of(stack)}"), markup=False)
    raise SystemExit(1 if any(row.fails for row in rows) else 0)


def _cluster_of(stack: str, path: Path, context: str) -> Cluster:
    """The stack's cluster. Raises MachineError where there can be none for it."""
    cluster = cluster_for(context)
    check_fits(cluster, stack, context, _config_of(path).get(f"{PROJECT}:provisioner", OF_DEV_CLUSTERS))
    return cluster


def _config_of(path: Path) -> dict[str, str]:
    try:
        return raw_config(path)
    except UserError as problem:
        raise MachineError(problem.message, problem.hint) from None


def context_of(path: Path) -> str:
    """The context that a stack's file names, read without the settings' models.

    Raises MachineError where it names none.
    """
    try:
        context = json.loads(_config_of(path)[f"{PROJECT}:cluster"])["context"]
    except (KeyError, TypeError, ValueError):
        context = None
    if not isinstance(context, str) or not context:
        raise MachineError(f"{path.name} names no context in storage-tiers:cluster.", "Name one, as Pulumi.dev.yaml does.")
    return context


def say_what_will_fail(stack: str, context: str, cluster: Cluster) -> None:
    """Before `make up` starts a cluster: a line for each row that will make it fail.

    Only said, not enforced: whatever fails then says more of it than can be seen before.
    """
    for row in will_fail(stack, context, cluster):
        errors.print("[red]✗[/] ", end="")
        errors.print(str(row), markup=False)


def will_fail(stack: str, context: str, cluster: Cluster) -> list[Diagnosis]:
    """The rows for it."""
    return [row for row in diagnose(looking.before_start(f"make up{variable_of(stack)}", context, cluster)) if row.fails]


def main() -> NoReturn:
    """Run the doctor's command line."""
    command_line.run(_alone, "python -m dev")
