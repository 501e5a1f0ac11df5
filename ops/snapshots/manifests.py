"""What a restore needs for a moment: a claim made from a snapshot, and a pod for which a volume is
made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.canary.manifests import RESOURCES, container, metadata_of, short_lived
from components.kube import labels
from components.kube.quantity import as_quantity
from components.provisioners import SNAPSHOT_API
from components.settings import Settings
from ops.snapshots.sets import MANAGER, SET
from ops.volumes.wanted import Wanted

LIFETIME = 3600  # seconds after which Kubernetes ends a pod that nobody waits for any more
_MOUNT = "/volume"


def temporary_claim(wanted: Wanted, snapshot: str, moment: str, size: int) -> dict[str, Any]:
    """A claim of another name than the stack's, with what a snapshot has; `size` in bytes.

    It doesn't say a stack: nothing takes it for a claim of the stack's own.
    """
    metadata = _metadata(wanted, snapshot, moment)
    metadata["labels"][labels.NAME] = wanted.service  # not on the pod: a Service may choose its own by that
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": {
            "accessModes": [wanted.access_mode],
            "storageClassName": wanted.storage_class,
            "resources": {"requests": {"storage": as_quantity(size)}},
            "dataSource": {"apiGroup": SNAPSHOT_API.split("/")[0], "kind": "VolumeSnapshot", "name": snapshot},
        },
    }


def pod(settings: Settings, wanted: Wanted, snapshot: str, moment: str, terms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A pod that ends at once where the volume can be mounted.

    It has the canary's image, and what the cluster asks of the canary's pods. It has no fsGroup,
    and writes nothing: nothing of the data changes hands. `terms` are those of the nodes where it
    may run; none leaves it to the scheduler.
    """
    asked = settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    own = _metadata(wanted, snapshot, moment)
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}}
    mount = {"name": "volume", "mountPath": _MOUNT, "readOnly": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata_of(own["name"], own["namespace"], own["labels"], asked),
        "spec": {
            **short_lived(asked, LIFETIME, owns_volume=False),
            **({"affinity": affinity} if terms else {}),
            "containers": [
                container("restore", settings.canary.image, ["python3", "--version"], asked.get("resources", RESOURCES), [mount])
            ],
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": own["name"]}}],
        },
    }


def temporary_name(snapshot: str) -> str:
    """The name of both."""
    return f"restore-{snapshot}"


def _metadata(wanted: Wanted, snapshot: str, moment: str) -> dict[str, Any]:
    return {
        "name": temporary_name(snapshot),
        "namespace": wanted.namespace,
        "labels": {labels.MANAGED_BY: MANAGER, SET: moment},
    }
