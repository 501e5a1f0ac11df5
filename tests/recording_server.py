"""An API server and proxies that record what has reached them, and by which way."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

NAME = "api.example"  # a name that the server's certificate has, and that nothing resolves
OTHER_NAME = "other.example"  # another one of the kind


@dataclass
class Recorded:
    """What has reached the server and the proxies, in order."""

    requests: list[dict[str, Any]] = field(default_factory=list)
    proxied: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def clear(self) -> None:
        self.requests.clear()
        self.proxied.clear()
        self.refused.clear()


@dataclass(frozen=True)
class Place:
    """The server's addresses, the proxies', and the files that lead there."""

    recorded: Recorded
    folder: Path
    port: int
    address: str  # of this machine, not the loopback's; empty where it has none
    proxy: str
    tls_proxy: str
    socks: str
    refusing: str
    asking: str  # takes no request without a user and a password

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def named(self) -> str:
        """An address that only a proxy can reach."""
        return f"https://{NAME}:{self.port}"

    @property
    def outside(self) -> str:
        """An address that is reached with a proxy and without."""
        return f"https://{self.address}:{self.port}"

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def data(self, name: str) -> str:
        return base64.b64encode((self.folder / name).read_bytes()).decode()


@contextmanager
def recording(folder: Path) -> Iterator[Place]:
    """A server with a certificate of the private authority `ca`, that takes the one of `client`."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl on PATH to make certificates with")
    address = own_address()
    certificates(folder, address)
    recorded = Recorded()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "server", folder / "server.key")
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # of the proxy: asks for no client certificate
    plain.load_cert_chain(folder / "server", folder / "server.key")
    tls.load_verify_locations(folder / "ca")
    tls.verify_mode = ssl.CERT_OPTIONAL
    tls.sni_callback = _keep_name

    class Handler(_Handler):
        seen = recorded

    api = _ApiServer(("", 0), Handler)
    api.socket = tls.wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
    port = api.server_port
    servers: list[socketserver.BaseServer] = [api]

    def proxy(handler: type[_Proxy], context: ssl.SSLContext | None = None) -> int:
        made = _ProxyServer(("127.0.0.1", 0), type("Made", (handler,), {"seen": recorded, "target": port}))
        if context:
            made.socket = context.wrap_socket(made.socket, server_side=True, do_handshake_on_connect=False)
        servers.append(made)
        number: int = made.server_address[1]
        return number

    place = Place(
        recorded,
        folder,
        port,
        address,
        f"http://127.0.0.1:{proxy(_Connect)}",
        f"https://127.0.0.1:{proxy(_Connect, plain)}",
        f"socks5://127.0.0.1:{proxy(_Socks)}",
        f"http://127.0.0.1:{proxy(_Refusing)}",
        f"http://127.0.0.1:{proxy(_Asking)}",
    )
    for each in servers:
        threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
    yield place
    for each in servers:
        each.shutdown()
        each.server_close()


@dataclass(frozen=True)
class Proxies:
    """A proxy that leads to one port of this machine, whatever it is asked for, and one that
    refuses everything.

    `outside` is an address of this machine that isn't the loopback's, and leads there by itself;
    empty where there is none.
    """

    recorded: Recorded
    working: str
    refusing: str
    outside: str

    def everywhere(self, url: str, **more: str) -> dict[str, str]:
        """Variables that name a proxy in every way that programs know, and no exception."""
        names = ("https_proxy", "http_proxy", "all_proxy")
        return {**dict.fromkeys([*names, *map(str.upper, names)], url), "NO_PROXY": "", "no_proxy": "", **more}


@contextmanager
def proxies_to(port: int) -> Iterator[Proxies]:
    """Both proxies, for a server on 127.0.0.1."""
    recorded, address = Recorded(), own_address()
    places = [("127.0.0.1", _Connect), ("127.0.0.1", _Refusing), *([(address, _Forwarding)] if address else [])]
    servers = [_ProxyServer((host, 0), type("Made", (handler,), {"seen": recorded, "target": port})) for host, handler in places]
    for each in servers:
        threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True).start()
    working, refusing, *outside = (f"{host}:{each.server_address[1]}" for (host, _), each in zip(places, servers, strict=True))
    yield Proxies(recorded, f"http://{working}", f"http://{refusing}", "".join(outside))
    for each in servers:
        each.shutdown()
        each.server_close()


