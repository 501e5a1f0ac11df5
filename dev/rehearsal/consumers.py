"""What a rehearsal puts on the claims: StatefulSets as a user's would be.

The hashes of their data are kept outside the volumes.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.kube.api import Json, KubeApi
from devkube.images import reference
from ops.errors import UserError

LABEL = {"app.kubernetes.io/part-of": "storage-tiers-rehearsal"}
SELECTOR = ",".join(f"{key}={value}" for key, value in LABEL.items())
USER = 10001
# Below the mount point, as PostgreSQL and Kafka need it: an ext4 volume has `lost+found` there.
FOLDER = "/data/store"
PAYLOAD = 1024  # KiB on each volume
PATIENCE = 180  # seconds until all pods run, or are gone


class Consumers:
    """One StatefulSet for each service, on the claims of the stack (its output `claims`).

    `kubectl` is the command line, up to its options for the cluster, by which something is run in a
    pod. That takes a WebSocket, which the project's client needs for nothing else.
    """

    def __init__(self, api: KubeApi, kubectl: Sequence[str], namespace: str, claims: dict[str, list[dict[str, str]]]) -> None:
        self.api = api
        self.kubectl = kubectl
        self.namespace = namespace
        self.claims = claims
        self.sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        self.pods = [claim["name"].removeprefix("data-") for each in claims.values() for claim in each]

    def start(self) -> None:
        """Start them and wait until every pod is ready.

        Raises UserError with the pods that are not.
        """
        for service, claims in self.claims.items():
            self.api.create(self.sets, stateful_set(service, claims))
        self._wait(lambda: sorted(set(self.pods) - self._ready()), "not ready")

    def stop(self) -> None:
        """Delete them and wait until no pod is left."""
        for service in self.claims:
            self.api.delete(f"{self.sets}/{service}")
        self._wait(lambda: sorted(pod["metadata"]["name"] for pod in self._found()), "not gone")

    def write(self) -> dict[str, str]:
        """Write fresh random data on every volume, synced.

        Returns the SHA-256 that each pod has of what it wrote.
        """
        script = (
            f"mkdir -p {FOLDER}; head -c {PAYLOAD}k /dev/urandom > /tmp/payload; sha256sum < /tmp/payload; "
            f"cp /tmp/payload {FOLDER}/payload; sync {FOLDER}/payload"
        )
        return {pod: self._run(pod, script).split()[0] for pod in self.pods}

    def read(self) -> dict[str, str]:
        """The SHA-256 of what each volume holds now; of one that holds nothing, that of nothing."""
        return {pod: self._run(pod, f"cat {FOLDER}/payload 2>/dev/null | sha256sum").split()[0] for pod in self.pods}

    def volumes(self) -> dict[str, str]:
        """The volume that each claim is bound to."""
        found = self.api.items(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims")
        return {claim["metadata"]["name"]: claim["spec"].get("volumeName") or "" for claim in found}

    def _found(self) -> list[Json]:
        return self.api.items(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={SELECTOR}")

    def _ready(self) -> set[str]:
        return {
            pod["metadata"]["name"]
            for pod in self._found()
            if any(each["type"] == "Ready" and each["status"] == "True" for each in pod.get("status", {}).get("conditions") or [])
        }

    def _wait(self, left: Callable[[], list[str]], what: str) -> None:
        waiting = Retrying(
            retry=retry_if_result(bool),
            stop=stop_after_delay(PATIENCE),
            wait=wait_fixed(0.5),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else [],
        )
        pods = waiting(left)
        if pods:
            raise UserError(
                f"after {PATIENCE} s these consumers are {what}: {', '.join(pods)}.",
                f"See the events of namespace {self.namespace}.",
            )

    def _run(self, pod: str, script: str) -> str:
        command = [*self.kubectl, f"--namespace={self.namespace}", "exec", pod, "--", "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not done.stdout.strip():
            said = done.stderr.strip() or "it printed nothing"
            raise UserError(f"in pod {pod} `{shlex.join(['sh', '-ec', script])}` failed: {said}")
        return done.stdout.strip()


def stateful_set(service: str, claims: list[dict[str, str]]) -> dict[str, Any]:
    """A StatefulSet of the service's name, whose template `data` takes over the claims there are.

    It passes level `restricted` of Pod Security.
    """
    labels = {"app.kubernetes.io/name": service, **LABEL}
    volume = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": claims[0]["storageClass"],
        "resources": {"requests": {"storage": claims[0]["provisioned"]}},
    }
    container = {
        "name": service,
        "image": reference("busybox"),
        # Ends at once on SIGTERM: process 1 of a container gets no default signal handling.
        "command": ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.2; done"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": service, "labels": labels},
        "spec": {
            "replicas": len(claims),
            "serviceName": service,
            "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 5,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": USER,
                        "runAsGroup": USER,
                        "fsGroup": USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container],
                    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "16Mi"}}],
                },
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": volume}],
        },
    }
