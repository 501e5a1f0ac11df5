"""A program in a container: the API server is one of the test's own, the programs are real."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.kube.exec import Exec
from components.kube.kubeconfig import Kubeconfig

POD = "/api/v1/namespaces/data/pods/x"
ECHO = "import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer); "


class Server:
    """Answers as the API server does: runs the command that it is asked for, on this machine."""

    def __init__(self) -> None:
        self.refuse = 0
        self.drop_after = 0  # bytes of stdin after which the connection is closed without a word
        self.seen: list[Request] = []

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.seen.append(request)
        if not self.refuse:
            return None
        return connection.respond(self.refuse, json.dumps({"kind": "Status", "message": "pods x is forbidden"}))

    def handle(self, connection: ServerConnection) -> None:
        assert connection.request
        asked = parse_qs(urlsplit(connection.request.path).query)
        with subprocess.Popen(asked["command"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdin and process.stdout and process.stderr
            pumps = [threading.Thread(target=self._pump, args=(connection, n, p)) for n, p in ((1, process.stdout), (2, process.stderr))]
            for each in pumps:
                each.start()
            feeder = threading.Thread(target=self._feed, args=(connection, process), daemon=True)
            feeder.start()
            for each in pumps:
                each.join()
            status = process.wait()
            report: dict[str, object] = {"status": "Success"}
            if status:
                causes = [{"reason": "ExitCode", "message": str(status)}]
                report = {"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated", "details": {"causes": causes}}
            try:
                connection.send(b"\3" + json.dumps(report).encode())
            except ConnectionClosed:
                return
            connection.close()

    def _pump(self, connection: ServerConnection, number: int, pipe: object) -> None:
        while part := pipe.read1(32768):  # type: ignore[attr-defined]
            try:
                connection.send(bytes([number]) + part)
            except ConnectionClosed:
                return

    def _feed(self, connection: ServerConnection, process: subprocess.Popen[bytes]) -> None:
        taken = 0
        assert process.stdin
        try:
            for message in connection:
                assert isinstance(message, bytes)
                if message == b"\xff\0":
                    process.stdin.close()
                    return
                assert message[0] == 0
                process.stdin.write(message[1:])
                process.stdin.flush()
                taken += len(message) - 1
                if self.drop_after and taken >= self.drop_after:
                    connection.socket.close()
                    process.kill()
                    return
        except (OSError, ConnectionClosed):
            process.kill()


@pytest.fixture
def server() -> Iterator[tuple[Server, int]]:
    made = Server()
    with serve(
        made.handle,
        "127.0.0.1",
        0,
        subprotocols=["v5.channel.k8s.io", "v4.channel.k8s.io"],  # type: ignore[list-item]
        process_request=made.admit,
        compression=None,
        max_size=None,
        close_timeout=1,
    ) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield made, listening.socket.getsockname()[1]
        listening.shutdown()


@pytest.fixture
def api(server: tuple[Server, int], tmp_path: Path) -> KubeApi:
    document = {
        "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{server[1]}/prefix"}}],
        "users": [{"name": "u", "user": {"as": "somebody"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(document))
    return KubeApi(Kubeconfig.load(file), "x", timeout=5)


def python(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def listened(running: Exec, *, seconds: float = 30, until: Callable[[bytes], bool] = lambda _: False) -> tuple[bytes, bytes]:
    stdout, stderr = bytearray(), bytearray()
    end = time.monotonic() + seconds
    while not running.ended and not until(bytes(stdout[-4096:])):
        assert time.monotonic() < end, "it ends"
        if not running.pending:
            select.select([running.fileno()], [running.fileno()] if running.wants_to_send else [], [], 0.2)
        running.send()
        said = running.receive()
        stdout += said.stdout
        stderr += said.stderr
    return bytes(stdout), bytes(stderr)


def test_both_streams_and_the_exit_status(api: KubeApi, server: tuple[Server, int]) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    for status in (0, 3):
        running = Exec(api, POD, "probe", [*python(script), str(status)])
        assert listened(running) == (b"out\n", b"err\n")
        assert (running.status, running.reason) == (status, "")
        running.close()
    request = server[0].seen[0]
    assert request.path.startswith(f"/prefix{POD}/exec?container=probe&stdin=true&stdout=true&stderr=true&command=")
    assert request.headers["Impersonate-User"] == "somebody"
    assert request.headers["Host"] == f"127.0.0.1:{server[1]}"


def test_much_goes_through_in_both_directions_and_nothing_is_lost(api: KubeApi) -> None:
    size = 20_000_000
    running = Exec(api, POD, "probe", python(f"import sys; sys.stdout.buffer.write(sys.stdin.buffer.read({size})[::-1])"))
    sent = bytes(range(256)) * (size // 256) + bytes(size % 256)
    running.write(sent)
    assert running.backlog
    stdout, _ = listened(running)
    assert stdout == sent[::-1]
    assert running.status == 0


def test_a_refusal_has_the_apis_own_words(api: KubeApi, server: tuple[Server, int]) -> None:
    server[0].refuse = 403
    with pytest.raises(ApiError) as refused:
        Exec(api, POD, "probe", python(""))
    assert (refused.value.status, refused.value.message, refused.value.context) == (403, "pods x is forbidden", "x")
    assert refused.value.path.startswith(f"{POD}/exec?")


def test_a_connection_that_drops_is_no_exit_status(api: KubeApi, server: tuple[Server, int]) -> None:
    server[0].drop_after = 1000
    running = Exec(api, POD, "probe", python(ECHO))
    running.write(bytes(5000))
    listened(running)
    assert running.status is None
    assert running.reason


def test_a_server_that_is_not_there(api: KubeApi, server: tuple[Server, int], tmp_path: Path) -> None:
    text = (tmp_path / "config").read_text().replace(str(server[1]), "1")
    (tmp_path / "config").write_text(text)
    with pytest.raises(ApiError, match="refused"):
        Exec(KubeApi(Kubeconfig.load(tmp_path / "config"), "x", timeout=5), POD, "probe", python(""))


def test_the_end_of_its_input_is_told(api: KubeApi) -> None:
    running = Exec(api, POD, "probe", python(ECHO))
    running.write(b"all of it")
    running.end_input()
    assert listened(running)[0] == b"all of it"
    assert running.status == 0
