"""One HTTP connection to an API server, directly or through a proxy.

The server's certificate is checked as Go checks it.
"""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import tempfile
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from components.kube.kubeconfig import Server
from components.kube.proxies import PORTS, proxy_for

CONNECTING = 10  # seconds at most until a connection is there


class Connection(http.client.HTTPConnection):
    """To `server`, with a client certificate and its key in PEM form.

    `timeout`: seconds without an answer, OSError afterwards.

    Raises ValueError for an address, a proxy or a certificate that is none, OSError where the
    server can't be reached.
    """

    def __init__(self, server: Server, certificate: tuple[bytes, bytes] | None, timeout: float) -> None:
        url = urlsplit(server.url if "://" in server.url else f"http://{server.url}")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the kubeconfig's server {server.url!r} is no address; it has the form https://host:port")
        self.default_port = PORTS[url.scheme]  # which the header Host leaves out
        super().__init__(url.hostname, url.port or self.default_port, timeout=timeout)
        self.prefix = url.path.rstrip("/")
        self._proxy = server.proxy or proxy_for(url)
        self._secure = server.secure
        self._tls = _tls(server, certificate) if server.secure or self._proxy.startswith("https:") else None
        self._name = server.tls_name or url.hostname

    def connect(self) -> None:
        """Open the connection; called by http.client before the first request."""
        seconds = min(self.timeout or CONNECTING, CONNECTING)
        if self._proxy:
            self.sock = self._through_proxy(seconds)
        else:
            plain = socket.create_connection((self.host, self.port), seconds)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.sock = self._tls.wrap_socket(plain, server_hostname=self._name) if self._tls and self._secure else plain
            except BaseException:
                plain.close()
                raise
        self.sock.settimeout(self.timeout)

    def _through_proxy(self, seconds: float) -> socket.socket:
        try:
            from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType  # noqa: PLC0415 - 60 ms
            from python_socks.sync.v2 import Proxy  # noqa: PLC0415
        except ImportError as missing:
            raise ValueError(f"the Python package {missing.name} is missing, which proxies take; run `pulumi install`") from None

        url = urlsplit(self._proxy)
        if url.scheme not in PORTS or not url.hostname:
            raise ValueError(f"the proxy {self._proxy!r} is none of http://…, https://… and socks5://…")
        proxy = Proxy(
            ProxyType.SOCKS5 if url.scheme.startswith("socks5") else ProxyType.HTTP,
            url.hostname,
            url.port or PORTS[url.scheme],
            None if url.username is None else unquote(url.username),
            None if url.password is None else unquote(url.password),
            rdns=True,  # the proxy is asked for the address, by socks5 and socks5h alike, as Go does
            # As in Go, the proxy's certificate is checked by what the server's is.
            proxy_ssl=self._tls if url.scheme == "https" else None,
        )
        try:
            stream = proxy.connect(self.host, self.port, timeout=seconds)
            if self._secure and self._tls:
                stream = stream.start_tls(self._name, self._tls)
        except (ProxyConnectionError, ProxyError, ProxyTimeoutError) as problem:
            raise OSError(f"the proxy {url.hostname} doesn't lead there: {problem}") from None
        return cast(socket.socket, stream.socket)  # or what has the methods of one, for TLS within TLS

    def was_closed(self) -> bool:
        """Whether the server has closed a connection that was kept.

        What comes unasked for is its end, for HTTP.
        """
        return self.sock is not None and bool(select.select([self.sock], [], [], 0)[0])


def _tls(server: Server, certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext:
    authority = server.authority.decode("ascii", "ignore") if server.authority else None
    tls = ssl.create_default_context(cadata=authority)
    # Go trusts any certificate that it is given, an authority below another one as well.
    # It minds no missing extensions, and takes the name of a server from subjectAltName alone.
    tls.verify_flags = (tls.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN) & ~ssl.VERIFY_X509_STRICT
    tls.hostname_checks_common_name = False
    if server.insecure:
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    if certificate:
        with tempfile.TemporaryDirectory() as folder:  # for this user only (mode 0700): Python's ssl takes them from files alone
            files = [Path(folder, name) for name in ("certificate", "key")]
            for file, content in zip(files, certificate, strict=True):
                file.write_bytes(content)
            tls.load_cert_chain(str(files[0]), str(files[1]))
    return tls
