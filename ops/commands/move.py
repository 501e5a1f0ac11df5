"""`python -m ops move`: the data of a stack's volumes to another stack's, with proof."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.table import Table

from components.canary.signals import raise_on_hangup
from ops.console import console, duration, errors, say
from ops.errors import UserError
from ops.kube import open_api
from ops.settings import load_settings

NOT_MOVED = 1  # exit status
_MOST = 32  # moves side by side


@click.command()
@click.option("--from", "source", metavar="STACK", help="The stack whose data is moved: Pulumi.<stack>.yaml.")
@click.option("--to", "target", metavar="STACK", help="The stack that gets it.")
@click.option("--from-folder", type=click.Path(path_type=Path), help="Instead of --from: a folder that --to-folder has filled.")
@click.option("--to-folder", type=click.Path(path_type=Path), help="Instead of --to: a folder of this machine, one in it for each claim.")
@click.option("--service", help="Which service; by default all of the stack that is moved from.")
@click.option("--ordinal", type=click.IntRange(min=0), help="Which of the service's volumes; by default all.")
@click.option("--parallel", type=click.IntRange(1, _MOST), default=3, show_default=True, help="How many volumes at a time.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what would be done, and what keeps it from being done; copy nothing.")
@click.option("--verify", is_flag=True, help="Of a move that is done: read the target again, and compare.")
@click.option("--live", is_flag=True, help="PostgreSQL or Kafka, while it runs: a standby, or MirrorMaker 2, that follows the source.")
@click.option("--switch", is_flag=True, help="With --live: bring the last of the source, and end the standby or the mirror.")
@click.option("--cancel", is_flag=True, help="With --live: remove the standby with its copy, or the mirror.")
@click.option("--json", "as_json", is_flag=True, help="The verdicts as JSON, and progress as JSON lines to standard error.")
def move(
    *,
    source: str | None,
    target: str | None,
    from_folder: Path | None,
    to_folder: Path | None,
    service: str | None,
    ordinal: int | None,
    parallel: int,
    only_plan: bool,
    verify: bool,
    live: bool,
    switch: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Copy what is in a stack's volumes to those of another stack, and prove that it is the same.

    Both stacks are up, and nothing uses the claims. The source is mounted read-only and stays as it
    is. What was copied is read back by another pod, and compared: contents, owners, modes, times,
    links, holes, attributes. A move that was cut goes on when it is run again.

    With --live PostgreSQL or Kafka goes on while it is copied, for services whose settings have
    engine.postgresql or engine.kafka. The switch is a step of its own: --live --switch.

    Exit status: 0 everything is there, 1 something isn't, or could not be moved.
    """
    _check_ends(source, target, from_folder, to_folder)
    if only_plan and verify:
        raise UserError("--plan and --verify can't be given together.", "Give the one or the other.")
    if live or switch or cancel:
        given = {"switch": switch, "cancel": cancel, "plan": only_plan, "verify": verify}
        _live([name for name, on in given.items() if on], source, target, service, ordinal, live=live, as_json=as_json)
        return
    # What --help need not wait for.
    from ops.move import afterwards, planning, remembered, session, showing  # noqa: PLC0415
    from ops.move.run import VolumeMove  # noqa: PLC0415

    raise_on_hangup()
    stop = threading.Event()
    if verify:
        moves, sides = remembered.moves(source, _stack(target), from_folder, to_folder, service=service, ordinal=ordinal, stop=stop)
    else:
        moves, sides = planning.moves(_stack(source), _stack(target), from_folder, to_folder, service=service, ordinal=ordinal, stop=stop)
    problems = planning.problems(sides, moves, verify=verify)
    if only_plan:
        _plan(moves, problems, parallel, stop, as_json=as_json)
        return
    if problems and as_json:
        showing.as_json([session.refused(each, problems.get(each.id, []), verify=verify) for each in moves])
    planning.refuse(planning.each_once(problems), "verified" if verify else "moved")
    with showing.shown(moves, as_json=as_json) as look:
        done, failures = session.each_of(moves, VolumeMove.verify if verify else VolumeMove.move, parallel, stop, look)
    verdicts = [verdict for _, verdict in done]
    if as_json:
        showing.as_json([*verdicts, *map(session.describe, failures)])
    else:
        _show_verdicts(verdicts)
    for failure in failures:
        errors.print("[red]error:[/] ", end="")
        errors.print(f"{failure.reason}\n{failure.hint}".rstrip(), markup=False)
    if failures:
        raise SystemExit(NOT_MOVED)
    if not as_json:
        for line in ["Everything is as it was moved."] if verify else afterwards.after_the_copy(sides, verdicts):
            say(line)


def _check_ends(source: str | None, target: str | None, from_folder: Path | None, to_folder: Path | None) -> None:
    if (source is None) == (from_folder is None) or (target is None) == (to_folder is None) or (from_folder and to_folder):
        raise UserError(
            "a move has one source and one target, and one of them is a stack.",
            "Works: --from dev --to aws; --from dev --to-folder DIR; --from-folder DIR --to aws",
        )


