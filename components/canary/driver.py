"""Run by `pulumi up` for each tier: writes through one pod, reads through another, kills a writer, and says what was kept.

`python -m components.canary.driver … prove` ends with status 0 and the verdict as JSON on stdout, or with status 1 and the reason
on stderr, where progress goes as well. `… sweep` removes what a run that was killed has left.

Nothing is deleted that isn't the canary's own: a pod or claim must carry its labels in its namespace; a volume must besides be of
its class, bound to a claim of its own by that claim's UID, and made for that claim: one that was there before was free, and is somebody's.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

try:
    from kubernetes import client, config
    from kubernetes.client.exceptions import ApiException
    from kubernetes.config.config_exception import ConfigException
    from urllib3.exceptions import HTTPError
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing in {sys.executable}; run `pulumi install` in the project folder.")

from components.canary import probe, verdict
from components.canary.manifests import CLAIM_UID, RUN, Plan, canary_labels, claim, pod, selector
from components.kube.ownership import NOBODY
from components.kube.quantity import bytes_of, quantity

T = TypeVar("T")
Object: TypeAlias = Any  # of the API; the official client has no types

POLL = 0.2  # seconds between two looks at something that is waited for
REQUEST = (5, 30)  # seconds to connect and to answer, for each request
SILENCE = 5  # seconds without a line after which a log is asked for again: the stream of a pod that was killed may never end by itself
SHOWN_LOG_LINES = 10
SHOWN_EVENTS = 8
SETTLING = 10  # seconds that a volume which is being made has to come, before its claim is deleted
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"  # on a volume that had no claim's name in it when it was bound
# A patch that has a volume wait for a claim that never was: it is Released, and nobody gets it by itself.
NOBODYS = {
    "spec": {
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "default", "name": "nobodys", "uid": NOBODY},
    }
}
ACKNOWLEDGED = (20, 150)  # the writer is killed after so many acknowledged entries, at random between the two
SLOW = 30  # seconds after which it is killed on a disk that hasn't acknowledged as many


class NotProven(Exception):
    """The tier is not proven: `sentence` says why, `hint` what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.hint = hint


class Interrupted(BaseException):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Patience:
    """Seconds that each part of a pod's start may take before it counts as failed; `log` without a line from a probe that works."""

    scheduling: float = 60
    scaling: float = 600  # instead, when a cluster autoscaler has said that it adds a node
    provisioning: float = 120
    refusal: float = 30  # instead, once the provisioner has said that it can't; it goes on trying
    image: float = 20  # after the first failed pull
    mount: float = 120
    pulling: float = 300
    log: float = 120
    removal: float = 60


class Cluster:
    """The API of one context. Requests that may be repeated are, over a break of the connection."""

    def __init__(self, context: str) -> None:
        try:
            api = config.new_client_from_config(context=context)
        except (ConfigException, OSError) as problem:
            raise NotProven(
                f"the cluster can't be reached: {problem}",
                f"Set KUBECONFIG to a file with the context {context!r} (in this project's folder: `. .dev/env`).",
            ) from None
        self.context = context
        self.core = client.CoreV1Api(api)

    def call(self, function: Callable[..., T], *arguments: object, **options: object) -> T:
        """Call the API; retried for 20 seconds while it can't be reached or is too busy. Raises ApiException, or NotProven at the end."""
        end = time.monotonic() + 20
        while True:
            try:
                return function(*arguments, _request_timeout=REQUEST, **options)
            except ApiException as problem:
                if problem.status not in (429, 500, 502, 503, 504) or time.monotonic() > end:
                    raise
            except HTTPError as problem:
                if time.monotonic() > end:
                    reason = str(getattr(problem, "reason", problem)).rsplit(": ", 1)[-1]
                    raise NotProven(
                        f"the cluster of context {self.context!r} does not answer ({reason})",
                        "Start it (`make up` for the dev cluster) and try again.",
                    ) from None
            time.sleep(0.5)

    def find(self, function: Callable[..., T], *arguments: object) -> T | None:
        """Call the API for something that may not be there."""
        try:
            return self.call(function, *arguments)
        except ApiException as problem:
            if problem.status == 404:
                return None
            raise

    def create(self, function: Callable[..., Any], read: Callable[..., Any], manifest: dict[str, Any]) -> Object:
        """Create an object whose name nobody else has; a repeated request finds what the first one made.

        A new namespace has its service account a moment later, and no pod before that.
        """
        name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        end = time.monotonic() + 20
        while True:
            try:
                return self.call(function, namespace, manifest)
            except ApiException as problem:
                if problem.status == 409 and (found := self.find(read, name, namespace)) is not None:
                    return found
                if problem.status != 403 or "serviceaccount" not in str(problem.body) or time.monotonic() > end:
                    raise
            time.sleep(POLL)


