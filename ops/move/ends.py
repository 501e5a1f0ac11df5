"""The two ends of a move: a claim, by a pod that mounts it, or a folder of this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, cast

from components.canary.stopping import StoppableApi
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.claims import ClaimSide, refusals
from ops.move.conversation import alone
from ops.move.pods import MovePod, claim_path, program, sweep
from ops.move.process import InPod, OnThisMachine, Process


class End(Protocol):
    """One end. `open` makes it usable, in a certain role, until `close`."""

    uid: str
    title: str
    described: dict[str, Any]

    @property
    def is_there(self) -> bool:
        """Whether a move that has filled it need not look: nobody has taken it away."""

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """From now on programs can be run there. Raises UserError and ApiError."""

    def run(self, *arguments: str) -> Process:
        """Run the program on its files. Raises Broken and ApiError."""

    def check(self, move: str) -> None:
        """It is still what it was at the beginning, and nobody else uses it.

        Raises UserError where that isn't so, and ApiError.
        """

    def close(self) -> None:
        """Let go of it; it is unmounted. Raises UserError and ApiError."""

    def abandon(self, move: str) -> None:
        """Remove what a run has made there, whatever its state; best effort."""


class ClaimEnd:
    """A claim."""

    def __init__(self, side: ClaimSide, stop: threading.Event) -> None:
        self.side = side
        self.uid = side.uid
        self.title = f"{side.settings.stack} {side.name}"
        namespace, context = side.settings.namespace.name, side.settings.cluster.context
        self.described = {
            "stack": side.settings.stack,
            "context": context,
            "namespace": namespace,
            "claim": side.name,
            "uid": side.uid,
            "storageClass": side.storage_class,
        }
        own = side.api.of_context(side.api.context)  # a connection is one thread's
        self._stoppable = StoppableApi(own, stop)
        self._api = cast(KubeApi, self._stoppable)
        self._pod: MovePod | None = None

    @property
    def is_there(self) -> bool:
        """A claim that is made anew has another UID, and so its own move."""
        return True

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """A pod that mounts the claim."""
        self._pod = MovePod.start(self._api, self.side.settings, move, role, self.side.claim, writes=writes)

    def run(self, *arguments: str) -> InPod:
        """In the pod."""
        assert self._pod is not None, "it is open"
        return self._pod.run(*arguments)

    def check(self, move: str) -> None:
        """The claim of this name is the same one, and no other pod uses it.

        A pod that starts in mid-move may write what isn't compared any more.
        """
        now = self._api.find(claim_path(self.side.settings.namespace.name, self.side.name))
        if now is None or now["metadata"]["uid"] != self.uid or now["metadata"].get("deletionTimestamp"):
            raise UserError(
                f"{self.title}: the claim was deleted while it was moved.", "Look who deletes it, then run the same command again."
            )
        for problem in refusals(replace(self.side, api=self._api, claim=now), move, writes=True):
            raise UserError(f"{problem}.", "Then run the same command again: it goes on where this stopped.")

    def close(self) -> None:
        """Remove the pod."""
        if self._pod:
            pod, self._pod = self._pod, None
            pod.remove()

    def abandon(self, move: str) -> None:
        """Remove every pod of the move in this namespace, without waiting.

        Where that fails the next run does it, and the pods end by themselves.
        """
        with suppress(ApiError, UserError), self._stoppable.shielded():
            sweep(self._api, self.side.settings.namespace.name, move, wait=False)

    def sweep(self, move: str) -> None:
        """Remove what a run before has left, and wait until it is gone."""
        sweep(self._api, self.side.settings.namespace.name, move)


class FolderEnd:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uid = str(folder.resolve())
        self.title = str(folder)
        self.described: dict[str, Any] = {"folder": self.uid}

    @property
    def manifest(self) -> Path:
        """What is in the folder, beside it: for whoever has the folder and not this machine."""
        return self.folder.with_name(f"{self.folder.name}.manifest.jsonl")

    @property
    def is_there(self) -> bool:
        """A folder that was removed, or moved away, has taken its manifest along or not."""
        return self.folder.is_dir() and self.manifest.exists()

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """The folder, made where it is written to."""
        del move, role
        if writes:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not self.folder.is_dir():
            raise UserError(f"--from-folder: there is no folder {self.folder}.", "It has a folder for each claim, named as the claim is.")

    def run(self, *arguments: str) -> OnThisMachine:
        """On this machine, with its Python."""
        command = [sys.executable, "-IB", str(program()), arguments[0], "--root", str(self.folder), *arguments[1:]]
        return OnThisMachine(command, f"folder {self.folder}")

    def check(self, move: str) -> None:
        """Nobody knows who uses a folder."""

    def close(self) -> None:
        """Nothing is held."""

    def abandon(self, move: str) -> None:
        """Nothing is held."""


def usage(end: End, stop: threading.Event) -> dict[str, Any]:
    """What is in an end, and how much fits. Raises Broken and ApiError."""
    found: dict[str, Any] = json.loads(alone(end.run("usage"), lambda _: None, stop))
    return found


def check_root(option: str, folder: Path) -> None:
    """Raise UserError where this user can't read anybody's files, or give files their owners.

    `option` is what names the folder: --to-folder or --from-folder.
    """
    if sys.platform != "linux":
        raise UserError(f"{option} {folder}: only Linux keeps all that a volume's files have.", "Run it there.")
    if os.geteuid() != 0:
        raise UserError(
            f"{option} {folder}: only root can read and make files of every owner, and this user isn't root.",
            f"`sudo -E {shlex.quote(sys.executable)} -m ops move …` runs it as root.",
        )
