"""What is kept of all moves on this machine: which volumes they are about, and which are proven."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.errors import UserError
from ops.move.kept import PROVEN, RECORD, state_folder


def all_records() -> Iterator[dict[str, Any]]:
    """What is known of each move, but for those that can't be read."""
    return (record for _, record in _records() if record is not None)


def _records() -> Iterator[tuple[Path, dict[str, Any] | None]]:
    """The folder of each move, and what is known of it; None where that can't be read."""
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
        yield folder, found if isinstance(found, dict) else None


def _all_readable() -> Iterator[dict[str, Any]]:
    """The same, where none may be left out. Raises UserError."""
    for folder, record in _records():
        if record is None:
            raise UserError(
                f"{folder / RECORD} can't be read by this user: which volume that move is about isn't known.",
                f"Where another user has made it (sudo): `sudo chown -R {os.environ.get('USER', 'USER')} {shlex.quote(str(folder))}`. "
                "A move that nobody wants any more is forgotten by removing its folder.",
            )
        yield record


def _claims_of(end: Mapping[str, Any]) -> set[str]:
    """The UIDs of the claims of one end of a move: of a live move of Kafka all brokers'."""
    return {each["uid"] for each in (end, *end.get("claims", [])) if "uid" in each}


def unproven_from(claim: str) -> str:
    """The command of a move out of the claim with this UID, where one has begun on this machine and
    isn't proven; empty where there is none. Raises UserError where that can't be known.
    """
    for record in _all_readable():
        with suppress(KeyError, TypeError):
            source = record["source"]
            if record["state"] != PROVEN and claim in _claims_of(source):
                target = record["target"]
                where = f"--to {target['stack']}" if "stack" in target else f"--to-folder {shlex.quote(str(Path(target['folder']).parent))}"
                service = f" --service {source['service']}" if "service" in source else ""
                ordinal = f" --ordinal {source['ordinal']}" if "ordinal" in source else ""
                live = " --live" if record.get("live") else ""
                return f"python -m ops move --from {source['stack']} {where}{service}{ordinal}{live}"
    return ""


def proven_sources() -> set[str]:
    """The UIDs of claims of which a move of this machine has proven a copy. Raises UserError."""
    found: set[str] = set()
    for record in _all_readable():
        with suppress(KeyError, TypeError):
            if record["state"] == PROVEN:
                found |= _claims_of(record["source"])
    return found
