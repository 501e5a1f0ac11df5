"""A run of one engine's pod after the other on one claim: its scripts, its images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from components.acceptance import manifests
from components.acceptance.plan import AcceptancePlan
from components.canary import objects
from components.canary.manifests import CONTAINER, TOOLS, script_map
from components.canary.pods import ProbePod
from components.canary.report import ProbeReport
from components.canary.volume_run import VolumeRun
from components.canary.watch import IMAGE_TROUBLES, Timeouts
from components.canary.words import NotProven
from components.kube.api import KubeApi
from components.kube.errors import ApiError

LAST_LINES = 5  # seconds in which the log of a container that has ended comes
NO_CLIENT = (
    "Name an image with Python and the engine's client, or with Python and pip: "
    "`pulumi config set --path canary.engines.client IMAGE` (docs/accept.md)."
)


class EngineRun(VolumeRun):
    """Pods of an engine on a claim of its own. `say` takes a line of progress."""

    def __init__(self, api: KubeApi, plan: AcceptancePlan, say: Callable[[str], None], timeouts: Timeouts | None = None) -> None:
        super().__init__(api, plan.proof, say, timeouts)
        self.accepting = plan
        self.image_id = ""
        self.pullable = time.monotonic()  # when the client's image was last not refused

    def make_scripts(self) -> None:
        """What runs in the pods: a ConfigMap that goes with the claim."""
        name = manifests.scripts_name(self.accepting, self.run)
        made = script_map(self.plan, self.run, name, self._own_claim(), manifests.scripts(self.accepting))
        objects.create(self.api, objects.namespaced(self.plan.namespace, "configmaps"), made)

    def make_step(self, step: str, *arguments: str) -> ProbePod:
        """A pod that runs a step of the engine's script. It is not waited for."""
        return self.make_pod(manifests.pod(self.accepting, self.run, step, arguments))

    def start_step(self, step: str, *arguments: str) -> ProbePod:
        """A pod that runs a step of the engine's script."""
        return self.wait_for_start(self.make_step(step, *arguments))

    @property
    def volume_said(self) -> dict[str, Any]:
        """The volume, as a verdict has it."""
        volume = self._own_volume()["metadata"]
        return {"name": volume["name"], "uid": volume["uid"], "claimBytes": self.plan.size}

    def look_at_start(self, pod: Mapping[str, Any]) -> None:
        """Note the digest of the engine's image.

        Raises NotProven where the container that comes first has failed, or has no image.
        """
        status, image = pod["status"], self.accepting.client_image
        first = next((each.get("state") or {} for each in status.get("initContainerStatuses") or [] if each["name"] == TOOLS), {})
        if (first.get("terminated") or {}).get("exitCode"):
            raise NotProven(f"Python and the engine's client could not be had from the image {image}: {self._said_first()}", NO_CLIENT)
        refused = (first.get("waiting") or {}).get("reason")
        if refused not in IMAGE_TROUBLES:
            self.pullable = time.monotonic()
        elif time.monotonic() - self.pullable > self.timeouts.image:
            raise NotProven(f"the image {image} can't be pulled ({refused})", NO_CLIENT)
        ids = (each.get("imageID") for each in status.get("containerStatuses") or [] if each["name"] == CONTAINER)
        self.image_id = next((found for found in ids if found), self.image_id)

    def _said_first(self) -> str:
        """The last that the container before the engine's has said."""
        report = ProbeReport()
        with suppress(ApiError):
            for line in self.api.lines(f"{self.pods[-1].path}/log?container={TOOLS}", LAST_LINES):
                report.add(line)
        faults = report.values("fault")
        return str(faults[-1]["message"]) if faults else next(iter(reversed(report.other)), "it says nothing")
