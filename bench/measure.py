"""Run one command and say what it cost: wall time, processor time and peak memory of its whole
process tree.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
from rich import box
from rich.table import Table

_SAMPLE = 0.1  # seconds between two looks at the tree's memory
_NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"


@dataclass(frozen=True)
class Cost:
    """What one run cost: seconds of wall and of processor time, and bytes of memory at the peak,
    over all its processes.
    """

    wall: float
    cpu: float
    memory: int


def run(command: Sequence[str], folder: Path, variables: Mapping[str, str], status: int = 0) -> Cost:
    """Run `command` and measure it.

    Raises RuntimeError with its output when it ends with another exit status: a failed run has no
    cost worth comparing.

    Memory is the sum of the proportional set sizes (shared pages are counted once) where the system
    has them, else of the resident set sizes, sampled every 100 ms.

    Python may write bytecode, even on a machine that tells it not to: a user's second run has it.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={name: value for name, value in variables.items() if name != _NO_BYTECODE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    peak, seconds, done = 0, {}, threading.Event()

    def sample() -> None:
        nonlocal peak
        while not done.wait(_SAMPLE):
            total = 0
            try:
                tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            except psutil.Error:
                continue
            for each in tree:
                try:
                    total += _memory(each)
                    used = each.cpu_times()
                    seconds[each.pid, each.create_time()] = used.user + used.system
                except psutil.Error:
                    continue
            peak = max(peak, total)

    watcher = threading.Thread(target=sample, daemon=True)
    watcher.start()
    output, _ = process.communicate()
    wall = time.perf_counter() - started
    done.set()
    watcher.join()
    if process.returncode != status:
        raise RuntimeError(f"{' '.join(command)}: exit status {process.returncode}\n{output}")
    return Cost(wall, sum(seconds.values()), peak)


def run_short(command: Sequence[str], folder: Path, variables: Mapping[str, str], status: int = 0) -> Cost:
    """The same for a run that is too short for samples of its processor time, and alone.

    That is the system's account of ended children then.
    """
    before = os.times()
    cost = run(command, folder, variables, status)
    after = os.times()
    return replace(cost, cpu=after.children_user + after.children_system - before.children_user - before.children_system)


def medians(costs: Sequence[Cost]) -> Cost:
    """The median of each figure by itself."""
    wall, cpu = (statistics.median(getattr(cost, figure) for cost in costs) for figure in ("wall", "cpu"))
    return Cost(wall, cpu, round(statistics.median(cost.memory for cost in costs)))


def table_of_medians(title: str, costs: Mapping[str, Sequence[Cost]], decimals: int) -> Table:
    """A row for each key, in a column of that `title`. `decimals` are those of the seconds."""
    shown = Table(title, box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("wall s", "CPU s", "peak MiB"):
        shown.add_column(column, justify="right")
    for name, runs in costs.items():
        median = medians(runs)
        shown.add_row(name, f"{median.wall:.{decimals}f}", f"{median.cpu:.{decimals}f}", f"{median.memory / 2**20:.0f}")
    return shown


def _memory(process: psutil.Process) -> int:
    if psutil.LINUX:
        return int(process.memory_full_info().pss)
    return int(process.memory_info().rss)
