"""An HTTPS server on the loopback, with a certificate of its own."""

from __future__ import annotations

import http.server
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler], folder: Path) -> Iterator[tuple[str, str]]:
    """Answers with `handler`, each connection in a thread.

    Its address and the path of its certificate, which is put into `folder`.
    """
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    if not shutil.which("openssl"):
        pytest.skip("no openssl on PATH to make a certificate with")
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key"), "-out", str(folder / "certificate")]
    subprocess.run(["openssl", "req", "-x509", *key, *subject], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "certificate", folder / "key")
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{server.server_port}", str(folder / "certificate")
    server.shutdown()
    server.server_close()