@dataclass
class Pod:
    """A pod of this run, and what it has said: `words` are its report, `other` are lines that are none."""

    name: str
    uid: str
    created: float
    words: list[tuple[str, Any]] = field(default_factory=list)
    other: list[str] = field(default_factory=list)

    def values(self, word: str) -> list[Any]:
        """What the report has under `word`."""
        return [value for said, value in self.words if said == word]

    def take(self, line: str) -> tuple[str, Any] | None:
        """Add a line of its log."""
        word, _, rest = line.partition(" ")
        try:
            taken = (word, json.loads(rest)) if word.isalpha() else None
        except ValueError:
            taken = None
        if taken:
            self.words.append(taken)
        elif line.strip():
            self.other.append(line)
        return taken


class Canary:
    """One run for one tier. The steps are methods, in the order in which `prove` calls them; each raises NotProven."""

    def __init__(self, cluster: Cluster, plan: Plan, say: Callable[[str], None], patience: Patience | None = None) -> None:
        self.cluster = cluster
        self.core = cluster.core
        self.plan = plan
        self.say = say
        self.patience = patience or Patience()
        self.run = secrets.token_hex(8)
        self.began = time.monotonic()
        self.pods: list[Pod] = []
        self.claim: Any = None
        self.volume: Object = None
        self.node = ""
        self.written: list[dict[str, Any]] = []
        self.acknowledged: dict[str, list[Any]] = {}  # by file
        self.figures: dict[str, Any] = {}
        self.events_seen: list[str] = []

    def prove(self) -> dict[str, Any]:
        """All steps; returns the verdict. Cleans up whatever happens."""
        try:
            self.sweep()
            self.refuse_free_volumes()
            self.make_claim()
            self.write()
            self.read_back_and_kill()
            self.read_what_was_acknowledged()
            result = self.judge()
        except NotProven:
            with suppress(NotProven, ApiException):  # what can't be had any more must not hide the reason
                self.events_seen = self.events()
            raise
        finally:
            with undisturbed():
                self.clean_up(wait=not isinstance(sys.exc_info()[1], Interrupted))
        self.remember(result)
        return result

    def sweep(self) -> None:
        """Remove what a run of this tier that was killed has left; another one that still runs would lose to this one."""
        sweep(self.cluster, self.plan.namespace, self.plan.instance, self.plan.tier, self.plan.storage_class, say=self.say)

    def refuse_free_volumes(self) -> None:
        """Raise NotProven for a volume that any new claim of the class would get, whatever it holds, instead of one of its own.

        The scheduler prefers such a volume over a new one: the canary's claim would get it, and then the next claim of a service.
        """
        for volume in self.cluster.call(self.core.list_persistent_volume).items:
            if is_free(volume, self.plan.storage_class, self.plan.size):
                raise NotProven(
                    f"volume {volume.metadata.name} of class {self.plan.storage_class} is Available to any claim, the canary's as well",
                    "It may hold somebody's data. So that no claim gets it by itself: "
                    f"`kubectl --context {self.plan.context} patch pv {volume.metadata.name} -p "
                    f"'{json.dumps(NOBODYS)}'`; the setting `adopt` gives it to a service (docs/recovery.md).",
                )

    def make_claim(self) -> None:
        """A claim of this run's own."""
        self.claim = self.cluster.create(
            self.core.create_namespaced_persistent_volume_claim,
            self.core.read_namespaced_persistent_volume_claim,
            claim(self.plan, self.run),
        )

    def write(self) -> None:
        """The first pod writes everything; its report is the manifest, which is kept here and never on the volume."""
        writer = self.start("write", "write")
        self.wait_until_running(writer)
        for word, value in self.follow(writer):
            if word == "mount":
                self.look_at_volume(value)
        self.wait_for_end(writer)
        self.written = writer.values("file")
        if writer.values("done") != ["write"] or not self.complete():
            raise NotProven("the writing pod's report is not complete")
        self.figures.update(summary(self.plan.profile, writer.values("figures")[0]))
        total = sum(file["size"] for file in self.written)
        self.figures.update({"bytes": total, "entries": sum(len(file["entries"]) for file in self.written)})
        self.say(f"wrote {total / 1e6:.1f} MB in {len(self.written)} files, sync p99 {self.figures['syncMs']['p99']:.2f} ms")
        self.remove(writer)

    def complete(self) -> bool:
        """Whether the manifest has what the profile is."""
        written = {file["name"]: file for file in self.written}
        return all(
            name in written and len(written[name]["entries"]) == entries and size in (None, written[name]["size"])
            for name, (size, entries) in verdict.expected_of(self.plan.profile, probe.PAGES, probe.PAGE, probe.ENTRIES).items()
        )

    def read_back_and_kill(self, stream_file: str = "killed-1.entries") -> None:
        """Another pod reads everything, then writes a stream and is killed in the middle of it."""
        reader = self.start("read", "verify", "stream", f"--stream-file={stream_file}")
        self.wait_until_running(reader)
        self.same_volume()
        acknowledged: list[Any] = []
        enough, killed, first = random.SystemRandom().randint(*ACKNOWLEDGED), False, 0.0
        for word, value in self.follow(reader, until_gone=True):
            if word == "done" and value == "verify":
                self.compare(reader)
                self.say(f"intact in another pod ({reader.uid[:8]}…), on the same volume")
            elif word == "ack":
                acknowledged.append(value)
                first = first or time.monotonic()
                if not killed and (len(acknowledged) == enough or time.monotonic() - first > SLOW):
                    time.sleep(random.SystemRandom().random() * 0.1)
                    self.kill(reader)
                    killed = True
        if not killed:
            self.wait_for_end(reader)
            raise NotProven(f"the writer ended by itself after {len(acknowledged)} acknowledged entries")
        self.acknowledged[stream_file] = acknowledged
        self.say(f"killed while writing, after {len(acknowledged)} acknowledged entries")

    def read_what_was_acknowledged(self) -> None:
        """A third pod reads everything again: what was there before, and every entry that was acknowledged before the kill."""
        last = self.start("read-again", "verify")
        self.wait_until_running(last)
        self.same_volume()
        for _ in self.follow(last):
            pass
        self.wait_for_end(last)
        if last.values("done") != ["verify"]:
            raise NotProven("the reading pod's report is not complete")
        self.compare(last)

    def compare(self, reader: Pod) -> None:
        """Raise NotProven unless what `reader` has read is what was written and acknowledged."""
        read = reader.values("file")
        owner = {"owner": self.plan.owner, "run": self.run}
        findings = verdict.compare(
            reader.values("folder")[0], owner, self.written, [file for file in read if file["name"] not in self.acknowledged]
        )
        by_name = {file["name"]: file for file in read}
        for name, acknowledged in self.acknowledged.items():
            findings += verdict.compare_stream(name, acknowledged, by_name.get(name))
        worst = verdict.most_telling(findings)
        if worst:
            others = [str(finding) for finding in findings if finding is not worst]
            more = f"; also {'; '.join(others[:3])}" + (f" and {len(others) - 3} more" if len(others) > 3 else "") if others else ""
            raise NotProven(f"the volume did not keep what it acknowledged: {worst}{more}", "Don't put data on this tier.")

    def judge(self) -> dict[str, Any]:
        """The verdict of a run in which nothing was lost; raises NotProven where a figure breaks a limit."""
        slow = verdict.too_slow(self.figures, self.plan.limits)
        if slow:
            raise NotProven(
                f"it keeps data, but {'; '.join(slow)}", f"The limits are in canary.limits.{self.plan.tier} of the stack's settings."
            )
        return {
            "verdict": "proven",
            "reason": "",
            "profile": self.plan.profile,
            "storageClass": self.plan.storage_class,
            "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.began, 1),
            "run": self.run,
            "pods": [each.uid for each in self.pods],
            "volume": {"name": self.volume.metadata.name, "uid": self.volume.metadata.uid, "claimBytes": self.plan.size},
            "node": self.node,
            "acknowledgedBeforeKill": sum(map(len, self.acknowledged.values())),
            **self.figures,
            "previous": self.previous(),
        }

    # --- what the steps are made of -----------------------------------------------------------------------------------

    def start(self, role: str, *steps: str) -> Pod:
        """Create a pod that runs these steps of the probe."""
        manifest = pod(self.plan, self.run, role, steps)
        created = time.monotonic()
        made = self.cluster.create(self.core.create_namespaced_pod, self.core.read_namespaced_pod, manifest)
        self.pods.append(Pod(made.metadata.name, made.metadata.uid, created))
        return self.pods[-1]

    def wait_until_running(self, which: Pod) -> None:
        """Wait until the pod's container runs or has ended; raises NotProven with what keeps it from running."""
        failing_since: dict[str, float] = {}
        while True:
            found = self.read(which)
            if not self.volume:
                self.look_for_volume(which)
            state = container_state(found)
            if state and (state.running or state.terminated):
                break
            if found.status.phase == "Failed":
                raise NotProven(f"the pod could not run on node {found.spec.node_name}: {found.status.reason}: {found.status.message}")
            self.check_progress(which, found, failing_since)
            time.sleep(POLL)
        if not self.volume:
            self.look_for_volume(which)
        if not self.node:
            self.node = found.spec.node_name
            self.figures["secondsToRunning"] = round(time.monotonic() - which.created, 2)
            self.say(f"volume bound and pod running on node {self.node} after {self.figures['secondsToRunning']:.1f} s")

    def check_progress(self, which: Pod, found: Object, failing_since: dict[str, float]) -> None:
        """Raise NotProven when what a pending pod waits for has taken too long."""

        def too_long(what: str, seconds: float) -> bool:
            return lasting(failing_since, what) > seconds

        state = container_state(found)
        waiting = state.waiting.reason if state and state.waiting else ""
        if waiting in ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"):
            if waiting == "InvalidImageName" or too_long("image", self.patience.image):
                raise NotProven(
                    f"the image {self.plan.image} can't be pulled ({waiting})",
                    "Name one that this cluster's nodes can pull, with Python 3.9 or newer: `pulumi config set --path canary.image IMAGE`.",
                )
            return
        failing_since.pop("image", None)
        if waiting in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError") and too_long(
            "container", self.patience.image
        ):
            raise NotProven(f"the pod's container can't be started: {state.waiting.message}")
        if not found.spec.node_name:
            self.check_scheduling(found, time.monotonic() - which.created, failing_since)
        elif too_long("mount", self.patience.pulling if self.seen("Pulling") else self.patience.mount):
            trouble = self.last_warning() or "no event says why"
            raise NotProven(f"the pod does not start on node {found.spec.node_name}: {trouble}")

    def check_scheduling(self, found: Object, waited: float, failing_since: dict[str, float]) -> None:
        """A pod without a node waits for the scheduler (or a node that an autoscaler adds), or the scheduler for its volume.

        The volume's time begins when it is asked for, which is after that of the node; a provisioner's trouble, when it is first told:
        a node that has just come may not have its driver yet.
        """
        present = self.cluster.call(self.core.read_namespaced_persistent_volume_claim, self.claim.metadata.name, self.plan.namespace)
        conditions = [each for each in found.status.conditions or [] if each.type == "PodScheduled" and each.reason == "Unschedulable"]
        unschedulable = conditions[0].message if conditions else ""
        selected = (present.metadata.annotations or {}).get("volume.kubernetes.io/selected-node")
        unbound = present.status.phase == "Pending" and (selected or (unschedulable and "unbound immediate" in unschedulable))
        if unbound:
            trouble = self.last_warning("Provisioning")
            asked = lasting(failing_since, "provisioning")
            if asked > self.patience.provisioning or (trouble and lasting(failing_since, "refusal") > self.patience.refusal):
                driver = (present.metadata.annotations or {}).get("volume.kubernetes.io/storage-provisioner", "its provisioner")
                why = f": {trouble}" if trouble else " and gives no reason: is it running?"
                raise NotProven(
                    f"{driver} has made no volume for class {self.plan.storage_class} in {asked:.0f} s{why}",
                    f"`kubectl --context {self.plan.context} get storageclass {self.plan.storage_class} -o yaml` shows the class.",
                )
        elif unschedulable:
            # Of the Cluster Autoscaler, and of Karpenter and EKS Auto Mode
            comes = self.seen("TriggeredScaleUp", "Nominated")
            patience = self.patience.scaling if comes else self.patience.scheduling
            if waited > patience:
                raise NotProven(f"no node can take the pod: {unschedulable}")
        elif waited > self.patience.scaling:
            raise NotProven("the pod was not scheduled; the scheduler gives no reason: is it running?")

    def look_for_volume(self, which: Pod) -> None:
        """As soon as the claim is bound: mark its volume as the canary's own, to be deleted together with the claim."""
        present = self.cluster.call(self.core.read_namespaced_persistent_volume_claim, self.claim.metadata.name, self.plan.namespace)
        if present.metadata.uid != self.claim.metadata.uid:
            raise NotProven(f"the claim {present.metadata.name} was replaced by somebody while the canary ran")
        if present.status.phase != "Bound":
            return
        self.figures["secondsToBound"] = round(time.monotonic() - which.created, 2)
        volume = self.cluster.call(self.core.read_persistent_volume, present.spec.volume_name)
        if not belongs(volume, self.plan.namespace, self.plan.storage_class, {self.claim.metadata.uid}):
            raise NotProven(f"volume {volume.metadata.name} is bound to the canary's claim, but does not name it, or another class")
        if not made_for(volume, present):
            raise NotProven(
                f"volume {volume.metadata.name} was there before the canary's claim, which got it; it was free and may hold others' data",
                "Nothing was written to it, and it is Released once the claim is gone; the setting `adopt` gives it to a service.",
            )
        self.volume = hand_over(self.cluster, volume, canary_labels(self.plan.instance, self.plan.tier))

    def same_volume(self) -> None:
        """Raise NotProven unless the claim still has the volume that was written to, and this pod is another one."""
        present = self.cluster.call(self.core.read_namespaced_persistent_volume_claim, self.claim.metadata.name, self.plan.namespace)
        volume = self.cluster.call(self.core.read_persistent_volume, present.spec.volume_name)
        if (present.metadata.uid, volume.metadata.uid) != (self.claim.metadata.uid, self.volume.metadata.uid):
            raise NotProven(
                f"{verdict.Fault.WRONG_VOLUME.value}: the pod got volume {volume.metadata.name}, not {self.volume.metadata.name}"
            )
        if len({each.uid for each in self.pods}) != len(self.pods):
            raise NotProven("two of the pods are the same one")

    def look_at_volume(self, mount: dict[str, Any]) -> None:
        """A new claim's volume must be new, and where sizes are enforced as large as the claim."""
        self.figures["fileSystem"] = {key: mount[key] for key in ("type", "bytes", "freeBytes")}
        strangers = [name for name in mount["found"] if name != "lost+found"]
        if strangers:
            raise NotProven(
                f"the volume of a new claim is not empty: it holds {', '.join(strangers[:5])}", "Does the class hand out used ones?"
            )
        if self.plan.sizes_enforced and verdict.too_small(mount["bytes"], self.plan.size):
            raise NotProven(f"the file system has {mount['bytes']} bytes, less than the claim's {self.plan.size}")

    def follow(self, which: Pod, *, until_gone: bool = False) -> Iterator[tuple[str, Any]]:
        """What the pod reports, as it comes, until it ends (or, `until_gone`, until it was deleted). Survives a broken connection."""
        taken, last_line = 0, time.monotonic()
        while time.monotonic() - last_line < self.patience.log:
            try:
                for number, line in enumerate(self.log_lines(which)):
                    if number < taken:
                        continue
                    taken, last_line = number + 1, time.monotonic()
                    said = which.take(line)
                    if said:
                        yield said
            except (ApiException, HTTPError):  # gone, not there yet, or the connection broke
                pass
            found = self.cluster.find(self.core.read_namespaced_pod, which.name, self.plan.namespace)
            if found is None or found.metadata.uid != which.uid:
                if until_gone:
                    return
                raise NotProven(f"pod {which.name} was deleted by somebody while the canary ran")
            state = container_state(found)
            if state and state.terminated and which.words and which.words[-1][0] in ("done", "fault"):
                return
            if state and state.terminated and time.monotonic() - last_line > 5:  # its last words have had time to arrive
                return
            time.sleep(POLL)
        raise NotProven(
            f"pod {which.name} has said nothing for {self.patience.log:.0f} s: an operation of the volume hangs (last: {last_word(which)})"
        )

    def log_lines(self, which: Pod) -> Iterator[str]:
        """The pod's log from its beginning on, as long as it runs and the connection lasts."""
        response = self.core.read_namespaced_pod_log(
            which.name, self.plan.namespace, follow=True, _preload_content=False, _request_timeout=(5, SILENCE)
        )
        with closing(response):
            rest = b""
            for part in response.stream(64 * 1024):
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    yield line.decode(errors="replace")

    def wait_for_end(self, which: Pod) -> None:
        """Raises NotProven when the probe did not end well."""
        end = time.monotonic() + self.patience.removal
        while not ((state := container_state(self.read(which))) and state.terminated):
            if time.monotonic() > end:
                raise NotProven(f"pod {which.name} does not end")
            time.sleep(POLL)
        if state.terminated.exit_code == 0:
            return
        faults = which.values("fault")
        if faults:
            raise NotProven(trouble_of(faults[-1]))
        raise NotProven(f"the probe ended with exit status {state.terminated.exit_code} ({state.terminated.reason})")

    def read(self, which: Pod) -> Object:
        """The pod as it is now; raises NotProven when it is gone or another one."""
        found = self.cluster.find(self.core.read_namespaced_pod, which.name, self.plan.namespace)
        if found is None or found.metadata.uid != which.uid:
            raise NotProven(f"pod {which.name} was deleted by somebody while the canary ran")
        return found

    def kill(self, which: Pod) -> None:
        """Delete the pod without grace."""
        delete_pod(self.cluster, which.name, which.uid, self.plan.namespace, grace=0)

    def remove(self, which: Pod) -> None:
        """Delete a pod that has ended, and wait until its volume is unmounted and it is gone."""
        delete_pod(self.cluster, which.name, which.uid, self.plan.namespace)
        end = time.monotonic() + self.patience.removal
        while self.cluster.find(self.core.read_namespaced_pod, which.name, self.plan.namespace) is not None:
            if time.monotonic() > end:
                raise NotProven(f"pod {which.name} can't be removed from node {self.node}")
            time.sleep(POLL)

    def events(self) -> list[str]:
        """What Kubernetes says about this run's pods and claim, oldest first."""
        ours = {each.uid for each in self.pods} | ({self.claim.metadata.uid} if self.claim else set())
        found = self.cluster.call(self.core.list_namespaced_event, self.plan.namespace).items
        about = [each for each in found if each.involved_object.uid in ours]
        about.sort(key=lambda each: str(each.last_timestamp or each.event_time or each.metadata.creation_timestamp))
        return [
            f"{each.type} {each.reason} {each.involved_object.kind.lower()}/{each.involved_object.name}: {each.message}" for each in about
        ]

    def seen(self, *reasons: str) -> bool:
        """Whether an event of one of these reasons is there."""
        return any(f" {reason} " in line for line in self.events() for reason in reasons)

    def last_warning(self, about: str = "") -> str:
        """The message of the newest warning whose reason has `about` in it; empty where there is none."""
        warnings = [line for line in self.events() if line.startswith("Warning ") and about in line.split(" ", 2)[1]]
        return warnings[-1].partition(": ")[2] if warnings else ""

    def clean_up(self, *, wait: bool) -> None:
        """Delete this run's pods, claim, volume and data. Without `wait` only all of that is asked for: Kubernetes does it."""
        try:
            sweep(
                self.cluster,
                self.plan.namespace,
                self.plan.instance,
                self.plan.tier,
                self.plan.storage_class,
                say=self.say,
                run=self.run,
                patience=self.patience.removal if wait else 0,
            )
        except (NotProven, ApiException) as problem:
            self.say(f"could not clean up, the next run will: {getattr(problem, 'reason', problem)}")

    def previous(self) -> dict[str, Any] | None:
        """The figures of the last proven run, where the canary's namespace remembers one."""
        found = self.cluster.find(self.core.read_namespaced_config_map, record_name(self.plan.tier), self.plan.namespace)
        if found is None:
            return None
        try:
            remembered = json.loads(found.data["verdict"])
        except (KeyError, TypeError, ValueError):
            return None
        return {key: remembered.get(key) for key in ("provenAt", "writeMBps", "writeIOPS", "syncMs", "secondsToRunning")}

    def remember(self, result: dict[str, Any]) -> None:
        """Keep the verdict in the cluster, for the next run to show beside its own."""
        content = {"verdict": json.dumps({**result, "previous": None})}
        name = record_name(self.plan.tier)
        metadata = {"name": name, "namespace": self.plan.namespace, "labels": canary_labels(self.plan.instance, self.plan.tier)}
        try:
            if self.cluster.find(self.core.read_namespaced_config_map, name, self.plan.namespace) is None:
                self.cluster.call(self.core.create_namespaced_config_map, self.plan.namespace, {"metadata": metadata, "data": content})
            else:
                self.cluster.call(self.core.patch_namespaced_config_map, name, self.plan.namespace, {"data": content})
        except (NotProven, ApiException) as problem:  # the tier is proven all the same
            self.say(f"could not keep the figures for the next run: {getattr(problem, 'reason', problem)}")


