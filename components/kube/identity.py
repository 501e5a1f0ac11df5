"""What tells a cluster from every other one, also from one of the same name that was made in its
place: the UID of its namespace kube-system.

Kubernetes makes that namespace with the cluster and lets nobody delete it
(https://opentelemetry.io/docs/specs/semconv/resource/k8s/#cluster: `k8s.cluster.uid`).
"""

from __future__ import annotations

from components.kube.discovery import ReadingApi

NAMESPACE = "kube-system"


def cluster_uid(api: ReadingApi) -> str:
    """The cluster's UID. Raises ApiError, for a user who may not get that namespace as well."""
    return str(api.get(f"/api/v1/namespaces/{NAMESPACE}")["metadata"]["uid"])
