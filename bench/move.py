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
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml
from rich import box
from rich.table import Table

from bench.__main__ import variables
from components.kube.api import KubeApi
from components.settings import Settings, load
from dev import command_line
from devkube import paths
from devkube.cluster import EmbeddedCluster
from devkube.engine import ensure_engine
from devkube.images import build_image, reference
from devkube.toolchain.build import build
from ops.console import console, step
from ops.kube import open_api
from ops.move.pods import MovePod, claim_path
from ops.stack_file import raw_config
from tests.program import Program

CONTEXT = "storage-tiers-bench-move"
SERVICE = "postgres"
IMAGE = "copying"
LARGE, SMALL = 8 * 2**20, 16 * 2**10  # bytes of a file
SMALL_FILES = 500
RSYNC = Path(__file__).with_name("rsync_by_exec.sh")
FLAGS = "-aHAXS"
Seconds = dict[str, float]


@dataclass
class Stacks:
    """Two stacks that are up in one cluster, with as many bound claims each."""

    program: Program
    api: KubeApi
    kubectl: list[str]
    settings: dict[str, Settings]

    def claim(self, stack: str, ordinal: int) -> dict[str, Any]:
        """A claim, as the API has it."""
        return self.api.get(claim_path(self.settings[stack].namespace.name, f"data-{SERVICE}-{ordinal}"))

    def folder(self, stack: str, ordinal: int) -> Path:
        """Where its volume is on this machine."""
        volume = self.api.get(f"/api/v1/persistentvolumes/{self.claim(stack, ordinal)['spec']['volumeName']}")
        return Path((volume["spec"].get("local") or volume["spec"]["hostPath"])["path"])

    @contextmanager
    def pods(self, count: int) -> Iterator[list[tuple[list[str], list[str]]]]:
        """For each volume the commands that run something beside the source and the target."""
        made: list[MovePod] = []
        try:
            for ordinal in range(count):
                for stack in self.settings:
                    role, claim = f"bench-{stack}", self.claim(stack, ordinal)
                    made.append(MovePod.start(self.api, self.settings[stack], str(ordinal), role, claim, writes=stack == "aws"))
            ways = [[*self.kubectl, "exec", "-i", "-n", each.pod.namespace, each.pod.name, "--"] for each in made]
            yield list(zip(ways[::2], ways[1::2], strict=True))
        finally:
            for each in made:
                each.remove()

    def empty_target(self, count: int) -> None:
        """Remove what was copied, and let the disk be done with it."""
        state = Path(self.program.variables["XDG_STATE_HOME"])
        for folder in [state, *(self.folder("aws", ordinal) for ordinal in range(count))]:
            subprocess.run(["find", folder, "-mindepth", "1", "-delete"], check=True)
        os.sync()


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=5, show_default=True, help="Counted runs of each.")
@click.option("--megabytes", type=click.IntRange(min=20), default=320, show_default=True, help="In each volume.")
@click.option("--volumes", multiple=True, type=click.IntRange(min=1, max=8), default=(1, 3), show_default=True, help="Side by side.")
def main(runs: int, megabytes: int, volumes: tuple[int, ...]) -> None:
    """A move's throughput against tar's and rsync's."""
    shown = Table("Volumes", "", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("seconds", "MB/s", "of tar", "of rsync with -c"):
        shown.add_column(title, justify="right")
    with tempfile.TemporaryDirectory() as folder, up(Path(folder), max(volumes)) as stacks:
        for ordinal in range(max(volumes)):
            fill(stacks.folder("dev", ordinal), megabytes * 10**6, random.Random(ordinal))
        for count in volumes:
            with step(f"{count} volumes: {runs} runs of each in turn") as progress:
                turns = []
                for turn in range(runs + 1):
                    progress.detail = f"turn {turn}"
                    turns.append(one_turn(stacks, count, turn))
            rows(shown, count, turns[1:], megabytes * count)  # the first warms up
    console.print(shown)


def rows(shown: Table, count: int, turns: Sequence[Seconds], megabytes: int) -> None:
    """Each figure's median, and the medians of its ratios to what it is measured by."""
    for name in turns[0]:
        seconds = statistics.median(turn[name] for turn in turns)
        against = (statistics.median(turn[other] / turn[name] for turn in turns) for other in ("tar | tar", "rsync, rsync -c"))
        shown.add_row(str(count), name, f"{seconds:.1f}", f"{megabytes / seconds:.0f}", *(f"{ratio:.2f}" for ratio in against))
    shown.add_section()


def one_turn(stacks: Stacks, count: int, turn: int) -> Seconds:
    """Each of the three once; each turn begins with another one."""
    ways: list[Callable[[Stacks, int], Seconds]] = [moved, tarred, rsynced]
    found: Seconds = {}
    for way in [*ways[turn % 3 :], *ways[: turn % 3]]:
        stacks.empty_target(count)
        found |= way(stacks, count)
    return {name: found[name] for name in sorted(found)}


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
    """One volume by tar."""
    sender = subprocess.Popen([*source, "/bin/tar", "-C", "/volume", "-cf", "-", "."], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    receiver = subprocess.Popen([*target, "/bin/tar", "-C", "/volume", "--numeric-owner", "-xpf", "-"], stdin=sender.stdout)
    ended(sender, receiver)


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
            raise RuntimeError(f"rsync began with {line!r}")
        line += read
    server = subprocess.Popen([*target, *(f"/usr/bin/{line.decode().strip()}").split()], stdin=client.stdout, stdout=of_server)
    for each in (to_client, of_server):
        os.close(each)
    ended(client, server)


def ended(sender: subprocess.Popen[bytes], receiver: subprocess.Popen[bytes]) -> None:
    """Wait for both. Raises RuntimeError where one fails: that took no time worth comparing."""
    assert sender.stdout
    sender.stdout.close()  # the receiver's now
    for each in (sender, receiver):
        if each.wait():
            raise RuntimeError(f"exit status {each.returncode}: {each.args!r}")


def fill(folder: Path, size: int, chance: random.Random) -> None:
    """Large files and small ones, of nothing that can be compressed."""
    for number in range(SMALL_FILES):
        (folder / f"small-{number}").write_bytes(chance.randbytes(SMALL))
    left = size - SMALL_FILES * SMALL
    for number in range((left + LARGE - 1) // LARGE):
        (folder / f"large-{number}").write_bytes(chance.randbytes(min(LARGE, left - number * LARGE)))
    os.sync()


@contextmanager
def up(folder: Path, volumes: int) -> Iterator[Stacks]:
    """Both stacks in a cluster of their own, which is deleted afterwards."""
    kubeconfig = folder / "kubeconfig"
    cluster = EmbeddedCluster(f"bench-move-{paths.clone_identity()}", CONTEXT, kubeconfig)
    cluster.delete()
    try:
        cluster.start()
        for image in ("busybox", IMAGE):
            cluster.load_image(build_image(image))
        state = folder / "moves"
        state.mkdir()
        environment = {**variables(ensure_engine(), str(kubeconfig)), "XDG_STATE_HOME": str(state)}
        (folder / "program").mkdir()
        first = Program.copy(paths.ROOT, folder / "program", environment, "dev")
        service = {SERVICE: {"tier": "database", "size": "4Gi", "replicas": volumes}}
        canary = {"enabled": False, "image": reference(IMAGE)}
        first.configure(cluster={"context": CONTEXT, "identifier": CONTEXT}, canary=canary, services=service)
        second = Program(first.folder, first.variables, "aws")
        document = yaml.safe_load(first.stack_file.read_text())
        document["config"]["storage-tiers:namespace"] = {"name": "other"}
        document["config"]["storage-tiers:tiers"] = {"other": {"kind": "database"}}
        document["config"]["storage-tiers:services"] = {SERVICE: {**service[SERVICE], "tier": "other"}}
        second.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))
        second.pulumi("stack", "init", "aws")
        api = open_api(CONTEXT, str(kubeconfig))
        settings = {}
        for each in (first, second):
            each.up("--stack", each.stack)
            settings[each.stack] = load(raw_config(each.stack_file), each.stack)
            name = settings[each.stack].namespace.name
            api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})
        kubectl = [str(build("node") / "kubectl"), f"--kubeconfig={kubeconfig}", f"--context={CONTEXT}"]
        made = Stacks(first, api, kubectl, settings)
        with made.pods(volumes):  # for which their volumes are made
            pass
        yield made
    finally:
        cluster.delete()


if __name__ == "__main__":
    command_line.run(main, "python -m bench.move")
