"""What shows that the target of a move is what its source is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.changes import Changes, unread
from ops.move.comparison import compare, differing
from ops.move.conversation import Broken
from ops.move.ends import End, FolderEnd
from ops.move.kept import Entry, KeptMove, read
from ops.move.listening import MoveListener

SHOWN = 10  # differences that are shown


class Different(UserError):
    """The target isn't what the source was. `differences` are all of them, a sentence each."""

    def __init__(self, what: str, differences: list[str], hint: str) -> None:
        more = [f"  and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else []
        super().__init__("\n".join([what, *(f"  {each}" for each in differences[:SHOWN]), *more]), hint)
        self.differences = differences


@dataclass(frozen=True)
class MoveProof:
    """The proof of one volume's move, once the target has been read back."""

    title: str
    move: str
    source: End
    target: End
    kept: KeptMove
    listener: MoveListener

    def manifest(self, sent: Iterable[Entry]) -> list[Entry]:
        """What the source is, whole. It is read once more where a cut run's entries were lost.

        Raises Different where it changed since it was sent.
        """
        found = self.kept.complete(sent)
        if not any(map(unread, found)):
            return found
        progress = self.listener.progress
        progress.begin("reading the source", progress.of_bytes, progress.of_files)
        changes = Changes(found)
        read_now = self.kept.complete(self.listener.entries("inspect", self.source))
        for each in read_now:
            changes.hear(each)
        self._refuse_changes(self._source_changed, changes)
        return read_now

    def proven(self, manifest: list[Entry], found: list[Entry]) -> None:
        """Both ends are still as they were when they were read, and the target is the source.

        Reading a large volume takes hours, in which a pod may come, write and go. Raises Different.
        """
        self.listener.progress.begin("looking at both ends")
        source, target = Changes(manifest), Changes(found)
        self.listener.look((self.source, source.hear), (self.target, target.hear))
        self._refuse_changes(self._source_changed, source)
        if isinstance(self.source, FolderEnd) and self.source.manifest.exists():
            differences = compare(read(self.source.manifest), manifest)
            if differences:
                what = f"{self.title}: the folder {self.source.folder} isn't what was put into it:"
                hint = f"To move it as it is now, remove {self.source.manifest}."
                raise Different(what, [each.replace("on the target", "now").replace("on the source", "then") for each in differences], hint)
        self._equal(manifest, found)
        self._refuse_changes(f"the target, {self.target.title}, changed after it was read back", target)

    def still_equal(self, found: list[Entry]) -> None:
        """Raises Different where the target isn't any more what was moved to it."""
        hint = "A service that has run on it since is reason enough. If none has, its storage doesn't keep what it is given: don't use it."
        self._compare(read(self.kept.manifest), found, "is no longer what was moved", hint)

    @property
    def _source_changed(self) -> str:
        return f"the source, {self.source.title}, changed while it was read"

    def _equal(self, manifest: list[Entry], found: list[Entry]) -> None:
        """Raises Different where the target isn't the source. The next run sends that again."""
        try:
            hint = "The source is as it was. Don't use the target: its storage doesn't keep what it is given."
            self._compare(manifest, found, "isn't what the source is", hint)
        except Different as problem:
            try:
                self._distrust(differing(manifest, found))
            except (Broken, ApiError) as other:
                problem.hint += f" Before the same command is run, remove there what differs: that couldn't be noted there ({other})."
            else:
                problem.hint += " The same command sends again what differs, and proves everything anew."
            raise

    def _refuse_changes(self, what: str, changes: Changes) -> None:
        if differences := changes.found():
            hint = "Find out who writes to it, stop that, and run the same command again."
            raise Different(f"{self.title}: {what}:", differences, hint)

    def _distrust(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Note it at the target: what its file system says of these isn't as it was written."""
        paths = [{name: each[name] for name in ("path", "pathBase64") if name in each} for each in entries]
        told = "".join(f"{json.dumps(each)}\n" for each in paths).encode() + b"\n"
        self.listener.entries("distrust", self.target, "--move", self.move, told=told)

    def _compare(self, manifest: list[Entry], found: list[Entry], what: str, hint: str) -> None:
        differences = compare(manifest, found)
        if differences:
            raise Different(f"{self.title}: the target, {self.target.title}, {what}:", differences, hint)
