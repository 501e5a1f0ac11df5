"""Taking a set: every snapshot of a service asked for at once, then waited for; and no half sets.

What a set holds: each volume as a power cut at its moment would have left it. The moments are a
little apart. With a freeze, or with no pods, nothing is written between them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime

from components.canary.signals import undisturbed
from components.kube.errors import ApiError
from ops.console import Step, say, step
from ops.errors import UserError
from ops.snapshots.freezing import Freeze, NotLetGo
from ops.snapshots.removing import remove
from ops.snapshots.sets import SetPart, SnapshotSet, find_sets, manifest, path, set_name
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes
from ops.volumes.volume import Volume
from ops.volumes.wanted import Wanted

CUT = 120  # seconds in which the driver has to have taken all of them; clouds take seconds
READY = 6 * 3600  # seconds until all can be restored: EBS first copies the disk to S3
ERROR = 30  # seconds for which an error has to last before a snapshot is taken: it is tried again by itself
LASTING = 900  # and afterwards, while it is copied: the snapshotter tries again every 5 minutes (--retry-interval-max)


class Take:
    """One set of one service. `taken` is its moment, which names it."""

    def __init__(self, stack: StackVolumes, service: str, taken: datetime, freeze: Freeze, *, ready: float = READY) -> None:
        self.stack = stack
        self.service = service
        self.taken = taken
        self.freeze = freeze
        self.ready = ready
        self.run = uuid.uuid4().hex
        self.name = set_name(service, taken)
        self._since: dict[str, float] = {}  # when an error of a snapshot was first seen
        self._sound = False  # whether all is taken, and of the claims that it was asked for

    def take(self, seen: ObservedVolumes) -> SnapshotSet:
        """Take it, and wait until every part can be restored.

        Where one fails the set is removed again, and so it is on Ctrl-C before all are taken. One
        whose data is taken stays: on Ctrl-C, where `--after` fails, where it isn't ready in time,
        and where that can't be asked any more.

        Raises UserError (NotLetGo where it is taken and `--after` has failed) and ApiError.
        """
        volumes = bound(self.stack, self.service, seen)
        count = len(volumes)
        with step(f"Set {self.name}: {count} {'snapshot' if count == 1 else 'snapshots'}") as shown:
            try:
                held = self._cut(volumes, shown)
                self._check_claims(volumes, held)
                if held:
                    raise held
                found = self._wait_ready(shown, count)
            except _NotReady as late:
                raise UserError(f"set {self.name} is taken, and {late}.", f"It stays. {self._list}") from None
            except NotLetGo as failed:
                raise NotLetGo(f"{failed.message} Set {self.name} is taken whole, and stays.", f"{failed.hint}\n{self._list}") from None
            except BaseException as problem:
                with undisturbed():
                    if not isinstance(problem, Exception) and self._is_sound(volumes):  # Ctrl-C
                        say(f"Set {self.name} is taken whole, and stays. {self._list}")
                        raise
                    left = self._remove()
                if isinstance(problem, UserError):
                    raise UserError(problem.message, f"{self._removed(left)} {problem.hint}".strip()) from None
                if left:
                    say(f"Set {self.name}: {self._removed(left)}")
                raise
        return found

    @property
    def _list(self) -> str:
        return f"`python -m ops snapshot list --stack {self.stack.settings.stack}` says when it can be restored."

    def _cut(self, volumes: Sequence[tuple[Wanted, Volume]], shown: Step) -> NotLetGo | None:
        """Ask for all, and wait until the driver has taken all. What is returned is why `--after`
        has failed, where it has.
        """
        try:
            with self.freeze:
                for wanted, volume in volumes:
                    self._create(wanted, volume, len(volumes))
                self._wait(shown, len(volumes), "taken", lambda part: part.cut, CUT)
        except NotLetGo as failed:
            return failed
        return None

    def _create(self, wanted: Wanted, volume: Volume, count: int) -> None:
        try:
            self.stack.api.kube.create(path(wanted.namespace), manifest(wanted, volume, self.taken, count, self.run))
        except ApiError as problem:
            if problem.status is None:
                raise
            said = problem.message or problem.reason
            raise UserError(f"set {self.name}: no snapshot of {wanted.name} could be asked for: {said}") from None

    def _check_claims(self, volumes: Sequence[tuple[Wanted, Volume]], held: UserError | None = None) -> None:
        """Raise UserError where a claim is not what it was when the volumes were looked at.

        A snapshot is asked for by the claim's name: of one that was made anew, it is empty. What
        has failed before, `held`, is told as well.
        """
        try:
            now = {wanted.name: volume for wanted, volume in bound(self.stack, self.service, self.stack.look())}
            others = [wanted.name for wanted, volume in volumes if now[wanted.name].claim != volume.claim]
            if others:
                raise UserError(f"set {self.name}: {', '.join(others)} was deleted and made anew meanwhile.", "Take a set again.")
        except UserError as problem:
            if held is None:
                raise
            raise UserError(f"{problem.message}\n{held.message}", f"{problem.hint}\n{held.hint}") from None
        self._sound = True

    def _is_sound(self, volumes: Sequence[tuple[Wanted, Volume]]) -> bool:
        """Whether all is taken, and of the claims as they were; no, where that can't be asked."""
        try:
            if not self._sound:
                found = self._found()
                if found and found.whole and all(part.run == self.run for part in found.parts):
                    self._check_claims(volumes)
        except (ApiError, UserError):
            pass
        return self._sound

    def _wait_ready(self, shown: Step, count: int) -> SnapshotSet:
        try:
            return self._wait(shown, count, "ready", lambda part: part.ready, self.ready)
        except ApiError as problem:
            raise _NotReady(f"whether it is ready can't be asked: {problem.message or problem.reason}") from None

    def _found(self) -> SnapshotSet | None:
        sets = find_sets(self.stack.api.kube, self.stack.namespace, self.stack.settings.stack, self.service)
        return next((each for each in sets if each.taken == self.taken), None)

    def _wait(self, shown: Step, count: int, what: str, reached: Callable[[SetPart], bool], seconds: float) -> SnapshotSet:
        began = time.monotonic()
        while True:
            found = self._found()
            parts = [part for part in found.parts if part.run == self.run] if found else []
            left = [part for part in parts if not reached(part)]
            shown.detail = f"{len(parts) - len(left)} of {count} {what}"
            if found and not left and len(parts) == count:
                return found
            if len(parts) < count:
                raise UserError(f"set {self.name}: somebody has deleted {count - len(parts)} of its snapshots meanwhile.")
            self._check_errors(left, LASTING if what == "ready" else ERROR)
            if time.monotonic() - began > seconds:
                names = ", ".join(part.name for part in left)
                if what == "ready":
                    raise _NotReady(f"is not ready after {self.ready / 60:.0f} minutes ({names})")
                raise UserError(
                    f"set {self.name}: the driver has not taken {names} in {seconds:.0f} s.",
                    "Is external-snapshotter's controller running, and the driver's snapshotter?",
                )
            time.sleep(0.3 if time.monotonic() - began < 60 else 5)

    def _check_errors(self, left: Sequence[SetPart], lasts: float) -> None:
        now = time.monotonic()
        for part in left:
            if not part.error:
                self._since.pop(part.name, None)
            elif now - self._since.setdefault(part.name, now) > lasts:
                raise UserError(f"set {self.name}: {part.name} has failed: {part.error}")

    def _remove(self) -> list[str]:
        """Remove what this run has made. The names of what is left."""
        try:
            found = self._found()
            return remove(self.stack, [part for part in found.parts if part.run == self.run]) if found else []
        except ApiError as problem:
            return [f"what was made of {self.name} ({problem.reason})"]

    def _removed(self, left: Sequence[str]) -> str:
        if not left:
            return "Nothing of the set is left."
        return (
            f"It is no set, and this is left of it, which can go: `kubectl -n {self.stack.namespace} delete "
            f"volumesnapshot {' '.join(left)}`."
        )


