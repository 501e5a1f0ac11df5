"""`python -m bench.move`: what `ops move` takes, in turn with `tar | tar` and with
`rsync -aHAXS`, then `rsync -aHAXSc`.

All three go the same way: from a pod that mounts the source, by the cluster's exec to this machine,
and by exec to a pod that mounts the target. The pods are alike, those of a move. tar and rsync are
Debian's, in the image of these pods. kubectl carries their streams, each into the other's pipe; of
a move that is the command itself. So at the ends as on the way each side uses what it has.

What is timed of tar and rsync is from the start of kubectl to its end: their pods run already. Of
a move it is what its verdict says of copy and proof, and the command from start to end, which also
makes its pods and mounts the target twice. tar proves nothing. rsync's second run reads both sides
from the same pods, where the kernel still has what was written. Only a move waits for the disk.

MB are 10^6 bytes, of all volumes together. Several volumes are copied side by side.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
from rich import box
from rich.table import Table

from bench.two_stacks import SERVICE, Stacks, fill, up
from dev import command_line
from ops.console import console, say, step

RSYNC = Path(__file__).with_name("rsync_by_exec.sh")
FLAGS = "-aHAXS"
CUTS = 5  # so often a stream of kubectl's may end early
Seconds = dict[str, float]


class CutError(Exception):
    """A copy by kubectl failed: that took no time worth comparing."""


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Counted runs of each.")
@click.option("--megabytes", type=click.IntRange(min=20), default=320, show_default=True, help="In each volume.")
@click.option("--volumes", multiple=True, type=click.IntRange(min=1, max=8), default=(1, 3), show_default=True, help="Side by side.")
def main(runs: int, megabytes: int, volumes: tuple[int, ...]) -> None:
    """A move's throughput against tar's and rsync's."""
    with tempfile.TemporaryDirectory() as folder, up(Path(folder), max(volumes)) as stacks:
        for ordinal in range(max(volumes)):
            fill(stacks.folder("dev", ordinal), megabytes * 10**6, random.Random(ordinal))
        for count in volumes:
            with step(f"{'One volume' if count == 1 else f'{count} volumes'}: {runs} runs of each in turn") as progress:
                turns = []
                for turn in range(runs + 1):
                    progress.detail = f"turn {turn}"
                    turns.append(one_turn(stacks, count, turn))
            console.print(table(count, turns[1:], megabytes * count))  # the first warms up


def table(count: int, turns: Sequence[Seconds], megabytes: int) -> Table:
    """Each figure's median, and the medians of its ratios to what it is measured by."""
    shown = Table("Volumes", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("seconds", "MB/s", "of tar", "of rsync with -c"):
        shown.add_column(title, justify="right")
    for name in turns[0]:
        seconds = statistics.median(turn[name] for turn in turns)
        against = (statistics.median(turn[other] / turn[name] for turn in turns) for other in ("tar | tar", "rsync, rsync -c"))
        shown.add_row(str(count), name, f"{seconds:.1f}", f"{megabytes / seconds:.0f}", *(f"{ratio:.2f}" for ratio in against))
    return shown


def one_turn(stacks: Stacks, count: int, turn: int) -> Seconds:
    """Each of the three once; each turn begins with another one."""
    ways: list[Callable[[Stacks, int], Seconds]] = [moved, tarred, rsynced]
    found: Seconds = {}
    for way in [*ways[turn % 3 :], *ways[: turn % 3]]:
        found |= once(way, stacks, count)
    return {name: found[name] for name in sorted(found)}


def once(way: Callable[[Stacks, int], Seconds], stacks: Stacks, count: int) -> Seconds:
    """One way to an empty target; anew where kubectl has cut it, which is said."""
    for _ in range(CUTS):
        stacks.empty_target(count)
        try:
            return way(stacks, count)
        except CutError as problem:
            say(f"cut, and done again: {problem}")
    raise RuntimeError(f"{way.__name__}: cut {CUTS} times")


def moved(stacks: Stacks, count: int) -> Seconds:
    """The command itself."""
    chosen = ["--ordinal", "0"] if count == 1 else []
    began = time.monotonic()
    done = stacks.program.ops("move", "--from", "dev", "--to", "aws", "--service", SERVICE, *chosen, "--parallel", str(count), "--json")
    whole = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(f"ops move: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    verdicts = json.loads(done.stdout)[:count]
    copied = max(each["copySeconds"] for each in verdicts)
    return {
        "move: copy": copied,
        "move: copy and proof": max(each["copySeconds"] + each["proofSeconds"] for each in verdicts),
        "move: the command": whole,
    }


def tarred(stacks: Stacks, count: int) -> Seconds:
    """tar into tar."""
    with stacks.pods(count) as ways:
        return {"tar | tar": timed(tar, ways)}


def rsynced(stacks: Stacks, count: int) -> Seconds:
    """rsync, and again with checksums of both sides."""
    with stacks.pods(count) as ways:
        first = timed(lambda source, target: rsync(source, target, FLAGS), ways)
        return {"rsync": first, "rsync, rsync -c": first + timed(lambda source, target: rsync(source, target, f"{FLAGS}c"), ways)}


def timed(copy: Callable[[list[str], list[str]], None], ways: Sequence[tuple[list[str], list[str]]]) -> float:
    """The seconds until all volumes are copied, side by side."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(ways)) as pool:
        list(pool.map(lambda way: copy(*way), ways))
    return time.monotonic() - began


def tar(source: list[str], target: list[str]) -> None:
    """One volume by tar.

    The sender's stream ends once the receiver has all: kubectl exec loses the last of what a
    program has said that ends, and still has exit status 0 (with three side by side nearly always).
    """
    sending = [*source, "/bin/dash", "-c", "/bin/tar -C /volume -cf - . && /bin/cat"]
    sender = subprocess.Popen(sending, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    receiver = subprocess.Popen([*target, "/bin/tar", "-C", "/volume", "--numeric-owner", "-xpf", "-"], stdin=sender.stdout)
    assert sender.stdin
    assert sender.stdout
    sender.stdout.close()  # the receiver's now
    received = receiver.wait()
    sender.stdin.close()
    check(sender.wait(), received)


def rsync(source: list[str], target: list[str], flags: str) -> None:
    """One volume by rsync: the client at the source, which says what the server is called with."""
    to_client, of_server = os.pipe()
    command = [*source, "/bin/dash", "-c", RSYNC.read_text(encoding="utf-8"), "rsync", flags]
    client = subprocess.Popen(command, stdin=to_client, stdout=subprocess.PIPE)
    assert client.stdout
    line = b""
    while not line.endswith(b"\n"):  # not a byte more: the rest is the server's
        read = os.read(client.stdout.fileno(), 1)
        if not read:
            raise CutError(f"rsync began with {line!r}")
        line += read
    server = subprocess.Popen([*target, *(f"/usr/bin/{line.decode().strip()}").split()], stdin=client.stdout, stdout=of_server)
    for each in (to_client, of_server):
        os.close(each)
    client.stdout.close()  # the server's now
    check(client.wait(), server.wait())


def check(source: int, target: int) -> None:
    """Raise CutError where an exit status isn't 0."""
    if source or target:
        raise CutError(f"exit status {source} at the source, {target} at the target")


if __name__ == "__main__":
    command_line.run(main, "python -m bench.move")
