"""The doctor's rows as a table, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.table import Table
from rich.text import Text

from dev.doctor.diagnosis import Diagnosis

_COLOURS = {"good": "green", "old": "yellow", "missing": "yellow"}


def table(rows: Sequence[Diagnosis]) -> Table:
    """Each subject with its state, what was found, and below it what mends it.

    ✗ is before what will fail.
    """
    shown = Table("", "Subject", "State", "Found, and what mends it", box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        colour = "red" if row.fails else _COLOURS[row.state]
        mark = "✗" if row.fails else "✓" if row.state == "good" else "–"
        found = Text(row.found)
        if row.mend:
            found.append(f"\n→ {row.mend}", style="bold" if row.fails else "")
        shown.add_row(Text(mark, colour), row.subject, Text(row.state, colour), found)
    return shown


def summary(rows: Sequence[Diagnosis], up: str = "make up") -> str:
    """The last line: whether something will fail of the command `up`."""
    failing = [row.subject for row in rows if row.fails]
    if not failing:
        return f"Nothing is in the way of `{up}`. What is marked – does no harm as it is."
    return f"`{up}` will fail because of: {', '.join(failing)}."


def as_json(rows: Sequence[Diagnosis]) -> str:
    """The same for programs."""
    return json.dumps({"good": not any(row.fails for row in rows), "checks": [asdict(row) for row in rows]}, indent=2)
