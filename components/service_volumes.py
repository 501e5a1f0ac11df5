"""The volumes of a service: a claim for each replica, named as a StatefulSet would name it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypedDict

import pulumi
from pulumi_kubernetes.core.v1 import PersistentVolumeClaim, PersistentVolumeClaimSpecArgs, VolumeResourceRequirementsArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kube import labels
from components.kube.ownership import claim_name
from components.settings import ServiceSettings, Settings, Tier
from components.stack import Stack
from components.storage_tier import DESCRIPTION
from components.timeouts import DELETE_TIMEOUT

# The size as the settings have it. The claim itself asks for whole units of its provisioner (Size
# in components/kube/quantity.py).
REQUESTED = "storage-tiers/requested"


class ClaimOutput(TypedDict):
    """A claim in the stack output `claims`. Sizes are Kubernetes quantities."""

    name: str
    namespace: str
    storageClass: str
    accessMode: str
    requested: str
    """The size that the settings ask for, such as `3.3Gi`."""
    provisioned: str
    """The size that the claim itself asks for, such as `3380Mi`.

    A whole number of the provisioner's units.
    """


class ServiceVolumesArgs(NamedTuple):
    """What a service gets."""

    stack: Stack
    """The stack that the service belongs to."""
    service: str
    """The service's name."""
    settings: ServiceSettings
    """How many claims it has, of which size and access mode."""
    tier: Tier
    """The tier that they are on.

    Its class and the namespace are plain names: what makes those is for `depends_on`.
    """
    namespace: str
    """Where they are."""


class ServiceVolumes(pulumi.ComponentResource):
    """The claims `data-<service>-<ordinal>` of a service.

    A StatefulSet of the service's name with a template `data` adopts them.

    A claim refers to its class and namespace by plain strings. With outputs, replacing a class
    would replace its claims, and a replaced claim is an empty volume. `opts.depends_on` (the class,
    the namespace) orders the claims behind them.
    """

    claims: list[ClaimOutput]
    """The claims as the stack's outputs have them."""

    def __init__(self, name: str, args: ServiceVolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:ServiceVolumes", name, None, opts)
        settings = args.settings
        self.claims = [
            {
                "name": claim_name(args.service, ordinal),
                "namespace": args.namespace,
                "storageClass": args.tier.class_name,
                "accessMode": settings.access_mode,
                "requested": settings.size.requested,
                "provisioned": settings.size.provisioned,
            }
            for ordinal in range(settings.replicas)
        ]
        for ordinal, claim in enumerate(self.claims):
            PersistentVolumeClaim(
                claim["name"],
                metadata=ObjectMetaArgs(
                    name=claim["name"],
                    namespace=args.namespace,
                    labels=labels.recommended(args.service, args.stack.name, args.tier.name),
                    annotations={
                        DESCRIPTION: f"Volume {ordinal} of {args.service}, tier {args.tier.name}. {args.tier.kind.purpose}",
                        REQUESTED: settings.size.requested,
                        # Pending until a pod uses it is how it should be; and the plugin's await
                        # fails on a claim that is bound already when it first looks.
                        "pulumi.com/skipAwait": "true",
                    },
                ),
                spec=PersistentVolumeClaimSpecArgs(
                    access_modes=[settings.access_mode],
                    volume_mode="Filesystem",
                    storage_class_name=args.tier.class_name,
                    resources=VolumeResourceRequirementsArgs(requests={"storage": settings.size.provisioned}),
                ),
                # A component's depends_on is not its children's.
                opts=pulumi.ResourceOptions(
                    parent=self, protect=args.stack.protect, depends_on=opts.depends_on if opts else None, custom_timeouts=DELETE_TIMEOUT
                ),
            )
        self.register_outputs({"claims": self.claims})


def declare_volumes(stack: Stack, settings: Settings, behind: Mapping[str, Sequence[pulumi.Resource]]) -> dict[str, ServiceVolumes]:
    """The volumes of every service of the settings, by the service's name.

    `behind` is what they come after, by the name of their tier.
    """
    return {
        name: ServiceVolumes(
            name,
            ServiceVolumesArgs(stack, name, service, settings.tiers[service.tier], settings.namespace.name),
            stack.options(behind[service.tier]),
        )
        for name, service in settings.services.items()
    }
