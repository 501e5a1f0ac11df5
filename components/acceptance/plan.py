"""Which engine accepts which tier, and with which images."""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass

from components.canary.limits import FigureLimit
from components.canary.plan import ProofPlan

OUTPUT = "acceptance"  # of a tier, in the stack output `canary`
_LARGEST_SEED = 2**32
KILLED_AFTER = (2.0, 8.0)  # seconds after the first acknowledgement, at random between the two


@dataclass(frozen=True)
class AcceptancePlan:
    """One tier's acceptance.

    `proof` says where, as for the canary; its `image` is the engine's.
    `client_image` has Python, and the engine's client unless pip gets it.
    `seed` decides the moment of the kill: the same one after the same seconds.
    `clients` is how many write at the same time. `limits` are those of this engine's figures.
    """

    proof: ProofPlan
    engine: str
    client_image: str
    seed: int
    clients: int = 8
    limits: tuple[FigureLimit, ...] = ()

    @property
    def killed_after(self) -> float:
        """Seconds from the first acknowledgement to the kill."""
        return random.Random(self.seed).uniform(*KILLED_AFTER)


def new_seed() -> int:
    """Of an acceptance that repeats no other one."""
    return secrets.randbelow(_LARGEST_SEED)
