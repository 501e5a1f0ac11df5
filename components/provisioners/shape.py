"""What every provisioner gives: the parameters a tier may have, and the StorageClass they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:  # reading settings alone must not cost the import of the kubernetes SDK
    from pulumi_kubernetes.core.v1 import TopologySelectorTermArgsDict


class TierParameters(BaseModel):
    """Base of a tier's settings for one provisioner.

    Every field has a `description` (the rule that it must keep) and one of `examples` (a value that works): both are shown
    to a user who wrote something else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


@dataclass(frozen=True)
class StorageClassFields:
    """The fields of a StorageClass that the provisioner decides; the others are the same for all (see StorageTier)."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    allow_volume_expansion: bool = False
    mount_options: Sequence[str] = ()
    allowed_topologies: Sequence[TopologySelectorTermArgsDict] = ()


P = TypeVar("P", bound=TierParameters)


class Provisioner(ABC, Generic[P]):
    """One storage driver. A new one is a module beside this one, a stack file and a line in `components.provisioners`."""

    name: ClassVar[str]
    """What the setting `provisioner` calls it, and the ending of its classes' names."""
    driver: ClassVar[str]
    """The StorageClass field `provisioner`."""
    caveat: ClassVar[str]
    """What a user of its volumes must know, in one sentence; part of each class's description."""
    enforces_size: ClassVar[bool] = True
    """Whether a volume is as large as its claim; where it isn't, free space is a matter of the disk below."""
    tied_to_node: ClassVar[bool] = False
    """Whether a volume is on one node's own disk: then no cloud's nodes, which are replaced together with their disks."""

    @property
    @abstractmethod
    def parameters_model(self) -> type[P]:
        """The settings that a tier may have."""

    @abstractmethod
    def storage_class(self, parameters: P) -> StorageClassFields:
        """The fields of the class for a tier with these settings."""

    def why_refused(self, key: str) -> str:
        """Why a tier may not have the setting `key`, where there is more to say than that it is unknown; else ``""``."""
        del key
        return ""
