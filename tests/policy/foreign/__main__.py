"""Somebody else's storage: each object breaks the rule that its comment names."""

# ruff: noqa: ANN001, ANN003, ANN201 - written as such programs are: plain dictionaries, no types
import pulumi
from pulumi_command.local import Command
from pulumi_kubernetes.apps.v1 import StatefulSet
from pulumi_kubernetes.core.v1 import Namespace, PersistentVolume, PersistentVolumeClaim, Pod
from pulumi_kubernetes.storage.v1 import StorageClass

unlabelled = Namespace("shop", metadata={"name": "shop"})  # project-labels; production-is-protected

LABELS = {
    "app.kubernetes.io/name": "shop",
    "app.kubernetes.io/instance": pulumi.get_stack(),
    "app.kubernetes.io/component": "storage",
    "app.kubernetes.io/part-of": "shop",
    "app.kubernetes.io/managed-by": "pulumi",
}
GOOD = {
    "provisioner": "ebs.csi.aws.com",
    "reclaim_policy": "Retain",
    "volume_binding_mode": "WaitForFirstConsumer",
    "parameters": {"type": "gp3", "encrypted": "true"},
}


def storage_class(name, **fields):
    annotations = fields.pop("annotations", {})
    return StorageClass(name, metadata={"name": name, "labels": LABELS, "annotations": annotations}, **{**GOOD, **fields})


storage_class("good")
storage_class("deletes", reclaim_policy="Delete")  # reclaim-policy-retain
storage_class("immediate", volume_binding_mode="Immediate")  # wait-for-first-consumer
storage_class("default", annotations={"storageclass.kubernetes.io/is-default-class": "true"})  # never-the-default-class
storage_class("in-tree", provisioner="kubernetes.io/aws-ebs")  # known-provisioner
storage_class("open", parameters={"type": "gp3", "encrypted": "True"})  # encrypted-on-cloud

# What only an update knows violates nothing in a preview.
answer = Command("answer", create="echo Retain").stdout
storage_class("later", reclaim_policy=answer, volume_binding_mode=answer, provisioner=answer, parameters={"encrypted": answer})


def claim(name, storage_class_name, size, mode="ReadWriteOnce", protect=True):
    spec = {"accessModes": [mode], "storageClassName": storage_class_name, "resources": {"requests": {"storage": size}}}
    metadata = {"name": name, "namespace": "shop", "labels": LABELS}
    return PersistentVolumeClaim(name, metadata=metadata, spec=spec, opts=pulumi.ResourceOptions(protect=protect))


claim("shared", "good", "1Gi", mode="ReadWriteMany")  # single-writer-access
claim("elsewhere", "in-tree", "1Gi")  # claims-on-allowed-tiers
claim("unprotected", "good", "1Gi", protect=False)  # production-is-protected
claim("unknown", answer, answer)

StatefulSet(
    "queue",
    metadata={"name": "queue", "namespace": "shop"},
    spec={
        "replicas": 3,
        "serviceName": "queue",
        "selector": {"matchLabels": {"app": "queue"}},
        "template": {
            "metadata": {"labels": {"app": "queue"}},
            "spec": {"containers": [{"name": "queue", "image": "queue"}]},
        },
        "volumeClaimTemplates": [
            {  # claims-within-allocation: three of them
                "metadata": {"name": "data"},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "storageClassName": "good",
                    "resources": {"requests": {"storage": "4Gi"}},
                },
            }
        ],
    },
)
PersistentVolume(  # no-host-folders
    "disk",
    metadata={"name": "disk", "labels": LABELS},
    spec={"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/srv/disk"}},
)
Pod(  # no-host-folders
    "scratch",
    metadata={"name": "scratch", "namespace": "shop"},
    spec={
        "containers": [{"name": "scratch", "image": "scratch"}],
        "volumes": [{"name": "scratch", "hostPath": {"path": "/tmp/scratch"}}],
    },
)
