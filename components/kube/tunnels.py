"""What leads to an API server through a proxy: CONNECT (http, https), or SOCKS 5.

To CONNECT it is http.client that reads the answer, as Go's own client does, in whatever pieces it
comes. SOCKS 5, and TLS within TLS, are python-socks'.
"""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from typing import cast
from urllib.parse import unquote, unquote_to_bytes

from components.kube.errors import in_words
from components.kube.proxies import PORTS, ChosenProxy


class NotLedThrough(OSError):
    """The proxy doesn't lead to the server; `lasting` where it refuses to (407, 403, …)."""

    def __init__(self, proxy: ChosenProxy, reason: str, *, lasting: bool = False) -> None:
        super().__init__(f"the proxy {proxy} doesn't lead there: {reason}")
        self.lasting = lasting


def through(proxy: ChosenProxy, host: str, port: int, seconds: float, tls: ssl.SSLContext | None, *, tls_name: str = "") -> socket.socket:
    """A connection to `host` that the proxy has led there, without TLS to the host itself.

    A proxy that is spoken to by TLS is checked by `tls`, as in Go: by what the server's is, and by
    the server's `tls_name` if there is one.
    Raises NotLedThrough, ssl.SSLCertVerificationError, and ValueError for a variable that has no
    address.
    """
    if proxy.scheme in ("http", "https"):
        return _tunnel(proxy, host, port, seconds, tls if proxy.scheme == "https" else None, tls_name=tls_name)
    return _by_socks(proxy, host, port, seconds)


def opened(host: str, port: int, seconds: float) -> socket.socket:
    """A connection of its own. Raises OSError."""
    made = socket.create_connection((host, port), seconds)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def secured(way: socket.socket, tls: ssl.SSLContext, name: str) -> socket.socket:
    """TLS on a connection, to a server whose certificate has `name`. Raises OSError."""
    if not isinstance(way, ssl.SSLSocket):
        return tls.wrap_socket(way, server_hostname=name)
    with _python_socks():
        from python_socks.sync.v2._stream import SyncSocketStream  # noqa: PLC0415 - nothing public has TLS within TLS alone

    return cast(socket.socket, SyncSocketStream(way).start_tls(name, tls).socket)  # what has the methods of one


def _tunnel(proxy: ChosenProxy, host: str, port: int, seconds: float, tls: ssl.SSLContext | None, *, tls_name: str) -> socket.socket:
    own = proxy.parts.hostname or ""
    target = f"[{host}]:{port}" if ":" in host else f"{host.encode('idna').decode()}:{port}"
    request = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.parts.username is not None:
        user, password = (unquote_to_bytes(each or "") for each in (proxy.parts.username, proxy.parts.password))
        request.append(f"Proxy-Authorization: Basic {base64.b64encode(user + b':' + password).decode()}")
    number = proxy.parts.port or PORTS[proxy.scheme]
    with ExitStack() as undo:
        try:
            way = undo.enter_context(closing(opened(own, number, seconds)))
            if tls:
                way = undo.enter_context(closing(tls.wrap_socket(way, server_hostname=tls_name or own)))
            way.sendall("\r\n".join([*request, "", ""]).encode())
            answer = http.client.HTTPResponse(way, method="CONNECT")
            answer.begin()
            answer.close()  # the answer alone: the connection goes on
        except ssl.SSLCertVerificationError:
            raise
        except (OSError, http.client.HTTPException) as problem:
            raise NotLedThrough(proxy, in_words(problem)) from None
        if answer.status != HTTPStatus.OK:
            raise _refused(proxy, answer.status, answer.reason)
        undo.pop_all()
    return way


def _refused(proxy: ChosenProxy, status: int, reason: str) -> NotLedThrough:
    wants = "; it wants http://<user>:<password>@<host>:<port>" if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED else ""
    return NotLedThrough(proxy, f"{status} {reason}".strip() + wants, lasting=status < HTTPStatus.INTERNAL_SERVER_ERROR)


def _by_socks(proxy: ChosenProxy, host: str, port: int, seconds: float) -> socket.socket:
    """The proxy is asked for the host's address, by socks5 and socks5h alike, as in Go."""
    with _python_socks():
        from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType  # noqa: PLC0415 - 60 ms
        from python_socks.sync.v2 import Proxy  # noqa: PLC0415

    url = proxy.parts
    user, password = (None, None) if url.username is None else (unquote(url.username), unquote(url.password or ""))
    made = Proxy(ProxyType.SOCKS5, url.hostname or "", url.port or PORTS[url.scheme], user, password, rdns=True)
    try:
        return cast(socket.socket, made.connect(host, port, timeout=seconds).socket)
    except (ProxyConnectionError, ProxyError, ProxyTimeoutError) as problem:
        raise NotLedThrough(proxy, in_words(problem)) from None


@contextmanager
def _python_socks() -> Iterator[None]:
    """Raises ValueError where the package is missing."""
    try:
        yield
    except ImportError as missing:
        raise ValueError(f"the Python package {missing.name} is missing, which proxies take; run `pulumi install`") from None
