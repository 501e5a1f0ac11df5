"""The StatefulSets of docs/consumers.md as the page has them, with this machine's images, and
clients of both engines in a pod.

What the official images do before the engine starts is added: `engine_of` has it.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml
from kubernetes import client
from kubernetes.stream import stream

from devkube.images import reference
from tests.conftest import eventually
from tests.integration.test_docs import files

PROGRAMS = Path(__file__).with_name("ledgers")
CLIENT = "ledger"
HOSTS = "hosts"  # an annotation: the brokers' names and addresses
PASSWORD = secrets.token_hex(16)
WRITING = 12.0  # seconds of each load, from its client's start on
# Seconds that a pod has to end: no engine does under load, and is killed. With 0 the pod would be
# gone from the API before its processes are, and another one start beside them.
GRACE = 1
KILLED = 4.0  # seconds after the first acknowledgement
RUNNING = 240  # seconds in which all pods run
ANSWERING = 300  # seconds that a client takes at most
Json: TypeAlias = dict[str, Any]

# As docker-entrypoint.sh of PostgreSQL's official image does it.
START_POSTGRES = """
[ -s "$PGDATA/PG_VERSION" ] || {
  printf %s "$POSTGRES_PASSWORD" | initdb --username=postgres --pwfile=/dev/stdin --auth=scram-sha-256 --encoding=UTF8 --no-locale
  echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
}
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""
JAVA = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djdk.net.hosts.file=/hosts/hosts", "-cp", "/opt/kafka/libs/*"]
# As /etc/kafka/docker/run of Apache's image does it, whose program writes the settings and formats
# the log directory: it fails where that was done before.
START_KAFKA = """
echo '# of the variables' > /config/server.properties
folders='--default-configs-dir /config --mounted-configs-dir /none --final-configs-dir /config'
said=$("$@" kafka.docker.KafkaDockerWrapper setup $folders 2>&1) ||
  case $said in *"already formatted"*) ;; *) echo "$said"; exit 1;; esac
exec "$@" kafka.Kafka /config/server.properties
"""


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
    container["command"] = ["sh", "-ec", START_KAFKA, "kafka", *JAVA]
    return manifest


class Consumers:
    """The page's objects on the cluster, and a pod with clients of both engines."""

    def __init__(self, api: client.ApiClient, namespace: str = "data") -> None:
        """`namespace`: the stack's, instead of the page's."""
        self.namespace = namespace
        self.core = client.CoreV1Api(api)
        self.apps = client.AppsV1Api(api)
        self.acknowledged = {"postgres": 0, "kafka": 0}
        self.sent = 0  # the last record's number
        self.begun = threading.Event()  # a load has

    def make(self, *, postgres: Sequence[str] = ()) -> None:
        """The Secret as the page makes it, both files, and the clients' pod.

        `postgres` are arguments of PostgreSQL's beside the page's.
        """
        self.core.create_namespaced_secret(self.namespace, {"metadata": {"name": "postgres"}, "stringData": {"password": PASSWORD}})
        for document in (each for file in files("consumers.md").values() for each in yaml.safe_load_all(file)):
            document["metadata"]["namespace"] = self.namespace
            if document["kind"] == "Service":
                self.core.create_namespaced_service(self.namespace, document)
            elif document["kind"] == "StatefulSet":
                if document["metadata"]["name"] == "postgres":
                    document["spec"]["template"]["spec"]["containers"][0]["args"] += postgres
                self.apps.create_namespaced_stateful_set(self.namespace, engine_of(document))
        programs = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
        self.core.create_namespaced_config_map(self.namespace, {"metadata": {"name": CLIENT}, "data": programs})
        self.core.create_namespaced_pod(self.namespace, client_pod())
        self.wait_until_all_run()
        # A kill in the midst of initdb would leave half a cluster, here as with the official image.
        self.client("transactions", "write", "1", "0")

    def wait_until_all_run(self) -> None:
        """All pods run, and the brokers know one another's addresses."""
        end = time.monotonic() + RUNNING
        while not self._all_run():
            assert time.monotonic() < end, f"not all pods run in {RUNNING} s: {self.logs()}"
            time.sleep(0.2)

    def _all_run(self) -> bool:
        pods = {each.metadata.name: each for each in self.core.list_namespaced_pod(self.namespace).items}
        brokers = [pods.get(f"kafka-{number}") for number in range(3)]
        if all(each and each.status.pod_ip and not each.metadata.deletion_timestamp for each in brokers):
            lines = "".join(f"{each.status.pod_ip} {each.metadata.name}.kafka\n" for each in brokers if each)
            for each in brokers:
                if each and (each.metadata.annotations or {}).get(HOSTS) != lines:
                    self.core.patch_namespaced_pod(each.metadata.name, self.namespace, {"metadata": {"annotations": {HOSTS: lines}}})
        wanted = [*brokers, pods.get("postgres-0"), pods.get(CLIENT)]
        return all(each and not each.metadata.deletion_timestamp and ready(each) for each in wanted)

    def address(self, pod: str) -> str:
        address: str = self.core.read_namespaced_pod(pod, self.namespace).status.pod_ip
        return address

    def client(self, program: str, step: str, *arguments: str) -> Any:
        """As `run`, with the engine's address before the arguments."""
        where = [self.bootstrap] if program == "records" else [self.address("postgres-0"), "/secret/password"]
        return self.run(program, step, *where, *arguments)

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses."""
        return ",".join(f"{self.address(f'kafka-{number}')}:9092" for number in range(3))

    def run(self, program: str, *arguments: str) -> Any:
        """What a program of ledgers/ says in its last line."""
        command = ["python3", "-IB", f"/programs/{program}.py", *arguments]
        answer = stream(
            self.core.connect_get_namespaced_pod_exec,
            CLIENT,
            self.namespace,
            command=command,
            stdout=True,
            stderr=True,
            stdin=False,
            tty=False,
            _preload_content=False,
        )
        said, complaints, end = "", "", time.monotonic() + ANSWERING
        while answer.is_open() and time.monotonic() < end:
            answer.update(timeout=1)
            said += answer.read_stdout(timeout=0) if answer.peek_stdout() else ""
            complaints += answer.read_stderr(timeout=0) if answer.peek_stderr() else ""
            if said.startswith("begun"):
                self.begun.set()
        assert not answer.is_open() and answer.returncode == 0, f"{program}: {said}{complaints}{self.logs()}"
        return json.loads(said.strip().splitlines()[-1])

    def logs(self) -> str:
        """The states of all pods, and the ends of their logs."""
        found = {each.metadata.name: each.status.container_statuses for each in self.core.list_namespaced_pod(self.namespace).items}
        return "".join(f"\n== {name}\n{states}\n{self.log(name)}" for name, states in found.items())

    def log(self, pod: str) -> str:
        try:
            log: str = self.core.read_namespaced_pod_log(pod, self.namespace, tail_lines=30)
        except client.ApiException as problem:
            return str(problem.reason)
        return log

    def kill_during(self, pods: list[str], load: Callable[[], None], *, again: bool = True) -> None:
        """Kill pods in the midst of a load.

        With `again` wait until there are others with these names.
        """
        uids = {each.metadata.name: each.metadata.uid for each in self.core.list_namespaced_pod(self.namespace).items}

        def kill() -> None:
            if self.begun.wait(ANSWERING):
                time.sleep(KILLED)
                for pod in pods:
                    self.core.delete_namespaced_pod(pod, self.namespace, grace_period_seconds=GRACE)

        self.begun.clear()
        killing = threading.Thread(target=kill, daemon=True)
        killing.start()
        load()
        killing.join()

        def are_others() -> bool:
            found = {each.metadata.name: each.metadata.uid for each in self.core.list_namespaced_pod(self.namespace).items}
            return all(found.get(pod) not in (None, uids[pod]) for pod in pods)

        if again:
            eventually(are_others, "the StatefulSets have made the pods again", 60)
        self.wait_until_all_run()

    def commit(self) -> None:
        """A load of PostgreSQL's; what it was told is kept."""
        before = self.acknowledged["postgres"]
        self.acknowledged["postgres"] = self.client("transactions", "write", str(before + 1), str(WRITING))
        assert self.acknowledged["postgres"] > before + 50, "it was a load"

    def send(self, *, all_killed: bool = False) -> None:
        """A load of Kafka's; what it was told is kept.

        Where all brokers are killed all their addresses are others: without a DNS the producer does
        not find them again, and has records on its way of which it never hears.
        """
        before = 0
        if self.sent:
            there = self.client("records", "read")
            assert not there["unread"], there
            before = there["last"]
        said = self.client("records", "write", str(before + 1), str(WRITING))
        assert bool(said["problem"]) == all_killed, said
        assert all_killed or said["acknowledged"] == said["sent"], said
        assert said["acknowledged"] > before + 50, "it was a load"
        self.acknowledged["kafka"], self.sent = said["acknowledged"], said["sent"]

    def check(self) -> None:
        """Everything acknowledged is there, once, as it was written."""
        rows = self.client("transactions", "read")
        # One more may have been committed whose acknowledgement the kill has cut off.
        assert rows["rows"] == rows["last"] and self.acknowledged["postgres"] <= rows["last"] <= self.acknowledged["postgres"] + 1, rows
        assert not rows["wrong"], rows
        records = self.client("records", "read")
        assert records["records"] == records["last"], records
        assert self.acknowledged["kafka"] <= records["last"] <= self.sent, (records, self.acknowledged)
        assert not records["wrong"] and not records["unread"], records

    def remove(self) -> None:
        """All that isn't the stack's."""
        for name in ("postgres", "kafka"):
            self.apps.delete_namespaced_stateful_set(name, self.namespace, propagation_policy="Foreground")
        self.core.delete_namespaced_pod(CLIENT, self.namespace, grace_period_seconds=0)
        self.core.delete_namespaced_service("kafka", self.namespace)
        self.core.delete_namespaced_secret("postgres", self.namespace)
        self.core.delete_namespaced_config_map(CLIENT, self.namespace)
        eventually(lambda: not self.core.list_namespaced_pod(self.namespace).items, "all pods are gone")


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
