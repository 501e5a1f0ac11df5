"""A program that is run in a container of a pod (the subresource `exec`), over a WebSocket.

The WebSocket goes the way of every request of KubeApi: kubeconfig, certificates, proxies. Its
subprotocol gives each message a first byte, the channel (k8s.io/apimachinery,
pkg/util/remotecommand). Nothing here blocks once the program was started, so that one thread can
join two programs. What the API server answers says nothing about whether the program lives: the
stream of a container that was killed may stay open (kubernetes#129144).
"""

from __future__ import annotations

import json
import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlencode

from components.kube.errors import ApiError, api_sentence, in_words

if TYPE_CHECKING:
    from components.kube.api import KubeApi

STDIN, STDOUT, STDERR, ERROR = range(4)  # channels
_CLOSE = 255  # not a channel: of v5, the byte after it says which one ends
PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_PART = 2**18  # bytes that are read at once
_TURN = 2**22  # bytes that are read before somebody else has a turn
_FRAME = 2**16  # bytes of stdin in one message
_SENDING = 30  # seconds for one write through TLS within TLS, which can't be had without blocking


class Said(NamedTuple):
    """What has come from the program since it was asked for last."""

    stdout: bytes
    stderr: bytes


class Exec:
    """A program in a container, started.

    `path` is the pod's in the API. Raises ApiError where the API doesn't start it.
    `status` is its exit status once it has ended, None before, and where the connection broke;
    then `reason` says why.
    """

    def __init__(self, api: KubeApi, path: str, container: str, command: Sequence[str]) -> None:
        from websockets.client import ClientProtocol  # noqa: PLC0415 - 60 ms, for who runs something in a pod alone
        from websockets.protocol import State  # noqa: PLC0415
        from websockets.typing import Subprotocol  # noqa: PLC0415
        from websockets.uri import parse_uri  # noqa: PLC0415

        asked = [("container", container), *((stream, "true") for stream in ("stdin", "stdout", "stderr"))]
        full = f"{path}/exec?{urlencode([*asked, *(('command', each) for each in command)])}"
        connection, headers = api.way(full)
        assert connection.sock is not None, "way() has made it"
        self._socket: socket.socket = connection.sock
        host = f"[{connection.host}]" if ":" in connection.host else connection.host
        uri = parse_uri(f"ws://{host}:{connection.port}{connection.prefix}{full}")  # TLS is there already
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(each) for each in PROTOCOLS], max_size=None)
        self._open, self._closed = State.OPEN, State.CLOSED
        self._out: deque[memoryview] = deque()
        self._channel = ERROR
        self._report = b""
        self.backlog = 0  # bytes that wait to be sent
        self.status: int | None = None
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
        while protocol.state is not self._open:
            if protocol.handshake_exc is not None and protocol.state is not self._open:
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

    def write(self, data: bytes) -> None:
        """Give the program `data` on its stdin, as soon as the way is free."""
        if self.ended:
            return
        for start in range(0, len(data), _FRAME):
            self._protocol.send_binary(b"\0" + data[start : start + _FRAME])
        self._take_out()
        self.send()

    def end_input(self) -> None:
        """The program's stdin ends, where the server can tell it (v5: Kubernetes 1.30)."""
        if not self.ended and self._protocol.subprotocol == PROTOCOLS[0]:
            self._protocol.send_binary(bytes([_CLOSE, STDIN]))
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

    def receive(self) -> Said:
        """What has come. Where that was the last of it, `ended` is true afterwards."""
        parts, stdout, stderr, taken = [], [], [], 0
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
            parts.append(part)
        if parts:
            self._protocol.receive_data(b"".join(parts))
        for channel, data in self._messages():
            if channel == STDOUT:
                stdout.append(data)
            elif channel == STDERR:
                stderr.append(data)
            elif channel == ERROR:
                self._report += data
        self._take_out()  # what answers a ping
        self.send()
        if not self.ended and (broken or self._protocol.state is self._closed or self._protocol.close_rcvd):
            self._end(broken or "the server closed the connection")
        return Said(b"".join(stdout), b"".join(stderr))

    def _messages(self) -> list[tuple[int, bytes]]:
        from websockets.frames import DATA_OPCODES, Frame, Opcode  # noqa: PLC0415

        found = []
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) or event.opcode not in DATA_OPCODES:
                continue
            data = bytes(event.data)
            if event.opcode is not Opcode.CONT:
                self._channel, data = (data[0], data[1:]) if data else (ERROR, b"")
            found.append((self._channel, data))
        return found

    def _take_out(self) -> None:
        for part in self._protocol.data_to_send():
            if part:
                self._out.append(memoryview(part))
                self.backlog += len(part)

    def _end(self, reason: str) -> None:
        self.ended = True
        self.status, self.reason = _outcome(self._report, reason)

    def close(self) -> None:
        """Let go of it. Its stdin ends, which is all that the program is told."""
        self.ended = True
        self._socket.close()


def _outcome(report: bytes, otherwise: str) -> tuple[int | None, str]:
    """The exit status, and why there is none, from the Status that comes last (v4 and v5)."""
    try:
        said = json.loads(report)
        if said.get("status") == "Success":
            return 0, ""
        causes = (said.get("details") or {}).get("causes") or []
        code = next((each["message"] for each in causes if each.get("reason") == "ExitCode"), None)
        return (int(code), "") if code is not None else (None, str(said.get("message") or otherwise))
    except (ValueError, AttributeError, KeyError, TypeError):
        return None, otherwise
