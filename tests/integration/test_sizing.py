"""What an engine writes at most, by components/engines, against real engines on the dev class.

The peak of PostgreSQL's WAL and of Kafka's log directory stays within the budget. `pytest --full
tests/integration/test_sizing.py` prints the figures that docs/sizing.md gives.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from components.engines import kafka, postgresql
from components.engines.budget import EngineBudget
from devkube.cluster import EmbeddedCluster
from devkube.images import build_image, reference
from tests.conftest import TOLD, eventually
from tests.faults.tier import NAMESPACE, Tiers

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak]

MIB = 2**20
PROGRAMS = Path(__file__).with_name("sizing")
USER = 65532
NAME = "sizing"
# PostgreSQL's, small, so that what is beyond them comes soon. 12 MB/s for 75 s is nearly three
# times the budget.
MAX_WAL_SIZE, SLOT_KEEP_SIZE, WAL_SEGMENT = 128 * MIB, 64 * MIB, 16 * MIB
WRITTEN, WRITING = 12_000_000, 75.0  # bytes a second, seconds
PATIENCE = "tcp_user_timeout=10000"
# Kafka's, likewise.
PARTITIONS, RETENTION, LOG_SEGMENT, INGRESS = 3, 8 * MIB, 4 * MIB, 1_000_000
ENDING = 120  # seconds beyond the load


class EnginePod:
    """A pod with an engine's container and one with a program of sizing/, on one claim."""

    def __init__(self, core: client.CoreV1Api, storage_class: str) -> None:
        self.core = core
        self.storage_class = storage_class

    @contextmanager
    def of(self, engine: dict[str, Any], program: list[str], first: list[dict[str, Any]]) -> Iterator[None]:
        """While it is there."""
        here = {"name": NAME, "namespace": NAMESPACE}
        files = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
        self.core.create_namespaced_config_map(NAMESPACE, {"metadata": here, "data": files})
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}, "storageClassName": self.storage_class}
        self.core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": here, "spec": spec})
        both = [{"name": "engine", **engine}, {"name": "program", "image": reference("clients"), "command": python(*program)}]
        pod = {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [{**confined(), **each} for each in first],
            "containers": [{**confined(), **each} for each in both],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": NAME}},
                {"name": "programs", "configMap": {"name": NAME}},
            ],
        }
        try:
            self.core.create_namespaced_pod(NAMESPACE, {"metadata": here, "spec": pod})
            yield
        finally:
            self.clean_up()

    def clean_up(self) -> None:
        """Pod, claim and volume are gone."""
        with_volume = self.core.read_namespaced_persistent_volume_claim(NAME, NAMESPACE).spec.volume_name
        for delete in (self.core.delete_namespaced_pod, self.core.delete_namespaced_persistent_volume_claim):
            delete(NAME, NAMESPACE, grace_period_seconds=0)
        self.core.delete_namespaced_config_map(NAME, NAMESPACE)
        if with_volume:
            self.core.patch_persistent_volume(with_volume, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
        eventually(lambda: with_volume not in [each.metadata.name for each in self.core.list_persistent_volume().items], "it is gone")

    def log_of(self, container: str) -> str:
        """As it is: the client would take a line of JSON for an object."""
        answer = self.core.read_namespaced_pod_log(NAME, NAMESPACE, container=container, tail_lines=40, _preload_content=False)
        log: bytes = answer.data
        return log.decode()

    def said(self, seconds: float) -> dict[str, Any]:
        """The last line of the program, once it has ended well."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            states = {
                each.name: each.state.terminated for each in self.core.read_namespaced_pod(NAME, NAMESPACE).status.container_statuses or []
            }
            ended = [name for name, state in states.items() if state]
            if ended:
                log = {name: self.log_of(name) for name in states}
                assert ended == ["program"] and states["program"].exit_code == 0, log
                found: dict[str, Any] = json.loads(log["program"].strip().splitlines()[-1])
                return found
            time.sleep(0.5)
        pytest.fail(f"the program has not ended in {seconds:.0f} s")


def python(*program: str) -> list[str]:
    return ["python3", "-IB", f"/programs/{program[0]}", *program[1:]]


def confined() -> dict[str, Any]:
    mounts = [{"name": "data", "mountPath": "/data"}, {"name": "programs", "mountPath": "/programs", "readOnly": True}]
    return {"securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}, "volumeMounts": mounts}


@pytest.fixture(scope="module")
def pod(tiers: Tiers, embedded: EmbeddedCluster, core: client.CoreV1Api, plain: str) -> EnginePod:
    for name in ("clients", "postgresql", "kafka"):
        embedded.load_image(build_image(name))
    return EnginePod(core, plain)


def told(request: pytest.FixtureRequest, what: str, peak: int, budget: EngineBudget | int) -> None:
    """Print it at the end."""
    allowed = budget if isinstance(budget, int) else budget.engine_bytes
    request.node.user_properties.append((TOLD, f"{what}: at most {peak / MIB:.0f} MiB, the budget is {allowed / MIB:.0f} MiB"))


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.fixture
def wal_of(pod: EnginePod) -> Callable[..., dict[str, Any]]:
    """The peak of pg_wal while the reader of a slot has a trouble, by the server's settings."""

    def measure(trouble: str, *more: str) -> dict[str, Any]:
        settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=/tmp",
            "wal_level=logical",
            "shared_buffers=64MB",
            f"max_wal_size={MAX_WAL_SIZE // MIB}MB",
            f"max_slot_wal_keep_size={SLOT_KEEP_SIZE // MIB}MB",
            *more,
        ]
        server = "exec postgres -D /data/pgdata" + "".join(f" -c {each}" for each in settings)
        engine = {
            "image": reference("postgresql"),
            "command": ["sh", "-ec", f"initdb -D /data/pgdata -U accept --auth=trust --encoding=UTF8 --no-locale; {server}"],
        }
        with pod.of(engine, ["wal.py", trouble, "/data/pgdata", str(WRITING), str(WRITTEN)], []):
            return pod.said(WRITING + ENDING)

    return measure


