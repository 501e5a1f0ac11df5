"""A WebSocket to a pod whose messages have a channel: a subresource such as `exec`.

The WebSocket goes the way of every request of KubeApi: kubeconfig, certificates, proxies. Its
subprotocol gives each message a first byte, the channel (k8s.io/apimachinery,
pkg/util/remotecommand). Nothing here blocks once it was opened, so that one thread can join
several.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from components.kube.errors import ApiError, api_sentence, in_words

if TYPE_CHECKING:
    from components.kube.api import KubeApi

_PART = 2**18  # bytes that are read at once
_TURN = 2**22  # bytes that are read before somebody else has a turn
_FRAME = 2**16  # bytes of one message that is sent
_PING = 10  # seconds without anything after which the other end is asked for a sign of life
_SILENCE = 30  # seconds after that in which it gives one, or is gone
_SENDING = 30  # seconds for one write through TLS within TLS, which can't be had without blocking


class Channels:
    """The WebSocket, open. Raises ApiError where the API refuses it.

    `full` is the path with its query. `ended`: nothing more comes, and `reason` then says why.
    """

    def __init__(self, api: KubeApi, full: str, protocols: Sequence[str], otherwise: int) -> None:
        """`otherwise`: the channel of a message that has no byte to say so."""
        from websockets.client import ClientProtocol  # noqa: PLC0415 - 60 ms, for who runs something in a pod alone
        from websockets.protocol import State  # noqa: PLC0415
        from websockets.typing import Subprotocol  # noqa: PLC0415
        from websockets.uri import parse_uri  # noqa: PLC0415

        connection, headers = api.way(full)
        assert connection.sock is not None, "way() has made it"
        self._socket: socket.socket = connection.sock
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        uri = parse_uri(f"ws://{host}:{connection.port}{connection.prefix}{full}")  # TLS is there already
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(each) for each in protocols], max_size=None)
        self._connecting, self._closed = State.CONNECTING, State.CLOSED
        self._out: deque[memoryview] = deque()
        self._otherwise = self._channel = otherwise
        self._heard = self._asked = time.monotonic()
        self.backlog = 0  # bytes that wait to be sent
        self.reason = ""
        self.ended = False
        try:
            self._shake_hands(headers)
        except (OSError, ValueError) as problem:
            self.close()
            text, remedy = connection.explained(problem)
            raise ApiError(text, context=api.context, path=full, remedy=remedy) from None
        except ApiError as problem:
            self.close()
            problem.context, problem.path = api.context, full
            raise
        self._blocks = not isinstance(self._socket, socket.socket)  # TLS within TLS is python-socks'
        self._socket.setblocking(False)

    def _shake_hands(self, headers: Sequence[tuple[str, bytes]]) -> None:
        from websockets.exceptions import InvalidStatus  # noqa: PLC0415

        protocol = self._protocol
        request = protocol.connect()
        for name, value in headers:
            request.headers[name] = value.decode("latin-1")
        protocol.send_request(request)
        for part in protocol.data_to_send():
            self._socket.sendall(part)
        while protocol.state is self._connecting:  # what comes right behind the answer may close it again
            if protocol.handshake_exc is not None:
                problem = protocol.handshake_exc
                if isinstance(problem, InvalidStatus):
                    status = problem.response.status_code
                    raise ApiError(f"the API answered {status}", status, api_sentence(bytes(problem.response.body or b"")))
                raise ValueError(f"no WebSocket comes about: {problem}")
            part = self._socket.recv(_PART)
            if part:
                protocol.receive_data(part)
            else:
                protocol.receive_eof()
                if protocol.handshake_exc is None:
                    raise ConnectionResetError("the server closed the connection")

    def fileno(self) -> int:
        """The socket's, to wait for."""
        return self._socket.fileno()

    @property
    def pending(self) -> bool:
        """Whether there is something to read that the socket doesn't show: TLS has read it."""
        pending = getattr(self._socket, "pending", None)
        return bool(pending and not self.ended and pending())

    @property
    def wants_to_send(self) -> bool:
        """Whether it waits until the socket takes more."""
        return bool(self._out) and not self.ended

    def keep_alive(self, *, reads: bool = True) -> None:
        """To be called again and again: a way that is silent isn't forgotten by what is between.

        It has `ended` where the other end answers no ping. `reads`: whether it is read just now;
        what isn't may be full of answers.
        """
        now = time.monotonic()
        if not reads:
            self._heard = self._asked = now
        elif self._asked > self._heard:
            if now - self._asked > _SILENCE:
                self._end(f"no sign of life for {_SILENCE + _PING} s: the connection to the API is lost")
        elif now - self._heard > _PING and not self.ended:
            self._asked = now
            self._protocol.send_ping(b"")
            self._take_out()
            self.send()

    def _write(self, channel: int, data: bytes) -> None:
        """Send `data` on a channel, as soon as the way is free."""
        if self.ended:
            return
        for start in range(0, len(data), _FRAME):
            self._protocol.send_binary(bytes([channel]) + data[start : start + _FRAME])
        self._take_out()
        self.send()

    def send(self) -> None:
        """Send what waits, as far as the socket takes it."""
        try:
            if self._blocks:
                self._socket.settimeout(_SENDING)
            while self._out and not self.ended:
                sent = self._socket.send(self._out[0])
                self.backlog -= sent
                if sent == len(self._out[0]):
                    self._out.popleft()
                else:
                    self._out[0] = self._out[0][sent:]
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError as problem:
            self._end(in_words(problem))
        finally:
            if self._blocks and not self.ended:
                self._socket.settimeout(0)

    def _take(self) -> tuple[list[tuple[int, bytes]], str]:
        """The messages that have come with their channels, and why none comes any more, or "".

        `_end` is for who is told so.
        """
        parts, taken = [], 0
        broken = ""
        while not self.ended and taken < _TURN:  # TLS gives a record at a time, of a few KiB
            try:
                part = self._socket.recv(_PART)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError, TimeoutError):
                break
            except OSError as problem:
                broken = in_words(problem)
                break
            if not part:
                broken = "the server closed the connection"
                break
            taken += len(part)
            self._heard = time.monotonic()
            parts.append(part)
        if parts:
            self._protocol.receive_data(b"".join(parts))
        found = self._messages()
        self._take_out()  # what answers a ping
        self.send()
        if not self.ended and not broken and (self._protocol.state is self._closed or self._protocol.close_rcvd):
            broken = "the server closed the connection"
        return found, broken

    def _messages(self) -> list[tuple[int, bytes]]:
        from websockets.frames import DATA_OPCODES, Frame, Opcode  # noqa: PLC0415

        found = []
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
                continue
            data = bytes(event.data)
            if event.opcode is not Opcode.CONT:
                self._channel, data = (data[0], data[1:]) if data else (self._otherwise, b"")
            found.append((self._channel, data))
        return found

    def _take_out(self) -> None:
        for part in self._protocol.data_to_send():
            if part:
                self._out.append(memoryview(part))
                self.backlog += len(part)

    def _end(self, reason: str) -> None:
        self.ended = True
        self.reason = reason

    def close(self) -> None:
        """Let go of it."""
        self.ended = True
        self._socket.close()
