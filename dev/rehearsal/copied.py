"""A copy of a stack's program and settings, with a state of its own: what a rehearsal runs, so that clone and state stay as they are."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from devkube import paths
from devkube.engine import Engine
from ops import stack_file
from ops.errors import UserError

_PARTS = ("Pulumi.yaml", "__main__.py", "requirements.txt")
_LAST_LINES = 25  # of a failed pulumi's output that a person is shown


class CopiedStack:
    """The program in `folder`, with the settings of `stack`, whose state is a folder beside it."""

    def __init__(self, folder: Path, stack: str, engine: Engine, kubeconfig: Path) -> None:
        self.folder = folder
        self.stack = stack
        for name in (*_PARTS, f"Pulumi.{stack}.yaml"):
            shutil.copy(paths.ROOT / name, folder / name)
        for package in ("components", "ops"):
            shutil.copytree(paths.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / ".venv").symlink_to(paths.VENV, target_is_directory=True)
        (folder / "state").mkdir()
        self.environment = {
            **engine.clean_environment(),
            "KUBECONFIG": str(kubeconfig),
            "PULUMI_BACKEND_URL": (folder / "state").as_uri(),
        }

    @property
    def settings_file(self) -> Path:
        """The copy of the stack's settings."""
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def override(self, changes: dict[str, Any]) -> None:
        """Change settings in the copy: `{"canary.image": …}` by their config paths."""
        stack_file.change(self.settings_file, changes)

    def pulumi(self, *arguments: str) -> str:
        """Run `pulumi` and return what it printed; raises UserError with the end of that when it fails."""
        return self._run(["pulumi", *arguments, "--non-interactive", "--stack", self.stack])

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs."""
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json"))
        return outputs

    def ops(self, *arguments: str) -> str:
        """Run `python -m ops` of the copy and return what it printed; raises UserError with the end of that when it fails."""
        return self._run([sys.executable, "-m", "ops.start", *arguments, "--stack", self.stack])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
            raise UserError(f"`{Path(command[0]).name} {shlex.join(command[1:])}` failed:\n" + "\n".join(f"  {line}" for line in said))
        return done.stdout + done.stderr
