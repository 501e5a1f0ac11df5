"""What one file's tests leave on the cluster goes before the next file's tests come."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from kubernetes import client

from components.kube.api import Json, KubeApi
from tests.conftest import eventually

VOLUMES = "/api/v1/persistentvolumes"
# Where stacks and tests make something, in the order in which it is removed: first what could keep
# pods from going; a volume after the claims.
LISTS = (
    "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    "/api/v1/nodes",
    "/api/v1/namespaces/default/pods",
    "/api/v1/namespaces/default/persistentvolumeclaims",
    "/api/v1/namespaces/default/serviceaccounts",
    "/api/v1/namespaces",
    VOLUMES,
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/volumeattributesclasses",
    "/apis/scheduling.k8s.io/v1/priorityclasses",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
)
# A cluster's controllers make this some time after its nodes are ready.
CLUSTERS_OWN = "/api/v1/namespaces/default/serviceaccounts/default"
_POLICY = "persistentVolumeReclaimPolicy"
PATIENCE = 120  # seconds for all of it to go
_BY_ITSELF = 60  # of them, for its provisioner to delete a volume with its data


def present(api: KubeApi) -> dict[str, Json]:
    """What there is of all that tests make, by its path in the API."""
    return {f"{path}/{each['metadata']['name']}": each for path in LISTS for each in (api.find(path) or {}).get("items") or []}


def remove(api: KubeApi, before: Collection[str]) -> list[str]:
    """Remove what is there and wasn't before, and wait until it is gone.

    Returns the paths of what nobody had begun to remove, and of what doesn't go.
    """
    began = time.monotonic()
    found = _new(api, before)
    left = [path for path, each in found.items() if not _is_going(each)]
    while found and time.monotonic() < began + PATIENCE:
        for path, each in found.items():
            _remove(api, path, each, at_once=time.monotonic() > began + _BY_ITSELF)
        time.sleep(0.5)
        found = _new(api, before)
    return [*left, *(f"{path}, which doesn't go" for path in found)]


def _new(api: KubeApi, before: Collection[str]) -> dict[str, Json]:
    return {path: each for path, each in present(api).items() if path not in before}


def _is_going(found: Mapping[str, Any]) -> bool:
    """Whether it goes by itself: a volume does with its claim, by its reclaim policy."""
    return bool(found["metadata"].get("deletionTimestamp")) or (found.get("spec") or {}).get(_POLICY) == "Delete"


def _remove(api: KubeApi, path: str, found: Json, *, at_once: bool) -> None:
    if path.startswith(VOLUMES) and not at_once and found["status"].get("phase") in ("Bound", "Released"):
        api.patch(path, {"spec": {_POLICY: "Delete"}})  # its data as well, once its claim is gone
        return
    if path.startswith(VOLUMES):
        api.patch(path, {"metadata": {"finalizers": None}})
    api.delete(path, grace=0)


def remove_volumes(core: client.CoreV1Api) -> None:
    """Delete the volumes that claims have left, with their data: the reclaim policy Retain keeps
    them otherwise.
    """
    found = core.list_persistent_volume().items
    for volume in found:
        core.patch_persistent_volume(volume.metadata.name, {"spec": {_POLICY: "Delete"}})
    eventually(lambda: not core.list_persistent_volume().items, "volumes of the tests are gone")
    folders = [Path((each.spec.local or each.spec.host_path).path) for each in found if each.spec.local or each.spec.host_path]
    assert not [folder for folder in folders if folder.exists()], "their directories are gone as well"
