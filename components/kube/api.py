"""Single requests to a cluster's API, by what the kubeconfig says of it and without the official client where that isn't needed.

The official client's import alone takes as much processor time as a tenth of a whole preview, or a third of a destroy. Only PyYAML
is needed beyond the standard library, so that a destroy can use this too.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import json
import os
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from components.kube.kubeconfig import Kubeconfig

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"


class NoAnswer(Exception):
    """The API didn't give what it was asked for. `status` is the HTTP status that it gave instead; None where it wasn't reached."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def reason(self) -> str:
        """`403 Forbidden`, or why the API wasn't reached."""
        if self.status is None:
            return str(self)
        return f"{self.status} {http.client.responses.get(self.status, '')}".strip()


class ClusterApi:
    """The API of the cluster of one context, over one connection. `timeout` is for each request, in seconds."""

    def __init__(self, kubeconfig: Kubeconfig, context: str, timeout: float = 5) -> None:
        self.context = context
        self._kubeconfig = kubeconfig
        self._timeout = timeout
        self._sender: _Sender | None = None

    def items(self, path: str) -> list[dict[str, Any]]:
        """The items of the list at a path of the API, as its JSON has them. Raises NoAnswer, as `get` does."""
        return self.get(path).get("items") or []

    def get(self, path: str, accept: str = JSON) -> dict[str, Any]:
        """What is at a path of the API, as JSON. Raises NoAnswer, for a context that doesn't exist as well."""
        return self._ask("GET", path, {"Accept": accept})

    def patch(self, path: str, body: dict[str, Any]) -> bool:
        """Merge `body` into the object at a path; False where it is gone or has changed since its resourceVersion in `body`.

        Raises NoAnswer, as `get` does.
        """
        try:
            self._ask("PATCH", path, {"Accept": JSON, "Content-Type": MERGE_PATCH}, body)
        except NoAnswer as problem:
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
                return False
            raise
        return True

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            if self._sender is None:
                self._sender = self._new_sender()
            status, answer = self._sender.send(method, path, headers, body)
            found: dict[str, Any] = json.loads(answer) if status == HTTPStatus.OK else {}
        # ValueError: a certificate, an address or a port that is none, or an answer that is no JSON
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise NoAnswer(str(problem)) from None
        if status != HTTPStatus.OK:
            raise NoAnswer(f"the API answered {status}", status)
        return found

    def _new_sender(self) -> _Sender:
        if self.context not in self._kubeconfig.contexts:
            raise NoAnswer(f"the kubeconfig has no context {self.context}")
        cluster, user = self._kubeconfig.access(self.context)
        if _is_simple(cluster, user):
            return _Direct(cluster, user, self._timeout)
        return _OfficialClient(self._kubeconfig.files, self.context, self._timeout)


class _Sender(Protocol):
    def send(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None) -> tuple[int, bytes]:
        """Send a request; the status and the body of the answer. Raises OSError when the API can't be reached."""


# What `_Direct` understands; whoever signs in by a program, or reaches the cluster through a proxy, needs the official client.
_CLUSTER_KEYS = {"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "extensions"}
_USER_KEYS = {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "extensions"}


def _is_simple(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> bool:
    url = urlsplit(str(cluster.get("server")))
    proxied = any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy")) and not _is_loopback(url.hostname or "")
    return url.scheme == "https" and cluster.keys() <= _CLUSTER_KEYS and user.keys() <= _USER_KEYS and not proxied


def _is_loopback(host: str) -> bool:
    """Whether Go's clients, kubectl and the plugin among them, reach this host without the proxy, whatever NO_PROXY says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _Direct:
    """Python's own HTTP client. The connection is kept: a handshake of TLS costs more than most requests."""

    def __init__(self, cluster: Mapping[str, Any], user: Mapping[str, Any], timeout: float) -> None:
        url = urlsplit(cluster["server"])
        authority = cluster.get("certificate-authority-data")
        tls = ssl.create_default_context(
            cafile=None if authority else cluster.get("certificate-authority"), cadata=_text(authority) if authority else None
        )
        if cluster.get("insecure-skip-tls-verify"):
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        _present_certificate(tls, user)
        token = user.get("token") or (Path(user["tokenFile"]).read_text(encoding="utf-8").strip() if user.get("tokenFile") else None)
        self._signed_in = {"Authorization": f"Bearer {token}"} if token else {}
        self._prefix = url.path.rstrip("/")
        self._connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=timeout, context=tls)

    def send(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None) -> tuple[int, bytes]:
        """As `_Sender` has it. A server may close a connection that it has kept any time: then a new one is made, once."""
        kept = self._connection.sock is not None
        try:
            return self._send(method, path, headers, body)
        except ConnectionError:
            if not kept:
                raise
            return self._send(method, path, headers, body)

    def _send(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None) -> tuple[int, bytes]:
        try:
            self._connection.request(
                method, self._prefix + path, None if body is None else json.dumps(body), {**headers, **self._signed_in}
            )
            answer = self._connection.getresponse()
            return answer.status, answer.read()
        except BaseException:  # what is left of an answer must not be taken for that to the next request
            self._connection.close()
            raise


def _present_certificate(tls: ssl.SSLContext, user: Mapping[str, Any]) -> None:
    """Use the user's client certificate, if there is one. Python's ssl takes it from files alone."""
    with tempfile.TemporaryDirectory() as folder:  # for this user only (mode 0700)
        files = []
        for kind in ("client-certificate", "client-key"):
            file = user.get(kind)
            if user.get(f"{kind}-data"):
                file = str(Path(folder) / kind)
                Path(file).write_text(_text(user[f"{kind}-data"]), encoding="ascii")
            if file:
                files.append(file)
        if files:
            tls.load_cert_chain(*files)


def _text(data: str) -> str:
    try:
        return base64.b64decode(data).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise ValueError(f"not a certificate or key in base64: {problem}") from None


class _OfficialClient:
    """What signs in by a program, goes through a proxy, and whatever else a kubeconfig may have."""

    def __init__(self, files: Iterable[Path], context: str, timeout: float) -> None:
        import kubernetes  # noqa: PLC0415 - costs 0.4 s
        from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

        configuration = kubernetes.client.Configuration()
        configuration.retries = False
        try:
            kubernetes.config.load_kube_config(os.pathsep.join(map(str, files)), context, configuration, persist_config=False)
        except ConfigException as problem:
            raise OSError(str(problem)) from None
        self._client = kubernetes.client.ApiClient(configuration)
        self._timeout = timeout

    def send(self, method: str, path: str, headers: Mapping[str, str], body: dict[str, Any] | None) -> tuple[int, bytes]:
        """As `_Sender` has it."""
        from kubernetes.client import ApiException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        try:
            answer = self._client.call_api(
                path,
                method,
                header_params=dict(headers),
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _return_http_data_only=True,
                _request_timeout=self._timeout,
            )
        except ApiException as problem:
            return problem.status or 0, b""
        except HTTPError as problem:
            raise OSError(str(problem)) from None
        return answer.status, answer.data
