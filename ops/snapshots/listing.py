"""The sets of a stack, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich import box
from rich.table import Table

from components.settings import Settings
from ops.snapshots.sets import SnapshotSet
from ops.volumes.listing import age, readable


def why_not(found: SnapshotSet, settings: Settings) -> str:
    """Why a set can't be restored as the settings are, in words; ``""`` where it can."""
    if not found.complete:
        return f"it {found.lacks}"
    service = settings.services.get(found.service)
    if service is None:
        return f"the settings have no service {found.service}"
    if max(part.ordinal for part in found.parts) >= service.replicas:
        return f"services.{found.service}.replicas is {service.replicas}"
    return ""


def as_json(found: Sequence[SnapshotSet], settings: Settings, now: datetime) -> dict[str, Any]:
    """All of it, in the form that is printed with --json. Sizes in bytes, times in UTC."""
    return {
        "stack": settings.stack,
        "namespace": settings.namespace.name,
        "sets": [
            {
                "set": each.name,
                "service": each.service,
                "taken": f"{each.taken:%Y-%m-%dT%H:%M:%SZ}",
                "ageSeconds": int((now - each.taken).total_seconds()),
                "volumes": each.count,
                "sizeBytes": each.size,
                "ready": each.complete,
                "restorable": not why_not(each, settings),
                "reason": why_not(each, settings),
                "snapshots": [
                    {"name": part.name, "ordinal": part.ordinal, "ready": part.ready, "sizeBytes": part.size, "error": part.error}
                    for part in each.parts
                ],
            }
            for each in found
        ],
    }


def table(found: Sequence[SnapshotSet], settings: Settings, now: datetime) -> Table:
    """A line for each set, the newest first."""
    shown = Table("Set", "Age", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Volumes", "Size"):
        shown.add_column(title, justify="right")
    for title in ("Ready", "Restorable"):
        shown.add_column(title)
    for each in found:
        ready = sum(part.ready for part in each.parts)
        why = why_not(each, settings)
        shown.add_row(
            each.name,
            age((now - each.taken).total_seconds()),
            str(each.count),
            readable(each.size),
            "yes" if each.complete else f"{ready} of {each.count}",
            f"no: {why}" if why else "yes",
        )
    return shown
