"""Labels and annotations that the program doesn't declare.

Platforms put theirs on every namespace, claim and class, and put them back when they are taken
away: field.cattle.io/projectId, openshift.io/…, pod-security.kubernetes.io/warn. They are nobody's
drift, but for those few by which storage behaves otherwise. No label is among these: nothing in the
way from a claim to its volume reads one that the program doesn't declare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from components.kube.classes import DEFAULT_CLASS, DEFAULT_SNAPSHOT_CLASS
from ops.drift import repairs
from ops.drift.objects import CLAIM, Declared, Difference, Json, Name

_LOCAL_PATH = "rancher.io/local-path"


@dataclass(frozen=True)
class _Read:
    """An annotation that storage reads on objects of a kind."""

    kind: str
    key: str
    """Its name, or what its name begins with where it ends in a slash."""
    provisioner: str = ""
    """The only provisioner that reads it; empty for Kubernetes itself."""
    matters: Callable[[str, Json], bool] = lambda value, live: True  # noqa: ARG005
    """Whether it does anything with this value, on the object as the API's JSON has it."""

    def is_in(self, key: str) -> bool:
        return key.startswith(self.key) if self.key.endswith("/") else key == self.key


def _true(value: str, _: Json) -> bool:
    return value == "true"


def _unbound(_: str, live: Json) -> bool:
    return not live["spec"].get("volumeName")


_READ = (
    # Claims without a class land on the tier.
    *(_Read("StorageClass", key, matters=_true) for key in DEFAULT_CLASS),
    _Read("VolumeSnapshotClass", DEFAULT_SNAPSHOT_CLASS, matters=_true),
    # It goes before spec.storageClassName (kubernetes, GetPersistentVolumeClaimClass).
    _Read(CLAIM, "volume.beta.kubernetes.io/storage-class"),
    # volume-modifier-for-k8s changes type, IOPS and throughput of the claim's volume by these.
    _Read(CLAIM, "ebs.csi.aws.com/", "ebs.csi.aws.com"),
    # The provisioner takes it instead of the class's defaultVolumeType: with `hostPath` a lost
    # folder comes back empty.
    _Read(CLAIM, "volumeType", _LOCAL_PATH, _unbound),
)

# What Kubernetes' own controllers, kubectl and Pulumi write on every object, or on every claim.
_GIVEN = {
    "kubernetes.io/metadata.name",
    "kubectl.kubernetes.io/last-applied-configuration",
    "pv.kubernetes.io/bind-completed",
    "pv.kubernetes.io/bound-by-controller",
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/selected-node",
    "volume.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-resizer",
}


def read_by_storage(declared: Iterable[Declared], objects: Mapping[Name, Json]) -> Iterator[Difference]:
    """Annotations that nobody declared, and that storage reads."""
    declared = list(declared)
    provisioners = {each.name.name: each.fields.get("provisioner") for each in declared if each.name.kind == "StorageClass"}
    for each, live, field, key, value in _undeclared(declared, objects):
        if field == "annotations" and _is_read(each, live, key, value, provisioners):
            command = f"`kubectl{repairs.in_namespace(each.name)} annotate {each.name.kind.lower()} {each.name.name} {key}-`"
            yield Difference(each.name, f"metadata.annotations.{key}", "(none)", value, f"storage reads it: {command}")


def others(declared: Iterable[Declared], objects: Mapping[Name, Json]) -> Iterator[Difference]:
    """All other labels and annotations that nobody declared."""
    declared = list(declared)
    told = {(each.object, each.what) for each in read_by_storage(declared, objects)}
    for each, _, field, key, value in _undeclared(declared, objects):
        if (each.name, f"metadata.{field}.{key}") not in told:
            yield Difference(each.name, f"metadata.{field}.{key}", "(none)", value, "nothing: storage doesn't read it")


def _undeclared(declared: Iterable[Declared], objects: Mapping[Name, Json]) -> Iterator[tuple[Declared, Json, str, str, str]]:
    for each in declared:
        live = objects.get(each.name)
        if live is None or not each.ours:
            continue
        for field in ("labels", "annotations"):
            wanted = each.fields.get("metadata", {}).get(field) or {}
            for key, value in (live["metadata"].get(field) or {}).items():
                if key not in wanted and key not in _GIVEN:
                    yield each, live, field, key, value


def _is_read(each: Declared, live: Json, key: str, value: str, provisioners: Mapping[str, object]) -> bool:
    provisioner = provisioners.get(str(each.fields.get("spec", {}).get("storageClassName")))
    return any(
        read.kind == each.name.kind and read.is_in(key) and read.provisioner in ("", provisioner) and read.matters(value, live)
        for read in _READ
    )
