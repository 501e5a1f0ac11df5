"""Runs in the pods of an acceptance: each starts one of several Kafka brokers on its volume, and is
a client of it.

Python 3.10 or newer with confluent-kafka. It knows nothing of Kubernetes: a folder (the mounted
volume), its own address, and a file with everybody's names and addresses, which changes when a pod
is replaced, are all that it gets. What it has to say goes to stdout, a line each: a word, a space,
JSON. Kafka's own log goes to stderr. The words:

    mount      the file system: type, size and free bytes, and what was found in the volume's root
    engine     Kafka's version and the settings that decide what an acknowledgement means
    acks       by partition: the highest number that was acknowledged
    figures    what was measured of the first records
    joined     the seconds from the start of the broker until every replica is in sync
    rows       of one partition, what a consumer gets: [first, last, digest] of numbers in a row
    replica    of one partition, what this broker's own segments hold, in the same form
    segments   what DumpLogSegments found in them
    unreadable a partition that a consumer does not get, and why
    discarded  what the broker's log says that it has thrown away
    done       the end of a step; the broker runs on for the others until its pod is deleted
    fault      the engine failed: errno (or the error's name), path, message

Broker b leads partition b at first, and its pod writes the partition after that: the writer sees
another broker's end. Records are numbered from 1 in each partition, and sent in that order by an
idempotent producer with acks=all. The content of one follows from run, partition and number.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn, TypeAlias

from .common import EngineFault, blocks, content, latencies, say, say_fault, say_mount, take
from .kafka_broker import BROKERS, LIBRARIES, STARTING, TOPIC, KafkaBroker, all_brokers, in_sync, java, version

Delivery: TypeAlias = Callable[[object, object], None]

BATCH = 0.05  # seconds over which acknowledgements are gathered
MEASURED = 0.5  # seconds between two lines of figures
SIGN = 30  # seconds between two lines of a broker that has nothing to say
DELIVERING = 60  # seconds that a record may take, with a change of leader in between
UNSENT = 1000  # records of a producer that are on their way at most
MEASURING = 10_000  # records of a partition that are written as fast as they are taken, and measured
PACE = 100  # records in a second after that: brokers that start again get the processors
SEGMENT = 2 * 2**20  # bytes: several are closed while it writes
# Little memory, and what several brokers need. Nothing of what makes a record durable is set but
# what everybody does who wants to keep his records.
TOPIC_SETTINGS = {"min.insync.replicas": "2", "segment.bytes": str(SEGMENT)}
SEGMENT_READ = re.compile(rf"^Dumping .*/{TOPIC}-(\d+)/\d+\.log")
PAYLOAD = re.compile(r" payload: (\d+) ([0-9a-f]+)$")
INVALID = re.compile(r"isvalid: false|^Found |^Mismatches")
MARK = "end"  # of a partition, written before it is read


class Producing:
    """One partition's writer, and what it was told.

    The first records are written as fast as they are taken, and measured; then there are PACE in a
    second.
    """

    def __init__(self, broker: KafkaBroker) -> None:
        self.broker = broker
        self.partition = (broker.broker + 1) % BROKERS
        self.acknowledged = 0
        self.began = self.last = 0.0  # the times of the first record, and of the last measured acknowledgement
        self.bytes = 0
        self.taken: collections.deque[float] = collections.deque()
        self.problem = ""

    def told(self, number: int, size: int, sent: float) -> Delivery:
        """What the producer calls when record `number` was delivered, or wasn't."""

        def call(error: object, _: object) -> None:
            if error is not None:
                self.problem = self.problem or f"record {number} of partition {self.partition}: {error}"
            elif not self.problem:
                self.acknowledged = number
                if number <= MEASURING:
                    self.last = time.monotonic()
                    self.taken.append(self.last - sent)
                    self.bytes += size

        return call

    def figures(self) -> dict[str, object]:
        """What was measured until now."""
        seconds = max(self.last - self.began, 0.001)
        figures = {"records": len(self.taken), "seconds": round(seconds, 3), "bytes": self.bytes}
        return {**figures, "MBps": round(self.bytes / 1e6 / seconds, 2), "ackMs": latencies(self.taken)}

    def run(self, seconds: float) -> None:
        """Write until killed, or for `seconds`. Raises EngineFault."""
        from confluent_kafka import Producer  # noqa: PLC0415

        producer = Producer(
            self.broker.client(**{"enable.idempotence": True, "acks": "all", "linger.ms": 5, "delivery.timeout.ms": DELIVERING * 1000})
        )
        number = said = measured = 0
        self.began = now = paced = told = figured = time.monotonic()
        while now - self.began < seconds and not self.problem:
            self.broker.look()
            paced = now if number < MEASURING else paced
            if number < MEASURING + (now - paced) * PACE and number - self.acknowledged < UNSENT:
                number += 1
                value = f"{number} {content(self.broker.run, self.partition, number)}"
                producer.produce(TOPIC, value, partition=self.partition, on_delivery=self.told(number, len(value), time.monotonic()))
                producer.poll(0)
            else:
                producer.poll(0.01)
            now = time.monotonic()
            if now - told >= BATCH and self.acknowledged > said:
                told, said = now, self.acknowledged
                say("acks", {self.partition: said})
            if now - figured >= MEASURED and len(self.taken) > measured:
                figured, measured = now, len(self.taken)
                say("figures", self.figures())
        if self.problem:
            raise EngineFault("delivery", self.problem)


