"""Which proxy leads to a server, as kubectl and Pulumi's plugins see it.

The rules are those of Go's net/http (golang.org/x/net/http/httpproxy, proxy.go), and for a
kubeconfig's `proxy-url` those of client-go (tools/clientcmd, parseProxyURL).

No Python library has them. urllib.request, requests and httpx send the loopback through the proxy,
and urllib's NO_PROXY knows no networks. ALL_PROXY, which they know, is nothing to Go. Where both
spellings of a variable are set, the one in capitals counts, as in Go 1.26 and before. By 0.58
golang.org/x/net has turned that round, which a later Go will have.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_MAPPED = 96  # bits before an IPv4 address in IPv6
OF_A_KUBECONFIG = ("http", "https", "socks5")  # the schemes that client-go takes in `proxy-url`


class ChosenProxy(NamedTuple):
    """The proxy on the way to a server, and who has named it.

    `url` may have a user and a password: nobody is shown it. `variable` of the environment has it;
    where that is empty, `cluster` of the kubeconfig has it as its `proxy-url`.
    """

    url: str
    variable: str = ""
    cluster: str = ""

    @property
    def parts(self) -> SplitResult:
        """The URL taken apart."""
        return urlsplit(self.url)

    @property
    def scheme(self) -> str:
        """How it is spoken to; a variable's unknown scheme is plain HTTP to Go."""
        return "http" if self.variable and self.parts.scheme not in PORTS else self.parts.scheme

    def __str__(self) -> str:
        """Its address without user and password, and where it comes from."""
        parts = self.parts
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.source})"

    @property
    def source(self) -> str:
        """Who has named it."""
        return self.variable or f"proxy-url of cluster {self.cluster!r} in the kubeconfig"

    def remedy(self, host: str) -> str:
        """What to do where it doesn't lead to `host`, a sentence."""
        if not self.variable:
            take_out = f"kubectl config unset {shlex.quote(f'clusters.{self.cluster}.proxy-url')}"
            return f"Correct that proxy-url, or take it out where {host} is reached without a proxy: `{take_out}`."
        exceptions = "no_proxy" if _variable("no_proxy") == "no_proxy" else "NO_PROXY"
        value = f'"${exceptions},{host}"' if os.environ.get(exceptions) else host
        return f"Correct {self.variable}, or where {host} is reached without a proxy, name it: `export {exceptions}={value}`."


def chosen_by_cluster(url: str, cluster: str) -> ChosenProxy:
    """The proxy of a kubeconfig's cluster. Raises ValueError for one that is no address."""
    chosen = ChosenProxy(url, cluster=cluster)
    try:
        _ = chosen.parts.port
    except ValueError as problem:
        raise ValueError(f"the {chosen.source} is no address of the form http://host:port: {problem}") from None
    if chosen.scheme not in OF_A_KUBECONFIG:
        raise ValueError(f"the proxy {chosen} is none of http://…, https://… and socks5://…")
    return chosen


def proxy_for(server: SplitResult) -> str:
    """The proxy that the environment has for a server, as `http://host:port`.

    Empty where it is reached without one.
    """
    found = chosen_by_environment(server)
    return found.url if found else ""


def chosen_by_environment(server: SplitResult) -> ChosenProxy | None:
    """The proxy that the environment has for a server, None where it is reached without one."""
    variable = _variable(f"{server.scheme}_proxy")
    exceptions = os.environ.get(_variable("no_proxy"), "")
    if not variable or _is_direct(server, exceptions):
        return None
    url = os.environ[variable]
    try:
        whole = bool(urlsplit(url).scheme and urlsplit(url).netloc)
    except ValueError:
        whole = False
    try:
        proxy = ChosenProxy(url if whole else f"http://{url}", variable)
        return proxy if proxy.parts else None
    except ValueError:  # to Go a proxy that is no address is none
        return None


def _variable(name: str) -> str:
    """Which of the two variables of a name counts; empty where neither says anything."""
    return next((each for each in (name.upper(), name) if os.environ.get(each)), "")


def _is_direct(server: SplitResult, exceptions: str) -> bool:
    host, port = _ascii(server.hostname or ""), server.port or PORTS.get(server.scheme, 0)
    address = _address(host.partition("%")[0])
    if host == "localhost" or (address and address.is_loopback):
        return True
    return any(_matches(_ascii(each.strip().lower()), host, address, port) for each in exceptions.split(","))


def _matches(rule: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    """Whether one entry of NO_PROXY is about this host.

    It is `*`, a network, or an address or domain, these two with a port or not.
    """
    if rule == "*":
        return True
    network = _network(rule)
    if network:
        return address is not None and address in network
    name, its_port = _split(rule)
    if not name or (its_port and its_port != str(port)):
        return False
    wanted = _address(name)
    if wanted or address:  # no domain has an address in it
        return wanted == address
    name = name.removeprefix("*") if name.startswith("*.") else name
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split(rule: str) -> tuple[str, str]:
    """A host and its port, which is empty where there is none, as Go's net.SplitHostPort has them.

    An IPv6 address has brackets if it has a port, and only then.
    """
    host, colon, port = rule.rpartition(":")
    if colon and host.startswith("[") and host.endswith("]"):
        return host[1:-1], port
    return (host, port) if colon and ":" not in host and "[" not in host else (rule, "")


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """`address/bits`, as Go's net.ParseCIDR has it: no netmask, which Python takes too."""
    text, _, bits = rule.partition("/")
    if not (bits.isascii() and bits.isdigit()):
        return None
    try:
        address = ipaddress.ip_address(text) if "%" not in text else None
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) and int(bits) >= _MAPPED else None
        return ipaddress.ip_network((mapped, int(bits) - _MAPPED) if mapped else (text, int(bits)), strict=False) if address else None
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address; an IPv4 address in IPv6 (`::ffff:10.0.0.1`) is the former, as in Go."""
    try:
        found = ipaddress.ip_address(text) if "%" not in text else None
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _ascii(name: str) -> str:
    """A name as DNS has it."""
    try:
        return name if name.isascii() else ".".join(label.encode("idna").decode() for label in name.split("."))
    except UnicodeError:
        return name
