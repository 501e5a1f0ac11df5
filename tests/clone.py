"""A fresh clone of this project, as a person has it: with an environment, a state and a dev cluster
of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from devkube import paths
from tests.conftest import project_files


class Clone:
    """A fresh clone of the work tree as it is, in a folder of its own: with a dev cluster of its
    own.
    """

    def __init__(self, folder: Path, *, lend_environment: bool = False) -> None:
        """`lend_environment`: use this clone's Python packages, and the interpreter that they were
        made for: it saves installing them.
        """
        self.folder = folder
        self.python = getattr(sys, "_base_executable", sys.executable) if lend_environment else "python3"
        folder.mkdir(parents=True, exist_ok=True)
        for name in project_files():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(paths.ROOT / name, folder / name)
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "--message", "clone")
        if lend_environment:
            (folder / ".venv").symlink_to(paths.VENV.resolve())

    @property
    def identity(self) -> str:
        """The name of its dev cluster: as devkube.paths makes it from the folder."""
        return f"dev-{hashlib.sha256(str(self.folder.resolve()).encode()).hexdigest()[:8]}"

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def environment(self, **changed: str | None) -> dict[str, str]:
        """A person's shell: without this test run's own settings, and with what is `changed` (None:
        not set at all).
        """
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "KUBE", "VIRTUAL_ENV", "PYTEST"))}
        return {name: value for name, value in {**kept, "PYTHON": self.python, **changed}.items() if value is not None}

    def run(self, *command: str, **changed: str | None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**changed),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=1200,
        )

    def start(self, *command: str, **changed: str | None) -> subprocess.Popen[str]:
        """Start a command in a process group of its own, as a terminal does: what a key sends
        there, all of it gets.
        """
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment(**changed),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def works(self, *command: str, **changed: str | None) -> str:
        done = self.run(*command, **changed)
        assert done.returncode == 0, f"{command}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def shell(self, script: str) -> str:
        """Run a script in a shell that has read `.dev/env`, as the README says."""
        return self.works("sh", "-ec", f". .dev/env\n{script}")
