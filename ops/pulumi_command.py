"""Running `pulumi` itself for what an operator's commands need to know or change: its state, its plan, its backend."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ops.errors import UserError
from ops.paths import ROOT

_TIME_TO_END = 10.0  # seconds that an interrupted pulumi has to let go of its state
_SHOWN_LINES = 8  # of its last words, when it fails


@dataclass(frozen=True)
class Pulumi:
    """The `pulumi` on the PATH of `environment`, in the project folder, with the backend that `environment` names."""

    environment: Mapping[str, str]

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it quietly and return what it prints; raises UserError with its own words when it fails."""
        status, output, problems = self.run(*arguments, stdin=stdin)
        if status != 0:
            raise failure(("pulumi", *arguments), problems.strip() or output.strip())
        return output

    def run(self, *arguments: str, stdin: str | None = None) -> tuple[int, str, str]:
        """Run it quietly; its exit status, and what it printed on both streams. Raises UserError where there is no pulumi."""
        command = ["pulumi", *arguments]
        try:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except FileNotFoundError:
            raise UserError("there is no `pulumi` on PATH.", "In this project's folder: `. .dev/env`; or install the Pulumi CLI.") from None
        try:
            output, problems = process.communicate(stdin)
        except KeyboardInterrupt:  # it has reached pulumi too: killed at once, as `subprocess.run` does, it would leave its lock
            try:
                process.wait(_TIME_TO_END)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
            raise
        return process.returncode, output, problems

    def backend(self) -> str:
        """The URL of the backend: `file:///…`, `s3://…`, `https://…`."""
        return self.environment.get("PULUMI_BACKEND_URL") or str(json.loads(self.ask("whoami", "--json", "--non-interactive"))["url"])

    def state(self, stack: str) -> dict[str, Any]:
        """The stack's state as `pulumi stack export` gives it: `{"version": …, "deployment": {…}}`; secrets in it stay encrypted."""
        exported: dict[str, Any] = json.loads(self.ask("stack", "export", "--non-interactive", "--stack", stack))
        return exported

    def plan(self, stack: str) -> list[dict[str, Any]]:
        """The steps of a preview, as `pulumi preview --json` lists them; raises UserError with the program's own words when it fails."""
        arguments = ("preview", "--json", "--non-interactive", "--stack", stack)
        status, output, problems = self.run(*arguments)
        try:
            preview: dict[str, Any] = json.loads(output)
        except ValueError:
            preview = {}
        if status != 0:
            said = [each["message"].strip() for each in preview.get("diagnostics", []) if each.get("severity") == "error"]
            raise failure(("pulumi", *arguments), "\n".join(said) or problems.strip() or output.strip())
        steps: list[dict[str, Any]] = preview.get("steps") or []
        return steps


def failure(command: tuple[str, ...], said: str) -> UserError:
    """`command` has failed with these words."""
    return UserError(f"`{shlex.join(command)}` failed:\n  " + "\n  ".join(said.splitlines()[-_SHOWN_LINES:]))
