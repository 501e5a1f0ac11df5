"""`python -m bench.doctor`: how long `python -m dev doctor` takes here, the median of several runs.

Each is a process of its own, after one that warms up. What a cluster or a Docker engine takes to
answer is in it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import click

from bench.measure import medians, run_short
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
            costs.append(run_short(COMMAND, paths.ROOT, os.environ, status))
    median, longest = medians(costs), max(cost.wall for cost in costs)
    say(
        f"doctor: {median.wall:.2f} s, {median.cpu:.2f} s of processor time, {median.memory / 2**20:.0f} MiB at the peak; "
        f"the longest {longest:.2f} s"
    )


if __name__ == "__main__":
    main()