def lasting(since: dict[str, float], what: str) -> float:
    """Seconds for which `what` has been the case; it begins with the first question."""
    return time.monotonic() - since.setdefault(what, time.monotonic())


# --- removal: for a run's own end, for the next run, and for `pulumi destroy` -----------------------------------------------


def belongs(volume: Object, namespace: str, storage_class: str, claim_uids: set[str]) -> bool:
    """Whether a volume is bound to one of the canary's own claims: namespace, class and claim UID all match."""
    bound_to = volume.spec.claim_ref
    return bool(
        bound_to and bound_to.namespace == namespace and bound_to.uid in claim_uids and volume.spec.storage_class_name == storage_class
    )


def made_for(volume: Object, its_claim: Object) -> bool:
    """Whether a volume was made for the claim that it is bound to. One that was there before holds somebody's data.

    A provisioner makes a volume with the claim's name in it. Kubernetes marks one that had none, and got it when it was bound. The times
    alone would not do: they are in whole seconds.
    """
    was_free = BOUND_BY_CONTROLLER in (volume.metadata.annotations or {})
    return bool(not was_free and volume.metadata.creation_timestamp >= its_claim.metadata.creation_timestamp)


def is_free(volume: Object, storage_class: str, size: int) -> bool:
    """Whether any ReadWriteOnce claim of this class and size (bytes) may get a volume that is there already."""
    spec = volume.spec
    return bool(
        volume.status.phase == "Available"
        and not spec.claim_ref
        and spec.storage_class_name == storage_class
        and "ReadWriteOnce" in spec.access_modes
        and spec.volume_mode != "Block"
        and bytes_of(spec.capacity["storage"]) >= size
    )


