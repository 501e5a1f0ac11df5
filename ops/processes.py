"""Running a command quietly, and ending processes: one way of each for all that commands start."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from ops.errors import UserError

_TIME_TO_END = 10.0  # seconds that an interrupted command has to clean up: pulumi lets go of its lock
_SHOWN_LINES = 25  # of a failed command's last words


def run_quietly(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` to its end, whatever that is, and keep what it prints.

    Raises FileNotFoundError for a program that isn't there. On Ctrl-C, which the command gets from
    the terminal as well, it is waited for, and killed after 10 s. `subprocess.run` would kill it
    after a quarter of a second, and a killed pulumi leaves its lock behind.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        output, problems = process.communicate(stdin)
    except KeyboardInterrupt:
        with suppress(psutil.NoSuchProcess):
            end([psutil.Process(process.pid)], _TIME_TO_END, told=True)
        raise
    return subprocess.CompletedProcess(command, process.returncode, output, problems)


def failure(done: subprocess.CompletedProcess[str], what: str = "", said: str = "") -> UserError:
    """The error of a command that has failed: `what` that means, the command, its last words.

    `said` replaces what it has printed, where that is for programs.
    """
    command = shlex.join([Path(done.args[0]).name, *done.args[1:]])
    lines = (said or done.stdout + done.stderr).strip().splitlines()[-_SHOWN_LINES:]
    return UserError(f"{what}{': ' if what else ''}`{command}` failed:\n" + "\n".join(f"  {line}" for line in lines))


def end(processes: Iterable[psutil.Process], seconds: float, *, told: bool = False) -> None:
    """End processes, and return when they have ended.

    They are asked first (SIGTERM), unless they were `told` to end already, and killed when they
    have not ended after `seconds`. A Ctrl-C during that time kills them at once.
    """
    left = list(processes)
    for process in () if told else left:
        with suppress(psutil.Error):
            process.terminate()
    try:
        _, left = psutil.wait_procs(left, seconds)
    finally:
        for process in left:
            with suppress(psutil.Error):
                process.kill()
    psutil.wait_procs(left, seconds)
