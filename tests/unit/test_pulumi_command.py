"""How pulumi is run: what is said when it fails, and that nobody kills it before it has let go of
its lock.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ops import engine_calls
from ops.errors import UserError
from ops.processes import end
from ops.pulumi_command import Pulumi
from tests.unit.mocked_program import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the `pulumi` of these tests is a script")

# On Ctrl-C pulumi ends what it has begun, which takes longer than the 0.25 s that subprocess.run
# would give it.
SLOW_TO_END = """
trap 'sleep 1; echo released >> "$NOTES"; exit 255' INT
echo begun >> "$NOTES"
while :; do sleep 0.05; done
"""


def pulumi(folder: Path, script: str) -> Pulumi:
    """A stand-in for pulumi that is a shell script; it notes what it does in `notes`."""
    program = folder / "pulumi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    path = os.pathsep.join([str(folder), os.environ["PATH"]])
    return Pulumi({"PATH": path, "NOTES": str(folder / "notes")}, folder)


def test_a_failure_is_told_in_its_own_words_of_both_streams(tmp_path: Path) -> None:
    failing = pulumi(tmp_path, "seq 100; echo 'Diagnostics: no' ; echo 'error: update failed' >&2; exit 255")
    with pytest.raises(UserError) as told:
        failing.ask("up", "--yes", "--stack", "my stack")
    lines = told.value.message.splitlines()
    assert lines[0] == "`pulumi up --yes --stack 'my stack'` failed:"
    assert lines[1:] == [f"  {line}" for line in (*range(78, 101), "Diagnostics: no", "error: update failed")]


def test_a_failed_plan_is_told_in_the_programs_words(tmp_path: Path) -> None:
    said = {"diagnostics": [{"severity": "info", "message": "hm"}, {"severity": "error", "message": " tiers: none\n"}], "steps": []}
    with pytest.raises(UserError, match=r"failed:\n  tiers: none$"):
        pulumi(tmp_path, f"printf '%s' '{json.dumps(said)}'; exit 255").plan("dev")


@pytest.mark.parametrize(
    ("given", "exceptions"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"no_proxy": "a,b", "NO_PROXY": "c"}, "127.0.0.1,localhost,a,b"),  # gRPC knows small letters alone
        ({"no_grpc_proxy": "a", "no_proxy": "b"}, "127.0.0.1,localhost,a"),
        ({"no_grpc_proxy": "127.0.0.1,localhost,a"}, "127.0.0.1,localhost,a"),
    ],
)
def test_a_program_reaches_the_engine_past_every_proxy(given: dict[str, str], exceptions: str, tmp_path: Path) -> None:
    said = pulumi(tmp_path, 'printf %s "$no_grpc_proxy"')
    said = Pulumi({**said.environment, "https_proxy": "http://127.0.0.1:1", **given}, tmp_path)
    assert said.ask("up") == exceptions
    assert said.stream("up", to=subprocess.DEVNULL) == 0
    script = f'{engine_calls.SHELL}\n{engine_calls.SHELL}\nprintf %s "$no_grpc_proxy"'
    done = subprocess.run(["sh", "-euc", script], env={**given, "PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip(",") == exceptions


def test_it_runs_in_its_folder_with_its_environment_and_what_it_is_given(tmp_path: Path) -> None:
    assert pulumi(tmp_path, 'pwd; cat; echo "$@"').ask("stack", "import", stdin="{}\n") == f"{tmp_path}\n{{}}\nstack import\n"


@pytest.mark.parametrize("status", [0, 3])
def test_what_goes_elsewhere_than_to_the_terminal_can_ask_nothing(tmp_path: Path, status: int) -> None:
    with (tmp_path / "out").open("w") as file:
        assert pulumi(tmp_path, f"cat; echo out; echo err >&2; exit {status}").stream("preview", to=file) == status
    assert (tmp_path / "out").read_text() == "out\nerr\n"


@pytest.mark.parametrize("how", ["ask", "stream"])
def test_ctrl_c_waits_until_it_has_let_go_of_its_lock(tmp_path: Path, how: str) -> None:
    slow = pulumi(tmp_path, SLOW_TO_END)
    script = (
        "import sys, json; from pathlib import Path; from ops.pulumi_command import Pulumi\n"
        f"p = Pulumi(json.loads({json.dumps(json.dumps(dict(slow.environment)))}), Path({str(tmp_path)!r}))\n"
        f"try:\n    p.{how}('up')\nexcept KeyboardInterrupt:\n    sys.exit(130)"
    )
    notes = tmp_path / "notes"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, start_new_session=True)
    deadline = time.monotonic() + 60
    while not notes.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)  # it waits by now
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(60) == 130
    assert notes.read_text() == "begun\nreleased\n"


def test_what_does_not_end_when_it_is_asked_is_killed() -> None:
    ready = "print(flush=True); import time; time.sleep(60)"
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {ready}"
    children = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for code in (ready, stubborn)]
    for child in children:
        assert child.stdout
        child.stdout.readline()
    processes = [psutil.Process(child.pid) for child in children]
    end(processes, 1)
    assert [process.is_running() for process in processes] == [False, False]
    end(processes, 1)  # again, with nothing left
