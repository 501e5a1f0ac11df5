"""A storage tier: its StorageClass, and its classes for snapshots and changes of volumes.

The StorageClass is named after the tier and its provisioner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass, VolumeAttributesClass

from components.kube import labels
from components.kube.attributes import AttributesClass, WantedAttributes, name_for
from components.kube.classes import DEFAULT_CLASS, REPLACING
from components.provisioners import SNAPSHOT_API, Provisioner
from components.settings import Settings, Tier
from components.stack import Stack
from components.timeouts import DELETE_TIMEOUT

DESCRIPTION = "kubernetes.io/description"  # a well-known annotation of Kubernetes


class StorageTierArgs(NamedTuple):
    """What a tier is made of."""

    stack: Stack
    """The stack that it belongs to."""
    tier: Tier
    """The tier as the settings have it."""
    provisioner: Provisioner[Any]
    """The driver of its volumes."""
    attributes_found: Sequence[AttributesClass] = ()
    """The VolumeAttributesClasses that the cluster has, whosever they are."""


class StorageTier(pulumi.ComponentResource):
    """The StorageClass of a tier.

    A tier that wants them has a VolumeSnapshotClass of the same name as well, and
    VolumeAttributesClasses `<class>-<name>-<hash>`: these change volumes while they are in use.
    """

    tier: Tier
    """The tier as the settings have it; the class's name in it is what claims refer to."""
    definition: Mapping[str, Any]
    """Everything about the class that decides what a volume of it is.

    A new one is a new promise.
    """
    enforces_size: bool
    """Whether a volume is as large as its claim."""
    keeps_attributes: bool
    """Whether it has VolumeAttributesClasses, which Pulumi leaves in the cluster."""

    def __init__(self, name: str, args: StorageTierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:StorageTier", name, None, opts)
        tier, provisioner = args.tier, args.provisioner
        fields = provisioner.storage_class(tier.parameters)
        self.tier, self.enforces_size = tier, provisioner.enforces_size
        driver = fields.driver or provisioner.driver
        declared: dict[str, Any] = {
            "provisioner": driver,
            "parameters": dict(fields.parameters),
            "reclaim_policy": "Retain",
            "volume_binding_mode": "WaitForFirstConsumer",
            "allow_volume_expansion": fields.allow_volume_expansion,
            "mount_options": list(fields.mount_options),
            "allowed_topologies": list(fields.allowed_topologies),
        }
        self.definition = {**declared, "annotations": dict(fields.annotations)}
        StorageClass(
            name,
            metadata=self._metadata(
                args,
                tier.class_name,
                f"{tier.kind.purpose} {provisioner.caveat}",
                {DEFAULT_CLASS[0]: "false", **fields.annotations},
            ),
            **declared,
            # The kubernetes plugin knows of the first two only that they can't be changed (its
            # forceNew list).
            opts=self._immutable("StorageClass"),
        )
        snapshots = provisioner.snapshot_class(tier.parameters)
        if snapshots:
            # The SDK's own CustomResource takes a `spec` alone, and this kind has none.
            pulumi.CustomResource(
                f"kubernetes:{SNAPSHOT_API}:VolumeSnapshotClass",
                f"{name}-snapshots",
                {
                    "apiVersion": SNAPSHOT_API,
                    "kind": "VolumeSnapshotClass",
                    "metadata": self._metadata(args, tier.class_name, f"For snapshots of volumes of {tier.class_name}."),
                    "driver": driver,
                    "deletionPolicy": snapshots.deletion_policy,
                    "parameters": dict(snapshots.parameters),
                },
                self._immutable("VolumeSnapshotClass"),
            )
        attributes = list(self._attributes_classes(args, driver))
        self.keeps_attributes = bool(attributes)
        for each in attributes:
            self._declare_attributes_class(name, args, each)
        self.register_outputs({"className": tier.class_name})

    def _attributes_classes(self, args: StorageTierArgs, driver: str) -> Iterator[WantedAttributes]:
        """Those of the settings, and behind them all others of this tier that the cluster has.

        The others are declared as they are, for volumes that may name them.
        """
        tier, stack = args.tier, args.stack.name
        wanted = {
            each.name: each
            for change, parameters in args.provisioner.attributes_classes(tier.parameters).items()
            for each in [name_for(f"{tier.class_name}-{change}", driver, parameters, stack, args.attributes_found)]
        }
        yield from wanted.values()
        for found in args.attributes_found:
            if (
                (found.stack, found.tier) == (stack, tier.name)
                and found.name.startswith(f"{tier.class_name}-")
                and found.name not in wanted
            ):
                yield WantedAttributes(found.name, found.driver, found.parameters, there=True)

    def _declare_attributes_class(self, tier_name: str, args: StorageTierArgs, each: WantedAttributes) -> None:
        """Declare a VolumeAttributesClass.

        Pulumi never deletes it (what volumes name would stay, going, and the run would fail): the
        guard of a destroy deletes those that nothing names. One that is there is taken over where
        the state doesn't have it: after such a destroy, or when a tier comes back. For one that the
        state has, `import_` does nothing. No change replaces one: other content has another name,
        and a plugin that doesn't know the kind imports nothing of an object but its name.
        """
        VolumeAttributesClass(
            f"{tier_name}-{each.name.removeprefix(f'{args.tier.class_name}-')}",
            metadata=self._metadata(
                args,
                each.name,
                f"Changes a volume of {args.tier.class_name} whose claim names it as volumeAttributesClassName.",
            ),
            driver_name=each.driver,
            parameters=dict(each.parameters),
            opts=pulumi.ResourceOptions(
                parent=self,
                custom_timeouts=DELETE_TIMEOUT,
                retain_on_delete=True,
                import_=each.name if each.there else None,
            ),
        )

    def _metadata(self, args: StorageTierArgs, name: str, description: str, annotations: Mapping[str, str] | None = None) -> ObjectMetaArgs:
        return ObjectMetaArgs(
            name=name,
            labels=labels.recommended("storage-tiers", args.stack.name, args.tier.name),
            annotations={DESCRIPTION: description, **(annotations or {})},
        )

    def _immutable(self, kind: str) -> pulumi.ResourceOptions:
        """Options of a class: for another value of the fields that can't change it is replaced.

        The old class goes first, because both have one name.
        """
        return pulumi.ResourceOptions(
            parent=self, replace_on_changes=list(REPLACING[kind]), delete_before_replace=True, custom_timeouts=DELETE_TIMEOUT
        )


def declare_tiers(stack: Stack, settings: Settings, attributes_found: Sequence[AttributesClass] = ()) -> dict[str, StorageTier]:
    """Every tier of the settings, by name.

    `attributes_found` are the VolumeAttributesClasses that the cluster has.
    """
    return {
        name: StorageTier(name, StorageTierArgs(stack, tier, settings.provisioner, attributes_found), stack.options())
        for name, tier in settings.tiers.items()
    }
