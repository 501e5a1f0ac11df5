"""One volume's move, step by step: what fits, the copy, the proof (`ops.move.proving`).

Nothing is given up: the source is mounted read-only, and the target counts only once it has been
read back by another pod and compared.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ops.errors import UserError
from ops.move.conversation import joined
from ops.move.ends import End, FolderEnd, usage
from ops.move.kept import COMPARED, PROVEN, Entry, KeptMove, move_id, write
from ops.move.listening import MoveListener
from ops.move.progress import Progress
from ops.move.proving import MoveProof
from ops.move.sizes import left_out, occupied, partial, too_small


class VolumeMove:
    """The move of one volume from end to end. `stop` ends it soon, in a state that goes on."""

    def __init__(self, title: str, source: End, target: End, stop: threading.Event) -> None:
        self.title = title
        self.source = source
        self.target = target
        self.id = move_id(source.uid, target.uid)
        self.kept = KeptMove(self.id)
        self.progress = Progress()
        self.began_before = False
        self._caveat: dict[str, str] = {}
        self._stop = stop
        self._listener = MoveListener(self.progress, stop)
        self._proof = MoveProof(title, self.id, source, target, self.kept, self._listener)

    def sizes(self, *, look_at_target: bool) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The usage of both ends, by pods of the moment. Raises UserError, Broken and ApiError."""
        with self._swept():
            self.progress.begin("looking")
            self.source.open(self.id, "source", writes=False)
            used = usage(self.source, self._stop)
            room = None
            if look_at_target:
                self.target.open(self.id, "target", writes=True)
                room = usage(self.target, self._stop)
            self.source.close()
            self.target.close()
            return used, room

    def move(self) -> dict[str, Any]:
        """All steps; returns the verdict. Of a move that is proven already, nothing is done.

        Raises UserError (Different among them), Broken, ApiError and Interrupted.
        """
        with self.kept.alone():
            if verdict := self.done:
                return {**verdict, "done": "before"}
            with self._swept():
                if self.kept.compared and self.target.exists():  # a run was cut while it took its marker away
                    self.target.open(self.id, "read-back", writes=True)
                    self.target.check(self.id, writes=True)
                    return self._finish()
                return self._move()

    def refusal(self, used: Mapping[str, Any], room: Mapping[str, Any]) -> UserError | None:
        """What keeps the move from being made, by the usage of its source and of its target."""
        source, target = (f"{self.title}: the {end}" for end in (f"source, {self.source.title},", f"target, {self.target.title},"))
        if problem := partial(used):
            return UserError(f"{source} {problem}.", "End that move first: run its command again.")
        if problem := occupied(room, self.id):
            return UserError(f"{target} {problem}.", "A move is made to an empty volume alone.")
        if problem := too_small(used, room):
            return UserError(f"{target} {problem}.", self.target.more_room)
        return None

    def caveat(self, used: Mapping[str, Any]) -> dict[str, str]:
        """What no proof is about, by the usage of its source: for its plan, and its verdict."""
        found = " ".join(filter(None, (self.source.caveat, left_out(used))))
        return {"caveat": f"{self.title}: {found}"} if found else {}

    @property
    def done(self) -> dict[str, Any] | None:
        """The verdict of a run before, where the target is still the one that it is about."""
        return self.kept.verdict if self.target.exists() and self.target.holds(self.kept.manifest) else None

    def verify(self) -> dict[str, Any]:
        """Read the target again, and compare it with the kept manifest. Raises as `move` does."""
        with self.kept.alone():
            verdict = self.kept.verdict
            if verdict is None:
                raise UserError(f"{self.title}: this move isn't finished, so there is nothing to verify.", "Run it without --verify.")
            with self._swept():
                self.target.open(self.id, "read-back", writes=False)
                self.target.check(self.id, writes=True)
                self._proof.still_equal(self._read_back())
                self.target.close()
            return {**verdict, "verifiedAt": _now()}

    # --- the steps ------------------------------------------------------------------------------

    def _move(self) -> dict[str, Any]:
        began = time.monotonic()
        self.progress.begin("starting")
        self.source.open(self.id, "source", writes=False)
        self.target.open(self.id, "target", writes=True)
        self._check_ends()
        self._check_room()
        self.kept.save(state="begun", source=self.source.described, target=self.target.described)
        copied = time.monotonic()
        sent = self._copy()
        copied = time.monotonic() - copied
        self.target.close()  # what was written is read by another pod, which mounts it anew
        self.progress.begin("starting")
        self.target.open(self.id, "read-back", writes=True)
        proving = time.monotonic()
        found = self._read_back()
        manifest = self._proof.manifest(sent)
        self._proof.proven(manifest, found)
        self._check_ends()
        now = time.monotonic()
        self._judge(manifest, now - began, copied, now - proving)
        self.source.close()
        return self._finish()

    def _finish(self) -> dict[str, Any]:
        """Take the marker away. Before that it is kept that this can be done again."""
        self._listener.entries("finish", self.target, "--move", self.id)
        self.target.close()
        if isinstance(self.target, FolderEnd):
            write(self.target.manifest, self.kept.manifest.read_text(encoding="utf-8"))
        verdict: dict[str, Any] = self.kept.record()["verdict"]
        self.kept.save(state=PROVEN)
        self.progress.begin(PROVEN, verdict["bytes"], verdict["files"])
        return verdict

    def _check_ends(self) -> None:
        """With the pods there: hours may have gone by since the claims were looked at."""
        self.source.check(self.id, writes=False)
        self.target.check(self.id, writes=True)

    def _check_room(self) -> None:
        used, room = usage(self.source, self._stop), usage(self.target, self._stop)
        refusal = self.refusal(used, room)
        if refusal:
            raise refusal
        self.began_before = bool(room["move"])
        self._caveat = self.caveat(used)

    def _copy(self) -> list[Entry]:
        self.progress.begin("copying")
        with self.kept.growing() as fresh:
            sender = self.source.run("send")
            receiver = self.target.run("receive", "--move", self.id)
            listen = self._listener.into(fresh)
            joined(sender, receiver, lambda process, event: listen(event) if process is sender else None, self._stop)
        return list(fresh)

    def _read_back(self) -> list[Entry]:
        self.progress.begin("reading back", self.progress.of_bytes, self.progress.of_files)
        return self._listener.entries("inspect", self.target)

    def _judge(self, manifest: list[Entry], seconds: float, copied: float, proof: float) -> None:
        files = [each for each in manifest if each["kind"] == "file" and "link" not in each]
        size = sum(int(each.get("size") or 0) for each in files)
        verdict = {
            "verdict": PROVEN,
            "move": self.id,
            "volume": self.title,
            "source": self.source.described,
            "target": self.target.described,
            "bytes": size,
            "files": len(files),
            "entries": len(manifest),
            "resumed": self.began_before,
            "seconds": round(seconds, 1),
            "copySeconds": round(copied, 1),
            "proofSeconds": round(proof, 1),
            "MBps": round(size / 1e6 / max(copied, 0.001), 1),
            "provenAt": _now(),
            "manifest": str(self.kept.manifest),
            **self._caveat,
        }
        self.kept.save(state=COMPARED, verdict=verdict)

    @contextmanager
    def _swept(self) -> Iterator[None]:
        """What a run before has left goes first. Where the block fails, what it made goes too."""
        ends = (self.source, self.target)
        try:
            for end in ends:
                end.sweep(self.id)
            yield
        except BaseException:
            for end in ends:
                end.abandon(self.id)
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
