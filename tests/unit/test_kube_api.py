"""Requests to a real HTTPS server: one connection for many, a new one where it was closed, what is asked again, streams."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from components.kube.api import ApiError, KubeApi
from components.kube.kubeconfig import Kubeconfig
from tests.unit import https_server
from tests.unit.mocked_program import ROOT


class Server(http.server.BaseHTTPRequestHandler):
    """Keeps connections, as API servers do. Answers with the statuses in `answers` (None: hangs up), and then with 200."""

    protocol_version = "HTTP/1.1"
    connections: ClassVar[list[object]] = []
    answers: ClassVar[list[int | None]] = []
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
        answer = json.dumps({"items": [{"path": self.path}]}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_PATCH = do_GET

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


def test_what_a_destroy_imports_is_small() -> None:
    """Everything beyond PyYAML would cost each destroy: the official client 0.4 s of processor time and 45 MB."""
    script = "import runpy, sys\nsys.path.insert(0, '.')\nrunpy.run_path('components/destroy_guard/check.py')\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    top = {name.partition(".")[0] for name in done.stdout.split()}
    assert "yaml" in top
    assert not top & {"kubernetes", "pulumi", "pydantic", "urllib3", "requests", "google", "python_socks"}
