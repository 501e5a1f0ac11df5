"""Moves that this machine has made, found again by what is kept of them.

To verify one takes its target and its manifest. Its source may be gone: that is what a move is for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.kube.ownership import parse_claim_name
from ops.errors import UserError
from ops.move import claims
from ops.move.claims import ClaimSide
from ops.move.ends import ClaimEnd, End, FolderEnd, check_root
from ops.move.kept import PROVEN
from ops.move.planning import Sides, StackAndApi
from ops.move.process import Process
from ops.move.records import all_records
from ops.move.run import VolumeMove


class RememberedEnd:
    """The source of a move as it was then. Nothing can be run there."""

    caveat = more_room = ""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self.described = dict(described)
        self.uid = str(described.get("uid") or described.get("folder"))
        self.title = f"{described['stack']} {described['claim']}" if "claim" in described else str(described.get("folder"))

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """Raises UserError."""
        del move, role, writes
        raise self._out_of_reach()

    def exists(self) -> bool:
        """Nobody looks."""
        return False

    def holds(self, manifest: Path) -> bool:
        """Nobody looks."""
        del manifest
        return False

    def check(self, move: str, *, writes: bool) -> None:
        """Nobody uses what is only known."""

    def run(self, *arguments: str) -> Process:
        """Raises UserError."""
        del arguments
        raise self._out_of_reach()

    def _out_of_reach(self) -> UserError:
        return UserError(f"{self.title} is known by what was kept of it alone.")

    def close(self) -> None:
        """Nothing is held."""

    def sweep(self, move: str) -> None:
        """What a run has left at a source ends by itself."""

    def abandon(self, move: str) -> None:
        """Nothing was made."""


def moves(
    source: str | None,
    target: StackAndApi | None,
    from_folder: Path | None,
    to_folder: Path | None,
    *,
    service: str | None,
    ordinal: int | None,
    stop: threading.Event,
) -> tuple[list[VolumeMove], Sides]:
    """Those that have begun from a stack or folder to another, for whoever verifies them.

    Raises UserError where there is none, or not of all that was asked for, or what is kept of moves
    can't be read, and ApiError.
    """
    found: list[VolumeMove] = []
    targets: list[ClaimSide | None] = []
    records = [each for _, each in all_records() if _is_from(each, source, from_folder)]
    lacking: list[str] = []
    if target:
        for side in claims.find(*target, claims.wanted(target.settings, service, ordinal, "--to")):
            of_claim = [each for each in records if each["target"].get("uid") == side.uid]
            if of_claim:
                found.append(VolumeMove(f"{side.service}-{side.ordinal}", _source(of_claim), ClaimEnd(side, stop), stop))
                targets.append(side)
            else:
                lacking.append(f"{side.service}-{side.ordinal}")
    elif to_folder:
        check_root("--to-folder", to_folder)
        for folder, of_folder in sorted(_folders(records, to_folder)):
            name, number = parse_claim_name(folder.name) or (folder.name, 0)
            if service in (None, name) and ordinal in (None, number):
                found.append(VolumeMove(f"{name}-{number}", _source(of_folder), FolderEnd(folder), stop))
                targets.append(None)
    if not found:
        one = source or from_folder
        other = target.settings.stack if target else to_folder
        raise UserError(
            f"no move from {one} to {other} is known on this machine, so there is nothing to verify.",
            "It is verified where it was made, by the manifest that was kept there. Without --verify it is moved.",
        )
    if lacking:
        whole = {each.title.rpartition("-")[0] for each in found} - {each.rpartition("-")[0] for each in lacking}
        chosen = f"--service {min(whole)}" if whole else "--service {} --ordinal {}".format(*found[0].title.rsplit("-", 1))
        raise UserError(
            f"{', '.join(lacking)}: no move from {source or from_folder} to the claims that are there now is known on this machine. They "
            "weren't moved, or were made anew since.",
            f"Move them, or verify what was moved: {chosen}",
        )
    return found, [(None, each) for each in targets]


def _is_from(record: Mapping[str, Any], stack: str | None, folder: Path | None) -> bool:
    """Whether a record is of a move of stopped volumes out of this stack or folder."""
    source, target = record.get("source"), record.get("target")
    if record.get("live") or not isinstance(source, dict) or not isinstance(target, dict):
        return False
    if stack is not None:
        return source.get("stack") == stack and "claim" in source
    assert folder is not None, "a move has a source"
    return "folder" in source and Path(source["folder"]).parent == folder.resolve()


def _source(records: list[dict[str, Any]]) -> End:
    """That of the move whose data is there: the last that was proven, else one that has begun."""
    newest = max(records, key=lambda each: (each.get("state") == PROVEN, str((each.get("verdict") or {}).get("provenAt"))))
    return RememberedEnd(newest["source"])


def _folders(records: list[dict[str, Any]], base: Path) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    names = {Path(each["target"]["folder"]) for each in records if "folder" in each["target"]}
    for folder in names:
        if folder.parent == base.resolve():
            yield folder, [each for each in records if each["target"].get("folder") == str(folder)]
