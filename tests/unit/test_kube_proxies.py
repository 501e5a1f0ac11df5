"""The proxy that Go would take, by the environment.

Tests/engine/test_kubectl.py holds the same against kubectl.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from components.kube.proxies import proxy_for

PROXY = {"HTTPS_PROXY": "http://proxy.example:8080"}


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("address", "environment", "directly"),
    [
        ("https://api.example", {}, True),
        ("https://api.example", {"HTTPS_PROXY": ""}, True),
        ("https://api.example", PROXY, False),
        ("http://api.example", PROXY, True),
        ("http://api.example", {"http_proxy": "proxy.example:3128"}, False),
        ("https://10.0.0.1:6443", {"https_proxy": "http://proxy.example:8080"}, False),
        ("https://localhost:6443", PROXY, True),
        ("https://127.0.0.2:6443", PROXY, True),
        ("https://[::1]:6443", PROXY, True),
    ],
)
def test_a_server_is_reached_by_its_schemes_proxy_but_for_the_loopback(
    address: str, environment: dict[str, str], directly: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (proxy_for(urlsplit(address)) == "") is directly


@pytest.mark.parametrize(
    ("exceptions", "address", "directly"),
    [
        ("*", "https://api.example", True),
        ("other, *", "https://api.example", True),
        ("api.example", "https://api.example", True),
        ("API.example", "https://api.EXAMPLE", True),
        ("example", "https://api.example", True),
        (".example", "https://api.example", True),
        (".example", "https://example", False),
        ("*.example", "https://api.example", True),
        ("pi.example", "https://api.example", False),
        ("api.example:443", "https://api.example", True),
        ("api.example:6443", "https://api.example", False),
        ("api.example:6443", "https://api.example:6443", True),
        (":443", "https://api.example", False),
        ("", "https://api.example", False),
        (" , ", "https://api.example", False),
        ("10.0.0.0/8", "https://10.1.2.3:6443", True),
        ("10.1.2.3/8", "https://10.9.9.9:6443", True),
        ("10.0.0.0/8", "https://11.1.2.3:6443", False),
        ("10.0.0.0/8", "https://api.example", False),
        ("10.0.0.0/99", "https://10.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:6443", True),
        ("10.1.2.3:6443", "https://10.1.2.3:6443", True),
        ("10.1.2.3:1", "https://10.1.2.3:6443", False),
        ("10.1.2", "https://10.1.2.3:6443", False),
        ("fd00::/8", "https://[fd00::1]:6443", True),
        ("fd00::1", "https://[fd00:0::1]:6443", True),
        ("[fd00::1]:6443", "https://[fd00::1]:6443", True),
        ("[fd00::1]:1", "https://[fd00::1]:6443", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(exceptions: str, address: str, directly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:8080")
    monkeypatch.setenv("no_proxy", exceptions)
    assert proxy_for(urlsplit(address)) == ("" if directly else "http://proxy.example:8080")
