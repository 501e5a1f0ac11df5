"""Writes to a Kafka whose topic keeps little, and says how large its log directory became.

    retention.py format LOG_DIR PROPERTIES…      (before the broker's container)
    retention.py load LOG_DIR SETTINGS           (beside it; JSON)

What it says goes to stdout as JSON, the last line with `topics` and `metadata`: peaks in bytes.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SERVER = {"bootstrap.servers": "127.0.0.1:9092", "log_level": 2, "error_cb": lambda _: None}
TOPIC = "kept"
STARTING = 120  # seconds
VALUE = 8000  # bytes
SAMPLED = 0.05  # seconds
META = {"version": "1", "cluster.id": "c2l6aW5nLW9mLXRpZXJzMQ", "node.id": "1", "directory.id": "c2l6aW5nLW9mLXRpZXJzMg"}  # UUIDs


def write_files(folder: Path, lines: list[str]) -> None:
    """A new log directory as kafka-storage.sh formats it, and the broker's settings."""
    folder.mkdir()
    (folder / "meta.properties").write_text("".join(f"{key}={value}\n" for key, value in META.items()))
    (folder.parent / "server.properties").write_text("\n".join([f"log.dirs={folder}", *lines, ""]))


def size_of(folder: Path) -> int:
    """The bytes that the files take. One may go while they are counted, and indexes are sparse."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).stat().st_blocks * 512
    return total


class Watching:
    """The largest sizes that there were."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.peaks = {"topics": 0, "metadata": 0}
        self.over = threading.Event()

    def watch(self) -> None:
        """Look until it is over."""
        while not self.over.wait(SAMPLED):
            topics = sum(size_of(path) for path in self.folder.glob(f"{TOPIC}-*"))
            found = {"topics": topics, "metadata": size_of(self.folder / "__cluster_metadata-0")}
            self.peaks = {name: max(peak, found[name]) for name, peak in self.peaks.items()}


def make_topic(partitions: int, config: dict[str, str]) -> None:
    """As soon as the broker answers."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    admin, end = AdminClient(SERVER), time.monotonic() + STARTING
    while True:
        try:
            for future in admin.create_topics([NewTopic(TOPIC, num_partitions=partitions, replication_factor=1, config=config)]).values():
                future.result()
            return
        except KafkaException:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)


def load(folder: Path, settings: dict[str, Any]) -> None:
    """Write at a pace to all partitions in turn."""
    from confluent_kafka import Producer

    make_topic(settings["partitions"], settings["config"])
    watching = Watching(folder)
    thread = threading.Thread(target=watching.watch)
    thread.start()
    producer = Producer({**SERVER, "acks": "all", "linger.ms": 20, "queue.buffering.max.kbytes": 16384})
    sent = number = 0
    began = now = time.monotonic()
    while now - began < settings["seconds"]:
        if sent <= settings["ingress"] * (now - began):
            producer.produce(TOPIC, os.urandom(VALUE), partition=number % settings["partitions"])
            number, sent = number + 1, sent + VALUE
            producer.poll(0)
        else:
            producer.poll(0.01)
        now = time.monotonic()
    left = producer.flush(STARTING)
    watching.over.set()
    thread.join()
    print(json.dumps({**watching.peaks, "sent": sent, "left": left}), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "format":
        write_files(Path(sys.argv[2]), sys.argv[3:])
    else:
        load(Path(sys.argv[2]), json.loads(sys.argv[3]))
