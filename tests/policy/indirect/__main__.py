"""Storage that classes and claims themselves don't declare: each object breaks the rule that its
comment names.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN201 - written as such programs are: plain dictionaries, no types
import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.apiextensions import CustomResource, CustomResourcePatch
from pulumi_kubernetes.core.v1 import PersistentVolumeClaim
from pulumi_kubernetes.helm.v3 import Release
from pulumi_kubernetes.storage.v1 import StorageClassPatch
from pulumi_kubernetes.yaml import ConfigGroup

answer = Command("answer", create="echo gp2").stdout
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
BETA_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"

StorageClassPatch("default", metadata={"name": "gp2", "annotations": {BETA_DEFAULT: "true"}})  # never-the-default-class
StorageClassPatch("later", metadata={"name": "gp3", "annotations": {BETA_DEFAULT: answer}}, reclaim_policy=answer)
PersistentVolumeClaim(
    "older",
    metadata={"name": "older", "namespace": "shop", "annotations": {BETA_CLASS: "good"}, "labels": {"app.kubernetes.io/name": answer}},
    spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    opts=pulumi.ResourceOptions(protect=True),
)


def node_pool(name, storage_class, kind=CustomResource):
    disk = {"id": 0, "type": "persistent-claim", "size": "4Gi", **({"class": storage_class} if storage_class else {})}
    kind(
        name,
        api_version="kafka.strimzi.io/v1beta2",
        kind="KafkaNodePool",
        metadata={"name": name, "namespace": "shop"},
        spec={"replicas": 3, "roles": ["broker"], "storage": {"type": "jbod", "volumes": [disk]}},
    )


node_pool("brokers", "good")  # claims-within-allocation: three of them
node_pool("others", "gp2")  # claims-on-allowed-tiers
node_pool("unknown", answer)
node_pool("patched", None, CustomResourcePatch)

CustomResource(
    "orders",
    api_version="postgresql.cnpg.io/v1",
    kind="Cluster",
    metadata={"name": "orders", "namespace": "shop"},
    spec={
        "instances": 2,
        "storage": {"size": "1Gi", "storageClass": "good"},
        "walStorage": {"size": "1Gi", "storageClass": "gp2"},  # claims-on-allowed-tiers
        "tablespaces": [{"name": "later", "storage": {"size": answer, "storageClass": answer}}],
    },
)
ConfigGroup(
    "manifests",
    yaml=[
        """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: cache, namespace: shop}
spec:
  selector: {matchLabels: {app: cache}}
  template:
    metadata: {labels: {app: cache}}
    spec:
      containers: [{name: cache, image: cache}]
      volumes:
      - name: scratch
        ephemeral:
          volumeClaimTemplate:
            spec: {accessModes: [ReadWriteMany], storageClassName: good, resources: {requests: {storage: 1Gi}}} # single-writer-access
"""
    ],
)
Release(
    "chart",
    name="chart",
    namespace="shop",
    chart="./chart",
    values={
        "primary": {"persistence": {"enabled": True, "size": "1Gi", "storageClass": "gp2"}},  # claims-on-allowed-tiers
        "replica": {"persistence": {"storageClass": answer}},
    },
)  # storage-out-of-sight
