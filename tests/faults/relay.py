"""A way to a server that can be cut at any moment: TCP connections through a port of this machine's
loopback.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from contextlib import suppress
from typing import Self

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST, as a router does that has forgotten a connection
_LOOK = 0.1  # seconds between two looks at what was asked for
_PART = 2**16  # bytes


class Relay:
    """A port on 127.0.0.1 from which every connection goes on to `server` (host, port)."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._silent, self._closed, self._ended = threading.Event(), threading.Event(), threading.Event()
        self._cuts = 0
        self._threads: list[threading.Thread] = []
        self.connections = 0  # that were made so far

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._listening.close()
        for each in self._threads:
            each.join(10)

    def cut(self) -> None:
        """Reset all connections. New ones are made as before."""
        self._cuts += 1

    def close(self) -> None:
        """Reset all connections, and each new one, until `open`."""
        self._closed.set()
        self.cut()

    def fall_silent(self) -> None:
        """Forward nothing any more, without a word to anybody, until `open`."""
        self._silent.set()

    def open(self) -> None:
        """As in the beginning; what was there is reset."""
        self._silent.clear()
        self._closed.clear()
        self.cut()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        self._listening.settimeout(_LOOK)
        while not self._ended.is_set():
            with suppress(TimeoutError, OSError):
                made, _ = self._listening.accept()
                self.connections += 1
                self._start(self._forward, made)

    def _forward(self, one: socket.socket) -> None:
        cuts = self._cuts
        with one, socket.create_connection(self._server, 10) as other:
            pair, waiting = {one: other, other: one}, {one: b"", other: b""}
            for each in pair:
                each.setblocking(False)
            while not self._ended.is_set() and self._cuts == cuts and not self._closed.is_set():
                if self._silent.is_set():
                    self._ended.wait(_LOOK)
                    continue
                reads = [each for each in pair if not waiting[pair[each]]]
                writes = [each for each in pair if waiting[each]]
                readable, writable, _ = select.select(reads, writes, [], _LOOK)
                try:
                    for each in readable:
                        part = each.recv(_PART)
                        if not part:
                            return  # either end closes both
                        waiting[pair[each]] = part
                    for each in writable:
                        waiting[each] = waiting[each][each.send(waiting[each]) :]
                except BlockingIOError:
                    continue
                except OSError:
                    return
            for each in pair:
                with suppress(OSError):
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
