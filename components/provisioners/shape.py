"""What every provisioner gives: the parameters a tier may have, the rules they keep at a size, and the classes they make."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from components.kinds import TierKind
from components.kube.quantity import GI, MI, Size, quantity
from components.provisioners.finding import Finding, Volume, error
from components.provisioners.manifests import Manifest, on_block_storage

if TYPE_CHECKING:  # reading settings alone must not cost the import of the kubernetes SDK
    from pulumi_kubernetes.core.v1 import TopologySelectorTermArgsDict

SNAPSHOT_API = "snapshot.storage.k8s.io/v1"  # of VolumeSnapshotClass: external-snapshotter's, which clusters don't have by themselves
ATTRIBUTES_API = "storage.k8s.io/v1"  # of VolumeAttributesClass, from Kubernetes 1.34 on


class TierParameters(BaseModel):
    """Base of a tier's settings for one provisioner.

    Every field has a `description` (the rule that it must keep) and one of `examples` (a value that works): both are shown
    to a user who wrote something else.
    """

    # Built when it is first used: a stack has one provisioner, and the models of all cost a tenth of a second at every preview.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel, defer_build=True)


@dataclass(frozen=True)
class StorageClassFields:
    """The fields of a StorageClass that the provisioner decides; the others are the same for all (see StorageTier).

    `driver` is for a tier whose driver isn't the provisioner's usual one.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    allow_volume_expansion: bool = False
    mount_options: Sequence[str] = ()
    allowed_topologies: Sequence[TopologySelectorTermArgsDict] = ()
    driver: str = ""


@dataclass(frozen=True)
class SnapshotClassFields:
    """The fields of a VolumeSnapshotClass; `deletion_policy` is Retain or Delete."""

    deletion_policy: str
    parameters: Mapping[str, str]


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
    size_unit: ClassVar[int] = MI
    """What volumes are a whole number of, in bytes: a claim asks for the size that the driver would round it up to."""
    keys_in_any_case: ClassVar[bool] = False
    """Whether the driver puts the keys of parameters into lower case."""
    topology_keys: ClassVar[Mapping[str, str]] = {}
    """The keys that the driver reads in allowedTopologies, each with `zone`, or `other` for what isn't a zone."""

    @property
    def drivers(self) -> tuple[str, ...]:
        """Every value of the StorageClass field `provisioner` that stands for it."""
        return (self.driver,)

    @property
    @abstractmethod
    def parameters_model(self) -> type[P]:
        """The settings that a tier may have."""

    @abstractmethod
    def storage_class(self, parameters: P) -> StorageClassFields:
        """The fields of the class for a tier with these settings."""

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """The settings that a tier of this kind has where the stack says nothing else."""
        del kind
        return {}

    def findings(self, parameters: P, volumes: Sequence[Volume]) -> Iterator[Finding]:
        """What is wrong with a class of these settings, by itself and at each size that is asked of it."""
        del parameters, volumes
        yield from ()

    def snapshot_class(self, parameters: P) -> SnapshotClassFields | None:
        """The VolumeSnapshotClass of a tier that wants one."""
        del parameters
        return None

    def attributes_classes(self, parameters: P) -> Mapping[str, Mapping[str, str]]:
        """The parameters of the VolumeAttributesClasses of a tier that wants some, by the name that the settings have for each."""
        del parameters
        return {}

    def smallest_bytes(self, parameters: P, least: int, others: Iterable[Size] = ()) -> int | None:
        """The smallest size that a volume of such a class can have, from `least` bytes on; None where there is none.

        Types have a smallest size, and figures such as iops a size below which the driver lowers them. Tried are all sizes up to
        a quarter of a TiB, then the `others` and powers of two: no rule of a driver is finer beyond that.
        """
        small = (number * GI for number in range(1, 257))
        large = sorted({*(each.provisioned_bytes for each in others), *(GI << power for power in range(9, 17))})
        for number in (least, *small, *large):
            size = Size.parse(quantity(-(-number // MI) * MI)).in_units_of(self.size_unit)
            found = self.findings(parameters, [Volume("canary", size)])
            if size.provisioned_bytes >= least and not any(each.severity == "error" for each in found):
                return size.provisioned_bytes
        return None

    def class_findings(self, manifest: Manifest) -> Iterator[Finding]:
        """What is wrong with the fields of a class that exists already, its parameters apart."""
        yield from on_block_storage(manifest)

    def misfit(self, finding: Finding, manifest: Manifest) -> Finding:
        """What becomes of a class with a value that the typed settings refuse, as this finding has it."""
        del manifest
        return finding

    def unknown(self, key: str, value: object) -> Finding:
        """What becomes of a class that has a parameter which the driver doesn't know."""
        return error(key, value, self.why_refused(key), f"without `{key}`")

    def why_refused(self, key: str) -> str:
        """Why a tier may not have the setting `key`, where there is more to say than that it is unknown; else ``""``."""
        del key
        return ""
