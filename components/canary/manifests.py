"""The objects that a run of the canary needs for a moment: its claim and its pods, as the API's JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from components.kube import labels

NAME = "canary"
RUN = "storage-tiers/run"
CLAIM_UID = "storage-tiers/claim-uid"
MOUNT = "/volume"
USER = 65532  # no user of any image; the number that distroless images made customary for "nonroot"
LIFETIME = 900  # seconds after which Kubernetes ends a pod that its driver has lost


@dataclass(frozen=True)
class Plan:
    """One tier's canary: where, on which class, how. `size` of the claim in bytes; `limits` as settings.Limits names them."""

    context: str
    namespace: str
    instance: str
    tier: str
    profile: str
    storage_class: str
    image: str
    probe: str  # the name of the probe's ConfigMap
    size: int
    sizes_enforced: bool
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def owner(self) -> str:
        """Whose data this is, in words that another run can read on a volume that isn't its own."""
        return f"tier {self.tier} of stack {self.instance} in namespace {self.namespace}"


def canary_labels(instance: str, tier: str) -> dict[str, str]:
    """Labels of everything that a tier's canary makes: by these it is found, and known for the canary's own."""
    return {
        **labels.of_stack(instance),
        "app.kubernetes.io/name": NAME,
        "app.kubernetes.io/component": tier,
        labels.MANAGED_BY: labels.CANARY,
    }


def selector(instance: str, tier: str | None) -> str:
    """The label selector for these; with no tier, of all tiers."""
    wanted = canary_labels(instance, tier or "")
    return ",".join(f"{key}={value}" for key, value in wanted.items() if tier or key != "app.kubernetes.io/component")


def claim(plan: Plan, run: str) -> dict[str, Any]:
    """The claim of a run."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(plan, run, f"canary-{plan.tier}-{run[:8]}"),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "storageClassName": plan.storage_class,
            "resources": {"requests": {"storage": str(plan.size)}},
        },
    }


def pod(plan: Plan, run: str, role: str, steps: Sequence[str]) -> dict[str, Any]:
    """A pod that mounts the run's claim and runs the probe's `steps`; passes Pod Security level `restricted`."""
    arguments = [f"--root={MOUNT}", f"--run={run}", f"--profile={plan.profile}", f"--owner={plan.owner}"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(plan, run, f"canary-{plan.tier}-{run[:8]}-{role}"),
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIFETIME,
            "terminationGracePeriodSeconds": 2,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "dnsPolicy": "Default",  # it looks nothing up; a cluster without DNS would warn
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "probe",
                    "image": plan.image,
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-IB", "/probe/probe.py", *steps, *arguments],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}},
                    "volumeMounts": [
                        {"name": "volume", "mountPath": MOUNT},
                        {"name": "probe", "mountPath": "/probe", "readOnly": True},
                    ],
                }
            ],
            "volumes": [
                {"name": "volume", "persistentVolumeClaim": {"claimName": f"canary-{plan.tier}-{run[:8]}"}},
                {"name": "probe", "configMap": {"name": plan.probe}},
            ],
        },
    }


def _metadata(plan: Plan, run: str, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": plan.namespace, "labels": {**canary_labels(plan.instance, plan.tier), RUN: run}}
