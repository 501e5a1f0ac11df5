"""Several moves side by side, within a bound: each in a thread, shown by the main one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from components.canary.signals import Interrupted, undisturbed
from components.canary.words import NotProven
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.kube import explained
from ops.move.conversation import Broken, Stalled, words
from ops.move.progress import FAILED
from ops.move.run import VolumeMove

T = TypeVar("T")


@dataclass(frozen=True)
class Failure:
    """A move that didn't come to its end, in words."""

    move: VolumeMove
    reason: str
    hint: str = ""
    all: Sequence[str] = ()  # what the reason shows the first of: differences, or paths that failed


def each_of(
    moves: Sequence[VolumeMove], step: Callable[[VolumeMove], T], parallel: int, stop: threading.Event, look: Callable[[], None]
) -> tuple[list[tuple[VolumeMove, T]], list[Failure]]:
    """Do `step` for each move, `parallel` at a time, and call `look` a few times a second.

    One that fails doesn't end the others. Ctrl-C sets `stop`, waits until what was made is removed,
    and is raised again.
    """
    done: dict[str, T] = {}
    failed: list[Failure] = []
    with ThreadPoolExecutor(parallel) as pool:
        futures: dict[Future[T], VolumeMove] = {pool.submit(step, move): move for move in moves}
        left = set(futures)
        try:
            while left:
                ended, left = wait(left, timeout=0.25, return_when=FIRST_COMPLETED)
                for future in ended:
                    move = futures[future]
                    try:
                        done[move.id] = future.result()
                    except (UserError, Broken, ApiError, NotProven, OSError) as problem:
                        failed.append(_failure(move, problem))
                        move.progress.begin(FAILED)
                look()
        except KeyboardInterrupt:
            with undisturbed():
                stop.set()
                pool.shutdown(wait=True, cancel_futures=True)
            raise
        except Interrupted:
            raise KeyboardInterrupt from None
    return [(move, done[move.id]) for move in moves if move.id in done], failed


def _failure(move: VolumeMove, problem: Exception) -> Failure:
    again = "The source is as it was. Run the same command again: it goes on where this stopped."
    if isinstance(problem, UserError):
        return Failure(move, problem.message, problem.hint, getattr(problem, "differences", ()))
    if isinstance(problem, ApiError):
        said = explained(problem)
        return Failure(move, f"{move.title}: {said.message}", said.hint)
    if isinstance(problem, NotProven):
        return Failure(move, f"{move.title}: {problem.sentence}", problem.hint)
    if isinstance(problem, Stalled):
        node = "Find out why, by the events of pod and volume and the kernel's messages on the node. The pod ends once the storage answers."
        return Failure(move, f"{move.title}: {problem}", f"{node} {again}")
    told = tuple(map(words, getattr(problem, "failures", ())))
    if isinstance(problem, Broken) and any(each.get("kind") == "full" for each in problem.failures):
        again = again.replace("Run", "Make room on the target, or make it larger, and run")
        return Failure(move, f"{move.title}: {problem}", again, told)
    if not getattr(problem, "passing", False):
        again = "The source is as it was. Once that is put right, run the same command again: it goes on."
    return Failure(move, f"{move.title}: {problem}", again, told)


def describe(failure: Failure) -> dict[str, Any]:
    """A failure as JSON."""
    found: dict[str, Any] = {"verdict": "not-proven", "move": failure.move.id, "volume": failure.move.title}
    return {**found, "reason": failure.reason, "hint": failure.hint, "problems": list(failure.all)}


def refused(move: VolumeMove, problems: Sequence[str], *, verify: bool) -> dict[str, Any]:
    """A move that nobody has begun, as JSON: by its own `problems`, or by those of others.

    One that was done before stays so. To `verify` it is another thing.
    """
    if not verify and (verdict := move.done):
        return {**verdict, "done": "before"}
    return describe(Failure(move, "; ".join(problems) or f"{move.title}: nothing was done, because of others.", all=problems))
