"""A StorageClass as it is written: what the rules for classes that exist already look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WAIT = "WaitForFirstConsumer"


@dataclass(frozen=True)
class StorageClassManifest:
    """The fields of a StorageClass, with Kubernetes' defaults for what isn't written.

    `parameters` are as they are written, so their values need not be strings.
    `topologies` are the keys of `allowedTopologies`, each with its values.
    `topology_places` says where each of them is in the manifest, where that is known.
    """

    name: str
    provisioner: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    reclaim_policy: str = "Delete"
    binding_mode: str = "Immediate"
    allow_volume_expansion: bool = False
    mount_options: Sequence[str] = ()
    topologies: Sequence[tuple[str, Sequence[str]]] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    topology_places: Sequence[tuple[str | int, ...]] = field(default=(), compare=False, repr=False)
