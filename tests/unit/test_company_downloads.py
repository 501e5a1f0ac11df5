"""What this project downloads comes through a proxy, from a server that a company's own authority
has signed: by the real pip and the real apt.

Nothing resolves the server's name, so only the proxy leads there.
"""

from __future__ import annotations

import functools
import hashlib
import http.server
import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devkube import debian, paths, proxies
from devkube.errors import MachineError
from tests.recording_server import NAME, Proxies, certificates, proxies_to

WITHOUT = ("SSL_CERT_", "PIP_", "REQUESTS_CA", "CURL_CA")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def company(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Proxies]]:
    """A server of the files in `served`, the proxies to it, and an environment that knows the
    authority.
    """
    if not shutil.which("openssl"):
        pytest.skip("no openssl on PATH to make certificates with")
    certificates(tmp_path, "")
    (tmp_path / "served").mkdir()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "server", tmp_path / "server.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path / "served")))
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    for name in [each for each in os.environ if each.lower().endswith("_proxy") or each.startswith(WITHOUT)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
    with proxies_to(server.server_port) as made:
        yield f"https://{NAME}:{server.server_port}", made
    server.shutdown()
    server.server_close()


def test_python_packages(company: tuple[str, Proxies], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, made = company
    (tmp_path / "served/simple/tiny").mkdir(parents=True)
    (tmp_path / "served/simple/tiny/index.html").write_text('<a href="tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>')
    monkeypatch.setenv("HTTPS_PROXY", made.working)
    command = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "index", "versions", "tiny", f"--index-url={address}/simple"]
    asked = subprocess.run(command, env=proxies.for_pip(os.environ), capture_output=True, text=True)
    assert "tiny (1.0)" in asked.stdout, asked.stderr
    assert set(made.recorded.proxied) == {f"CONNECT {address.removeprefix('https://')}"}


@pytest.mark.skipif(shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None, reason="no apt here")
def test_debian_packages(company: tuple[str, Proxies], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, made = company
    content = tmp_path / "content"
    (content / "DEBIAN").mkdir(parents=True)
    about = "Package: tiny-thing\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example>\nDescription: tiny\n"
    (content / "DEBIAN/control").write_text(about)
    (content / "hello").write_text("hello\n")
    package = tmp_path / "served/tiny-thing_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", content, package], check=True, capture_output=True)
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    listed = f"{about}Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    (tmp_path / "served/Packages").write_text(listed)
    (tmp_path / "sources.list").write_text(f"deb [trusted=yes] {address}/ ./\n")
    settings = {
        "Dir::Etc::sourcelist": tmp_path / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": tmp_path / "lists",
        "Acquire::Retries": 0,
    }
    (tmp_path / "apt.conf").write_text("".join(f'{key} "{value}";\n' for key, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    monkeypatch.setenv("HTTPS_PROXY", made.refusing)
    with pytest.raises(MachineError) as refused:
        debian.unpack(["tiny-thing"])
    assert "403" in refused.value.message
    assert f"HTTPS_PROXY={made.refusing}" in refused.value.hint
    monkeypatch.setenv("HTTPS_PROXY", made.working)
    assert (debian.unpack(["tiny-thing"]) / "hello").read_text() == "hello\n"
    assert set(made.recorded.proxied) == {f"CONNECT {address.removeprefix('https://')}"}
