"""What a namespace may claim on a tier: what its services are allocated, and not a byte or a claim more."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_kubernetes.core.v1 import ResourceQuota, ResourceQuotaSpecArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kube import labels
from components.kube.quantity import quantity
from components.preflight.claims import QuotaHeadroom
from components.storage_tier import DESCRIPTION
from components.timeouts import SOON


@dataclass(frozen=True)
class TierQuotaArgs:
    """`claims` of together `size` bytes (a whole number of Mi) on `storage_class`, in `namespace`, and room for those that are `going`."""

    tier: str
    storage_class: str
    claims: int
    size: int
    going: QuotaHeadroom
    namespace: str
    stack: str


class TierQuota(pulumi.ComponentResource):
    """The quota of one class in the services' namespace; claims on other classes, and in other namespaces, don't count.

    Claims come after it (`depends_on`), so that it is raised before claims are added.
    """

    def __init__(self, name: str, args: TierQuotaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:TierQuota", name, None, opts)
        of_class = f"{args.storage_class}.storageclass.storage.k8s.io"
        ResourceQuota(
            f"quota-{name}",
            metadata=ObjectMetaArgs(
                name=args.storage_class,
                namespace=args.namespace,
                labels=labels.recommended("storage-tiers", args.stack, args.tier),
                annotations={DESCRIPTION: f"What the services of stack {args.stack} are allocated on tier {args.tier}."},
            ),
            spec=ResourceQuotaSpecArgs(
                # In the API server's own spelling: any other would show as a difference at every refresh.
                hard={
                    f"{of_class}/requests.storage": quantity(args.size + args.going.size),
                    f"{of_class}/persistentvolumeclaims": str(args.claims + args.going.claims),
                }
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None, custom_timeouts=SOON),
        )
        self.register_outputs({})
