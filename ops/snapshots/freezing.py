"""Holding a service's writes while its snapshots are taken, by commands of the user's.

They run on this machine, with the rights of whoever runs this: a `kubectl exec` in them reaches
whatever pod it is for. That the second one runs is what this module is about.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType

from components.canary.signals import raise_on_hangup, undisturbed
from ops.console import say
from ops.errors import UserError

SECONDS = 60  # for each of the commands


class NotLetGo(UserError):
    """`--after` has failed, and nothing else has: what `--before` has stopped may still stand."""


@dataclass
class Freeze:
    """`before` is run before snapshots are asked for, `after` when all are taken, or on any way
    out: a failure, Ctrl-C, a terminal that is closed.

    Raises UserError where `before` fails, NotLetGo where only `after` does.

    Either is a line for the shell, empty for none. From then on a hangup of the terminal is a
    Ctrl-C. `variables` are added to their environment.
    """

    before: str = ""
    after: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> Freeze:
        raise_on_hangup()
        if self.before:
            try:
                failed = self._run(self.before)
            except BaseException:  # Ctrl-C: it may have frozen something by then
                self._thaw()
                raise
            if failed:
                self._thaw()
                raise UserError(f"--before failed: {failed}.")
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        failed = self._thaw()
        if failed and kind is None:
            raise NotLetGo(f"--after failed: {failed}.", f"What --before has stopped may still stand. Run it by hand: {self.after}")

    def _thaw(self) -> str:
        """Run `after`; once more where it failed. Why it failed, empty where it didn't."""
        if not self.after:
            return ""
        with undisturbed():
            failed = self._run(self.after) and self._run(self.after)
        if failed:
            say(f"--after failed: {failed}. What --before has stopped may still stand. Run it by hand: {self.after}")
        return failed

    def _run(self, line: str) -> str:
        """Run a line in a session of its own, out of the reach of a Ctrl-C at the terminal.

        Why it failed, empty where it didn't.
        """
        run = subprocess.Popen(line, shell=True, env={**os.environ, **self.variables}, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            status = run.wait(SECONDS)
        except BaseException as problem:
            _end(run)
            if isinstance(problem, subprocess.TimeoutExpired):
                return f"`{line}` has not ended in {SECONDS} s"
            raise
        return f"`{line}` ended with exit status {status}" if status else ""


def _end(run: subprocess.Popen[bytes]) -> None:
    """End a command with all that it has started."""
    if sys.platform == "win32":
        run.kill()
    else:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
