"""The client of a cluster's API: the project's only one.

Objects are the API's JSON, as dicts, both ways.

http.client and the project's own reading of the kubeconfig, because no Python library goes the way
that kubectl goes, and because a destroy and every preview import this
(docs/decisions/0011-one-way-to-the-cluster.md).
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Collection, Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from components.kube.connection import Connection
from components.kube.credentials import Credentials
from components.kube.errors import ApiError, UnusableContext, api_sentence, in_words
from components.kube.kubeconfig import Kubeconfig
from components.kube.tunnels import NotLedThrough

__all__ = ["JSON", "ApiError", "Json", "KubeApi", "UnusableContext"]

Json = dict[str, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"

_PAUSE = 0.5  # seconds between two attempts
_PASSING = (429, 500, 502, 503, 504)  # too busy, or a part of the API is just starting
_NOT_TAKEN = (429,)  # of these, what says for sure that nothing was done
_PART = 65536  # bytes of a stream that are read at once
_SUCCESS = (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.ACCEPTED)


class KubeApi:
    """The API of the cluster of one context, over one connection that is kept.

    `timeout`: seconds for the answer to each request. `patience`: seconds over which a request is
    repeated while the API can't be reached or answers 429, 500, 502, 503 or 504. One that may not
    be repeated safely isn't, unless the API can't have taken it: `create`, and `delete` without a
    UID. Every method raises ApiError; for a context that doesn't exist, or can't be used, as well.
    """

    def __init__(self, kubeconfig: Kubeconfig, context: str, *, timeout: float = 5, patience: float = 0) -> None:
        self.context = context
        self._kubeconfig = kubeconfig
        self._timeout = timeout
        self._patience = patience
        self._credentials: Credentials | None = None
        self._connection: Connection | None = None
        self._certificate: tuple[bytes, bytes] | None = None  # of `_connection`

    @property
    def contexts(self) -> Collection[str]:
        """The names of all contexts of the kubeconfig."""
        return self._kubeconfig.contexts

    def of_context(self, context: str) -> KubeApi:
        """The API of another context of the same kubeconfig, asked in the same way."""
        return KubeApi(self._kubeconfig, context, timeout=self._timeout, patience=self._patience)

    def get(self, path: str, accept: str = JSON) -> Json:
        """What is at a path of the API."""
        return self.request("GET", path, accept=accept)

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
        """Add an object to the list at a path.

        Where the connection breaks it may have been made all the same.
        """
        return self.request("POST", path, body, repeatable=False)

    def patch(self, path: str, body: Json) -> Json | None:
        """Merge `body` into the object at a path.

        None where it is gone, or has changed since the resourceVersion in `body`.
        """
        try:
            return self.request("PATCH", path, body, content=MERGE_PATCH)
        except ApiError as problem:
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return None
            raise

    def delete(self, path: str, *, uid: str = "", grace: int | None = None) -> bool:
        """Delete the object at a path, `grace` seconds after it was told.

        False where it is gone, or has another UID than `uid`.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self.request("DELETE", path, options, repeatable=bool(uid))
        except ApiError as problem:
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return False
            raise
        return True

    def lines(self, path: str, silence: float) -> Iterator[str]:
        """The whole lines of a stream, such as a followed log, over a connection of its own.

        Ends where the stream ends, or after `silence` seconds without anything.
        """
        connection = self._open(silence)
        try:
            connection.connect()
        except (OSError, ValueError) as problem:
            raise self._unreached(connection, problem, path) from None
        try:
            self._send(connection, "GET", path, {"Accept": "*/*"}, None)
            answer = connection.getresponse()
            if answer.status not in _SUCCESS:
                raise self._refused(answer.status, answer.read(), path)
            rest = b""
            while part := answer.read1(_PART):
                *whole, rest = (rest + part).split(b"\n")
                yield from (line.decode(errors="replace") for line in whole)
        except TimeoutError:
            return
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise self._unreached(connection, problem, path) from None
        finally:
            connection.close()

    def way(self, path: str) -> tuple[Connection, list[tuple[str, bytes]]]:
        """A new connection, made, and the headers that say who asks: for what takes it over.

        `path` is what will be asked for, for the message where it can't be made.
        """
        connection = self._open(self._timeout)
        try:
            connection.connect()
            return connection, self._credentials.headers() if self._credentials else []
        except (OSError, ValueError) as problem:
            connection.close()
            raise self._unreached(connection, problem, path) from None

    def request(
        self, method: str, path: str, body: Json | None = None, *, accept: str = JSON, content: str = JSON, repeatable: bool = True
    ) -> Json:
        """Any request that is answered with JSON.

        `repeatable`: no harm is done where the API has taken it already.
        """
        headers = {"Accept": accept, **({"Content-Type": content} if body is not None else {})}
        text = None if body is None else json.dumps(body).encode()
        end = time.monotonic() + self._patience
        while True:
            try:
                return self._attempt(method, path, headers, text, repeatable)
            except UnusableContext as problem:
                problem.context, problem.path = self.context, path
                raise
            except _Passing:
                if time.monotonic() > end:
                    raise
            time.sleep(_PAUSE)

    def _attempt(self, method: str, path: str, headers: dict[str, str], body: bytes | None, repeatable: bool) -> Json:
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
        except (OSError, http.client.HTTPException, ValueError) as problem:
            connection.close()
            if kept and repeatable and isinstance(problem, ConnectionError):  # a server may close a connection that it has kept any time
                return self._attempt(method, path, headers, body, repeatable)
            lasting = isinstance(problem, ValueError | ssl.SSLCertVerificationError)
            lasting = lasting or (isinstance(problem, NotLedThrough) and problem.lasting)
            raise self._unreached(connection, problem, path, passing=not lasting and (repeatable or not sent)) from None
        except BaseException:  # what is left of an answer must not be taken for that to the next request
            connection.close()
            raise
        if answer.status == HTTPStatus.UNAUTHORIZED and self._credentials:
            self._credentials.refused()
        raise self._refused(answer.status, content, path, passing=answer.status in (_PASSING if repeatable else _NOT_TAKEN))

    def _send(self, connection: Connection, method: str, path: str, headers: dict[str, str], body: bytes | None) -> None:
        connection.putrequest(method, connection.prefix + path, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        for name, said in self._credentials.headers() if self._credentials else ():
            connection.putheader(name, said)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)

    def _kept(self) -> Connection:
        """The connection to the API.

        A new one where there is none yet, or where the client certificate is another one by now.
        """
        if self._connection and self._connection.was_closed():
            self._connection.close()
        if self._connection is None or (self._credentials and self._credentials.certificate() != self._certificate):
            if self._connection:
                self._connection.close()
            self._connection = self._open(self._timeout)
        return self._connection

    def _open(self, timeout: float) -> Connection:
        """A connection that isn't made yet. Raises UnusableContext."""
        server = self._kubeconfig.server(self.context)
        if self._credentials is None:
            self._credentials = Credentials(self._kubeconfig.user(self.context), server)
        self._certificate = self._credentials.certificate()
        try:
            return Connection(server, self._certificate, timeout)
        except (OSError, ValueError) as problem:
            raise UnusableContext(in_words(problem)) from None

    def _unreached(self, connection: Connection, problem: BaseException, path: str, *, passing: bool = False) -> ApiError:
        text, remedy = connection.explained(problem)
        return (_Passing if passing else ApiError)(text, context=self.context, path=path, remedy=remedy)

    def _refused(self, status: int, content: bytes, path: str, *, passing: bool = False) -> ApiError:
        kind, message = _Passing if passing else ApiError, api_sentence(content)
        return kind(f"the API answered {status}", status, message, context=self.context, path=path)


class _Passing(ApiError):
    """What may be otherwise in a moment, and may be asked again without harm."""
