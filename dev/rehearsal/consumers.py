"""What a rehearsal puts on the claims: StatefulSets as a user's would be.

The hashes of their data are kept outside the volumes.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from components.kube.api import Json, KubeApi
from devkube.cluster.node import ZONE
from devkube.images import reference
from ops.errors import UserError

LABEL = {"app.kubernetes.io/part-of": "storage-tiers-rehearsal"}
SELECTOR = ",".join(f"{key}={value}" for key, value in LABEL.items())
USER = 10001
# Below the mount point, as PostgreSQL and Kafka need it: an ext4 volume has `lost+found` there.
FOLDER = "/data/store"
PAYLOAD = 1024  # KiB on each volume
PATIENCE = 180  # seconds for whatever the driver, the sidecars and the kubelet do

# Takes all room but the last bytes without writing it, in ever smaller pieces, then writes what is
# left. `fallocate` fails where a piece doesn't fit, and `dd` when nothing does any more.
_FILL = f"""
cd {FOLDER}
free() {{ df -Pk . | awk 'NR==2 {{print $4}}'; }}
piece=$(free)
number=0
while [ "$piece" -gt 0 ]; do
  if fallocate -l "${{piece}}k" "full-$number" 2>/dev/null; then
    number=$((number + 1)); piece=$(free)
  else
    rm -f "full-$number"; piece=$((piece / 2))
  fi