def hand_over(cluster: Cluster, volume: Object, labels: dict[str, str]) -> Object:
    """Mark a volume as the canary's and let it go together with its claim. Refused by the API if it has changed since it was read."""
    patch = {
        "metadata": {"resourceVersion": volume.metadata.resource_version, "labels": {**labels, CLAIM_UID: volume.spec.claim_ref.uid}},
        "spec": {"persistentVolumeReclaimPolicy": "Delete"},
    }
    for _ in range(5):
        try:
            return cluster.call(cluster.core.patch_persistent_volume, volume.metadata.name, patch)
        except ApiException as problem:
            if problem.status != 409:
                raise
            fresh = cluster.call(cluster.core.read_persistent_volume, volume.metadata.name)
            if fresh.metadata.uid != volume.metadata.uid or fresh.spec.claim_ref.uid != volume.spec.claim_ref.uid:
                raise NotProven(f"volume {volume.metadata.name} was given to another claim") from None
            patch["metadata"]["resourceVersion"] = fresh.metadata.resource_version
    raise NotProven(f"volume {volume.metadata.name} changes all the time")


def delete_pod(cluster: Cluster, name: str, uid: str, namespace: str, grace: int = 1) -> None:
    """Delete this very pod, if it is still there."""
    options = client.V1DeleteOptions(grace_period_seconds=grace, preconditions=client.V1Preconditions(uid=uid))
    with unless_gone():
        cluster.call(cluster.core.delete_namespaced_pod, name, namespace, body=options)


