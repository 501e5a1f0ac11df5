"""What the rules look at: a resource as a program declares it, as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pulumi_policy import PolicyResource, ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError

STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
VOLUME = "kubernetes:core/v1:PersistentVolume"
NAMESPACE = "kubernetes:core/v1:Namespace"

# What declares pods, and where in it their specification is.
POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "kubernetes:core/v1:Pod": ("spec",),
    "kubernetes:apps/v1:Deployment": ("spec", "template", "spec"),
    "kubernetes:apps/v1:ReplicaSet": ("spec", "template", "spec"),
    "kubernetes:apps/v1:StatefulSet": ("spec", "template", "spec"),
    "kubernetes:batch/v1:Job": ("spec", "template", "spec"),
    "kubernetes:batch/v1:CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"


class _Unknown:
    """A value that only an update will know.

    It is false, and has no keys, so that a rule that looks into it finds nothing.
    """

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "(known only after an update)"


UNKNOWN: Final = _Unknown()


@dataclass(frozen=True)
class DeclaredResource:
    """A declared resource; `properties` are its inputs, with UNKNOWN for what a preview can't
    know.
    """

    type: str
    name: str
    properties: Mapping[str, Any]
    protect: bool = False
    stack: str = ""

    @property
    def kind(self) -> str:
        """`StorageClass`."""
        return self.type.rsplit(":", 1)[-1]

    @property
    def title(self) -> str:
        """The object as kubectl names it: `StorageClass fast`, `PersistentVolumeClaim
        data/data-postgres-0`.
        """
        metadata = self.get("metadata")
        name = get(metadata, "name") or self.name
        namespace = get(metadata, "namespace")
        return f"{self.kind} {namespace}/{name}" if namespace else f"{self.kind} {name}"

    def get(self, *path: str) -> Any:  # noqa: ANN401 - whatever the program has put there
        """The value at `path`; None where there is none, UNKNOWN where it or something on the way
        is not known yet.
        """
        return get(self.properties, *path)


@dataclass(frozen=True)
class DeclaredClaim:
    """A claim that a resource declares: itself, or one for each of `replicas` pods by a template.

    An `ephemeral` one goes with its pod.
    """

    title: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    namespace: Any = None
    replicas: int = 1
    ephemeral: bool = False


def get(value: Any, *path: str) -> Any:  # noqa: ANN401
    """The value at `path` in nested mappings.

    None where there is none, UNKNOWN where one on the way is unknown.
    """
    for key in path:
        if value is UNKNOWN:
            return UNKNOWN
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def of_policy(given: ResourceValidationArgs | PolicyResource) -> DeclaredResource:
    """The resource that the policy SDK hands to a rule."""
    stack = given.urn.removeprefix("urn:pulumi:").split("::", 1)[0]
    return DeclaredResource(given.resource_type, given.name, plain(given.props), given.opts.protect, stack)


def plain(value: Any) -> Any:  # noqa: ANN401
    """The SDK's wrapped properties as dictionaries and lists.

    Its wrappers raise when a rule touches a value that a preview doesn't know, which the SDK then
    reports. Here it becomes UNKNOWN.
    """
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, str | bytes) or not hasattr(value, "__getitem__"):
        return value
    return [_item(value, index) for index in range(len(value))]


def _item(container: Any, key: Any) -> Any:  # noqa: ANN401
    try:
        return plain(container[key])
    except UnknownValueError:
        return UNKNOWN


def items(value: Any) -> list[Any]:  # noqa: ANN401
    """The known entries of a list; none for anything else."""
    return [entry for entry in value if entry is not UNKNOWN] if isinstance(value, list) else []


def claims_of(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    """The claims that come of a resource: a PersistentVolumeClaim, those of a StatefulSet's
    templates, and its pods' ephemeral volumes.
    """
    replicas, namespace = resource.get("spec", "replicas"), resource.get("metadata", "namespace")
    pods: Any = replicas if isinstance(replicas, int | float) else 1
    if resource.type == CLAIM:
        yield DeclaredClaim(resource.title, resource.get("spec") or {}, namespace)
    if resource.type == STATEFUL_SET:
        for template in items(resource.get("spec", "volumeClaimTemplates")):
            title = f"{resource.title}, claim template {get(template, 'metadata', 'name') or '(unnamed)'}"
            yield DeclaredClaim(title, get(template, "spec") or {}, namespace, pods)
    path = POD_SPECS.get(resource.type)
    for volume in items(resource.get(*path, "volumes")) if path else []:
        spec = get(volume, "ephemeral", "volumeClaimTemplate", "spec")
        if spec:
            yield DeclaredClaim(
                f"{resource.title}, ephemeral volume {get(volume, 'name') or '(unnamed)'}", spec, namespace, pods, ephemeral=True
            )
