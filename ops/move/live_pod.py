"""A pod of a live move, at its target: two containers that work side by side."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from http import HTTPStatus

from components.canary import objects
from components.canary.pods import ProbePod
from components.canary.words import NotProven
from components.kube.api import Json
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move import pods
from ops.move.claims import ClaimSide

_CONTAINERS = 2


class LivePod(ABC):
    """The pod, there or not. `side` is a claim of the target, whose stack and namespace it is in.

    `path` is its own in the API. `stopping` are the seconds in which it ends cleanly.
    """

    def __init__(self, side: ClaimSide, name: str, run: str, *, stopping: int) -> None:
        self.side, self.name = side, name
        self.path = objects.namespaced(side.settings.namespace.name, "pods", name)
        self._run, self._stopping = run, stopping

    @abstractmethod
    def _manifest(self) -> Json:
        """What it is made of."""

    def runs(self) -> bool:
        """Whether the pod is there with all its containers."""
        found = self.side.api.find(self.path)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return False
        statuses = found["status"].get("containerStatuses") or []
        return len(statuses) == _CONTAINERS and all("running" in (each.get("state") or {}) for each in statuses)

    def exists(self) -> bool:
        """Whether a pod of its name is there, in whatever state."""
        return self.side.api.find(self.path) is not None

    def try_out(self) -> None:
        """Ask the API whether it would admit the pod. Raises ApiError."""
        where = objects.namespaced(self.side.settings.namespace.name, "pods")
        try:
            self.side.api.create(f"{where}?dryRun=All", self._manifest())
        except ApiError as problem:
            if problem.status != HTTPStatus.CONFLICT:
                raise

    def _make(self, data: Mapping[str, str], other_image: str, both: float, look: Callable[[Json], None] = lambda _: None) -> None:
        """Make it as pods.start does, and wait until the second container runs too.

        `both` are the seconds from one container's start to the other's. Raises UserError and
        ApiError.
        """
        side, made = self.side, self._manifest()
        pods.start(side.api, side.settings, made, data, claim=side.claim, run=self._run, other_image=other_image, look=look)
        end = time.monotonic() + both
        while not self.runs():
            if time.monotonic() > end:
                raise UserError(f"pod {self.name} in namespace {side.settings.namespace.name} doesn't run with both its containers.")
            time.sleep(objects.POLL)

    def remove(self) -> None:
        """End what it runs cleanly, and the pod, until its volume is unmounted.

        Raises UserError and ApiError.
        """
        namespace = self.side.settings.namespace.name
        found = self.side.api.find(self.path)
        if found is not None:
            pod = ProbePod(self.side.api, namespace, self.name, found["metadata"]["uid"], 0)
            try:
                pod.remove(self._stopping + pods.DELETION, grace=self._stopping)
            except NotProven as problem:
                raise UserError(problem.sentence) from None
        self.side.api.delete(objects.namespaced(namespace, "configmaps", self.name))