def sweep(
    cluster: Cluster,
    namespace: str,
    instance: str,
    tier: str | None,
    storage_class: str | None,
    *,
    say: Callable[[str], None] = lambda _: None,
    run: str | None = None,
    patience: float = 60,
) -> None:
    """Delete pods, claims and volumes of the canary: of one `run`, or all that carry its labels (of one tier, or of all).

    Waits at most `patience` seconds until all of it is gone, and raises NotProven with what is left. A `storage_class` of None
    stands for the class that each claim names.
    """
    core = cluster.core
    label = selector(instance, tier) + (f",{RUN}={run}" if run else "")
    pods = cluster.call(core.list_namespaced_pod, namespace, label_selector=label).items
    claims = cluster.call(core.list_namespaced_persistent_volume_claim, namespace, label_selector=label).items
    stamped = cluster.call(core.list_persistent_volume, label_selector=selector(instance, tier)).items
    uids = {each.metadata.uid for each in claims}
    # Volumes whose claim is gone already were marked while they were bound to it.
    left = [
        volume
        for volume in stamped
        if run is None
        and belongs(volume, namespace, storage_class or volume.spec.storage_class_name, {volume.metadata.labels.get(CLAIM_UID, "")})
        and volume.spec.claim_ref.uid not in uids
    ]
    if run is None and (pods or claims or left):
        say(f"removing what an earlier run has left: {len(pods)} pods, {len(claims)} claims, {len(left)} volumes without a claim")
    for each in pods:
        delete_pod(cluster, each.metadata.name, each.metadata.uid, namespace, grace=0)
    claims, unsettled = settle(cluster, claims, min(patience, SETTLING) or 1)
    if unsettled and not patience:  # a volume may still come, and without its claim nobody would know whose it is
        say(f"left for the next run, because a volume is being made for it: {', '.join(each.metadata.name for each in unsettled)}")
        claims = [each for each in claims if each not in unsettled]
    bound = [
        volume
        for each in claims
        if each.spec.volume_name and (volume := cluster.find(core.read_persistent_volume, each.spec.volume_name))
        if belongs(volume, namespace, storage_class or each.spec.storage_class_name, {each.metadata.uid}) and made_for(volume, each)
    ]
    for volume in bound + left:
        if volume.spec.persistent_volume_reclaim_policy != "Delete":
            with unless_gone():
                hand_over(cluster, volume, canary_labels(instance, volume_tier(volume, claims)))
    for each in claims:
        with unless_gone():
            cluster.call(
                core.delete_namespaced_persistent_volume_claim,
                each.metadata.name,
                namespace,
                body=client.V1DeleteOptions(preconditions=client.V1Preconditions(uid=each.metadata.uid)),
            )
    end = time.monotonic() + patience
    waiting = [f"persistentvolumeclaim/{each.metadata.name}" for each in claims] + [
        f"persistentvolume/{each.metadata.name}" for each in bound + left
    ]
    while patience and waiting:
        waiting = [
            name
            for name in waiting
            if (
                cluster.find(core.read_namespaced_persistent_volume_claim, name.partition("/")[2], namespace)
                if name.startswith("persistentvolumeclaim/")
                else cluster.find(core.read_persistent_volume, name.partition("/")[2])
            )
        ]
        if waiting and time.monotonic() > end:
            raise NotProven(f"still there after {patience:.0f} s: {', '.join(waiting)}", "Is the provisioner running?")
        if waiting:
            time.sleep(POLL)


