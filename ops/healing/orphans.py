"""What a killed engine leaves running: its plugins, its language host with the program, and the
scripts that its commands run.

They must end before anybody looks at the cluster: an orphaned kubernetes plugin goes on with what
it has begun, and an orphaned canary would be swept from under its feet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from ops.paths import ROOT
from ops.processes import end as end_processes

# Set by whoever starts `pulumi` for one stack (`make up` does): a process has it from its engine,
# and no shell has it.
RUN = "STORAGE_TIERS_RUN"

_BACKEND = "PULUMI_BACKEND_URL"
_ADDRESS = re.compile(r"^(--?\w+=)?127\.0\.0\.1:\d+$")  # every plugin is started with its engine's address, as are other servers
# A plugin, or what a language host runs: `pulumi-language-python-exec`, a policy pack; and the same
# of this project's stand-ins.
_PLUGIN = re.compile(r"(^|[/\\])pulumi-(resource|language|analyzer)-[^/\\]*$|^pulumi\.policy$|dev(?:kube)?([./\\])toolchain\3stand_ins\3")
_SCRIPTS = {
    "components.canary.driver": "a canary",
    "components.acceptance.driver": "an engine's acceptance",
    "components/destroy_guard/check.py": "the destroy guard",
}
_TIME_TO_END = 15.0  # seconds: a canary removes its pods, claim and volume on its way out


def mark(backend: str, stack: str) -> str:
    """The value of `RUN` for a run on `stack` in the state of `backend`."""
    return f"{stack} in {backend}"


@dataclass(frozen=True)
class ObservedProcess:
    """What is known of a process: its command line, environment and folder."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path

    @classmethod
    def of(cls, process: psutil.Process) -> ObservedProcess:
        """From the running process. Raises psutil.Error for one that is gone or somebody else's."""
        return cls(tuple(process.cmdline()), process.environ(), Path(process.cwd()))


@dataclass(frozen=True)
class Killed:
    """Whose processes are looked for: those of a run on `stack` in the state of `backend`.

    Plain `pulumi` doesn't pass on which stack it works. Its plugins are known by the project's
    folder and by the variable that names the backend (`named`; None where `pulumi login` has chosen
    it), and count only where no other stack can be meant (`only_stack`).
    """

    stack: str
    backend: str
    named: str | None
    only_stack: bool


def is_of(seen: ObservedProcess, killed: Killed) -> bool:
    """Whether the process was started by an engine that did the run, directly or not."""
    if RUN in seen.environment:
        return seen.environment[RUN] == mark(killed.backend, killed.stack)
    if seen.folder != ROOT or seen.environment.get(_BACKEND) != killed.named:
        return False
    if any(script in seen.command for script in _SCRIPTS):
        return f"--instance={killed.stack}" in seen.command
    return killed.only_stack and all(any(each.search(word) for word in seen.command) for each in (_ADDRESS, _PLUGIN))


def find(killed: Killed) -> list[psutil.Process]:
    """The orphans of the run on this machine, as far as this user may see them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE and is_of(ObservedProcess.of(process), killed) and not _has_engine(process):
                found.append(process)
    return found


def _has_engine(process: psutil.Process) -> bool:
    """Whether a pulumi is above the process, or it is one: what such a process does is under
    way.
    """
    return any(is_engine(each.name()) for each in [process, *process.parents()])


def is_engine(name: str) -> bool:
    """Whether a process of this name is `pulumi` itself, maybe in a wrapper (`.pulumi-wrapped` of
    nixpkgs), and no plugin.
    """
    return "pulumi" in name and not name.startswith(("pulumi-resource", "pulumi-language", "pulumi-analyzer"))


def end(processes: Iterable[psutil.Process]) -> list[str]:
    """End them, and say which those were, by name."""
    orphans = list(processes)
    names = set()
    for process in orphans:
        with suppress(psutil.Error):
            names.add(_name(process))
    end_processes(orphans, _TIME_TO_END)
    return sorted(names)


def _name(process: psutil.Process) -> str:
    """What a person calls the process: a script of this project's by its work, anything else by its
    program.
    """
    words = process.cmdline()
    return next((work for script, work in _SCRIPTS.items() if script in words), process.name())
