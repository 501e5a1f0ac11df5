"""What is asked of the Kubernetes API for volumes, with the API's JSON on both sides."""

from __future__ import annotations

from http import HTTPStatus

from components.kube.api import Json, KubeApi
from components.kube.errors import ApiError

_VOLUMES = "/api/v1/persistentvolumes"


class VolumesApi:
    """Volumes, claims and nodes of one cluster. Every method raises ApiError."""

    def __init__(self, kube: KubeApi) -> None:
        self.kube = kube

    def volumes(self) -> list[Json]:
        """All PersistentVolumes of the cluster."""
        return self.kube.items(_VOLUMES)

    def claims(self, namespace: str) -> list[Json]:
        """The claims in a namespace; none in one that doesn't exist."""
        return self.kube.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")

    def all_claims(self) -> list[Json]:
        """The claims of all namespaces."""
        return self.kube.items("/api/v1/persistentvolumeclaims")

    def nodes(self) -> list[Json]:
        """The cluster's nodes."""
        return self.kube.items("/api/v1/nodes")

    def namespace_is_going(self, namespace: str) -> bool:
        """Whether the namespace is being deleted."""
        found = self.kube.find(f"/api/v1/namespaces/{namespace}")
        return bool(found and found["metadata"].get("deletionTimestamp"))

    def change_volume(self, name: str, body: Json) -> bool:
        """Merge `body` into a volume.

        False where it is gone or is no longer at the resourceVersion that `body` names.
        """
        return self.kube.patch(f"{_VOLUMES}/{name}", body) is not None

    def volume(self, name: str) -> Json | None:
        """A volume; None where there is none of that name."""
        return self.kube.find(f"{_VOLUMES}/{name}")

    def delete_volume(self, name: str, uid: str) -> None:
        """Delete a volume's object, where it still is the one of this UID."""
        self.kube.delete(f"{_VOLUMES}/{name}", uid=uid)

    def create_volume(self, manifest: Json) -> bool:
        """Declare a volume; False where one of that name is there already."""
        try:
            self.kube.create(_VOLUMES, manifest)
        except ApiError as problem:
            if problem.status == HTTPStatus.CONFLICT:
                return False
            raise
        return True

    def last_events(self, namespace: str, name: str) -> list[str]:
        """What the cluster has said last about an object: at most three lines."""
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}"
        events = sorted(self.kube.items(path), key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
        return [f"{event.get('reason')}: {event.get('message')}" for event in events[-3:]]
