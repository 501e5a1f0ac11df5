"""What a merge would do to what is there: the plan of the base against the plan of the head, both as desired states.

It takes the base for what runs now. What is really there is for a preview with the stack's state to say, and for the program's own
checks; a review needs neither. The rules by which an object is replaced are Kubernetes', the plugin's and the program's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.kube.quantity import bytes_of
from review.plan import Planned, PreviewPlan

Action = Literal["create", "change", "replace", "delete", "release"]

CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE = "kubernetes:core/v1:Namespace"
COMMAND = "command:local:Command"
PROVIDER = "pulumi:providers:kubernetes"
NAMESPACE_COMPONENT = "storage-tiers:index:ServiceNamespace"

_NAMES = ("metadata.name", "metadata.namespace")  # of every object (pulumi-kubernetes, provider/pkg/provider/diff.go)

# By type, the fields of which another value means another object. Of a class the plugin knows the first two; of the other two the
# program says so itself (replace_on_changes in components/storage_tier.py), because Kubernetes refuses to change them.
REPLACING: Mapping[str, Sequence[str]] = {
    CLASS: ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    CLAIM: ("spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"),
    "kubernetes:core/v1:ConfigMap": ("data", "binaryData"),
    "kubernetes:core/v1:ResourceQuota": ("spec.scopes",),
    "kubernetes:storage.k8s.io/v1:VolumeAttributesClass": ("driverName", "parameters"),
    "kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass": ("driver", "parameters", "deletionPolicy"),
    COMMAND: ("triggers",),
    PROVIDER: ("clusterIdentifier",),
}
# Without an identifier the plugin takes another way to a cluster for another cluster (provider.go, DiffConfig).
WAYS_TO_A_CLUSTER = ("context", "cluster", "kubeconfig")

# Fields of a claim that Kubernetes refuses to change, and that nothing replaces.
FIXED = ("spec.volumeMode", "spec.dataSource", "spec.dataSourceRef")
SIZE = "spec.resources.requests.storage"


@dataclass(frozen=True)
class Field:
    """A field with another value; None stands for none."""

    path: str
    base: Any
    head: Any


@dataclass(frozen=True)
class Change:
    """What happens to one object. `because` are those of `fields` (or the objects it belongs to) for which it is replaced."""

    action: Action
    resource: Planned
    fields: tuple[Field, ...] = ()
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All that a merge would do, and the `problems`: what must not be merged, each with the object, the rule and what works."""

    changes: tuple[Change, ...]
    problems: tuple[str, ...]

    def of(self, action: Action) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.action == action]


def compare(base: PreviewPlan | None, head: PreviewPlan) -> Comparison:
    """What the head's plan does to what the base's has made; `base` is None where there was none, and everything is new."""
    before = _objects(base) if base else {}
    after = _objects(head)
    changes = list(_changes(before, after, head))
    replaced = {change.resource.urn for change in changes if change.action == "replace"}
    changes = [_with_its_provider(change, replaced) for change in changes]
    touched = {change.resource.urn for change in changes}
    changes += [
        Change("replace", resource, (), (after[resource.provider].title,))
        for urn, resource in after.items()
        if urn in before and urn not in touched and resource.provider in replaced
    ]
    order: Sequence[Action] = ("delete", "replace", "change", "release", "create")
    changes.sort(key=lambda change: (order.index(change.action), change.resource.type, change.resource.title))
    return Comparison(tuple(changes), tuple(_problems(changes, before, after)))


def _objects(plan: PreviewPlan) -> dict[str, Planned]:
    """What stands for something outside Pulumi: no components, and not the providers that Pulumi makes by itself."""
    return {
        urn: resource
        for urn, resource in plan.resources.items()
        if resource.custom and not (resource.type.startswith("pulumi:providers:") and resource.name.startswith("default"))
    }


def _changes(before: Mapping[str, Planned], after: Mapping[str, Planned], head: PreviewPlan) -> Iterator[Change]:
    for urn, resource in before.items():
        if urn not in after:
            # ServiceNamespace with `create: false`: Pulumi lets go of a namespace that it only reads from then on.
            handed_over = resource.type == NAMESPACE and NAMESPACE_COMPONENT in resource.parent and resource.parent in head.resources
            yield Change("release" if handed_over else "delete", resource)
            continue
        fields = tuple(_fields(resource, after[urn]))
        if fields:
            because = tuple(field.path for field in fields if _replaces(after[urn], field.path, resource))
            yield Change("replace" if because else "change", after[urn], fields, because)
    for urn, resource in after.items():
        if urn not in before:
            yield Change("create", resource)


