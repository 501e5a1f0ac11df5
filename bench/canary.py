"""`python -m bench.canary`: the canary's writes against fio's, with the same pattern, in turn.

What is timed on both sides is write plus sync. The canary makes its payload and its hashes outside
of that. Of fio's report only the latencies of writes and syncs are used, not its run time. fio is
the system's, else Debian's, unpacked.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
from rich import box
from rich.table import Table

from components.canary import probe
from components.canary.profiles import DATABASE, PROFILES, STREAMING
from dev import command_line
from devkube.debian import unpack
from ops.console import console, step
from ops.errors import UserError


@dataclass(frozen=True)
class Pattern:
    """How fio writes what a profile's throughput is measured with.

    `syncs` is how many syncs count.
    """

    arguments: list[str]
    syncs: int


PATTERNS = {
    # 8 KiB at random into a preallocated file, each with fdatasync. fio syncs before the next
    # write, so the last has none.
    DATABASE.name: Pattern(
        ["--rw=randwrite", f"--bs={probe.PAGE}", f"--size={probe.PAGE * probe.PAGES}", "--fdatasync=1", "--fallocate=posix"],
        syncs=probe.PAGES,
    ),
    # Blocks of 1 MiB in sequence, and one sync at the end. The file grows, as a log segment does;
    # fio would reserve its room beforehand. The block after the last makes fio sync; it isn't
    # counted.
    STREAMING.name: Pattern(
        [
            *("--rw=write", "--fallocate=none", f"--bs={probe.BLOCK}"),
            *(f"--size={probe.BLOCK * (probe.BLOCKS + 1)}", f"--fdatasync={probe.BLOCKS}"),
        ],
        syncs=1,
    ),
}
PROCESSORS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
Figures = dict[str, float]  # MB/s, and milliseconds of a sync


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=40, show_default=True, help="Counted runs of each.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("/var/tmp"), show_default=True, help="Where both write.")
def main(runs: int, folder: Path) -> None:
    """The canary's write throughput and sync latency against fio's."""
    command, environment = fio()
    shown = Table("Profile", "Figure", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("canary", "fio", "ratio"):
        shown.add_column(title, justify="right")
    for profile in PATTERNS:
        pairs: list[tuple[Figures, Figures]] = []
        with step(f"{profile}: {runs} runs of each in turn") as progress:
            for turn in range(runs + 1):
                progress.detail = f"turn {turn}"
                sides: list[Callable[[Path], Figures]] = [
                    lambda where, profile=profile: canary_figures(where, profile),  # type: ignore[misc]
                    lambda where, profile=profile: fio_figures(where, profile, command, environment),  # type: ignore[misc]
                ]
                order = (0, 1) if turn % 2 else (1, 0)  # the second finds the disk as the first left it
                same_processor(turn // 2)
                got: dict[int, Figures] = {}
                for side in order:
                    with tempfile.TemporaryDirectory(dir=folder, prefix="storage-tiers-bench-") as where:
                        got[side] = sides[side](Path(where))
                if turn:  # the first warms up
                    pairs.append((got[0], got[1]))
        for figure in pairs[0][0]:
            ours, theirs = (statistics.median(pair[side][figure] for pair in pairs) for side in (0, 1))
            ratio = statistics.median(pair[0][figure] / pair[1][figure] for pair in pairs)
            shown.add_row(profile, figure, f"{ours:.3f}", f"{theirs:.3f}", f"{ratio:.3f}")
    console.print(shown)


def same_processor(turn: int) -> None:
    """Keep both sides of a turn to one processor, and each turn to the next one.

    The processor that serves the disk's interrupts is slower by half.
    """
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {PROCESSORS[turn % len(PROCESSORS)]})


def canary_figures(folder: Path, profile: str) -> Figures:
    """One run of the probe in a process of its own, as in its pod."""
    run = os.urandom(8).hex()
    command = [sys.executable, "-IB", probe.__file__, "write", f"--root={folder}", f"--run={run}", f"--profile={profile}", "--owner=bench"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (line.partition(" ") for line in done.stdout.splitlines())
    figures = next(json.loads(rest) for word, _, rest in lines if word == "figures")[PROFILES[profile].throughput]
    return {"MB/s": figures["MBps"], "sync p50 ms": figures["syncMs"]["p50"]}


def fio_figures(folder: Path, profile: str, command: list[str], environment: dict[str, str]) -> Figures:
    """One run of fio. MB are 10^6 bytes."""
    arguments = ["--name=bench", f"--directory={folder}", "--ioengine=psync", "--refill_buffers", "--randrepeat=0", "--output-format=json"]
    done = subprocess.run([*command, *arguments, *PATTERNS[profile].arguments], env=environment, capture_output=True, text=True, check=True)
    job = json.loads(done.stdout)["jobs"][0]
    write, sync = job["write"]["clat_ns"], job["sync"]["lat_ns"]
    written = PROFILES[profile].file_of(PROFILES[profile].throughput)
    assert written.size is not None, "a throughput is measured with a file of a fixed size"
    seconds = (write["mean"] * written.entries + sync["mean"] * PATTERNS[profile].syncs) / 1e9
    return {"MB/s": written.size / seconds / 1e6, "sync p50 ms": sync["percentile"]["50.000000"] / 1e6}


def fio() -> tuple[list[str], dict[str, str]]:
    """The command that starts fio, and its environment."""
    found = shutil.which("fio")
    if found:
        return [found], dict(os.environ)
    if not shutil.which("apt-cache"):
        raise UserError("fio is not on PATH, and there is no apt to get it from.", "Install fio, then run this again.")
    only = ["--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces", "--no-enhances"]
    listed = subprocess.run(["apt-cache", "depends", "--recurse", *only, "fio"], capture_output=True, text=True, check=False).stdout
    # Its libraries, but not what every system has, nor the languages of its other programs.
    names = {name for name in listed.splitlines() if name.startswith("lib")}
    needed = {name for name in names if not name.startswith(("libc6", "libpython", "libperl", "libpam")) and not name.endswith("-perl")}
    packages = unpack(["fio", *sorted(needed)])
    folders = sorted({str(path.parent) for path in packages.rglob("*.so.*")})
    return [str(packages / "usr/bin/fio")], {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(folders)}


if __name__ == "__main__":
    command_line.run(main, "python -m bench.canary")
