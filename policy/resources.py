"""What the rules look at: a resource as a program declares it, as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from pulumi_policy import PolicyResource, ResourceValidationArgs
from pulumi_policy.proxy import UnknownValueError

STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
VOLUME = "kubernetes:core/v1:PersistentVolume"
NAMESPACE = "kubernetes:core/v1:Namespace"

STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
DAEMON_SET = "kubernetes:apps/v1:DaemonSet"
RELEASE = "kubernetes:helm.sh/v3:Release"

# What declares pods, and where in it their specification is.
POD_SPECS: Mapping[str, tuple[str, ...]] = {
    "kubernetes:core/v1:Pod": ("spec",),
    "kubernetes:core/v1:ReplicationController": ("spec", "template", "spec"),
    "kubernetes:apps/v1:Deployment": ("spec", "template", "spec"),
    "kubernetes:apps/v1:ReplicaSet": ("spec", "template", "spec"),
    STATEFUL_SET: ("spec", "template", "spec"),
    "kubernetes:batch/v1:Job": ("spec", "template", "spec"),
    "kubernetes:batch/v1:CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}

# An older annotation that names the class of a claim or volume. Where there is one, Kubernetes
# takes it and not the field (component-helpers, storage/volume/helpers.go).
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"

_MOVED = {"extensions": "apps"}  # where Deployments and their like were once


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
        """`StorageClass`, or `StorageClassPatch`."""
        return self.type.rsplit(":", 1)[-1]

    @cached_property
    def group(self) -> str:
        """The API group, `storage.k8s.io`; empty for what is no object of Kubernetes."""
        kubernetes, _, api = self.type.rpartition(":")[0].partition(":")
        return api.partition("/")[0] if kubernetes == "kubernetes" else ""

    @cached_property
    def is_patch(self) -> bool:
        """Whether it changes some fields of an object that is declared elsewhere.

        Pulumi's types for this end with Patch, and their inputs name the object's kind.
        """
        return bool(self.group) and self.kind.endswith("Patch") and self.get("kind") != self.kind

    @property
    def object_kind(self) -> str:
        """The kind of the object that is made or patched, `StorageClass`."""
        return self.kind.removesuffix("Patch") if self.is_patch else self.kind

    @cached_property
    def object_type(self) -> str:
        """The type without Patch, and of what Kubernetes has built in without regard to the API's
        version: one of the constants of this module.
        """
        known = _KNOWN.get((_MOVED.get(self.group, self.group), self.object_kind))
        return known or f"{self.type.rpartition(':')[0]}:{self.object_kind}"

    @property
    def namespace(self) -> Any:  # noqa: ANN401 - it may be unknown
        """The object's namespace; None where none is named."""
        return self.get("namespace") if self.type == RELEASE else self.get("metadata", "namespace")

    @property
    def title(self) -> str:
        """The object as kubectl names it: `StorageClass fast`, `PersistentVolumeClaim
        data/data-postgres-0`.
        """
        name = self.get("name") if self.type == RELEASE else self.get("metadata", "name")
        return f"{self.kind} {self.namespace}/{name or self.name}" if self.namespace else f"{self.kind} {name or self.name}"

    def get(self, *path: str) -> Any:  # noqa: ANN401 - whatever the program has put there
        """The value at `path`; None where there is none, UNKNOWN where it or something on the way
        is not known yet.
        """
        return get(self.properties, *path)


@dataclass(frozen=True)
class DeclaredClaim:
    """A claim that a resource declares, or one for each of `replicas` pods.

    `storage_class` and `size` are None where there is none, UNKNOWN where a preview can't know;
    `class_field` and `modes_field` are where they are named, or would be. An `ephemeral` claim goes
    with its pod. What a claim that isn't `whole` doesn't name is named elsewhere: in the object
    that a patch changes, or among the defaults of a chart. `name` is the claim's own, or with
    `ordinals` what stands before each of them.
    """

    title: str
    namespace: Any = None
    storage_class: Any = None
    class_field: str = "spec.storageClassName"
    size: Any = None
    modes: Any = None  # a list, None or UNKNOWN
    modes_field: str = "spec.accessModes"
    replicas: int = 1
    ephemeral: bool = False
    whole: bool = True
    name: str = ""
    ordinals: range = range(0)

    @classmethod
    def by_template(cls, title: str, template: Any, **more: Any) -> DeclaredClaim:  # noqa: ANN401
        """A claim of a PersistentVolumeClaim's `metadata` and `spec`."""
        spec = get(template, "spec")
        storage_class, field = class_of(get(template, "metadata"), spec)
        size, modes = get(spec, "resources", "requests", "storage"), get(spec, "accessModes")
        return cls(title, storage_class=storage_class, class_field=field, size=size, modes=modes, **more)


_KNOWN = {
    (resource.group, resource.kind): resource.type
    for resource in (DeclaredResource(each, "", {}) for each in (STORAGE_CLASS, CLAIM, VOLUME, NAMESPACE, DAEMON_SET, *POD_SPECS))
}


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
    return [entry for _, entry in indexed(value)]


def indexed(value: Any) -> list[tuple[int, Any]]:  # noqa: ANN401
    """The known entries of a list, each with its place; none for anything else."""
    return [(index, entry) for index, entry in enumerate(value) if entry is not UNKNOWN] if isinstance(value, list) else []


def class_of(metadata: Any, spec: Any) -> tuple[Any, str]:  # noqa: ANN401
    """The StorageClass that a claim or volume names, None for none, and the field that names it."""
    field, by_annotation = "spec.storageClassName", get(metadata, "annotations", BETA_CLASS)
    by_field = get(spec, "storageClassName")
    if by_annotation is None or (by_annotation is UNKNOWN and by_field is not None):
        return by_field, field
    return by_annotation, field if by_annotation is UNKNOWN else f"metadata.annotations[{BETA_CLASS}]"


def count(value: Any) -> int:  # noqa: ANN401
    """A number of pods, of 1 where none is given or known; the SDK has numbers as floats."""
    return max(int(value), 0) if isinstance(value, int | float) and not isinstance(value, bool) else 1


def with_items(resource: DeclaredResource) -> Iterator[DeclaredResource]:
    """The objects of a list (`PersistentVolumeClaimList`, `List`); any other resource as it is."""
    is_list = resource.group and resource.kind.endswith("List") and resource.get("spec") is None
    if not is_list:
        yield resource
    for index, item in enumerate(items(resource.get("items")) if is_list else []):
        api = get(item, "apiVersion") or resource.type.split(":")[1]
        kind = get(item, "kind") or resource.kind.removesuffix("List")
        group = api if "/" in str(api) else f"core/{api}"
        yield replace(resource, type=f"kubernetes:{group}:{kind}", name=f"{resource.name}[{index}]", properties=item)
