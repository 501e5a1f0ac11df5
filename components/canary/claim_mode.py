"""The access mode of a canary's claim: that of the tier's services, from the next proof on.

Until this was decided, every claim was ReadWriteOnce. A new argument of the command that proves is
a new proof, and nobody asked for one. So a tier that was proven before stays as it is until its
proof is repeated for another reason. The state keeps among the outputs of the tier's component what
that is told by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OUTPUT = "claimMode"  # of the tier's component, in the state
READ_WRITE_ONCE, READ_WRITE_ONCE_POD = "ReadWriteOnce", "ReadWriteOncePod"


@dataclass(frozen=True)  # no tuple: Pulumi takes one apart in an output
class ClaimMode:
    """With which access mode a tier is proven, and what the state has of it."""

    mode: str = READ_WRITE_ONCE
    """The access mode of the canary's claim."""
    until: str = ""
    """A fingerprint of the triggers of a proof from before; empty where there is none to keep."""

    @classmethod
    def decide(cls, wanted: str, triggers: Sequence[Any], last: Mapping[str, Any]) -> ClaimMode:
        """The mode of a tier whose services want `wanted`, and whose proof has these `triggers`.

        `last` has the outputs of the tier's component of the run before; empty for a tier that
        wasn't proven yet.
        """
        noted = last.get(OUTPUT) or {}
        fingerprint = hashlib.sha256(json.dumps([*triggers], sort_keys=True).encode()).hexdigest()[:16]
        was_proven_before = "verdict" in last and "mode" not in noted
        if wanted == READ_WRITE_ONCE_POD and was_proven_before and noted.get("until", fingerprint) == fingerprint:
            return cls(until=fingerprint)
        return cls(wanted)

    @property
    def arguments(self) -> list[str]:
        """What it adds to the arguments of the command that proves."""
        return [] if self.mode == READ_WRITE_ONCE else [f"--access-mode={self.mode}"]

    @property
    def noted(self) -> dict[str, str] | None:
        """It as the state has it; None where there is nothing to note."""
        if self.until:
            return {"until": self.until}
        return None if self.mode == READ_WRITE_ONCE else {"mode": self.mode}
