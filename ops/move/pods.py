"""The pods of a move: each mounts one claim, and runs the program beside its data.

They are root, because a volume's files are anybody's, with as few capabilities as that takes
(docs/decisions/0020-moves.md). Pod Security level `baseline` admits them, `restricted` doesn't.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from components.canary import objects
from components.canary.events import events_about
from components.canary.manifests import CONTAINER, MOUNT, container, metadata_of, pod_spec
from components.canary.plan import OTHER_IMAGE
from components.canary.pods import ProbePod
from components.canary.watch import PodStart, StartWatch, Timeouts
from components.canary.words import NotProven
from components.kube import labels
from components.kube.api import Json, KubeApi
from components.kube.errors import ApiError
from components.settings import Settings
from ops.errors import UserError
from ops.move.conversation import Broken
from ops.move.process import InPod

MOVE = "storage-tiers/move"  # the label with a move's ID
RUN = "storage-tiers/move-run"  # the label with the ID of one run of it: two machines may be at it
MANAGER = "storage-tiers-move"
PROGRAM = "mover.py"
KEEPER = "keeper.py"
FOLDER = "/move"
IDLE = 300  # seconds after which a pod ends in which nothing runs
DELETION = 60  # seconds for a pod to go
READING = ("DAC_OVERRIDE",)  # what it takes to read anybody's files, at level baseline
WRITING = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID")
RESOURCES = {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "2", "memory": "512Mi"}}
# What a move asks for in a namespace: verb, resource (with its subresource), API group.
RIGHTS = (
    ("get", "persistentvolumeclaims", ""),
    *((verb, "pods", "") for verb in ("get", "list", "create", "delete")),
    *((verb, "configmaps", "") for verb in ("list", "create", "delete")),
    ("create", "pods/exec", ""),
    ("get", "pods/exec", ""),
    ("list", "events", ""),
    ("list", "statefulsets", "apps"),
)
_POD_SECURITY = "violates PodSecurity"


def files() -> dict[str, str]:
    """What is put into a pod, by its name in the folder."""
    found = [Path(__file__).with_name(KEEPER), *sorted(program().parent.glob("*.py"))]
    return {file.name: file.read_text(encoding="utf-8") for file in found}


def program() -> Path:
    """The program that reads and writes, which runs on this machine as well."""
    return Path(__file__).parent / "program" / PROGRAM


def move_labels(stack: str, move: str, run: str) -> dict[str, str]:
    """Labels of everything that a move makes: it is found and known by them."""
    return {**labels.of_stack(stack), labels.NAME: "move", labels.MANAGED_BY: MANAGER, MOVE: move, RUN: run}


def selector(move: str, run: str = "") -> str:
    """The label selector for these, of all runs or of one."""
    return f"{labels.MANAGED_BY}={MANAGER},{MOVE}={move}{f',{RUN}={run}' if run else ''}"


def manifest(settings: Settings, move: str, role: str, claim: str, *, writes: bool, run: str = "") -> Json:
    """A pod that mounts a claim, read-only unless it `writes`."""
    asked = settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    name = f"move-{move}-{role}"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata_of(name, settings.namespace.name, move_labels(settings.stack, move, run), asked),
        "spec": {
            # No fsGroup: the kubelet would change the owner of every file.
            **pod_spec(asked, {"runAsUser": 0, "runAsGroup": 0}),
            "containers": [
                container(
                    CONTAINER,
                    settings.canary.image,
                    ["python3", "-IB", f"{FOLDER}/{KEEPER}", str(IDLE)],
                    asked.get("resources", RESOURCES),
                    [
                        {"name": "volume", "mountPath": MOUNT, "readOnly": not writes},
                        {"name": "program", "mountPath": FOLDER, "readOnly": True},
                    ],
                    capabilities=WRITING if writes else READING,
                )
            ],
            "volumes": [
                {"name": "volume", "persistentVolumeClaim": {"claimName": claim}},
                {"name": "program", "configMap": {"name": name}},
            ],
        },
    }


@dataclass
class MovePod:
    """A running pod of a move. `role` is source, target or read-back."""

    api: KubeApi
    settings: Settings
    pod: ProbePod
    role: str
    claim: str

    @classmethod
    def start(cls, api: KubeApi, settings: Settings, move: str, role: str, claim: Json, *, run: str, writes: bool = False) -> MovePod:
        """Make the pod, and wait until it runs.

        What an earlier run has left was swept. Raises UserError, also where another run has begun
        since, and ApiError.
        """
        made = manifest(settings, move, role, claim["metadata"]["name"], writes=writes, run=run)
        return cls(api, settings, start(api, settings, made, files(), claim=claim, run=run), role, claim["metadata"]["name"])

    def run(self, *arguments: str) -> InPod:
        """Run the program with these arguments, on the volume. Raises Broken and ApiError."""
        if self.pod.find() is None:
            raise Broken(f"{self.name} was deleted by somebody", passing=True)
        command = ["python3", "-IB", f"{FOLDER}/{PROGRAM}", arguments[0], "--root", MOUNT, *arguments[1:]]
        started = InPod(self.api, self.pod.path, CONTAINER, command)
        started.name = f"{self.name} (claim {self.claim})"
        return started

    def has_ended(self) -> bool:
        """Whether it has ended by itself, because nothing ran in it for IDLE seconds."""
        found = self.pod.find()
        return found is not None and found.get("status", {}).get("phase") == "Succeeded"

    @property
    def name(self) -> str:
        """For people."""
        return f"pod {self.pod.namespace}/{self.pod.name}"

    def remove(self) -> None:
        """Delete it and its files, and wait until its volume is unmounted. Raises UserError."""
        try:
            self.pod.remove(DELETION)
        except NotProven as problem:
            raise UserError(f"{problem.sentence}") from None
        self.api.delete(objects.namespaced(self.pod.namespace, "configmaps", self.pod.name))


def start(
    api: KubeApi,
    settings: Settings,
    made: Json,
    data: Mapping[str, str],
    *,
    claim: Json,
    run: str,
    other_image: str = OTHER_IMAGE,
    look: Callable[[Json], None] = lambda _: None,
) -> ProbePod:
    """Make a pod for a claim, with its files `data`, and wait until it runs.

    `other_image` is what to do about an image that can't be pulled. `look` gets the pod as long as
    it doesn't run, and may raise. Raises UserError, also where another run has made it, and
    ApiError.
    """
    namespace, name = settings.namespace.name, claim["metadata"]["name"]
    script = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": made["metadata"], "data": data, "immutable": True}
    _check_own(objects.create(api, objects.namespaced(namespace, "configmaps"), script), run)
    try:
        pod = ProbePod.create(api, made)
    except ApiError as problem:
        raise refused(problem, settings) from None
    _check_own(api.get(pod.path), run)
    image = made["spec"]["containers"][0]["image"]
    started = PodStart(api.context, namespace, name, claim["spec"].get("storageClassName", ""), image, other_image)
    uids = {pod.uid, claim["metadata"]["uid"]}
    watch = StartWatch(api, started, created=pod.created, timeouts=Timeouts(), events=lambda: events_about(api, namespace, uids))
    try:
        while not watch.has_started(found := pod.read()):
            look(found)
            time.sleep(objects.POLL)
    except NotProven as problem:
        raise UserError(f"claim {namespace}/{name}: {problem.sentence}", problem.hint) from None
    return pod


def _check_own(found: Json, run: str) -> None:
    """An object that was there already is another run's. Raises UserError."""
    if labels.of(found).get(RUN) != run:
        where = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
        raise UserError(f"another machine runs this move right now: {where} is its own.", "Wait until it has ended, and run this again.")


