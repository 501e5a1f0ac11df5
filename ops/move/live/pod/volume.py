"""In the target's pod: what is on the volume before PostgreSQL's files are, and after.

    volume.py prepare                     makes the FIFO for which keep.sh waits
    volume.py look ROOT DATA MOVE         what is there, as JSON
    volume.py begin ROOT DATA MOVE        writes the move's marker, and removes what it has written
    volume.py finish ROOT DATA MOVE       removes the marker
    volume.py clear ROOT DATA MOVE        removes what the move has written, and the marker
    volume.py password                    keeps the line that comes on stdin as a libpq passfile

ROOT is where the volume is mounted, DATA is PGDATA. Nothing is removed without the marker of this
very move. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

MARKER = ".storage-tiers-move"
RUN = Path("/run/move")
CONTROL = "control"
PASSFILE = "passfile"
_IGNORED = ("lost+found", MARKER)


def look(root: Path, data: Path, move: str) -> dict[str, Any]:
    """Whether anything is there that isn't this move's, and how many bytes are free."""
    marker = root / MARKER
    whose = marker.read_text(encoding="utf-8").strip() if marker.exists() else ""
    top = data.relative_to(root).parts[0]
    others = sorted(each.name for each in root.iterdir() if each.name not in _IGNORED and not (whose == move and each.name == top))
    system = os.statvfs(root)
    return {
        "others": others[:5],
        "move": whose,
        "freeBytes": system.f_bavail * system.f_frsize,
        "begun": data.exists(),
        "writable": os.access(root, os.W_OK),
        "machine": platform.machine(),
    }


def begin(root: Path, data: Path, move: str) -> None:
    """Mark the volume as this move's; what a run before has written is removed."""
    empty(root, data, move)
    data.parent.mkdir(parents=True, exist_ok=True)


def empty(root: Path, data: Path, move: str) -> None:
    """Remove what the move has written, all but its marker, which is there afterwards.

    Raises ValueError where anything else is there.
    """
    found = look(root, data, move)
    if found["others"] or found["move"] not in ("", move):
        raise ValueError(f"the volume isn't empty: {', '.join(found['others']) or 'another move is under way'}")
    (root / MARKER).write_text(move, encoding="utf-8")
    top = root / data.relative_to(root).parts[0]
    if top.exists():
        shutil.rmtree(top)


def finish(root: Path, move: str) -> None:
    """The volume is nobody's part of a move any more. Raises ValueError where it never was."""
    marker = root / MARKER
    if marker.exists():
        if marker.read_text(encoding="utf-8").strip() != move:
            raise ValueError(f"{marker} is another move's")
        marker.unlink()


def password(line: str, folder: Path = RUN) -> None:
    """Keep a password where libpq looks for it, for this user alone."""
    file = folder / PASSFILE
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as made:
        escaped = line.replace("\\", "\\\\").replace(":", "\\:")
        made.write(f"*:*:*:*:{escaped}\n" if line else "")


def prepare(folder: Path = RUN) -> None:
    """What keep.sh waits for, which an engine's image may have no program to make."""
    os.mkfifo(folder / CONTROL, 0o600)


def main(step: str, *arguments: str) -> int:
    """Do one step. Its failure is one line on stderr."""
    try:
        if step == "prepare":
            prepare()
        elif step == "password":
            password(sys.stdin.readline().rstrip("\n"))
        else:
            root, data, move = Path(arguments[0]), Path(arguments[1]), arguments[2]
            if step == "begin":
                begin(root, data, move)
            elif step == "clear":
                empty(root, data, move)
            if step in ("finish", "clear"):
                finish(root, move)
            print(json.dumps(look(root, data, move)))
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