def load(broker: KafkaBroker, seconds: float) -> None:
    """Make a cluster and write until killed, or for `seconds`. Raises EngineFault, OSError."""
    broker.make()
    broker.start()
    broker.wait_for(all_brokers, "all brokers are there")
    if broker.broker == 0:
        create_topic(broker)
    broker.wait_for(in_sync, "every partition has a leader and its replicas in sync")
    say(
        "engine",
        {
            "name": "kafka",
            "version": version(broker.libraries),
            "settings": {**TOPIC_SETTINGS, "acks": "all", "enable.idempotence": "true"},
        },
    )
    Producing(broker).run(seconds)


def create_topic(broker: KafkaBroker) -> None:
    """A partition for each broker to lead, with a replica on every one. Raises EngineFault."""
    from confluent_kafka import KafkaException  # noqa: PLC0415
    from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

    replicas = [[(first + turn) % BROKERS + 1 for turn in range(BROKERS)] for first in range(BROKERS)]
    topic = NewTopic(TOPIC, num_partitions=BROKERS, replica_assignment=replicas, config=TOPIC_SETTINGS)
    admin = AdminClient(broker.client())
    try:
        for future in admin.create_topics([topic]).values():
            future.result()
    except KafkaException as problem:
        raise EngineFault("topic", str(problem)) from None


def rejoin(broker: KafkaBroker) -> None:
    """Start on what a killed pod has left, and wait until all replicas are in sync again.

    Raises EngineFault, OSError.
    """
    broker.start()
    say("joined", {"seconds": round(broker.wait_for(in_sync, "every replica is in sync"), 2)})


def read(broker: KafkaBroker) -> None:
    """What a consumer of this broker's partition gets, and what is in its own segments."""
    mark(broker)
    try:
        say("rows", {"partition": broker.broker, "blocks": list(blocks(consumed(broker, broker.broker)))})
    except EngineFault as problem:
        say("unreadable", {"partition": broker.broker, "message": str(problem)})
    for partition, found in dump(broker).items():
        say("replica", {"partition": partition, "blocks": list(blocks(found.rows))})
        say("segments", {"partition": partition, "status": found.status, "said": found.complaints[:20], "files": found.files})


def mark(broker: KafkaBroker) -> None:
    """Write one record more to each partition.

    After a start the brokers agree on the end of a partition only by and by, and a consumer gets
    nothing beyond. Once this record is acknowledged by all, so is everything before it.
    Raises EngineFault.
    """
    from confluent_kafka import Producer  # noqa: PLC0415

    problems: list[str] = []
    producer = Producer(broker.client(**{"enable.idempotence": True, "acks": "all", "delivery.timeout.ms": DELIVERING * 1000}))
    for partition in range(BROKERS):
        producer.produce(TOPIC, MARK, partition=partition, on_delivery=lambda error, _: problems.append(str(error)) if error else None)
    if producer.flush(DELIVERING) or problems:
        raise EngineFault("delivery", f"the partitions take no more records: {'; '.join(problems) or 'no answer'}")


