"""The steps of one proof, in their order.

Write through one pod, read through another, kill a writer, read what was kept.
"""

from __future__ import annotations

import json
import random
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import Any

from components.canary import objects, record, verdict
from components.canary.events import Event, events_about
from components.canary.manifests import claim, other_containers
from components.canary.plan import ProofPlan
from components.canary.pods import ProbePod
from components.canary.profiles import PROFILES
from components.canary.signals import Interrupted, undisturbed
from components.canary.sweep import SweepScope, sweep
from components.canary.volumes import RESERVED_FOR_NOBODY, belongs, hand_over, is_free, made_for
from components.canary.watch import StartWatch, Timeouts
from components.canary.words import NotProven, not_kept, reason_of
from components.kube.api import Json, KubeApi
from components.kube.errors import ApiError

# The writer is killed after so many acknowledged entries, at random between the two.
ACKNOWLEDGED = (20, 150)
SLOW = 30  # seconds after which it is killed on a disk that hasn't acknowledged as many


class Proof:
    """One run for one tier, in one place. `say` takes a line of progress.

    No end is asked for within `undisturbed`: what is made is then cleaned up.

    The steps are methods, in the order in which `prove` calls them. Each raises NotProven and
    ApiError. `pods` and `events` are what there was, for whoever explains a failure.
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
        self.profile = PROFILES[plan.profile]
        self.run = secrets.token_hex(8)
        self.began = time.monotonic()
        self.pods: list[ProbePod] = []
        self.claim: Json | None = None
        self.volume: Json | None = None
        self.node = ""
        self.others: list[str] = []  # containers that somebody has added to the pods
        self.written: list[dict[str, Any]] = []
        self.acknowledged: dict[str, list[Any]] = {}  # by file
        self.figures: dict[str, Any] = {}
        self.events: list[Event] = []

    def prove(self) -> dict[str, Any]:
        """All steps; returns the verdict, and keeps it for the next run.

        Cleans up whatever happens.
        """
        self.prepare()
        result = self.prove_here()
        self.remember(result)
        return result

    def prepare(self) -> None:
        """What is done once, in however many places the tier is proven."""
        self.sweep()
        self.refuse_free_volumes()

    def prove_here(self) -> dict[str, Any]:
        """The steps on a claim of this run's own; returns the verdict.

        Cleans up whatever happens.
        """
        try:
            self.make_claim()
            self.write()
            self.read_back_and_kill()
            self.read_what_was_acknowledged()
            result = self.judge()
        except NotProven:
            with suppress(ApiError):  # what can't be had any more must not hide the reason
                self.events = self.find_events()
            raise
        finally:
            with self.undisturbed():
                self.clean_up(wait=not isinstance(sys.exc_info()[1], Interrupted))
        return result

    # --- the steps ------------------------------------------------------------------------------

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

    def make_claim(self) -> None:
        """A claim of this run's own."""
        self.claim = objects.create(self.api, objects.namespaced(self.plan.namespace, "persistentvolumeclaims"), claim(self.plan, self.run))

    def write(self) -> None:
        """The first pod writes everything.

        What it has written is known from its report alone, and kept here, never on the volume.
        """
        writer = self.start("write", "write")
        for word, value in writer.follow(self.timeouts.log):
            if word == "mount":
                self.look_at_file_system(value)
        writer.wait_for_end(self.timeouts.deletion)
        self.written = writer.report.values("file")
        if writer.report.values("done") != ["write"] or not self.profile.is_complete(self.written):
            raise NotProven("the writing pod's report is not complete")
        self.figures.update(self.profile.figures(writer.report.values("figures")[0]))
        total = sum(file["size"] for file in self.written)
        self.figures.update({"bytes": total, "entries": sum(len(file["entries"]) for file in self.written)})
        self.say(f"wrote {total / 1e6:.1f} MB in {len(self.written)} files, sync p99 {self.figures['syncMs']['p99']:.2f} ms")
        writer.remove(self.timeouts.deletion)

    def read_back_and_kill(self, stream_file: str = "killed-1.entries") -> None:
        """Another pod reads everything, then writes a stream and is killed in the middle of it."""
        reader = self.start("read", "verify", "stream", f"--stream-file={stream_file}")
        self.check_same_volume()
        acknowledged: list[Any] = []
        enough, killed, first = random.SystemRandom().randint(*ACKNOWLEDGED), False, 0.0
        for word, value in reader.follow(self.timeouts.log, until_gone=True):
            if word == "done" and value == "verify":
                self.compare(reader)
                self.say(f"intact in another pod ({reader.uid[:8]}…), on the same volume")
            elif word == "ack":
                acknowledged.append(value)
                first = first or time.monotonic()
                if not killed and (len(acknowledged) == enough or time.monotonic() - first > SLOW):
                    time.sleep(random.SystemRandom().random() * 0.1)
                    reader.kill()
                    killed = True
        if not killed:
            reader.wait_for_end(self.timeouts.deletion)
            raise NotProven(f"the writer ended by itself after {len(acknowledged)} acknowledged entries")
        self.acknowledged[stream_file] = acknowledged
        self.say(f"killed while writing, after {len(acknowledged)} acknowledged entries")

    def read_what_was_acknowledged(self) -> None:
        """A third pod reads everything again, with every entry acknowledged before the kill."""
        last = self.start("read-again", "verify")
        self.check_same_volume()
        for _ in last.follow(self.timeouts.log):
            pass
        last.wait_for_end(self.timeouts.deletion)
        if last.report.values("done") != ["verify"]:
            raise NotProven("the reading pod's report is not complete")
        self.compare(last)

    def judge(self) -> dict[str, Any]:
        """The verdict where nothing was lost. Raises NotProven where a figure breaks a limit."""
        broken = [limit.broken(self.figures) for limit in self.plan.limits if not limit.is_kept(self.figures)]
        if broken:
            raise NotProven(
                f"it keeps data, but {'; '.join(broken)}", f"The limits are in canary.limits.{self.plan.tier} of the stack's settings."
            )
        volume = self._own_volume()["metadata"]
        return {
            "verdict": "proven",
            "reason": "",
            "profile": self.plan.profile,
            "storageClass": self.plan.storage_class,
            "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.began, 1),
            "run": self.run,
            "pods": [pod.uid for pod in self.pods],
            "volume": {"name": volume["name"], "uid": volume["uid"], "claimBytes": self.plan.size},
            "node": self.node,
            "acknowledgedBeforeKill": sum(map(len, self.acknowledged.values())),
            **self.figures,
            **({"otherContainers": self.others} if self.others else {}),
            "previous": record.load(self.api, self.plan),
        }

    # --- what the steps are made of -------------------------------------------------------------

    def start(self, role: str, *steps: str) -> ProbePod:
        """Start a pod that runs these steps of the probe, and wait until it runs or has ended."""
        pod = ProbePod.create(self.api, self.plan, self.run, role, *steps)
        self.pods.append(pod)
        claim_name = self._own_claim()["metadata"]["name"]
        watch = StartWatch(self.api, self.plan, claim_name, created=pod.created, timeouts=self.timeouts, events=self.find_events)
        while True:
            found = pod.read()
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

    def compare(self, reader: ProbePod) -> None:
        """Raise NotProven unless what `reader` has read is what was written and acknowledged."""
        read = {file["name"]: file for file in reader.report.values("file")}
        findings = verdict.compare(
            reader.report.values("folder")[0],
            {"owner": self.plan.owner, "run": self.run},
            self.written,
            [file for name, file in read.items() if name not in self.acknowledged],
        )
        for name, acknowledged in self.acknowledged.items():
            findings += verdict.compare_stream(name, acknowledged, read.get(name))
        problem = not_kept(findings)
        if problem:
            raise problem

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

    def remember(self, result: dict[str, Any]) -> None:
        """Keep the verdict for the next run. Where that fails the tier is proven all the same."""
        try:
            record.save(self.api, self.plan, result)
        except ApiError as problem:
            self.say(f"could not keep the figures for the next run: {reason_of(problem, self.plan.context)}")

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
