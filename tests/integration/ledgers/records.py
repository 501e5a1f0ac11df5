"""Sends numbered records to a topic of Kafka, or says which are there.

    records.py write BOOTSTRAP FIRST SECONDS
    records.py read BOOTSTRAP
    records.py commit BOOTSTRAP GROUP COUNT
    records.py next BOOTSTRAP GROUP
    records.py topics BOOTSTRAP
    records.py brokers BOOTSTRAP

`write` says `begun` at its first acknowledgement. The last line is JSON: of `write` how many
records the brokers have acknowledged from FIRST on, and what else the producer was told; of `read`
how many there are, the highest number, and those that come twice, late or with another content.
`commit` has a group read so many records, and says the last one's number; `next` says the number of
the record that the group reads next; `topics` says all names, `brokers` how many there are.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

TOPIC = "ledger"
MARK = "end"  # written before it is read
SETTINGS = {"log_level": 2, "error_cb": lambda _: None}
STARTING = 120  # seconds
UNSENT = 500  # records that are on their way at most
PACE = 1000  # records a second, of 600 bytes: what all loads send stays below the page's retention


def content(number: int) -> str:
    """What the record of a number has."""
    return f"{number} {hashlib.blake2b(str(number).encode(), digest_size=32).hexdigest() * 8}"


def make_topic(bootstrap: str) -> None:
    """With the brokers' own settings, as soon as all are there; it may be there already."""
    admin, end = AdminClient({**SETTINGS, "bootstrap.servers": bootstrap}), time.monotonic() + STARTING
    while True:
        try:
            found = admin.list_topics(timeout=5)
            if len(found.brokers) == len(bootstrap.split(",")) and TOPIC not in found.topics:
                for future in admin.create_topics([NewTopic(TOPIC, num_partitions=1)]).values():
                    future.result()
            elif TOPIC in found.topics and all(each.leader >= 0 for each in found.topics[TOPIC].partitions.values()):
                return
        except KafkaException:
            pass
        if time.monotonic() > end:
            sys.exit(f"no topic in {STARTING} s")
        time.sleep(0.5)


def write(bootstrap: str, first: int, seconds: float) -> dict[str, object]:
    """Records from `first` on, in their order."""
    make_topic(bootstrap)
    told: dict[str, object] = {"acknowledged": first - 1, "problem": ""}

    def delivered(error: object, message: object) -> None:
        if error is not None:
            told["problem"] = told["problem"] or str(error)
        elif not told["problem"]:
            if told["acknowledged"] == first - 1:
                print("begun", flush=True)
            told["acknowledged"] = int(message.value().split()[0])  # type: ignore[attr-defined]

    producer = Producer(
        {**SETTINGS, "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "delivery.timeout.ms": 45000}
    )
    number, began = first, time.monotonic()
    end = began + seconds
    while time.monotonic() < end and not told["problem"]:
        if len(producer) < UNSENT and number - first < (time.monotonic() - began) * PACE:
            producer.produce(TOPIC, content(number), partition=0, on_delivery=delivered)
            number += 1
            producer.poll(0)
        else:
            producer.poll(0.01)
    producer.flush(60)
    return {**told, "sent": number - 1}


def mark(bootstrap: str) -> None:
    """One record more, acknowledged by all.

    After a start the brokers agree on a partition's end only by and by, and a consumer gets nothing
    beyond: all before this one can be read.
    """
    problems: list[str] = []
    producer = Producer({**SETTINGS, "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True})
    producer.produce(TOPIC, MARK, partition=0, on_delivery=lambda error, _: problems.append(str(error)) if error else None)
    if producer.flush(STARTING) or problems:
        sys.exit(f"the topic takes no more records: {problems}")


def end_of(consumer: Consumer, where: TopicPartition) -> int:
    """The partition's end, as soon as its leader says it."""
    until = time.monotonic() + STARTING
    while True:
        try:
            _, end = consumer.get_watermark_offsets(where, timeout=10)
            return int(end)
        except KafkaException:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)


def read(bootstrap: str) -> dict[str, object]:
    """What is there."""
    make_topic(bootstrap)
    mark(bootstrap)
    consumer = Consumer({**SETTINGS, "bootstrap.servers": bootstrap, "group.id": "ledger", "auto.offset.reset": "error"})
    where = TopicPartition(TOPIC, 0, 0)
    end = end_of(consumer, where)
    consumer.assign([where])
    last, wrong, count, offset, patience = 0, [], 0, 0, time.monotonic() + STARTING
    while offset < end and time.monotonic() < patience:
        for message in consumer.consume(500, timeout=1):
            if message.error():
                sys.exit(str(message.error()))
            text, offset = message.value().decode(), message.offset() + 1
            if text == MARK:
                continue
            number = int(text.split()[0])
            if number != last + 1 or text != content(number):
                wrong.append(number)
            last, count = number, count + 1
    consumer.close()
    return {"records": count, "last": last, "wrong": wrong[:10], "unread": end - offset}


def of_group(bootstrap: str, group: str, count: int, *, commits: bool) -> int:
    """Read so many records as a member of a group; the number of the last one."""
    consumer = Consumer(
        {**SETTINGS, "bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "error", "enable.auto.commit": False}
    )
    if commits:  # from the beginning
        consumer.assign([TopicPartition(TOPIC, 0, 0)])
    else:
        consumer.subscribe([TOPIC])
    last, left, patience = 0, count, time.monotonic() + STARTING
    while left and time.monotonic() < patience:
        for message in consumer.consume(min(left, 500), timeout=1):
            if message.error():
                sys.exit(str(message.error()))
            last, left = int(message.value().split()[0]), left - 1
            if commits and not left:
                consumer.commit(message, asynchronous=False)
    consumer.close()
    if left:
        sys.exit(f"{left} records didn't come")
    return last


def main(step: str, servers: str, *more: str) -> object:
    """What a step says in its last line."""
    if step == "write":
        return write(servers, int(more[0]), float(more[1]))
    if step in ("commit", "next"):
        return of_group(servers, more[0], int(more[1]) if step == "commit" else 1, commits=step == "commit")
    if step in ("topics", "brokers"):
        found = AdminClient({**SETTINGS, "bootstrap.servers": servers}).list_topics(timeout=10)
        return sorted(found.topics) if step == "topics" else len(found.brokers)
    return read(servers)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])), flush=True)
