"""A volume as the rest of this package sees it: what a PersistentVolume says that decides whose it
is and whether it can be used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from components.kube import labels
from components.kube.attributes import WAS
from components.kube.node_affinity import HOSTNAME
from components.kube.ownership import NOBODY, Stamp
from components.kube.quantity import bytes_of

PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"  # by it the provisioner knows the volumes that it may delete


@dataclass(frozen=True)
class Location:
    """Where a volume's data is: a `path` on a node (`local`, `hostPath`), or the `handle` of a CSI
    driver's volume or an in-tree disk.

    An in-tree disk has no `driver`; of one of Google Cloud the handle is no more than the disk's
    name.
    """

    type: str
    path: str = ""
    driver: str = ""
    handle: str = ""
    fs_type: str = ""

    def __str__(self) -> str:
        return self.path or self.handle or self.type

    @classmethod
    def of(cls, spec: Mapping[str, Any]) -> Location:
        """From a PersistentVolume's `spec`.

        Of another type than those above only the type is known.
        """
        for kind in ("local", "hostPath"):
            if kind in spec:
                return cls(kind, path=str(PurePosixPath(spec[kind]["path"])))
        if "csi" in spec:
            csi = spec["csi"]
            return cls("csi", driver=csi["driver"], handle=csi["volumeHandle"], fs_type=csi.get("fsType") or "")
        for kind, key in (("awsElasticBlockStore", "volumeID"), ("gcePersistentDisk", "pdName")):
            if kind in spec:
                return cls(kind, handle=_plain(spec[kind][key]), fs_type=spec[kind].get("fsType") or "")
        known = {"capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName", "mountOptions", "volumeMode"}
        return cls(next((key for key in spec if key not in known | {"nodeAffinity", "volumeAttributesClassName"}), "unknown"))

    def shares(self, other: Location) -> bool:
        """Whether deleting the one would delete data of the other: the same disk, or a path in the
        other's.

        The driver doesn't matter: several serve the disks of one cloud (`ebs.csi.aws.com`,
        `ebs.csi.eks.amazonaws.com`, in-tree).
        """
        if self.path and other.path:
            mine, others = PurePosixPath(self.path), PurePosixPath(other.path)
            return mine.is_relative_to(others) or others.is_relative_to(mine)
        return _same_disk(self.handle, other.handle)

    def named(self, choice: str) -> bool:
        """Whether `choice`, a value of the setting `adopt`, says that this is where the data is."""
        return bool(choice) and (choice == self.path or _same_disk(_plain(choice), self.handle))


def _plain(handle: str) -> str:
    """A disk's handle without the zone that EBS volumes may be given with: `aws://<zone>/vol-…`."""
    return re.sub("^aws://[^/]*/", "", handle)


def _same_disk(one: str, other: str) -> bool:
    """Whether two handles are one disk's: `projects/…/disks/<name>` may be given by its name
    alone.
    """
    if not one or not other or ("/disks/" in one) == ("/disks/" in other):
        return bool(one) and one == other
    return one.rpartition("/disks/")[2] == other.rpartition("/disks/")[2]


@dataclass(frozen=True)
class Reference:
    """A volume's claimRef.

    Without `uid` the volume is reserved for the claim of this name, whenever that is made.
    """

    namespace: str
    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True)
