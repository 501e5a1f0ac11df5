"""What Kubernetes reads on classes of storage, and what it doesn't let change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# With either at "true", and no other spelling of that, a class is the default one (kubernetes,
# pkg/volume/util/storageclass.go: IsDefaultAnnotation, which the admission plugin
# DefaultStorageClass asks).
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")

# The same for a VolumeSnapshotClass (external-snapshotter, pkg/utils/util.go:
# IsDefaultSnapshotClassAnnotation).
DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"

# The fields of each kind for which another value means a class that is deleted and made again.
# Kubernetes refuses to change them, but for those of a VolumeSnapshotClass, where a snapshot's
# driver and policy are to be those it was asked of (kubernetes, pkg/apis/storage/validation). All
# other fields are updated in place.
REPLACING: Mapping[str, tuple[str, ...]] = {
    "StorageClass": ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    "VolumeSnapshotClass": ("parameters", "driver", "deletionPolicy"),
    "VolumeAttributesClass": ("parameters", "driverName"),
}


def made_default_by(item: Mapping[str, Any]) -> list[str]:
    """The annotations by which a StorageClass, as the API's JSON has it, is the default one."""
    found = item["metadata"].get("annotations") or {}
    return [key for key in DEFAULT_CLASS if found.get(key) == "true"]
