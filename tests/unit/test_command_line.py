"""What devkube says comes out of a command line of this project as its own words do."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap

import pytest

from devkube.paths import ROOT

COMMAND = """
    import click
    from dev import command_line
    from devkube import progress
    from devkube.errors import MachineError
    from ops.errors import UserError

    @click.command()
    def main():
        progress.say("[red] is no markup")
        with progress.step("a step") as shown:
            shown.detail = "a detail"
        with progress.step("another"):
            raise {error}("what is [wrong]", "what to do")

    command_line.run(main, "python -m thing")
"""


def run(error: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", textwrap.dedent(COMMAND.format(error=error))], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("error", ["UserError", "MachineError"])
def test_an_error_of_the_machine_ends_it_as_a_users_does(error: str) -> None:
    done = run(error)
    assert (done.returncode, done.stderr) == (1, "error: what is [wrong]\nwhat to do\n")
    said = re.sub(r"\(\d+\.\d s\)", "(so long)", done.stdout).splitlines()
    assert said == ["[red] is no markup", "✓ a step (so long) · a detail", "✗ another (so long)"]


def test_any_other_error_is_a_fault_of_this_code() -> None:
    assert "Traceback" in run("ValueError").stderr


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_question_without_an_answer_is_no_interruption(interrupted: bool) -> None:
    ask = "signal.raise_signal(signal.SIGINT)" if interrupted else "click.confirm('Delete it?')"
    code = f"import click, signal\nfrom ops import command_line\n@click.command()\ndef main(): {ask}\ncommand_line.run(main, 'thing')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == (130 if interrupted else 1)
    assert ("Interrupted" in done.stderr) == interrupted
    assert ("give --yes" in done.stderr) != interrupted
    assert "Traceback" not in done.stderr
