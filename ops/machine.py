"""The machine that a command runs on: how it reaches a stack's cluster, state and volumes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from components.kube.api import KubeApi
from ops.kube import open_api
from ops.pulumi_command import Pulumi
from ops.settings import load_settings
from ops.volumes.stack_volumes import StackVolumes


class Machine:
    """An operator's own: the kubeconfig, the `pulumi` and the backend are those of the shell.

    A command line whose commands run elsewhere puts an object of a subclass into its click context,
    as `python -m dev` does.
    """

    @contextmanager
    def volumes(self, stack: str, *, saved: Path | None = None, quiet: bool = False) -> Iterator[StackVolumes]:
        """The stack's volumes, while one command works with them.

        `saved` is a list that `volumes --json` printed before.
        `quiet`: standard output is for the command's JSON alone.
        Raises UserError where the cluster can't be reached.
        """
        del quiet  # nothing is said here
        yield StackVolumes(load_settings(stack), list_file=saved)

    def state_and_cluster(self, stack: str, *, quiet: bool = False) -> tuple[Pulumi, KubeApi]:
        """What reads the stack's state, and its cluster; `quiet` as above.

        Raises UserError where one of them can't be reached.
        """
        del quiet
        return Pulumi(), open_api(load_settings(stack).cluster.context)

    def cluster_for_engines(self, stack: str, *, quiet: bool = False) -> KubeApi:
        """The stack's cluster, with the images of its engines where this machine makes them.

        `quiet` as above. Raises UserError where it can't be reached.
        """
        del quiet
        return open_api(load_settings(stack).cluster.context)

    def way_to_adopt(self, stack: str) -> str:
        """How a person adopts old volumes, in words for the list of them."""
        return f"`python -m ops volumes adopt --stack {stack}`, then `pulumi up`"

    def prune_command(self, stack: str) -> str:
        """The command that prunes, without names."""
        return f"python -m ops volumes prune --stack {stack}"


pass_machine = click.make_pass_decorator(Machine, ensure=True)
