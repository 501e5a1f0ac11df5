"""What `pulumi` needs for a stack of this clone: its environment, and a stack that is whole.

Everything goes through the `pulumi` command itself, with the output that Pulumi users know: nothing
that happens here can't also be done by hand after `. .dev/env`.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.settings import Settings
from dev.paths import ENV_FILE, KUBECONFIG, STATE
from devkube import paths
from devkube.cluster import Access, is_of_a_clone
from devkube.engine import Engine
from ops import engine_calls
from ops.healing import orphans
from ops.healing.killed_run import end_killed_run
from ops.pulumi_command import Pulumi


def kubeconfig_of(access: Access) -> str | None:
    """The kubeconfig's path; None for the one that kubectl would use."""
    return str(access.kubeconfig) if access.kubeconfig else None


# What `.dev/env` of any clone sets: its own state.
_OF_A_CLONE = re.compile(r"file://.*/\.dev/state/?")


@dataclass(frozen=True)
class Session:
    """What a `pulumi` command of this clone has to find: the engine, a kubeconfig, the state."""

    engine: Engine
    access: Access

    @property
    def folders(self) -> str:
        """What goes in front of PATH: the engine's folders, then the virtual environment's."""
        return os.pathsep.join(map(str, (*self.engine.folders, paths.SCRIPTS)))

    def variables(self) -> dict[str, str]:
        """The environment variables of a run, over those that the user has set.

        A backend or passphrase of the user's own wins.
        """
        changed = {"PATH": os.pathsep.join([self.folders, os.environ.get("PATH", "")]), "PULUMI_SKIP_UPDATE_CHECK": "true"}
        if self.access.kubeconfig:
            changed["KUBECONFIG"] = str(self.access.kubeconfig)
        changed.update({name: value for name, value in _defaults().items() if not _is_set(name)})
        return changed

    def environment(self) -> dict[str, str]:
        """The whole environment of a `pulumi` or `kubectl` run."""
        return {**os.environ, **self.variables()}

    def write_env(self) -> None:
        """Write `.dev/env` and `.dev/env.ps1`: plain `pulumi` and `kubectl` for the user's
        shell.
        """
        paths.DOT_DEV.mkdir(exist_ok=True)
        joined = self.folders
        lines = [
            "# Written by `make up`; use it with `. .dev/env`. Plain `pulumi` and `kubectl` then act on this clone's stack.",
            f'case "$PATH" in {shlex.quote(joined)}:*) ;; *) export PATH={shlex.quote(joined)}:"$PATH" ;; esac',
        ]
        powershell = ["# Written by `python -m dev up`; use it with `. .dev/env.ps1`.", f'$env:PATH = "{joined};$env:PATH"']
        if self.access.kubeconfig:
            lines.append(f"export KUBECONFIG={shlex.quote(str(self.access.kubeconfig))}")
            powershell.append(f'$env:KUBECONFIG = "{self.access.kubeconfig}"')
        lines.append(engine_calls.SHELL)
        powershell.append(engine_calls.POWERSHELL)
        for name, value in _defaults().items():
            if name == "PULUMI_BACKEND_URL":  # another clone's, set by its `.dev/env`, gives way
                lines.append(f'case "${{{name}-file:///.dev/state}}" in file://*/.dev/state) export {name}={shlex.quote(value)} ;; esac')
                powershell.append(
                    f"if (-not $env:{name} -or $env:{name} -match '^file://.*/\\.dev/state$') {{ $env:{name} = \"{value}\" }}"
                )
                continue
            lines.append(f'[ -n "${{{name}+set}}" ] || export {name}={shlex.quote(value)}')
            powershell.append(f'if (-not (Test-Path env:{name})) {{ $env:{name} = "{value}" }}')
        ENV_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        ENV_FILE.with_suffix(".ps1").write_text("\r\n".join(powershell) + "\r\n", encoding="utf-8")

    def pulumi(self, stack: str) -> Pulumi:
        """The `pulumi` for runs on `stack`.

        What it starts can be told from anybody else's, should it be killed.
        """
        environment = self.environment()
        return Pulumi({**environment, orphans.RUN: orphans.mark(environment["PULUMI_BACKEND_URL"], stack)})

    def select(self, settings: Settings, *, destroying: bool = False) -> None:
        """Make the settings' stack the selected one, and heal what a killed run has left of it.

        It is made where it doesn't exist yet. `destroying`: a destroy comes next.
        Raises UserError for what can't be healed without a person's word.
        """
        if not _is_set("PULUMI_BACKEND_URL"):
            STATE.mkdir(parents=True, exist_ok=True)
        from ops.healing.healing import Healing  # noqa: PLC0415 - brings what `make down` need not wait for
        from ops.healing.objects import Objects  # noqa: PLC0415
        from ops.healing.quotas import recount  # noqa: PLC0415
        from ops.kube import open_api  # noqa: PLC0415

        stack = settings.stack
        pulumi = self.pulumi(stack)
        end_killed_run(pulumi, stack)
        pulumi.ask("stack", "select", "--create", "--non-interactive", stack)
        api = open_api(self.access.context, kubeconfig_of(self.access))
        # A dev cluster is this clone's alone. On a cluster of the user's own, another clone may
        # have a stack of this name.
        ours_alone = self.access.kind != "existing"
        Healing(pulumi, Objects(api), settings, api.contexts).complete_state(ours_alone=ours_alone, destroying=destroying)
        recount(api, settings.namespace.name, stack)


def _defaults() -> Mapping[str, str]:
    return {"PULUMI_BACKEND_URL": STATE.as_uri(), "PULUMI_CONFIG_PASSPHRASE": ""}


def backend_of_the_users() -> str | None:
    """The backend that the user has set, or None.

    The state of another clone, whose `.dev/env` was read in this shell, is nobody's setting.
    """
    backend = os.environ.get("PULUMI_BACKEND_URL")
    return None if backend and backend != STATE.as_uri() and _OF_A_CLONE.fullmatch(backend) else backend


def leave_other_clones() -> None:
    """Forget other clones' kubeconfigs, which reading their `.dev/env` has put into this shell.

    What a command of this clone starts would act on their clusters.
    """
    named = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    kept = [name for name in named if Path(name).resolve() == KUBECONFIG.resolve() or not is_of_a_clone(Path(name))]
    if kept:
        os.environ["KUBECONFIG"] = os.pathsep.join(kept)
    elif named:
        del os.environ["KUBECONFIG"]


def _is_set(name: str) -> bool:
    if name == "PULUMI_BACKEND_URL":
        return backend_of_the_users() is not None
    if name == "PULUMI_CONFIG_PASSPHRASE" and "PULUMI_CONFIG_PASSPHRASE_FILE" in os.environ:
        return True
    return name in os.environ
