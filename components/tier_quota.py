"""What a namespace may claim on a tier: what its services are allocated, and no byte more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_kubernetes.core.v1 import ResourceQuota, ResourceQuotaSpecArgs
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.allocation import Allocation
from components.kube import labels
from components.kube.quantity import quantity
from components.preflight.claims import QuotaHeadroom
from components.settings import Settings, Tier
from components.stack import Stack
from components.storage_tier import DESCRIPTION
from components.timeouts import DELETE_TIMEOUT


@dataclass(frozen=True)
class TierQuotaArgs:
    """What is allowed on a tier."""

    stack: Stack
    """The stack that the tier belongs to."""
    tier: Tier
    """The tier, whose class is the one that is limited."""
    namespace: str
    """The services' namespace."""
    claims: int
    """How many claims the services have on the tier."""
    size: int
    """What these are provisioned with, all together, in bytes: a whole number of Mi."""
    headroom: QuotaHeadroom = field(default_factory=QuotaHeadroom)
    """What is allowed beside them: for claims that this run deletes or replaces, for restores."""


class TierQuota(pulumi.ComponentResource):
    """The quota of one class in the services' namespace.

    Claims on other classes, and in other namespaces, don't count.

    Claims come after it (`depends_on`), so that it is raised before claims are added.
    """

    def __init__(self, name: str, args: TierQuotaArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:TierQuota", name, None, opts)
        tier, stack, headroom = args.tier, args.stack.name, args.headroom
        of_class = f"{tier.class_name}.storageclass.storage.k8s.io"
        ResourceQuota(
            f"quota-{name}",
            metadata=ObjectMetaArgs(
                name=tier.class_name,
                namespace=args.namespace,
                labels=labels.recommended("storage-tiers", stack, tier.name),
                annotations={DESCRIPTION: f"What the services of stack {stack} are allocated on tier {tier.name}."},
            ),
            spec=ResourceQuotaSpecArgs(
                # In the API server's own spelling: any other would show as a difference at every
                # refresh.
                hard={
                    f"{of_class}/requests.storage": quantity(args.size + headroom.size),
                    f"{of_class}/persistentvolumeclaims": str(args.claims + headroom.claims),
                }
            ),
            opts=pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None, custom_timeouts=DELETE_TIMEOUT),
        )
        self.register_outputs({})


def declare_quotas(
    stack: Stack,
    settings: Settings,
    allocation: Allocation,
    headroom: Mapping[str, QuotaHeadroom],
    depends_on: Sequence[pulumi.Resource],
) -> dict[str, TierQuota]:
    """A quota for every tier of the settings, by the tier's name.

    `headroom` is by the name of the class.
    """
    return {
        name: TierQuota(
            name,
            TierQuotaArgs(
                stack=stack,
                tier=tier,
                namespace=settings.namespace.name,
                claims=sum(service.replicas for service in settings.services.values() if service.tier == name),
                size=allocation["tiers"][name]["provisionedBytes"],
                headroom=_beside(settings, name, headroom.get(tier.class_name, QuotaHeadroom())),
            ),
            stack.options(depends_on),
        )
        for name, tier in settings.tiers.items()
    }


def _beside(settings: Settings, tier: str, leaving: QuotaHeadroom) -> QuotaHeadroom:
    """What is allowed beside the services' own claims of a tier: `leaving`, and what their settings
    have room for to restore.
    """
    copies = [(each.restores * each.replicas, each.size) for each in settings.services.values() if each.tier == tier]
    size = sum(number * each.provisioned_bytes for number, each in copies)
    return QuotaHeadroom(leaving.claims + sum(number for number, _ in copies), leaving.size + size)
