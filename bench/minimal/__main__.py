"""The same Kubernetes objects as the dev stack, written by hand with no checks, components or outputs."""

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.core.v1 import Namespace, PersistentVolumeClaim, ResourceQuota
from pulumi_kubernetes.storage.v1 import StorageClass

config = pulumi.Config()
provider = kubernetes.Provider("cluster", context=config.require("context"), enable_server_side_apply=False)
# Without this, plugins before 4.24 sometimes wait ten minutes for what is gone already (pulumi-kubernetes#3317).
soon = pulumi.CustomTimeouts(delete="30s")
on_cluster = pulumi.ResourceOptions(provider=provider)

namespace = Namespace("data", metadata={"name": "data"}, opts=on_cluster)
brokers = config.require_int("brokers")
for tier, service, replicas, size, total in (
    ("database", "postgres", 1, "5Gi", "5Gi"),
    ("streaming", "kafka", brokers, "3380Mi", f"{3380 * brokers}Mi"),
):
    storage_class = StorageClass(
        tier,
        metadata={"name": f"{tier}-local-path", "annotations": {"defaultVolumeType": "local"}},
        provisioner="rancher.io/local-path",
        reclaim_policy="Retain",
        volume_binding_mode="WaitForFirstConsumer",
        opts=pulumi.ResourceOptions(provider=provider, custom_timeouts=soon),
    )
    of_class = f"{tier}-local-path.storageclass.storage.k8s.io"
    quota = ResourceQuota(
        f"quota-{tier}",
        metadata={"name": f"{tier}-local-path", "namespace": "data"},
        spec={"hard": {f"{of_class}/requests.storage": total, f"{of_class}/persistentvolumeclaims": str(replicas)}},
        opts=pulumi.ResourceOptions(provider=provider, depends_on=[namespace], custom_timeouts=soon),
    )
    for ordinal in range(replicas):
        PersistentVolumeClaim(
            f"{service}-{ordinal}",
            metadata={"name": f"data-{service}-{ordinal}", "namespace": "data", "annotations": {"pulumi.com/skipAwait": "true"}},
            spec={
                "access_modes": ["ReadWriteOnce"],
                "storage_class_name": f"{tier}-local-path",
                "resources": {"requests": {"storage": size}},
            },
            opts=pulumi.ResourceOptions(provider=provider, depends_on=[storage_class, namespace, quota], custom_timeouts=soon),
        )
