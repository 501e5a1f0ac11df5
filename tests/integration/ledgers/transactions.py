"""Commits numbered rows to PostgreSQL, or says which are there.

    transactions.py write HOST PASSWORD_FILE FIRST SECONDS
    transactions.py read HOST PASSWORD_FILE

`write` says `begun` at its first acknowledgement, and ends after so many seconds, or when the
server does. The last line is JSON: of `write` the highest acknowledged number, of `read` how many
rows there are, the highest, and those whose content is not what was written.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from pathlib import Path

import psycopg

STARTING = 60  # seconds


def content(number: int) -> str:
    """What the row of a number has."""
    return hashlib.blake2b(str(number).encode(), digest_size=32).hexdigest() * 8


def connect(host: str, password: str) -> psycopg.Connection:
    """As soon as the server answers."""
    end = time.monotonic() + STARTING
    while True:
        try:
            return psycopg.connect(host=host, user="postgres", password=password, dbname="postgres", autocommit=True, connect_timeout=5)
        except psycopg.OperationalError as problem:
            print(time.strftime("%T"), str(problem).strip().splitlines()[0], file=sys.stderr)
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def write(server: psycopg.Connection, first: int, seconds: float) -> int:
    """Rows from `first` on, each a transaction. One that is there was committed unheard."""
    acknowledged, end = first - 1, time.monotonic() + seconds
    try:
        server.execute("CREATE TABLE IF NOT EXISTS ledger (n bigint PRIMARY KEY, content text NOT NULL)")
        while time.monotonic() < end:
            number = acknowledged + 1
            server.execute("INSERT INTO ledger VALUES (%s, %s) ON CONFLICT DO NOTHING", [number, content(number)])
            if acknowledged < first:
                print("begun", flush=True)
            acknowledged = number
    except psycopg.OperationalError as problem:
        print(str(problem).strip().splitlines()[0], file=sys.stderr)
    return acknowledged


def read(server: psycopg.Connection) -> dict[str, object]:
    """What is there."""
    rows = server.execute("SELECT n, content FROM ledger ORDER BY n").fetchall()
    wrong = [number for number, text in rows if text != content(number)]
    return {"rows": len(rows), "last": rows[-1][0] if rows else 0, "wrong": wrong[:10]}


if __name__ == "__main__":
    step, host, file, *more = sys.argv[1:]
    with connect(host, Path(file).read_text(encoding="utf-8")) as connection:
        print(json.dumps(write(connection, int(more[0]), float(more[1])) if step == "write" else read(connection)), flush=True)
