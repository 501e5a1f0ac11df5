"""Ctrl-C at any moment of a command line's start: a line and a status, never a traceback."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from ops.interruption import INTERRUPTED, MESSAGE, hold_back
from tests.unit.mocked_program import ROOT

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals that a test could send")

# Ctrl-C comes while a class is made, which Python before 3.12 tells in a RuntimeError.
INTERRUPTS_ITSELF = """
import os, signal, sys
class Interrupting:
    def __set_name__(self, *_):
        os.kill(os.getpid(), signal.SIGINT)
def make_a_class():
    class Made:
        field = Interrupting()
    print("went on")
"""
WHILE_IT_IS_LOADED = "from ops.interruption import end_at_once; end_at_once(); make_a_class()"
WHILE_IT_RUNS = """
import click
from ops import command_line
from ops.interruption import end_at_once
end_at_once()
command_line.run(click.Command("it", callback=make_a_class), "it")
"""

INTERRUPTED_AT_THE_END = """
import os, signal
import click
from ops import command_line
from ops.interruption import end_at_once
class Interrupting:
    def __del__(self, kill=os.kill, me=os.getpid(), interrupt=signal.SIGINT):
        kill(me, interrupt)
last = Interrupting()  # it goes while Python ends
end_at_once()
command_line.run(click.Command("it", callback=lambda: print("done")), "it")
"""


def python(*arguments: str, ignored: bool = False) -> subprocess.Popen[str]:
    """A Python process as `python -m dev` starts it, which holds Ctrl-C back.

    With `ignored` it runs as below `nohup`.
    """
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.SIG_DFL)
    hold_back()
    try:
        return subprocess.Popen([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("then", [WHILE_IT_IS_LOADED, WHILE_IT_RUNS], ids=["loading", "running"])
class TestWhileAClassIsMade:
    def test_is_one_line_and_a_status(self, then: str) -> None:
        process = python("-c", INTERRUPTS_ITSELF + then)
        assert process.communicate(timeout=60) == ("", f"{MESSAGE}\n")
        assert process.returncode == INTERRUPTED

    def test_stays_ignored_where_it_was(self, then: str) -> None:
        process = python("-c", INTERRUPTS_ITSELF + then, ignored=True)
        assert process.communicate(timeout=60) == ("went on\n", "")
        assert process.returncode == 0


def test_while_python_ends_changes_nothing_any_more() -> None:
    process = python("-c", INTERRUPTED_AT_THE_END)
    assert process.communicate(timeout=60) == ("done\n", "")
    assert process.returncode == 0


@pytest.mark.parametrize("start", ["dev.start", "ops.start"])
def test_at_any_moment_of_a_real_start(start: str) -> None:
    moments = random.Random(start)
    interrupted = 0
    for _ in range(12):
        process = python("-m", start, "volumes", "--help")
        time.sleep(moments.uniform(0, 0.5))
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors, errors
        assert (process.returncode, errors) in [(INTERRUPTED, f"{MESSAGE}\n"), (0, "")], output
        interrupted += process.returncode == INTERRUPTED
    assert interrupted >= 4, "most moments came after the end"
