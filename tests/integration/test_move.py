"""`python -m ops move` on the throw-away cluster: from the dev stack to another stack with another
class and namespace, and what keeps it from being done, cuts it or falsifies it.
"""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import Access, EmbeddedCluster
from tests.conftest import eventually
from tests.faults.move_tree import show
from tests.integration.consumer_pods import ConsumerPods
from tests.program import Program

pytestmark = pytest.mark.cluster

MIB = 2**20
CLAIM = "data-postgres-0"
SOURCE, TARGET = "data", "other"
ARGUMENTS = ("move", "--from", "dev", "--to", "aws", "--service", "postgres")
LEVEL = "pod-security.kubernetes.io/enforce"
OURS = "app.kubernetes.io/managed-by=storage-tiers-move"


@dataclass
class Stacks:
    """Two stacks that are up, with one claim each that is bound, and its directory here."""

    program: Program
    core: client.CoreV1Api
    busybox: str
    source: Path
    target: Path

    def move(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.program.ops(*ARGUMENTS, *arguments)

    def shell(self, line: str) -> str:
        """A line of a page, which has to end well."""
        variables = {**self.program.variables, "PATH": f"{paths.SCRIPTS}{os.pathsep}{self.program.variables['PATH']}"}
        done = subprocess.run(["bash", "-c", line], cwd=self.program.folder, env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, running, with its progress as JSON lines on stderr."""
        return subprocess.Popen(
            [str(paths.SCRIPTS / "python"), "-m", "ops", *ARGUMENTS, "--json", *arguments],
            cwd=self.program.folder,
            env=self.program.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def pods(self) -> list[Any]:
        found: list[Any] = self.core.list_pod_for_all_namespaces(label_selector=OURS).items
        return found

    def users(self, namespace: str) -> ConsumerPods:
        return ConsumerPods(self.core, self.busybox, namespace)


@pytest.fixture(scope="module")
def two_stacks(
    *,
    program_factory: Callable[..., Program],
    embedded: EmbeddedCluster,  # the volumes' directories are this machine's
    access: Access,
    core: client.CoreV1Api,
    busybox: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stacks]:
    first = program_factory(access=access)
    services = {"postgres": {"tier": "database", "size": "1Gi"}}
    first.configure(cluster={"context": access.context, "identifier": access.context}, canary=canary(first), services=services)
    variables = {**first.variables, "XDG_STATE_HOME": str(tmp_path_factory.mktemp("state"))}
    first = Program(first.folder, variables, "dev")
    second = Program(first.folder, variables, "aws")
    document = yaml.safe_load(first.stack_file.read_text())
    config = document["config"]
    config["storage-tiers:namespace"] = {"name": TARGET}
    config["storage-tiers:tiers"] = {"other": {"kind": "database"}}
    config["storage-tiers:services"] = {"postgres": {"tier": "other", "size": "2Gi"}}
    second.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))
    second.pulumi("stack", "init", "aws")
    for each in (first, second):
        each.up("--stack", each.stack)
    try:
        for namespace in (SOURCE, TARGET):
            core.patch_namespace(namespace, {"metadata": {"labels": {LEVEL: "baseline"}}})  # all that a move takes
            users = ConsumerPods(core, busybox, namespace)
            users.start([CLAIM])
            users.stop()
        yield Stacks(first, core, busybox, directory_of(core, SOURCE), directory_of(core, TARGET))
    finally:
        for each in (second, first):
            each.pulumi("destroy", "--yes", "--skip-preview", "--stack", each.stack)
        for volume in core.list_persistent_volume().items:
            core.patch_persistent_volume(volume.metadata.name, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        eventually(lambda: not core.list_persistent_volume().items, "the volumes are gone")


def canary(program: Program) -> dict[str, Any]:
    found = yaml.safe_load(program.stack_file.read_text())["config"]["storage-tiers:canary"]
    return {**found, "enabled": False}


def directory_of(core: client.CoreV1Api, namespace: str) -> Path:
    volume = core.read_persistent_volume(core.read_namespaced_persistent_volume_claim(CLAIM, namespace).spec.volume_name)
    return Path((volume.spec.local or volume.spec.host_path).path)


@pytest.fixture
def stacks(two_stacks: Stacks, request: pytest.FixtureRequest) -> Iterator[Stacks]:
    """With a source full of everything, an empty target, and no move that is known."""
    clear(two_stacks.source)
    clear(two_stacks.target)
    state = Path(two_stacks.program.variables["XDG_STATE_HOME"])
    clear(state)
    fill(two_stacks.source, random.Random(request.node.name))
    yield two_stacks
    eventually(lambda: not two_stacks.pods(), "no pod of a move is left", 60)
    maps = two_stacks.core.list_config_map_for_all_namespaces(label_selector=OURS).items
    assert not [each.metadata.name for each in maps]


def clear(folder: Path) -> None:
    subprocess.run(["find", str(folder), "-mindepth", "1", "-delete"], check=True)


def fill(folder: Path, chance: random.Random) -> None:
    """Every kind of thing, with owners, modes and times of its own."""
    pgdata = folder / "pgdata"
    (pgdata / "base/1").mkdir(parents=True)
    for number in range(200):
        (pgdata / "base/1" / str(number)).write_bytes(chance.randbytes(chance.randrange(20_000)))
    for number in range(6):
        (pgdata / f"large-{number}").write_bytes(chance.randbytes(12 * MIB))
    with (pgdata / "sparse").open("wb") as sparse:
        sparse.seek(1024 * MIB)
        sparse.write(b"end")
    os.link(pgdata / "large-0", pgdata / "base/linked")
    (pgdata / "loop").symlink_to("loop")
    (pgdata / "odd\nname ü").write_text("x")
    (pgdata / b"not-\xff-utf8".decode(errors="surrogateescape")).write_text("y")
    os.setxattr(pgdata / "large-1", "user.note", b"kept")
    os.mkfifo(pgdata / "fifo", 0o640)
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(pgdata)  # its path may be too long for a socket's
    listening.bind("socket")
    os.chdir(here)
    listening.close()
    (pgdata / "large-2").chmod(0o2751)
    for path in sorted(folder.rglob("*"), reverse=True):
        os.chown(path, 999, 998, follow_symlinks=False)
        os.utime(path, ns=(1, chance.randrange(10**18)), follow_symlinks=False)
    (pgdata / "large-2").chmod(0o2751)
    pgdata.chmod(0o700)


def phases(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stderr
    for line in process.stderr:
        if line.startswith("{"):
            yield json.loads(line)


def wait_for_phase(process: subprocess.Popen[str], wanted: str) -> None:
    assert any(each["phase"] == wanted for each in phases(process)), f"it comes to {wanted}"


def test_the_walk_that_the_page_shows(stacks: Stacks) -> None:
    """Planned, moved, verified with the commands of docs/migrate.md; a flipped bit is named."""
    before = show(stacks.source)
    page = (paths.ROOT / "docs/migrate.md").read_text(encoding="utf-8")
    plan, move, verify = re.findall(r"^ *\$ (python -m ops move --from dev --to aws(?!.*--live).*)$", page, re.MULTILINE)
    assert "Nothing was moved." in stacks.shell(plan)
    assert list(stacks.target.iterdir()) == []
    said = stacks.shell(move)
    assert "proven" in said
    assert f"-n {TARGET} scale statefulset postgres --replicas=1" in said
    assert show(stacks.target) == before == show(stacks.source)
    assert (stacks.target / "pgdata/sparse").stat().st_blocks * 512 < 100 * MIB, "holes are kept"
    again = stacks.move("--json")
    assert again.returncode == 0, again.stderr
    verdict = json.loads(again.stdout)[0]
    assert (verdict["verdict"], verdict["done"]) == ("proven", "before")
    assert "Everything is as it was moved." in stacks.shell(verify)
    flip(stacks.target / "pgdata/large-3", 7 * MIB)
    done = stacks.move("--verify")
    assert done.returncode == 1
    assert "is no longer what was moved" in done.stderr
    assert "pgdata/large-3: its contents are others" in done.stderr


def flip(path: Path, offset: int) -> None:
    """A bit that nobody has asked for, and no other sign of it."""
    seen = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def test_what_keeps_a_move_from_beginning(stacks: Stacks) -> None:
    users = stacks.users(SOURCE)
    users.start([CLAIM])
    try:
        done = stacks.move()
    finally:
        users.stop()
    assert done.returncode == 1
    assert "claim data-postgres-0 of stack dev is used by pod postgres-0. Stop it first: `kubectl " in done.stderr
    (stacks.target / "stranger").write_text("mine")
    done = stacks.move()
    assert done.returncode == 1
    assert "isn't empty" in done.stderr
    assert (stacks.target / "stranger").read_text() == "mine"
    (stacks.target / "stranger").unlink()
    stacks.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "restricted"}}})
    done = stacks.move()
    stacks.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "baseline"}}})
    assert done.returncode == 1
    assert f"label namespace {TARGET} {LEVEL}=baseline --overwrite" in done.stderr
    assert list(stacks.target.iterdir()) == []


SEEDS = [("driver", 1), ("target", 3)]
MORE = [(who, seed) for who in ("driver", "source", "target", "read-back") for seed in range(10, 18)]


@pytest.mark.parametrize(("who", "seed"), [*SEEDS, *(pytest.param(*each, marks=pytest.mark.soak) for each in MORE)])
def test_a_move_that_is_killed_goes_on_and_ends_equal(stacks: Stacks, who: str, seed: int) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "reading back" if who == "read-back" else "copying")
        time.sleep(random.Random(seed).uniform(0, 2))
        if who == "driver":
            process.kill()
        else:
            for pod in stacks.pods():
                if pod.metadata.name.endswith(f"-{who}"):
                    stacks.core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)
        said = process.communicate(timeout=120)
    finally:
        process.kill()
    if who != "driver" and process.returncode:
        reason = json.loads(said[0])[0]["reason"]
        assert f"-{who} " in f"{reason} " or "goes on where this stopped" in said[1], said
    done = stacks.move()
    assert done.returncode == 0, done.stdout + done.stderr
    assert show(stacks.target) == show(stacks.source)


def test_ctrl_c_removes_what_was_made_and_the_move_goes_on(stacks: Stacks) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "copying")
        os.killpg(process.pid, 2)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert "Traceback" not in said
    eventually(lambda: not stacks.pods(), "its pods are gone", 30)
    assert stacks.move().returncode == 0
    assert show(stacks.target) == show(stacks.source)


def test_a_source_that_changes_is_named(stacks: Stacks) -> None:
    process = stacks.begin()
    try:
        wait_for_phase(process, "copying")
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            with (stacks.source / "pgdata/large-5").open("ab") as file:
                file.write(b"x")
            time.sleep(0.05)
        stdout, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, stdout
    assert "pgdata/large-5" in said


@pytest.mark.soak
def test_to_a_folder_and_back(stacks: Stacks, tmp_path: Path) -> None:
    before = show(stacks.source)
    backup = tmp_path / "backup"
    service = ("--service", "postgres")
    done = stacks.program.ops("move", "--from", "dev", "--to-folder", str(backup), *service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert show(backup / CLAIM) == before
    assert (backup / f"{CLAIM}.manifest.jsonl").exists()
    done = stacks.program.ops("move", "--from-folder", str(backup), "--to", "aws", *service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert show(stacks.target) == before
