"""Change data capture: Debezium 3.6.1 in Kafka Connect 4.3.1 reads PostgreSQL on its claim, and
writes to Kafka on its own ones. Its worker is killed under load, and no change is lost.
"""

from __future__ import annotations

import pytest
from kubernetes import client

from devkube.cluster import EmbeddedCluster
from devkube.images import build_image, reference
from tests.conftest import TOLD, eventually
from tests.integration.page_consumers import Consumers, Json, ready
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(1500)]

NAME = "connect"
# A worker of Kafka Connect: what the topics of its own are, and how records are written.
WORKER = {
    "group.id": NAME,
    "key.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "config.storage.topic": "connect-configs",
    "offset.storage.topic": "connect-offsets",
    "status.storage.topic": "connect-status",
    "offset.storage.partitions": "1",
    "status.storage.partitions": "1",
    "offset.flush.interval.ms": "1000",
    "plugin.discovery": "hybrid_warn",
}
JAVA = ["java", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", "/opt/kafka/libs/*"]


def worker(bootstrap: str) -> Json:
    """A Deployment of one: a killed pod is made again by itself."""
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    mounts = [{"name": "config", "mountPath": "/config"}]
    lines = "\n".join(f"{key}={value}" for key, value in {**WORKER, "bootstrap.servers": bootstrap}.items())
    labels = {"app.kubernetes.io/name": NAME}
    return {
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
                    "initContainers": [
                        {
                            "name": "files",
                            "image": reference("clients"),
                            "command": ["python3", "-c", "import os; open('/config/worker.properties', 'w').write(os.environ['LINES'])"],
                            "env": [
                                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                                {"name": "LINES", "value": f"{lines}\nlisteners=http://$(POD_IP):8083\n"},
                            ],
                            "securityContext": confined,
                            "volumeMounts": mounts,
                        }
                    ],
                    "containers": [
                        {
                            "name": NAME,
                            "image": reference("connect"),
                            "command": [*JAVA, "org.apache.kafka.connect.cli.ConnectDistributed", "/config/worker.properties"],
                            "securityContext": confined,
                            "volumeMounts": mounts,
                        }
                    ],
                    "volumes": [{"name": "config", "emptyDir": {}}],
                },
            },
        },
    }


class Capture:
    """The worker on the cluster, beside the page's consumers."""

    def __init__(self, consumers: Consumers) -> None:
        self.consumers = consumers
        self.core = consumers.core

    def pod(self) -> str:
        """The name of the worker's pod, once it runs."""
        found: list[str] = []

        def runs() -> bool:
            listed = self.core.list_namespaced_pod("data", label_selector=f"app.kubernetes.io/name={NAME}").items
            found[:] = [each.metadata.name for each in listed if ready(each) and not each.metadata.deletion_timestamp]
            return len(found) == 1

        eventually(runs, "the worker's pod runs", 120)
        return found[0]

    def wait_until_it_reads(self) -> None:
        self.consumers.run("changes", "state", self.consumers.address(self.pod()))

    def missed(self) -> Json:
        """What came of all that PostgreSQL has acknowledged."""
        found: Json = self.consumers.run("changes", "read", self.consumers.bootstrap, str(self.consumers.acknowledged["postgres"]))
        return found


def test_a_killed_worker_loses_no_change(
    page_stack: Program, api: client.ApiClient, embedded: EmbeddedCluster, request: pytest.FixtureRequest
) -> None:
    embedded.load_image(build_image("connect"))
    consumers = Consumers(api)
    consumers.make(postgres=["-c", "wal_level=logical"])
    capture = Capture(consumers)
    try:
        consumers.commit()  # what the first snapshot has to read
        consumers.apps.create_namespaced_deployment("data", worker(consumers.bootstrap))
        there = consumers.address(capture.pod())
        consumers.run("changes", "connect", there, consumers.address("postgres-0"), "/secret/password")
        capture.wait_until_it_reads()
        for _ in range(2):
            consumers.kill_during([capture.pod()], consumers.commit, again=False)
            capture.wait_until_it_reads()
        found = capture.missed()
    finally:
        consumers.apps.delete_namespaced_deployment(NAME, "data", propagation_policy="Foreground")
        consumers.remove()
    told = f"Debezium, its worker killed twice: {found['records']} changes, {found['again']} of them again, {found['missing']} missing"
    request.node.user_properties.append((TOLD, told))
    assert not found["missing"], found
    assert not found["wrong"], found