class _NotReady(Exception):
    """All are taken, and not known to be ready: why, as the rest of a sentence."""


def bound(stack: StackVolumes, service: str, seen: ObservedVolumes) -> list[tuple[Wanted, Volume]]:
    """Each claim of a service with its volume.

    Raises UserError where one has none: a set is of all volumes of the service.
    """
    claims = {claim["metadata"]["name"]: claim for claim in seen.claims}
    volumes = {volume.name: volume for volume in seen.volumes if volume.exists}
    found, problems = [], []
    for wanted in (each for each in stack.wanted if each.service == service):
        claim = claims.get(wanted.name)
        volume = volumes.get(claim["spec"].get("volumeName") or "") if claim else None
        if claim is None:
            problems.append(f"claim {wanted.name} isn't there")
        elif volume is None or (claim.get("status") or {}).get("phase") != "Bound" or volume.claim is None:
            problems.append(f"claim {wanted.name} has no volume ({(claim.get('status') or {}).get('phase')})")
        elif volume.claim.uid != claim["metadata"]["uid"]:
            problems.append(f"volume {volume.name} isn't that of claim {wanted.name}, which names it")
        elif volume.location.driver != wanted.provisioner:
            problems.append(f"volume {volume.name} is of {volume.location.driver or volume.location.type}, not of {wanted.provisioner}")
        else:
            found.append((wanted, volume))
    if problems:
        raise UserError(
            f"no set of {service} can be taken: {'; '.join(problems)}.",
            f"A set is of all volumes of a service. `python -m ops volumes --stack {stack.settings.stack}` says how they are.",
        )
    return found
