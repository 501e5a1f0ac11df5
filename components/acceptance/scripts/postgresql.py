"""Runs in the pod of an acceptance: starts PostgreSQL on the volume, and is its client.

Python 3.10 or newer with psycopg 3. It knows nothing of Kubernetes: a folder (the mounted
volume) and a run's id are all that it gets. What it has to say goes to stdout, a line each: a word,
a space, JSON. PostgreSQL's own log goes to stderr. The words:

    mount      the file system: type, size and free bytes, and what was found in the volume's root
    engine     PostgreSQL's version and the settings that decide what a commit means
    acks       by client: the highest number whose commit was acknowledged
    checkpoint the seconds that one took while the clients committed
    figures    what was measured since the first commit
    recovered  the seconds from the start of PostgreSQL to its first answer
    rows       of one client, what is in the table: [first, last, digest] of numbers in a row
    slot       of one client, what the logical slot sends: [first, last] of numbers in a row
    unreadable what could not be read, and what PostgreSQL said
    amcheck    what pg_amcheck --heapallindexed found
    checksums  what pg_checksums found in the stopped cluster
    done       the end of a step
    fault      the engine failed: errno (or SQLSTATE), path, message

Each client's transactions are numbered from 1, and the next begins after the last was acknowledged.
A transaction adds a row and counts it in another table: both or neither must be there. The content
of a row follows from run, client and number, so whoever compares can tell the right one.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from .common import EngineFault, EngineLog, blocks, content, latencies, parts, run_tool, say, say_fault, say_mount, take

Connection: TypeAlias = Any  # of psycopg, which is imported where it is used

USER = DATABASE = SLOT = "accept"
BATCH = 0.05  # seconds over which acknowledgements are gathered
MEASURED = 1.0  # seconds between two lines of figures
FILLED = 20  # commits of each client: several pages of the table, of 8 KiB, are full
CHECKPOINTED = 1.0  # seconds after that: the rest is replayed onto real data files
STARTING = 120  # seconds that a start may take, with its recovery
LOGGING = 0.3  # seconds in which the last lines of PostgreSQL's log come
# What it can't go on with. Some are said to clients, and not of the server.
TROUBLE = re.compile(r"(PANIC|FATAL): (?!.*(the database system is|administrator command)).*")
UNEXPLAINED = ("start", "stop", "connect", "connection")  # codes of faults that have no SQLSTATE
INSERT = re.compile(r"^table public\.ledger: INSERT: client\[integer\]:(\d+) n\[bigint\]:(\d+) ")
# How much memory PostgreSQL takes, and what a logical slot needs. Nothing of what makes a commit
# durable is set: those are PostgreSQL's own defaults.
SETTINGS = {"listen_addresses": "", "wal_level": "logical", "shared_buffers": "64MB", "max_connections": "40", "log_min_messages": "log"}
TOLD = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "data_checksums", "max_wal_size", "checkpoint_timeout")


class PostgresServer:
    """PostgreSQL on a folder. `sockets` is where its socket is made, `held` the volume's lock."""

    def __init__(self, root: Path, sockets: Path, held: int) -> None:
        self.data = root / "pgdata"
        self.sockets = sockets
        self.held = held
        self.process: subprocess.Popen[bytes] | None = None
        self.log = EngineLog(TROUBLE)

    def make(self) -> None:
        """A new cluster with page checksums. Raises EngineFault."""
        status, said = run_tool(
            "initdb", "--data-checksums", "--no-locale", "--encoding=UTF8", "--auth=trust", f"--username={USER}", f"--pgdata={self.data}"
        )
        if status != 0:
            raise EngineFault("initdb", " / ".join(said[-3:]))

    def start(self) -> float:
        """Start it, and wait for its first answer; returns the seconds. Raises EngineFault."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)  # of the killed pod, whose processes are gone
        options = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        began = time.monotonic()
        command = ["postgres", "-D", str(self.data), "-k", str(self.sockets), *options]
        self.process = subprocess.Popen(command, pass_fds=[self.held], stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        self.log.follow(self.process.stderr)
        while True:
            try:
                self.connect("postgres").close()
                if self.process.poll() is not None:
                    raise EngineFault("start", "another PostgreSQL answers")
                return time.monotonic() - began
            except EngineFault as problem:
                if self.process.poll() is not None:
                    raise EngineFault("start", f"PostgreSQL has ended with status {self.process.returncode} instead of starting") from None
                if "FATAL" in str(problem) and "the database system is" not in str(problem):  # it answers, and refuses
                    raise
                if time.monotonic() - began > STARTING:
                    raise EngineFault("start", f"PostgreSQL has not started in {STARTING} s: {problem}") from None
            time.sleep(0.02)

    def explained(self, problem: EngineFault) -> EngineFault:
        """The same fault with what the log says, where PostgreSQL could not say it itself."""
        if problem.code not in UNEXPLAINED:
            return problem
        time.sleep(LOGGING)
        return self.log.explained(problem)

    def connect(self, database: str = DATABASE) -> Connection:
        """A connection of psycopg in which each statement is a transaction. Raises EngineFault."""
        import psycopg  # noqa: PLC0415 - it comes from a folder that the command line names

        try:
            return psycopg.connect(host=str(self.sockets), user=USER, dbname=database, autocommit=True, connect_timeout=10)
        except psycopg.Error as problem:
            raise EngineFault(problem.sqlstate or "connect", str(problem).strip()) from None

    def stop(self) -> None:
        """Stop it as an operator would, with a checkpoint. Raises EngineFault."""
        assert self.process is not None, "it was started"
        self.process.send_signal(signal.SIGINT)
        try:
            status = self.process.wait(STARTING)
        except subprocess.TimeoutExpired:
            raise EngineFault("stop", f"PostgreSQL has not stopped in {STARTING} s") from None
        if status != 0:
            raise EngineFault("stop", f"PostgreSQL has stopped with status {status}")


class Load:
    """Clients that commit, each in a thread, and what they were told."""

    def __init__(self, server: PostgresServer, run: str, clients: int) -> None:
        self.server = server
        self.run = run
        self.clients = clients
        self.acknowledged: dict[int, int] = {}
        self.committed: collections.deque[float] = collections.deque()
        self.faults: list[EngineFault] = []
        self.over = threading.Event()

    def prepare(self) -> int:
        """Tables, an index in which rows come at random, a logical slot.

        Returns the WAL position.
        """
        with self.server.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {DATABASE}")
        with self.server.connect() as connection:
            connection.execute("CREATE EXTENSION amcheck")
            connection.execute("CREATE TABLE ledger (client int, n bigint, payload text NOT NULL, PRIMARY KEY (client, n))")
            connection.execute("CREATE INDEX ledger_payload ON ledger (md5(payload))")
            connection.execute("CREATE TABLE counted (client int PRIMARY KEY, n bigint NOT NULL)")
            connection.execute("INSERT INTO counted SELECT i, 0 FROM generate_series(0, %s) AS i", [self.clients - 1])
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'test_decoding')", [SLOT])
            told = {name: connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0] for name in TOLD}
            say("engine", {"name": "postgresql", "version": connection.execute("SHOW server_version").fetchone()[0], "settings": told})
            return position(connection)

    @contextmanager
    def noting_faults(self) -> Iterator[None]:
        """What PostgreSQL refuses in a thread, for `report` to raise."""
        import psycopg  # noqa: PLC0415

        try:
            yield
        except EngineFault as problem:
            self.faults.append(problem)
        except psycopg.Error as problem:
            self.faults.append(EngineFault(problem.sqlstate or "connection", str(problem).strip()))

    def commit(self, client: int) -> None:
        """One client: a transaction after the other, until it is over or one fails."""
        with self.noting_faults(), self.server.connect() as connection:
            number = 0
            while not self.over.is_set():
                number += 1
                text = content(self.run, client, number)
                with connection.transaction():
                    connection.execute("INSERT INTO ledger VALUES (%s, %s, %s)", [client, number, text])
                    connection.execute("UPDATE counted SET n = n + 1 WHERE client = %s", [client])
                    began = time.monotonic()
                self.committed.append(time.monotonic() - began)
                self.acknowledged[client] = number

    def at_least(self) -> int:
        """How many transactions each client has committed, at least."""
        return min(self.acknowledged.get(client, 0) for client in range(self.clients))

    def checkpoint(self) -> None:
        """One checkpoint while the clients commit, which is said.

        Without it recovery would make every table anew from the WAL, and no data file be needed.
        """
        while self.at_least() < FILLED and not self.over.is_set():
            time.sleep(BATCH)
        self.over.wait(CHECKPOINTED)
        with self.noting_faults(), self.server.connect() as connection:
            began = time.monotonic()
            connection.execute("CHECKPOINT")
            say("checkpoint", {"seconds": round(time.monotonic() - began, 3)})

    def report(self, seconds: float, first: int) -> None:
        """Say what is acknowledged, in batches, and the figures, until it is over.

        `first` is the WAL position at the beginning. Raises EngineFault with what a client met.
        """
        told: dict[int, int] = {}
        taken: list[float] = []
        began = measured = time.monotonic()
        with self.server.connect() as connection:
            while not self.faults and time.monotonic() - began < seconds:
                time.sleep(BATCH)
                now = dict(self.acknowledged)
                new = {client: number for client, number in now.items() if told.get(client) != number}
                told = now
                if new:
                    say("acks", new)
                if time.monotonic() - measured >= MEASURED:
                    measured = time.monotonic()
                    while self.committed:
                        taken.append(self.committed.popleft())
                    say("figures", figures(taken, measured - began, wal_written(connection, first)))
        if self.faults:
            raise self.faults[0]


def figures(taken: list[float], seconds: float, wal: int) -> dict[str, Any]:
    """What is measured: `taken` are the commits' seconds, `wal` the bytes of WAL."""
    return {
        "transactions": len(taken),
        "seconds": round(seconds, 2),
        "tps": round(len(taken) / seconds, 1),
        "commitMs": latencies(taken),
        "walBytes": wal,
    }


