"""What every provisioner gives: a tier's parameters, their rules, and the classes made of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from components.kinds import TierKind
from components.kube.quantity import GI, MI, Size, quantity
from components.provisioners.codecs import Codec, Numbered, codec_of
from components.provisioners.findings import Finding, RequestedVolume, error
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Drop
from components.provisioners.shared_rules import on_block_storage

if TYPE_CHECKING:  # reading settings alone must not cost the import of the kubernetes SDK
    from pulumi_kubernetes.core.v1 import TopologySelectorTermArgsDict

# Of VolumeSnapshotClass: external-snapshotter's API, which clusters don't have by themselves.
SNAPSHOT_API = "snapshot.storage.k8s.io/v1"
# Of VolumeAttributesClass, from Kubernetes 1.34 on.
ATTRIBUTES_API = "storage.k8s.io/v1"
# Keys that external-provisioner keeps for itself, and the one that it takes for the file system.
RESERVED_PREFIX = "csi.storage.k8s.io/"
FSTYPE = f"{RESERVED_PREFIX}fstype"


class TierParameters(BaseModel):
    """Base of a tier's settings for one provisioner.

    Every field has a `description`, the rule that it must keep.
    In its `examples` is a value that works.
    Both are shown to a user who wrote something else.
    """

    # Built when it is first used: the models of all provisioners cost a tenth of a second.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel, defer_build=True)


class StorageClassFields(NamedTuple):
    """The fields of a StorageClass that the provisioner decides; StorageTier has the others.

    `driver` is for a tier whose driver isn't the provisioner's usual one.
    """

    parameters: Mapping[str, str] = MappingProxyType({})
    annotations: Mapping[str, str] = MappingProxyType({})
    allow_volume_expansion: bool = False
    mount_options: Sequence[str] = ()
    allowed_topologies: Sequence[TopologySelectorTermArgsDict] = ()
    driver: str = ""


class SnapshotClassFields(NamedTuple):
    """The fields of a VolumeSnapshotClass; `deletion_policy` is Retain or Delete."""

    deletion_policy: str
    parameters: Mapping[str, str]


P = TypeVar("P", bound=TierParameters)


class Provisioner(ABC, Generic[P]):
    """One storage driver.

    A new one is a package beside this module, a line in `components/provisioners/__init__.py`
    and a stack file.
    """

    name: ClassVar[str]
    """What the setting `provisioner` calls it, and the ending of its classes' names."""
    driver: ClassVar[str]
    """The StorageClass field `provisioner`."""
    caveat: ClassVar[str]
    """What a user of its volumes must know, in one sentence; part of each class's description."""
    enforces_size: ClassVar[bool] = True
    """Whether a volume is as large as its claim; else free space is a matter of the disk below."""
    tied_to_node: ClassVar[bool] = False
    """Whether a volume is on a node's own disk, which a cloud replaces together with the node."""
    size_unit: ClassVar[int] = MI
    """What volumes are a whole number of, in bytes: claims ask for sizes rounded up to it."""
    keys_in_any_case: ClassVar[bool] = False
    """Whether the driver puts the keys of parameters into lower case."""
    topology_keys: ClassVar[Mapping[str, str]] = {}
    """The keys that the driver reads in allowedTopologies, each with `zone`, or `other`."""

    @property
    def drivers(self) -> tuple[str, ...]:
        """Every value of the StorageClass field `provisioner` that stands for it."""
        return (self.driver,)

    @property
    @abstractmethod
    def parameters_model(self) -> type[P]:
        """The settings that a tier may have."""

    @cached_property
    def codecs(self) -> Mapping[str, Codec[Any] | Numbered]:
        """How each parameter is written, by its key in a class."""
        found = {field.alias or name: codec_of(field) for name, field in self.parameters_model.model_fields.items()}
        return {key: codec for key, codec in found.items() if codec is not None}

    @abstractmethod
    def storage_class(self, parameters: P) -> StorageClassFields:
        """The fields of the class for a tier with these settings."""

    def defaults(self, kind: TierKind) -> Mapping[str, Any]:
        """The settings that a tier of this kind has where the stack says nothing else."""
        del kind
        return {}

    def findings(self, parameters: P, volumes: Sequence[RequestedVolume]) -> Iterator[Finding]:
        """What is wrong with a class of these settings, by itself and at each volume's size."""
        del parameters, volumes
        yield from ()

    def snapshot_class(self, parameters: P) -> SnapshotClassFields | None:
        """The VolumeSnapshotClass of a tier that wants one."""
        del parameters
        return None

    def attributes_classes(self, parameters: P) -> Mapping[str, Mapping[str, str]]:
        """The parameters of a tier's VolumeAttributesClasses, by the settings' name for each."""
        del parameters
        return {}

    def smallest_bytes(self, parameters: P, least: int, others: Iterable[Size] = ()) -> int | None:
        """The smallest size of at least `least` bytes that a volume of such a class can have.

        None where there is none.
        Types have a smallest size, and figures such as iops a size below which drivers lower them.
        Tried are all sizes up to a quarter of a TiB, then the `others` and powers of two.
        No rule of a driver is finer beyond that.
        """
        small = (number * GI for number in range(1, 257))
        large = sorted({*(each.provisioned_bytes for each in others), *(GI << power for power in range(9, 17))})
        for number in (least, *small, *large):
            size = Size.parse(quantity(-(-number // MI) * MI)).in_units_of(self.size_unit)
            found = self.findings(parameters, [RequestedVolume("canary", size)])
            if size.provisioned_bytes >= least and not any(each.severity == "error" for each in found):
                return size.provisioned_bytes
        return None

    def class_findings(self, manifest: StorageClassManifest) -> Iterator[Finding]:
        """What is wrong with the fields of a class that exists already, its parameters apart."""
        yield from on_block_storage(manifest)

    def misfit(self, finding: Finding, manifest: StorageClassManifest) -> Finding:
        """What becomes of an existing class with a value that settings refuse with `finding`."""
        del manifest
        return finding

    def unknown(self, key: str, value: object) -> Finding:
        """What becomes of an existing class that has a parameter which the driver doesn't know."""
        return error(key, value, self.why_refused(key), Drop(key))

    def why_refused(self, key: str) -> str:
        """Why a tier may not have the setting `key`; ``""`` where that is all there is to say."""
        del key
        return ""