def consumed(broker: KafkaBroker, partition: int) -> Iterator[tuple[int, str]]:
    """Number and content of each record of a partition, as a consumer gets them.

    Raises EngineFault.
    """
    from confluent_kafka import Consumer, KafkaException, TopicPartition  # noqa: PLC0415

    settings = {"group.id": "accept", "enable.auto.commit": False, "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
    consumer = Consumer(broker.client(**settings))
    try:
        where = TopicPartition(TOPIC, partition, 0)
        _, end = consumer.get_watermark_offsets(where, timeout=STARTING)
        consumer.assign([where])
        silent = time.monotonic()
        next_offset = 0
        while next_offset < end:
            for message in consumer.consume(500, timeout=1):
                if message.error():
                    raise EngineFault("read", f"partition {partition}: {message.error()}")
                silent, next_offset = time.monotonic(), message.offset() + 1
                value = message.value().decode("utf-8", "replace")
                if value != MARK:
                    yield row(value)
            if time.monotonic() - silent > STARTING:
                raise EngineFault("read", f"partition {partition} gives nothing from offset {next_offset} on; its end is {end}")
    except KafkaException as problem:
        raise EngineFault("read", f"partition {partition}: {problem}") from None
    finally:
        consumer.close()


def row(value: str) -> tuple[int, str]:
    """Number and content of a record's value; number 0 for one that is not of this script."""
    number, _, text = value.partition(" ")
    return (int(number), text) if number.isdigit() else (0, value)


@dataclass
class Dumped:
    """What Kafka's own tool has read in a partition's segments: rows, and what it complains of."""

    files: int = 0
    status: int = 0
    rows: list[tuple[int, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def dump(broker: KafkaBroker) -> dict[int, Dumped]:
    """Kafka's own reading of this broker's segments, by partition: all in one start of Java."""
    folders = {partition: broker.data / f"{TOPIC}-{partition}" for partition in range(BROKERS)}
    segments = {partition: sorted(folder.glob("*.log")) for partition, folder in folders.items()}
    found = {partition: Dumped(len(each), complaints=[] if each else ["there are no segments"]) for partition, each in segments.items()}
    files = ",".join(str(path) for each in segments.values() for path in each)
    command = [*java(broker.libraries, broker.work), "-Xmx128m", "org.apache.kafka.tools.DumpLogSegments"]
    command += ["--print-data-log", "--deep-iteration", "--files", files]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as tool:
        assert tool.stdout is not None
        read_dump(tool.stdout, found)
    for each in found.values():
        each.status = tool.returncode
    return found


def read_dump(lines: Iterable[str], found: Mapping[int, Dumped]) -> None:
    """Add what the tool says to the partition whose segment it is reading.

    What it says before the first segment is everybody's.
    """
    reading = list(found.values())
    for line in lines:
        if segment := SEGMENT_READ.search(line):
            reading = [found[int(segment[1])]]
        elif record := PAYLOAD.search(line.rstrip("\n")):
            for each in reading:
                each.rows.append((int(record[1]), record[2]))
        if INVALID.search(line) or "Exception" in line:
            for each in reading:
                each.complaints.append(line.strip()[:200])


def stay(broker: KafkaBroker) -> NoReturn:
    """Run on for the others until killed. Raises EngineFault where the broker ends.

    Whoever reads the log takes one without a line for a volume that hangs, and the others may need
    longer than that.
    """
    said = time.monotonic()
    while True:
        broker.look()
        time.sleep(0.2)
        if time.monotonic() - said >= SIGN:
            said = time.monotonic()
            print("Kafka runs on", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["load", "rejoin", "recover"])
    parser.add_argument("--root", type=Path, required=True, help="the mounted volume")
    parser.add_argument("--work", type=Path, required=True, help="a folder for files of the moment")
    parser.add_argument("--hosts", type=Path, required=True, help="a file with the brokers' addresses and names")
    parser.add_argument("--address", required=True, help="this broker's own")
    parser.add_argument("--broker", type=int, required=True, help="its number, from 0")
    parser.add_argument("--packages", default="", help="the folder that has confluent_kafka")
    parser.add_argument("--libraries", default=LIBRARIES, help="the folder with Kafka's jars")
    parser.add_argument("--run", required=True, help="the run's id, in hexadecimal")
    parser.add_argument("--seconds", type=float, default=300, help="of the load, if nobody kills it")
    given = parser.parse_args(arguments)
    sys.path[:0] = [given.packages] if given.packages else []
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # as PID 1 it would be ignored
    try:
        say_mount(given.root)
        broker = KafkaBroker(
            given.root,
            given.work,
            run=given.run,
            broker=given.broker,
            address=given.address,
            hosts=given.hosts,
            libraries=given.libraries,
            held=take(given.root),
        )
        try:
            if given.step == "load":
                load(broker, given.seconds)
            else:
                rejoin(broker)
                if given.step == "recover":
                    read(broker)
                say("discarded", broker.log.kept[:20])
            say("done", given.step)
            stay(broker)
        except EngineFault as problem:
            raise broker.log.explained(problem) from None
    except (EngineFault, OSError) as problem:
        say_fault(problem)
        return 1
