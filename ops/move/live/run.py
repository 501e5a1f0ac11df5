"""A live move of one PostgreSQL, step by step, until a standby follows. switching.py goes on.

Nothing is written to the source but a replication slot.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from components.canary.signals import undisturbed
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.claims import ClaimSide, refusals
from ops.move.conversation import Broken
from ops.move.ends import describe_claim
from ops.move.kept import PROVEN, KeptMove, move_id
from ops.move.live import checks
from ops.move.live.bridge import Bridge
from ops.move.live.catching_up import Told, catch_up, check_indexes
from ops.move.live.manifest import TUNNEL
from ops.move.live.source import NotRunning, Source, find, remembered
from ops.move.live.target import Target, copied

BEGUN, FOLLOWING, CLOSING, PROMOTING, PROMOTED = "begun", "following", "closing", "promoting", "promoted"
CANCELLING = "cancelling"


class LiveMove:
    """From one claim to another. `tell` hears what is done."""

    def __init__(self, source: ClaimSide, target: ClaimSide, tell: Told) -> None:
        self.title = f"{source.service}-{source.ordinal}"
        self.source_side, self.target_side = source, target
        self.id = move_id(source.uid, f"{target.uid}\nlive")  # another one than without --live
        self.slot = f"storage_tiers_move_{self.id}"
        self.kept = KeptMove(self.id)
        self.facts: dict[str, Any] = {}
        self.tell = tell
        self._source: Source | None = None
        self._target: Target | None = None

    @property
    def state(self) -> str:
        """How far it is by what is kept on this machine; empty where nothing is."""
        return self.kept.state

    @property
    def source(self) -> Source:
        """The source's pod, found once. Raises UserError, Broken and ApiError."""
        if self._source is None:
            try:
                self._source = find(self.source_side)
            except NotRunning as problem:
                if self.state in ("", PROVEN):
                    raise
                promoting = self.state in (PROMOTING, PROMOTED)
                how = "--live --switch then goes on" if promoting else "or call the move off: --live --cancel, which empties the target"
                raise UserError(problem.message, f"Start it again, {how}.") from None
        return self._source

    def reach(self) -> str:
        """Find the source; where that fails it is taken as it was when the move began.

        Why it failed, empty where it didn't. Raises UserError where nothing was kept of it.
        """
        try:
            self._source = self.source
        except (UserError, Broken, ApiError) as problem:
            known = self.kept.record().get("engine")
            if not known:
                raise
            self._source = remembered(self.source_side, known)
            return str(problem).replace("\n", " ")
        return ""

    @property
    def target(self) -> Target:
        """The target's pod, there or not."""
        if self._target is None:
            self._target = Target(self.target_side, self.source, self.id, uuid4().hex[:12])
        return self._target

    def problems(self) -> list[str]:
        """All that keeps it from beginning, before anything is made. Raises ApiError."""
        found = [*checks.lacking(self.source_side, writes=False), *checks.lacking(self.target_side, writes=True)]
        if found:
            return found
        try:
            self.facts = self.source.facts()
            found += checks.of_source(self.source, self.facts, self.slot)
            found += checks.of_target(self.target_side, self.facts, self.id)
            self.source.check_replication()
            self.target.try_out()
        except (UserError, Broken) as problem:
            found.append(str(problem).replace("\n", " "))
        return found

    # --- a standby that follows -----------------------------------------------------------------

    def follow(self) -> dict[str, Any]:
        """Copy, prove, start, catch up. What was copied before goes on following.

        Raises UserError, Broken and ApiError. Unless it follows already, what was made is removed.
        """
        with self.kept.alone():
            if self.state in (CLOSING, PROMOTING, PROMOTED):
                raise UserError(f"{self.title}: its switch has begun.", "Run it with --live --switch to end it.")
            if self.state == CANCELLING:
                raise UserError(f"{self.title}: calling it off has begun.", "Run it with --live --cancel to end it.")
            if self.state == PROVEN:
                return {**self.kept.record()["verdict"], "done": "before"}
            try:
                if self._can_go_on():
                    with self.following():
                        if not self.target.is_standby():
                            raise self.promoted_by_others()
                        self.target.stop()
                    return self.report()
                self._check_nobody_elses()
                return self._begin()
            except BaseException as problem:
                with undisturbed():
                    left = self.remove() if self.state == BEGUN else []
                if left:
                    raise UserError(f"{self.title}: {problem or 'interrupted'}", self.to_remove(left)) from problem
                raise

    def _can_go_on(self) -> bool:
        self.facts = self.source.facts()
        return self.state == FOLLOWING and self.slot in (self.facts["slots"] or {}) and self.slot not in self.facts["lost"]

    def promoted_by_others(self) -> UserError:
        """What is said where this move hasn't asked for it."""
        return UserError(
            f"{self.title}: the target was promoted by somebody else, while the source took transactions.",
            "Begin anew: --live --cancel, then --live.",
        )

    def _check_nobody_elses(self) -> None:
        """What isn't known here may be another machine's, and be promoted already."""
        if self.state or not (self.slot in (self.facts["slots"] or {}) or self.target.exists()):
            return
        raise checks.begun_elsewhere(self.title, self.target_side, self.target.name, self.slot)

    def _begin(self) -> dict[str, Any]:
        source, target = self.source, self.target
        self.kept.save(
            state=BEGUN,
            live=True,
            source=describe_claim(self.source_side),
            target=describe_claim(self.target_side),
            slot=self.slot,
            engine=source.known(),
            settings=self.facts["settings"],
            version=self.facts["version"],
        )
        self.tell("removing what a run before has left", "")
        self.check_unused()
        target.remove()
        source.drop_slot(self.slot)
        self.tell("starting the target's pod", source.image)
        target.start()
        checks.check_volume(target.volume("look"), self.target_side, self.facts, self.id)
        target.volume("begin")
        source.make_slot(self.slot)
        with self._bridge() as bridge:
            self.tell("copying", "")
            began = time.monotonic()
            with bridge.explaining():
                target.copy(self.slot, self._hear, bridge.check)
            seconds = time.monotonic() - began
            self.kept.save(bytes=bridge.bytes, copySeconds=round(seconds, 1))
            self.tell("verifying every file (SHA-256)", "")
            target.verify(bridge.check)
            self._catch_up(bridge)
            self.kept.save(amcheck=check_indexes(source, target, bridge, self.tell))
            self.kept.save(state=FOLLOWING)
            target.stop()  # without this way it would only complain, until the next command
        return self.report()

    def check_unused(self) -> None:
        """Nobody has begun to use the target's claim: two PostgreSQL on it would destroy it."""
        users = list(refusals(self.target_side, writes=True, move=self.id))
        if users:
            raise UserError("; ".join(users))

    def _hear(self, line: str) -> None:
        if how_far := copied(line):
            self.tell("copying", how_far)

    @contextmanager
    def _bridge(self) -> Iterator[Bridge]:
        """The way between both pods, open meanwhile."""
        source, target = self.source, self.target
        target.keep_password(source.password())
        apis = [side.api.of_context(side.api.context) for side in (self.source_side, self.target_side)]
        bridge = Bridge(apis[0], source.path, source.port, apis[1], target.path)
        try:
            bridge.open(TUNNEL, target.tunnel)
            yield bridge
        finally:
            bridge.close()

    @contextmanager
    def following(self) -> Iterator[Bridge]:
        """A standby that was there before follows again, and has caught up."""
        self.have_pod()
        with self._bridge() as bridge:
            self._catch_up(bridge)
            yield bridge

    def have_pod(self) -> None:
        """The target's pod runs, and nothing else is on its claim."""
        self.check_unused()
        if not self.target.runs():
            self.tell("starting the target's pod", "")
            self.target.remove()
            self.target.start()

    def _catch_up(self, bridge: Bridge) -> None:
        catch_up(self.source, self.target, self.facts["settings"], bridge, self.tell)

    def report(self) -> dict[str, Any]:
        """What is known of the standby, for people and programs."""
        record = self.kept.record()
        return {
            "verdict": FOLLOWING,
            "move": self.id,
            "volume": self.title,
            "source": record["source"],
            "target": record["target"],
            "version": record.get("version"),
            "bytes": record.get("bytes"),
            "copySeconds": record.get("copySeconds"),
            "amcheck": record.get("amcheck", []),
            "slot": self.slot,
        }

    def remove(self) -> list[str]:
        """Pod and slot. What is left of them is returned."""
        where = self.target_side.settings.namespace.name
        return [
            *self.tried(f"pod {self.target.name} in namespace {where}", self.target.remove),
            *self.tried(f"replication slot {self.slot} of the source, which keeps its WAL", lambda: self.source.drop_slot(self.slot)),
        ]

    @staticmethod
    def tried(what: str, remove: Callable[[], None]) -> list[str]:
        """`what` where removing it fails, and why."""
        try:
            remove()
        except (UserError, Broken, ApiError) as problem:
            return [f"{what} ({problem})".replace("\n", " ")]
        return []

    @staticmethod
    def to_remove(left: list[str]) -> str:
        """How what is left is removed."""
        return f"This is left: {'; '.join(left)}. The same command with --live --cancel removes it."
