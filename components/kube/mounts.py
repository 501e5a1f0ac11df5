"""Which claims a pod mounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ENDED = ("Succeeded", "Failed")  # phases in which a pod mounts nothing any more


def claims_in(spec: Mapping[str, Any]) -> set[str]:
    """The names of the claims that a pod with this spec mounts."""
    volumes = spec.get("volumes") or []
    return {volume["persistentVolumeClaim"]["claimName"] for volume in volumes if volume.get("persistentVolumeClaim")}


def claims_mounted_by(pod: Mapping[str, Any]) -> set[str]:
    """The names of the claims that a pod, as the API has it, mounts; none once it has finished."""
    return set() if (pod.get("status") or {}).get("phase") in _ENDED else claims_in(pod["spec"])
