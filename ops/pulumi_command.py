"""Running `pulumi` itself: the one way for all that this project's commands ask of it.

Why not `pulumi.automation`: docs/decisions/0014-running-pulumi.md.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ops.engine_calls import past_proxies
from ops.errors import UserError
from ops.paths import ROOT
from ops.processes import failure, run_quietly


@dataclass(frozen=True)
class Pulumi:
    """The `pulumi` on the PATH of `environment`, run in a project's `folder`.

    The backend, the passphrase and the kubeconfig are those that `environment` names: by default
    the shell's own.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    folder: Path = ROOT

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run it quietly to its end, whatever that is.

        It can ask nothing, so give it `--non-interactive`.
        Raises UserError where there is no pulumi.
        """
        return run_quietly([self._program(), *arguments], self.folder, past_proxies(self.environment), stdin)

    def ask(self, *arguments: str, stdin: str | None = None) -> str:
        """Run it quietly and return what it prints on standard output.

        Raises UserError with its own words when it fails.
        """
        done = self.run(*arguments, stdin=stdin)
        if done.returncode != 0:
            raise failure(done)
        return done.stdout

    def stream(self, *arguments: str, to: IO[str] | int | None = None) -> int:
        """Run it with its output on the user's terminal, and return its exit status.

        `to` is where the output goes instead: a file, or `subprocess.DEVNULL`.
        Then it can ask nothing either.

        Ctrl-C reaches pulumi itself, which is in the same process group, and which then ends what
        it has begun. So KeyboardInterrupt is raised only when pulumi has ended.
        """
        options: dict[str, Any] = {} if to is None else {"stdin": subprocess.DEVNULL, "stdout": to, "stderr": subprocess.STDOUT}
        process = subprocess.Popen([self._program(), *arguments], cwd=self.folder, env=past_proxies(self.environment), **options)
        interrupted = False
        while True:
            try:
                status = process.wait()
                break
            except KeyboardInterrupt:
                interrupted = True
        if interrupted:
            raise KeyboardInterrupt
        return status

    def backend(self) -> str:
        """The URL of the backend: `file:///…`, `s3://…`, `https://…`."""
        return self.environment.get("PULUMI_BACKEND_URL") or str(json.loads(self.ask("whoami", "--json", "--non-interactive"))["url"])

    def stacks(self) -> list[str]:
        """The names of the project's stacks in the backend."""
        return [entry["name"].split("/")[-1] for entry in json.loads(self.ask("stack", "ls", "--json", "--non-interactive"))]

    def state(self, stack: str) -> dict[str, Any]:
        """The stack's state as `pulumi stack export` gives it: `{"version": …, "deployment": {…}}`.

        Secrets in it stay encrypted.
        Raises UserError with pulumi's own words when it can't be read.
        """
        done = self.run("stack", "export", "--non-interactive", "--stack", stack)
        if done.returncode != 0:
            raise failure(done, f"the state of stack {stack} can't be read")
        exported: dict[str, Any] = json.loads(done.stdout)
        return exported

    def outputs(self, stack: str) -> dict[str, Any]:
        """The stack's outputs, as `pulumi stack output --json` gives them."""
        outputs: dict[str, Any] = json.loads(self.ask("stack", "output", "--json", "--non-interactive", "--stack", stack))
        return outputs

    def plan(self, stack: str) -> list[dict[str, Any]]:
        """The steps of a preview, as `pulumi preview --json` lists them.

        Raises UserError with the program's own words when it fails.
        """
        done = self.run("preview", "--json", "--non-interactive", "--stack", stack)
        try:
            preview: dict[str, Any] = json.loads(done.stdout)
        except ValueError:
            preview = {}
        if done.returncode != 0:
            said = [each["message"].strip() for each in preview.get("diagnostics", []) if each.get("severity") == "error"]
            raise failure(done, said="\n".join(said) or done.stderr)
        steps: list[dict[str, Any]] = preview.get("steps") or []
        return steps

    def _program(self) -> str:
        """Which pulumi; on Windows, subprocess itself would search this process' own PATH.

        Raises UserError where there is none.
        """
        found = shutil.which("pulumi", path=self.environment.get("PATH"))
        if found is None:
            raise UserError("`pulumi` is not on PATH.", "Put it there: `. .dev/env` in this project's folder, or install the CLI.")
        return found
