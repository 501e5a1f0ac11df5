"""The client of a cluster's API: the project's only one. Objects are the API's JSON, as dicts, both ways.

http.client and the project's own reading of the kubeconfig, because no Python library goes the way that kubectl goes, and because
a destroy and every preview import this (docs/decisions/0011-one-way-to-the-cluster.md).
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from components.kube.connection import Connection
from components.kube.credentials import Credentials, NoCredentials
from components.kube.kubeconfig import Kubeconfig, UnusableContext

Json = dict[str, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

_PAUSE = 0.5  # seconds between two attempts
_PASSING = (429, 500, 502, 503, 504)  # too busy, or a part of the API is just starting
_NOT_TAKEN = (429,)  # of these, what says for sure that nothing was done
_SUCCESS = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)


class ApiError(Exception):
    """The API didn't do what it was asked for.

    `status` is the HTTP status that it gave instead, None where it wasn't reached; `message` is the API's own sentence, or empty.
    """

    def __init__(self, text: str, status: int | None = None, message: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.message = message

    @property
    def reason(self) -> str:
        """`403 Forbidden`, or why the API wasn't reached."""
        if self.status is None:
            return str(self)
        return f"{self.status} {http.client.responses.get(self.status, '')}".strip()


class KubeApi:
    """The API of the cluster of one context, over one connection that is kept.

    `timeout`: seconds for the answer to each request. `patience`: seconds over which a request is repeated while the API can't be reached
    or answers 429, 500, 502, 503 or 504. One that may not be repeated safely isn't, unless the API can't have taken it: `create`, and
    `delete` without a UID. Every method raises ApiError; for a context that doesn't exist, or can't be used, as well.
    """

    def __init__(self, kubeconfig: Kubeconfig, context: str, *, timeout: float = 5, patience: float = 0) -> None:
        self.context = context
        self._kubeconfig = kubeconfig
        self._timeout = timeout
        self._patience = patience
        self._credentials: Credentials | None = None
        self._connection: Connection | None = None
        self._certificate: tuple[bytes, bytes] | None = None  # of `_connection`

    def get(self, path: str, accept: str = JSON) -> Json:
        """What is at a path of the API."""
        return self._ask("GET", path, accept=accept)

    def find(self, path: str) -> Json | None:
        """What is at a path of the API; None where nothing is (404)."""
        try:
            return self.get(path)
        except ApiError as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                return None
            raise

    def items(self, path: str) -> list[Json]:
        """The items of the list at a path of the API, of all its pages."""
        found: list[Json] = []
        page = self.get(path)
        while True:
            found += page.get("items") or []
            following = (page.get("metadata") or {}).get("continue")
            if not following:
                return found
            page = self.get(f"{path}{'&' if '?' in path else '?'}continue={quote(following, safe='')}")

    def create(self, path: str, body: Json) -> Json:
        """Add an object to the list at a path. Where the connection breaks it may have been made all the same."""
        return self._ask("POST", path, body, repeatable=False)

    def patch(self, path: str, body: Json) -> Json | None:
        """Merge `body` into the object at a path; None where it is gone, or has changed since the resourceVersion in `body`."""
        try:
            return self._ask("PATCH", path, body, content=MERGE_PATCH)
        except ApiError as problem:
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return None
            raise

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        """Delete the object at a path, `grace` seconds after it was told; False where it is gone, or has another UID than `uid`."""
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._ask("DELETE", path, options, repeatable=bool(uid))
        except ApiError as problem:
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return False
            raise
        return True

    def lines(self, path: str, silence: float) -> Iterator[str]:
        """The whole lines of a stream, such as a log that is followed, over a connection of its own.

        Ends where the stream ends, or after `silence` seconds without anything.
        """
        connection = None
        try:
            connection = self._open(silence)
            try:
                connection.connect()
            except TimeoutError as problem:
                raise ApiError(_words(problem)) from None
            self._send(connection, "GET", path, {"Accept": "*/*"}, None)
            answer = connection.getresponse()
            if answer.status not in _SUCCESS:
                raise _refusal(answer.status, answer.read())
            rest = b""
            while part := answer.read1(65536):
                *whole, rest = (rest + part).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError, UnusableContext, NoCredentials) as problem:
            raise ApiError(_words(problem)) from None
        finally:
            if connection:
                connection.close()

    def _ask(
        self, method: str, path: str, body: Json | None = None, *, accept: str = JSON, content: str = JSON, repeatable: bool = True
    ) -> Json:
        headers = {"Accept": accept, **({"Content-Type": content} if body is not None else {})}
        text = None if body is None else json.dumps(body).encode()
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._answer(method, path, headers, text, repeatable)
            except _Unreached as problem:
                if time.monotonic() > end or not problem.passing:
                    raise ApiError(str(problem)) from None
            except ApiError as problem:
                passing = _PASSING if repeatable else _NOT_TAKEN
                if time.monotonic() > end or problem.status not in passing:
                    raise
            time.sleep(_PAUSE)

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes | None, repeatable: bool) -> Json:
        """One request. Raises _Unreached, or ApiError with the API's status."""
        connection = self._kept()
        kept = connection.sock is not None
        sent = False
        try:
            if not kept:
                connection.connect()
            sent = True
            self._send(connection, method, path, headers, body)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status in _SUCCESS:
                found: Json = json.loads(content)
                return found
        except (OSError, http.client.HTTPException, ValueError, NoCredentials) as problem:
            connection.close()
            if kept and repeatable and isinstance(problem, ConnectionError):  # a server may close a connection that it has kept any time
                return self._answer(method, path, headers, body, repeatable)
            faulty = isinstance(problem, ValueError | ssl.SSLCertVerificationError | NoCredentials)
            raise _Unreached(_words(problem), passing=not faulty and (repeatable or not sent)) from None
        except BaseException:  # what is left of an answer must not be taken for that to the next request
            connection.close()
            raise
        if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials:
            self._credentials.refused()
        raise _refusal(answer.status, content)

    def _send(self, connection: Connection, method: str, path: str, headers: dict[str, str], body: bytes | None) -> None:
        credentials = self._credentials
        connection.putrequest(method, connection.prefix + path, skip_accept_encoding=True)
        for name, value in [*headers.items(), *(credentials.headers(connection.secure) if credentials else [])]:
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)

    def _kept(self) -> Connection:
        """The connection to the API, a new one where there is none that can be used. Raises _Unreached."""
        try:
            if self._connection and self._connection.was_closed():
                self._connection.close()
            if self._connection is None or (self._credentials and self._credentials.certificate() != self._certificate):
                if self._connection:
                    self._connection.close()
                self._connection = self._open(self._timeout)
            return self._connection
        except (OSError, ValueError, UnusableContext, NoCredentials) as problem:
            raise _Unreached(_words(problem), passing=False) from None

    def _open(self, timeout: float) -> Connection:
        server = self._kubeconfig.server(self.context)
        if self._credentials is None:
            self._credentials = Credentials(self._kubeconfig.user(self.context), server)
        self._certificate = self._credentials.certificate()
        return Connection(server, self._certificate, timeout)


class _Unreached(Exception):
    """There was no answer. `passing`: the request may be sent again."""

    def __init__(self, text: str, *, passing: bool) -> None:
        super().__init__(text)
        self.passing = passing


def _words(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__


def _refusal(status: int, content: bytes) -> ApiError:
    """What the API says of itself is in the `message` of a Status, but for what stands before it."""
    try:
        message = str(json.loads(content).get("message") or "")
    except (ValueError, AttributeError):
        message = ""
    return ApiError(f"the API answered {status}", status, message)
