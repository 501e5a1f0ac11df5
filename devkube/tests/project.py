"""A small Pulumi program in a folder of its own, with its own state, run by the real engine."""

from __future__ import annotations

import json
import subprocess
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

NAME = "contract"
STACK = "test"


class Project:
    """`folder` holds the program (`program()` writes it), `state/` its file backend."""

    def __init__(self, folder: Path, variables: Mapping[str, str], virtualenv: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        state = folder / "state"
        state.mkdir()
        self.variables = {**variables, "PULUMI_BACKEND_URL": state.as_uri()}
        self.settings({"virtualenv": str(virtualenv)})
        self.program("")
        self.pulumi("stack", "init", STACK)

    def settings(self, options: Mapping[str, str]) -> None:
        project = {"name": NAME, "runtime": {"name": "python", "options": dict(options)}}
        (self.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))

    def program(self, text: str) -> None:
        head = "import pulumi\nfrom pulumi_command import local\n"
        (self.folder / "__main__.py").write_text(head + textwrap.dedent(text))

    def pulumi(self, *arguments: str, succeeds: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=300,  # ends only what hangs: on a busy machine, making a virtual environment takes two minutes
        )
        assert (done.returncode == 0) is succeeds, f"pulumi {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def up(self, text: str | None = None, *, succeeds: bool = True, **variables: str) -> str:
        """`pulumi up` of `text` (or of the program as it is); gives everything that was said."""
        if text is not None:
            self.program(text)
        done = self.pulumi("up", "--yes", "--skip-preview", succeeds=succeeds, **variables)
        return done.stdout + done.stderr

    def preview(self, text: str | None = None, *options: str, succeeds: bool = True) -> str:
        if text is not None:
            self.program(text)
        done = self.pulumi("preview", *options, succeeds=succeeds)
        return done.stdout + done.stderr

    def destroy(self) -> str:
        return self.pulumi("destroy", "--yes", "--skip-preview").stdout

    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets").stdout)
        return found

    def resource(self, name: str) -> dict[str, Any] | None:
        """The resource of this name in the state."""
        exported = json.loads(self.pulumi("stack", "export").stdout)
        found: list[dict[str, Any]] = [each for each in exported["deployment"].get("resources", []) if each["urn"].endswith(f"::{name}")]
        assert len(found) <= 1
        return found[0] if found else None
