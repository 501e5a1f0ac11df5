"""The command line `python -m ops`: what an operator runs against any stack, one command each."""

from __future__ import annotations

from typing import NoReturn

import click

from ops import command_line
from ops.command_line import stack_option
from ops.commands.accept import accept
from ops.commands.drift import drift
from ops.commands.move import move
from ops.commands.snapshot import snapshot
from ops.commands.volumes import volumes
from ops.healing.killed_run import end_killed_run
from ops.pulumi_command import Pulumi
from ops.settings import load_settings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """What an operator runs against a stack and its cluster.

    The cluster is the context that the stack's settings name. KUBECONFIG says where that context
    is, as for kubectl and pulumi.
    """


cli.add_command(volumes)
cli.add_command(drift)
cli.add_command(accept)
cli.add_command(move)
cli.add_command(snapshot)


@cli.command()
@stack_option
@click.option("--take-over", is_flag=True, help="The state was lost: take the cluster's objects of this stack over into the new one.")
@click.option("--before-destroy", is_flag=True, help="`pulumi destroy` comes next: put back the guard that it must pass.")
def heal(stack: str, take_over: bool, before_destroy: bool) -> None:
    """Put right what a killed run has left: its lock, its processes, what it had begun.

    Then `pulumi up` goes on.

    Objects that a killed run could not note in the state are taken into it when they have the
    stack's labels; somebody else's of the same name are refused by name.
    Nothing is deleted in the cluster. Says nothing where there is nothing to do.
    `make up` and `make destroy` do the same by themselves.
    """
    from ops.healing.healing import Healing  # noqa: PLC0415 - brings what --help need not wait for
    from ops.healing.objects import Objects  # noqa: PLC0415
    from ops.healing.quotas import recount  # noqa: PLC0415
    from ops.kube import open_api  # noqa: PLC0415

    settings = load_settings(stack)
    pulumi = Pulumi()
    end_killed_run(pulumi, stack)
    api = open_api(settings.cluster.context)
    Healing(pulumi, Objects(api), settings, api.contexts).complete_state(ours_alone=take_over, destroying=before_destroy)
    recount(api, settings.namespace.name, stack)


def main() -> NoReturn:
    """Run the command line."""
    command_line.run(cli, "python -m ops")
