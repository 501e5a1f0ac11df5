"""`python -m ops volumes`: list, adopt, prune. `make up` uses some of the functions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from components.kube.errors import ApiError
from ops.command_line import DEFAULT_STACK, stack_option, yes_option
from ops.console import console, say, step
from ops.errors import UserError
from ops.kube import explained
from ops.machine import Machine, pass_machine
from ops.move.records import unproven_from
from ops.snapshots.refusals import chosen_set
from ops.snapshots.restoring import restore
from ops.volumes import listing, prune
from ops.volumes.matching import AdoptionPlan
from ops.volumes.saved import SavedVolume
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes, said_reserved
from ops.volumes.trouble import to_do_for_binding
from ops.volumes.usage import used_bytes
from ops.volumes.volume import Volume


def _inner_stack(context: click.Context, _: click.Parameter, given: str | None) -> str:
    """The stack of a command in `volumes`: its own option, else that of `volumes`, else the
    default.
    """
    outer = context.parent.params if context.parent else {}
    return given or outer.get("stack", DEFAULT_STACK)


@click.group(invoke_without_command=True)
@stack_option
@click.option("--json", "as_json", is_flag=True, help="The list as JSON: it can be saved, and given back to `adopt --from`.")
@pass_machine
@click.pass_context
def volumes(context: click.Context, machine: Machine, stack: str, as_json: bool) -> None:
    """The stack's volumes: list them; give old ones back to their claims (adopt); delete old ones
    (prune).

    Listing also labels each volume that is bound to a claim of the stack with what it holds.
    """
    if context.invoked_subcommand is None:
        with machine.volumes(stack, quiet=as_json) as found:
            show(found, as_json, machine.way_to_adopt(stack))


def _an_age(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    """The text as it is, refused before a cluster is asked for anything."""
    if given is not None:
        prune.parse_age(given)
    return given


inner_stack_option = click.option("--stack", callback=_inner_stack, help="Which stack: Pulumi.<stack>.yaml.  [default: dev]")


@volumes.command("adopt")
@inner_stack_option
@click.option("--from", "saved", type=click.Path(path_type=Path), help="A list that `volumes --json` printed before the cluster was lost.")
@click.option("--from-snapshot", "snapshot", metavar="SET", help="Make new volumes for a service's claims, from a set of snapshots.")
@pass_machine
def adopt_command(machine: Machine, stack: str, saved: Path | None, snapshot: str | None) -> None:
    """Reserve for each claim without a volume the one that was its own; `pulumi up` then makes the
    claims, and they bind.

    All or nothing: where one volume is in doubt, nothing is reserved, and the choices are listed.

    With --from-snapshot the volumes are made from a set that `snapshot list` shows, for the claims
    of its service alone, and never for a claim that has a volume (docs/snapshots.md).
    """
    if saved and snapshot:
        raise UserError("--from and --from-snapshot can't be given together.", "Give the one or the other.")
    with machine.volumes(stack, saved=saved) as found:
        if snapshot:
            found.wanted = restore(found, chosen_set(found, snapshot))
        adopt(found)


@volumes.command("prune")
@click.argument("names", nargs=-1)
@inner_stack_option
@click.option("--older-than", callback=_an_age, help="All that have been Released for longer than this: 30d, 12h, 45m or 2w.")
@yes_option
@pass_machine
def prune_command(machine: Machine, names: tuple[str, ...], stack: str, older_than: str | None, yes: bool) -> None:
    """Delete Released volumes of the stack and their data: those NAMEd, or all of some age. Without
    either, list them.
    """
    with machine.volumes(stack) as found:
        delete_old(found, names, older_than, yes, machine.prune_command(stack))


def show(stack: StackVolumes, as_json: bool, adopt: str) -> None:
    """Print the stack's volumes; `adopt` is how the user adopts, in words for the table."""
    stack.stamp()
    seen = stack.look()
    found, lost = _records(stack, seen, adopt), listing.lost_claims(stack.settings, seen)
    if as_json:
        click.echo(listing.saved_list(stack.settings, found, lost).model_dump_json(by_alias=True, indent=2))
        return
    if not found and not lost:
        say(f"Stack {stack.settings.stack} has no volumes in the cluster of context {stack.settings.cluster.context}.")
        return
    if found:
        console.print(listing.table(found, datetime.now(UTC)))
    for line in listing.details(found):
        say(line)
    for broken in lost:
        say(f"Claim {broken.namespace}/{broken.claim} is without its volume {broken.volume}, which was deleted:")
        say(f"  {to_do_for_binding(broken, stack.settings.stack)}")


def _records(stack: StackVolumes, seen: ObservedVolumes, adopt: str) -> list[SavedVolume]:
    ours = listing.of_stack(stack.settings, stack.wanted, seen)
    used = used_bytes(ours, stack.api, stack.folder)
    return listing.records(stack, seen, used, adopt)


