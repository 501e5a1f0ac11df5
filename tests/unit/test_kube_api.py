"""Requests to a real HTTPS server: connections, what is asked again, streams."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from components.kube import api as client
from components.kube.api import ApiError, KubeApi
from components.kube.connection import Connection
from components.kube.kubeconfig import Kubeconfig
from tests.unit import https_server
from tests.unit.mocked_program import ROOT


class Server(http.server.BaseHTTPRequestHandler):
    """Keeps connections, as API servers do.

    Answers with the statuses in `answers` (None: hangs up), and then with 200.
    """

    protocol_version = "HTTP/1.1"
    connections: ClassVar[list[object]] = []
    answers: ClassVar[list[int | None]] = []
    bodies: ClassVar[list[dict[str, Any]]] = []  # instead of one that names the path
    parts: ClassVar[list[bytes | float | None]] = []  # of a stream, with pauses in seconds; None: breaks off
    closing: ClassVar[bool] = False  # closes each connection after its answer, without a word
    asked: ClassVar[list[dict[str, Any]]] = []

    def setup(self) -> None:
        super().setup()
        self.connections.append(self)

    def do_GET(self) -> None:
        status = self.answers.pop(0) if self.answers else 200
        if status is None:
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = {"method": self.command, "path": self.path, "headers": self.headers, "body": json.loads(body or "null")}
        self.asked.append(asked)
        if status == 200 and self.parts:
            self.stream()
            return
        answer = json.dumps(self.bodies.pop(0) if self.bodies else {"items": [{"path": self.path}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.close_connection = self.closing

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while self.parts:
            part = self.parts.pop(0)
            if part is None:
                return
            if isinstance(part, float):
                time.sleep(part)
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")

    do_PATCH = do_POST = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with https_server.serving(Server, tmp_path_factory.mktemp("server")) as (address, certificate):
        yield {"server": f"{address}/prefix/", "certificate-authority": certificate}


@pytest.fixture(autouse=True)
def nothing_asked_yet() -> None:
    Server.connections.clear()
    Server.answers.clear()
    Server.bodies.clear()
    Server.parts.clear()
    Server.asked.clear()


def api(server: dict[str, str], **user: Any) -> KubeApi:
    contexts = {"here": {"cluster": "c", "user": "u"}}
    return KubeApi(Kubeconfig((), contexts, {"c": server}, {"u": user}), "here")


CREDENTIAL = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "good"}}
PROGRAM = {
    "exec": {
        "apiVersion": CREDENTIAL["apiVersion"],
        "command": sys.executable,
        "args": ["-c", f"print({json.dumps(CREDENTIAL)!r})"],
        "interactiveMode": "Never",
    }
}


@pytest.fixture(params=[{"token": "good"}, PROGRAM], ids=["token", "program"])
def either(request: pytest.FixtureRequest, server: dict[str, str]) -> KubeApi:
    """The same cluster, signed in to in both ways."""
    return api(server, **request.param)


def test_many_requests_take_one_connection(either: KubeApi) -> None:
    for number in range(5):
        path = f"/api/v1/pods?number={number}"
        assert either.items(path) == [{"path": f"/prefix{path}"}]
        headers = Server.asked[-1]["headers"]
        assert (headers["Accept"], headers["Authorization"]) == ("application/json", "Bearer good")
    assert len(Server.connections) == 1


def test_an_accepted_form_is_asked_for(either: KubeApi) -> None:
    either.get("/x", "application/json;as=Table")
    assert Server.asked[-1]["headers"]["Accept"] == "application/json;as=Table"


def test_a_patch_is_a_merge_and_says_whether_it_was_taken(either: KubeApi) -> None:
    body = {"metadata": {"resourceVersion": "7", "labels": {"a": "ä"}}}
    assert either.patch("/api/v1/persistentvolumes/pv", body)
    (asked,) = Server.asked
    assert (asked["method"], asked["headers"]["Content-Type"], asked["body"]) == ("PATCH", "application/merge-patch+json", body)
    for status in (404, 409):
        Server.answers.append(status)
        assert not either.patch("/api/v1/persistentvolumes/pv", body)
    Server.answers.append(403)
    with pytest.raises(ApiError) as refused:
        either.patch("/api/v1/persistentvolumes/pv", body)
    assert (refused.value.status, refused.value.reason) == (403, "403 Forbidden")


def test_a_connection_that_the_server_has_closed_is_made_again_once(server: dict[str, str]) -> None:
    asking = api(server)
    Server.answers += [200, None, 200]
    assert asking.items("/x") and asking.items("/x")
    assert len(Server.connections) == 2
    Server.answers += [None, None]
    with pytest.raises(ApiError) as refused:
        asking.items("/x")
    assert refused.value.status is None
    assert asking.items("/x"), "and the next request is not told of it"


def test_a_new_connection_that_is_closed_at_once_is_no_answer(server: dict[str, str]) -> None:
    Server.answers += [None]
    with pytest.raises(ApiError):
        api(server).items("/x")
    assert len(Server.connections) == 1


def test_a_context_that_is_not_there() -> None:
    with pytest.raises(ApiError, match="the kubeconfig has no context there"):
        KubeApi(Kubeconfig((), {}, {}, {}), "there").get("/x")


def test_a_list_is_read_to_its_last_page(server: dict[str, str]) -> None:
    Server.bodies += [
        {"metadata": {"continue": "a/b+c="}, "items": [{"a": 1}]},
        {"metadata": {"continue": "d"}},
        {"items": [{"a": 2}, {"a": 3}]},
    ]
    assert api(server).items("/x?limit=1") == [{"a": 1}, {"a": 2}, {"a": 3}]
    assert [each["path"] for each in Server.asked] == [
        "/prefix/x?limit=1",
        "/prefix/x?limit=1&continue=a%2Fb%2Bc%3D",
        "/prefix/x?limit=1&continue=d",
    ]


def test_what_may_not_be_there(server: dict[str, str]) -> None:
    Server.answers += [404, 200, 500]
    asking = api(server)
    assert asking.find("/x") is None
    assert asking.find("/x")
    with pytest.raises(ApiError):
        asking.find("/x")


def test_an_object_is_made_and_deleted_by_its_uid(server: dict[str, str]) -> None:
    asking = api(server)
    Server.answers += [201, 202]
    assert asking.create("/x", {"a": 1})
    assert asking.delete("/x/y", uid="7", grace=0)
    made, deleted = Server.asked
    assert (made["method"], made["body"], made["headers"]["Content-Type"]) == ("POST", {"a": 1}, "application/json")
    options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": "7"}, "gracePeriodSeconds": 0}
    assert (deleted["method"], deleted["body"]) == ("DELETE", options)
    for status in (404, 409):
        Server.answers.append(status)
        assert not asking.delete("/x/y")
    assert Server.asked[-1]["body"] == {"apiVersion": "v1", "kind": "DeleteOptions"}


def test_the_apis_own_sentence(server: dict[str, str]) -> None:
    Server.answers.append(403)
    Server.bodies.append({"kind": "Status", "message": 'nodes is forbidden: User "me" cannot list'})
    with pytest.raises(ApiError) as refused:
        api(server).get("/api/v1/nodes")
    problem = refused.value
    assert (problem.status, problem.reason, problem.message) == (403, "403 Forbidden", 'nodes is forbidden: User "me" cannot list')
    assert (problem.context, problem.path, str(problem)) == ("here", "/api/v1/nodes", "the API answered 403")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAUSE", 0.01)


def patient(server: dict[str, str], seconds: float = 30) -> KubeApi:
    contexts = {"here": {"cluster": "c", "user": "u"}}
    return KubeApi(Kubeconfig((), contexts, {"c": server}, {"u": {"token": "good"}}), "here", patience=seconds)


@pytest.mark.usefixtures("quick")
class TestPatience:
    def test_what_passes_is_waited_for(self, server: dict[str, str]) -> None:
        Server.answers += [503, None, 429, 500, 502, 504, None, None, 200]
        assert patient(server).items("/x")
        assert not Server.answers

    def test_what_stays_is_not(self, server: dict[str, str]) -> None:
        for status in (400, 401, 403, 404, 409, 410, 422):
            Server.answers.append(status)
            with pytest.raises(ApiError):
                patient(server).get("/x")
        assert not Server.answers

    def test_at_its_end_the_last_answer_is_told(self, server: dict[str, str]) -> None:
        Server.answers += [503] * 3
        with pytest.raises(ApiError) as refused:
            patient(server, seconds=0).get("/x")
        assert refused.value.status == 503
        assert len(Server.answers) == 2

    def test_what_changes_something_is_repeated_where_that_is_safe(self, server: dict[str, str]) -> None:
        Server.answers += [503, None, 200]
        assert patient(server).patch("/x", {})
        Server.answers += [503, None, 200]
        assert patient(server).delete("/x", uid="1")
        assert not Server.answers

    @pytest.mark.parametrize("status", [503, None])
    def test_and_where_it_may_have_been_done_it_is_not(self, status: int | None, server: dict[str, str]) -> None:
        for attempt in (lambda: patient(server).create("/x", {}), lambda: patient(server).delete("/x")):
            Server.answers += [429, status]
            with pytest.raises(ApiError):
                attempt()
            assert not Server.answers

    def test_a_server_that_comes_up_gets_even_that(self, server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
        connect, refusals = Connection.connect, iter([ConnectionRefusedError(), TimeoutError(), OSError()])

        def late(connection: Connection) -> None:
            for problem in refusals:
                raise problem
            connect(connection)

        monkeypatch.setattr(Connection, "connect", late)
        assert patient(server).create("/x", {})

    def test_a_certificate_that_is_not_trusted_stays_so(self, server: dict[str, str]) -> None:
        began = time.monotonic()
        with pytest.raises(ApiError, match="certificate verify failed"):
            patient({"server": server["server"]}).get("/x")
        assert time.monotonic() - began < 10


def test_a_kept_connection_that_was_closed_is_seen_before_something_is_made(server: dict[str, str]) -> None:
    asking = api(server)
    Server.closing = True
    assert asking.get("/x")
    Server.closing = False
    time.sleep(0.2)
    assert asking.create("/x", {})
    assert len(Server.connections) == 2


class TestLines:
    def lines(self, server: dict[str, str], *parts: bytes | float | None, silence: float = 5) -> list[str]:
        Server.parts.extend(parts)
        return list(api(server).lines("/log?follow=true", silence))

    def test_whole_lines_come_as_they_are_written(self, server: dict[str, str]) -> None:
        assert self.lines(server, b"one\ntw", b"o\n\nthr\xffee\nfo") == ["one", "two", "", "thr\ufffdee"]
        assert Server.asked[-1]["path"] == "/prefix/log?follow=true"
        assert Server.asked[-1]["headers"]["Authorization"] is None

    def test_silence_ends_them(self, server: dict[str, str]) -> None:
        assert self.lines(server, b"one\n", 2.0, b"two\n", silence=0.3) == ["one"]

    def test_a_connection_that_breaks_is_no_end(self, server: dict[str, str]) -> None:
        Server.parts.extend([b"one\n", None])
        following = api(server).lines("/log", 5)
        assert next(following) == "one"
        with pytest.raises(ApiError) as broken:
            next(following)
        assert broken.value.status is None

    def test_a_refusal(self, server: dict[str, str]) -> None:
        Server.answers.append(400)
        with pytest.raises(ApiError) as refused:
            self.lines(server)
        assert refused.value.status == 400

    def test_beside_other_requests(self, server: dict[str, str]) -> None:
        asking = api(server)
        Server.parts.extend([b"one\n", b"two\n"])
        following = asking.lines("/log", 5)
        assert next(following) == "one"
        assert asking.items("/x")
        assert list(following) == ["two"]


def test_a_token_that_expires_or_is_refused_is_asked_for_anew(server: dict[str, str], tmp_path: Path) -> None:
    """The program gives a token that is its own number, the first one expired already."""
    count = tmp_path / "count"
    script = (
        "import json, pathlib\n"
        f"file = pathlib.Path({str(count)!r})\n"
        "number = len(file.read_text()) if file.exists() else 0\n"
        "file.write_text('x' * (number + 1))\n"
        "until = '2001-01-01T00:00:00Z' if number == 0 else '2999-01-01T00:00:00Z'\n"
        "status = {'token': str(number), 'expirationTimestamp': until}\n"
        "print(json.dumps({'apiVersion': 'client.authentication.k8s.io/v1', 'kind': 'ExecCredential', 'status': status}))\n"
    )
    asking = api(server, exec={**PROGRAM["exec"], "args": ["-c", script]})
    Server.answers += [200, 200, 401]
    assert asking.get("/x") and asking.get("/x")
    with pytest.raises(ApiError):
        asking.get("/x")
    assert asking.get("/x")
    tokens = [each["headers"]["Authorization"].removeprefix("Bearer ") for each in Server.asked]
    assert tokens == ["1", "1", "1", "2"], "0 has expired before it was used"


def test_what_a_destroy_imports_is_small() -> None:
    """All beyond PyYAML would cost each destroy: the official client 0.4 s of the processor."""
    script = "import runpy, sys\nsys.path.insert(0, '.')\nrunpy.run_path('components/destroy_guard/check.py')\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    top = {name.partition(".")[0] for name in done.stdout.split()}
    assert "yaml" in top
    assert not top & {"kubernetes", "pulumi", "pydantic", "urllib3", "requests", "google", "python_socks"}