def _live(
    given: list[str], source: str | None, target: str | None, service: str | None, ordinal: int | None, *, live: bool, as_json: bool
) -> None:
    """A live move's step: the one that is `given`, or the standby."""
    if not live:
        raise UserError(f"--{given[0]} is a step of a live move.", f"Works: --live --{given[0]}")
    if source is None or target is None:
        raise UserError("--live is from a stack to a stack: a folder runs nothing.", "Works: --from dev --to aws --live")
    if len(given) > 1 or "verify" in given:
        named = " and ".join(f"--{each}" for each in given)
        raise UserError(f"--live can't be given with {named}.", "Give --live alone, or with one of --plan, --switch, --cancel.")
    from ops.move import live_session as session  # noqa: PLC0415

    found = session.moves(_stack(source), _stack(target), service, ordinal, as_json=as_json)
    if given == ["plan"]:
        if not session.plan(found, as_json=as_json):
            raise SystemExit(NOT_MOVED)
        return
    chosen = [*(["--service", service] if service else []), *(["--ordinal", str(ordinal)] if ordinal is not None else [])]
    command = " ".join(["python -m ops move --from", source, "--to", target, *chosen, "--live"])
    step = given[0] if given else "follow"
    session.run(found, step, command, as_json=as_json)


def _stack(name: str | None) -> Any:  # noqa: ANN401 - see planning.StackAndApi
    from ops.move.planning import StackAndApi  # noqa: PLC0415

    if name is None:
        return None
    settings = load_settings(name)
    return StackAndApi(open_api(settings.cluster.context), settings)


def _table(verdicts: Sequence[dict[str, Any]]) -> Table:
    from ops.volumes.listing import readable  # noqa: PLC0415

    shown = Table("Volume", "Bytes", "Files", "Copied in", "Rate", "Proof", box=box.SIMPLE_HEAD, pad_edge=False)
    for each in verdicts:
        proof = "[green]proven[/]" + (" now" if "verifiedAt" in each else f", {each['provenAt'][:16]}" if "done" in each else "")
        taken = duration(each["copySeconds"])
        shown.add_row(each["volume"], readable(each["bytes"]), str(each["files"]), taken, f"{each['MBps']:.0f} MB/s", proof)
    return shown


def _show_verdicts(verdicts: Sequence[dict[str, Any]]) -> None:
    if verdicts:
        console.print(_table(verdicts))
    for each in verdicts:
        if "done" in each:
            say(f"{each['volume']} was moved before ({each['provenAt']}), and nothing was done: what has changed since isn't moved.")
            say(f"  To move it once more: empty the target, and remove {Path(each['manifest']).parent}")
    _show_caveats(verdicts)


def _show_caveats(found: Sequence[dict[str, Any]]) -> None:
    for each in found:
        if "caveat" in each:
            errors.print("[yellow]warning:[/] ", end="")
            errors.print(each["caveat"], markup=False)


def _plan(moves: Sequence[Any], problems: Mapping[str, Sequence[str]], parallel: int, stop: threading.Event, *, as_json: bool) -> None:
    """Say what would be moved. `problems` keep some from being moved, by the moves' IDs."""
    from ops.move import planning, session, showing  # noqa: PLC0415

    able = [each for each in moves if each.id not in problems]
    with showing.shown(able, as_json=as_json) as look:
        plans, failures = session.each_of(able, planning.planned, parallel, stop, look)
    said = [*planning.each_once(problems), *(each.reason for each in failures), *(each["problem"] for _, each in plans if each["problem"])]
    known = {move.id: plan for move, plan in plans}
    _show_plan([known.get(each.id) or planning.unplanned(each) for each in moves], said, as_json=as_json)
    if said:
        raise SystemExit(NOT_MOVED)


def _show_plan(plans: Sequence[dict[str, Any]], problems: Sequence[str], *, as_json: bool) -> None:
    """What would be moved, whatever keeps it from that."""
    from ops.move import showing  # noqa: PLC0415
    from ops.volumes.listing import readable  # noqa: PLC0415

    if as_json:
        showing.as_json({"moves": plans, "problems": problems})
        return
    shown = Table("Volume", "From", "To", "Used", "Files", "Free there", "About", box=box.SIMPLE_HEAD, pad_edge=False)
    for each in plans:
        used, free = (readable(each[name]) if each[name] is not None else "?" for name in ("usedBytes", "freeBytes"))
        if "done" in each:
            free, time = "–", f"moved before, {each['provenAt'][:16]}"
        elif each["seconds"] is None:
            time = "?"
        else:
            time = f"{duration(each['seconds'])}{'' if each['measured'] else ' at 50 MB/s'}"
        files = "?" if each["files"] is None else str(each["files"])
        shown.add_row(each["volume"], _place(each["source"]), _place(each["target"]), used, files, free, time)
    console.print(shown)
    _show_caveats(plans)
    for problem in problems:
        errors.print("[red]error:[/] ", end="")
        errors.print(problem, markup=False)
    if not problems:
        before = all("done" in each for each in plans)
        say("Nothing was moved: all of it was before." if before else "Nothing was moved. Without --plan it is.")


def _place(end: dict[str, Any]) -> str:
    """A claim with its class, or a folder."""
    return f"{end['namespace']}/{end['claim']}\n  {end['storageClass']}" if "claim" in end else str(end["folder"])
