"""Pods that use claims, and known data in them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.conftest import eventually


@dataclass
class ConsumerPods:
    """One pod for each claim, named as the claim is without `data-`.

    What was written through each is known by its hash.
    """

    core: client.CoreV1Api
    image: str
    namespace: str = "data"
    hashes: dict[str, str] = field(default_factory=dict)

    def start(self, claims: Iterable[str]) -> None:
        """Start a pod on each of the claims, and wait until all run."""
        pods = []
        for claim in claims:
            pods.append(claim.removeprefix("data-"))
            self.core.create_namespaced_pod(self.namespace, self._pod(pods[-1], claim))
        eventually(lambda: all(self._ready(pod) for pod in pods), "the consumers' pods run")

    def write(self, claims: Iterable[str]) -> None:
        """Write 16 KiB of fresh random data through each pod, synced."""
        for claim in claims:
            content = secrets.token_hex(8 * 1024)
            self.run(claim, f"echo {content} > /data/payload; sync /data/payload")
            self.hashes[claim] = hashlib.sha256(f"{content}\n".encode()).hexdigest()

    def read(self, claims: Iterable[str]) -> dict[str, str]:
        """The hash of what each pod finds now; ``""`` where it finds nothing."""
        return {claim: (self.run(claim, "[ ! -f /data/payload ] || sha256sum < /data/payload").split() or [""])[0] for claim in claims}

    def run(self, claim: str, script: str) -> str:
        output: str = stream(
            self.core.connect_get_namespaced_pod_exec,
            claim.removeprefix("data-"),
            self.namespace,
            command=["sh", "-ec", script],
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
        )
        return output

    def stop(self) -> None:
        """Delete the pods, and wait until they are gone."""
        for pod in self._pods():
            self.core.delete_namespaced_pod(pod.metadata.name, self.namespace, grace_period_seconds=0)
        eventually(lambda: not self._pods(), "the consumers' pods are gone")

    def _pods(self) -> list[Any]:
        found: list[Any] = self.core.list_namespaced_pod(self.namespace, label_selector="app=consumer").items
        return found

    def _ready(self, pod: str) -> bool:
        try:
            status = self.core.read_namespaced_pod(pod, self.namespace).status
        except ApiException:
            return False
        return any(each.type == "Ready" and each.status == "True" for each in status.conditions or [])

    def _pod(self, name: str, claim: str) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "labels": {"app": "consumer"}},
            "spec": {
                "automountServiceAccountToken": False,
                "terminationGracePeriodSeconds": 0,
                "containers": [
                    {
                        "name": "consumer",
                        "image": self.image,
                        "command": ["sh", "-c", "while :; do sleep 1; done"],
                        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    }
                ],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            },
        }
