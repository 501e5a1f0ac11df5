"""The Pulumi program: settings -> provisioner -> storage tiers -> their proof -> volumes of the services -> stack outputs."""

import gc

gc.disable()  # while modules are loaded: they make a million objects and no garbage, and looking for some took a quarter of that time

import pulumi
import pulumi_kubernetes as kubernetes

from components.allocation import Demand, allocate
from components.canary.component import CLAIM_BYTES, CanaryNamespace, CanaryNamespaceArgs, TierCanary, TierCanaryArgs, disabled
from components.destroy_guard import DestroyGuard, DestroyGuardArgs
from components.preflight.claims import check_claims
from components.preflight.cluster import check_cluster
from components.service_namespace import ServiceNamespace, ServiceNamespaceArgs
from components.service_volumes import ServiceVolumes, ServiceVolumesArgs
from components.settings import load_from_pulumi
from components.storage_tier import StorageTier, StorageTierArgs
from components.tier_quota import TierQuota, TierQuotaArgs

gc.freeze()
gc.enable()

settings = load_from_pulumi()
check_cluster(settings)
going = check_claims(settings)
cluster, stack = settings.cluster, settings.stack

# The kubeconfig is the plugin's to find, as kubectl does: without `kubeconfig=""` the SDK puts what is in KUBECONFIG into the state, and
# fails for a list of files. Server-side apply is off: with it, older plugins (4.18) refuse the preview of a replaced StorageClass.
provider = kubernetes.Provider(
    "cluster", kubeconfig="", context=cluster.context, cluster_identifier=cluster.identifier, enable_server_side_apply=False
)
on_cluster = pulumi.ResourceOptions(provider=provider)

namespace = ServiceNamespace(
    "namespace", ServiceNamespaceArgs(settings.namespace.name, settings.namespace.create, settings.protect, stack), on_cluster
)
tiers = {name: StorageTier(name, StorageTierArgs(tier, settings.provisioner, stack), on_cluster) for name, tier in settings.tiers.items()}
allocation = allocate((Demand(name, used.tier, used.size, used.replicas) for name, used in settings.services.items()), tiers)

canary_namespace = settings.canary_namespace if settings.canary.enabled else None
canaries: dict[str, TierCanary] = {}
if canary_namespace:
    shared = CanaryNamespace("canary", CanaryNamespaceArgs(canary_namespace, cluster.context, cluster.identifier, stack), on_cluster)
    canaries = {
        name: TierCanary(
            name,
            TierCanaryArgs(
                tier=name,
                kind=settings.tiers[name].kind,
                storage_class=tier.class_name,
                definition=tier.definition,
                sizes_enforced=settings.provisioner.enforces_size,
                namespace=canary_namespace,
                probe=shared.probe,
                image=settings.canary.image,
                run=settings.canary.run,
                limits=settings.limits.get(name, {}),
                allocated_bytes=allocation["tiers"][name]["provisionedBytes"],
                claim_bytes=settings.smallest_bytes(name, CLAIM_BYTES),
                context=cluster.context,
                identifier=cluster.identifier,
                stack=stack,
            ),
            pulumi.ResourceOptions(provider=provider, depends_on=[shared, tier]),
        )
        for name, tier in tiers.items()
    }
quotas = {
    name: TierQuota(
        name,
        TierQuotaArgs(
            tier=name,
            storage_class=tier.class_name,
            claims=sum(used.replicas for used in settings.services.values() if used.tier == name),
            size=allocation["tiers"][name]["provisionedBytes"],
            going=going[tier.class_name],
            namespace=settings.namespace.name,
            stack=stack,
        ),
        pulumi.ResourceOptions(provider=provider, depends_on=[namespace]),
    )
    for name, tier in tiers.items()
}
volumes = {
    name: ServiceVolumes(
        name,
        ServiceVolumesArgs(
            service=name,
            tier=service.tier,
            kind=settings.tiers[service.tier].kind,
            size=service.size,
            replicas=service.replicas,
            access_mode=service.access_mode,
            storage_class=tiers[service.tier].class_name,
            namespace=settings.namespace.name,
            stack=stack,
            protect=settings.protect,
        ),
        pulumi.ResourceOptions(
            provider=provider,
            depends_on=[namespace, tiers[service.tier], quotas[service.tier], *([canaries[service.tier]] if canaries else [])],
        ),
    )
    for name, service in settings.services.items()
}
DestroyGuard(
    "destroy-guard",
    DestroyGuardArgs(
        cluster.context, cluster.identifier, settings.namespace.name, settings.namespace.create, canary_namespace, stack, settings.protect
    ),
    pulumi.ResourceOptions(
        depends_on=[
            namespace,
            *tiers.values(),
            *quotas.values(),
            *([shared] if canary_namespace else []),
            *canaries.values(),
            *volumes.values(),
        ]
    ),
)

pulumi.export("provisioner", settings.provisioner.name)
pulumi.export("cluster", {"context": cluster.context, "identifier": cluster.identifier})
pulumi.export("namespace", settings.namespace.name)
pulumi.export("storageClasses", {name: tier.class_name for name, tier in tiers.items()})
pulumi.export("claims", {name: service.claims for name, service in volumes.items()})
pulumi.export("allocation", allocation)
pulumi.export("canary", {name: canaries[name].verdict if canaries else disabled() for name in tiers})
