"""`python -m dev purge`: deletes the dev cluster, and every volume in it with it."""

from __future__ import annotations

from pathlib import Path

import click

from dev.machine import api_of, cluster_of, one_at_a_time
from dev.paths import STATE
from dev.stack import Session, backend_of_the_users
from devkube.cluster import Access, Cluster, NodeFolder
from devkube.engine import ensure_engine
from devkube.errors import MachineError
from ops.command_line import option_of, stack_option, variable_of, yes_option
from ops.console import say
from ops.errors import UserError
from ops.healing.killed_run import end_killed_run
from ops.volumes.api import VolumesApi
from ops.volumes.stack_volumes import refuse_for_strangers


@click.command()
@stack_option
@yes_option
@click.option("--unseen", is_flag=True, help="Also a cluster that can't be started any more to see whose volumes it holds.")
def purge(stack: str, yes: bool, unseen: bool) -> None:
    """Delete the dev cluster and every volume in it, after showing what and asking.

    Refused while it holds another stack's volumes.
    """
    with one_at_a_time():
        cluster = cluster_of(stack)
        contents = cluster.contents()
        if not contents:
            say("There is no dev cluster of this clone.")
            return
        if not unseen:
            _refuse_for_strangers(cluster, stack)
        say("This deletes for good:")
        for line in contents:
            say(f"  {line}")
        if not yes and not click.confirm("Delete all of it?"):
            raise SystemExit(1)
        _forget(stack)
        cluster.delete()
        say(f"Deleted. `make up{variable_of(stack)}` makes a new one.")


def _refuse_for_strangers(cluster: Cluster, stack: str) -> None:
    """Raise UserError when the cluster holds another stack's volumes.

    Only its API knows, so it is started; not where it has no volumes.
    """
    folder = cluster.folder()
    if folder is None or _is_empty(folder):
        return
    try:
        access = cluster.start()
    except MachineError as problem:
        raise UserError(
            f"the dev cluster can't be started, and only so can it be seen whether it holds another stack's volumes:\n{problem.message}",
            "Repair that and purge again; or, when you know that nobody else's are in it: "
            f"`python -m dev purge{option_of(stack)} --unseen`.",
        ) from None
    refuse_for_strangers(VolumesApi(api_of(access)), stack)


def _is_empty(folder: NodeFolder) -> bool:
    """Whether no node has a volume in it."""
    parts = {folder.here, *map(Path, folder.nodes)}
    return not any(entry not in parts for part in parts if part.is_dir() for entry in part.iterdir())


def _forget(stack: str) -> None:
    """Remove the stack's entry from the state: what it lists is about to be gone.

    Only from the clone's own local state.
    """
    if backend_of_the_users() not in (None, STATE.as_uri()) or not STATE.exists():
        return
    pulumi = Session(ensure_engine(), Access("embedded", "", None)).pulumi(stack)
    end_killed_run(pulumi, stack)
    if stack in pulumi.stacks():
        pulumi.ask("stack", "rm", "--force", "--yes", "--preserve-config", "--non-interactive", "--stack", stack)
