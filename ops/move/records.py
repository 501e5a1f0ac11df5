"""What is kept of all moves on this machine: which volumes they are about, and which are proven."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components import moves
from components.moves import PROVEN, RECORD, Unproven
from ops.errors import UserError


def readable_records() -> Iterator[dict[str, Any]]:
    """What is known of each move, but for those that can't be read."""
    return (record for _, record in moves.records() if record is not None)


def all_records() -> Iterator[tuple[Path, dict[str, Any]]]:
    """The folder of each move, and what is known of it. Raises UserError: none may be left out."""
    for folder, record in moves.records():
        if record is None:
            raise UserError(
                f"{folder / RECORD} can't be read by this user: which volume that move is about isn't known.",
                f"Where another user has made it (sudo): `sudo chown -R {os.environ.get('USER', 'USER')} {shlex.quote(str(folder))}`. "
                "A move that nobody wants any more is forgotten by removing its folder.",
            )
        yield folder, record


def unproven_from(claim: str) -> Unproven | None:
    """A move out of the claim with this UID that has begun on this machine and isn't proven.

    Raises UserError where that can't be known.
    """
    found = (moves.unproven(folder, record, claim) for folder, record in all_records())
    return next((each for each in found if each), None)


def proven() -> list[tuple[set[str], set[str]]]:
    """Of each move that this machine has proven, the UIDs of its source's claims and of its
    target's; none of a folder. Raises UserError where that can't be known.
    """
    records = (record for _, record in all_records())
    return [(moves.claims_of(each["source"]), moves.claims_of(each["target"])) for each in records if each["state"] == PROVEN]