def sweep(api: KubeApi, namespace: str, move: str, *, run: str = "", wait: bool = True) -> None:
    """Delete what a move has in a namespace, or one run of it, and wait until it is gone.

    Raises UserError.
    """
    end = time.monotonic() + DELETION
    while True:
        pods = api.items(objects.namespaced(namespace, "pods", selector=selector(move, run)))
        maps = api.items(objects.namespaced(namespace, "configmaps", selector=selector(move, run)))
        for resource, found in (("pods", pods), ("configmaps", maps)):
            for each in found:
                api.delete(objects.namespaced(namespace, resource, each["metadata"]["name"]), uid=each["metadata"]["uid"], grace=1)
        if not wait or not (pods or maps):
            return
        if time.monotonic() > end:
            names = ", ".join(each["metadata"]["name"] for each in [*pods, *maps])
            raise UserError(
                f"what an earlier run of this move has left does not go: {names} in namespace {namespace}.",
                f"A pod whose storage doesn't answer can't end before it does: `kubectl --context {api.context} -n {namespace} describe "
                f"pods -l {selector(move)}` names its volume and node.",
            )
        time.sleep(objects.POLL)


def try_out(api: KubeApi, settings: Settings, move: str, role: str, claim: str, *, writes: bool) -> None:
    """Ask the API whether it would admit such a pod, without making it. Raises UserError."""
    made = manifest(settings, move, role, claim, writes=writes)
    try:
        api.create(f"{objects.namespaced(settings.namespace.name, 'pods')}?dryRun=All", made)
    except ApiError as problem:
        if problem.status != HTTPStatus.CONFLICT:
            raise refused(problem, settings) from None


def refused(problem: ApiError, settings: Settings) -> Exception:
    """Why a pod wasn't admitted, in words; the problem itself where that says more."""
    if _POD_SECURITY not in problem.message:
        return problem
    namespace, context = settings.namespace.name, settings.cluster.context
    label = "pod-security.kubernetes.io/enforce"
    return UserError(
        f"namespace {namespace} admits no pod of a move: {problem.message}",
        "It runs as root with DAC_OVERRIDE, to write with CHOWN, FOWNER and FSETID as well, which level baseline admits. For the time of "
        f"the move: `kubectl --context {context} label namespace {namespace} {label}=baseline --overwrite`.",
    )


def missing_rights(api: KubeApi, namespace: str, rights: Sequence[tuple[str, str, str]] = RIGHTS) -> list[str]:
    """Those of them that the user lacks: `create pods`, …"""
    lacking = []
    for verb, resource, group in rights:
        what, _, sub = resource.partition("/")
        asked: dict[str, Any] = {"namespace": namespace, "verb": verb, "resource": what, "group": group}
        if sub:
            asked["subresource"] = sub
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": asked}}
        answer = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        if not (answer.get("status") or {}).get("allowed"):
            lacking.append(f"{verb} {resource}")
    return lacking


def lacking(api: KubeApi, namespace: str, what: str, rights: Sequence[tuple[str, str, str]] = RIGHTS) -> list[str]:
    """A sentence where the user lacks rights that `what` takes in a namespace. Raises ApiError."""
    missing = missing_rights(api, namespace, rights)
    where = f"context {api.context!r} lacks rights in namespace {namespace}"
    return [f"{where} that {what} takes: {', '.join(missing)}"] if missing else []


def claim_path(namespace: str, claim: str) -> str:
    """Where a claim is in the API."""
    return objects.namespaced(namespace, "persistentvolumeclaims", quote(claim))
