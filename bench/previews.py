"""`python -m bench.previews`: the preview of every committed stack against that of a minimal program with the same objects, in turn.

Without a cluster, as in a review. Medians of both, and the median of the ratios pair by pair.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from bench.__main__ import STEPS, minimal, ours, table, variables
from bench.measure import Cost, run
from devkube.engine import ensure_engine
from ops.console import console, step
from ops.settings import load_settings
from review.preview import committed_stacks


@click.command()
@click.option("--brokers", type=click.IntRange(min=1), default=3, show_default=True, help="Kafka brokers.")
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Counted runs of each program and stack.")
def main(brokers: int, runs: int) -> None:
    """Every committed stack's preview against a minimal program's."""
    engine = ensure_engine()
    with tempfile.TemporaryDirectory() as folder:
        environment = variables(engine, str(Path(folder, "no-kubeconfig")))
        costs: dict[str, list[dict[str, dict[str, Cost]]]] = {}
        for stack in committed_stacks():
            made = [Path(tempfile.mkdtemp(dir=folder)) for _ in range(2)]
            programs = {
                "ours": ours(made[0], environment, brokers, stack=stack),
                "minimal": minimal(made[1], environment, brokers, provisioner=load_settings(stack).provisioner.name),
            }
            turns = []
            for turn in range(runs + 1):
                with step(f"{stack}, turn {turn} of {runs}"):
                    command = ["pulumi", *STEPS["preview"], "--non-interactive"]
                    turns.append({name: {"preview": run(command, each.folder, each.variables)} for name, each in programs.items()})
            costs[stack] = turns[1:]  # the first warms up
    console.print(table(costs, "Stack"))


if __name__ == "__main__":
    main()
