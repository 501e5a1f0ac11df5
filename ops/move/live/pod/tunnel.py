"""In the target's pod: connections to a port of its own loopback go out through stdin and stdout.

    tunnel.py PORT

Whoever runs it joins each of them to the source (ops/move/live/bridge.py). A frame is a byte for
its kind, four for the connection's number, four for the length of what follows, big-endian. Says
`alive` as JSON on stderr every two seconds. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

HEADER = struct.Struct("!BII")
OPEN, DATA, CLOSE, TAKEN = range(4)  # TAKEN: so many bytes (four, big-endian) were passed on
PART = 2**16  # bytes that are read at once
WINDOW = 2**22  # bytes of a connection that may be on the way: one that isn't read holds up no other
ALIVE = 2.0  # seconds between two signs of life
PID = Path("/run/move/tunnel.pid")


def frame(kind: int, number: int, data: bytes = b"") -> bytes:
    """One frame."""
    return HEADER.pack(kind, number, len(data)) + data


class Frames:
    """Takes a stream apart into frames, whatever its parts are."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, int, bytes]]:
        """The frames that are whole now: kind, connection, data."""
        self._rest += data
        found, start = [], 0
        while len(self._rest) - start >= HEADER.size:
            kind, number, length = HEADER.unpack_from(self._rest, start)
            end = start + HEADER.size + length
            if len(self._rest) < end:
                break
            found.append((kind, number, bytes(self._rest[start + HEADER.size : end])))
            start = end
        del self._rest[:start]
        return found


class Tunnel:
    """Listens on loopback, and joins what connects to `source` and `sink`, two file descriptors."""

    def __init__(self, port: int, source: int, sink: int) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen()
        self.port = self._listener.getsockname()[1]
        self._source, self._sink = source, sink
        self._frames = Frames()
        self._sockets: dict[int, socket.socket] = {}
        self._waiting: dict[int, bytearray] = {}
        self._ending: set[int] = set()  # closed by the other side: what waits for them goes first
        self._number = 0

    def turn(self, timeout: float) -> bool:
        """One round. False once the stream has ended."""
        numbers = {each.fileno(): number for number, each in self._sockets.items()}
        reads = [self._listener.fileno(), *(file for file, number in numbers.items() if number not in self._ending)]
        writes = [each.fileno() for number, each in self._sockets.items() if self._waiting[number]]
        ready, free, _ = select.select([*reads, self._source], writes, [], timeout)
        for file in free:
            self._write(numbers[file])
        for file in ready:
            if file == self._source:
                data = os.read(self._source, PART)
                if not data:
                    return False
                for each in self._frames.feed(data):
                    self._take(*each)
            elif file == self._listener.fileno():
                self._accept()
            elif numbers[file] in self._sockets:
                self._read(numbers[file])
        return True

    def close(self) -> None:
        """End every connection."""
        for number in list(self._sockets):
            self._drop(number)
        self._listener.close()

    def _accept(self) -> None:
        made, _ = self._listener.accept()
        made.setblocking(False)
        self._number += 1
        self._sockets[self._number], self._waiting[self._number] = made, bytearray()
        self._send(OPEN, self._number)

    def _read(self, number: int) -> None:
        try:
            data = self._sockets[number].recv(PART)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._send(DATA if data else CLOSE, number, data)
        if not data:
            self._drop(number)

    def _take(self, kind: int, number: int, data: bytes) -> None:
        if number not in self._sockets:  # it has ended here meanwhile
            return
        if kind == DATA:
            self._waiting[number] += data
        elif kind == CLOSE:
            self._ending.add(number)
        self._write(number)

    def _write(self, number: int) -> None:
        waiting, taken = self._waiting[number], 0
        try:
            while waiting:
                sent = self._sockets[number].send(memoryview(waiting)[:PART])
                del waiting[:sent]
                taken += sent
        except BlockingIOError:
            pass
        except OSError:
            self._send(CLOSE, number)
            self._drop(number)
            return
        if taken:
            self._send(TAKEN, number, taken.to_bytes(4, "big"))
        if number in self._ending and not waiting:
            self._drop(number)

    def _drop(self, number: int) -> None:
        self._sockets.pop(number).close()
        self._waiting.pop(number)
        self._ending.discard(number)

    def _send(self, kind: int, number: int, data: bytes = b"") -> None:
        rest = memoryview(frame(kind, number, data))
        while rest:
            rest = rest[os.write(self._sink, rest) :]


def say(event: str, **more: object) -> None:
    """A line of JSON on stderr."""
    sys.stderr.write(json.dumps({"event": event, **more}) + "\n")
    sys.stderr.flush()


def replace_another() -> None:
    """End the tunnel of a run before: its stdin may never end."""
    try:
        os.kill(int(PID.read_text(encoding="ascii")), signal.SIGKILL)
        time.sleep(0.1)  # until the kernel has freed its port
    except (OSError, ValueError):
        pass
    PID.write_text(str(os.getpid()), encoding="ascii")


def main(port: int) -> int:
    """Until stdin ends."""
    replace_another()
    tunnel = Tunnel(port, sys.stdin.fileno(), sys.stdout.fileno())
    say("listening", port=tunnel.port)
    said = time.monotonic()
    try:
        while tunnel.turn(ALIVE):
            if time.monotonic() - said >= ALIVE:
                said = time.monotonic()
                say("alive")
    except BrokenPipeError:
        return 1
    finally:
        tunnel.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