def settle(cluster: Cluster, claims: list[Object], seconds: float) -> tuple[list[Object], list[Object]]:
    """The claims as they are once no volume is being made for one, and those for which one still is after `seconds`.

    A claim that is deleted while its volume is being made leaves that volume behind, with nothing that says whose it is.
    """
    end = time.monotonic() + seconds
    read = cluster.core.read_namespaced_persistent_volume_claim
    while True:
        found = [cluster.find(read, each.metadata.name, each.metadata.namespace) for each in claims]
        present = [each for each in found if each is not None and each.metadata.uid in {known.metadata.uid for known in claims}]
        unsettled = [
            each
            for each in present
            if each.status.phase == "Pending" and "volume.kubernetes.io/storage-provisioner" in (each.metadata.annotations or {})
        ]
        if not unsettled or time.monotonic() > end:
            return present, unsettled
        time.sleep(POLL)


def volume_tier(volume: Object, claims: list[Object]) -> str:
    """The tier whose canary a volume is, from its own label or its claim's."""
    key = "app.kubernetes.io/component"
    of_claim = {each.metadata.uid: each.metadata.labels.get(key, "") for each in claims}
    return str(of_claim.get(volume.spec.claim_ref.uid) or (volume.metadata.labels or {}).get(key, ""))


@contextmanager
def unless_gone() -> Iterator[None]:
    """Let pass that something is gone already, or is another object by now (a failed precondition)."""
    try:
        yield
    except ApiException as problem:
        if problem.status not in (404, 409):
            raise


