"""What a run of the canary needs for a moment: its claim and its pods, as the API's JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.canary.places import LINUX
from components.canary.plan import ProofPlan
from components.kube import labels

NAME = "canary"
RUN = "storage-tiers/run"
CLAIM_UID = "storage-tiers/claim-uid"
MOUNT = "/volume"
CONTAINER = "probe"  # a mesh or an agent may add others to the pod
TOOLS = "tools"  # the container that comes before an engine's
OWN = (CONTAINER, TOOLS)
USER = 65532  # no user of any image; the number that distroless images made customary for "nonroot"
RESOURCES = {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "256Mi"}}
LIFETIME = 900  # seconds after which Kubernetes ends a pod whose driver is gone


def canary_labels(instance: str, tier: str) -> dict[str, str]:
    """Labels of everything that a tier's canary makes: it is found and known by them."""
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


def claim(plan: ProofPlan, run: str) -> dict[str, Any]:
    """The claim of a run."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(plan, run, f"canary-{plan.tier}-{run[:8]}"),
        "spec": {
            "accessModes": [plan.access_mode],
            "volumeMode": "Filesystem",
            "storageClassName": plan.storage_class,
            "resources": {"requests": {"storage": str(plan.size)}},
        },
    }


def pod(plan: ProofPlan, run: str, role: str, steps: Sequence[str]) -> dict[str, Any]:
    """A pod that mounts the run's claim and runs the probe's `steps`."""
    arguments = [f"--root={MOUNT}", f"--run={run}", f"--profile={plan.profile}", f"--owner={plan.owner}"]
    probing = container(
        CONTAINER,
        plan.image,
        ["python3", "-IB", "/probe/probe.py", *steps, *arguments],
        plan.pod.get("resources", RESOURCES),
        [{"name": "volume", "mountPath": MOUNT}, {"name": "probe", "mountPath": "/probe", "readOnly": True}],
    )
    return pod_of(plan, run, role, {"containers": [probing]}, [{"name": "probe", "configMap": {"name": plan.probe}}])


def container(
    name: str,
    image: str,
    command: Sequence[str],
    resources: Mapping[str, Any],
    mounts: Sequence[Mapping[str, Any]],
    *,
    capabilities: Sequence[str] = (),
) -> dict[str, Any]:
    """A container with a read-only root, and no capability but these.

    Pod Security level `restricted` admits one that has none.
    """
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], **({"add": list(capabilities)} if capabilities else {})},
        },
        "resources": resources,
        "volumeMounts": list(mounts),
    }


def pod_of(plan: ProofPlan, run: str, role: str, containers: Mapping[str, Any], volumes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A pod of these `containers` (and initContainers), with the run's claim as volume `volume`.

    It passes Pod Security level `restricted`, whatever the settings ask of it.
    """
    asked = plan.pod
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(plan, run, f"canary-{plan.tier}-{run[:8]}-{role}", asked),
        "spec": {
            **short_lived(asked, LIFETIME, owns_volume=True),
            **({"affinity": plan.place.affinity} if plan.place else {}),
            **containers,
            "volumes": [{"name": "volume", "persistentVolumeClaim": {"claimName": f"canary-{plan.tier}-{run[:8]}"}}, *volumes],
        },
    }


def short_lived(asked: Mapping[str, Any], lifetime: int, *, owns_volume: bool) -> dict[str, Any]:
    """The spec of a pod that is there for a moment, but for containers, volumes and affinity.

    `asked` is what the settings ask of the canary's pods, which is what the cluster asks of any.
    Kubernetes ends the pod after `lifetime` seconds. A volume that it owns is made writable for it
    (fsGroup); any other keeps its owners.
    """
    # Without numbers of its own a cluster such as OpenShift chooses them.
    user = asked.get("runAsUser", USER)
    numbers = {"runAsUser": user, "runAsGroup": user} if user is not None else {}
    group = {"fsGroup": user} if user is not None else {}
    owning = {**group, "fsGroupChangePolicy": "OnRootMismatch"} if owns_volume else {}
    return {
        **pod_spec(asked, {"runAsNonRoot": True, **numbers, **owning}),
        "activeDeadlineSeconds": lifetime,
    }


def pod_spec(asked: Mapping[str, Any], security: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of any pod that this program makes and removes itself, but for its containers,
    volumes, affinity and deadline.

    `security` is its securityContext beside the seccomp profile.
    """
    copied = {key: asked[key] for key in ("tolerations", "imagePullSecrets", "priorityClassName", "serviceAccountName") if key in asked}
    return {
        **copied,
        "nodeSelector": {**asked.get("nodeSelector", {}), **LINUX},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 2,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "dnsPolicy": "Default",  # it looks nothing up in the cluster; one without DNS would warn
        "securityContext": {**security, "seccompProfile": {"type": "RuntimeDefault"}},
    }


def metadata_of(name: str, namespace: str, own: Mapping[str, str], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of such a pod. Its `own` labels are added last: nothing that is asked for takes
    their place.
    """
    annotations = {"annotations": asked["annotations"]} if "annotations" in asked else {}
    return {"name": name, "namespace": namespace, "labels": {**asked.get("labels", {}), **own}, **annotations}


def user_of(plan: ProofPlan) -> int | None:
    """The number of the pods' user and group; None where the cluster chooses it."""
    user = plan.pod.get("runAsUser", USER)
    return int(user) if user is not None else None


def other_containers(pod: Mapping[str, Any]) -> list[str]:
    """The names of the containers that somebody has added to a pod: a mesh, or an agent.

    Such as are there for the pod's lifetime, and those that only come first.
    """
    spec = pod["spec"]
    return [each["name"] for each in [*spec.get("containers", []), *(spec.get("initContainers") or [])] if each["name"] not in OWN]


def script_map(plan: ProofPlan, run: str, name: str, owner: Mapping[str, Any], data: Mapping[str, str]) -> dict[str, Any]:
    """A ConfigMap of one run. Kubernetes deletes it together with `owner`, the run's claim."""
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    metadata = {**_metadata(plan, run, name), "ownerReferences": [reference]}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": dict(data), "immutable": True}


def _metadata(plan: ProofPlan, run: str, name: str, asked: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return metadata_of(name, plan.namespace, {**canary_labels(plan.instance, plan.tier), RUN: run}, asked or {})
