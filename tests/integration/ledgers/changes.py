"""Debezium in Kafka Connect, and what it has sent of the rows of transactions.py.

    changes.py connect CONNECT POSTGRES PASSWORD_FILE     makes the connector
    changes.py state CONNECT                              says whether connector and task run
    changes.py read BOOTSTRAP LAST                        reads until the row LAST has come

The last line is JSON: of `read` how many records there are, the numbers that never came, how many
came more than once, and those whose content is not what was written.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError

NAME = "ledger"
TOPIC = "cdc.public.ledger"
PATIENCE = 180  # seconds
SETTINGS = {"log_level": 2, "error_cb": lambda _: None}


def ask(address: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """A request to Connect's REST API, repeated until it answers."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(f"http://{address}:8083{path}", data=data, headers={"Content-Type": "application/json"})
    request.method = "GET" if body is None else "PUT"
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except OSError as problem:
            if time.monotonic() > end:
                said = problem.read().decode() if isinstance(problem, urllib.error.HTTPError) else problem
                sys.exit(f"Connect: {said}")
        time.sleep(1)


def settings(host: str, password: str) -> dict[str, str]:
    """The connector's. All but the names is Debezium's default."""
    return {
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "plugin.name": "pgoutput",
        "database.hostname": host,
        "database.user": "postgres",
        "database.password": password,
        "database.dbname": "postgres",
        "topic.prefix": "cdc",
        "table.include.list": "public.ledger",
    }


def running(address: str) -> bool:
    """Whether the connector and its task run."""
    found = ask(address, f"/connectors/{NAME}/status")
    states = [found["connector"]["state"], *(each["state"] for each in found["tasks"])]
    return len(states) == 2 and set(states) == {"RUNNING"}


def state(address: str) -> bool:
    """Wait until they run."""
    end = time.monotonic() + PATIENCE
    while not running(address):
        if time.monotonic() > end:
            sys.exit(json.dumps(ask(address, f"/connectors/{NAME}/status"))[:2000])
        time.sleep(1)
    return True


def read(bootstrap: str, last: int) -> dict[str, object]:
    """All changes until each number up to `last` has come."""
    sys.path.insert(0, str(Path(__file__).parent))
    content = importlib.import_module("transactions").content
    consumer = Consumer({**SETTINGS, "bootstrap.servers": bootstrap, "group.id": "changes", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPIC])
    seen: dict[int, int] = {}
    wrong: list[int] = []
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and len(seen) < last:
        for message in consumer.consume(500, timeout=1):
            if message.error():
                if message.error().code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                sys.exit(str(message.error()))
            row = json.loads(message.value())["payload"]["after"]
            seen[row["n"]] = seen.get(row["n"], 0) + 1
            if row["content"] != content(row["n"]):
                wrong.append(row["n"])
    consumer.close()
    missing = [number for number in range(1, last + 1) if number not in seen]
    again = sum(times - 1 for times in seen.values())
    return {"records": sum(seen.values()), "missing": len(missing), "first": missing[:5], "again": again, "wrong": wrong[:10]}


if __name__ == "__main__":
    step, where, *more = sys.argv[1:]
    if step == "connect":
        made = ask(where, f"/connectors/{NAME}/config", settings(more[0], Path(more[1]).read_text(encoding="utf-8")))
        print(json.dumps(made["name"]), flush=True)
    else:
        print(json.dumps(read(where, int(more[0])) if step == "read" else state(where)), flush=True)
