"""Kills a `pulumi` run, or a part of it, at a chosen moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from tests.program import Program

PARTS = ("engine", "engine and all that it has started", "kubernetes plugin", "language host")
ENDED = "nothing: it had ended"
# Seconds that an engine is stopped, and runs, while the moment is waited for.
STOPPED, RUNNING = 0.06, 0.03


class Run:
    """A `pulumi up` or `destroy` under way, in a session of its own."""

    def __init__(self, program: Program, *arguments: str) -> None:
        self.program = program
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            ["pulumi", *arguments, "--yes", "--skip-preview", "--non-interactive"],
            cwd=program.folder,
            env=program.variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill_after(self, seconds: float, part: str) -> str:
        """Kill a part when the run is so old.

        Says what that was: a run may be faster than the one that was measured.
        """
        try:
            self.process.wait(max(0.0, self.began + seconds - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.kill(part)
            return part
        self.end()
        return ENDED

    def kill(self, part: str) -> None:
        """Kill a part without warning, and wait for the engine's end: it ends by itself when it was
        a plugin that died.
        """
        engine = psutil.Process(self.process.pid)
        below = engine.children(recursive=True)
        targets = [engine]
        if part == "engine and all that it has started":
            targets += below
        elif part != "engine":
            words = {"kubernetes plugin": "pulumi-resource-kubernetes", "language host": "language"}[part]
            with suppress(psutil.Error):
                targets = [each for each in below if any(words in word for word in each.cmdline())]
        for target in targets:
            with suppress(psutil.Error):
                target.kill()
        with suppress(ProcessLookupError):
            os.kill(engine.pid, signal.SIGCONT)
        self.end()

    def end(self) -> str:
        """Wait for its end, and return what it has printed.

        What an orphan still holds open isn't waited for.
        """
        self.process.wait(300)
        return "" if self.process.stdout is None else _available(self.process.stdout.fileno())


def _available(descriptor: int) -> str:
    os.set_blocking(descriptor, False)
    parts = []
    with suppress(BlockingIOError):
        while part := os.read(descriptor, 65536):
            parts.append(part)
    return b"".join(parts).decode(errors="replace")


def stack_file(program: Program) -> Path:
    """Where the state of the program's stack is."""
    return program.folder / "state" / ".pulumi" / "stacks" / "storage-tiers" / f"{program.stack}.json"


def resources(program: Program) -> list[dict[str, Any]]:
    """The state as it is on disk now, whatever lock there is."""
    state = json.loads(stack_file(program).read_text())
    found: list[dict[str, Any]] = state["checkpoint"]["latest"].get("resources") or []
    return found


class WhenNotNoted:
    """Waits for the moment in which the cluster has a new object that the state doesn't have
    yet.
    """

    def __init__(self, program: Program, list_objects: Callable[..., Any], *where: str) -> None:
        """`list_objects` is the official client's, with what it needs to be called:
        `core.list_namespace`, say.
        """
        self.program = program
        self.list_objects = list_objects
        self.where = where
        self.before = self._names()

    def kill(self, run: Run, part: str) -> str | None:
        """Kill the part in such a moment.

        The object's name, or None when the run has ended, or was killed, without one.

        The engine runs for a moment and is stopped for a longer one: what its plugin makes
        meanwhile, it can't note.
        """
        try:
            while run.process.poll() is None:
                run.process.send_signal(signal.SIGSTOP)
                time.sleep(STOPPED)
                made = self._names() - self.before
                beside = sorted(name for name in made if not self._noted(name))
                if beside:
                    run.kill(part)
                    return None if self._noted(beside[0]) else beside[0]  # a thread may have been in the middle of writing it
                self.before |= made
                run.process.send_signal(signal.SIGCONT)
                time.sleep(RUNNING)
        except BaseException:
            run.process.kill()  # it would hold its lock for ever
            raise
        run.end()
        return None

    def _names(self) -> set[str]:
        return {str(each.metadata.name) for each in self.list_objects(*self.where).items}

    def _noted(self, name: str) -> bool:
        return any(each.get("id") == "/".join([*self.where, name]) for each in resources(self.program))


def processes_of(folder: Path) -> list[psutil.Process]:
    """What runs in the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


def timed(action: Callable[[], Any]) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began
