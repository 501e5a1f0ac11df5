"""`python -m ops snapshot`: sets of snapshots of a service's volumes, taken and listed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from components.kube.errors import ApiError
from ops.command_line import DEFAULT_STACK, option_of, stack_option
from ops.console import console, say, step
from ops.errors import UserError
from ops.machine import Machine, pass_machine
from ops.snapshots.freezing import Freeze, NotLetGo
from ops.snapshots.listing import as_json as listed
from ops.snapshots.listing import table
from ops.snapshots.outcomes import Outcomes
from ops.snapshots.refusals import refuse_without_class, refuse_without_driver, services_of, sets_of
from ops.snapshots.removing import remove, shared, surplus
from ops.snapshots.sets import SnapshotSet, find_sets
from ops.snapshots.taking import Take, bound
from ops.volumes.stack_volumes import StackVolumes


@click.group(invoke_without_command=True)
@stack_option
@click.option("--service", "services", multiple=True, help="Which service; may be given several times. By default all, a set each.")
@click.option("--keep", type=click.IntRange(min=1), metavar="N", help="Then delete the service's oldest complete sets beyond N.")
@click.option("--before", default="", metavar="COMMAND", help="Run on this machine before the snapshots are taken, to hold writes.")
@click.option("--after", default="", metavar="COMMAND", help="Run when they are taken, and on every way out: a failure, Ctrl-C.")
@pass_machine
@click.pass_context
def snapshot(
    context: click.Context, machine: Machine, stack: str, services: tuple[str, ...], *, keep: int | None, before: str, after: str
) -> None:
    """Take a set of snapshots of all volumes of a service, side by side, and wait until it can be
    restored.

    Each volume is as a power cut at its moment would have left it; the moments are a little apart.
    `volumes adopt --from-snapshot SET` is the way back.
    """
    if context.invoked_subcommand is None:
        if before and not after:
            raise UserError("--before is given without --after.", "Give both: what --before holds, --after must let go.")
        with machine.volumes(stack) as found:
            _take(found, services, keep, before, after)


@snapshot.command("list")
@click.option("--stack", default=None, help="Which stack: Pulumi.<stack>.yaml.  [default: dev]")
@click.option("--json", "as_json", is_flag=True, help="The sets as JSON.")
@pass_machine
@click.pass_context
def list_command(context: click.Context, machine: Machine, stack: str | None, as_json: bool) -> None:
    """The stack's sets of snapshots: age, volumes, size, and whether they can be restored."""
    chosen = stack or (context.parent.params if context.parent else {}).get("stack", DEFAULT_STACK)
    with machine.volumes(chosen, quiet=as_json) as found:
        sets, now = sets_of(found), datetime.now(UTC)
        if as_json:
            click.echo(json.dumps(listed(sets, found.settings, now), indent=2))
        elif sets:
            console.print(table(sets, found.settings, now))
        else:
            say(f"Stack {chosen} has no sets of snapshots. `python -m ops snapshot{option_of(chosen)}` takes one.")


def _take(stack: StackVolumes, chosen: tuple[str, ...], keep: int | None, before: str, after: str) -> None:
    services = services_of(stack, chosen)
    seen = stack.look()
    refuse_without_driver(stack, services, seen)
    refuse_without_class(stack, services)
    for service in services:
        bound(stack, service, seen)  # all that can be told is told before anything is taken
    made = _take_each(stack, services, before, after)
    if made.problems:
        hint = f"--keep {keep} has deleted nothing: it does once all new sets can be restored." if keep else ""
        raise made.error(hint)
    if keep:
        _keep(stack, list(made.sets.values()), keep)


def _take_each(stack: StackVolumes, services: Sequence[str], before: str, after: str) -> Outcomes:
    """A set of each service, one after the other. What fails with one says nothing of the next."""
    name = stack.settings.stack
    made = Outcomes(services)
    for service in services:
        variables = {"STACK": name, "NAMESPACE": stack.namespace, "SERVICE": service}
        try:
            # The set before it may have taken hours: it is looked at anew.
            take = Take(stack, service, datetime.now(UTC).replace(microsecond=0), Freeze(before, after, variables))
            made.sets[service] = found = take.take(stack.look())
        except (UserError, ApiError) as problem:
            if len(services) == 1:
                raise
            made.problems[service] = problem
            if isinstance(problem, NotLetGo):
                break  # what stands still is seen to first
        except BaseException:  # Ctrl-C
            if len(services) > 1:
                say("\n".join(["What became of each service:", *made.lines(now=service)]))
            raise
        else:
            say(f"Back to it: `python -m ops volumes adopt --from-snapshot {found.name}{option_of(name)}`, then `pulumi up`.")
    return made


def _keep(stack: StackVolumes, taken: Sequence[SnapshotSet], keep: int) -> None:
    """Delete each service's oldest complete sets beyond the `keep` newest, of which the one just
    taken is one. Raises UserError with all that could not be deleted.
    """
    problems = []
    for new in taken:
        for old in surplus(find_sets(stack.api.kube, stack.namespace, stack.settings.stack, new.service), new, keep):
            others = shared(stack, old.parts)
            if others:
                say(f"Set {old.name} stays: VolumeSnapshotContent {', '.join(others)} has its data in the same copy.")
                continue
            with step(f"Set {old.name}: deleting, --keep {keep}"):
                left = remove(stack, old.parts)
            if left:
                problems.append(f"set {old.name} is told to go, and {', '.join(left)} is not gone yet.")
    if problems:
        raise UserError("\n".join(problems), f"Complete: {', '.join(new.name for new in taken)}.")
