"""A second object for the data of a volume that is being deleted, so that something says where it
is.

What was told to go can't be called back. A second PersistentVolume with the same data can: it is
Released and stamped, as if its claim had been deleted, and an adoption finds it. No import beyond
the standard library: a destroy does this too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from components.kube import labels
from components.kube.bindings import claims_and_volumes, is_of
from components.kube.discovery import ReadingApi
from components.kube.errors import ApiError
from components.kube.ownership import NOBODY, Stamp, stamp_for

# What a provisioner knows its volumes by, and with what it deletes them (external-provisioner,
# pkg/controller/controller.go).
_PROVISIONERS = ("pv.kubernetes.io/provisioned-by", "volume.kubernetes.io/provisioner-deletion-secret-")
# What a volume's spec has beside its source (kubernetes, PersistentVolumeSpec).
_NO_SOURCE = {
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
}

Json = Mapping[str, Any]


class KeepingApi(ReadingApi, Protocol):
    """The two requests that keeping needs."""

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Add an object to the list at a path; raises ApiError."""


class NotKept(ApiError):
    """The data of a volume that is being deleted could not be declared again."""

    def __init__(self, volume: str, claim: str, problem: ApiError) -> None:
        super().__init__(str(problem), problem.status, problem.message, context=problem.context, path=problem.path)
        self.volume = volume
        self.claim = claim


class KeptVolume(NamedTuple):
    """A volume that is being deleted, and the one that has its data from now on."""

    going: str
    kept: str

    def __str__(self) -> str:
        return f"{self.going} is being deleted: its data is declared again as {self.kept}"


def keep_volumes(api: KeepingApi, namespace: str, stack: str) -> list[KeptVolume]:
    """Declare the data again of every claim of `stack` in `namespace` whose volume is being deleted
    and retains it.

    Those that were declared now. Raises ApiError; NotKept for a volume that could not be declared.
    """
    return keep_listed(api, *claims_and_volumes(api, namespace, stack), stack)


def keep_listed(api: KeepingApi, claims: Iterable[Json], volumes: Iterable[Json], stack: str) -> list[KeptVolume]:
    """The same for claims and volumes that were read before. Raises NotKept."""
    done = []
    for volume, manifest in missing(claims, volumes, stack):
        try:
            api.create("/api/v1/persistentvolumes", manifest)
        except ApiError as problem:
            if problem.status == HTTPStatus.CONFLICT:  # another run was quicker
                continue
            raise NotKept(volume["metadata"]["name"], volume["spec"]["claimRef"]["name"], problem) from None
        done.append(KeptVolume(volume["metadata"]["name"], manifest["metadata"]["name"]))
    return done


def missing(claims: Iterable[Json], volumes: Iterable[Json], stack: str) -> Iterator[tuple[Json, dict[str, Any]]]:
    """Each volume that is being deleted under a claim of `stack`, with the manifest that keeps its
    data; without those whose data another volume has already.
    """
    volumes = list(volumes)
    by_name = {volume["metadata"]["name"]: volume for volume in volumes}
    kept = [_source(volume) for volume in volumes if not _going(volume)]
    for claim in claims:
        volume, stamp = by_name.get(claim["spec"].get("volumeName") or ""), stamp_for(claim, stack)
        if volume is None or stamp is None or not _going(volume) or not is_of(volume, claim):
            continue
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Retain" and _source(volume) not in kept:
            yield volume, _manifest(volume, stamp)


def _going(volume: Json) -> bool:
    return bool(volume["metadata"].get("deletionTimestamp"))


def _source(volume: Json) -> Json:
    """Where the data is: a CSI driver's volume by its handle, any other as its spec has it."""
    spec = volume["spec"]
    if "csi" in spec:
        return {"driver": spec["csi"]["driver"], "handle": spec["csi"]["volumeHandle"]}
    return {key: value for key, value in spec.items() if key not in _NO_SOURCE}


def _manifest(volume: Json, stamp: Stamp) -> dict[str, Any]:
    """A claimRef with the UID of a claim that never was makes the volume Released: for an adoption
    to reserve, and for no claim to take by itself.
    """
    metadata, reference = volume["metadata"], volume["spec"]["claimRef"]
    digest = hashlib.sha256(json.dumps([metadata["uid"], _source(volume)], sort_keys=True).encode()).hexdigest()[:10]
    annotations = metadata.get("annotations") or {}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"kept-{stamp.service}-{stamp.ordinal}-{digest}",
            "labels": {**labels.of(volume), **stamp.labels},
            "annotations": {key: value for key, value in annotations.items() if key.startswith(_PROVISIONERS)},
        },
        "spec": {
            **volume["spec"],
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": reference["namespace"],
                "name": reference["name"],
                "uid": NOBODY,
            },
        },
    }
