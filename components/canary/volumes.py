"""Whose a volume is, and how one of the canary's own is marked to be deleted with its claim.

A volume is the canary's own if it is of its class, bound to a claim of its own by that claim's UID,
and made for that claim. One that was there before the claim was free, and holds somebody's data.
All functions take volumes and claims as the API's JSON.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from components.canary import objects
from components.canary.claim_mode import READ_WRITE_ONCE
from components.canary.manifests import CLAIM_UID, canary_labels
from components.canary.words import NotProven
from components.kube import labels
from components.kube.api import Json, KubeApi
from components.kube.ownership import BOUND_BY_CONTROLLER, NOBODY
from components.kube.quantity import bytes_of

# A patch that binds a volume to a claim that never was. Kubernetes makes the volume Released, and
# no claim gets it by itself.
RESERVED_FOR_NOBODY = {
    "spec": {
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": "default", "name": "nobodys", "uid": NOBODY},
    }
}
_ATTEMPTS = 5  # to mark a volume that somebody else changes at the same time


def claim_uid(volume: Mapping[str, Any]) -> str:
    """The UID of the claim that a volume names; empty where it names none."""
    return str((volume["spec"].get("claimRef") or {}).get("uid") or "")


def belongs(volume: Mapping[str, Any], namespace: str, storage_class: str, claim_uids: Collection[str]) -> bool:
    """Whether a volume is bound to one of these claims: namespace, class and claim UID match."""
    claim_ref = volume["spec"].get("claimRef") or {}
    return (
        claim_ref.get("namespace") == namespace
        and bool(claim_uid(volume))
        and claim_uid(volume) in claim_uids
        and volume["spec"].get("storageClassName") == storage_class
    )


def made_for(volume: Mapping[str, Any], claim: Mapping[str, Any]) -> bool:
    """Whether a volume was made for the claim that it is bound to.

    A provisioner makes a volume with the claim's name in it. The times alone would not do, because
    they are in whole seconds.
    """
    was_free = BOUND_BY_CONTROLLER in (volume["metadata"].get("annotations") or {})
    # Both are RFC 3339 in UTC with whole seconds, so the texts are in the order of the times.
    return not was_free and bool(volume["metadata"]["creationTimestamp"] >= claim["metadata"]["creationTimestamp"])


def is_free(volume: Mapping[str, Any], storage_class: str, size: int, access_mode: str = READ_WRITE_ONCE) -> bool:
    """Whether any claim of this class, size (bytes) and access mode may get this volume."""
    spec = volume["spec"]
    return bool(
        volume["status"].get("phase") == "Available"
        and not spec.get("claimRef")
        and spec.get("storageClassName") == storage_class
        and access_mode in spec["accessModes"]
        and spec.get("volumeMode") != "Block"
        and bytes_of(spec["capacity"]["storage"]) >= size
    )


def tier_of(volume: Mapping[str, Any], claims: Collection[Mapping[str, Any]]) -> str:
    """The tier of a volume, from its claim's label or else its own; empty without either."""
    of_claim = {each["metadata"]["uid"]: labels.of(each).get(labels.COMPONENT) for each in claims}
    return of_claim.get(claim_uid(volume)) or labels.of(volume).get(labels.COMPONENT, "")


def hand_over(api: KubeApi, volume: Json, instance: str, tier: str) -> Json | None:
    """Label a volume as the canary's, and set its reclaim policy to Delete.

    Returns it as it is then, None if it is gone. The API refuses to change a volume that isn't as
    it was read; then it is read again. Raises NotProven if another claim has it, and ApiError.
    """
    name, marks = volume["metadata"]["name"], {**canary_labels(instance, tier), CLAIM_UID: claim_uid(volume)}
    fresh: Json | None = volume
    for _ in range(_ATTEMPTS):
        if fresh is None:
            return None
        if (fresh["metadata"]["uid"], claim_uid(fresh)) != (volume["metadata"]["uid"], claim_uid(volume)):
            raise NotProven(f"volume {name} was given to another claim")
        metadata = {"resourceVersion": fresh["metadata"]["resourceVersion"], "labels": marks}
        patched = api.patch(objects.volume(name), {"metadata": metadata, "spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        if patched is not None:
            return patched
        fresh = api.find(objects.volume(name))
    raise NotProven(f"volume {name} changes all the time")
