"""`python -m ops move --live`: which services it is about, one by one, and what is said."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rich.markup import escape

from components.canary.signals import raise_on_hangup
from components.kube.errors import ApiError
from components.settings import PostgresqlEngine, Settings
from ops.console import duration, errors, say
from ops.errors import UserError
from ops.kube import explained
from ops.move import claims, showing
from ops.move.conversation import Broken
from ops.move.live import checks
from ops.move.live.calling_off import cancel, way_back
from ops.move.live.run import LiveMove
from ops.move.live.switching import switch
from ops.move.planning import StackAndApi, paired, refuse
from ops.volumes.listing import readable

STEPS: dict[str, Callable[[LiveMove], dict[str, Any]]] = {
    "follow": LiveMove.follow,
    "switch": switch,
    "cancel": lambda move: {"verdict": "cancelled", "volume": move.title, "move": move.id, "found": cancel(move)},
}


class Teller:
    """A line for each step of a move, and every few seconds how far it is. JSON goes to stderr."""

    def __init__(self, title: str, *, as_json: bool) -> None:
        self._title, self._as_json = title, as_json
        self._said, self._when = "", 0.0

    def __call__(self, step: str, detail: str) -> None:
        """`step` is under way; `detail` says how far."""
        now = time.monotonic()
        if step == self._said and now - self._when < showing.EVERY:
            return
        self._said, self._when = step, now
        if self._as_json:
            showing.as_json_line({"event": "progress", "volume": self._title, "phase": step, "detail": detail})
        else:
            say(f"  {self._title}: {step}{f', {detail}' if detail else ''}")


def moves(source: StackAndApi, target: StackAndApi, service: str | None, ordinal: int | None, *, as_json: bool) -> list[LiveMove]:
    """The moves. Raises UserError and ApiError."""
    replicas = [each for each in claims.wanted(source.settings, service, ordinal, "--from") if _is_postgresql(source.settings, each[0])]
    if not replicas:
        name = service or next(iter(source.settings.services), "NAME")
        raise UserError(
            f"--live: {f'service {service}' if service else 'no service'} of stack {source.settings.stack} is PostgreSQL by its settings.",
            f"Where it is: `services.{name}.engine: {{postgresql: {{}}}}` in Pulumi.{source.settings.stack}.yaml says so. Others are moved "
            "stopped, without --live.",
        )
    return [
        LiveMove(one, other, Teller(f"{one.service}-{one.ordinal}", as_json=as_json)) for one, other in paired(source, target, replicas)
    ]


def _is_postgresql(settings: Settings, service: str) -> bool:
    engine = settings.services[service].engine
    return engine is not None and isinstance(engine.chosen[1], PostgresqlEngine)


def plan(found: Sequence[LiveMove], *, as_json: bool) -> bool:
    """Say what keeps each from beginning, and what one has to know; whether all can begin."""
    problems = {each.title: each.problems() for each in found}
    if as_json:
        known = [
            {
                "move": each.id,
                "volume": each.title,
                "version": each.facts.get("version"),
                "bytes": each.facts.get("bytes"),
                "state": each.state,
            }
            for each in found
        ]
        showing.as_json({"moves": known, "problems": [problem for each in problems.values() for problem in each]})
        return not any(problems.values())
    for each in found:
        for problem in problems[each.title]:
            errors.print(f"[red]error:[/] {escape(problem)}")
        if not problems[each.title]:
            version = f"{each.facts['version'] // 10000}.{each.facts['version'] % 10000}"
            say(f"{each.title}: PostgreSQL {version}, {readable(each.facts['bytes'])}, in pod {each.source.pod}")
            for warning in checks.warnings(each.facts):
                say(f"  {warning}")
    if not any(problems.values()):
        say("Nothing was moved. Without --plan a standby is made on the target, and the source goes on.")
    return not any(problems.values())


def run(found: Sequence[LiveMove], step: str, command: str, *, as_json: bool) -> None:
    """Do a step for each. `command` is how the move is asked for.

    Raises UserError, Broken and ApiError of the first that fails: the others are as they were.
    """
    if step == "follow":
        refuse([problem for each in found if each.state in ("", "begun") for problem in each.problems()])
    raise_on_hangup()
    verdicts = []
    for each in found:
        try:
            verdicts.append(STEPS[step](each))
        except (Broken, ApiError) as problem:
            said = explained(problem) if isinstance(problem, ApiError) else UserError(str(problem))
            raise UserError(f"{each.title}: {said}", _after(each, command)) from None
        except KeyboardInterrupt:
            errors.print(f"{each.title}: {_after(each, command)}", markup=False)
            raise
        if not as_json:
            for line in _said(each, step, verdicts[-1], command):
                say(line)
    if as_json:
        showing.as_json(verdicts)


def _after(move: LiveMove, command: str) -> str:
    """What is so after a step that failed, and how to go on."""
    state = move.state
    if state == "following":
        return f"The source is open. The standby and its slot {move.slot} stay: `{command}` goes on, `{command} --cancel` removes both."
    if state in ("promoting", "promoted"):
        return f"The source's databases are closed. `{command} --switch` goes on."
    if state == "closing":
        return f"The source's databases may be closed. `{command} --switch` goes on, `{command} --cancel` opens them."
    if state == "begun":
        return f"The source is as it was. `{command}` begins anew, `{command} --cancel` empties the target."
    return "The source is as it was."


def _said(move: LiveMove, step: str, verdict: dict[str, Any], command: str) -> Iterator[str]:
    if step == "cancel":
        yield f"{move.title}: {'called off: standby, copy and slot are removed' if verdict['found'] else 'there was nothing to call off'}."
    elif verdict["verdict"] == "following":
        copied = f", {readable(verdict['bytes'])} in {duration(verdict['copySeconds'])}" if verdict.get("bytes") else ""
        checked = ", ".join(verdict["amcheck"]) or "none has the extension"
        yield f"{move.title}: a standby has caught up{copied}. Every file was verified; amcheck: {checked}."
        yield "  It follows while a command of this move runs. In between the source keeps its WAL for it."
        for warning in checks.warnings(move.facts):
            yield f"  {warning}"
        yield "Next, the switch. It ends every session on the source, and closes its databases:"
        yield f"  {command} --switch"
        yield f"To call it off: {command} --cancel"
    else:
        yield from _switched(move, verdict)


def _switched(move: LiveMove, verdict: dict[str, Any]) -> Iterator[str]:
    side = move.target_side
    if verdict.get("done"):
        yield f"{move.title} was switched before ({verdict['provenAt']}), and nothing was done: what was written since isn't moved."
        yield f"  To move it once more: empty the target, and remove {move.kept.folder}"
        return
    names = ", ".join(verdict["databases"])
    pause = verdict["pauseSeconds"]  # of a run that was cut in it nobody knows
    promoted = "promoted" if pause is None else f"promoted {pause:.1f} s after the source was closed"
    yield f"{move.title}: {promoted}. Everything up to {verdict['lsn']} is there."
    yield f"The claim is free. Start PostgreSQL {verdict['version'] // 10000} on stack {side.settings.stack} (docs/consumers.md)."
    yield "Where it is a StatefulSet that has 0 replicas:"
    where = f"--context {side.api.context} -n {side.settings.namespace.name}"
    yield f"  kubectl {where} scale statefulset {move.target_side.service} --replicas={side.settings.services[side.service].replicas}"
    yield f"The source is whole, and its databases ({names}) take no connections. To go back to it, as it was at the switch:"
    for line in way_back(move):
        yield f"  {line}"
    for each in verdict.get("left", []):
        yield f"Left at the source: {each}"