class Volume:
    """A PersistentVolume, or one that could be declared: data that was found without an object for
    it (`exists` is false).

    `capacity` in bytes. `since` is when it came into its phase, `node_terms` the nodeSelectorTerms
    of its nodeAffinity, `attributes_class` the VolumeAttributesClass that it names.
    """

    name: str
    location: Location
    storage_class: str
    capacity: int
    access_modes: Sequence[str]
    claim: Reference | None
    stamp: Stamp | None = None
    node_terms: Sequence[Mapping[str, Any]] = ()
    volume_mode: str = "Filesystem"
    phase: str = ""
    policy: str = "Retain"
    uid: str = ""
    version: str = ""
    created: datetime | None = None
    since: datetime | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deleting: bool = False
    message: str = ""
    exists: bool = True
    mount_options: Sequence[str] = ()
    attributes_class: str = ""

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> Volume:
        """From the API's JSON."""
        metadata, spec, status = found["metadata"], found["spec"], found.get("status") or {}
        reference = spec.get("claimRef")
        required = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or []
        marks = labels.of(found)
        return cls(
            name=metadata["name"],
            location=Location.of(spec),
            storage_class=spec.get("storageClassName") or "",
            capacity=bytes_of((spec.get("capacity") or {}).get("storage", "0")),
            access_modes=tuple(spec.get("accessModes") or ()),
            claim=Reference(reference.get("namespace", ""), reference.get("name", ""), reference.get("uid") or "") if reference else None,
            stamp=Stamp.of(marks),
            node_terms=tuple(required),
            volume_mode=spec.get("volumeMode") or "Filesystem",
            phase=status.get("phase") or "Pending",
            policy=spec.get("persistentVolumeReclaimPolicy") or "Retain",
            uid=metadata.get("uid") or "",
            version=metadata.get("resourceVersion") or "",
            created=parse_time(metadata.get("creationTimestamp")),
            since=parse_time(status.get("lastPhaseTransitionTime")),
            labels=marks,
            annotations=metadata.get("annotations") or {},
            deleting=bool(metadata.get("deletionTimestamp")),
            message=status.get("message") or "",
            mount_options=tuple(spec.get("mountOptions") or ()),
            attributes_class=spec.get("volumeAttributesClassName") or "",
        )

    def named(self, choice: str) -> bool:
        """Whether `choice`, a value of the setting `adopt`, is this volume's name, that of the
        object that it had before it was adopted, or where its data is.
        """
        return choice in (self.name, self.annotations.get(WAS)) or self.location.named(choice)

    @property
    def of_canary(self) -> bool:
        """Whether it is a canary's: for a moment, and for the canary alone to touch."""
        return labels.are_of_canary(self.labels)

    @property
    def marked_for(self) -> str:
        """The stack that it is labelled for, ``""`` for none.

        Also where the rest of the stamp is damaged.
        """
        return labels.stack_of(self.labels)

    @property
    def reserved(self) -> bool:
        """Whether it waits for a claim that is named but not made, or not bound, yet."""
        return bool(self.claim and not self.claim.uid and self.phase in ("Available", "Pending"))

    @property
    def going(self) -> bool:
        """Whether it is being deleted: told to, or Released with the policy Delete, so that its
        provisioner deletes it.
        """
        return self.deleting or (self.policy == "Delete" and self.phase in ("Released", "Failed"))

    @property
    def node(self) -> str:
        """The node that its nodeAffinity ties it to, ``""`` for none or several."""
        return self._only_value(lambda key: key == HOSTNAME)

    @property
    def zone(self) -> str:
        """The zone that its nodeAffinity ties it to, ``""`` for none or several."""
        return self._only_value(lambda key: key.endswith("/zone"))

    def _only_value(self, wanted: Any) -> str:  # noqa: ANN401
        found = {
            value
            for term in self.node_terms
            for expression in term.get("matchExpressions") or []
            if wanted(expression["key"]) and expression["operator"] == "In"
            for value in expression.get("values") or []
        }
        return found.pop() if len(found) == 1 else ""


def give_up(name: str) -> str:
    """The command that ends a volume's reservation: it is Released then.

    With no claimRef at all any claim could have it.
    """
    return f"""kubectl patch pv {name} -p '{{"spec":{{"claimRef":{{"uid":"{NOBODY}"}}}}}}'"""


def retain(name: str) -> str:
    """The command by which a volume's data outlives its claim."""
    return f"""kubectl patch pv {name} -p '{{"spec":{{"persistentVolumeReclaimPolicy":"Retain"}}}}'"""


def parse_time(text: str | None) -> datetime | None:
    """A time as the API writes it (RFC 3339); None for none."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC) if text else None
