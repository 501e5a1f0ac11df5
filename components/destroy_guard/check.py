"""Run by `pulumi destroy` before it deletes anything of a stack.

Fails when that would take something from somebody.

It fails while pods use a claim of the stack, and, where the namespace is the stack's own, while
that holds an object that isn't the stack's. Where it doesn't, the volumes of the stack's claims are
stamped: once the claims are gone, nothing else would say whose data a volume holds. A script of its
own, because a destroy doesn't run the program. Exit status: 0 go on, 1 refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the project folder: this file is run by its path
try:
    from components.kube import labels
    from components.kube.api import ApiError, Json, KubeApi, UnusableContext
    from components.kube.bindings import broken, claims_and_volumes, out_of_reach
    from components.kube.discovery import Discovery
    from components.kube.everywhere import METADATA, Candidate, in_every_namespace
    from components.kube.kept import NotKept, keep_listed
    from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
    from components.kube.ownership import stamp_volumes
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing in {sys.executable}; run `pulumi install` in the project folder.")

TIMEOUT = 20  # seconds for each request
SHOWN = 20  # objects of one kind of problem that a message lists

OUR_KINDS = {"PersistentVolumeClaim", "ResourceQuota"}  # what a stack makes in its namespace
CANARY_KINDS = {"ConfigMap", "Pod", "PersistentVolumeClaim"}  # what a stack and its canaries make in their namespace
PASSING_KINDS = {"Event"}  # records of what happened, which expire
# Kubernetes makes these in every namespace by itself.
GIVEN = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
# What else works than to delete what is in a namespace.
LET_GO = ",\nor let the stack go of the namespace: set `create: false` under storage-tiers:namespace and run `pulumi up`"
NO_CANARY = (
    ",\nor do without a canary: set `enabled: false` under storage-tiers:canary and run `pulumi up`, "
    "which deletes its namespace with what is in it"
)
TOKEN_OF = "kubernetes.io/service-account.name"


class Refusal(Exception):
    """Why the destroy must not go on, in the words that the user reads."""


@dataclass(frozen=True)
class Object:
    """What the check needs to know of any Kubernetes object."""

    kind: str
    name: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    owners: tuple[str, ...]
    managers: frozenset[str] = frozenset()
    """Who has written it: the managers of its `managedFields`."""
    path: str = ""
    """The path of the list of its kind in all namespaces."""

    @classmethod
    def of(cls, kind: str, metadata: dict[str, Any], path: str = "") -> Object:
        """From the object's `metadata`, as the API's JSON has it."""
        owners = tuple(owner["uid"] for owner in metadata.get("ownerReferences") or [])
        marks, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
        managers = frozenset(each.get("manager", "") for each in metadata.get("managedFields") or [])
        return cls(kind, metadata["name"], metadata.get("uid", ""), marks, notes, owners, managers, path)

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def is_ours(found: Object, instance: str, kinds: Set[str] = OUR_KINDS) -> bool:
    """Whether the stack `instance` made this object.

    It is of one of the `kinds` that the stack makes there, and has its labels.
    """
    return found.kind in kinds and labels.stack_of(found.labels) == instance


def is_given(found: Object) -> bool:
    """Whether Kubernetes itself keeps this object in every namespace, or lets it expire."""
    token = found.kind == "Secret" and found.annotations.get(TOKEN_OF) == "default"
    return token or found.kind in PASSING_KINDS or (found.kind, found.name) in GIVEN


def foreign(objects: Iterable[Object], instance: str, kinds: Set[str] = OUR_KINDS) -> list[Object]:
    """The objects that are somebody else's, without those that go with another one in the list.

    A StatefulSet's pods go with it. `kinds` are those that the stack makes there itself.
    """
    unique = {found.uid: found for found in objects}
    return sorted(
        (
            found
            for found in unique.values()
            if not is_ours(found, instance, kinds)
            and not is_given(found)
            and not (found.owners and all(owner in unique for owner in found.owners))
        ),
        key=str,
    )


def pods_using(pods: Iterable[dict[str, Any]], claims: set[str]) -> dict[str, list[str]]:
    """Of the pods that haven't finished, those that mount one of `claims`: name -> claims.

    `pods` are the API's JSON.
    """
    using: dict[str, list[str]] = {}
    for pod in pods:
        if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
            continue
        volumes = pod["spec"].get("volumes") or []
        mounted = sorted(
            {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume.get("persistentVolumeClaim")} & claims
        )
        if mounted:
            using[pod["metadata"]["name"]] = mounted
    return using


def open_api(context: str, instance: str) -> KubeApi:
    """The API of the context's cluster; raises Refusal when the kubeconfig doesn't have it."""
    renamed = ""
    try:
        kubeconfig = Kubeconfig.load()
        problem = "" if context in kubeconfig.contexts else f"no context {context!r} in {', '.join(map(str, kubeconfig.files))}"
        if kubeconfig.contexts:
            renamed = (
                f"\nIf it was renamed, and the settings of stack {instance} have the new name: `python -m ops heal --stack {instance}` "
                "writes that into the state."
            )
    except UnreadableKubeconfig as unreadable:
        problem = f"{unreadable.file} can't be read ({unreadable})"
    if problem:
        raise Refusal(
            f"the cluster can't be looked at: {problem}.\n"
            f"Set KUBECONFIG to a file with the context {context!r} (in this project's folder: `. .dev/env`).{renamed}"
        )
    return KubeApi(kubeconfig, context, timeout=TIMEOUT)


def namespace_exists(api: KubeApi, namespace: str) -> bool:
    """Whether there is such a namespace."""
    return api.find(f"/api/v1/namespaces/{namespace}") is not None


def objects_in(api: KubeApi, namespace: str) -> Iterator[Object]:
    """Every object of the namespace, of every kind that the API knows, only by its metadata."""
    for resource in Discovery(api).in_namespaces():
        if resource.kind in PASSING_KINDS or resource.base.startswith("/apis/metrics.k8s.io/"):  # readings, not objects
            continue
        try:
            found = api.get(resource.path(namespace), METADATA)
        except ApiError as problem:
            # a kind that was removed just now, or can't be listed after all
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                continue
            raise
        yield from (Object.of(resource.kind, item["metadata"], resource.path()) for item in found.get("items") or [])


def foreign_in(api: KubeApi, namespace: str, instance: str, kinds: Set[str], own: Set[str]) -> list[Object]:
    """The objects in a namespace that are somebody else's, without those that a controller puts
    into every namespace.

    `own` are the namespaces that the stack has made.
    """
    found = foreign(objects_in(api, namespace), instance, kinds)
    asked = [Candidate(each.kind, each.name, each.path, frozenset(each.labels), each.managers) for each in found]
    controllers = in_every_namespace(api, namespace, asked, own)
    return [each for each, candidate in zip(found, asked, strict=True) if candidate not in controllers]


def check(api: KubeApi, namespace: str, instance: str, namespace_is_ours: bool, canary_namespace: str | None = None) -> None:
    """Raise Refusal when claims are in use, or an own namespace holds somebody else's objects."""
    reasons = []
    hints = {}
    own = {*([namespace] if namespace_is_ours else []), *([canary_namespace] if canary_namespace else [])}
    both = False
    if namespace_exists(api, namespace):
        selector = labels.selector_of_stack(instance)
        claims = {
            claim["metadata"]["name"]
            for claim in api.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims?labelSelector={selector}")
        }
        using = pods_using(api.items(f"/api/v1/namespaces/{namespace}/pods"), claims)
        others = foreign_in(api, namespace, instance, OUR_KINDS, own) if namespace_is_ours else []
        if using:
            lines = _listed([f"pod/{pod} uses {', '.join(mounted)}" for pod, mounted in sorted(using.items())])
            reasons.append(f"Pods use claims of stack {instance} in namespace {namespace}:\n{lines}")
        if others:
            reasons.append(_others(namespace, others))
        if using or others:
            hints[namespace] = LET_GO if others else ""
    if canary_namespace and namespace_exists(api, canary_namespace):
        others = foreign_in(api, canary_namespace, instance, CANARY_KINDS, own)
        if others:
            reasons.append(_others(canary_namespace, others))
            both = LET_GO in hints.values()
            hints[canary_namespace] = NO_CANARY
    if not reasons:
        return
    advice = [
        f"Delete what is listed first, or what made it (`kubectl --context {api.context} -n {where} get all`; "
        f"a StatefulSet makes its pods again){more}."
        for where, more in hints.items()
    ]
    if both:
        advice.append("Where a controller puts back what is deleted, both settings are needed, and one `pulumi up`.")
    raise Refusal("\n".join([*reasons, *advice, "Then run `pulumi destroy` again. Nothing was deleted."]))


