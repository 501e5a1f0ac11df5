"""The StatefulSets of docs/consumers.md with the real engines, on the stack's own claims: pods are
killed under load, all is removed, the volumes are adopted, and what was acknowledged is there.

They are applied as the page has them, with this machine's images. What the official images do
before the engine starts is added: `engine_of` has it.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from kubernetes import client
from kubernetes.stream import stream

from devkube.cluster import Access, EmbeddedCluster
from devkube.images import build_image, reference
from tests.conftest import eventually
from tests.integration.test_docs import files
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(1500)]

PROGRAMS = Path(__file__).with_name("ledgers")
CLIENT = "ledger"
CLAIMS = ["data-kafka-0", "data-kafka-1", "data-kafka-2", "data-postgres-0"]
HOSTS = "hosts"  # an annotation: the brokers' names and addresses
PASSWORD = secrets.token_hex(16)
WRITING = 12.0  # seconds of each load
KILLED = 4.0  # seconds after its beginning
ANSWERING = 300  # seconds that a client takes at most
Json: TypeAlias = dict[str, Any]

# As docker-entrypoint.sh of PostgreSQL's official image does it.
START_POSTGRES = """
[ -s "$PGDATA/PG_VERSION" ] || {
  printf %s "$POSTGRES_PASSWORD" | initdb --username=postgres --pwfile=/dev/stdin --auth=scram-sha-256
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
}
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djdk.net.hosts.file=/hosts/hosts", "-cp", "/opt/kafka/libs/*"]
# The files that Apache's image has for its program to begin with.
BEGINNING = "open('/config/server.properties', 'w').write('# of the variables\\n')"
FORMATTING = ["--default-configs-dir", "/config", "--mounted-configs-dir", "/none", "--final-configs-dir", "/config"]


def engine_of(manifest: Json) -> Json:
    """A StatefulSet of the page with this machine's images, and what the official ones do first."""
    spec = manifest["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    if container["image"].startswith("docker.io/library/postgres:"):
        container["image"] = reference("postgresql")
        container["command"] = ["sh", "-ec", START_POSTGRES, "postgres"]
        return manifest
    assert container["image"].startswith("docker.io/apache/kafka:")
    container["image"] = reference("kafka")
    container["volumeMounts"] += [{"name": "config", "mountPath": "/config"}, {"name": "hosts", "mountPath": "/hosts"}]
    hosts = {"path": "hosts", "fieldRef": {"fieldPath": f"metadata.annotations['{HOSTS}']"}}
    spec["volumes"] = [{"name": "config", "emptyDir": {}}, {"name": "hosts", "downwardAPI": {"items": [hosts]}}]
    first = {**container, "name": "files", "image": reference("clients"), "command": ["python3", "-c", BEGINNING]}
    then = {**container, "name": "setup", "command": [*JAVA, "kafka.docker.KafkaDockerWrapper", "setup", *FORMATTING]}
    spec["initContainers"] = [first, then]
    container["command"] = [*JAVA, "kafka.Kafka", "/config/server.properties"]
    return manifest


class Consumers:
    """The page's objects on the cluster, and a pod with clients of both engines."""

    def __init__(self, api: client.ApiClient) -> None:
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self.acknowledged = {"postgres": 0, "kafka": 0}

    def make(self) -> None:
        """The Secret as the page makes it, both files, and the clients' pod."""
        self.core.create_namespaced_secret("data", {"metadata": {"name": "postgres"}, "stringData": {"password": PASSWORD}})
        for document in (each for file in files("consumers.md").values() for each in yaml.safe_load_all(file)):
            if document["kind"] == "Service":
                self.core.create_namespaced_service("data", document)
            elif document["kind"] == "StatefulSet":
                self.apps.create_namespaced_stateful_set("data", engine_of(document))
        programs = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
        self.core.create_namespaced_config_map("data", {"metadata": {"name": CLIENT}, "data": programs})
        self.core.create_namespaced_pod("data", client_pod())
        self.wait_until_all_run()

    def wait_until_all_run(self) -> None:
        """All pods run, and the brokers know one another's addresses."""
        eventually(self._all_run, "all pods run", 240)

    def _all_run(self) -> bool:
        pods = {each.metadata.name: each for each in self.core.list_namespaced_pod("data").items}
        brokers = [pods.get(f"kafka-{number}") for number in range(3)]
        if all(each and each.status.pod_ip and not each.metadata.deletion_timestamp for each in brokers):
            lines = "".join(f"{each.status.pod_ip} {each.metadata.name}.kafka\n" for each in brokers if each)
            for each in brokers:
                if each and (each.metadata.annotations or {}).get(HOSTS) != lines:
                    self.core.patch_namespaced_pod(each.metadata.name, "data", {"metadata": {"annotations": {HOSTS: lines}}})
        wanted = [*brokers, pods.get("postgres-0"), pods.get(CLIENT)]
        return all(each and not each.metadata.deletion_timestamp and ready(each) for each in wanted)

    def address(self, pod: str) -> str:
        address: str = self.core.read_namespaced_pod(pod, "data").status.pod_ip
        return address

    def client(self, program: str, *arguments: str) -> Any:
        """What a program of ledgers/ says in its last line."""
        where = [self.address("postgres-0"), "/secret/password"]
        if program == "records":
            where = [",".join(f"{self.address(f'kafka-{number}')}:9092" for number in range(3))]
        command = ["python3", "-IB", f"/programs/{program}.py", arguments[0], *where, *arguments[1:]]
        answer = stream(
            self.core.connect_get_namespaced_pod_exec,
            CLIENT,
            "data",
            command=command,
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        answer.run_forever(timeout=ANSWERING)
        said, complaints = answer.read_stdout(), answer.read_stderr()
        assert not answer.is_open() and answer.returncode == 0, f"{program}: {said}{complaints}"
        return json.loads(said.strip().splitlines()[-1])

    def kill_during(self, pods: list[str], load: Callable[[], Any]) -> Any:
        """Delete pods without grace in the midst of a load; returns what that says."""
        uids = {each.metadata.name: each.metadata.uid for each in self.core.list_namespaced_pod("data").items}

        def kill() -> None:
            for pod in pods:
                self.core.delete_namespaced_pod(pod, "data", grace_period_seconds=0)

        killing = threading.Timer(KILLED, kill)
        killing.start()
        said = load()
        killing.join()

        def are_others() -> bool:
            found = {each.metadata.name: each.metadata.uid for each in self.core.list_namespaced_pod("data").items}
            return all(found.get(pod) not in (None, uids[pod]) for pod in pods)

        eventually(are_others, "the StatefulSets have made the pods again", 60)
        self.wait_until_all_run()
        return said

    def commit(self) -> None:
        """A load of PostgreSQL's; what it was told is kept."""
        before = self.acknowledged["postgres"]
        self.acknowledged["postgres"] = self.client("transactions", "write", str(before + 1), str(WRITING))
        assert self.acknowledged["postgres"] > before + 50, "it was a load"

    def send(self) -> None:
        """A load of Kafka's; what it was told is kept."""
        before = self.acknowledged["kafka"]
        said = self.client("records", "write", str(before + 1), str(WRITING))
        assert not said["problem"] and said["acknowledged"] == said["sent"], said
        assert said["acknowledged"] > before + 50, "it was a load"
        self.acknowledged["kafka"] = said["acknowledged"]

    def check(self) -> None:
        """Everything acknowledged is there, once, as it was written."""
        rows = self.client("transactions", "read")
        # One more may have been committed whose acknowledgement the kill has cut off.
        assert rows["rows"] == rows["last"] and self.acknowledged["postgres"] <= rows["last"] <= self.acknowledged["postgres"] + 1, rows
        assert not rows["wrong"], rows
        records = self.client("records", "read")
        assert records["records"] == records["last"] == self.acknowledged["kafka"], (records, self.acknowledged)
        assert not records["wrong"] and not records["unread"], records

    def remove(self) -> None:
        """All that isn't the stack's."""
        for name in ("postgres", "kafka"):
            self.apps.delete_namespaced_stateful_set(name, "data", propagation_policy="Foreground")
        self.core.delete_namespaced_pod(CLIENT, "data", grace_period_seconds=0)
        self.core.delete_namespaced_service("kafka", "data")
        self.core.delete_namespaced_secret("postgres", "data")
        self.core.delete_namespaced_config_map(CLIENT, "data")
        eventually(lambda: not self.core.list_namespaced_pod("data").items, "all pods are gone")


def ready(pod: Any) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions or [])


def client_pod() -> Json:
    """Waits to be told what to run."""
    mounts = [{"name": "programs", "mountPath": "/programs"}, {"name": "secret", "mountPath": "/secret"}]
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    command = ["python3", "-c", "import time; time.sleep(86400)"]
    container = {"name": "client", "image": reference("clients"), "command": command, "securityContext": confined, "volumeMounts": mounts}
    return {
        "metadata": {"name": CLIENT},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
            "volumes": [
                {"name": "programs", "configMap": {"name": CLIENT}},
                {"name": "secret", "secret": {"secretName": "postgres"}},
            ],
        },
    }


@pytest.fixture(scope="module")
def program(
    program_factory: Callable[..., Program], access: Access, embedded: EmbeddedCluster, core: client.CoreV1Api
) -> Iterator[Program]:
    for name in ("clients", "postgresql", "kafka"):
        embedded.load_image(build_image(name))
    made = program_factory(access=access)
    made.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    made.up()
    yield made
    for volume in core.list_persistent_volume().items:
        core.patch_persistent_volume(volume.metadata.name, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    eventually(lambda: not core.list_persistent_volume().items, "volumes of the tests are gone")


def bound(core: client.CoreV1Api) -> dict[str, str]:
    """The volume that each claim is bound to."""
    return {each.metadata.name: each.spec.volume_name for each in core.list_namespaced_persistent_volume_claim("data").items}


def test_all_that_was_acknowledged_is_there_through_kills_destroy_and_adoption(
    program: Program, api: client.ApiClient, core: client.CoreV1Api
) -> None:
    consumers = Consumers(api)
    consumers.make()
    held = bound(core)
    assert sorted(held) == CLAIMS, "the stack's claims, and no others"
    consumers.kill_during(["postgres-0"], consumers.commit)
    consumers.kill_during(["kafka-1"], consumers.send)
    consumers.commit()
    consumers.kill_during(["kafka-0", "kafka-1", "kafka-2"], consumers.send)
    consumers.check()
    consumers.remove()
    program.destroy()
    adopted = program.ops("volumes", "adopt")
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    program.up("--refresh")
    consumers.make()
    assert bound(core) == held, "each claim has its own volume again"
    consumers.check()
    consumers.commit()
    consumers.send()
    consumers.check()
    consumers.remove()
    program.destroy()
