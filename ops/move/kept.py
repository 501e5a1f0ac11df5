"""What is kept of a move on this machine, outside of both volumes: its manifest and its verdict.

It is in $XDG_STATE_HOME/storage-tiers/moves (~/.local/state where that isn't set), readable for
this user alone. The move's ID follows from both ends, so that running it again finds it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from components import moves
from ops.errors import UserError

Entry = dict[str, Any]
COMPARED = "compared"  # the verdict is there; the target's marker may be
PROVEN = moves.PROVEN
_UNCHANGED = ("kind", "size", "mtimeNs", "ctimeNs")  # a file with the same of these has the same hash


def move_id(source: str, target: str) -> str:
    """The ID of the move between two ends, each known by its UID or path."""
    return hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:12]


def key(entry: Entry) -> str:
    """What tells an entry from all others: its path."""
    return str(entry.get("pathBase64") or f"/{entry['path']}")


class KeptMove:
    """The folder of one move."""

    def __init__(self, move: str) -> None:
        self.folder = moves.state_folder() / move
        self._record = self.folder / moves.RECORD
        self.manifest = self.folder / "source.jsonl"
        self._growing = self.folder / "source.jsonl.part"

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else runs this move meanwhile. Raises UserError where somebody does."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as file:
            if sys.platform != "win32":
                import fcntl  # noqa: PLC0415 - Windows has none

                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UserError(f"this move is under way already on this machine ({self.folder}).", "Wait for it, or end it.") from None
            try:
                yield
            finally:
                _hand_over(self.folder)

    def record(self) -> dict[str, Any]:
        """What is known of the move; empty where nothing is."""
        try:
            found: dict[str, Any] = json.loads(self._record.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except ValueError:
            raise UserError(
                f"{self._record} isn't what this command wrote there.", f"Remove the folder {self.folder} to begin anew."
            ) from None
        return found

    @property
    def state(self) -> str:
        """How far the move is, by what was saved last; empty where nothing was."""
        return str(self.record().get("state") or "")

    def save(self, **changes: Any) -> None:  # noqa: ANN401 - JSON
        """Add to what is known of the move."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(self._record, json.dumps({**self.record(), **changes}, indent=2) + "\n")

    def forget(self) -> None:
        """Nothing is known of the move any more: it was called off."""
        self._record.unlink(missing_ok=True)

    @property
    def verdict(self) -> dict[str, Any] | None:
        """The verdict of a move that is proven."""
        found = self.record()
        verdict: dict[str, Any] | None = found.get("verdict")
        return verdict if found.get("state") == PROVEN else None

    @property
    def compared(self) -> bool:
        """Whether all that is left is to take the target's marker away."""
        return self.record().get("state") == COMPARED

    @contextmanager
    def growing(self) -> Iterator[list[Entry]]:
        """Entries that are put into the list here are kept, whatever ends the block.

        A cut run's are completed by the next one's.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh: list[Entry] = []
        try:
            yield fresh
        finally:
            with self._growing.open("a", encoding="utf-8") as file:
                file.writelines(f"{json.dumps(each, separators=(',', ':'))}\n" for each in fresh)

    def complete(self, entries: Iterable[Entry]) -> list[Entry]:
        """The manifest of these entries, kept for good.

        A hash that one lacks, because its file was there already, is that of a run before.
        """
        known = {}
        for each in read(self._growing):
            if "hash" in each or key(each) not in known:
                known[key(each)] = each
        found = [_with_hash(each, known.get(key(each))) for each in entries]
        write(self.manifest, "".join(f"{json.dumps(each, separators=(',', ':'))}\n" for each in found))
        self._growing.unlink(missing_ok=True)
        return found


def _with_hash(entry: Entry, known: Entry | None) -> Entry:
    if "hash" in entry or known is None or any(entry.get(each) != known.get(each) for each in _UNCHANGED):
        return entry
    return {**entry, "hash": known["hash"]} if "hash" in known else entry


def slim(entry: Mapping[str, Any]) -> Entry:
    """The same in half the memory: what all entries have the name of is one string for all.

    That a program has said it as an `event` is no part of the entry.
    """
    return {sys.intern(name): sys.intern(value) if name == "kind" else value for name, value in entry.items() if name != "event"}


def read(file: Path) -> list[Entry]:
    """The entries of a manifest; a last line that a kill has cut is none. Empty without a file."""
    if not file.exists():
        return []
    found = []
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            try:
                found.append(slim(json.loads(line)))
            except ValueError:
                continue
    return found


def _hand_over(folder: Path) -> None:
    """What root has made in another user's home is that user's: `sudo -E` keeps HOME, and whoever
    prunes volumes later without it has to see which are being moved.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    with suppress(OSError):  # it was removed, or lies where root may not: then prune says that it can't be read
        _give_to_owner_of_home(folder)


def _give_to_owner_of_home(folder: Path) -> None:
    above = list(itertools.takewhile(lambda each: each.stat().st_uid == 0, (folder, *folder.parents)))
    home = above[-1].parent if above else folder
    owner = home.stat()
    if owner.st_uid:
        for path in (*above, *(folder.iterdir())):
            os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def write(file: Path, text: str) -> None:
    """All of it or nothing, on the disk, for this user alone."""
    part = file.with_name(file.name + ".new")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as made:
        made.write(text)
        made.flush()
        os.fsync(made.fileno())
    part.replace(file)
    if sys.platform != "win32":  # the name as well, before anything is done that counts on it
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            with suppress(OSError):  # not every file system can; the file itself is on the disk
                os.fsync(folder)
        finally:
            os.close(folder)
