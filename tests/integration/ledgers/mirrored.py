"""Writes records of every kind to topics of Kafka, or changes what a partition holds.

    mirrored.py make BOOTSTRAP
    mirrored.py write BOOTSTRAP SECONDS
    mirrored.py commit BOOTSTRAP GROUP TOPIC PARTITION OFFSET
    mirrored.py again SOURCE TARGET TOPIC PARTITION HOW
    mirrored.py trim BOOTSTRAP TOPIC PARTITION OFFSET
    mirrored.py follow BOOTSTRAP GROUP TOPIC PARTITION

`write` says `begun` first. HOW is `dropped`, `altered` or `doubled`: the target's
topic is made again with all the source's records, but for one. The last line is JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "3000",
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "5000",
}
TOPICS: dict[str, tuple[int, dict[str, str]]] = {
    "plain": (2, {}),
    "zipped": (1, {"compression.type": "gzip"}),
    "committed": (2, {}),
    "compacted": (1, COMPACTED),
    "aborted": (1, {}),  # its transactions, all of them
}
KEYS = 40
SETTINGS = {"log_level": 2, "error_cb": lambda _: None}
STARTING = 120  # seconds


def make(bootstrap: str) -> None:
    """All topics."""
    admin, end = AdminClient({**SETTINGS, "bootstrap.servers": bootstrap}), time.monotonic() + STARTING
    new = [NewTopic(name, num_partitions=count, replication_factor=1, config=config) for name, (count, config) in TOPICS.items()]
    while True:
        try:
            for answer in admin.create_topics(new).values():
                answer.result()
            return
        except KafkaException as problem:
            if problem.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return
            if time.monotonic() > end:
                raise
        time.sleep(0.5)


def write(bootstrap: str, seconds: float) -> dict[str, int]:
    """Plain, compressed, compacted records, and transactions of which every third is aborted."""
    lost: list[str] = []
    heard = {"on_delivery": lambda error, _: lost.append(str(error)) if error else None}
    shared = {**SETTINGS, **heard, "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 10}
    plain, zipped = Producer({**shared, "compression.type": "lz4"}), Producer({**shared, "compression.type": "snappy"})
    within = Producer({**shared, "transactional.id": "mirrored"})
    within.init_transactions(STARTING)
    print("begun", flush=True)
    count, rounds, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end or rounds < 4:
        within.begin_transaction()
        for _ in range(50):
            count += 1
            odd: list[tuple[str, Any]] = [("binary", b"\x00\xff\n"), ("none", None), ("empty", b""), ("binary", b"again")]
            plain.produce(
                "plain", random.choice((None, b"", os.urandom(8))), random.choice((None, b"", b"\t\n\x00" + os.urandom(40))), headers=odd
            )
            zipped.produce("zipped", value=b"much of the same " * 20 + b"%d" % count)
            plain.produce("compacted", None if count % 11 == 0 else b"%d" % count, b"key %d" % random.randrange(KEYS))
            within.produce("committed", b"%d" % count, b"within %d" % rounds)
        plain.poll(0)
        zipped.poll(0)
        rounds += 1
        if rounds % 3 == 0:
            within.produce("aborted", b"%d" % count)
            within.flush(STARTING)
            within.abort_transaction(STARTING)
        else:
            within.commit_transaction(STARTING)
        time.sleep(0.05)
    left = plain.flush(STARTING) + zipped.flush(STARTING)
    return {"sent": count, "left": left, "lost": len(lost)}


def commit(bootstrap: str, group: str, place: TopicPartition) -> None:
    """A group that has read up to there."""
    Consumer({**SETTINGS, "bootstrap.servers": bootstrap, "group.id": group}).commit(offsets=[place], asynchronous=False)


def held(bootstrap: str, place: TopicPartition, group: str = "held") -> list[Any]:
    """The committed records from a place on."""
    settings = {"group.id": group, "isolation.level": "read_committed", "auto.offset.reset": "earliest", "enable.partition.eof": True}
    consumer = Consumer({**SETTINGS, **settings, "bootstrap.servers": bootstrap})
    consumer.assign([place])
    found, end = [], time.monotonic() + STARTING
    while time.monotonic() < end:
        message = consumer.poll(1)
        if message is not None and message.error():
            if message.error().code() == KafkaError._PARTITION_EOF:
                break
        elif message is not None:
            found.append(message)
    consumer.close()
    return found


def again(source: str, bootstrap: str, topic: str, partition: int, how: str) -> dict[str, int]:
    """Make a topic again, as if its mirror had gone wrong."""
    admin = AdminClient({**SETTINGS, "bootstrap.servers": bootstrap})
    partitions = TOPICS[topic][0]
    records = {number: held(source, TopicPartition(topic, number, 0)) for number in range(partitions)}
    admin.delete_topics([topic], operation_timeout=30)[topic].result()
    end = time.monotonic() + STARTING
    while topic in admin.list_topics(timeout=5).topics:
        assert time.monotonic() < end
        time.sleep(0.2)
    admin.create_topics([NewTopic(topic, num_partitions=partitions, replication_factor=1)])[topic].result()
    producer = Producer({**SETTINGS, "bootstrap.servers": bootstrap, "enable.idempotence": True})
    which = len(records[partition]) // 2
    for number, kept in records.items():
        for count, each in enumerate(kept):
            hit = number == partition and count == which
            for _ in range({"dropped": 0, "doubled": 2}.get(how, 1) if hit else 1):
                value = b"another" if hit and how == "altered" else each.value()
                producer.produce(topic, value, each.key(), number, headers=each.headers(), timestamp=each.timestamp()[1])
            producer.poll(0)
        producer.flush(STARTING)
    return {"at": records[partition][which].offset()}


def trim(bootstrap: str, place: TopicPartition) -> None:
    """Remove the records before a place, as retention does."""
    admin = AdminClient({**SETTINGS, "bootstrap.servers": bootstrap})
    admin.delete_records([place])[place].result()  # with an owner: without one it would never end


def follow(bootstrap: str, group: str, topic: str, partition: int) -> dict[str, Any]:
    """What a group gets next: the offset, and the record's timestamp and value."""
    place = TopicPartition(topic, partition)
    consumer = Consumer({**SETTINGS, "bootstrap.servers": bootstrap, "group.id": group})
    (committed,) = consumer.committed([place], timeout=STARTING)
    found = held(bootstrap, TopicPartition(topic, partition, committed.offset))
    first = [[each.timestamp()[1], repr(each.key()), repr(each.value())] for each in found[:1]]
    return {"committed": committed.offset, "first": first, "left": len(found)}


if __name__ == "__main__":
    step, servers, *more = sys.argv[1:]
    answer: Any = {}
    if step == "make":
        make(servers)
    elif step == "write":
        answer = write(servers, float(more[0]))
    elif step == "commit":
        commit(servers, more[0], TopicPartition(more[1], int(more[2]), int(more[3])))
    elif step == "trim":
        trim(servers, TopicPartition(more[0], int(more[1]), int(more[2])))
    elif step == "again":
        answer = again(servers, more[0], more[1], int(more[2]), more[3])
    else:
        answer = follow(servers, more[0], more[1], int(more[2]))
    print(json.dumps(answer), flush=True)
