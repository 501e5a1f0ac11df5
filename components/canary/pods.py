"""A pod of a proof: its container's state, its log as it comes, its end."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from components.canary import manifests, objects
from components.canary.report import ProbeReport
from components.canary.words import NotProven, failed_operation
from components.kube.api import KubeApi
from components.kube.errors import ApiError

# Seconds without a line after which a log is asked for again. The stream of a pod that was killed
# may never end by itself.
SILENCE = 5
LAST_WORDS = 5  # seconds in which the last lines of a container that has ended come


@dataclass
class ProbePod:
    """A pod that runs the probe. `created` is when it was asked for, by time.monotonic()."""

    api: KubeApi
    namespace: str
    name: str
    uid: str
    created: float
    report: ProbeReport = field(default_factory=ProbeReport)

    @classmethod
    def create(cls, api: KubeApi, manifest: dict[str, Any]) -> ProbePod:
        """A new pod. Raises ApiError."""
        namespace = manifest["metadata"]["namespace"]
        created = time.monotonic()
        made = objects.create(api, objects.namespaced(namespace, "pods"), manifest)
        return cls(api, namespace, made["metadata"]["name"], made["metadata"]["uid"], created)

    @property
    def path(self) -> str:
        """Where it is in the API."""
        return objects.namespaced(self.namespace, "pods", self.name)

    def find(self) -> dict[str, Any] | None:
        """The pod as it is now; None when it is gone, or another one has its name."""
        found = self.api.find(self.path)
        return found if found and found["metadata"]["uid"] == self.uid else None

    def read(self) -> dict[str, Any]:
        """The pod as it is now. Raises NotProven when it is gone."""
        found = self.find()
        if found is None:
            raise NotProven(f"pod {self.name} was deleted by somebody while the canary ran")
        return found

    def follow(self, silence: float, *, until_gone: bool = False, longest: float = math.inf) -> Iterator[tuple[str, Any]]:
        """What the probe reports, as it comes, until its container has ended.

        With `until_gone` also until the pod is deleted; else that raises NotProven, and so do
        `silence` seconds without a line, and more than `longest` with them. A broken connection is
        made again.
        """
        taken, last_line, end = 0, time.monotonic(), time.monotonic() + longest
        while time.monotonic() - last_line < silence:
            try:
                for number, line in enumerate(self.api.lines(f"{self.path}/log?container={manifests.CONTAINER}&follow=true", SILENCE)):
                    if number < taken:  # each request brings the log from its beginning on
                        continue
                    taken, last_line = number + 1, time.monotonic()
                    if last_line > end:
                        raise NotProven(f"pod {self.name} has not ended in {longest:.0f} s (last: {self.report.last_word or 'nothing'})")
                    said = self.report.add(line)
                    if said:
                        yield said
            except ApiError:  # gone, not there yet, or the connection broke
                pass
            found = self.find() if until_gone else self.read()
            if found is None:
                return
            if "terminated" in container_state(found):
                complete = self.report.last_word in ("done", "fault")
                if complete or time.monotonic() - last_line > LAST_WORDS:
                    return
            time.sleep(objects.POLL)
        last = self.report.last_word or "nothing"
        raise NotProven(f"pod {self.name} has said nothing for {silence:.0f} s: an operation of the volume hangs (last: {last})")

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the probe has ended.

        Raises NotProven when it didn't end well, or not in `timeout` seconds.
        """
        end = time.monotonic() + timeout
        while not (terminated := container_state(self.read()).get("terminated")):
            if time.monotonic() > end:
                raise NotProven(f"pod {self.name} does not end")
            time.sleep(objects.POLL)
        status = terminated["exitCode"]
        if status == 0:
            return
        faults = self.report.values("fault")
        if faults:
            raise NotProven(failed_operation(faults[-1]))
        raise NotProven(f"the probe ended with exit status {status} ({terminated.get('reason')})")

    def kill(self) -> None:
        """Delete the pod without grace. It may be gone already."""
        self.api.delete(self.path, uid=self.uid, grace=0)

    def remove(self, timeout: float, *, grace: int = 1) -> None:
        """Delete the pod, and wait until its volume is unmounted and it is gone.

        Its containers have `grace` seconds to end. Raises NotProven after `timeout` seconds.
        """
        self.api.delete(self.path, uid=self.uid, grace=grace)
        end = time.monotonic() + timeout
        while (found := self.find()) is not None:
            if time.monotonic() > end:
                raise NotProven(f"pod {self.name} can't be removed from node {found['spec'].get('nodeName')}")
            time.sleep(objects.POLL)


def container_state(pod: Mapping[str, Any]) -> dict[str, Any]:
    """The state of the probe's container: `waiting`, `running` or `terminated`.

    Empty before the kubelet has said anything. The container is found by its name: a mesh may have
    added others, and the statuses are in no order.
    """
    statuses = pod["status"].get("containerStatuses") or []
    return next((each.get("state") or {} for each in statuses if each["name"] == manifests.CONTAINER), {})
