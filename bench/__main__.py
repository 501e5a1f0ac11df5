"""`python -m bench`: this program against a minimal hand-written one with the same Kubernetes
objects, in turn.

The two take turns (A B A B …) on the same throw-away cluster, so that a machine whose speed drifts
slows both; what is quoted is the median of each and the median of the ratios pair by pair.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import yaml
from rich import box
from rich.table import Table

from bench.measure import Cost, run
from dev import command_line
from devkube import paths
from devkube.cluster import Access, choose
from devkube.engine import Engine, ensure_engine
from ops.console import console, step
from ops.engine_calls import past_proxies
from tests.program import Program

STEPS = {
    "preview": ["preview"],
    "first up": ["up", "--yes", "--skip-preview"],
    "no-change up": ["up", "--yes", "--skip-preview", "--expect-no-changes"],
    "destroy": ["destroy", "--yes", "--skip-preview"],
}
CONTEXT = "storage-tiers-bench"
FIGURES = {"wall": ("wall s", 1.0), "cpu": ("CPU s", 1.0), "memory": ("peak MiB", 2.0**20)}


@click.command()
@click.option("--brokers", multiple=True, type=click.IntRange(min=1), default=(3, 30, 300), show_default=True, help="Kafka brokers.")
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Counted runs of each program and size.")
@click.option("--json", "as_json", is_flag=True, help="Print every single figure as JSON instead of the table.")
def main(brokers: tuple[int, ...], runs: int, as_json: bool) -> None:
    """This program against a minimal one: preview, first up, no-change up, destroy."""
    console.stderr = as_json  # progress is no part of the JSON
    engine = ensure_engine()
    with tempfile.TemporaryDirectory() as folder:
        cluster = choose(CONTEXT, f"bench-{paths.clone_identity()}", Path(folder, "kubeconfig"))
        cluster.delete()
        try:
            access = cluster.start()
            costs = {count: list(turns(Path(folder), engine, access, count, runs)) for count in brokers}
        finally:
            cluster.delete()
    if as_json:
        print(
            json.dumps(
                {
                    count: [{n: {s: asdict(c) for s, c in t.items()} for n, t in turn.items()} for turn in all_]
                    for count, all_ in costs.items()
                }
            )
        )
    else:
        console.print(table(costs))


def turns(folder: Path, engine: Engine, access: Access, brokers: int, runs: int) -> Iterator[dict[str, dict[str, Cost]]]:
    """One warm-up turn, then `runs` counted ones.

    A turn is every step of the one program, then of the other.
    """
    for turn in range(runs + 1):
        costs: dict[str, dict[str, Cost]] = {}
        for name in ("ours", "minimal"):
            with step(f"{brokers} brokers, turn {turn} of {runs}, {name}") as shown:
                made = Path(tempfile.mkdtemp(dir=folder))
                environment = variables(engine, str(access.kubeconfig))
                program = (
                    ours(made, environment, brokers, context=access.context) if name == "ours" else minimal(made, environment, brokers)
                )
                costs[name] = {}
                for title, arguments in STEPS.items():
                    shown.detail = title
                    costs[name][title] = run(["pulumi", *arguments, "--non-interactive"], program.folder, program.variables)
        if turn:
            yield costs


def ours(folder: Path, environment: dict[str, str], brokers: int, *, context: str = CONTEXT, stack: str = "dev") -> Program:
    """This project's program, with this many Kafka brokers, and without the proof of its tiers,
    which the counterpart doesn't have.
    """
    program = Program.copy(paths.ROOT, folder, environment, stack)
    settings = yaml.safe_load(program.stack_file.read_text())["config"]
    services = settings["storage-tiers:services"]
    program.configure(
        cluster={"context": context, "identifier": context},
        canary={"enabled": False},
        services={**services, "kafka": {**services["kafka"], "replicas": brokers}},
    )
    return program


def minimal(folder: Path, environment: dict[str, str], brokers: int, *, context: str = CONTEXT, provisioner: str = "local-path") -> Program:
    """The hand-written counterpart, with this many Kafka brokers."""
    program = Program.copy(Path(__file__).parent / "minimal", folder, environment, "dev")
    (folder / "components").mkdir()
    for name in ("__init__.py", "fast_import.py"):  # what both need for their imports
        shutil.copy(paths.ROOT / "components" / name, folder / "components" / name)
    for key, value in {"context": context, "brokers": str(brokers), "provisioner": provisioner}.items():
        program.pulumi("config", "set", key, value)
    return program


def variables(engine: Engine, kubeconfig: str) -> dict[str, str]:
    """The environment of both programs."""
    return past_proxies({**engine.clean_environment(), "KUBECONFIG": kubeconfig})


def table(costs: Mapping[Any, Sequence[dict[str, dict[str, Cost]]]], what: str = "Brokers") -> Table:
    """Medians of both programs, and the median ratio, for every size (or stack: `what` is its
    title), step and figure.
    """
    shown = Table(what, "Step", "Figure", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("ours", "minimal", "ratio"):
        shown.add_column(title, justify="right")
    for count, all_turns in costs.items():
        for title in all_turns[0]["ours"]:
            for figure, (name, unit) in FIGURES.items():
                pairs = [
                    (getattr(turn["ours"][title], figure) / unit, getattr(turn["minimal"][title], figure) / unit) for turn in all_turns
                ]
                ours_median, minimal_median = (statistics.median(column) for column in zip(*pairs, strict=True))
                ratio = statistics.median(mine / other for mine, other in pairs)
                shown.add_row(str(count), title, name, f"{ours_median:.2f}", f"{minimal_median:.2f}", f"{ratio:.2f}")
        shown.add_section()
    return shown


if __name__ == "__main__":
    command_line.run(main, "python -m bench")
