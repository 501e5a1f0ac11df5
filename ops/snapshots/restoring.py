"""Restoring a set: volumes are made from its snapshots beside everything that is there, and then
reserved for the service's claims, as an adoption reserves old ones.

No claim that holds data is touched, and no volume. A restore that was interrupted goes on where it
stopped: what is made is found again by its name, or by the snapshot that it says it is from.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from http import HTTPStatus

from components.canary.signals import undisturbed
from components.kube import labels
from components.kube.api import Json
from components.kube.attributes import taken_off
from components.kube.errors import ApiError
from components.kube.node_affinity import served_by
from components.kube.ownership import BOUND_BY_CONTROLLER
from ops.console import Step, step
from ops.errors import UserError
from ops.snapshots import manifests
from ops.snapshots.sets import MANAGER, SET, SnapshotSet
from ops.snapshots.targets import FROM, Restored, is_made, plan
from ops.volumes.found import claim_reference
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes
from ops.volumes.volume import Reference, Volume
from ops.volumes.wanted import Wanted

MADE = 900  # seconds for volumes to be made, attached and mounted: a cloud fills some of them first
GONE = 120  # seconds for pods to end, and for their claims to go


def restore(stack: StackVolumes, found: SnapshotSet) -> list[Wanted]:
    """Make a volume of each snapshot of a set, and reserve it for its claim.

    Returns the claims.

    Raises UserError, before anything is made where a claim holds data, and ApiError.
    """
    seen = stack.look()
    targets = plan(stack, found, seen)
    to_make = [each for each in targets if each.made is None]
    if to_make:
        _make(stack, found, to_make, seen)
    for each in targets:
        _reserve(stack, each)
    return [each.wanted for each in targets]


def _make(stack: StackVolumes, found: SnapshotSet, targets: list[Restored], seen: ObservedVolumes) -> None:
    for each in targets:
        there = stack.api.kube.find(_path(each.temporary, "pods"))
        if there and labels.of(there).get(labels.MANAGED_BY) != MANAGER:
            raise UserError(f"a pod {each.temporary} is there that this didn't make.", "Delete or rename it, then try again.")
    with step(f"Set {found.name}: restoring {len(targets)} volumes") as shown:
        for each in targets:
            _claim_for(stack, each)
        try:
            for each in targets:
                terms = each.part.node_terms if served_by(each.part.node_terms, seen.nodes) else ()
                _create(stack, each, "pods", manifests.pod(stack.settings, each.wanted, each.part.name, each.moment, terms))
            _until(lambda: _left(stack, targets, shown), MADE, partial(_not_mounted, stack))
        finally:
            with undisturbed():
                _delete_pods(stack, targets)
        for each in targets:
            _release(stack, each)


def _left(stack: StackVolumes, targets: list[Restored], shown: Step) -> list[Restored]:
    """Those whose pod has not mounted its volume yet."""
    left = []
    for each in targets:
        pod = stack.api.kube.find(_path(each.temporary, "pods"))
        phase = ((pod or {}).get("status") or {}).get("phase")
        if pod is None or phase == "Failed":
            status = (pod or {}).get("status") or {}
            raise UserError(
                f"{each.wanted}: the pod {each.temporary} that mounts the restored volume "
                + (f"failed: {status.get('reason') or ''} {status.get('message') or ''}".rstrip() if pod else "was deleted by somebody")
                + ".",
                _again(each),
            )
        if phase != "Succeeded":
            left.append(each)
    shown.detail = f"{len(targets) - len(left)} mounted"
    return left


def _not_mounted(stack: StackVolumes, left: list[Restored]) -> UserError:
    lines = [f"these volumes were not made and mounted in {MADE / 60:.0f} minutes:"]
    for each in left:
        lines.append(f"  {each.wanted}, in claim {each.temporary}")
        lines += [f"    {line}" for line in stack.api.last_events(each.wanted.namespace, each.temporary.name)]
    return UserError("\n".join(lines), _again(left[0]))


def _again(each: Restored) -> str:
    return (
        "Run the same command again: it goes on where this one stopped. Or give it up: "
        f"`kubectl -n {each.wanted.namespace} delete pvc -l {labels.MANAGED_BY}={MANAGER},{labels.NAME}={each.wanted.service},"
        f"{SET}={each.moment}`. The set stays. A volume that was made is retained where its reclaim policy is Retain, and goes "
        "with that claim where it is Delete."
    )


def _claim_for(stack: StackVolumes, each: Restored) -> None:
    """Make the temporary claim; one that an earlier run has made is taken. Raises UserError."""
    there = stack.api.kube.find(_path(each.temporary, "persistentvolumeclaims"))
    if there is None:
        _create(stack, each, "persistentvolumeclaims", manifests.temporary_claim(each.wanted, each.part.name, each.moment, each.size))
        return
    source = there["spec"].get("dataSource") or {}
    if labels.of(there).get(labels.MANAGED_BY) != MANAGER or source.get("name") != each.part.name:
        raise UserError(f"a claim {each.temporary} is there that this didn't make.", "Delete or rename it, then try again.")
    if there["metadata"].get("deletionTimestamp"):
        raise UserError(f"the claim {each.temporary} of an earlier restore is being deleted.", "Try again when it is gone.")


def _create(stack: StackVolumes, each: Restored, resource: str, manifest: Json) -> None:
    namespace = each.temporary.namespace
    try:
        stack.api.kube.create(f"/api/v1/namespaces/{namespace}/{resource}", manifest)
    except ApiError as problem:
        if problem.status == HTTPStatus.CONFLICT:
            return  # of a run that was interrupted: the same
        if problem.status == HTTPStatus.FORBIDDEN and "exceeded quota" in problem.message:
            raise UserError(
                f"there is no room in the quota for {each.temporary.name}: {problem.message}",
                f"`pulumi config set --stack {stack.settings.stack} --path services.{each.wanted.service}.restores 1`, "
                "`pulumi up`, then again.",
            ) from None
        raise


def _delete_pods(stack: StackVolumes, targets: list[Restored]) -> None:
    kube = stack.api.kube
    for each in targets:
        kube.delete(_path(each.temporary, "pods"), grace=1)

    def there() -> list[Restored]:
        return [each for each in targets if kube.find(_path(each.temporary, "pods"))]

    _until(there, GONE, lambda left: UserError(f"pods are not gone in {GONE} s: {', '.join(str(each.temporary) for each in left)}."))


def _release(stack: StackVolumes, each: Restored) -> None:
    """Stamp the volume while it is bound, then delete the temporary claim, which retains it."""
    kube = stack.api.kube
    path = _path(each.temporary, "persistentvolumeclaims")
    claim = kube.get(path)
    name = claim["spec"]["volumeName"]
    volume = kube.get(f"/api/v1/persistentvolumes/{name}")
    if (volume["spec"].get("claimRef") or {}).get("uid") != claim["metadata"]["uid"]:
        raise UserError(f"volume {name} isn't that of claim {each.temporary}, which names it.", _again(each))
    body = {
        "metadata": {
            "resourceVersion": volume["metadata"]["resourceVersion"],
            "labels": each.wanted.stamp.labels,
            "annotations": {FROM: each.part.uid, **taken_off(each.part.attributes_class)},
        },
        "spec": {"persistentVolumeReclaimPolicy": "Retain"},
    }
    if not stack.api.change_volume(name, body):
        raise UserError(f"volume {name} was changed by somebody meanwhile.", _again(each))
    kube.delete(path, uid=claim["metadata"]["uid"])
    late = UserError(f"the claim {each.temporary} is not gone in {GONE} s: does a pod use it?", _again(each))
    _until(lambda: [each] if kube.find(path) else [], GONE, lambda _: late)


def _reserve(stack: StackVolumes, each: Restored) -> None:
    """Reserve the volume for the stack's claim, as soon as the controller has let it go."""
    end = time.monotonic() + GONE
    while time.monotonic() < end:
        found = next((volume for volume in map(Volume.of, stack.api.volumes()) if is_made(volume, each.wanted, each.part)), None)
        if found and found.reserved:
            return
        if found:
            body = {
                "metadata": {"resourceVersion": found.version, "annotations": {BOUND_BY_CONTROLLER: None}},
                "spec": {"claimRef": {**claim_reference(each.wanted), "uid": None, "resourceVersion": None}},
            }
            if stack.api.change_volume(found.name, body):
                return
        time.sleep(0.3)
    raise UserError(f"the volume restored for {each.wanted} could not be reserved.", _again(each))


def _until(left: Callable[[], list[Restored]], seconds: float, late: Callable[[list[Restored]], UserError]) -> None:
    end = time.monotonic() + seconds
    while still := left():
        if time.monotonic() > end:
            raise late(still)
        time.sleep(0.3)


def _path(claim: Reference, resource: str) -> str:
    return f"/api/v1/namespaces/{claim.namespace}/{resource}/{claim.name}"