def _others(namespace: str, others: list[Object]) -> str:
    lines = _listed([str(found) for found in others])
    return f"Namespace {namespace} is deleted with the stack, and holds objects that are not the stack's:\n{lines}"


def _listed(lines: list[str]) -> str:
    more = [f"… and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])


def stamp(api: KubeApi, namespace: str, instance: str) -> None:
    """Stamp the volumes of the stack's claims.

    Where this user may not, the destroy goes on: the data is retained all the same.
    """
    try:
        stamp_volumes(api, namespace, instance)
    except ApiError as problem:
        print(
            f"Warning: the volumes of stack {instance} could not be labelled with what they hold ({problem.reason}). They are retained; "
            "to get them back later, name each one in the setting `adopt`.",
            file=sys.stderr,
        )


@cache
def stamped(api: KubeApi, namespace: str, instance: str) -> tuple[list[Json], list[Json]]:
    """The stack's claims and all volumes, read once, after they were stamped. Raises ApiError."""
    return claims_and_volumes(api, namespace, instance)


def keep(api: KubeApi, namespace: str, instance: str) -> None:
    """Declare the data of volumes again that are being deleted, and so would go with their claims.

    Raises Refusal where this user may not.
    """
    try:
        for kept in keep_listed(api, *stamped(api, namespace, instance), instance):
            print(f"Volume {kept}.", file=sys.stderr)
    except NotKept as problem:
        raise Refusal(
            f"Volume {problem.volume} is being deleted, and goes with claim {namespace}/{problem.claim}. Its data stays, but nothing would "
            f"say where that is:\nit could not be declared again ({problem.reason}).\n"
            "Use a context that may create persistentvolumes. Or write down where the data is, and delete that claim yourself:\n"
            f"  kubectl --context {api.context} get pv {problem.volume} -o yaml > {problem.volume}.yaml\n"
            f"  kubectl --context {api.context} -n {namespace} delete pvc {problem.claim}\n"
            "Then run `pulumi destroy` again. Nothing was deleted."
        ) from None
    except ApiError:
        pass  # volumes may not be read: that was said when they were to be stamped


def warn(api: KubeApi, namespace: str, instance: str) -> None:
    """Say of which claims the volume is gone, or can't be reached, before the claims go."""
    try:
        claims, volumes = stamped(api, namespace, instance)
        nodes = api.items("/api/v1/nodes") if volumes else []
    except ApiError:
        return  # a warning is no reason to refuse
    for each in broken(claims, volumes):
        if each.gone:
            where = f", on node {each.node}" if each.node else ""
            print(f"Warning: {each.fact}. What is left of its data is in no list{where}.", file=sys.stderr)
    for found in out_of_reach(claims, volumes, nodes):
        if found.where.missing:
            print(f"Warning: the volume {found.volume['metadata']['name']} {found.where.fact}. It is retained.", file=sys.stderr)


def refused(why: str) -> int:
    """Say why on stderr, which the command plugin shows; the exit status."""
    print(f"The deletion was refused.\n{why}", file=sys.stderr)
    return 1


def main(arguments: list[str]) -> int:
    """Run the check from the command line.

    The exit status is 1 for a refusal, which is explained on stderr.
    """
    parser = argparse.ArgumentParser(prog="check.py", description=__doc__)
    parser.add_argument("operation", choices=["destroy"])
    parser.add_argument("--context", required=True)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--instance", required=True)
    parser.add_argument("--namespace-is-ours", action="store_true")
    parser.add_argument("--canary-namespace")
    given = parser.parse_args(arguments)
    try:
        api = open_api(given.context, given.instance)
        check(api, given.namespace, given.instance, given.namespace_is_ours, given.canary_namespace)
        stamp(api, given.namespace, given.instance)
        keep(api, given.namespace, given.instance)
        warn(api, given.namespace, given.instance)
    except Refusal as refusal:
        return refused(str(refusal))
    except ApiError as problem:
        if isinstance(problem, UnusableContext):
            return refused(f"the cluster of context {given.context!r} can't be asked: {problem}.\nNothing was deleted.")
        if problem.status is None:
            return refused(
                f"the cluster of context {given.context!r} does not answer ({problem}), so it can't be told whether its claims are in "
                "use.\nStart it (`make up` for the dev cluster) and try again. If the cluster is gone for good: `pulumi stack rm --force`."
            )
        return refused(
            f"the API of context {given.context!r} answered {problem.reason}, so it can't be told whether something in namespace "
            f"{given.namespace} is in use.\nUse a context that may read the namespace. Nothing was deleted."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
