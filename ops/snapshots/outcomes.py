"""What became of each service, in a run that takes a set of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from components.kube.errors import ApiError
from ops.errors import UserError
from ops.snapshots.sets import SnapshotSet


@dataclass
class Outcomes:
    """`sets` that can be restored, and `problems` of the others, by service; one that is in neither
    was not begun.
    """

    services: Sequence[str]
    sets: dict[str, SnapshotSet] = field(default_factory=dict)
    problems: dict[str, UserError | ApiError] = field(default_factory=dict)

    def lines(self, now: str = "") -> list[str]:
        """What became of each service, at least a line for each; `now` is interrupted."""
        found = []
        for service in self.services:
            if service in self.sets:
                found.append(f"  {service}: set {self.sets[service].name} can be restored")
            elif service in self.problems:
                first, *more = str(self.problems[service]).splitlines()
                found += [f"  {service}: {first}", *(f"    {line}" for line in more)]
            else:
                found.append(f"  {service}: {'interrupted' if service == now else 'no set was begun'}")
        return found

    def error(self, hint: str) -> UserError:
        """All of it as one error."""
        lacking = len(self.services) - len(self.sets)
        title = f"{lacking} of {len(self.services)} services {'has' if lacking == 1 else 'have'} no new set that can be restored:"
        return UserError("\n".join([title, *self.lines()]), hint)
