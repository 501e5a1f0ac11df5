"""A copy of the project's program, with a state of its own: the clone stays as it is.

The copy is needed because pulumi writes to the stack file when it makes a stack in a new state.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devkube import paths
from devkube.engine import Engine
from ops import stack_file
from ops.processes import failure, run_quietly
from ops.pulumi_command import Pulumi

_LEFT_OUT = shutil.ignore_patterns(".*", "tests", "docs", "bench")  # no program needs them


def copy_project(folder: Path) -> None:
    """Copy the files of the work tree, as they are, to `folder`, which isn't there yet."""
    shutil.copytree(paths.ROOT, folder, ignore=_LEFT_OUT)


@dataclass(frozen=True)
class ProgramCopy:
    """A copy of the program in `folder`, and the `pulumi` that runs it for `stack`."""

    folder: Path
    stack: str
    pulumi: Pulumi

    @classmethod
    def prepare(cls, folder: Path, stack: str, engine: Engine, kubeconfig: Path | None = None) -> ProgramCopy:
        """Give the files in `folder` a state of their own, and this clone's Python packages.

        The stack's secrets are kept with the empty passphrase, whatever keeps them elsewhere.
        A run finds nothing of the user's own; without a `kubeconfig` it has no cluster either.
        """
        virtualenv = json.dumps(str(paths.VENV))  # quoted, as YAML takes it too
        _replace(folder / "Pulumi.yaml", r"^( +virtualenv:).*$", lambda found: f"{found[1]} {virtualenv}")
        _replace(folder / f"Pulumi.{stack}.yaml", r"^(encryptionsalt|encryptedkey|secretsprovider):.*\n?", lambda _: "")
        state = folder / "throw-away-state"
        state.mkdir()
        environment = {
            **engine.clean_environment(),
            "PULUMI_BACKEND_URL": state.as_uri(),
            "PULUMI_DEBUG_COMMANDS": "true",  # without it there is no --event-log; the Automation API sets it as well
            "KUBECONFIG": str(kubeconfig or folder / "no-kubeconfig"),
        }
        return cls(folder, stack, Pulumi(environment, folder))

    def init(self) -> subprocess.CompletedProcess[str]:
        """Make the stack in the state; the exit status is the caller's to check."""
        return self.pulumi.run("stack", "init", self.stack, "--no-select", "--non-interactive")

    def override(self, changes: dict[str, Any]) -> None:
        """Change settings in the copy: `{"canary.image": …}` by their config paths."""
        stack_file.change(self.folder / f"Pulumi.{self.stack}.yaml", changes)

    def ask(self, *arguments: str) -> str:
        """Run `pulumi` on the stack quietly; raises UserError when it fails."""
        return self.pulumi.ask(*arguments, "--non-interactive", "--stack", self.stack)

    def ops(self, *arguments: str) -> str:
        """Run `python -m ops` of the copy quietly; raises UserError when it fails."""
        command = [sys.executable, "-m", "ops.start", *arguments, "--stack", self.stack]
        done = run_quietly(command, self.folder, self.pulumi.environment)
        if done.returncode != 0:
            raise failure(done)
        return done.stdout


def _replace(file: Path, pattern: str, replacement: Callable[[re.Match[str]], str]) -> None:
    text = file.read_text(encoding="utf-8")
    file.write_text(re.sub(pattern, replacement, text, flags=re.MULTILINE), encoding="utf-8")
