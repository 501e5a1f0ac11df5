"""A copy of a Pulumi program in a folder of its own, with a state of its own, run by the real
engine.
"""

from __future__ import annotations

import compileall
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from devkube import paths
from devkube.engine import plugin_home

# What engine and language host say after each refusal; newer hosts begin with a small letter.
ENDS = re.compile("error: an unhandled error occurred: [Pp]rogram exited with non-zero exit code: 1")
PARTS = ("Pulumi.yaml", "Pulumi.dev.yaml", "Pulumi.aws.yaml", "Pulumi.gcp.yaml", "__main__.py", "requirements.txt")


def home_in(folder: Path) -> str:
    """Make a PULUMI_HOME of its own, with the plugins of this machine's.

    The engine would download them again for each home that lacks them.
    """
    folder.mkdir()
    if plugin_home().is_dir():
        (folder / "plugins").symlink_to(plugin_home())
    return str(folder)


@dataclass(frozen=True)
class Program:
    """One copied program and stack; every method runs the real `pulumi`."""

    folder: Path
    variables: dict[str, str]
    stack: str

    @classmethod
    def copy(cls, source: Path, folder: Path, variables: dict[str, str], stack: str, state: str | None = None) -> Program:
        """Copy the program in `source` to `folder`, give it this clone's virtual environment, and
        make the stack.

        Its state is the backend `state` (a URL), or an empty one of its own.
        """
        for name in PARTS:
            if (source / name).exists():
                shutil.copy(source / name, folder / name)
        for package in ("components", "ops"):
            if (source / package).is_dir():
                compileall.compile_dir(source / package, quiet=1)  # once, instead of in each run of each copy
                shutil.copytree(source / package, folder / package)
        (folder / ".venv").symlink_to(paths.VENV)
        (folder / "state").mkdir()
        backend = state or (folder / "state").as_uri()
        program = cls(folder, {**variables, "PULUMI_BACKEND_URL": backend, "PULUMI_HOME": home_in(folder / "pulumi-home")}, stack)
        program.pulumi("stack", "init", stack)
        return program

    @property
    def stack_file(self) -> Path:
        return self.folder / f"Pulumi.{self.stack}.yaml"

    def configure(self, **settings: Any) -> None:
        """Replace top-level settings (`cluster=…`) in the stack file; `None` removes one."""
        document = yaml.safe_load(self.stack_file.read_text())
        for key, value in settings.items():
            if value is None:
                document["config"].pop(f"storage-tiers:{key}", None)
            else:
                document["config"][f"storage-tiers:{key}"] = value
        self.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `pulumi` with these arguments; its exit status is the caller's to check."""
        command = ["pulumi", *arguments, "--non-interactive"]
        return subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )

    def pulumi(self, *arguments: str) -> str:
        """Run `pulumi` and return what it printed.

        Fails the test with that output when it fails.
        """
        done = self.run(*arguments)
        assert done.returncode == 0, f"pulumi {' '.join(arguments)}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m ops` in this copy; its exit status is the caller's to check."""
        command = [str(paths.SCRIPTS / "python"), "-m", "ops", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=self.variables, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300
        )

    def up(self, *arguments: str) -> str:
        return self.pulumi("up", "--yes", "--skip-preview", *arguments)

    def destroy(self) -> str:
        return self.pulumi("destroy", "--yes", "--skip-preview")

    def preview_steps(self) -> list[dict[str, Any]]:
        """The planned steps, without those that change nothing, as `pulumi preview --json` lists
        them.
        """
        plan = json.loads(self.pulumi("preview", "--json"))
        return [step for step in plan.get("steps", []) if step["op"] not in ("same", "read")]

    def refused(self, *arguments: str) -> list[str]:
        """Run `pulumi` with settings that the program must refuse.

        The problems that it names, each once and without a traceback.
        """
        done = self.run(*arguments)
        output = done.stdout + done.stderr
        assert done.returncode == 1, output
        assert "Traceback" not in output
        block = re.search(
            rf"^ *error: (\d+) problems? in the settings of stack {self.stack} \(Pulumi\.{self.stack}\.yaml\), nothing was changed:\n"
            r"(.*?)^ *error: ",
            output[output.index("Diagnostics:") :],
            re.MULTILINE | re.DOTALL,
        )
        assert block, output
        assert ENDS.search(output)
        lines = [line.strip() for line in block[2].strip().splitlines()]
        assert len(lines) == int(block[1])
        assert output.count(lines[0]) == 1
        return lines

    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json"))
        return outputs

    def state(self) -> dict[str, Any]:
        """The state, as `pulumi stack export` gives it."""
        state: dict[str, Any] = json.loads(self.pulumi("stack", "export"))
        return state
