"""Which proxy leads to a server, as kubectl and Pulumi's plugins see it.

The rules are those of Go's net/http (golang.org/x/net/http/httpproxy). Python's own
(urllib.request.getproxies) differ: there NO_PROXY knows no networks, and the loopback goes through
the proxy.
"""

from __future__ import annotations

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


def proxy_for(server: SplitResult) -> str:
    """The proxy that the environment has for a server, as `http://host:port`.

    Empty where it is reached without one.
    """
    proxy = _variable(f"{server.scheme}_proxy")
    host = (server.hostname or "").lower()
    if not proxy or _is_direct(host, server.port or PORTS.get(server.scheme, 0), _variable("no_proxy")):
        return ""
    parts = urlsplit(proxy)
    return proxy if parts.scheme and parts.netloc else f"http://{proxy}"


def _variable(name: str) -> str:
    return os.environ.get(name.upper()) or os.environ.get(name) or ""


def _is_direct(host: str, port: int, exceptions: str) -> bool:
    address = _address(host)
    if host == "localhost" or (address and address.is_loopback):
        return True
    return any(_matches(each.strip().lower(), host, address, port) for each in exceptions.split(","))


def _matches(rule: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    """Whether one entry of NO_PROXY is about this host.

    It is `*`, a network, or an address or domain, these two with a port or not.
    """
    if rule == "*":
        return True
    if "/" in rule:
        try:
            return address is not None and address in ipaddress.ip_network(rule, strict=False)
        except ValueError:
            return False
    name, its_port = _split(rule)
    if not name or (its_port and its_port != str(port)):
        return False
    if (wanted := _address(name)) is not None:
        return wanted == address
    name = name.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else host == name or host.endswith(f".{name}")


def _split(rule: str) -> tuple[str, str]:
    """A host and its port, which is empty where there is none.

    An IPv6 address has brackets if it has a port.
    """
    if rule.startswith("["):
        host, _, rest = rule[1:].partition("]")
        return host, rest.removeprefix(":")
    if rule.count(":") == 1:
        host, _, port = rule.partition(":")
        return host, port
    return rule, ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
