"""One of several Kafka brokers on its volume: how it is made, started and watched."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from .common import EngineFault, EngineLog

# Of confluent_kafka, which is imported where it is used.
Metadata: TypeAlias = Any
ClientSettings: TypeAlias = dict[str, Any]

TOPIC = "accept"
BROKERS = 3
STARTING = 120  # seconds that a start may take, with its recovery
LIBRARIES = "/opt/kafka/libs"  # of the official image
HEAP = "256m"
CLIENT, CONTROLLER = 9092, 9093  # ports
# An exception's own line, and not that of the call that has made it.
TROUBLE = re.compile(r"((FATAL|ERROR) |(java|org\.apache\.kafka)\.[\w.$]+(Exception|Error)\b(?!\.)).*")
# What a broker says of records whose checksum is wrong, and which it throws away with all that
# follow (LogSegment.recover of Kafka 4). A batch that was cut off by the kill it doesn't mention.
DISCARDED = re.compile(r"Found invalid messages in log segment .*")
LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
"""


class KafkaBroker:
    """One broker, which is a controller as well. Brokers are numbered from 0, Kafka's from 1."""

    def __init__(self, root: Path, work: Path, *, run: str, broker: int, address: str, hosts: Path, libraries: str, held: int) -> None:
        self.data = root / "kafka"
        self.work = work
        self.run = run
        self.broker = broker
        self.address = address
        self.hosts = hosts
        self.libraries = libraries
        self.held = held
        self.log = EngineLog(TROUBLE, DISCARDED)
        self.process: subprocess.Popen[bytes] | None = None

    def settings(self) -> dict[str, str]:
        """Of server.properties."""
        # A listener's address is in brackets where it is IPv6.
        here = f"[{self.address}]" if ":" in self.address else self.address
        voters = ",".join(f"{number + 1}@{name(number)}:{CONTROLLER}" for number in range(BROKERS))
        return {
            "process.roles": "broker,controller",
            "node.id": str(self.broker + 1),
            "controller.quorum.voters": voters,
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://{here}:{CLIENT},CONTROLLER://{here}:{CONTROLLER}",
            "advertised.listeners": f"PLAINTEXT://{here}:{CLIENT}",
            "log.dirs": str(self.data),
            "auto.create.topics.enable": "false",
            "offsets.topic.num.partitions": "1",
            "broker.session.timeout.ms": "3000",  # a killed one is known sooner than by default, 9000
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
        }

    def make(self) -> None:
        """A new log directory, as kafka-storage.sh formats it: it is on the disk before it is used.

        Raises OSError.
        """
        self.data.mkdir()
        cluster = identifier(hashlib.blake2b(self.run.encode(), digest_size=16).digest())
        lines = {"version": "1", "cluster.id": cluster, "node.id": str(self.broker + 1), "directory.id": identifier(uuid.uuid4().bytes)}
        with (self.data / "meta.properties").open("w", encoding="utf-8") as file:
            file.write(properties(lines))
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self.data, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)

    def start(self) -> None:
        """Start it, once the others' addresses are known. Raises EngineFault, OSError."""
        end = time.monotonic() + STARTING
        while not known(self.hosts, self.broker, self.address):
            if time.monotonic() > end:
                raise EngineFault("hosts", f"the other brokers' addresses have not come in {STARTING} s")
            time.sleep(0.1)
        (self.work / "server.properties").write_text(properties(self.settings()))
        (self.work / "log4j2.properties").write_text(LOG4J)
        command = [
            *java(self.libraries, self.work),
            f"-Xmx{HEAP}",
            f"-Xms{HEAP}",
            "-XX:+ExitOnOutOfMemoryError",
            f"-Djdk.net.hosts.file={self.hosts}",
        ]
        command += [f"-Dlog4j2.configurationFile={self.work}/log4j2.properties", "kafka.Kafka", str(self.work / "server.properties")]
        self.process = subprocess.Popen(command, pass_fds=[self.held], stdout=sys.stderr, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        self.log.follow(self.process.stderr)

    def look(self) -> None:
        """Raise EngineFault where it has ended."""
        assert self.process is not None, "it was started"
        if self.process.poll() is not None:
            raise EngineFault("ended", f"Kafka has ended with status {self.process.returncode}")

    def client(self, **more: object) -> ClientSettings:
        """The settings of a client."""
        here = f"[{self.address}]" if ":" in self.address else self.address
        return {"bootstrap.servers": f"{here}:{CLIENT}", "error_cb": lambda _: None, "log_level": 2, **more}

    def wait_for(self, ready: Callable[[Metadata], bool], what: str) -> float:
        """Wait until the cluster's metadata is as `ready` says; returns the seconds.

        Raises EngineFault.
        """
        from confluent_kafka import KafkaException  # noqa: PLC0415 - it comes from a folder that the command line names
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        began = time.monotonic()
        admin = AdminClient(self.client())
        while time.monotonic() - began < STARTING:
            self.look()
            try:
                if ready(admin.list_topics(timeout=2)):
                    return time.monotonic() - began
            except KafkaException:  # not yet
                pass
            time.sleep(0.1)
        raise EngineFault("start", f"Kafka: {what} not in {STARTING} s")


def identifier(value: bytes) -> str:
    """A UUID as Kafka writes it."""
    return urlsafe_b64encode(value).decode().rstrip("=")


def name(broker: int) -> str:
    """The name by which the controllers find one another."""
    return f"broker-{broker}"


def known(hosts: Path, broker: int, address: str) -> bool:
    """Whether all brokers are in the file, and this one with its present address."""
    try:
        found = {each[1]: each[0] for line in hosts.read_text().splitlines() if len(each := line.split()) == 2}
    except FileNotFoundError:
        return False
    return len(found) == BROKERS and found.get(name(broker)) == address


def properties(lines: dict[str, str]) -> str:
    """A file of Java's properties."""
    return "".join(f"{key}={value}\n" for key, value in lines.items())


def java(libraries: str, work: Path) -> list[str]:
    """How Java is started with Kafka's libraries. It writes nothing but in `work`."""
    return ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData", f"-Djava.io.tmpdir={work}", "-cp", f"{libraries}/*"]


def all_brokers(found: Metadata) -> bool:
    """Whether every broker is there."""
    return len(found.brokers) == BROKERS


def has_leaders(found: Metadata) -> bool:
    """Whether every partition has a leader."""
    topic = found.topics.get(TOPIC)
    return topic is not None and len(topic.partitions) == BROKERS and all(each.leader > 0 for each in topic.partitions.values())


def in_sync(found: Metadata) -> bool:
    """Whether every replica of every partition is in sync."""
    return has_leaders(found) and all(len(each.isrs) == BROKERS for each in found.topics[TOPIC].partitions.values())


def version(libraries: str) -> str:
    """Kafka's version, from the name of a library."""
    return next((path.stem.rpartition("-")[2] for path in Path(libraries).glob("kafka-clients-*.jar")), "unknown")
