"""The objects of the cluster that a stack may have made, and whose they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from components.kube import labels
from components.kube.api import KubeApi
from components.kube.discovery import Discovery
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.healing.state import Ref, ref_of

# What the program declares. A list of each is asked for at every `make up`: so only kinds that a
# cluster has few of, or in few namespaces.
_CLUSTER_LISTS = {"/apis/storage.k8s.io/v1/storageclasses": "StorageClass", "/api/v1/namespaces": "Namespace"}
_NAMESPACED_LISTS = {"persistentvolumeclaims": "PersistentVolumeClaim", "configmaps": "ConfigMap", "resourcequotas": "ResourceQuota"}


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
        return cls(ref, labels.of(item), bool(metadata.get("deletionTimestamp")))

    def is_of(self, stack: str) -> bool:
        """Whether Pulumi has made it for this stack, by the labels of all the program's objects."""
        return labels.stack_of(self.labels) == stack and self.labels.get(labels.MANAGED_BY) == "pulumi"

    def owner(self) -> str:
        """Whose it is, as far as its labels say, in words."""
        stack = labels.stack_of(self.labels)
        if stack:
            return f"of stack {stack}"
        said = ", ".join(f"{name}={value}" for name, value in sorted(self.labels.items()) if not name.startswith("kubernetes.io/metadata"))
        return f"labelled {said}" if said else "without labels"


class Objects:
    """Reads objects of any kind. Raises ApiError."""

    def __init__(self, api: KubeApi) -> None:
        self._api = api
        self._discovery = Discovery(api)

    def list_all(self, namespaces: list[str]) -> Iterator[Found]:
        """Objects of the kinds that the program declares: the cluster's, and these namespaces'.

        What this context may not list is left out.
        """
        lists = [*_CLUSTER_LISTS.items()]
        lists += [(f"/api/v1/namespaces/{where}/{plural}", kind) for where in namespaces for plural, kind in _NAMESPACED_LISTS.items()]
        for path, kind in lists:
            try:
                found = self._api.items(path)
            except ApiError as problem:
                if problem.status == HTTPStatus.FORBIDDEN:
                    continue
                raise
            yield from (Found.of(kind, item) for item in found)

    def find(self, inputs: Mapping[str, Any]) -> Found | None:
        """The object that these inputs of a resource declare, if it is there.

        Raises UserError for a kind that the cluster doesn't know.
        """
        version, kind = inputs["apiVersion"], inputs["kind"]
        resource = self._discovery.find(version, kind)
        if resource is None:
            raise UserError(f"the cluster has no {kind} of {version}.", "The stack declares one: is this the right cluster?")
        ref = ref_of(inputs)
        item = self._api.find(resource.path(ref.namespace, ref.name))
        return Found.of(kind, item) if item else None
