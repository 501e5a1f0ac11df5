"""`python -m ops move` on the throw-away cluster: from the dev stack to another stack with another
class and namespace, and what keeps it from being done, cuts it or falsifies it.
"""

from __future__ import annotations

import json
import os
import random
import re
import time
from pathlib import Path

import pytest

from devkube import paths
from tests.conftest import eventually
from tests.faults.move_tree import show
from tests.integration.move_stacks import CLAIM, LEVEL, MIB, SOURCE, TARGET, Stacks, flip, wait_for_phase

pytestmark = pytest.mark.cluster


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
    back = ("move", "--from-folder", str(backup), "--to", "aws", *service)
    (backup / f"{CLAIM}.manifest.jsonl").rename(tmp_path / "kept")
    done = stacks.program.ops(*back, "--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"nothing says that folder {backup / CLAIM} is whole" in " ".join(done.stderr.split())
    (tmp_path / "kept").rename(backup / f"{CLAIM}.manifest.jsonl")
    done = stacks.program.ops(*back)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing says" not in done.stderr
    assert show(stacks.target) == before