@pytest.fixture(scope="module")
def wal_budget() -> EngineBudget:
    return postgresql.budget(max_wal_size=MAX_WAL_SIZE, slot_keep_size=SLOT_KEEP_SIZE, has_slots=True, segment_size=WAL_SEGMENT, data=0)


@pytest.mark.parametrize(
    ("trouble", "settings"), [("gone", []), ("lagging", []), ("frozen", [PATIENCE])], ids=["gone", "lagging", "frozen-and-timed-out"]
)
def test_the_wal_stays_within_the_budget(
    wal_of: Callable[..., dict[str, Any]], wal_budget: EngineBudget, request: pytest.FixtureRequest, trouble: str, settings: list[str]
) -> None:
    found = wal_of(trouble, *settings)
    told(request, f"WAL with a reader that is {trouble} {' '.join(settings)}".rstrip(), found["peak"], wal_budget)
    assert found["written"] > 2 * wal_budget.engine_bytes, "it could have been exceeded"
    assert SLOT_KEEP_SIZE < found["peak"] <= wal_budget.engine_bytes
    assert found["slot"] == "lost"


def test_a_frozen_reader_without_a_timeout_exceeds_it(
    wal_of: Callable[..., dict[str, Any]], wal_budget: EngineBudget, request: pytest.FixtureRequest
) -> None:
    """As docs/sizing.md says. Where PostgreSQL has mended it, the page can lose a warning."""
    found = wal_of("frozen")
    told(request, "WAL with a reader that is frozen", found["peak"], wal_budget)
    assert found["peak"] > wal_budget.engine_bytes
    assert found["active"], "its walsender has not ended"


# --- Kafka ----------------------------------------------------------------------------------------


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("times", [(30, 6, 120), (300, 60, 840)], ids=["a-tenth", "as-by-default"])
def test_a_log_directory_stays_within_the_budget(
    pod: EnginePod, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, times: tuple[int, int, int]
) -> None:
    """`times`: the interval of checks, the delay of deletions, and how long it is written to."""
    interval, delay, seconds = times
    monkeypatch.setattr(kafka, "CHECK_INTERVAL_SECONDS", interval)
    monkeypatch.setattr(kafka, "DELETE_DELAY_SECONDS", delay)
    budget = kafka.budget(
        brokers=1,
        partitions=PARTITIONS,
        replication_factor=1,
        retention_bytes=RETENTION,
        segment_bytes=LOG_SEGMENT,
        ingress=INGRESS,
        retention_ms=None,
    )
    broker = [
        "process.roles=broker,controller",
        "node.id=1",
        "controller.quorum.voters=1@127.0.0.1:9093",
        "controller.listener.names=CONTROLLER",
        "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093",
        "offsets.topic.replication.factor=1",
        f"log.retention.check.interval.ms={interval * 1000}",
        f"log.segment.delete.delay.ms={delay * 1000}",
    ]
    first = {"name": "format", "image": reference("clients"), "command": python("retention.py", "format", "/data/kafka", *broker)}
    java = ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", "-cp", "/opt/kafka/libs/*"]
    topic = {"retention.bytes": str(RETENTION), "segment.bytes": str(LOG_SEGMENT)}
    settings = {"partitions": PARTITIONS, "config": topic, "ingress": INGRESS, "seconds": seconds}
    program = ["retention.py", "load", "/data/kafka", json.dumps(settings)]
    with pod.of({"image": reference("kafka"), "command": [*java, "kafka.Kafka", "/data/server.properties"]}, program, [first]):
        found = pod.said(seconds + 2 * ENDING)
    topics = budget.needed_bytes - kafka.METADATA_LOG
    told(request, f"Kafka's topics at a check each {interval} s", found["topics"], topics)
    assert found["left"] == 0
    assert found["sent"] > 0.9 * INGRESS * seconds, "the load was as it is reckoned"
    without = topics - budget.parts[f"ingress of {interval + delay} s"]
    assert without < found["topics"] <= topics, "the term for what comes in meanwhile is needed, and is enough"
    assert found["metadata"] <= kafka.METADATA_LOG
