"""The two ends of a move: a claim, by a pod that mounts it, or a folder of this machine."""

from __future__ import annotations

import json
import os
import shlex
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from filecmp import cmp
from pathlib import Path
from typing import Any, Protocol, cast
from uuid import uuid4

from components.canary.stopping import StoppableApi
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.claims import ClaimSide, users_of
from ops.move.conversation import Broken, alone
from ops.move.pods import MovePod, claim_path, program, sweep
from ops.move.process import InPod, OnThisMachine, Process


class End(Protocol):
    """One end. `open` makes it usable, in a certain role, until `close`."""

    uid: str
    title: str
    described: dict[str, Any]

    @property
    def more_room(self) -> str:
        """How it gets more room, as a target: a sentence."""

    @property
    def caveat(self) -> str:
        """What isn't known of it as a source, so no proof is about it: a sentence, or empty."""

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """From now on programs can be run there. Raises UserError and ApiError."""

    def exists(self) -> bool:
        """Whether what this end was is still there."""

    def holds(self, manifest: Path) -> bool:
        """Whether it is still about what this manifest is of."""

    def check(self, move: str, *, writes: bool) -> None:
        """Raise UserError where somebody else uses it by now, or it is another one."""

    def run(self, *arguments: str) -> Process:
        """Run the program on its files. Raises Broken and ApiError."""

    def close(self) -> None:
        """Let go of it; it is unmounted. Raises UserError and ApiError."""

    def sweep(self, move: str) -> None:
        """Remove what a run before has left, and wait until it is gone. Raises UserError."""

    def abandon(self, move: str) -> None:
        """Remove what a run has made there, whatever its state; best effort."""


class ClaimEnd:
    """A claim."""

    def __init__(self, side: ClaimSide, stop: threading.Event) -> None:
        self.side = side
        self.uid = side.uid
        self.title = f"{side.settings.stack} {side.name}"
        self.described = describe_claim(side)
        own = side.api.of_context(side.api.context)  # a connection is one thread's
        self._stoppable = StoppableApi(own, stop)
        self._api = cast(KubeApi, self._stoppable)
        self._pod: MovePod | None = None
        self._opened: tuple[str, str, bool] = ("", "", False)
        self._run = uuid4().hex[:12]

    @property
    def more_room(self) -> str:
        """Where the provisioner enforces no sizes, the volume has the room of its node's disk."""
        settings = self.side.settings
        if not settings.provisioner.enforces_size:
            return f"Sizes aren't enforced there: make room on the disk that volumes of class {self.side.storage_class} are on."
        size = f"services.{self.side.service}.size"
        return f"Make it larger: `{size}` in Pulumi.{settings.stack}.yaml, then `pulumi up --stack {settings.stack}`."

    @property
    def caveat(self) -> str:
        """A volume is what it is."""
        return ""

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """A pod that mounts the claim."""
        self._opened = (move, role, writes)
        self._pod = MovePod.start(self._api, self.side.settings, move, role, self.side.claim, run=self._run, writes=writes)

    def exists(self) -> bool:
        """It was found."""
        return True

    def holds(self, manifest: Path) -> bool:
        """A claim has a UID of its own: one that is made anew is another end."""
        del manifest
        return True

    def check(self, move: str, *, writes: bool) -> None:
        """Other pods may have begun to use the claim, and one of its name may have been made anew.

        While a pod of the move is there, a claim isn't removed.
        """
        side = replace(self.side, api=self._api)
        found = self._api.find(claim_path(side.settings.namespace.name, side.name))
        if found is None or found["metadata"]["uid"] != side.uid:
            raise UserError(
                f"{side} was removed or made anew while it was moved: it isn't the one that was found.", "Run the command again."
            )
        users = users_of(side, writes=writes, move=move, run=self._run)
        if users:
            raise UserError(
                f"{side} came into use while it was moved: by {', '.join(users)}. So nothing is proven.",
                "Stop what uses it, and run the same command again.",
            )

    def run(self, *arguments: str) -> InPod:
        """In the pod; in a new one where that has ended, idle while the other end was read."""
        assert self._pod is not None, "it is open"
        if self._pod.has_ended():
            self.close()
            move, role, writes = self._opened
            self.open(move, role, writes=writes)
        return self._pod.run(*arguments)

    def close(self) -> None:
        """Remove the pod."""
        if self._pod:
            pod, self._pod = self._pod, None
            pod.remove()

    def abandon(self, move: str) -> None:
        """Remove every pod of this run in this namespace, without waiting.

        Where that fails the next run does it, and the pods end by themselves.
        """
        with suppress(ApiError, UserError), self._stoppable.shielded():
            sweep(self._api, self.side.settings.namespace.name, move, run=self._run, wait=False)

    def sweep(self, move: str) -> None:
        """Remove what a run before has left, and wait until it is gone."""
        sweep(self._api, self.side.settings.namespace.name, move)


def describe_claim(side: ClaimSide) -> dict[str, Any]:
    """What is kept of a claim in a move's record."""
    return {
        "stack": side.settings.stack,
        "context": side.settings.cluster.context,
        "namespace": side.settings.namespace.name,
        "service": side.service,
        "ordinal": side.ordinal,
        "claim": side.name,
        "uid": side.uid,
        "storageClass": side.storage_class,
    }


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
    def more_room(self) -> str:
        """That of this machine's disk."""
        return f"Make room on the disk of {self.folder}."

    @property
    def caveat(self) -> str:
        """Without its manifest."""
        if self.manifest.is_file():
            return ""
        return (
            f"nothing says that folder {self.folder} is whole: there is no {self.manifest}. What is in it now is copied, and the target "
            "is compared with that; with what was once put into the folder nothing is."
        )

    def open(self, move: str, role: str, *, writes: bool) -> None:
        """The folder, made where it is written to."""
        del move, role
        if writes:
            # The folder gets the volume's mode, maybe anybody's: the one above it is this user's.
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        elif not self.folder.is_dir():
            raise UserError(f"--from-folder: there is no folder {self.folder}.", "It has a folder for each claim, named as the claim is.")

    def exists(self) -> bool:
        """Whether it is there, with anything in it."""
        return self.folder.is_dir() and any(self.folder.iterdir())

    def holds(self, manifest: Path) -> bool:
        """Filled anew since, a folder of the same path has another manifest beside it."""
        return self.manifest.is_file() and manifest.is_file() and cmp(self.manifest, manifest, shallow=False)

    def check(self, move: str, *, writes: bool) -> None:
        """Who uses a folder isn't known."""

    def run(self, *arguments: str) -> OnThisMachine:
        """On this machine, with its Python."""
        command = [sys.executable, "-IB", str(program()), arguments[0], "--root", str(self.folder), *arguments[1:]]
        return OnThisMachine(command, f"folder {self.folder}")

    def close(self) -> None:
        """Nothing is held."""

    def sweep(self, move: str) -> None:
        """A run that goes on takes what is there."""

    def abandon(self, move: str) -> None:
        """Nothing is held."""


def usage(end: End, stop: threading.Event) -> dict[str, Any]:
    """What is in an end, and how much fits. Raises Broken and ApiError."""
    said = alone(end.run("usage"), lambda _: None, stop)
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        raise Broken(f"{end.title}: what its usage is was lost on the way", passing=True) from None
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
