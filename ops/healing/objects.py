"""The objects of the cluster that a stack may have made, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes.client.exceptions import ApiException

from components.kube import labels
from ops.cluster import Cluster
from ops.errors import UserError
from ops.healing.state import Ref, ref_of

# What the program declares: a list of each is asked for at every `make up`, so only kinds that a cluster has few of, or in few namespaces.
_CLUSTER_LISTS = ("/apis/storage.k8s.io/v1/storageclasses", "/api/v1/namespaces")
_NAMESPACED_LISTS = ("persistentvolumeclaims", "configmaps", "resourcequotas")


@dataclass(frozen=True)
class Found:
    """An object that is in the cluster: its labels, and whether it is being deleted."""

    ref: Ref
    labels: Mapping[str, str]
    terminating: bool

    @classmethod
    def of(cls, kind: str, item: Mapping[str, Any]) -> Found:
        """From the API's JSON; items of a list have no kind of their own."""
        metadata = item["metadata"]
        ref = Ref(kind, metadata.get("namespace") or "", metadata["name"])
        return cls(ref, metadata.get("labels") or {}, bool(metadata.get("deletionTimestamp")))

    def is_of(self, stack: str) -> bool:
        """Whether Pulumi has made it for this stack: by the labels that all objects of the program have."""
        return {**labels.of_stack(stack), labels.MANAGED_BY: "pulumi"}.items() <= self.labels.items()

    def owner(self) -> str:
        """Whose it is, as far as its labels say, in words."""
        part, instance = self.labels.get(labels.PART_OF), self.labels.get(labels.INSTANCE)
        if part == labels.PROJECT and instance:
            return f"of stack {instance}"
        said = ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()) if not name.startswith("kubernetes.io/metadata"))
        return f"labelled {said}" if said else "without labels"


class Objects:
    """Reads objects of any kind, as the API's JSON."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def _get(self, path: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.cluster.find(
            self.cluster.api.call_api, path, "GET", response_type="object", auth_settings=["BearerToken"], _return_http_data_only=True
        )
        return found

    def list_all(self, namespaces: list[str]) -> Iterator[Found]:
        """Objects of the kinds that the program declares: those of the cluster, and those in these namespaces.

        What this context may not list is left out.
        """
        paths = [*_CLUSTER_LISTS, *(f"/api/v1/namespaces/{where}/{kind}" for where in namespaces for kind in _NAMESPACED_LISTS)]
        for path in paths:
            try:
                found = self._get(path) or {}
            except ApiException as problem:
                if problem.status == 403:
                    continue
                raise
            kind = found.get("kind", "").removesuffix("List")
            yield from (Found.of(kind, item) for item in found.get("items") or [])

    def find(self, inputs: Mapping[str, Any]) -> Found | None:
        """The object that these inputs of a resource declare, if it is there. Raises UserError for a kind that the cluster doesn't know."""
        version, kind = inputs["apiVersion"], inputs["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._kinds:
            listed = (self._get(root) or {}).get("resources") or []
            self._kinds[version] = {each["kind"]: (each["name"], each["namespaced"]) for each in listed if "/" not in each["name"]}
        if kind not in self._kinds[version]:
            raise UserError(f"the cluster has no {kind} of {version}.", "The stack declares one: is this the right cluster?")
        plural, namespaced = self._kinds[version][kind]
        ref = ref_of(inputs)
        path = f"{root}/namespaces/{ref.namespace}/{plural}/{ref.name}" if namespaced else f"{root}/{plural}/{ref.name}"
        item = self._get(path)
        return Found.of(kind, item) if item else None
