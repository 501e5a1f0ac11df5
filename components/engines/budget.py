"""What an engine writes at most to one volume, and what that leaves of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from components.engines.file_systems import own_share


class EngineBudget(NamedTuple):
    """The bytes that an engine writes at most to one volume, as far as its settings bound them."""

    engine: str
    """The engine's name, for people."""
    parts: Mapping[str, int]
    """What it writes besides data: bytes, by what they are for."""
    data: int
    """The bytes of data that the settings ask for; 0 where they don't say, or have no limit."""
    unbounded: tuple[str, ...] = ()
    """The keys of settings without a limit.

    What they hold back is in neither of the two.
    """

    @property
    def engine_bytes(self) -> int:
        """What the engine writes besides data."""
        return sum(self.parts.values())

    @property
    def needed_bytes(self) -> int:
        """What it writes in all."""
        return self.engine_bytes + self.data

    def left_for_data(self, claim_bytes: int, file_system: str | None) -> int:
        """What a claim of this size leaves for data; below 0 where it isn't enough for the rest.

        `file_system` is what is made on the volume; None for a plain folder.
        """
        return claim_bytes - own_share(file_system, claim_bytes) - self.engine_bytes

    def fits(self, claim_bytes: int, file_system: str | None) -> bool:
        """Whether a claim of this size holds all of it."""
        return self.left_for_data(claim_bytes, file_system) >= self.data
