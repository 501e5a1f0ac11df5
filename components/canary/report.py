"""What the probe says in its pod's log: lines of a word and JSON (see probe.py)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class ProbeReport:
    """A probe's log. `said` are the words with their values, in order.

    `other` are lines of another form, for example a traceback.
    """

    said: list[tuple[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def add(self, line: str) -> tuple[str, Any] | None:
        """Add a line of the log; its word and value, or None for a line of another form."""
        word, _, rest = line.partition(" ")
        try:
            added = (word, json.loads(rest)) if word.isalpha() else None
        except ValueError:
            added = None
        if added:
            self.said.append(added)
        elif line.strip():
            self.other.append(line)
        return added

    def values(self, word: str) -> list[Any]:
        """All values of a word, in order."""
        return [value for said, value in self.said if said == word]

    @property
    def last_word(self) -> str:
        """The word that came last; empty where none did."""
        return self.said[-1][0] if self.said else ""