# --- words ------------------------------------------------------------------------------------------------------------


def container_state(found: Object) -> Object:
    """The state of the pod's one container; None before the kubelet has spoken."""
    statuses = found.status.container_statuses
    return statuses[0].state if statuses else None


def record_name(tier: str) -> str:
    """The ConfigMap with a tier's last proven verdict."""
    return f"canary-{tier}-proven"


def summary(profile: str, workloads: dict[str, Any]) -> dict[str, Any]:
    """The tier's figures, from those of its workloads: MB are 10^6 bytes, latencies in milliseconds.

    database: IOPS and MB/s of the pages, latency of the commits. streaming: MB/s of the stream, IOPS and latency of the entries.
    """
    speed = workloads["pages" if profile == "database" else "stream"]
    single = workloads["wal" if profile == "database" else "entries"]
    rate = speed if profile == "database" else single
    return {"writeMBps": speed["MBps"], "writeIOPS": rate["IOPS"], "syncMs": single["syncMs"], "workloads": workloads}


_TROUBLES = {
    "ENOSPC": "the volume is full",
    "EDQUOT": "the volume's quota is used up",
    "EROFS": "the volume is read-only",
    "EIO": "the volume's device fails",
    "EACCES": "the volume can't be written by a pod that is not root (fsGroup has no effect on it)",
    "EPERM": "the volume can't be written by a pod that is not root (fsGroup has no effect on it)",
    "ENOTCONN": "the volume's file system is gone",
    "ESTALE": "the volume's file system is gone",
}


