"""The attributes that Pulumi's file backend keeps beside the files of a state, where a killed run
has left them half written.

That backend uses gocloud.dev/blob/fileblob. A file is written beside the old one and renamed, but
its `<file>.attrs` is written in place (attrs.go). After a kill in between, the attributes are empty
or cut off. Every later `pulumi` then says `failed to load checkpoint: EOF`, although the state is
whole. A file without attributes is read as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

from components.kube.labels import PROJECT

ENDING = ".attrs"


def remove_half_written(state: Path, stack: str) -> int:
    """Remove the attributes of `stack`'s files in the backend's folder `state` that can't be read.

    Gives how many those were. Nobody may be writing to the stack.
    """
    folder = state / ".pulumi"
    beside_the_state = (path for path in (folder / "stacks" / PROJECT).glob("*" + ENDING) if path.name.startswith(f"{stack}.json"))
    of_the_history = (folder / "history" / PROJECT / stack).glob("*" + ENDING)
    half_written = [path for path in (*beside_the_state, *of_the_history) if not _is_whole(path)]
    for path in half_written:
        path.unlink(missing_ok=True)
    return len(half_written)


def _is_whole(path: Path) -> bool:
    try:
        return isinstance(json.loads(path.read_bytes()), dict)
    except ValueError:
        return False
