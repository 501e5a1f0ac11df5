"""Folders in the user's cache that are whole, and stay usable only as long as they are.

A folder is made under another name, sealed, and renamed. That covers an interrupted run; the seal
covers what comes later: a full disk, a power cut before the data was written, a hand that deletes
some of it. Sizes and rights are compared, not contents: hashing hundreds of megabytes at every
start would take seconds.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

SEAL = ".whole.json"


def seal(folder: Path) -> None:
    """Note every file below `folder`, as it is now, as what belongs there."""
    (folder / SEAL).unlink(missing_ok=True)
    (folder / SEAL).write_text(json.dumps(_contents(folder)), encoding="utf-8")


def keep(made: Path, target: Path) -> None:
    """Seal the folder `made`, and put it where it belongs, instead of one that isn't whole.

    One that another run has put there meanwhile stays.
    """
    seal(made)
    if target.exists() and not is_whole(target):
        shutil.rmtree(target)
    try:
        made.rename(target)
    except OSError:
        if not target.exists():
            raise


def is_whole(folder: Path) -> bool:
    """Whether `folder` was sealed, and everything that was in it then is there, as long and with
    the same rights as then."""
    try:
        sealed = json.loads((folder / SEAL).read_text(encoding="utf-8"))
        return bool(sealed) and all(_describe(folder / name) == described for name, described in sealed.items())
    except (OSError, ValueError, AttributeError):
        return False


def _contents(folder: Path) -> dict[str, list[int]]:
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            found[path.relative_to(folder).as_posix()] = _describe(path)
    return found


def _describe(path: Path) -> list[int]:
    """Mode (with the kind of file) and size; of a link its own."""
    status = path.lstat()
    return [status.st_mode, status.st_size]
