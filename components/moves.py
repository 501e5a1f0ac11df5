"""What is known on this machine of data moves (`python -m ops move`), for whoever is about to give
up what one copies: `pulumi destroy` and `python -m ops volumes prune`.

Each move has a folder in $XDG_STATE_HOME/storage-tiers/moves (~/.local/state where that isn't set).
No import beyond the standard library: a destroy looks here too.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

PROVEN = "proven"  # the state of a move whose target was compared with its source, and is whole
RECORD = "move.json"


class Unproven(NamedTuple):
    """A move that has begun and isn't proven: its folder, and the command that goes on with it."""

    folder: Path
    command: str


def state_folder() -> Path:
    """Where all moves are kept."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    base = given if given.is_absolute() else Path.home() / ".local" / "state"  # as the XDG specification has it
    return base / "storage-tiers" / "moves"


def records() -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """The folder of each move, and what is known of it; None where that can't be read.

    Raises OSError where not even the folders can be listed.
    """
    try:
        folders = sorted(state_folder().iterdir())
    except FileNotFoundError:
        return
    for folder in folders:
        try:
            found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (ValueError, OSError):
            found = None
        # JSON of another version, or of somebody's making, counts as what can't be read.
        known = isinstance(found, dict) and "state" in found and all(isinstance(found.get(end), dict) for end in ("source", "target"))
        yield folder, found if known else None


def claims_of(end: Mapping[str, Any]) -> set[str]:
    """The UIDs of the claims of one end of a move: of a live move of Kafka all brokers'."""
    return {each["uid"] for each in (end, *end.get("claims", [])) if "uid" in each}


def unproven(folder: Path, record: Mapping[str, Any], claim: str) -> Unproven | None:
    """The move of this record, where it is one out of the claim with this UID, and isn't proven."""
    with suppress(KeyError, TypeError, AttributeError):  # a record of another version
        source, target = record["source"], record["target"]
        if record["state"] != PROVEN and claim in claims_of(source):
            where = f"--to {target['stack']}" if "stack" in target else f"--to-folder {shlex.quote(str(Path(target['folder']).parent))}"
            chosen = "".join(f" --{name} {source[name]}" for name in ("service", "ordinal") if name in source)
            live = " --live" if record.get("live") else ""
            program = "python" if "stack" in target else f"sudo -E {shlex.quote(sys.executable)}"  # only root reads anybody's files
            return Unproven(folder, f"{program} -m ops move --from {source['stack']} {where}{chosen}{live}")
    return None