def adopt(stack: StackVolumes) -> None:
    """Reserve, and where the claims are there already wait until they are bound."""
    stack.stamp()
    plan = reserve(stack)
    there = {claim["metadata"]["name"] for claim in stack.look().claims}
    waiting = AdoptionPlan(gives={wanted: volume for wanted, volume in plan.gives.items() if wanted.name in there})
    stack.wait_bound(waiting)
    if len(waiting.gives) < len(plan.gives):
        say("Next: `pulumi up` makes the claims; each is bound to the volume that is reserved for it.")


def stamp(stack: StackVolumes) -> None:
    """Stamp, or say why that can't be: what a run does besides must not fail for want of the right
    to label volumes.
    """
    try:
        stack.stamp()
    except ApiError as problem:
        say(f"The volumes could not be labelled with what they hold: {explained(problem)}")


def reserve(stack: StackVolumes) -> AdoptionPlan:
    """Reserve, and say for which claim what.

    What is being deleted under a claim is declared again first.
    """
    for kept in stack.keep():
        say(f"Volume {kept}.")
    plan = stack.reserve()
    if plan.gives:
        say("Reserved:")
        said_reserved(plan)
    if plan.new:
        say(f"No old volume was found for {', '.join(map(str, plan.new))}: a new one, when a pod uses the claim.")
    if not plan.gives and not plan.new:
        say("Every claim has its volume already.")
    return plan


def delete_old(stack: StackVolumes, names: tuple[str, ...], older_than: str | None, yes: bool, command: str) -> None:
    """Prune, after showing what and how much, and asking."""
    if names and older_than:
        raise UserError("names and --older-than can't be given together.", "Give the one or the other.")
    limit = prune.parse_age(older_than) if older_than else None
    stack.stamp()
    seen = stack.look()
    may = prune.candidates(seen.volumes, stack.settings)
    doomed = prune.chosen(seen.volumes, stack.settings, names, limit, datetime.now(UTC)) if names or older_than else may
    doomed = not_being_moved(doomed, named=bool(names))
    for volume in may if older_than else []:
        reason = prune.by_name_alone(volume, stack.settings)
        if reason:
            say(f"Pruned by its name alone: {volume.name}, which {reason}.")
    if not doomed:
        say(f"Stack {stack.settings.stack} has no Released volume{f' of {older_than} or older' if older_than else ''} to prune.")
        return
    with step("Volumes: measuring"):
        _show_doomed(stack, doomed)
    if not names and not older_than:
        say("Nothing was deleted. These, each with its data, are deleted by:")
        say(f"  {command} <name> …")
        say(f"  {command} --older-than 30d")
        return
    what = "this volume and its" if len(doomed) == 1 else f"these {len(doomed)} volumes and their"
    if not yes and not click.confirm(f"Delete {what} data for good?"):
        raise SystemExit(1)
    left = prune.delete(stack, doomed)
    if left:
        raise UserError("\n".join(["not everything was deleted:", *(f"  {line}" for line in left)]), "Run the same command again later.")
    say("Deleted.")


def not_being_moved(doomed: list[Volume], *, named: bool) -> list[Volume]:
    """Without those whose data a move has begun to copy, and hasn't proven on its target.

    Raises UserError where one was named.
    """
    moving = {volume.name: again for volume in doomed if volume.claim and (again := unproven_from(volume.claim.uid))}
    reasons = [f"{name} is what a move copies that isn't proven yet: `{again.command}`" for name, again in moving.items()]
    if reasons and named:
        folders = ", ".join(sorted(str(again.folder) for again in moving.values()))
        back = sorted({f"`python -m ops volumes adopt{stack}`, `pulumi up{stack}`" for stack in map(_stack_of, doomed)})
        hint = (
            f"To move it all the same, give it back to its claim ({'; '.join(back)}), and begin with an empty target: the claim is another "
            f"one then. A move that nobody wants any more is given up: with --live by its command with --cancel, any other by removing its "
            f"folder: {folders}"
        )
        raise UserError("\n".join(["these volumes are not pruned, and so none is:", *(f"  {each}" for each in reasons)]), hint)
    for reason in reasons:
        say(f"Kept: {reason}.")
    return [volume for volume in doomed if volume.name not in moving]


def _show_doomed(stack: StackVolumes, doomed: list[Volume]) -> None:
    used = used_bytes(doomed, stack.api, stack.folder)
    for volume in doomed:
        size = listing.readable(used[volume.name]) if volume.name in used else "size unknown"
        since = f"{volume.phase} since {volume.since:%Y-%m-%d %H:%M} UTC" if volume.since else volume.phase
        stamp = volume.stamp
        say(f"  {stamp.service if stamp else '?'} {stamp.ordinal if stamp else ''}  {volume.name}  {size}, {since}, {volume.location}")
    unknown = " and what can't be measured" if any(volume.name not in used for volume in doomed) else ""
    say(f"  in all: {len(doomed)} volume{'s' if len(doomed) > 1 else ''}, {listing.readable(sum(used.values()))}{unknown}")


def _stack_of(volume: Volume) -> str:
    """The option that names the stack whose data it holds."""
    return f" --stack {volume.stamp.stack}" if volume.stamp else ""
