"""The claims that a stack's settings ask for, and what each must be given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.kube.ownership import Stamp, claim_name
from components.kube.quantity import bytes_of
from components.settings import Settings, split_volume_reference
from ops.volumes.volume import Reference

# The parameter by which a class names its file system (external-provisioner: the only spelling that
# all CSI drivers take).
_FS_TYPE = "csi.storage.k8s.io/fstype"


@dataclass(frozen=True)
class Wanted:
    """One claim of the settings.

    `size` as a Kubernetes quantity, `capacity` the same in bytes, `choice` the setting `adopt` for
    it, without the size of the disk: that is `disk`, in bytes, and None where it isn't said.

    `mount_options` are those of its class, and `grows` is whether the class lets volumes grow.

    `provisioner` is the driver's name. `on_node`: its volumes are folders of one node;
    `path_pattern` and `node_path` as its tier has them.
    """

    stack: str
    service: str
    ordinal: int
    tier: str
    namespace: str
    name: str
    storage_class: str
    size: str
    capacity: int
    access_mode: str
    provisioner: str
    fs_type: str
    on_node: bool
    path_pattern: str
    node_path: str
    choice: str | None
    disk: int | None = None
    mount_options: tuple[str, ...] = ()
    grows: bool = False

    @property
    def stamp(self) -> Stamp:
        """What the volume of this claim is labelled with."""
        return Stamp(self.stack, self.service, self.ordinal, self.tier)

    @property
    def reference(self) -> Reference:
        """The claimRef of a volume that is reserved for this claim."""
        return Reference(self.namespace, self.name)

    def setting(self, volume: str) -> str:
        """How to choose `volume` for this claim, in the words that a user can copy."""
        return f"`pulumi config set --stack {self.stack} --path adopt.{self.service}.{self.ordinal} {volume}`"

    def __str__(self) -> str:
        return f"{self.service} {self.ordinal} ({self.namespace}/{self.name})"


def wanted_claims(settings: Settings) -> list[Wanted]:
    """Every claim of the settings, by service and ordinal."""
    return list(_wanted(settings))


def _wanted(settings: Settings) -> Iterator[Wanted]:
    provisioner = settings.provisioner
    for name, service in settings.services.items():
        tier = settings.tiers[service.tier]
        fields = provisioner.storage_class(tier.parameters)
        for ordinal in range(service.replicas):
            choice, disk = split_volume_reference(settings.adopt.get(name, {}).get(ordinal) or "")
            yield Wanted(
                stack=settings.stack,
                service=name,
                ordinal=ordinal,
                tier=service.tier,
                namespace=settings.namespace.name,
                name=claim_name(name, ordinal),
                storage_class=tier.class_name,
                size=service.size.provisioned,
                capacity=service.size.provisioned_bytes,
                access_mode=service.access_mode,
                provisioner=fields.driver or provisioner.driver,
                fs_type=fields.parameters.get(_FS_TYPE, ""),
                on_node=provisioner.tied_to_node,
                path_pattern=getattr(tier.parameters, "path_pattern", None) or "",
                node_path=getattr(tier.parameters, "node_path", None) or "",
                choice=choice or None,
                disk=bytes_of(disk) if disk else None,
                mount_options=tuple(fields.mount_options),
                grows=fields.allow_volume_expansion,
            )
