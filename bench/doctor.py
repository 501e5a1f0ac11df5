"""`python -m bench.doctor`: how long `python -m dev doctor` takes here, the median of several runs.

Each is a process of its own, after one that warms up. What a cluster or a Docker engine takes to
answer is in it.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

import click

from bench.measure import run
from devkube import paths
from ops.console import say, step

COMMAND = [sys.executable, "-m", "dev", "doctor", "--json"]


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=7, show_default=True, help="Counted runs.")
def main(runs: int) -> None:
    """The doctor's answer: wall time, processor time and memory."""
    status = subprocess.run(COMMAND, cwd=paths.ROOT, stdout=subprocess.DEVNULL).returncode  # which it has on this machine
    costs = []
    with step(f"{runs} runs") as progress:
        for turn in range(runs):
            progress.detail = f"run {turn + 1}"
            before = os.times()
            cost = run(COMMAND, paths.ROOT, os.environ, status)
            after = os.times()
            # The system's account of ended children: a run is too short for samples.
            used = after.children_user + after.children_system - before.children_user - before.children_system
            costs.append((cost.wall, used, cost.memory / 2**20))
    wall, cpu, memory = (statistics.median(column) for column in zip(*costs, strict=True))
    say(f"doctor: {wall:.2f} s, {cpu:.2f} s of processor time, {memory:.0f} MiB at the peak; the longest {max(costs)[0]:.2f} s")


if __name__ == "__main__":
    main()
