"""`python -m ops drift`: what differs between a stack and its cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from components.kube.errors import ApiError
from ops.command_line import stack_option
from ops.console import console, say
from ops.drift.compare import differences, remarks
from ops.drift.objects import Declared, Difference, LiveObjects
from ops.drift.reading import declared_objects, look
from ops.drift.undeclared import others
from ops.errors import UserError
from ops.kube import explained
from ops.machine import Machine, pass_machine

DRIFT = 1  # exit status: something differs
NOT_LOOKED = 3  # exit status: it could not be looked at; click has 2 for a wrong command line


@click.command()
@stack_option
@click.option("--all", "show_all", is_flag=True, help="Also labels and annotations that others have added, which are no differences.")
@click.option("--json", "as_json", is_flag=True, help="The differences as JSON, and what --all adds.")
@pass_machine
def drift(machine: Machine, stack: str, show_all: bool, as_json: bool) -> None:
    """What differs between the stack's state and its cluster: changed fields, deleted or lost
    objects, volumes that are going or gone, or without protection.

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
        click.echo(json.dumps(_as_json(stack, declared, seen, found), indent=2))
    else:
        if found:
            console.print(table(found))
            say(f"Stack {stack}: {len(found)} difference{'s' if len(found) > 1 else ''} in {len({each.object for each in found})} objects.")
        else:
            say(f"Stack {stack}: its {len(declared)} objects in the cluster are as declared.")
        for each in remarks(declared, seen):
            say(f"No difference, but worth knowing: {each.object} {each.what} {each.found}: {each.todo}.")
        if seen.nodes is None:
            say("Whether the volumes' nodes are there was not looked at: this user may not list nodes (docs/drift.md has the role).")
        if show_all:
            _show_undeclared(list(others(declared, seen.objects)))
    if found:
        raise SystemExit(DRIFT)


def _as_json(stack: str, declared: list[Declared], seen: LiveObjects, found: list[Difference]) -> dict[str, Any]:
    return {
        "stack": stack,
        "objects": len(declared),
        "drift": [each.as_json() for each in found],
        "remarks": [each.as_json() for each in remarks(declared, seen)],
        "undeclared": [each.as_json() for each in others(declared, seen.objects)],
        "nodesRead": seen.nodes is not None,
    }


def _show_undeclared(found: list[Difference]) -> None:
    """What others have added to the stack's objects."""
    if not found:
        say("Nobody has added labels or annotations to them.")
        return
    shown = Table("Object, and what others have added", "Value", box=box.SIMPLE_HEAD, pad_edge=False)
    for each, first in _by_object(found):
        if first:
            shown.add_row(f"[bold]{escape(str(each.object))}[/]")
        shown.add_row(Padding(escape(each.what), (0, 0, 0, 2)), escape(each.found))
    console.print(shown)
    say("These are not declared, storage doesn't read them, and they are no difference.")


def table(found: list[Difference]) -> Table:
    """The differences, an object's together below its name."""
    shown = Table("Object, and what differs", "Declared", "Found", "What to do", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown.columns:
        column.overflow = "fold"
    for each, first in _by_object(found):
        if first:
            shown.add_row(f"[bold]{escape(str(each.object))}[/]")
        what = Padding(escape(each.what), (0, 0, 0, 2))
        shown.add_row(what, *map(escape, (each.declared, each.found, each.todo)))
    return shown


def _by_object(found: list[Difference]) -> Iterator[tuple[Difference, bool]]:
    """The differences by their object, each with whether it is the object's first one."""
    last = None
    for each in sorted(found, key=lambda difference: str(difference.object)):
        yield each, each.object != last
        last = each.object
