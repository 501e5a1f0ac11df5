"""The acceptance of a tier: a real engine on it is killed under load, and nothing may be lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.canary.component import StackProof
    from components.settings import Settings
    from components.stack import Stack

__all__ = ["accept"]


def accept(stack: Stack, settings: Settings, proof: StackProof) -> StackProof:
    """Have an engine accept every tier, where the settings say so; else the proof as it is."""
    if not settings.canary.engine:
        return proof
    from components.acceptance.component import accepted  # noqa: PLC0415 - 1 % of the program's start, and few stacks ask for it

    return accepted(stack, settings, proof)
