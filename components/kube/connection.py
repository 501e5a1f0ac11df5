"""One HTTP connection to an API server, directly or through a proxy.

The server's certificate is checked as Go checks it.
"""

from __future__ import annotations

import http.client
import select
import ssl
import tempfile
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from components.kube.authorities import trusting
from components.kube.errors import in_words
from components.kube.kubeconfig import Server
from components.kube.proxies import PORTS, ChosenProxy, chosen_by_cluster, chosen_by_environment
from components.kube.tunnels import opened, secured, through

CONNECTING = 10  # seconds at most until a connection is there


def address_of(server: Server) -> SplitResult:
    """The server's address, which without a scheme is http's, as client-go has it."""
    return urlsplit(server.url if "://" in server.url else f"http://{server.url}")


def proxy_to(server: Server) -> ChosenProxy | None:
    """The proxy that leads to the server: the kubeconfig's, else the environment's.

    Raises ValueError for one that has no address.
    """
    return chosen_by_cluster(server.proxy, server.cluster) if server.proxy else chosen_by_environment(address_of(server))


class Connection(http.client.HTTPConnection):
    """To `server`, with a client certificate and its key in PEM form.

    `timeout`: seconds without an answer, OSError afterwards. `proxy` leads there; None: nothing
    does.

    Raises ValueError for an address, a proxy or a certificate that is none, OSError where the
    server can't be reached.
    """

    def __init__(self, server: Server, certificate: tuple[bytes, bytes] | None, timeout: float) -> None:
        url = address_of(server)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"the kubeconfig's server {server.url!r} is no address; it has the form https://host:port")
        self.default_port = PORTS[url.scheme]  # which the header Host leaves out
        super().__init__(url.hostname, url.port or self.default_port, timeout=timeout)
        self.prefix = url.path.rstrip("/")
        self.proxy = proxy_to(server)
        self._secure = server.secure
        self._tls = _tls(server, certificate) if server.secure or (self.proxy and self.proxy.scheme == "https") else None
        self._tls_name = server.tls_name

    def connect(self) -> None:
        """Open the connection; called by http.client before the first request."""
        seconds = min(self.timeout or CONNECTING, CONNECTING)
        if self.proxy:
            way = through(self.proxy, self.host, self.port, seconds, self._tls, tls_name=self._tls_name)
        else:
            way = opened(self.host, self.port, seconds)
        try:
            self.sock = secured(way, self._tls, self._tls_name or self.host) if self._tls and self._secure else way
        except BaseException:
            way.close()
            raise
        self.sock.settimeout(self.timeout)

    def explained(self, problem: BaseException) -> tuple[str, str]:
        """What went wrong on the way, in words, and what to do where a proxy leads there."""
        words = in_words(problem)
        if self.proxy is None:
            return words, ""
        return words if str(self.proxy) in words else f"{words}, through the proxy {self.proxy}", self.proxy.remedy(self.host)

    def was_closed(self) -> bool:
        """Whether the server has closed a connection that was kept.

        What comes unasked for is its end, for HTTP.
        """
        return self.sock is not None and bool(select.select([self.sock], [], [], 0)[0])


def _tls(server: Server, certificate: tuple[bytes, bytes] | None) -> ssl.SSLContext:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if server.insecure else trusting(server.authority)
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
