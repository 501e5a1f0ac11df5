"""How far a move is, for whoever shows it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ops.move.conversation import Event

FAILED = "failed"  # the last phase of a move that didn't come to its end, while others go on


@dataclass
class Progress:
    """A phase, and how much of it is done."""

    phase: str = "waiting"
    bytes: int = 0
    of_bytes: int = 0
    files: int = 0
    of_files: int = 0
    since: float = field(default_factory=time.monotonic)

    def begin(self, phase: str, of_bytes: int = 0, of_files: int = 0) -> None:
        """Another phase, from nothing."""
        self.bytes = self.files = 0
        self.of_bytes, self.of_files = of_bytes, of_files
        self.phase, self.since = phase, time.monotonic()

    def take(self, event: Event) -> None:
        """What a program says about it."""
        self.bytes, self.files = int(event.get("bytes") or 0), int(event.get("files") or 0)
        self.of_bytes = int(event.get("ofBytes") or 0) or self.of_bytes
        self.of_files = int(event.get("ofFiles") or 0) or self.of_files
