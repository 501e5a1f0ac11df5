"""What goes on beside other work: nothing of it outlives the block, whichever side fails."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

from devkube.errors import MachineError
from devkube.programs import beside, ended_with, go_on


def slow(note: Path) -> None:
    """A program that takes a minute, with a child that does too; `note` is written once it runs."""
    command = ["sh", "-c", f"sleep 60 & echo $$ > {note}.new; mv {note}.new {note}; wait"]
    process = subprocess.Popen(command, text=True, start_new_session=True, stdout=subprocess.PIPE)
    with ended_with(process):
        assert process.stdout
        process.stdout.read()
        if process.wait():
            raise MachineError("the slow program failed")


def running(note: Path) -> int:
    """The process group of the slow program, once it runs."""
    end = time.monotonic() + 30
    while not note.exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    return int(note.read_text())


def ended(group: int) -> bool:
    """Whether nobody is in this process group any more; a child that was orphaned may take a
    moment to be reaped."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_both_go_on_at_the_same_time_and_the_result_is_waited_for() -> None:
    met = threading.Barrier(2, timeout=30)

    def work() -> str:
        met.wait()
        return "done"

    with beside(work) as result:
        met.wait()
        assert result() == "done"


def test_work_that_nobody_asks_for_is_done_all_the_same() -> None:
    done: list[int] = []
    with beside(lambda: done.append(1)):
        pass
    assert done == [1]


@pytest.mark.parametrize("problem", [MachineError("on purpose"), KeyboardInterrupt()])
def test_where_the_block_fails_the_programs_of_the_work_are_ended(problem: BaseException, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with pytest.raises(type(problem)) as failed, beside(lambda: slow(note)):
        group = running(note)
        raise problem
    assert failed.value is problem
    assert ended(group)
    go_on()  # the next one may


def test_where_the_work_fails_the_programs_of_the_block_are_ended_and_its_error_is_told(tmp_path: Path) -> None:
    note = tmp_path / "note"

    def work() -> None:
        running(note)
        raise MachineError("the engine can't be had")

    with pytest.raises(MachineError, match="the engine can't be had"), beside(work):
        slow(note)
    assert ended(running(note))


def test_what_fails_beside_work_that_has_ended_well_is_told_as_it_is() -> None:
    with pytest.raises(MachineError, match="the cluster"), beside(lambda: 1) as result:
        assert result() == 1
        raise MachineError("the cluster can't start")


def test_no_program_is_started_for_nobody(tmp_path: Path) -> None:
    """The work is between two programs when the block fails."""
    failed = threading.Event()
    second = tmp_path / "second"

    def work() -> None:
        assert failed.wait(30)
        time.sleep(0.2)
        slow(second)

    with pytest.raises(MachineError, match="on purpose"), beside(work):
        failed.set()
        raise MachineError("on purpose")
    assert not second.exists() or ended(running(second))
