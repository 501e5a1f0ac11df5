"""`python -m ops drift`: what differs between a stack and its cluster."""

from __future__ import annotations

import json

import click
from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from components.kube.errors import ApiError
from ops.command_line import stack_option
from ops.console import console, say
from ops.drift.compare import Difference, differences
from ops.drift.reading import declared_objects, look
from ops.errors import UserError
from ops.kube import explained
from ops.machine import Machine, pass_machine

DRIFT = 1  # exit status: something differs
NOT_LOOKED = 3  # exit status: it could not be looked at; click has 2 for a wrong command line


@click.command()
@stack_option
@click.option("--json", "as_json", is_flag=True, help="The differences as JSON.")
@pass_machine
def drift(machine: Machine, stack: str, as_json: bool) -> None:
    """What differs between the stack's state and its cluster: changed fields, deleted or lost
    objects, volumes without protection.

    Nothing is changed. Exit status: 0 no difference, 1 differences, 3 it could not be looked at.
    """
    try:
        pulumi, cluster = machine.state_and_cluster(stack, quiet=as_json)
        declared = declared_objects(stack, pulumi)
        seen = look(cluster, declared)
    except (UserError, ApiError) as problem:
        said = problem if isinstance(problem, UserError) else explained(problem)
        said.status = NOT_LOOKED
        raise said from None
    found = differences(declared, seen, stack)
    if as_json:
        click.echo(json.dumps({"stack": stack, "objects": len(declared), "drift": [each.as_json() for each in found]}, indent=2))
    elif found:
        console.print(table(found))
        say(f"Stack {stack}: {len(found)} difference{'s' if len(found) > 1 else ''} in {len({each.object for each in found})} objects.")
    else:
        say(f"Stack {stack}: its {len(declared)} objects in the cluster are as declared.")
    if found:
        raise SystemExit(DRIFT)


def table(found: list[Difference]) -> Table:
    """The differences, an object's together below its name."""
    shown = Table("Object, and what differs", "Declared", "Found", "What to do", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown.columns:
        column.overflow = "fold"
    last = None
    for each in sorted(found, key=lambda difference: str(difference.object)):
        if each.object != last:
            shown.add_row(f"[bold]{escape(str(each.object))}[/]")
        what = Padding(escape(each.what), (0, 0, 0, 2))
        shown.add_row(what, *map(escape, (each.declared, each.found, each.todo)))
        last = each.object
    return shown