done
said=$(dd if=/dev/zero of=full-rest bs=1k count=65536 2>&1) && said="nothing: it went on"
ls -ln full-* | awk '{{sum += $5}} END {{print sum}}'
echo "$said" | head -n 1
rm -f full-*
sync .
"""


class Consumers:
    """One StatefulSet for each service, on the claims of the stack (its output `claims`).

    `kubectl` is the command line, up to its options for the cluster, by which something is run in a
    pod. That takes a WebSocket, which the project's client needs for nothing else.
    """

    def __init__(
        self,
        api: KubeApi,
        kubectl: Sequence[str],
        namespace: str,
        claims: dict[str, list[dict[str, str]]],
        zones: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`zones`: those over which each service is spread; none are needed where there is one
        node."""
        self.api = api
        self.kubectl = kubectl
        self.namespace = namespace
        self.claims = claims
        self.zones = zones or {}
        self.sets = f"/apis/apps/v1/namespaces/{namespace}/statefulsets"
        self.pods = [claim["name"].removeprefix("data-") for each in claims.values() for claim in each]

    def start(self) -> None:
        """Start them and wait until every pod is ready.

        Raises UserError with the pods that are not.
        """
        for service, claims in self.claims.items():
            self.api.create(self.sets, stateful_set(service, claims, self.zones.get(service, ())))
        self.wait_until_ready()

    def wait_until_ready(self, old: Collection[str] = ()) -> None:
        """Wait until every pod is ready, and none of those with an `old` UID is left.

        Raises UserError with the pods that are not.
        """
        self._wait(lambda: sorted(set(self.pods) - self._ready(old)), "not ready")

    def restart(self, pod: str) -> None:
        """Delete a pod and wait until its successor is ready.

        Raises UserError where it isn't.
        """
        uid = self.found()[pod]["metadata"]["uid"]
        self.api.delete(f"/api/v1/namespaces/{self.namespace}/pods/{pod}")
        self.wait_until_ready((uid,))

    def stop(self) -> None:
        """Delete them and wait until no pod is left."""
        for service in self.claims:
            self.api.delete(f"{self.sets}/{service}")
        self._wait(lambda: sorted(self.found()), "not gone")

    def write(self) -> dict[str, str]:
        """Write fresh random data on every volume, synced.

        Returns the SHA-256 that each pod has of what it wrote.
        """
        script = (
            f"mkdir -p {FOLDER}; head -c {PAYLOAD}k /dev/urandom > /tmp/payload; sha256sum < /tmp/payload; "
            f"cp /tmp/payload {FOLDER}/payload; sync {FOLDER}/payload"
        )
        return {pod: self.run(pod, script).split()[0] for pod in self.pods}

    def read(self) -> dict[str, str]:
        """The SHA-256 of what each volume holds now; of one that holds nothing, that of nothing."""
        return {pod: self.read_one(pod) for pod in self.pods}

    def read_one(self, pod: str) -> str:
        """The same of one pod, also of one that is no consumer's."""
        return self.run(pod, f"cat {FOLDER}/payload 2>/dev/null | sha256sum").split()[0]

    def fill(self, pod: str) -> tuple[int, str]:
        """Fill a pod's volume to its last byte, and free it again.

        Returns the bytes that went on it, and what the write after them was told.
        """
        count, said = self.run(pod, _FILL).split("\n", 1)
        return int(count), said.strip()

    def file_system(self, pod: str) -> int:
        """Bytes of the file system that a pod has, as it sees it now."""
        return int(self.run(pod, "df -Pk /data | awk 'NR==2 {print $2}'")) * 1024

    def file_system_type(self, pod: str) -> str:
        """Its type: ext4, xfs."""
        return self.run(pod, "awk '$2 == \"/data\" {print $3}' /proc/mounts").split()[-1]

    def volumes(self) -> dict[str, str]:
        """The volume that each claim is bound to: a disk's handle, or the PersistentVolume's
        name."""
        objects = {volume["metadata"]["name"]: volume for volume in self.api.items("/api/v1/persistentvolumes")}
        bound = {name: claim["spec"].get("volumeName") or "" for name, claim in self.claims_there().items()}
        return {claim: objects.get(name, {}).get("spec", {}).get("csi", {}).get("volumeHandle", name) for claim, name in bound.items()}

    def claims_there(self) -> dict[str, Json]:
        """The claims of the namespace, by their names."""
        found = self.api.items(f"/api/v1/namespaces/{self.namespace}/persistentvolumeclaims")
        return {claim["metadata"]["name"]: claim for claim in found}

    def found(self) -> dict[str, Json]:
        """The pods that are there, by their names."""
        pods = self.api.items(f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={SELECTOR}")
        return {pod["metadata"]["name"]: pod for pod in pods}

    def _ready(self, old: Collection[str]) -> set[str]:
        return {
            name
            for name, pod in self.found().items()
            if pod["metadata"]["uid"] not in old and not pod["metadata"].get("deletionTimestamp") and is_ready(pod)
        }

    def _wait(self, left: Callable[[], list[str]], what: str) -> None:
        pods: list[str] = []

        def over() -> bool:
            pods[:] = left()
            return not pods

        if not comes_true(over):
            raise UserError(
                f"after {PATIENCE} s these consumers are {what}: {', '.join(pods)}.",
                f"See the events of namespace {self.namespace}.",
            )

    def run(self, pod: str, script: str) -> str:
        """What a shell script prints in a pod.

        Raises UserError where it fails, or prints nothing.
        """
        command = [*self.kubectl, f"--namespace={self.namespace}", "exec", pod, "--", "sh", "-ec", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0 or not done.stdout.strip():
            said = done.stderr.strip() or "it printed nothing"
            raise UserError(f"in pod {pod} `{shlex.join(['sh', '-ec', script])}` failed: {said}")
        return done.stdout.strip()


def comes_true(wanted: Callable[[], object]) -> bool:
    """Wait until something is so; whether it came to be within PATIENCE seconds."""
    waiting = Retrying(
        retry=retry_if_result(lambda so: not so),
        stop=stop_after_delay(PATIENCE),
        wait=wait_fixed(0.5),
        retry_error_callback=lambda _: False,
    )
    return bool(waiting(wanted))


def is_ready(found: Json) -> bool:
    """Whether a pod or a node says that it is ready."""
    return any(each["type"] == "Ready" and each["status"] == "True" for each in found.get("status", {}).get("conditions") or [])


def stateful_set(service: str, claims: list[dict[str, str]], zones: Sequence[str] = ()) -> dict[str, Any]:
    """A StatefulSet of the service's name, whose template `data` takes over the claims there are.

    It passes level `restricted` of Pod Security. With `zones` its pods are spread over them, as
    evenly as can be, and begin in the first.
    """
    labels = {"app.kubernetes.io/name": service, **LABEL}
    volume = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": claims[0]["storageClass"],
        "resources": {"requests": {"storage": claims[0]["provisioned"]}},
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
                "spec": {**(_spread(labels, zones) if zones else {}), **_pod_spec(service)},
            },
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": volume}],
        },
    }


def _spread(labels: Mapping[str, str], zones: Sequence[str]) -> dict[str, Any]:
    """What a pod's spec has so that the pods with these labels are spread over the zones."""

    def within(names: Sequence[str]) -> dict[str, Any]:
        return {"matchExpressions": [{"key": ZONE, "operator": "In", "values": list(names)}]}

    return {
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [within(zones)]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "preference": within(zones[:1])}],
            }
        },
        "topologySpreadConstraints": [
            {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"matchLabels": dict(labels)}}
        ],
    }


def _pod_spec(name: str) -> dict[str, Any]:
    """What runs on a volume `data`: it does nothing until something is run in it."""
    container = {
        "name": name,
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
    }


def pod_on(claim: str) -> dict[str, Any]:
    """A pod of its own on a claim, under the claim's name; it is no consumer's."""
    spec = _pod_spec(claim)
    spec["volumes"] = [*spec["volumes"], {"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": claim}, "spec": spec}
