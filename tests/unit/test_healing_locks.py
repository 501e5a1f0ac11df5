"""Which locks of a state are dead, and that no other one is ever released."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from ops.errors import UserError
from ops.healing import locks

HOUR = timedelta(hours=1)
Start = Callable[[str], int]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process of any name, which runs until the test is over; gives its id."""
    running = []

    def run(name: str) -> int:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.symlink_to(sys.executable)
        running.append(subprocess.Popen([program, "-c", "print(flush=True); import time; time.sleep(600)"], stdout=subprocess.PIPE))
        assert running[-1].stdout is not None
        running[-1].stdout.readline()
        return running[-1].pid

    yield run
    for process in running:
        process.kill()
        process.wait()


def lock(state: Path, stack: str = "dev", *, pid: int, host: str | None = None, age: timedelta = timedelta(), name: str = "a") -> Path:
    path = state / ".pulumi" / "locks" / "organization" / "storage-tiers" / stack / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    since = (datetime.now(UTC) - age).isoformat().replace("+00:00", "123Z")  # nine digits, as Go writes them
    path.write_text(json.dumps({"pid": pid, "username": "ada", "hostname": host or socket.gethostname(), "timestamp": since}))
    return path


def gone_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_no_lock_no_word(tmp_path: Path) -> None:
    assert locks.release_dead(tmp_path, "dev") == 0


def test_a_process_that_is_gone(tmp_path: Path) -> None:
    dead = lock(tmp_path, pid=gone_pid())
    others = [lock(tmp_path, "prod", pid=gone_pid()), tmp_path / ".pulumi" / "locks" / "organization" / "elsewhere" / "dev" / "b.json"]
    others[1].parent.mkdir(parents=True)
    others[1].write_bytes(dead.read_bytes())
    assert locks.release_dead(tmp_path, "dev") == 1
    assert not dead.exists()
    assert all(other.exists() for other in others), "locks of other stacks and projects"


def test_a_running_pulumi_is_never_robbed(tmp_path: Path, start: Start) -> None:
    pid = start("pulumi")
    held, dead = lock(tmp_path, pid=pid), lock(tmp_path, pid=gone_pid(), name="b")
    with pytest.raises(UserError) as refused:
        locks.release_dead(tmp_path, "dev")
    message = rf"stack dev is locked: process {pid} \(`pulumi`, started by ada \d\.\d s ago\) is changing it\."
    assert re.fullmatch(message, refused.value.message)
    assert refused.value.hint == (
        f"Wait until it has ended, or end it (`kill -INT {pid}`), then run this again. Where `ps -fp {pid}` shows a run of another "
        "stack, which has got the id of a dead one: `pulumi cancel --stack dev --yes`."
    )
    assert held.exists()
    assert dead.exists(), "nothing is removed while one is held"


def test_the_id_was_given_to_another_program(tmp_path: Path, start: Start) -> None:
    lock(tmp_path, pid=start("sleeper"))
    assert locks.release_dead(tmp_path, "dev") == 1


@pytest.mark.parametrize("name", ["pulumi", ".pulumi-wrapped"])
def test_a_pulumi_that_seems_to_have_started_later_may_hold_it_as_well(name: str, tmp_path: Path, start: Start) -> None:
    """The clock was put forward during its run, or the id of a dead run was given to another one:
    that can't be told.
    """
    held = lock(tmp_path, pid=start(name), age=HOUR)
    with pytest.raises(UserError, match="is changing it"):
        locks.release_dead(tmp_path, "dev")
    assert held.exists()


def test_a_process_that_may_not_be_looked_at_holds_it(tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(process: psutil.Process) -> str:
        raise psutil.AccessDenied(process.pid)

    held = lock(tmp_path, pid=start("sleeper"))
    monkeypatch.setattr(psutil.Process, "name", denied)
    with pytest.raises(UserError, match="is changing it"):
        locks.release_dead(tmp_path, "dev")
    assert held.exists()


def test_a_zombie_holds_nothing(tmp_path: Path) -> None:
    program = tmp_path / "pulumi"
    program.symlink_to(sys.executable)
    process = subprocess.Popen([program, "-c", ""])
    while not (state := Path(f"/proc/{process.pid}/stat")).exists() or " Z " not in state.read_text():
        time.sleep(0.01)
    lock(tmp_path, pid=process.pid)
    assert locks.release_dead(tmp_path, "dev") == 1
    process.wait()


def test_another_host(tmp_path: Path) -> None:
    theirs = lock(tmp_path, pid=os.getpid(), host="build-7", age=2 * HOUR + timedelta(milliseconds=1))
    with pytest.raises(UserError) as refused:
        locks.release_dead(tmp_path, "dev")
    assert refused.value.message == (
        f"stack dev is locked by ada on host build-7 (process {os.getpid()}, 120 min 00 s ago), and this is {socket.gethostname()}."
    )
    assert "`pulumi cancel --stack dev --yes`" in refused.value.hint
    assert theirs.exists()


def test_a_file_that_its_writer_never_finished(tmp_path: Path) -> None:
    half = lock(tmp_path, pid=1)
    half.write_text('{"pid": 1')
    attributes = half.with_name(half.name + ".attrs")  # as Go's fileblob writes beside it
    attributes.write_text("{}")
    assert locks.release_dead(tmp_path, "dev") == 1
    assert not half.exists()
    assert not attributes.exists()


def test_a_file_that_is_being_written(tmp_path: Path, start: Start) -> None:
    held = lock(tmp_path, pid=start("pulumi"))
    whole = held.read_text()
    held.write_text(whole[:20])
    finished = threading.Timer(0.5, held.write_text, [whole])
    finished.start()
    with pytest.raises(UserError, match="is changing it"):
        locks.release_dead(tmp_path, "dev")
    assert held.exists()


def test_locked_stacks(tmp_path: Path) -> None:
    assert locks.locked_stacks(tmp_path) == set()
    lock(tmp_path, pid=1)
    lock(tmp_path, "prod", pid=1)
    assert locks.locked_stacks(tmp_path) == {"dev", "prod"}


@pytest.mark.parametrize(
    ("backend", "folder"),
    [
        ("file:///var/lib/state", "/var/lib/state"),
        ("file:///home/ada/storage%20tiers/.dev/state", "/home/ada/storage tiers/.dev/state"),
        ("file:///home/ada/state?metadata=skip", "/home/ada/state"),
        ("file://~", "~"),
        ("file://~/states", "~/states"),
        ("file://./states", "states"),
        ("s3://bucket/states", None),
        ("https://api.pulumi.com", None),
    ],
)
def test_where_a_backend_is(backend: str, folder: str | None) -> None:
    assert locks.folder_of(backend) == (Path(folder).expanduser().absolute() if folder else None)
