"""One row of the doctor's table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["good", "old", "missing"]


@dataclass(frozen=True)
class Diagnosis:
    """What was found of one subject.

    `old`: there, in a version that isn't used, or that nobody tried. `missing`: not there, or not
    enough of it. `mend` is the command that mends it, or what to do where no command does.
    `fails`: the next `make up` will fail because of it; a row without does no harm as it is.
    """

    subject: str
    state: State
    found: str
    mend: str = ""
    fails: bool = False

    def __str__(self) -> str:
        """The row as one line, as `make up` says it."""
        mend = f" Mend it: {self.mend}" if self.mend else ""
        return f"{self.subject}: {self.state}: {self.found}.{mend}"
