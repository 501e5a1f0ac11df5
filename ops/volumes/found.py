"""Data without a PersistentVolume: directories and disks that outlived their cluster, and the
volumes that can be declared for them.

Whose data it is comes from the directory's name (local-path-provisioner makes
`pvc-<uid>_<namespace>_<claim>`, or what a pathPattern says), or from the setting `adopt`. A list
that `volumes --json` has saved is read in `ops.volumes.saved`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from components.kube.attributes import WAS, taken_off
from components.kube.node_affinity import HOSTNAME
from components.kube.ownership import parse_claim_name
from components.kube.quantity import as_quantity
from components.provisioners.local_path.path_pattern import read_pattern
from ops.volumes.volume import PROVISIONED_BY, Location, Reference, Volume
from ops.volumes.wanted import Wanted

Json = Mapping[str, Any]

_DIRECTORY = re.compile(r"(?P<volume>[^_/]+)_(?P<namespace>[^_/]+)_(?P<claim>[^_/]+)")
_PROVISIONED = re.compile(r"pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")  # a provisioner's volume: the claim's UID is in its name
_OBJECT_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_EBS = re.compile(r"(?:aws://(?P<zone>[^/]+)/)?(?P<handle>vol-[0-9a-f]+)")
_PD = re.compile(r"projects/[^/]+/zones/(?P<zone>[^/]+)/disks/[^/]+")
_REGIONAL_PD = re.compile(r"projects/[^/]+/regions/[^/]+/disks/[^/]+")
# What a provisioner knows its volumes by, and deletes them with (see components/kube/kept.py).
_PROVISIONERS = (PROVISIONED_BY, "volume.kubernetes.io/provisioner-deletion-secret-")
ZONE = "topology.kubernetes.io/zone"  # on nodes of all clouds, and what the EBS driver puts on its volumes
GKE_ZONE = "topology.gke.io/zone"  # the only one that the PD driver knows


@dataclass(frozen=True)
class VolumesFolder:
    """Where a dev cluster's provisioner has its volumes: `here` on this machine, `in_node` as the
    node sees it.
    """

    here: Path
    in_node: str
    # Bytes of disk that a directory takes, named as the node sees it, asked of the node.
    used: Callable[[str], int | None] | None = None
    # Where each node has a part of the folder to itself: the node's name by that part.
    nodes: Mapping[str, str] = field(default_factory=dict)

    @property
    def parts(self) -> list[str]:
        """The folders, as the nodes see them, in which volumes are made."""
        return list(self.nodes) or [self.in_node]

    def node_of(self, path: str, nodes: Sequence[Json]) -> Json | None:
        """The node, of these, whose directory `path` is.

        None where that can't be told: of several nodes that share the folder.
        """
        parts = [part for part in self.nodes if PurePosixPath(path).is_relative_to(part)]
        if parts:
            name = self.nodes[max(parts, key=len)]
            return next((node for node in nodes if node["metadata"]["name"] == name), None)
        return nodes[0] if len(nodes) == 1 else None

    def on_this_machine(self, path: str) -> Path | None:
        """The directory of this machine that the node knows as `path`.

        None for one that is elsewhere.
        """
        given, base = PurePosixPath(path), PurePosixPath(self.in_node)
        return self.here / given.relative_to(base) if given.is_relative_to(base) else None


def directories(folder: VolumesFolder, wanted: Iterable[Wanted], volumes: Sequence[Volume], nodes: Sequence[Json]) -> Iterator[Volume]:
    """A volume for each directory in `folder` whose name is that of a wanted claim, and which no
    PersistentVolume names.
    """
    named = {volume.location.path for volume in volumes}
    for each in wanted:
        for base in [each.node_path] if each.node_path else folder.parts:
            for path in _paths(folder, each, base):
                node = folder.node_of(path, nodes)
                if path not in named and node and folder.node_of(base, nodes) in (node, None):
                    yield replace(_local(each, path, node, volumes), stamp=each.stamp)


def _paths(folder: VolumesFolder, wanted: Wanted, base: str) -> list[str]:
    """The directories in `base` that belong to a wanted claim by their names, as the node sees
    them."""
    here = folder.on_this_machine(base)
    if here is None:
        return []
    patterns = read_pattern(wanted.path_pattern).globs(wanted.namespace, wanted.name) if wanted.path_pattern else []
    found = {path.relative_to(here).as_posix() for pattern in patterns for path in here.glob(pattern) if path.is_dir()}
    ending = f"_{wanted.namespace}_{wanted.name}"
    found |= {path.name for path in here.glob(f"*{ending}") if _PROVISIONED.fullmatch(path.name.removesuffix(ending)) and path.is_dir()}
    return [str(PurePosixPath(base) / name) for name in sorted(found)]


def declare(
    wanted: Wanted, choice: str, volumes: Sequence[Volume], nodes: Sequence[Json], folder: VolumesFolder | None = None
) -> Volume | str:
    """A volume for the data that the setting `adopt` names by its path or handle.

    Or why there can be none, in words.
    """
    if choice.startswith("/"):
        return _chosen_path(wanted, choice, volumes, nodes, folder)
    ebs, disk = _EBS.fullmatch(choice), _PD.fullmatch(choice)
    if (ebs and "ebs" in wanted.provisioner) or (disk and "pd.csi" in wanted.provisioner):
        zone = disk["zone"] if disk else (ebs and ebs["zone"]) or ""
        zones = {node["metadata"].get("labels", {}).get(ZONE, "") for node in nodes}
        if not zone and len(zones) != 1:
            return (
                f"in which zone is it? The nodes are in {', '.join(sorted(zones))}. Write aws://<zone>/{choice} "
                f"(`aws ec2 describe-volumes --volume-ids {choice} --query 'Volumes[].AvailabilityZone'`)"
            )
        handle = ebs["handle"] if ebs else choice
        if wanted.disk is None:
            return f"how large is it? Nothing in the cluster says. {_ask_size(choice, handle, disk)}"
        location = Location("csi", driver=wanted.provisioner, handle=handle, fs_type=wanted.fs_type or "ext4")  # both drivers' default
        made = _new(wanted, location, [_term(GKE_ZONE if disk else ZONE, zone or zones.pop())])
        return replace(made, capacity=wanted.disk)
    if _REGIONAL_PD.fullmatch(choice):
        return (
            "the zones of a regional disk can't be read from its name. Give a saved list (`--from`), or declare a PersistentVolume for it"
        )
    return f"no volume of the cluster has that name, path or handle, and it is no form in which {wanted.provisioner} names its volumes"


def _ask_size(choice: str, handle: str, disk: re.Match[str] | None) -> str:
    """How to find out the size of a disk, and how the setting has it."""
    command = f"aws ec2 describe-volumes --volume-ids {handle} --query 'Volumes[].Size'"
    if disk:
        _, project, _, zone, _, name = handle.split("/")
        command = f"gcloud compute disks describe {name} --project {project} --zone {zone} --format 'value(sizeGb)'"
    return f"Write {choice}@<size>, with what `{command}` says: {choice}@6Gi for 6"


def _chosen_path(wanted: Wanted, path: str, volumes: Sequence[Volume], nodes: Sequence[Json], folder: VolumesFolder | None) -> Volume | str:
    here = folder.on_this_machine(path) if folder else None
    if here is None and not wanted.on_node:
        return f"no volume of the cluster has that path, and {wanted.provisioner} keeps no volumes in folders of a node"
    if here is not None and not here.is_dir():
        return f"there is no directory {here}"
    node = folder.node_of(path, nodes) if folder else None
    if node is None and len(nodes) == 1:
        node = nodes[0]
    if node is None:
        names = ", ".join(sorted(node["metadata"]["name"] for node in nodes))
        return f"on which node is it? The nodes are {names}. Give a saved list (`--from`), or declare a PersistentVolume for it"
    return _local(wanted, path, node, volumes)


def claim_of(path: str) -> Reference | None:
    """The claim that a directory was made for, by its name or those of its parents.

    None for a name that says nothing.
    """
    parts = PurePosixPath(path).parts
    match = _DIRECTORY.fullmatch(parts[-1]) if parts else None
    if match:
        return Reference(match["namespace"], match["claim"])
    for parent, name in zip(parts[-2::-1], parts[:0:-1], strict=False):
        if parse_claim_name(name):
            return Reference(parent, name)
    return None


def _local(wanted: Wanted, path: str, node: Json, volumes: Sequence[Volume]) -> Volume:
    """A local volume at `path`: named as it was where its directory says how, unless that name is
    taken.
    """
    hostname = (node["metadata"].get("labels") or {}).get(HOSTNAME) or node["metadata"]["name"]
    match = _DIRECTORY.fullmatch(PurePosixPath(path).name)
    name = match["volume"] if match and _OBJECT_NAME.fullmatch(match["volume"]) else ""
    taken = {volume.name for volume in volumes}
    made = _new(wanted, Location("local", path=path), [_term(HOSTNAME, hostname)])
    return replace(made, name=name if name and name not in taken else made.name, claim=claim_of(path))


def _new(wanted: Wanted, location: Location, terms: Sequence[Json]) -> Volume:
    """A volume as the claim would get one.

    Its name follows from where its data is, so that two runs make one object.
    """
    digest = hashlib.sha256(f"{wanted.stack}\n{location.driver}\n{location}".encode()).hexdigest()[:10]
    return Volume(
        name=f"adopted-{wanted.service}-{wanted.ordinal}-{digest}",
        location=location,
        storage_class=wanted.storage_class,
        capacity=wanted.capacity,
        access_modes=(wanted.access_mode,),
        claim=None,
        node_terms=tuple(terms),
        exists=False,
        mount_options=wanted.mount_options,
    )


def _term(key: str, value: str) -> Json:
    return {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}


def manifest(wanted: Wanted, volume: Volume) -> dict[str, Any]:
    """The PersistentVolume that declares found data: reserved for the claim, stamped, retained.

    The annotation lets the provisioner delete it when it is pruned one day: without it, it is
    nobody's.
    """
    location = volume.location
    source: dict[str, Any] = (
        {"csi": {"driver": location.driver, "volumeHandle": location.handle, **({"fsType": location.fs_type} if location.fs_type else {})}}
        if location.handle
        else {"local": {"path": location.path}}
    )
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": volume.name,
            "labels": wanted.stamp.labels,
            "annotations": {PROVISIONED_BY: location.driver or wanted.provisioner, **taken_off(volume.attributes_class)},
        },
        "spec": {
            "capacity": {"storage": as_quantity(volume.capacity)},
            "accessModes": list(volume.access_modes),
            "volumeMode": volume.volume_mode,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": volume.storage_class,
            "claimRef": claim_reference(wanted),
            "nodeAffinity": {"required": {"nodeSelectorTerms": list(volume.node_terms)}},
            **({"mountOptions": list(volume.mount_options)} if volume.mount_options else {}),
            **source,
        },
    }


def without_attributes_class(wanted: Wanted, volume: Json) -> dict[str, Any]:
    """A PersistentVolume of the cluster, as the API's JSON has it, declared once more without its
    VolumeAttributesClass, and reserved for the claim.

    Kubernetes binds a claim that names none to no volume that names one (pv_controller.go,
    checkVolumeSatisfyClaim), and lets nobody take it off a volume.
    """
    metadata, spec = volume["metadata"], volume["spec"]
    digest = hashlib.sha256(f"{wanted.stack}\n{metadata['uid']}".encode()).hexdigest()[:10]
    annotations = {key: value for key, value in (metadata.get("annotations") or {}).items() if key.startswith(_PROVISIONERS)}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"adopted-{wanted.service}-{wanted.ordinal}-{digest}",
            "labels": {**(metadata.get("labels") or {}), **wanted.stamp.labels},
            "annotations": {**annotations, **taken_off(spec["volumeAttributesClassName"]), WAS: metadata["name"]},
        },
        "spec": {
            **{key: value for key, value in spec.items() if key != "volumeAttributesClassName"},
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": claim_reference(wanted),
        },
    }


def claim_reference(wanted: Wanted) -> dict[str, Any]:
    """A claimRef that reserves a volume for a claim: by its name, for whichever UID the claim will
    have.
    """
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": wanted.namespace, "name": wanted.name}
