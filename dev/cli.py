"""The command line `python -m dev`: what a development machine needs, one command each."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from dev import command_line
from dev.checks import lint, lock, soak, test
from dev.doctor.command import doctor
from dev.lifecycle import destroy, down, up
from dev.machine import DevMachine, one_at_a_time
from dev.nodes import kill_node, start_node
from dev.purge import purge
from dev.stack import leave_other_clones
from ops.commands.accept import accept
from ops.commands.drift import drift
from ops.commands.snapshot import snapshot
from ops.commands.volumes import prune_command, volumes
from review import preview


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.pass_context
def cli(context: click.Context) -> None:
    """Everything that a development machine needs for storage-tiers.

    \b
    First time:  python -m dev up   (the same as `make up`)
    Afterwards:  . .dev/env         (then plain `pulumi` and `kubectl` act on this clone's stack)
    """
    context.obj = DevMachine()  # for the commands of ops: the same ones, on this clone's cluster


@cli.command("preview")
@click.option("--stack", "stacks", multiple=True, default=["dev"], show_default=True, help="Which stack; may be given several times.")
@click.option("--all", "every", is_flag=True, help="Every stack that has a settings file.")
@click.option("--base", metavar="REVISION", help="A git revision, such as origin/main: say what a merge would change.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there, for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and everything else to standard error.")
def preview_command(stacks: tuple[str, ...], every: bool, base: str | None, markdown: Path | None, as_json: bool) -> None:
    """`pulumi preview` with the policy pack, on a copy.

    It needs no cluster and no credentials, and nothing changes.
    """
    raise SystemExit(preview.run([] if every else stacks, base, markdown, as_json))


@cli.command("rehearse")
@click.option("--stack", required=True, help="Which cloud stack: Pulumi.<stack>.yaml.")
def rehearse_command(stack: str) -> None:
    """A real `pulumi up` of a cloud stack on a throw-away cluster.

    Its volumes are real disks there where the machine lets them be (docs/migrate.md), else a local
    provisioner answers to the driver's name.
    """
    from dev.rehearsal import rehearse  # noqa: PLC0415 - a command of its own need not wait for it

    with one_at_a_time("rehearsal.lock", "rehearsing a stack"):
        rehearse(stack)


for command in (
    doctor,
    up,
    down,
    destroy,
    volumes,
    prune_command,
    drift,
    snapshot,
    accept,
    purge,
    kill_node,
    start_node,
    test,
    soak,
    lint,
    lock,
):
    cli.add_command(command)


def main() -> NoReturn:
    """Run the command line."""
    leave_other_clones()
    command_line.run(cli, "python -m dev")
