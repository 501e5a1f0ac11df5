"""The requests to the Kubernetes API that volumes need, with the API's JSON on both sides."""

from __future__ import annotations

from typing import Any

from kubernetes.client.exceptions import ApiException

from ops.cluster import Cluster
from ops.errors import UserError

Json = dict[str, Any]

_MERGE = "application/merge-patch+json"


class Api:
    """Volumes, claims and nodes of one cluster. A right that this user lacks becomes a UserError that names it."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def get(self, path: str) -> Json:
        """The JSON at a path of the API; raises ApiException with the API's status."""
        found: Json = self._request(path, "GET")
        return found

    def find(self, path: str) -> Json | None:
        """The same for something that may not be there."""
        try:
            return self.get(path)
        except ApiException as problem:
            if problem.status == 404:
                return None
            raise

    def patch(self, path: str, body: Json) -> bool:
        """Merge `body` into the object; False where it is gone or is no longer at the resourceVersion that `body` names."""
        try:
            self._request(path, "PATCH", body, _MERGE)
        except ApiException as problem:
            if problem.status in (404, 409):
                return False
            raise
        return True

    def volumes(self) -> list[Json]:
        """All PersistentVolumes of the cluster."""
        return self._items("/api/v1/persistentvolumes")

    def claims(self, namespace: str) -> list[Json]:
        """The claims in a namespace; none in one that doesn't exist."""
        return self._items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")

    def all_claims(self) -> list[Json]:
        """The claims of all namespaces."""
        return self._items("/api/v1/persistentvolumeclaims")

    def nodes(self) -> list[Json]:
        """The cluster's nodes."""
        return self._items("/api/v1/nodes")

    def namespace_is_going(self, namespace: str) -> bool:
        """Whether the namespace is being deleted."""
        found = self.find(f"/api/v1/namespaces/{namespace}")
        return bool(found and found["metadata"].get("deletionTimestamp"))

    def change_volume(self, name: str, body: Json) -> bool:
        """Merge `body` into a volume; see `patch`."""
        return self.patch(f"/api/v1/persistentvolumes/{name}", body)

    def create_volume(self, manifest: Json) -> bool:
        """Declare a volume; False where one of that name is there already."""
        try:
            self._request("/api/v1/persistentvolumes", "POST", manifest)
        except ApiException as problem:
            if problem.status == 409:
                return False
            raise
        return True

    def last_events(self, namespace: str, name: str) -> list[str]:
        """What the cluster has said last about an object: at most three lines."""
        path = f"/api/v1/namespaces/{namespace}/events?fieldSelector=involvedObject.name%3D{name}"
        events = sorted(self._items(path), key=lambda event: event.get("lastTimestamp") or event["metadata"]["creationTimestamp"])
        return [f"{event.get('reason')}: {event.get('message')}" for event in events[-3:]]

    def _items(self, path: str) -> list[Json]:
        return self.get(path).get("items") or []

    def _request(self, path: str, method: str, body: Json | None = None, content: str = "application/json") -> Any:  # noqa: ANN401
        try:
            return self.cluster.call(
                self.cluster.api.call_api,
                path,
                method,
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                response_type="object",
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
            )
        except ApiException as problem:
            if problem.status not in (401, 403):
                raise
            verb = {"GET": "read", "PATCH": "change", "POST": "create"}[method]
            raise UserError(
                f"the API of context {self.cluster.context!r} refuses to {verb} {path.partition('?')[0]} "
                f"({problem.status} {problem.reason}).",
                "Use a context that may: get, list, patch and create persistentvolumes; get and list persistentvolumeclaims and nodes.",
            ) from None
