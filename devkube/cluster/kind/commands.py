"""Runs `docker` and `kind`; what they say when they fail is shown whole."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence

from devkube.errors import MachineError

_SHOWN = 60  # lines of what a failed program said; kubeadm alone says hundreds
_FIRST = 20  # of these, from the beginning


class ProgramFailed(MachineError):
    """A program ended with an error; `said` is all that it wrote."""

    def __init__(self, command: Sequence[str], said: str, hint: str = "") -> None:
        self.said = said.strip()
        super().__init__(f"`{shlex.join(command)}` failed:\n{quoted(self.said)}", hint)


def run(*command: str, stdin: str = "", seconds: float | None = None) -> str:
    """Run a program to its end; its output.

    Raises ProgramFailed with all that it said: when it fails, when it isn't there, or when it takes
    longer than `seconds`.
    """
    try:
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, errors="replace", timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        raise ProgramFailed(command, f"no answer in {seconds:.0f} s") from None
    except OSError as problem:
        raise ProgramFailed(command, str(problem)) from None
    if done.returncode != 0:
        raise ProgramFailed(command, done.stderr.strip() or done.stdout)
    return done.stdout


def answer(*command: str, seconds: float = 20) -> str | None:
    """The output of a program that only looks, without the blanks around it.

    None where it fails for whatever reason.
    """
    try:
        return run(*command, seconds=seconds).strip()
    except MachineError:
        return None


def quoted(text: str, most: int = _SHOWN) -> str:
    """The text, indented; of a very long one the beginning and the end."""
    lines = text.strip().splitlines()
    if len(lines) > most:
        first = min(_FIRST, most // 3)
        left_out = len(lines) - most
        lines = [*lines[:first], f"[… {left_out} more lines …]", *lines[-(most - first) :]]
    return "\n".join(f"  {line}" for line in lines)
