"""All rows, in the order of the table."""

from __future__ import annotations

from dev.doctor import clusters, machines, parts, proxies
from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import Facts


def diagnose(facts: Facts) -> list[Diagnosis]:
    """What the facts mean."""
    return [row for room in (parts, clusters, proxies, machines) for row in room.diagnose(facts)]
