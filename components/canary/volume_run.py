"""What every run on a claim of its own does: it makes the claim, starts pods, and clears up.

The claim's volume is marked as the canary's own as soon as it is bound. A volume that others may
have data on is never taken.
"""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import Any

from components.canary import objects, verdict
from components.canary.events import Event, events_about
from components.canary.manifests import claim, other_containers
from components.canary.plan import ProofPlan
from components.canary.pods import ProbePod
from components.canary.signals import Interrupted, undisturbed
from components.canary.sweep import SweepScope, sweep
from components.canary.volumes import RESERVED_FOR_NOBODY, belongs, hand_over, is_free, made_for
from components.canary.watch import PodStart, StartWatch, Timeouts
from components.canary.words import NotProven, reason_of
from components.kube.api import Json, KubeApi
from components.kube.errors import ApiError


class VolumeRun:
    """A run on one claim. `say` takes a line of progress.

    No end is asked for within `undisturbed`: what is made is then cleaned up.
    Each step raises NotProven and ApiError. `pods` and `events` are what there was, for whoever
    explains a failure.
    """

    def __init__(
        self,
        api: KubeApi,
        plan: ProofPlan,
        say: Callable[[str], None],
        timeouts: Timeouts | None = None,
        undisturbed: Callable[[], AbstractContextManager[None]] = undisturbed,
    ) -> None:
        self.api = api
        self.plan = plan
        self.say = say
        self.timeouts = timeouts or Timeouts()
        self.undisturbed = undisturbed
        self.run = secrets.token_hex(8)
        self.began = time.monotonic()
        self.pods: list[ProbePod] = []
        self.claim: Json | None = None
        self.volume: Json | None = None
        self.node = ""
        self.others: list[str] = []  # containers that somebody has added to the pods
        self.figures: dict[str, Any] = {}
        self.events: list[Event] = []

    def prepare(self) -> None:
        """What is done once, in however many places the tier is proven."""
        self.sweep()
        self.refuse_free_volumes()

    def sweep(self) -> None:
        """Remove what a run of this tier that was killed has left.

        One that still runs loses what it has made.
        """
        sweep(self.api, self._scope(), self.say)

    def refuse_free_volumes(self) -> None:
        """Raise NotProven for a volume that any new claim of the class may get, whatever it holds.

        The scheduler prefers such a volume over a new one. The canary's claim would get it, or else
        the next claim of a service.
        """
        for volume in self.api.items(objects.volume()):
            if is_free(volume, self.plan.storage_class, self.plan.size, self.plan.access_mode):
                name = volume["metadata"]["name"]
                raise NotProven(
                    f"volume {name} of class {self.plan.storage_class} is Available to any claim, the canary's as well",
                    "It may hold somebody's data. So that no claim gets it by itself: "
                    f"`kubectl --context {self.plan.context} patch pv {name} -p "
                    f"'{json.dumps(RESERVED_FOR_NOBODY)}'`; the setting `adopt` gives it to a service (docs/recovery.md).",
                )

    def on_own_claim(self, steps: Callable[[], Json]) -> Json:
        """Do `steps` on a claim of this run's own; returns what they return.

        Cleans up whatever happens. Not a context manager: a signal as one is entered would leave
        the claim behind.
        """
        try:
            self.make_claim()
            return steps()
        except NotProven:
            with suppress(ApiError):  # what can't be had any more must not hide the reason
                self.events = self.find_events()
            raise
        finally:
            with self.undisturbed():
                self.clean_up(wait=not isinstance(sys.exc_info()[1], (Interrupted, KeyboardInterrupt)))

    def make_claim(self) -> None:
        """A claim of this run's own."""
        self.claim = objects.create(self.api, objects.namespaced(self.plan.namespace, "persistentvolumeclaims"), claim(self.plan, self.run))

    def start_pod(self, manifest: dict[str, Any]) -> ProbePod:
        """Start a pod, and wait until its main container runs or has ended."""
        return self.wait_for_start(self.make_pod(manifest))

    def make_pod(self, manifest: dict[str, Any]) -> ProbePod:
        """A pod that is not waited for."""
        pod = ProbePod.create(self.api, manifest)
        self.pods.append(pod)
        return pod

    def wait_for_start(self, pod: ProbePod) -> ProbePod:
        """Wait until the pod's main container runs or has ended."""
        plan, name = self.plan, self._own_claim()["metadata"]["name"]
        start = PodStart(plan.context, plan.namespace, name, plan.storage_class, plan.image, plan.other_image)
        watch = StartWatch(self.api, start, created=pod.created, timeouts=self.timeouts, events=self.find_events)
        while True:
            found = pod.read()
            self.look_at_start(found)
            if self.volume is None:
                self.find_volume(pod)
            if watch.has_started(found):
                break
            time.sleep(objects.POLL)
        if self.volume is None:
            self.find_volume(pod)
        if not self.node:
            self.node = found["spec"]["nodeName"]
            self.figures["secondsToRunning"] = round(time.monotonic() - pod.created, 2)
            self.say(f"volume bound and pod running on node {self.node} after {self.figures['secondsToRunning']:.1f} s")
            self.others = other_containers(found)
            if self.others:
                self.say(f"somebody has added to the pod: {', '.join(self.others)}; the verdict is of the probe's own container alone")
        return pod

    def look_at_start(self, pod: Mapping[str, Any]) -> None:
        """What a kind of run has to say about a pod that starts."""

    def find_volume(self, pod: ProbePod) -> None:
        """As soon as the claim is bound, mark its volume as the canary's own.

        From then on Kubernetes deletes it together with the claim.
        """
        own, present = self._own_claim(), self._read_claim()
        if present["metadata"]["uid"] != own["metadata"]["uid"]:
            raise NotProven(f"the claim {present['metadata']['name']} was replaced by somebody while the canary ran")
        if present["status"].get("phase") != "Bound":
            return
        self.figures["secondsToBound"] = round(time.monotonic() - pod.created, 2)
        name = present["spec"]["volumeName"]
        volume = self.api.get(objects.volume(name))
        if not belongs(volume, self.plan.namespace, self.plan.storage_class, {own["metadata"]["uid"]}):
            raise NotProven(f"volume {name} is bound to the canary's claim, but does not name it, or another class")
        if not made_for(volume, present):
            raise NotProven(
                f"volume {name} was there before the canary's claim, which got it; it was free and may hold others' data",
                "Nothing was written to it, and it is Released once the claim is gone; the setting `adopt` gives it to a service.",
            )
        self.volume = hand_over(self.api, volume, self.plan.instance, self.plan.tier)
        if self.volume is None:
            raise NotProven(f"volume {name} was deleted by somebody while the canary ran")

    def check_same_volume(self) -> None:
        """Raise NotProven unless the claim has the volume that was written to, in another pod."""
        own, present = self._own_volume(), self._read_claim()
        volume = self.api.get(objects.volume(present["spec"].get("volumeName", "")))
        if (present["metadata"]["uid"], volume["metadata"]["uid"]) != (self._own_claim()["metadata"]["uid"], own["metadata"]["uid"]):
            other = volume["metadata"]["name"]
            raise NotProven(f"{verdict.Fault.WRONG_VOLUME.value}: the pod got volume {other}, not {own['metadata']['name']}")
        if len({pod.uid for pod in self.pods}) != len(self.pods):
            raise NotProven("two of the pods are the same one")

    def look_at_file_system(self, mount: dict[str, Any]) -> None:
        """A new claim's volume must be new, and where sizes are enforced as large as the claim."""
        self.figures["fileSystem"] = {key: mount[key] for key in ("type", "bytes", "freeBytes")}
        strangers = [name for name in mount["found"] if name != "lost+found"]
        if strangers:
            raise NotProven(
                f"the volume of a new claim is not empty: it holds {', '.join(strangers[:5])}", "Does the class hand out used ones?"
            )
        if self.plan.sizes_enforced and verdict.too_small(mount["bytes"], self.plan.size):
            raise NotProven(f"the file system has {mount['bytes']} bytes, less than the claim's {self.plan.size}")

    def find_events(self) -> list[Event]:
        """What Kubernetes says about this run's pods and claim, oldest first."""
        uids = {pod.uid for pod in self.pods} | ({self.claim["metadata"]["uid"]} if self.claim else set())
        return events_about(self.api, self.plan.namespace, uids)

    def clean_up(self, *, wait: bool) -> None:
        """Delete this run's pods, claim, volume and data.

        Without `wait` all of that is only asked for, and Kubernetes does it.
        """
        try:
            sweep(self.api, self._scope(self.run), self.say, timeout=self.timeouts.deletion if wait else 0)
        except (NotProven, ApiError) as problem:
            self.say(f"could not clean up, the next run will: {reason_of(problem, self.plan.context)}")

    def _scope(self, run: str = "") -> SweepScope:
        return SweepScope(self.plan.namespace, self.plan.instance, self.plan.tier, self.plan.storage_class, run)

    def _read_claim(self) -> Json:
        return self.api.get(objects.namespaced(self.plan.namespace, "persistentvolumeclaims", self._own_claim()["metadata"]["name"]))

    def _own_claim(self) -> Json:
        assert self.claim is not None, "the claim is made before the first pod"
        return self.claim

    def _own_volume(self) -> Json:
        assert self.volume is not None, "a pod runs on a volume"
        return self.volume
