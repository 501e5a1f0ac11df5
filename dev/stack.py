"""Running `pulumi` for a stack of this project: its environment, its state, its settings file, its outputs.

Everything goes through the `pulumi` command itself, with the output that Pulumi users know: nothing that happens here
can't also be done by hand after `. .dev/env`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.labels import of_stack
from components.settings import PROJECT
from dev import paths
from dev.cluster import Access
from dev.engine import Engine
from ops.errors import UserError

_TIME_TO_END = 10.0  # seconds that an interrupted pulumi has to let go of its state


@dataclass(frozen=True)
class Session:
    """What a `pulumi` command of this clone needs to find: the engine's folders, a kubeconfig, the state."""

    engine: Engine
    access: Access

    @property
    def folders(self) -> str:
        """What goes in front of PATH: the engine's folders, then the virtual environment's."""
        return os.pathsep.join(map(str, (*self.engine.folders, paths.SCRIPTS)))

    def variables(self) -> dict[str, str]:
        """The environment variables of a run, over those that the user has set: a backend or passphrase of the user's own wins."""
        changed = {"PATH": os.pathsep.join([self.folders, os.environ.get("PATH", "")]), "PULUMI_SKIP_UPDATE_CHECK": "true"}
        if self.access.kubeconfig:
            changed["KUBECONFIG"] = str(self.access.kubeconfig)
        changed.update({name: value for name, value in _defaults().items() if not _is_set(name)})
        return changed

    def environment(self) -> dict[str, str]:
        """The whole environment of a `pulumi` or `kubectl` run."""
        return {**os.environ, **self.variables()}

    def write_env(self) -> None:
        """Write `.dev/env` (and `.dev/env.ps1`), so that plain `pulumi` and `kubectl` do the same in the user's own shell."""
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
        for name, value in _defaults().items():
            lines.append(f'[ -n "${{{name}+set}}" ] || export {name}={shlex.quote(value)}')
            powershell.append(f'if (-not (Test-Path env:{name})) {{ $env:{name} = "{value}" }}')
        paths.ENV_FILE.write_text("\n".join(lines) + "\n", encoding="utf-8")
        paths.ENV_FILE.with_suffix(".ps1").write_text("\r\n".join(powershell) + "\r\n", encoding="utf-8")

    def pulumi(self, *arguments: str) -> int:
        """Run `pulumi` with its output on the terminal and return its exit status.

        Ctrl-C reaches pulumi itself (it is in the same process group) and it then ends what it has begun: wait for that.
        """
        process = subprocess.Popen(["pulumi", *arguments], cwd=paths.ROOT, env=self.environment())
        interrupted = False
        while True:
            try:
                status = process.wait()
                return 130 if interrupted else status
            except KeyboardInterrupt:
                interrupted = True

    def ask(self, *arguments: str) -> str:
        """Run `pulumi` quietly and return what it prints; raises UserError with its own words when it fails."""
        return _captured(["pulumi", *arguments], self.environment())

    def select(self, stack: str) -> None:
        """Make `stack` the selected one, and make it where it does not exist yet.

        Raises UserError when it is new in this clone's own state but the cluster has its objects: `pulumi up` would fail at
        the first of them, with "already exists".
        """
        if not _is_set("PULUMI_BACKEND_URL"):
            paths.STATE.mkdir(parents=True, exist_ok=True)
            known = (paths.STATE / ".pulumi" / "stacks" / PROJECT / f"{stack}.json").exists()
            strays = [] if known else self._objects_of(stack)
            if strays:
                raise UserError(
                    f"the cluster has {', '.join(strays)} of stack {stack}, and the state in {paths.STATE} doesn't know of it: that "
                    "state was deleted, or another clone made them.",
                    "Put that state back. Or, on a dev cluster, `make purge` deletes everything in it, all volumes included.",
                )
        self.ask("stack", "select", "--create", "--non-interactive", stack)

    def _objects_of(self, stack: str) -> list[str]:
        """The namespaces and classes in the cluster that a stack of this name has made; none where the cluster doesn't answer."""
        from kubernetes import client, config  # noqa: PLC0415 - 0.4 s, and needed only for a new stack
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        labels = ",".join(f"{name}={value}" for name, value in of_stack(stack).items())
        ours = {"label_selector": labels, "_request_timeout": 10}
        try:
            kubeconfig = str(self.access.kubeconfig) if self.access.kubeconfig else None
            api = config.new_client_from_config(kubeconfig, self.access.context)
            found = [
                *(("namespace", each) for each in client.CoreV1Api(api).list_namespace(**ours).items),
                *(("StorageClass", each) for each in client.StorageV1Api(api).list_storage_class(**ours).items),
            ]
        except (ApiException, HTTPError, config.ConfigException):
            return []
        return [f"{kind} {each.metadata.name}" for kind, each in found]

    def stacks(self) -> list[str]:
        """The names of the stacks in the state."""
        return [entry["name"].split("/")[-1] for entry in json.loads(self.ask("stack", "ls", "--json"))]

    def outputs(self, stack: str) -> dict[str, Any]:
        """The stack's outputs, as `pulumi stack output --json` gives them."""
        outputs: dict[str, Any] = json.loads(self.ask("stack", "output", "--json", "--stack", stack))
        return outputs


def _defaults() -> Mapping[str, str]:
    return {"PULUMI_BACKEND_URL": paths.STATE.as_uri(), "PULUMI_CONFIG_PASSPHRASE": ""}


def _is_set(name: str) -> bool:
    if name == "PULUMI_CONFIG_PASSPHRASE" and "PULUMI_CONFIG_PASSPHRASE_FILE" in os.environ:
        return True
    return name in os.environ


def _captured(command: Sequence[str], environment: Mapping[str, str]) -> str:
    process = subprocess.Popen(
        command, cwd=paths.ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, problems = process.communicate()
    except KeyboardInterrupt:  # it has reached pulumi too: killed at once, as `subprocess.run` does, it would leave its lock
        try:
            process.wait(_TIME_TO_END)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            process.kill()
        raise
    if process.returncode != 0:
        last_words = (problems.strip() or output.strip()).splitlines()[-5:]
        raise UserError(f"`{shlex.join(command)}` failed:\n  " + "\n  ".join(last_words))
    return output
