"""Ends a run that was killed: its lock goes, and whatever it has left running."""

from __future__ import annotations

from ops.console import say
from ops.healing import attributes, locks, orphans
from ops.pulumi_command import Pulumi


def end_killed_run(pulumi: Pulumi, stack: str) -> None:
    """Release the lock that a killed run on `stack` has left, remove what it has written in part,
    and end what it has left running.

    Raises UserError while a run on the stack is under way, or may be on another host. A backend
    that is no folder keeps its own locks.
    """
    backend = pulumi.backend()
    folder = locks.folder_of(backend)
    if folder and locks.release_dead(folder, stack):
        say(f"Released the lock of a run on stack {stack} that was killed.")
    if folder and attributes.remove_half_written(folder, stack):
        say(f"Removed attributes of stack {stack}'s state that a killed run had written in part; the state itself is whole.")
    only_stack = folder is not None and not locks.locked_stacks(folder)
    killed = orphans.Killed(stack, backend, pulumi.environment.get("PULUMI_BACKEND_URL"), only_stack)
    ended = orphans.end(orphans.find(killed))
    if ended:
        say(f"Ended what a killed run on stack {stack} had left running: {', '.join(ended)}.")