def trouble_of(fault: dict[str, str]) -> str:
    """A failed operation of the volume as a sentence."""
    what = _TROUBLES.get(fault["errno"], "an operation of the volume failed")
    where = f" at {fault['path']}" if fault["path"] else ""
    return f"{what}: {fault['message']} ({fault['errno']}){where}"


def last_word(which: Pod) -> str:
    """What a pod reported last, in a word."""
    return which.words[-1][0] if which.words else "nothing"


def explain(canary: Canary, problem: NotProven) -> str:
    """What the user reads: the sentence, then the pod's own lines and the events that matter."""
    lines = [f"tier {canary.plan.tier} ({canary.plan.storage_class}) is not proven: {problem.sentence}."]
    if canary.pods:
        last = canary.pods[-1]
        faults = [f"{word} {json.dumps(value)}" for word, value in last.words if word == "fault"]
        said = [*last.other[-SHOWN_LOG_LINES:], *faults]
        if said:
            lines += [f"Log of pod {last.name}:", *(f"  {line[:300]}" for line in said)]
    if canary.events_seen:
        telling = [line for line in canary.events_seen if line.startswith("Warning")] or canary.events_seen
        lines += ["Events:", *(f"  {line[:400]}" for line in telling[-SHOWN_EVENTS:])]
    if problem.hint:
        lines.append(problem.hint)
    lines.append("No new claim is made on this tier.")
    return "\n".join(lines)


def progress(line: str) -> None:
    """A line for the user while it lasts; nobody may be listening any more."""
    with suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)


def interrupt(*_: object) -> None:
    """The signal handler: raises where the program is, so that it cleans up on its way out."""
    raise Interrupted


@contextmanager
def undisturbed() -> Iterator[None]:
    """Signals that ask for the end are ignored meanwhile: what is done here ends by itself."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse(arguments: list[str]) -> tuple[str, Plan]:
    """The operation and the plan on the command line."""
    parser = argparse.ArgumentParser(prog="driver", description=__doc__)
    parser.add_argument("operation", choices=["prove", "sweep"])
    for name in ("context", "namespace", "instance"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("tier", "profile", "storage-class", "image", "probe"):
        parser.add_argument(f"--{name}", default="")
    parser.add_argument("--size", type=int, default=0, help="of the claim, in bytes")
    parser.add_argument("--sizes-enforced", action="store_true", help="the provisioner's volumes are as large as their claims")
    parser.add_argument("--limit", action="append", default=[], metavar="NAME=NUMBER")
    given = vars(parser.parse_args(arguments))
    limits = {name: float(number) for name, _, number in (limit.partition("=") for limit in given.pop("limit"))}
    return given.pop("operation"), Plan(**given, limits=limits)


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    operation, plan = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    canary: Canary | None = None
    try:
        cluster = Cluster(plan.context)
        if operation == "sweep":
            sweep(cluster, plan.namespace, plan.instance, None, None, say=progress)
            return 0
        progress(f"proving {plan.storage_class} with a volume of {quantity(plan.size)}, profile {plan.profile}")
        canary = Canary(cluster, plan, progress)
        print(json.dumps(canary.prove(), separators=(",", ":")), flush=True)
    except NotProven as problem:
        progress(explain(canary, problem) if canary else f"{problem.sentence}.\n{problem.hint}")
        return 1
    except ApiException as problem:
        with suppress(ValueError, TypeError):
            problem.reason = json.loads(problem.body)["message"]
        progress(f"the API of context {plan.context!r} refused a request of the canary ({problem.status}): {problem.reason}")
        return 1
    except Interrupted:
        progress("interrupted; what the canary had made is being removed")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
