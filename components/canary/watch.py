"""Waiting until a pod runs: for a node, a volume, a mount, an image. Each has its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.canary import objects
from components.canary.events import Event, has_reason, last_warning
from components.canary.manifests import OWN
from components.canary.plan import OTHER_IMAGE
from components.canary.pods import container_state
from components.canary.words import POD_SETTINGS, NotProven
from components.kube.api import KubeApi

# Reasons for which a container waits, from the kubelet (pkg/kubelet/images/types.go and
# pkg/kubelet/kuberuntime/kuberuntime_container.go).
IMAGE_TROUBLES = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError")
CONTAINER_TROUBLES = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
RUN_AS_USER = "`canary.pod.runAsUser` is null in the stack's settings, and the cluster chooses no user: without it 65532 is the pods' user."
# Reasons of events with which an autoscaler says that it adds a node: that of the Cluster
# Autoscaler, and that of Karpenter and EKS Auto Mode.
SCALE_UP = ("TriggeredScaleUp", "Nominated")


@dataclass(frozen=True)
class Timeouts:
    """Seconds that each part of a proof may take before it counts as failed."""

    scheduling: float = 60
    scale_up: float = 600  # instead, when an autoscaler has said that it adds a node
    provisioning: float = 120
    provisioning_failed: float = 30  # instead, once the provisioner has said that it can't
    image: float = 20  # after the first failed pull
    mount: float = 120
    pulling: float = 300  # instead, when the image is being pulled
    log: float = 120  # without a line from the probe
    deletion: float = 60


@dataclass(frozen=True)
class PodStart:
    """A pod that is to start: what it waits for, and what is said where that doesn't come.

    `claim` and `storage_class` are the names of the claim that it mounts, and of its class.
    `other_image` is what to do about an image that can't be pulled.
    """

    context: str
    namespace: str
    claim: str
    storage_class: str
    image: str
    other_image: str = OTHER_IMAGE


class StartWatch:
    """Watches the start of one pod.

    `created` is when the pod was asked for, by time.monotonic().
    `events` returns what Kubernetes has said so far about the proof's objects.
    """

    def __init__(self, api: KubeApi, start: PodStart, *, created: float, timeouts: Timeouts, events: Callable[[], Sequence[Event]]) -> None:
        self._api = api
        self._start = start
        self._created = created
        self._timeouts = timeouts
        self._events = events
        self._since: dict[str, float] = {}

    def has_started(self, pod: Mapping[str, Any]) -> bool:
        """Whether the probe's container runs or has ended.

        Raises NotProven with what keeps it from running, and ApiError. To be asked again and again:
        each trouble has its time from when it was first seen.
        """
        state = container_state(pod)
        if "running" in state or "terminated" in state:
            return True
        node, status = pod["spec"].get("nodeName"), pod["status"]
        if status.get("phase") == "Failed":
            raise NotProven(f"the pod could not run on node {node}: {status.get('reason')}: {status.get('message')}")
        waiting = state.get("waiting") or {}
        if waiting.get("reason") in IMAGE_TROUBLES:
            self._check_image(waiting["reason"])
            return False
        self._since.pop("image", None)
        if waiting.get("reason") in CONTAINER_TROUBLES and self._seconds("container") > self._timeouts.image:
            hint = RUN_AS_USER if "runAsNonRoot" in (waiting.get("message") or "") else ""
            raise NotProven(f"the pod's container can't be started: {waiting.get('message')}", hint)
        if node:
            self._check_mount(pod)
        else:
            self._check_scheduling(pod)
        return False

    def _seconds(self, trouble: str) -> float:
        """For how long `trouble` has been there; it begins with the first question."""
        now = time.monotonic()
        return now - self._since.setdefault(trouble, now)

    def _check_image(self, reason: str) -> None:
        if reason == "InvalidImageName" or self._seconds("image") > self._timeouts.image:
            raise NotProven(
                f"the image {self._start.image} can't be pulled ({reason})",
                f"{self._start.other_image} For a registry that asks who one is: `canary.pod.imagePullSecrets` (docs/proof.md).",
            )

    def _check_mount(self, pod: Mapping[str, Any]) -> None:
        """A pod with a node waits for its volume to be mounted, or for its image.

        Or for a container that somebody has put before the probe's.
        """
        node = pod["spec"]["nodeName"]
        seconds = self._seconds("mount")
        if seconds <= min(self._timeouts.mount, self._timeouts.pulling):
            return
        events = self._events()
        if seconds > (self._timeouts.pulling if has_reason(events, "Pulling") else self._timeouts.mount):
            first = _waiting_first(pod)
            said = last_warning(events) or "no event says why"
            raise NotProven(f"the pod does not start on node {node}: {f'{first}; {said}' if first else said}")

    def _check_scheduling(self, pod: Mapping[str, Any]) -> None:
        """A pod without a node waits for the scheduler, for a new node, or for its volume."""
        claim = self._api.get(objects.namespaced(self._start.namespace, "persistentvolumeclaims", self._start.claim))
        unschedulable = _unschedulable(pod)
        selected = (claim["metadata"].get("annotations") or {}).get("volume.kubernetes.io/selected-node")
        waited = time.monotonic() - self._created
        if claim["status"].get("phase") == "Pending" and (selected or "unbound immediate" in unschedulable):
            self._check_provisioning(claim)
        elif unschedulable:
            if waited > self._timeouts.scheduling and (waited > self._timeouts.scale_up or not has_reason(self._events(), *SCALE_UP)):
                raise NotProven(f"no node can take the pod: {unschedulable}", POD_SETTINGS)
        elif waited > self._timeouts.scale_up:
            raise NotProven("the pod was not scheduled; the scheduler gives no reason: is it running?")

    def _check_provisioning(self, claim: Mapping[str, Any]) -> None:
        """The volume's time begins when it is asked for, which is after that of the node.

        That of the provisioner's trouble begins when it is first told, and it goes on trying: a
        node that has just come may not have its driver yet.
        """
        trouble = last_warning(self._events(), "Provisioning")
        asked = self._seconds("provisioning")
        refused = bool(trouble) and self._seconds("provisioning failed") > self._timeouts.provisioning_failed
        if asked > self._timeouts.provisioning or refused:
            driver = (claim["metadata"].get("annotations") or {}).get("volume.kubernetes.io/storage-provisioner", "its provisioner")
            why = f": {trouble}" if trouble else " and gives no reason: is it running?"
            name = self._start.storage_class
            raise NotProven(
                f"{driver} has made no volume for class {name} in {asked:.0f} s{why}",
                f"`kubectl --context {self._start.context} get storageclass {name} -o yaml` shows the class.",
            )


def _waiting_first(pod: Mapping[str, Any]) -> str:
    """The container before the probe's that doesn't get done; empty where none keeps it.

    One that runs on beside the probe (restartPolicy Always) is done when it has started.
    """
    beside = [each["name"] for each in pod["spec"].get("initContainers") or [] if each.get("restartPolicy") == "Always"]
    for each in pod["status"].get("initContainerStatuses") or []:
        state = each.get("state") or {}
        if not each.get("ready") and not (each["name"] in beside and each.get("started")):
            why = (state.get("waiting") or state.get("terminated") or {}).get("reason") or "does not end"
            whose = "" if each["name"] in OWN else ", which somebody has added,"
            return f"its container {each['name']}{whose} comes first: {why}"
    return ""


def _unschedulable(pod: Mapping[str, Any]) -> str:
    """Why the scheduler finds no node; empty where it hasn't said so."""
    conditions = pod["status"].get("conditions") or []
    return next(
        (each.get("message") or "" for each in conditions if each["type"] == "PodScheduled" and each.get("reason") == "Unschedulable"),
        "",
    )
