"""The way of a live move's bytes: a port-forward as the kubelet answers it, the tunnel in the
target's pod, and both joined. Processes, sockets and WebSockets are real.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

import ops.move.live.pod.tunnel as program
from components.kube import channels
from components.kube.api import KubeApi
from components.kube.kubeconfig import Kubeconfig
from components.kube.portforward import PortForward
from ops.move.conversation import Broken
from ops.move.live.bridge import Bridge
from ops.move.live.pod.tunnel import CLOSE, DATA, HEADER, OPEN, TAKEN, WINDOW, Frames, Tunnel, frame
from ops.move.process import OnThisMachine
from tests.faults.relay import Relay

POD = "/api/v1/namespaces/data/pods/x"
PORT = (5432).to_bytes(2, "little")


class Kubelet:
    """Joins each port-forward to a real port of this machine, as the kubelet does."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.complaint = b""

    def handle(self, connection: ServerConnection) -> None:
        connection.send(b"\0" + PORT)
        connection.send(b"\1" + PORT)
        if self.complaint:
            connection.send(b"\1" + self.complaint)
            return
        with socket.create_connection(self.listener.getsockname()) as joined:
            threading.Thread(target=self._bring, args=(connection, joined), daemon=True).start()
            try:
                for message in connection:
                    assert isinstance(message, bytes)
                    assert message[0] == 0
                    joined.sendall(message[1:])
            except (ConnectionClosed, OSError):
                pass

    @staticmethod
    def _bring(connection: ServerConnection, joined: socket.socket) -> None:
        try:
            while data := joined.recv(65536):
                connection.send(b"\0" + data)
            connection.close()
        except (ConnectionClosed, OSError):
            pass


