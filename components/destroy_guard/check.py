"""Run by `pulumi destroy` before it deletes anything of a stack.

Fails when that would take something from somebody.

It fails while pods use a claim of the stack, or a move that isn't proven yet copies it, and, where
the namespace is the stack's own, while that holds an object that isn't the stack's. Where it
doesn't, the volumes of the stack's claims are stamped: once the claims are gone, nothing else would
say whose data a volume holds. A script of its own, because a destroy doesn't run the program. Exit
status: 0 go on, 1 refused.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # one short run: to look for garbage, and once more at its end, costs a fifth of the time

import argparse
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # the project folder: this file is run by its path
try:
    from components import moves
    from components.kube import attributes, labels
    from components.kube.api import ApiError, Json, KubeApi, UnusableContext
    from components.kube.belonging import CANARY_KINDS, OUR_KINDS, Object, foreign, foreign_in
    from components.kube.bindings import broken, claims_and_volumes, out_of_reach
    from components.kube.kept import NotKept, keep_listed
    from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
    from components.kube.mounts import claims_mounted_by
    from components.kube.ownership import stamp_volumes
except ImportError as missing:
    sys.exit(f"error: the Python package {missing.name} is missing in {sys.executable}; run `pulumi install` in the project folder.")

__all__ = ["Object", "Refusal", "check", "foreign", "keep", "main", "pods_using", "stamp", "warn"]

TIMEOUT = 20  # seconds for each request
SHOWN = 20  # objects of one kind of problem that a message lists

# What else works than to delete what is in a namespace.
LET_GO = ",\nor let the stack go of the namespace: set `create: false` under storage-tiers:namespace and run `pulumi up`"
NO_CANARY = (
    ",\nor do without a canary: set `enabled: false` under storage-tiers:canary and run `pulumi up`, "
    "which deletes its namespace with what is in it"
)


class Refusal(Exception):
    """Why the destroy must not go on, in the words that the user reads."""


def pods_using(pods: Iterable[dict[str, Any]], claims: set[str]) -> dict[str, list[str]]:
    """Of the pods that haven't finished, those that mount one of `claims`: name -> claims.

    `pods` are the API's JSON.
    """
    using: dict[str, list[str]] = {}
    for pod in pods:
        mounted = sorted(claims_mounted_by(pod) & claims)
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
            f"Set KUBECONFIG to a file with the context {context!r} (the dev cluster's: `make up`, then `. .dev/env`).{renamed}"
        )
    return KubeApi(kubeconfig, context, timeout=TIMEOUT)


def namespace_exists(api: KubeApi, namespace: str) -> bool:
    """Whether there is such a namespace."""
    return api.find(f"/api/v1/namespaces/{namespace}") is not None


def check(api: KubeApi, namespace: str, instance: str, namespace_is_ours: bool, canary_namespace: str | None = None) -> None:
    """Raise Refusal when claims are in use, or a move of them isn't proven, or an own namespace
    holds somebody else's objects.
    """
    reasons = []
    hints = {}
    moving = []
    own = {*([namespace] if namespace_is_ours else []), *([canary_namespace] if canary_namespace else [])}
    both = False
    if namespace_exists(api, namespace):
        selector = labels.selector_of_stack(instance)
        claims = {
            claim["metadata"]["name"]: claim["metadata"]["uid"]
            for claim in api.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims?labelSelector={selector}")
        }
        moving = moves_from(claims, instance)
        reasons += moving
        using = pods_using(api.items(f"/api/v1/namespaces/{namespace}/pods"), set(claims))
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
    if moving:
        advice.insert(
            0,
            "Finish a move by its command, which goes on where it was. Or give it up: one with --live by that command with --cancel, any "
            "other by removing its folder.",
        )
    if both:
        advice.append("Where a controller puts back what is deleted, both settings are needed, and one `pulumi up`.")
    raise Refusal("\n".join([*reasons, *advice, "Then run `pulumi destroy` again. Nothing was deleted."]))


def moves_from(claims: Mapping[str, str], instance: str) -> list[str]:
    """Why claims, UIDs by names, are still needed: moves that copy them, and aren't proven.

    Such a move couldn't go on: it knows its source by the claim. What of moves can't be read is
    said, and is no reason: the data is retained.
    """
    lines = []
    try:
        for folder, record in moves.records():
            if record is None:
                print(f"Warning: {folder} can't be read: which volume that move is about isn't known.", file=sys.stderr)
                continue
            found = {name: again for name, uid in claims.items() if (again := moves.unproven(folder, record, uid))}
            lines += [f"{name}: `{again.command}` ({again.folder})" for name, again in sorted(found.items())]
    except (OSError, RuntimeError) as problem:  # RuntimeError: this user has no home
        print(f"Warning: which moves aren't proven can't be read ({problem}).", file=sys.stderr)
    return [f"What is moved out of stack {instance} isn't proven yet:\n{_listed(lines)}"] if lines else []


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


def attributes_classes(api: KubeApi, namespace: str, instance: str, left: bool) -> None:
    """Delete the stack's VolumeAttributesClasses that nothing names, and say which stay.

    One that a claim or a volume names can't go: the cluster keeps it, and a retained volume names
    it for good. `left`: the state says that Pulumi leaves them. In a state from before, Pulumi
    would delete them, and fail: raises Refusal for one that can't go. A stack that has moved to
    another namespace keeps all of them: there this guard is replaced, and nothing is destroyed.
    """
    try:
        found = [attributes.AttributesClass.of(each) for each in api.items(attributes.PATH)]
        ours = [each.name for each in found if each.stack == instance]
        if not ours:
            return
        claims = api.items("/api/v1/persistentvolumeclaims")
        if has_moved(claims, namespace, instance):
            return
        used = attributes.users(claims, api.items("/api/v1/persistentvolumes"))
        if not left:
            if any(name in used for name in ours):
                lines = _listed([f"{name}: {', '.join(used[name][:SHOWN])}" for name in ours if name in used])
                raise Refusal(
                    f"These VolumeAttributesClasses of stack {instance} are in use, and can't be deleted:\n{lines}\n"
                    "The stack's state is from an older version, which would try. Run `pulumi up` once: then a destroy leaves what is in "
                    "use. Nothing was deleted."
                )
            return
        for name in ours:
            if name in used:
                print(f"VolumeAttributesClass {name} stays: {', '.join(used[name][:SHOWN])}. The next `pulumi up` has it.", file=sys.stderr)
            else:
                api.delete(f"{attributes.PATH}/{name}")
    except ApiError as problem:
        if problem.status not in (None, HTTPStatus.NOT_FOUND):  # a cluster that has no such kind
            print(
                f"Warning: the VolumeAttributesClasses of stack {instance} stay, used or not ({problem.reason}). They are listed by "
                f"`kubectl --context {api.context} get volumeattributesclasses -l {labels.selector_of_stack(instance)}`.",
                file=sys.stderr,
            )


def has_moved(claims: Iterable[Json], namespace: str, instance: str) -> bool:
    """Whether the stack has claims in another namespace than this one, besides a canary's."""
    return any(
        labels.stack_of(labels.of(each)) == instance
        and each["metadata"].get("namespace") != namespace
        and not labels.are_of_canary(labels.of(each))
        for each in claims
    )


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
    parser.add_argument("--keeps-attributes", action="store_true")
    given = parser.parse_args(arguments)
    try:
        api = open_api(given.context, given.instance)
        check(api, given.namespace, given.instance, given.namespace_is_ours, given.canary_namespace)
        stamp(api, given.namespace, given.instance)
        keep(api, given.namespace, given.instance)
        warn(api, given.namespace, given.instance)
        attributes_classes(api, given.namespace, given.instance, given.keeps_attributes)
    except Refusal as refusal:
        return refused(str(refusal))
    except ApiError as problem:
        if isinstance(problem, UnusableContext):
            return refused(f"the cluster of context {given.context!r} can't be asked: {problem}.\nNothing was deleted.")
        if problem.status is None:
            mend = problem.remedy or "Start it (`make up` for the dev cluster) and try again."
            return refused(
                f"the cluster of context {given.context!r} does not answer ({problem}), so it can't be told whether its claims are in "
                f"use.\n{mend} If the cluster is gone for good: `pulumi stack rm --force`."
            )
        return refused(
            f"the API of context {given.context!r} answered {problem.reason}, so it can't be told whether something in namespace "
            f"{given.namespace} is in use.\nUse a context that may read the namespace. Nothing was deleted."
        )
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        gc.freeze()
