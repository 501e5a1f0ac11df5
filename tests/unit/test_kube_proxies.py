"""The proxy that Go would take, by the environment.

Tests/engine/test_kubectl.py holds the same against kubectl.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from components.kube.proxies import ChosenProxy, chosen_by_environment, proxy_for

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
        ("https://[::ffff:127.0.0.1]:6443", PROXY, True),
        ("https://localhost.:6443", PROXY, False),
        ("https://mylocalhost:6443", PROXY, False),
        ("https://0.0.0.0:6443", PROXY, False),
        ("https://api.example", {"ALL_PROXY": "http://proxy.example:8080", "all_proxy": "http://proxy.example:8080"}, True),
        ("https://api.example", {"HTTPS_PROXY": "[::1"}, True),  # no address is no proxy to Go
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
        ("[fd00::1]", "https://[fd00::1]:6443", False),  # brackets are for a port
        ("[api.example]:6443", "https://api.example:6443", True),
        ("*example", "https://api.example", False),
        (".2.3", "https://10.1.2.3", False),  # an address has no domain
        ("2.3", "https://10.1.2.3", False),
        ("10.0.0.0/255.0.0.0", "https://10.1.2.3", False),
        ("10.0.0.0/08", "https://10.1.2.3", True),
        ("10.1.2.0/24", "https://[::ffff:10.1.2.3]:6443", True),
        ("::ffff:10.1.2.0/120", "https://10.1.2.3", True),
        ("fe80::/10", "https://[fe80::1%25eth0]:6443", True),
        ("b\u00fccher.example", "https://xn--bcher-kva.example", True),
        ("xn--bcher-kva.example", "https://sub.b\u00fccher.example", True),
        ("api.example,", "https://api.example", True),
        ("a:b:c", "https://api.example", False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(exceptions: str, address: str, directly: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "proxy.example:8080")
    monkeypatch.setenv("no_proxy", exceptions)
    assert proxy_for(urlsplit(address)) == ("" if directly else "http://proxy.example:8080")


def shell(command: str, name: str, environment: dict[str, str]) -> str:
    """What a variable is after a command in a shell."""
    script = f'{command}; printf %s "${name}"'
    return subprocess.run(["sh", "-ec", script], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="the remedy is tried in a shell")
@pytest.mark.parametrize(
    ("variable", "exceptions", "address"),
    [
        ("HTTPS_PROXY", {}, "https://api.example:6443"),
        ("https_proxy", {"NO_PROXY": "company.example"}, "https://api.example:6443"),
        ("HTTPS_PROXY", {"no_proxy": "company.example"}, "https://10.1.2.3:6443"),
        ("HTTPS_PROXY", {"NO_PROXY": "company.example", "no_proxy": "x"}, "https://[fd00::1]:6443"),
    ],
)
def test_what_an_error_advises_works(variable: str, exceptions: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {variable: "http://me:secret@proxy.example:8080", **exceptions}.items():
        monkeypatch.setenv(name, value)
    server = urlsplit(address)
    chosen = chosen_by_environment(server)
    assert chosen
    assert str(chosen) == f"http://proxy.example:8080 ({variable})"
    remedy = chosen.remedy(server.hostname or "")
    assert f"Correct {variable}, " in remedy
    command = re.search(r"`(export (\w+)=.*)`", remedy)
    assert command
    monkeypatch.setenv(command[2], shell(command[1], command[2], dict(os.environ)))
    assert chosen_by_environment(server) is None


def test_the_proxy_of_a_cluster_is_told_by_its_entry() -> None:
    chosen = ChosenProxy("http://me:secret@proxy.example:8080", cluster="ours")
    assert str(chosen) == "http://proxy.example:8080 (proxy-url of cluster 'ours' in the kubeconfig)"
    assert "`kubectl config unset clusters.ours.proxy-url`" in chosen.remedy("api.example")