def position(connection: Connection) -> int:
    """The WAL position, in bytes."""
    return int(connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')").fetchone()[0])


def wal_written(connection: Connection, first: int) -> int:
    """The bytes of WAL since `first`; 0 where the server doesn't answer any more."""
    import psycopg  # noqa: PLC0415

    try:
        return position(connection) - first
    except psycopg.Error:  # the clients have met it as well, and say so
        return 0


def load(server: PostgresServer, run: str, clients: int, seconds: float) -> None:
    """Make a cluster and commit until killed, or for `seconds`. Raises EngineFault."""
    server.make()
    server.start()
    work = Load(server, run, clients)
    first = work.prepare()
    threads = [threading.Thread(target=work.commit, args=(client,), daemon=True) for client in range(clients)]
    threads.append(threading.Thread(target=work.checkpoint, daemon=True))
    for thread in threads:
        thread.start()
    try:
        work.report(seconds, first)
    finally:
        work.over.set()
    for thread in threads:
        thread.join()
    server.stop()


def recover(server: PostgresServer) -> None:
    """Start on what a killed pod has left, and say what is there. Raises EngineFault."""
    say("recovered", {"seconds": round(server.start(), 3)})
    read(server, "rows", read_rows)
    read(server, "slot", read_slot)
    status, said = run_tool(
        "pg_amcheck", "--all", "--install-missing", "--heapallindexed", f"--host={server.sockets}", f"--username={USER}"
    )
    say("amcheck", {"status": status, "said": said})
    server.stop()
    status, said = run_tool("pg_checksums", "--check", f"--pgdata={server.data}")
    say("checksums", {"status": status, "said": said})


def read(server: PostgresServer, what: str, reading: Callable[[Connection], None]) -> None:
    """Read one thing. What can't be read is said, and the rest is read all the same."""
    import psycopg  # noqa: PLC0415

    try:
        with server.connect() as connection:
            reading(connection)
    except (EngineFault, psycopg.Error) as problem:
        say("unreadable", {"what": what, "message": str(problem).strip().splitlines()[0]})


def read_rows(connection: Connection) -> None:
    """The rows by client, from the table itself: a damaged index must not hide any."""
    connection.execute("SET enable_indexscan = off")
    connection.execute("SET enable_bitmapscan = off")
    connection.execute("SET enable_indexonlyscan = off")
    for client, counted in connection.execute("SELECT client, n FROM counted ORDER BY client").fetchall():
        rows = connection.execute("SELECT n, payload FROM ledger WHERE client = %s ORDER BY n", [client])
        say("rows", {"client": client, "counted": counted, "blocks": list(blocks(rows))})


def read_slot(connection: Connection) -> None:
    """What a reader of the logical slot gets, in its order; the slot stays as it is."""
    sent: dict[int, list[int]] = {}
    for (data,) in connection.execute("SELECT data FROM pg_logical_slot_peek_changes(%s, NULL, NULL)", [SLOT]):
        found = INSERT.match(data)
        if found:
            sent.setdefault(int(found[1]), []).append(int(found[2]))
    for client, numbers in sorted(sent.items()):
        say("slot", {"client": client, "ranges": parts(numbers)})


def main(arguments: list[str]) -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=["load", "recover"])
    parser.add_argument("--root", type=Path, required=True, help="the mounted volume")
    parser.add_argument("--work", type=Path, required=True, help="a folder for files of the moment")
    parser.add_argument("--packages", default="", help="the folder that has psycopg")
    parser.add_argument("--run", required=True, help="the run's id, in hexadecimal")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120, help="of the load, if nobody kills it")
    given = parser.parse_args(arguments)
    sys.path[:0] = [given.packages] if given.packages else []
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # as PID 1 it would be ignored
    try:
        say_mount(given.root)
        server = PostgresServer(given.root, given.work, take(given.root))
        try:
            if given.step == "load":
                load(server, given.run, given.clients, given.seconds)
            else:
                recover(server)
        except EngineFault as problem:
            raise server.explained(problem) from None
    except (EngineFault, OSError) as problem:
        say_fault(problem)
        return 1
    say("done", given.step)
    return 0
