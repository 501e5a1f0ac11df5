"""What programs are given of a company's way out, and what an error says of it."""

from __future__ import annotations

import os
import shutil
import urllib.request
from pathlib import Path

import pytest

from devkube import debian, engine, paths, proxies
from devkube.cluster.daemons import Daemon
from devkube.cluster.layout import Layout, Ports
from devkube.cluster.node import Node
from devkube.errors import MachineError
from devkube.toolchain import build

REFUSED = "http://127.0.0.1:1"  # nobody listens there


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the environment of whoever runs the tests counts."""
    for name in [each for each in os.environ if each.lower().endswith("_proxy") or each.startswith("SSL_CERT")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": "a", "NO_PROXY": "b"}, {"https_proxy": "a", "no_proxy": "b"}),
        ({"HTTP_PROXY": "a", "http_proxy": "c"}, {"http_proxy": "c"}),
        ({"https_proxy": "a", "NO_PROXY": ""}, {"https_proxy": "a"}),
    ],
)
def test_apt_gets_the_variables_in_small_letters(given: dict[str, str], found: dict[str, str]) -> None:
    assert {name: value for name, value in proxies.for_apt(given).items() if name.islower()} == found


@pytest.mark.parametrize(
    ("given", "bundle"),
    [
        ({}, None),
        ({"SSL_CERT_FILE": "/ours"}, "/ours"),
        ({"SSL_CERT_FILE": "/ours", "PIP_CERT": "/pips"}, None),
        ({"SSL_CERT_FILE": "/ours", "REQUESTS_CA_BUNDLE": "/theirs"}, "/theirs"),
        ({"SSL_CERT_FILE": "/ours", "CURL_CA_BUNDLE": "/theirs"}, None),
    ],
)
def test_pip_trusts_what_go_trusts(given: dict[str, str], bundle: str | None) -> None:
    found = proxies.for_pip(given)
    assert found.get("REQUESTS_CA_BUNDLE") == bundle
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"PATH": "/bin"}, {}),
        ({"SSL_CERT_FILE": "/ours", "PATH": "/bin"}, {"SSL_CERT_FILE": "/ours", "NO_PROXY": "198.18.7.0/24"}),
        ({"HTTPS_PROXY": "a"}, {"HTTPS_PROXY": "a", "NO_PROXY": "198.18.7.0/24"}),
        ({"https_proxy": "a", "no_proxy": "b"}, {"https_proxy": "a", "no_proxy": "b,198.18.7.0/24"}),
        ({"http_proxy": "a", "NO_PROXY": "c", "no_proxy": "b"}, {"http_proxy": "a", "no_proxy": "b", "NO_PROXY": "c,198.18.7.0/24"}),
    ],
)
def test_what_pulls_images_reaches_its_own_network_directly(given: dict[str, str], found: dict[str, str]) -> None:
    assert proxies.for_pulls(given, "198.18.7.0/24") == found


def test_of_a_nodes_daemons_containerd_alone_is_given_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", REFUSED)
    node = Node(Layout("dev-1", "198.18.7.0/24", Ports(*range(7))), Path("/binaries"), None)
    given = {daemon.name: daemon.environment for daemon in (node.containerd, node.kubelet) if isinstance(daemon, Daemon)}
    assert given["containerd"]["HTTPS_PROXY"] == REFUSED
    assert given["containerd"]["NO_PROXY"] == "198.18.7.0/24"
    assert set(given["kubelet"]) == {"PATH"}


def test_an_error_has_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxies.said() == ""
    monkeypatch.setenv("NO_PROXY", "company.example")
    assert proxies.said() == ""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s%40cret@proxy.example:8080")
    monkeypatch.setenv("http_proxy", "me:secret@proxy.example:8080")
    assert proxies.named() == "HTTPS_PROXY=http://proxy.example:8080, http_proxy=proxy.example:8080, NO_PROXY=company.example"
    assert proxies.named() in proxies.said()
    assert "export NO_PROXY=" in proxies.said()


def test_a_download_of_the_engine_that_a_proxy_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the process has opened something before, without the proxy."""
    opened_before = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    monkeypatch.setattr(urllib.request, "_opener", opened_before)  # what urlopen keeps
    monkeypatch.setenv("HTTPS_PROXY", REFUSED)
    engine.why_no_download.cache_clear()
    assert engine.why_no_download() == f"[Errno 111] Connection refused, through HTTPS_PROXY={REFUSED}"
    engine.why_no_download.cache_clear()


@pytest.mark.parametrize(
    "said", ["proxyconnect tcp: dial tcp 127.0.0.1:1", 'Get "https://proxy.golang.org/x": Forbidden', "x509: unknown authority"]
)
def test_a_download_of_modules_that_a_proxy_refuses(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GOPROXY" in build._way_out(said)
    assert "HTTPS_PROXY" not in build._way_out(said)
    monkeypatch.setenv("HTTPS_PROXY", REFUSED)
    assert f"HTTPS_PROXY={REFUSED}" in build._way_out(said)


@pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt here")
def test_a_package_that_a_proxy_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real apt, with a source of its own in which nothing is reached but through the proxy."""
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://packages.example/debian stable main\n")
    (tmp_path / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{tmp_path}/sources.list"; Dir::Etc::sourceparts "-"; Dir::State::lists "{tmp_path}/lists";\n'
        "Acquire::Retries 0;\n"
    )
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setenv("HTTP_PROXY", REFUSED)
    monkeypatch.setattr(paths, "cache", lambda: tmp_path / "cache")
    with pytest.raises(MachineError) as raised:
        debian.unpack(["no-such-package-anywhere"])
    assert "could not be downloaded" in raised.value.message
    assert f"HTTP_PROXY={REFUSED}" in raised.value.hint
    assert "Install the packages yourself" in raised.value.hint