def own_address() -> str:
    """An IPv4 address of this machine that is not the loopback's."""
    found = [each.address for all_of in psutil.net_if_addrs().values() for each in all_of if each.family == socket.AF_INET]
    return next((each for each in found if not each.startswith("127.")), "")


def certificates(folder: Path, address: str) -> None:
    """The authorities `ca` and `strange` in a folder, and `server` and `client` of the former, with
    their keys.

    The server's names are those above, 127.0.0.1, and `address` if there is one.
    """

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca", "-subj", "/CN=private authority", "-days", "2")
    openssl("req", "-x509", *new, "-keyout", "strange.key", "-out", "strange", "-subj", "/CN=another authority", "-days", "2")
    names = ["IP:127.0.0.1", f"DNS:{NAME}", f"DNS:{OTHER_NAME}", *([f"IP:{address}"] if address else [])]
    (folder / "names").write_text(f"subjectAltName={','.join(names)}\n")
    for name, subject, more in (("server", "/CN=server", ["-extfile", "names"]), ("client", "/O=group/CN=somebody", [])):
        openssl("req", *new, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", subject)
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", name, *more)


def _keep_name(connection: Any, name: str | None, _: object) -> None:
    connection.asked_name = name


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: Recorded

    def setup(self) -> None:
        self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        subject = dict(part[0] for part in (self.connection.getpeercert() or {}).get("subject", ()))
        headers = sorted((name.title(), value) for name, value in self.headers.items() if name.lower().startswith("impersonate-"))
        self.seen.requests.append(
            {
                "path": self.path,
                "host": self.headers["Host"],
                "server name": getattr(self.connection, "asked_name", None),
                "authorization": self.headers["Authorization"],
                "impersonated": headers,
                "certificate": subject.get("commonName"),
            }
        )
        version = {"major": "1", "minor": "34", "gitVersion": "v1.34.4"}
        answer = json.dumps(version if "/version" in self.path else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


class _ApiServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that doesn't trust the certificate goes away."""


class _ProxyServer(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away is no fault of the proxy's."""


class _Proxy(socketserver.StreamRequestHandler):
    """Leads every connection to the recording server, whatever its client asks for."""

    seen: Recorded
    target: int

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def lead(self) -> None:
        with closing(socket.create_connection(("127.0.0.1", self.target))) as server:
            back = threading.Thread(target=self._copy, args=(server.recv, self.connection.sendall), daemon=True)
            back.start()
            self._copy(self.connection.recv, server.sendall)
            server.shutdown(socket.SHUT_RDWR)
            back.join(5)

    @staticmethod
    def _copy(read: Any, write: Any) -> None:
        try:
            while part := read(65536):
                write(part)
        except OSError:
            pass


class _Connect(_Proxy):
    rbufsize = 0  # what comes after the request isn't the proxy's to read

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        headers = http.client.parse_headers(self.rfile)
        self.seen.proxied.append(f"{line.rsplit(' ', 1)[0]} {headers['Proxy-Authorization'] or ''}".strip())
        for part in (b"HTTP/1.1 200 Connection ", b"established\r\nVia: 1.1 proxy\r\n", b"\r\n"):  # a proxy's words come as they come
            self.wfile.write(part)
            time.sleep(0.01)
        self.lead()


class _Forwarding(_Proxy):
    rbufsize = 0

    def handle(self) -> None:
        self.lead()


class _Refusing(_Proxy):
    def handle(self) -> None:
        self.seen.refused.append(self.rfile.readline().decode().rsplit(" ", 1)[0])
        http.client.parse_headers(self.rfile)
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


class _Asking(_Connect):
    def handle(self) -> None:
        if b"Proxy-Authorization:" in self.connection.recv(4096, socket.MSG_PEEK):
            super().handle()
        else:
            self.wfile.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")


class _Socks(_Proxy):
    """SOCKS 5 without a password (RFC 1928), for names and IPv4 addresses."""

    rbufsize = 0

    def handle(self) -> None:
        methods = self.rfile.read(2)[1]
        self.rfile.read(methods)
        self.wfile.write(b"\x05\x00")
        kind = self.rfile.read(4)[3]
        host = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.rfile.read(4))
        self.seen.proxied.append(f"SOCKS {host}:{int.from_bytes(self.rfile.read(2), 'big')}")
        self.wfile.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        self.lead()
