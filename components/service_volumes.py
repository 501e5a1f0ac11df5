"""The volumes of a service: one claim for each of its replicas, named as a StatefulSet would name them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import pulumi
from pulumi_kubernetes.core.v1 import PersistentVolumeClaim, PersistentVolumeClaimSpecArgs, VolumeResourceRequirementsArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kinds import TierKind
from components.kube import labels
from components.kube.ownership import claim_name
from components.kube.quantity import Size
from components.storage_tier import DESCRIPTION
from components.timeouts import SOON

# The size as the settings have it; the claim itself asks for whole Mi (see capacity.py).
REQUESTED = "storage-tiers/requested"


class Claim(TypedDict):
    """A claim in the stack output `claims`; sizes are Kubernetes quantities."""

    name: str
    namespace: str
    storageClass: str
    accessMode: str
    requested: str
    provisioned: str


@dataclass(frozen=True)
class ServiceVolumesArgs:
    """What a service gets. `tier`, `storage_class` and `namespace` are plain names: what makes those is for `depends_on`.

    `kind` is the tier's, for the claims' descriptions.
    """

    service: str
    tier: str
    kind: TierKind
    size: Size
    replicas: int
    access_mode: str
    storage_class: str
    namespace: str
    stack: str
    protect: bool


class ServiceVolumes(pulumi.ComponentResource):
    """The claims `data-<service>-<ordinal>`: a StatefulSet of the service's name with a template `data` adopts them.

    A claim refers to its class and namespace by plain strings. With outputs, replacing a class would replace its claims,
    and a replaced claim is an empty volume. `opts.depends_on` (the class, the namespace) orders the claims behind them.
    """

    claims: list[Claim]
    resources: list[PersistentVolumeClaim]

    def __init__(self, name: str, args: ServiceVolumesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:ServiceVolumes", name, None, opts)
        self.claims = [
            {
                "name": claim_name(args.service, ordinal),
                "namespace": args.namespace,
                "storageClass": args.storage_class,
                "accessMode": args.access_mode,
                "requested": args.size.requested,
                "provisioned": args.size.provisioned,
            }
            for ordinal in range(args.replicas)
        ]
        self.resources = [
            PersistentVolumeClaim(
                claim["name"],
                metadata=ObjectMetaArgs(
                    name=claim["name"],
                    namespace=args.namespace,
                    labels=labels.recommended(args.service, args.stack, args.tier),
                    annotations={
                        DESCRIPTION: f"Volume {ordinal} of {args.service}, tier {args.tier}. {args.kind.purpose}",
                        REQUESTED: args.size.requested,
                        # Pending until a pod uses it is how it should be; and the plugin's await fails on a claim that is
                        # bound already when it first looks.
                        "pulumi.com/skipAwait": "true",
                    },
                ),
                spec=PersistentVolumeClaimSpecArgs(
                    access_modes=[args.access_mode],
                    volume_mode="Filesystem",
                    storage_class_name=args.storage_class,
                    resources=VolumeResourceRequirementsArgs(requests={"storage": args.size.provisioned}),
                ),
                # A component's depends_on is not its children's.
                opts=pulumi.ResourceOptions(
                    parent=self, protect=args.protect, depends_on=opts.depends_on if opts else None, custom_timeouts=SOON
                ),
            )
            for ordinal, claim in enumerate(self.claims)
        ]
        self.register_outputs({"claims": self.claims})
