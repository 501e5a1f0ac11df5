"""A storage tier: one StorageClass, named after the tier and its provisioner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs
from pulumi_kubernetes.storage.v1 import StorageClass

from components import labels
from components.deletion import SOON
from components.provisioners import PROVISIONERS, TierParameters

DESCRIPTION = "kubernetes.io/description"  # a well-known annotation of Kubernetes

_PURPOSES = {
    "database": "For databases such as PostgreSQL: random I/O, ACID transactions, every commit synced.",
    "streaming": "For logs such as Kafka's: sequential I/O, high throughput, data replicated by the brokers.",
}


def purpose(tier: str) -> str:
    """What a tier is for, in a sentence; a tier of a name that isn't known here says only that."""
    return _PURPOSES.get(tier, f"Storage tier {tier}.")


def class_name(tier: str, provisioner: str) -> str:
    """The name of a tier's StorageClass, for example `database-local-path`."""
    return f"{tier}-{provisioner}"


@dataclass(frozen=True)
class StorageTierArgs:
    """`tier` and `provisioner` by their names in the settings, `parameters` as the provisioner has them, `stack` for labels."""

    tier: str
    provisioner: str
    parameters: TierParameters
    stack: str


class StorageTier(pulumi.ComponentResource):
    """The StorageClass of a tier. `class_name` is its name as a plain string, for claims to refer to.

    `definition` is everything about it that decides what a volume of it is: a new one is a new promise.
    """

    class_name: str
    definition: Mapping[str, Any]

    def __init__(self, name: str, args: StorageTierArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:StorageTier", name, None, opts)
        provisioner = PROVISIONERS[args.provisioner]
        fields = provisioner.storage_class(args.parameters)
        self.class_name = class_name(args.tier, args.provisioner)
        declared: dict[str, Any] = {
            "provisioner": provisioner.driver,
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
            metadata=ObjectMetaArgs(
                name=self.class_name,
                labels=labels.recommended("storage-tiers", args.stack, args.tier),
                annotations={
                    DESCRIPTION: f"{purpose(args.tier)} {provisioner.caveat}",
                    "storageclass.kubernetes.io/is-default-class": "false",
                    **fields.annotations,
                },
            ),
            **declared,
            opts=pulumi.ResourceOptions(
                parent=self,
                # Kubernetes refuses to change these. The kubernetes plugin knows it of the first two only (its forceNew list),
                # and decides on delete-before-replace for those alone; two classes of one name can't be.
                replace_on_changes=["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"],
                delete_before_replace=True,
                custom_timeouts=SOON,
            ),
        )
        self.register_outputs({"className": self.class_name})
