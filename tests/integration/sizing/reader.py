"""A reader of a logical slot, which confirms what it has read. It needs psycopg, and nothing else.

    reader.py SLOT [BYTES_PER_SECOND]

With a number it reads no faster than that. It says `reading` once something has come.
"""

from __future__ import annotations

import struct
import sys
import time

from psycopg import pq

SERVER = b"host=127.0.0.1 user=accept dbname=accept replication=database"
CONFIRMING = 1.0  # seconds between two confirmations
ERA = 946684800  # 2000-01-01, from which PostgreSQL counts


def confirmation(position: int) -> bytes:
    """A standby status update: written, flushed and applied to here (protocol-replication)."""
    return b"r" + struct.pack(">QQQqB", position, position, position, int((time.time() - ERA) * 1e6), 0)


def main(slot: str, rate: int = 0) -> None:
    """Read until killed, or until the server ends it."""
    server = pq.PGconn.connect(SERVER)
    begun = server.exec_(f'START_REPLICATION SLOT "{slot}" LOGICAL 0/0'.encode())
    if begun.status != pq.ExecStatus.COPY_BOTH:
        sys.exit(server.error_message.decode())
    read = position = 0
    began = told = time.monotonic()
    while True:
        size, data = server.get_copy_data(0)
        if size < 0:
            sys.exit(f"the server has ended it: {server.get_error_message()}")
        message = bytes(data)
        if message[:1] == b"w":
            if not read:
                print("reading", flush=True)
            read += size
            position = max(position, struct.unpack(">Q", message[1:9])[0])
        now = time.monotonic()
        if now - told > CONFIRMING or (message[:1] == b"k" and message[-1]):
            told = now
            server.put_copy_data(confirmation(position))
            server.flush()
        if rate:
            time.sleep(max(0.0, read / rate - (now - began)))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
