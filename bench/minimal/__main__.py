"""The stacks' Kubernetes objects, written by hand with no checks, components or outputs.

Their labels and annotations are the same.
"""

from components.fast_import import without_garbage_collection

with without_garbage_collection():  # as the program it is compared with
    import pulumi
    import pulumi_kubernetes as kubernetes
    from pulumi_command.local import Command
    from pulumi_kubernetes.core.v1 import Namespace, PersistentVolumeClaim, ResourceQuota
    from pulumi_kubernetes.storage.v1 import StorageClass

# By provisioner: the driver, a class's parameters and annotations, whether volumes grow, and the
# sizes of a database's and a broker's.
CLASSES = {
    "local-path": ("rancher.io/local-path", {}, {"defaultVolumeType": "local"}, False, "5Gi", 3380),
    "ebs": ("ebs.csi.aws.com", {"type": "gp3", "encrypted": "true", "csi.storage.k8s.io/fstype": "ext4"}, {}, True, "5Gi", 4096),
    "gce-pd": ("pd.csi.storage.gke.io", {"type": "pd-balanced", "csi.storage.k8s.io/fstype": "ext4"}, {}, True, "5Gi", 4096),
}

PURPOSES = {
    "database": "For databases such as PostgreSQL: random I/O, ACID transactions, every commit synced.",
    "streaming": "For logs such as Kafka's: sequential I/O, high throughput, data replicated by the brokers.",
}

config = pulumi.Config()
# It guards nothing, but the plugin of commands is started, as for the stacks' own.
Command("destroy-guard", delete="true")
provider = kubernetes.Provider("cluster", context=config.require("context"), enable_server_side_apply=False)
# Without this, plugins before 4.24 sometimes wait ten minutes for what is gone already
# (pulumi-kubernetes#3317).
soon = pulumi.CustomTimeouts(delete="30s")
on_cluster = pulumi.ResourceOptions(provider=provider)


def labels(name: str, component: str) -> dict[str, str]:
    """Kubernetes' recommended ones."""
    of_all = {"app.kubernetes.io/part-of": "minimal", "app.kubernetes.io/instance": "dev", "app.kubernetes.io/managed-by": "pulumi"}
    return {**of_all, "app.kubernetes.io/name": name, "app.kubernetes.io/component": component}


namespace = Namespace("data", metadata={"name": "data", "labels": labels("data", "data")}, opts=on_cluster)
brokers = config.require_int("brokers")
name = config.get("provisioner") or "local-path"
driver, parameters, annotations, grows, database_size, broker_mib = CLASSES[name]
for tier, service, replicas, size, total in (
    ("database", "postgres", 1, database_size, database_size),
    ("streaming", "kafka", brokers, f"{broker_mib}Mi", f"{broker_mib * brokers}Mi"),
):
    storage_class = StorageClass(
        tier,
        metadata={
            "name": f"{tier}-{name}",
            "labels": labels(tier, tier),
            "annotations": {"kubernetes.io/description": PURPOSES[tier], **annotations},
        },
        provisioner=driver,
        parameters=parameters,
        allow_volume_expansion=grows,
        reclaim_policy="Retain",
        volume_binding_mode="WaitForFirstConsumer",
        opts=pulumi.ResourceOptions(provider=provider, custom_timeouts=soon),
    )
    of_class = f"{tier}-{name}.storageclass.storage.k8s.io"
    quota = ResourceQuota(
        f"quota-{tier}",
        metadata={"name": f"{tier}-{name}", "namespace": "data", "labels": labels(tier, tier)},
        spec={"hard": {f"{of_class}/requests.storage": total, f"{of_class}/persistentvolumeclaims": str(replicas)}},
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[namespace], custom_timeouts=soon),
    )
    for ordinal in range(replicas):
        PersistentVolumeClaim(
            f"{service}-{ordinal}",
            metadata={
                "name": f"data-{service}-{ordinal}",
                "namespace": "data",
                "labels": labels(service, tier),
                "annotations": {
                    "kubernetes.io/description": f"Volume {ordinal} of {service}, tier {tier}. {PURPOSES[tier]}",
                    "storage-tiers/requested": size,
                    "pulumi.com/skipAwait": "true",
                },
            },
            spec={
                "access_modes": ["ReadWriteOnce"],
                "storage_class_name": f"{tier}-{name}",
                "resources": {"requests": {"storage": size}},
            },
            opts=pulumi.ResourceOptions(provider=provider, depends_on=[storage_class, namespace, quota], custom_timeouts=soon),
        )
