"""StatefulSets `postgres` (1) and `kafka` (3) whose template `data` takes over the claims that
storage-tiers made.
"""

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes.apps.v1 import StatefulSet

config = pulumi.Config()
provider = kubernetes.Provider("cluster", context=config.require("context"), enable_server_side_apply=False)
tiers = pulumi.StackReference("tiers", stack_name=config.require("tiers"))

SERVICES = {"postgres": ("database", 1), "kafka": ("streaming", 3)}
# Ends at once on SIGTERM: process 1 of a container gets no default signal handling.
WAIT = "trap 'exit 0' TERM; while :; do sleep 0.2; done"

for service, (tier, replicas) in SERVICES.items():
    labels = {"app.kubernetes.io/name": service, "app.kubernetes.io/part-of": "consumers"}
    claim = tiers.require_output("claims")[service][0]
    StatefulSet(
        service,
        metadata={"name": service, "namespace": tiers.require_output("namespace"), "labels": labels},
        spec={
            "replicas": replicas,
            "service_name": service,
            "pod_management_policy": "Parallel",
            "selector": {"match_labels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automount_service_account_token": False,
                    "termination_grace_period_seconds": 5,
                    "security_context": {
                        "run_as_non_root": True,
                        "run_as_user": 10001,
                        "run_as_group": 10001,
                        "fs_group": 10001,
                        "seccomp_profile": {"type": "RuntimeDefault"},
                    },
                    "containers": [
                        {
                            "name": service,
                            "image": config.require("image"),
                            "command": ["sh", "-c", WAIT],
                            "volume_mounts": [{"name": "data", "mount_path": "/data"}],
                            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
                            "security_context": {
                                "allow_privilege_escalation": False,
                                "read_only_root_filesystem": True,
                                "capabilities": {"drop": ["ALL"]},
                            },
                        }
                    ],
                },
            },
            "volume_claim_templates": [
                {
                    "metadata": {"name": "data"},
                    "spec": {
                        "access_modes": ["ReadWriteOnce"],
                        "storage_class_name": tiers.require_output("storageClasses")[tier],
                        "resources": {"requests": {"storage": claim["provisioned"]}},
                    },
                }
            ],
        },
        opts=pulumi.ResourceOptions(provider=provider),
    )