@pytest.fixture
def kubelet(tmp_path: Path) -> Iterator[tuple[Kubelet, KubeApi]]:
    made = Kubelet()
    with serve(
        made.handle,
        "127.0.0.1",
        0,
        subprotocols=["v4.channel.k8s.io"],  # type: ignore[list-item]
        compression=None,
        max_size=None,
        close_timeout=1,
    ) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        document = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{listening.socket.getsockname()[1]}"}}],
            "users": [{"name": "u", "user": {}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        yield made, KubeApi(Kubeconfig.load(tmp_path / "config"), "x", timeout=5)
        listening.shutdown()
    made.listener.close()


def until(check: Callable[[], Any], seconds: float = 20) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.01)
    raise AssertionError("it doesn't come")


def test_a_port_forward_brings_bytes_both_ways_without_its_ports_numbers(kubelet: tuple[Kubelet, KubeApi]) -> None:
    forward = PortForward(kubelet[1], POD, 5432)
    server, _ = kubelet[0].listener.accept()
    forward.write(b"question")
    assert server.recv(100) == b"question"
    server.sendall(b"answer")
    assert until(forward.receive) == b"answer"
    server.close()
    until(lambda: forward.receive() or forward.ended)
    assert forward.reason
    forward.close()


def test_what_the_kubelet_complains_of_is_the_reason(kubelet: tuple[Kubelet, KubeApi]) -> None:
    kubelet[0].complaint = b"connection refused in pod"
    forward = PortForward(kubelet[1], POD, 5432)
    until(lambda: forward.receive() or forward.ended)
    assert forward.reason == "connection refused in pod"
    forward.close()


def test_frames_are_whole_whatever_the_parts_are() -> None:
    stream = frame(OPEN, 1) + frame(DATA, 1, b"x" * 1000) + frame(CLOSE, 2**32 - 1)
    for size in (1, 7, HEADER.size, 5000):
        frames, found = Frames(), []
        for start in range(0, len(stream), size):
            found += frames.feed(stream[start : start + size])
        assert found == [(OPEN, 1, b""), (DATA, 1, b"x" * 1000), (CLOSE, 2**32 - 1, b"")]


def test_a_connection_that_is_not_read_holds_up_no_other() -> None:
    """A base backup's first connection isn't read before its second one was answered."""
    (source, into), (outof, sink) = os.pipe(), os.pipe()
    tunnel = Tunnel(0, source, sink)
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set() and tunnel.turn(0.1):
            pass

    threading.Thread(target=run, daemon=True).start()
    try:
        slow = socket.create_connection(("127.0.0.1", tunnel.port))
        quick = socket.create_connection(("127.0.0.1", tunnel.port))
        os.write(into, frame(DATA, 1, b"x" * (WINDOW // 2)) + frame(DATA, 1, b"y" * (WINDOW // 2)) + frame(DATA, 2, b"answer"))
        quick.settimeout(10)
        assert quick.recv(100) == b"answer"
        slow.settimeout(10)
        found = bytearray()
        while len(found) < WINDOW:
            found += slow.recv(65536)
        assert found == b"x" * (WINDOW // 2) + b"y" * (WINDOW // 2)
        frames, taken = Frames(), {1: 0, 2: 0}
        while taken != {1: WINDOW, 2: 6}:
            for kind, number, data in frames.feed(os.read(outof, 65536)):
                if kind == TAKEN:
                    taken[number] += int.from_bytes(data, "big")
    finally:
        ended.set()
        os.close(into)


class LocalTunnel(OnThisMachine):
    """The tunnel's program on this machine, as if it ran in a pod."""

    def __init__(self, api: KubeApi, pod: str, container: str, command: list[str]) -> None:
        del api, pod, container
        super().__init__(command, "tunnel")


@pytest.fixture
def bridge(kubelet: tuple[Kubelet, KubeApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Bridge, int]]:
    """Open, and the port on which the tunnel listens."""
    monkeypatch.setattr("ops.move.live.bridge.InPod", LocalTunnel)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    text = Path(program.__file__).read_text(encoding="utf-8").replace("/run/move/tunnel.pid", str(tmp_path / "pid"))
    (tmp_path / "tunnel.py").write_text(text)
    made = Bridge(kubelet[1], POD, 5432, kubelet[1], POD)
    made.open("tunnel", [sys.executable, "-IB", str(tmp_path / "tunnel.py"), str(port)])
    yield made, port
    made.close()


def test_both_ends_are_joined_and_nothing_is_lost(bridge: tuple[Bridge, int], kubelet: tuple[Kubelet, KubeApi]) -> None:
    made, port = bridge
    size = 3 * WINDOW + 17
    sent = os.urandom(size)
    with socket.create_connection(("127.0.0.1", port)) as client:
        server, _ = kubelet[0].listener.accept()
        client.sendall(b"ask")
        assert server.recv(100) == b"ask"
        threading.Thread(target=server.sendall, args=(sent,), daemon=True).start()
        found = bytearray()
        client.settimeout(20)
        while len(found) < size:
            found += client.recv(65536)
        assert found == sent
        assert made.bytes == size
        server.close()
        assert client.recv(10) == b"", "the end of one side is the end of the other"
    made.check()


def test_a_tunnel_that_is_gone_is_told(bridge: tuple[Bridge, int], tmp_path: Path) -> None:
    os.kill(int((tmp_path / "pid").read_text()), 9)
    with pytest.raises(Broken, match="the tunnel in the target's pod is gone"):
        until(bridge[0].check)


def test_a_way_that_falls_silent_is_noticed_and_one_that_is_idle_is_kept(
    kubelet: tuple[Kubelet, KubeApi], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "_PING", 0.1)
    monkeypatch.setattr(channels, "_SILENCE", 1.5)
    document = yaml.safe_load((tmp_path / "config").read_text())
    address = urlsplit(document["clusters"][0]["cluster"]["server"])
    assert address.hostname and address.port
    with Relay((address.hostname, address.port)) as relay:
        document["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{relay.port}"
        (tmp_path / "config").write_text(yaml.safe_dump(document))
        forward = PortForward(KubeApi(Kubeconfig.load(tmp_path / "config"), "x", timeout=5), POD, 5432)
        server, _ = kubelet[0].listener.accept()

        def is_over() -> bool:
            forward.receive()
            forward.keep_alive()
            return forward.ended

        end = time.monotonic() + 3  # twice as long as it would take to be given up
        while time.monotonic() < end:
            assert not is_over(), forward.reason
            time.sleep(0.01)
        server.sendall(b"there")
        assert until(forward.receive) == b"there"
        relay.fall_silent()
        until(is_over)
        assert "no sign of life" in forward.reason
        forward.close()
