"""Writes to a PostgreSQL whose logical slot has a reader with a trouble, and says how large pg_wal
became.

    wal.py TROUBLE PGDATA SECONDS BYTES_PER_SECOND

The server is at 127.0.0.1. What it says goes to stdout as JSON, a line each, the last with `peak`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psycopg

SERVER = "host=127.0.0.1 user=accept dbname={} connect_timeout=5"
SLOT = "held"
STARTING = 120  # seconds
LAGGING = 200_000  # bytes a second that a lagging reader takes
ROW = 8000  # bytes, which PostgreSQL can't compress and keeps in the row
ROWS = 25  # in a transaction
WRITERS = 2
SAMPLED = 0.02  # seconds


def size_of(folder: Path) -> int:
    """The bytes that the files take. One may go while they are counted."""
    total = 0
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            total += path.stat().st_blocks * 512
    return total


def connect(database: str) -> psycopg.Connection:
    """A connection in which each statement is a transaction, as soon as the server answers."""
    end = time.monotonic() + STARTING
    while True:
        try:
            return psycopg.connect(SERVER.format(database), autocommit=True)
        except psycopg.Error:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def prepare() -> None:
    """A database, a table whose rows aren't kept from the WAL, a slot."""
    with connect("postgres") as server:
        server.execute("CREATE DATABASE accept")
    with connect("accept") as server:
        server.execute("CREATE TABLE written (content bytea)")
        server.execute("ALTER TABLE written ALTER COLUMN content SET STORAGE PLAIN")
        server.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT])


def reading(*rate: str) -> subprocess.Popen[str]:
    """A reader that has read something."""
    program = Path(__file__).with_name("reader.py")
    reader = subprocess.Popen([sys.executable, "-IB", str(program), SLOT, *rate], stdout=subprocess.PIPE, text=True)
    with connect("accept") as server:
        server.execute("INSERT INTO written VALUES (%s)", [os.urandom(ROW)])
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n", "the reader has read something"
    return reader


class Writing:
    """Writers at a common pace, and the folder that they fill."""

    def __init__(self, wal: Path, seconds: float, pace: int) -> None:
        self.wal, self.pace = wal, pace
        self.began = time.monotonic()
        self.end = self.began + seconds
        self.written = self.peak = 0

    def write(self) -> None:
        """Rows, which are thrown away again, until the time is over."""
        with connect("accept") as server:
            while time.monotonic() < self.end:
                with server.transaction(), server.cursor() as cursor:
                    cursor.executemany("INSERT INTO written VALUES (%s)", [[os.urandom(ROW)] for _ in range(ROWS)])
                self.written += ROWS * ROW
                time.sleep(max(0.0, self.written / self.pace - (time.monotonic() - self.began)))

    def clear(self) -> None:
        """Keep the table small. What comes to the WAL is not less for that."""
        with connect("accept") as server:
            while time.monotonic() < self.end:
                time.sleep(2)
                server.execute("TRUNCATE written")

    def watch(self) -> None:
        """Note the largest size until the time is over."""
        while time.monotonic() < self.end:
            self.peak = max(self.peak, size_of(self.wal))
            time.sleep(SAMPLED)


def main(trouble: str, data: Path, seconds: float, pace: int) -> None:
    """Make the trouble, write, and say what came of it."""
    prepare()
    reader = reading(*([str(LAGGING)] if trouble == "lagging" else []))
    if trouble == "gone":
        reader.kill()
        reader.wait()
    elif trouble == "frozen":
        reader.send_signal(signal.SIGSTOP)
    work = Writing(data / "pg_wal", seconds, pace)
    threads = [threading.Thread(target=each) for each in (*[work.write] * WRITERS, work.clear)]
    for thread in threads:
        thread.start()
    work.watch()
    for thread in threads:  # one that is ended from outside needs a library that the image lacks
        thread.join()
    with connect("accept") as server:
        slot = server.execute("SELECT wal_status, active FROM pg_replication_slots WHERE slot_name = %s", [SLOT]).fetchone()
    reader.kill()
    assert slot is not None
    print(json.dumps({"peak": work.peak, "written": work.written, "slot": slot[0], "active": slot[1]}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
