"""What the tests of the provisioners share: the findings of a tier's settings, short enough for a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from components.kinds import KINDS
from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, Finding, Volume

# (severity, where, what works): where is a key of the tier, or the volume's size.
Short = tuple[str, str, str]


def findings(provisioner: str, settings: dict[str, Any], sizes: Sequence[str] = (), kind: str = "database") -> list[Finding]:
    """The findings of these settings over the provisioner's defaults, at these sizes."""
    chosen = PROVISIONERS[provisioner]
    parameters = chosen.parameters_model.model_validate({**chosen.defaults(KINDS[kind]), **settings})
    volumes = [Volume(f"services.{size}.size", Size.parse(size).in_units_of(chosen.size_unit)) for size in sizes]
    return list(chosen.findings(parameters, volumes))


def short(found: Sequence[Finding]) -> list[Short]:
    """Each finding as the tables have it, in a fixed order."""
    return sorted((each.severity, each.volume.path if each.volume else each.path, each.works) for each in found)
