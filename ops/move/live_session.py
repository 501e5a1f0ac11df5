"""`python -m ops move --live`: which services it is about, one by one, and what is said."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rich.markup import escape

from components.canary.signals import raise_on_hangup
from components.kube.errors import ApiError
from components.settings import KafkaEngine, PostgresqlEngine, Settings
from ops.console import errors, say
from ops.errors import UserError
from ops.kube import explained
from ops.move import claims, showing
from ops.move.conversation import Broken
from ops.move.live.run import LiveMove
from ops.move.live.told import PostgresqlMove
from ops.move.mirror.run import MirrorMove
from ops.move.mirror.told import KafkaMove
from ops.move.planning import StackAndApi, paired, refuse

FAILED = "failed"  # the verdict, for programs, of one that didn't come to its end


class Live(Protocol):
    """A move of a service that runs, by its engine's own means."""

    title: str

    @property
    def begins(self) -> bool:
        """Whether it has still to begin: then all that is in its way is said first."""

    def problems(self) -> list[str]:
        """All that keeps it from beginning. Raises Broken and ApiError."""

    def planned(self) -> dict[str, Any]:
        """What is known of it, for programs, after `problems`."""

    def foreseen(self) -> Iterator[str]:
        """The same for people, where there is no problem."""

    def do(self, step: str) -> dict[str, Any]:
        """`follow`, `switch` or `cancel`. Raises UserError, Broken and ApiError."""

    def after(self, command: str) -> str:
        """What is so after a step that failed, and how to go on."""

    def said(self, step: str, verdict: dict[str, Any], command: str) -> Iterator[str]:
        """What a person reads after a step."""


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


def moves(source: StackAndApi, target: StackAndApi, service: str | None, ordinal: int | None, *, as_json: bool) -> list[Live]:
    """The moves. Raises UserError and ApiError."""
    replicas = claims.wanted(source.settings, service, ordinal, "--from")
    rows = [each for each in replicas if _engine(source.settings, each[0]) is PostgresqlEngine]
    logs = list(dict.fromkeys(name for name, _ in replicas if _engine(source.settings, name) is KafkaEngine))
    if not rows and not logs:
        name = service or next(iter(source.settings.services), "NAME")
        stack = source.settings.stack
        raise UserError(
            f"--live: {f'service {service}' if service else 'no service'} of stack {stack} is PostgreSQL or Kafka by its settings.",
            f"Where it is: `services.{name}.engine: {{postgresql: {{}}}}` (or `kafka`) in Pulumi.{stack}.yaml says so. Others are moved "
            "stopped, without --live.",
        )
    if logs and ordinal is not None:
        raise UserError(
            f"--ordinal {ordinal}: a live move of Kafka is of the whole service: a broker's volume has parts of topics, which MirrorMaker "
            "copies whole.",
            f"Works: --service {logs[0]} --live. Volumes one by one are moved stopped, without --live.",
        )
    found: list[Live] = [
        PostgresqlMove(LiveMove(one, other, Teller(f"{one.service}-{one.ordinal}", as_json=as_json)))
        for one, other in paired(source, target, rows)
    ]
    return [*found, *(_of_kafka(source, target, name, as_json=as_json) for name in logs)]


def _of_kafka(source: StackAndApi, target: StackAndApi, service: str, *, as_json: bool) -> Live:
    """All brokers of one stack to all of the other, however many each has."""
    there = claims.find(*target, claims.wanted(target.settings, service, None, "--to"))
    sources = claims.find(*source, claims.wanted(source.settings, service, None, "--from"))
    claims.pairs([each for each in sources if each.ordinal < len(there)], there)  # none is its own target
    cold = f"python -m ops move --from {source.settings.stack} --to {target.settings.stack} --service {service}"
    return KafkaMove(MirrorMove(sources, there, cold, Teller(service, as_json=as_json)))


def _engine(settings: Settings, service: str) -> type | None:
    engine = settings.services[service].engine
    return None if engine is None else type(engine.chosen[1])


def plan(found: Sequence[Live], *, as_json: bool) -> bool:
    """Say what keeps each from beginning, and what one has to know; whether all can begin."""
    problems = [(each, _problems(each)) for each in found]
    able = not any(each for _, each in problems)
    if as_json:
        showing.as_json({"moves": [each.planned() for each in found], "problems": [one for _, each in problems for one in each]})
        return able
    for each, its in problems:
        for problem in its:
            errors.print(f"[red]error:[/] {escape(problem)}")
        for line in [] if its else each.foreseen():
            say(line)
    if able:
        say("Nothing was moved.")
    return able


def _problems(move: Live) -> list[str]:
    try:
        return move.problems()
    except Broken as problem:
        return [f"{move.title}: {problem}"]


def run(found: Sequence[Live], step: str, command: str, *, as_json: bool) -> None:
    """Do a step for each, one by one, up to the first that fails. `command` is how it is asked for.

    Raises UserError for that one, after its failure and the verdicts before it were said to
    programs: the others are as they were.
    """
    raise_on_hangup()
    if step == "follow":
        _refuse(found, as_json=as_json)
    verdicts: list[dict[str, Any]] = []
    try:
        for each in found:
            try:
                verdicts.append(_do(each, step, command))
            except UserError as problem:
                verdicts.append(_failed(each, problem.message, problem.hint))
                raise
            if not as_json:
                for line in each.said(step, verdicts[-1], command):
                    say(line)
    finally:
        if as_json and verdicts:
            showing.as_json(verdicts)


def _refuse(found: Sequence[Live], *, as_json: bool) -> None:
    """Raises UserError with what keeps those that have still to begin from it: then none does."""
    problems = [(each, _problems(each) if each.begins else []) for each in found]
    if as_json and any(its for _, its in problems):
        others = "nothing was done, because of others."
        showing.as_json([_failed(each, "; ".join(its) or f"{each.title}: {others}", "") for each, its in problems if each.begins])
    refuse([problem for _, its in problems for problem in its])


def _failed(move: Live, reason: str, hint: str) -> dict[str, Any]:
    return {"verdict": FAILED, "move": move.planned()["move"], "volume": move.title, "reason": reason, "hint": hint}


def _do(move: Live, step: str, command: str) -> dict[str, Any]:
    """The verdict of one. Raises UserError, which says how to go on."""
    try:
        return move.do(step)
    except (Broken, ApiError) as problem:
        said = explained(problem) if isinstance(problem, ApiError) else UserError(str(problem))
        raise UserError(f"{move.title}: {said}", move.after(command)) from None
    except KeyboardInterrupt:
        errors.print(f"{move.title}: {move.after(command)}", markup=False)
        raise
