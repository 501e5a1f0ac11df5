"""Runs beside the data of a move: reads the source, writes the target, says what is there.

Standard library only, Python 3.9 or newer, Linux. It knows nothing of Kubernetes: it gets the
folder where a volume is mounted. `send` and `receive` talk to each other by stdout and stdin.
What they have to say to whoever started them goes to stderr: one JSON object a line, which is
`alive`, `progress`, `entry`, `failed` or, last, `done`. Exit status: 0 done, 1 failed, 2 usage.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

if __name__ == "__main__" and not __package__:  # started as a file: its folder is its package (PEP 366)
    sys.path.append(str(Path(__file__).absolute().parents[1]))
    __package__ = Path(__file__).absolute().parent.name

from .committer import of_target, sync_folders
from .journal import Journal, marked, others
from .nodes import MARKER, at, describe, left_out, named, of_source, sizes, value_of, walk
from .reading import Reading, ahead
from .receiver import Receiver
from .sender import Sender
from .stream import packed, widen, write_all
from .voice import Failed, Voice, readable


def send(root: bytes, voice: Voice, _move: str) -> dict[str, Any]:
    """Send what is in the source."""
    widen(1)
    Sender(root, voice).run()
    return {}


def receive(root: bytes, voice: Voice, move: str) -> dict[str, Any]:
    """Write into the target what the sender sends."""
    widen(0)
    try:
        receiver = Receiver(root, move, voice)
        receiver.run()
    except (Failed, OSError) as problem:
        failed = problem if isinstance(problem, Failed) else of_target(problem, os.fsencode(problem.filename or MARKER))
        with contextlib.suppress(OSError):
            write_all(1, packed(b"F", {"reason": f"{readable(failed.path)}: {failed.reason}" if failed.path else failed.reason}))
        raise failed from None
    return receiver.result


def look(root: bytes, voice: Voice, _move: str, *, read: bool = False) -> dict[str, Any]:
    """Say what is there, without reading it."""
    voice.expect(sizes(root))
    nodes = walk(root, voice.failed, foreign=True)
    for node in ahead(root, nodes, from_disk=True) if read else nodes:
        try:
            entry = describe(root, node)
            if node.is_read:
                if read:
                    with Reading(root, node, entry) as reading:
                        for _, data, _ in reading.chunks():
                            voice.add(len(data))
                voice.add(0, 1)
        except (Failed, OSError) as problem:
            voice.failed(problem if isinstance(problem, Failed) else of_source(problem, node.path))
            continue
        voice.say("entry", **entry)
    return {}


def inspect(root: bytes, voice: Voice, move: str) -> dict[str, Any]:
    """Say what is there, having read all of it from the disk."""
    return look(root, voice, move, read=True)


def usage(root: bytes, voice: Voice, _move: str) -> dict[str, Any]:
    """Say on stdout how much is there, and how much room is left, in bytes and inodes."""
    voice.expect(sizes(root))
    used = inodes = 0
    for node in walk(root, voice.failed):
        if node.link is None and node.path != b".":
            used += node.stat.st_blocks * 512
            inodes += 1
    space = os.statvfs(root)
    move = marked(root)
    found = {
        "usedBytes": used,
        "apparentBytes": voice.of_bytes,
        "files": voice.of_files,
        "inodes": inodes,
        "freeBytes": space.f_bavail * space.f_frsize,
        "freeInodes": space.f_favail,
        "empty": not move and not others(root),
        "move": move or "",
        "leftOut": left_out(root),
    }
    write_all(1, json.dumps(found).encode() + b"\n")
    return {}


def distrust(root: bytes, _voice: Voice, move: str) -> dict[str, Any]:
    """What stdin names isn't what was sent: the next run of the move sends it again.

    A line of JSON for each path, and an empty one at the end. What the move hasn't made is none of
    its own, and stays so.
    """
    if marked(root) != move:
        raise Failed("foreign", "the target isn't this move's any more")
    paths = [value_of("path", json.loads(line)) for line in iter(sys.stdin.buffer.readline, b"\n")]
    journal = Journal(root, move)
    journal.add(named("path", path) for path in paths if path in journal.lines)
    journal.sync()
    return {}


def finish(root: bytes, _voice: Voice, move: str) -> dict[str, Any]:
    """Take the marker away: from now on the target is nobody's but its owner's."""
    found = marked(root)
    if found is None:
        return {}
    if found != move:
        raise Failed("foreign", f"the target holds a part of another move ({found})")
    before = os.stat(root)
    os.unlink(at(root, MARKER))
    os.utime(root, ns=(before.st_atime_ns, before.st_mtime_ns))
    sync_folders([root])
    return {}


MODES = {each.__name__: each for each in (send, receive, inspect, look, usage, distrust, finish)}


def main() -> NoReturn:
    """Run one mode."""
    parser = argparse.ArgumentParser(description="Reads, writes and looks at what a move moves.")
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--root", required=True, help="the folder where the volume is mounted")
    parser.add_argument("--move", default="", help="the move's ID")
    given = parser.parse_args()
    if given.mode in ("receive", "distrust", "finish") and not given.move:
        parser.error(f"{given.mode} needs --move")
    if sys.platform != "linux":
        parser.error(f"files are moved whole on Linux alone: {sys.platform} has other attributes and holes")
    if not Path(given.root).is_dir():
        parser.error(f"--root {given.root} is no folder")
    voice = Voice()
    try:
        result = MODES[given.mode](os.fsencode(given.root), voice, given.move)
    except Exception as problem:
        voice.end(problem)
    voice.end(**result)


if __name__ == "__main__":
    main()