def _with_its_provider(change: Change, replaced: set[str]) -> Change:
    """A changed object is replaced as well when its provider is: that one stands for another cluster."""
    if change.action == "change" and change.resource.provider in replaced:
        provider = change.resource.provider.rsplit("::", 1)[-1]
        return Change("replace", change.resource, change.fields, (f"Provider {provider}",))
    return change


def _fields(before: Planned, after: Planned) -> Iterator[Field]:
    yield from _differences("", before.inputs, after.inputs)
    if before.protect != after.protect:
        yield Field("(protect)", before.protect, after.protect)


def _differences(path: str, before: Any, after: Any) -> Iterator[Field]:  # noqa: ANN401 - whatever the program declares
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            name = f".{key}" if key.replace("-", "").isalnum() else f"[{key}]"
            yield from _differences(f"{path}{name}".removeprefix("."), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif before != after:
        yield Field(path, before, after)


def _replaces(resource: Planned, path: str, before: Planned) -> bool:
    paths = [*REPLACING.get(resource.type, ()), *(_NAMES if resource.type.startswith("kubernetes:") else ())]
    if resource.type == PROVIDER and not before.inputs.get("clusterIdentifier"):
        paths += WAYS_TO_A_CLUSTER
    return _within(path, paths)


def _within(path: str, fields: Sequence[str]) -> bool:
    """Whether `path` is one of the fields, or a field of one."""
    return any(path == field or path.startswith((f"{field}.", f"{field}[")) for field in fields)


# --- what must not be merged ------------------------------------------------------------------------------------------


def _problems(changes: Sequence[Change], before: Mapping[str, Planned], after: Mapping[str, Planned]) -> Iterator[str]:
    homes = {claim.inputs["metadata"].get("namespace") for claim in before.values() if claim.type == CLAIM}
    expandable = {
        each.inputs["metadata"]["name"]: each.inputs.get("allowVolumeExpansion") is True for each in after.values() if each.type == CLASS
    }
    for change in changes:
        base = before.get(change.resource.urn)
        if base is None:
            continue
        if base.type == CLAIM:
            yield from _claim_problems(change, base, expandable)
        elif base.type == NAMESPACE and base.inputs["metadata"]["name"] in homes and change.action in ("delete", "replace"):
            yield (
                f"{base.title}: {_would_be(change)}: Kubernetes deletes every claim in a namespace with it. Works: the namespace "
                f"{base.inputs['metadata']['name']} as it is (`namespace.create: false` lets go of it without deleting it)"
            )


def _claim_problems(change: Change, base: Planned, expandable: Mapping[str, bool]) -> Iterator[str]:
    if change.action == "delete":
        yield (
            f"{base.title}: {_would_be(change)}: its data would be in a volume that no service uses. Works: the claim as it is; if its "
            "service goes for good, stop its pods, `kubectl delete pvc` it first, and merge in spite of this"
        )
        return
    if change.action == "replace":
        yield (
            f"{base.title}: {_would_be(change)}: the new claim's volume is empty. Works: the claim as it is, and a new service beside "
            "it, to which the data is copied"
        )
        return
    for field in change.fields:
        if _within(field.path, FIXED):
            yield f"{base.title}: {field.path}: {json.dumps(field.head)}: Kubernetes refuses to change it. Works: {json.dumps(field.base)}"
        elif field.path == SIZE:
            yield from _size_problems(base.title, field, expandable.get(str(base.inputs["spec"].get("storageClassName"))))


def _size_problems(title: str, field: Field, expandable: bool | None) -> Iterator[str]:
    before, now = _bytes(field.base), _bytes(field.head)
    if before is None or now is None:
        return
    if now < before:
        yield f"{title}: {SIZE}: {field.head}: a volume can't shrink, it is {field.base}. Works: {field.base} or more"
    elif now > before and expandable is False:
        rule = "its class doesn't allow expansion, and Kubernetes refuses it"
        yield f"{title}: {SIZE}: {field.head}: {rule}. Works: {field.base}; or a new service of that size, and a copy of the data"


def _bytes(size: object) -> int | None:
    try:
        return bytes_of(str(size))
    except ValueError:  # not known yet
        return None


def _would_be(change: Change) -> str:
    if change.action == "delete":
        return "would be deleted"
    was = {field.path: field.base for field in change.fields}
    now = {field.path: field.head for field in change.fields}
    reasons = [f"{path} {was[path]} -> {now[path]}" if path in was else f"{path} is replaced" for path in change.because]
    return f"would be replaced ({', '.join(reasons)})"
