"""The Pulumi program: settings -> preflight -> tiers -> proof -> volumes -> outputs."""

from components.fast_import import without_garbage_collection

with without_garbage_collection():
    import pulumi
    import pulumi_kubernetes as kubernetes

    from components.acceptance import accept
    from components.allocation import allocation_of
    from components.canary.component import prove
    from components.destroy_guard import declare_guard
    from components.preflight.attributes import read_attributes_classes
    from components.preflight.claims import check_claims
    from components.preflight.cluster import check_cluster, uid_of_cluster
    from components.service_namespace import ServiceNamespace, ServiceNamespaceArgs
    from components.service_volumes import declare_volumes
    from components.settings.program import load_from_pulumi
    from components.stack import Stack
    from components.storage_tier import declare_tiers
    from components.tier_quota import declare_quotas

settings = load_from_pulumi()
cluster, namespace_name = settings.cluster, settings.namespace.name

api = check_cluster(settings)
headroom = check_claims(settings, api)
cluster_uid = uid_of_cluster(settings, api)

# The kubeconfig is the plugin's to find, as kubectl does: without `kubeconfig=""` the SDK puts what
# is in KUBECONFIG into the state, and fails for a list of files. Server-side apply is off: with it,
# older plugins (4.18) refuse the preview of a replaced StorageClass.
provider = kubernetes.Provider(
    "cluster", kubeconfig="", context=cluster.context, cluster_identifier=cluster.identifier, enable_server_side_apply=False
)
stack = Stack(settings.stack, cluster.context, cluster.identifier, provider, settings.protect, cluster_uid)

namespace = ServiceNamespace("namespace", ServiceNamespaceArgs(stack, namespace_name, settings.namespace.create), stack.options())
tiers = declare_tiers(stack, settings, read_attributes_classes(settings, api))
allocation = allocation_of(settings)

proof = accept(stack, settings, prove(stack, settings, tiers, allocation))

quotas = declare_quotas(stack, settings, allocation, headroom, depends_on=[namespace])
behind = {name: [namespace, tiers[name], quotas[name], *proof.of(name)] for name in tiers}
volumes = declare_volumes(stack, settings, behind)

guarded = [namespace, *tiers.values(), *quotas.values(), *proof.resources, *volumes.values()]
declare_guard(stack, settings, tiers.values(), guarded)

pulumi.export("provisioner", settings.provisioner.name)
pulumi.export("cluster", {"context": cluster.context, "identifier": cluster.identifier})
pulumi.export("namespace", namespace_name)
pulumi.export("storageClasses", {name: tier.class_name for name, tier in settings.tiers.items()})
pulumi.export("claims", {name: service.claims for name, service in volumes.items()})
pulumi.export("allocation", allocation)
pulumi.export("canary", {name: proof.verdict(name) for name in tiers})
