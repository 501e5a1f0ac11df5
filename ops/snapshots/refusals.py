"""Why a service's volumes can't be snapshotted, each with what to do instead."""

from __future__ import annotations

from http import HTTPStatus

from components.kube.errors import ApiError
from components.provisioners import SNAPSHOT_API
from ops.command_line import option_of
from ops.errors import UserError
from ops.snapshots.sets import SnapshotSet, find_sets, set_called
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes

_CLASSES = f"/apis/{SNAPSHOT_API}/volumesnapshotclasses"
_INSTALL = "It needs external-snapshotter's CRDs and controller: on EKS its add-on, on GKE they are there (docs/snapshots.md)."


def services_of(stack: StackVolumes, chosen: tuple[str, ...]) -> list[str]:
    """The services that were named, or all. Raises UserError for an unknown one."""
    known = list(stack.settings.services)
    unknown = [name for name in chosen if name not in known]
    if unknown:
        raise UserError(f"--service {unknown[0]}: stack {stack.settings.stack} has no such service.", f"Its services: {', '.join(known)}.")
    if not known:
        raise UserError(f"stack {stack.settings.stack} has no services, so there is nothing to take a snapshot of.")
    return list(dict.fromkeys(chosen)) or known


def refuse_without_driver(stack: StackVolumes, services: list[str], seen: ObservedVolumes) -> None:
    """Raise UserError where the stack's driver has no snapshots, with what copies a volume."""
    if not stack.settings.provisioner.tied_to_node:
        return
    name, service = stack.settings.provisioner.name, next(iter(services), "")
    lines = [f"{name} has no snapshots: its volumes are folders of a node."]
    hint = [f"Copy them while {service} is stopped. The copy comes back by the setting `adopt` (docs/snapshots.md):"]
    hint.append(f"  kubectl -n {stack.namespace} scale statefulset {service} --replicas=0")
    pods = " ".join(f"pod/{service}-{wanted.ordinal}" for wanted in stack.wanted if wanted.service == service)
    hint.append(f"  kubectl -n {stack.namespace} wait --for=delete {pods} --timeout=180s")
    claims = {claim["metadata"]["name"]: claim["spec"].get("volumeName") for claim in seen.claims}
    volumes = {volume.name: volume for volume in seen.volumes if volume.exists}
    for wanted in (each for each in stack.wanted if each.service == service):
        volume = volumes.get(claims.get(wanted.name) or "")
        if volume and volume.location.path:
            folder, _, _ = volume.location.path.rpartition("/")
            hint.append(f"  sudo cp -a {volume.location.path} {folder}/{service}-{wanted.ordinal}-copy   # on node {volume.node or '?'}")
    if len(hint) == 3:
        hint = [f"No claim of {service} has a volume yet: there is nothing to copy. docs/snapshots.md says how it is done."]
    if len(services) > 1:
        hint.append(f"For {', '.join(services[1:])}: `python -m ops snapshot --service {services[1]}{option_of(stack.settings.stack)}`")
    raise UserError("\n".join(lines), "\n".join(hint))


def refuse_without_class(stack: StackVolumes, services: list[str]) -> None:
    """Raise UserError where a service's tier has no `snapshots` in the settings, or the cluster
    doesn't have what that needs.
    """
    settings = stack.settings
    tiers = dict.fromkeys(settings.services[service].tier for service in services)
    for tier in tiers:
        if settings.provisioner.snapshot_class(settings.tiers[tier].parameters) is None:
            raise UserError(
                f"tiers.{tier} has no `snapshots`: it has no VolumeSnapshotClass.",
                f"`pulumi config set --stack {settings.stack} --path tiers.{tier}.snapshots.deletionPolicy Retain`, then "
                f"`pulumi up`. {_INSTALL}",
            )
    for tier in tiers:
        name = settings.tiers[tier].class_name
        try:
            found = stack.api.kube.get(_CLASSES)["items"]
        except ApiError as problem:
            raise _without_snapshots(problem) from None
        if name not in [each["metadata"]["name"] for each in found]:
            raise UserError(f"the VolumeSnapshotClass {name} isn't in the cluster.", "`pulumi up` makes it.")


def sets_of(stack: StackVolumes) -> list[SnapshotSet]:
    """The stack's sets, the newest first.

    Raises UserError where there can be none, and ApiError.
    """
    refuse_without_driver(stack, list(stack.settings.services), stack.look())
    try:
        return find_sets(stack.api.kube, stack.namespace, stack.settings.stack)
    except ApiError as problem:
        raise _without_snapshots(problem) from None


def chosen_set(stack: StackVolumes, name: str) -> SnapshotSet:
    """The set of this name. Raises UserError where there is none."""
    return set_called(sets_of(stack), name, stack.settings.stack)


def _without_snapshots(problem: ApiError) -> Exception:
    """What a person is told where the cluster knows no snapshots; else the problem itself."""
    if problem.status == HTTPStatus.NOT_FOUND:
        return UserError(f"the cluster has no snapshots: it doesn't know {SNAPSHOT_API}.", _INSTALL)
    return problem
