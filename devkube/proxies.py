"""The way out of a company's network, as the environment has it: proxies, and an authority of its
own that signs what comes from outside.

Go's programs, uv and curl read it by themselves: HTTPS_PROXY and NO_PROXY in either spelling,
SSL_CERT_FILE, SSL_CERT_DIR. Here is what the others need, and what an error says of it. Only the
standard library is used: nothing may be installed yet.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_EXCEPTIONS = ("NO_PROXY", "no_proxy")
_AUTHORITIES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def for_apt(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for apt, which knows the variables in small letters alone.

    As apt-transport-http(1) says.
    """
    names = ("https_proxy", "http_proxy", "no_proxy")
    return {**{name: environment[name.upper()] for name in names if environment.get(name.upper())}, **environment}


def for_pip(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for pip, which before 24.2 knows no SSL_CERT_FILE.

    A certificate file that the user has named for pip itself counts as before.
    """
    file = environment.get("SSL_CERT_FILE")
    own = any(environment.get(name) for name in ("PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    return {**environment, **({"REQUESTS_CA_BUNDLE": file} if file and not own else {})}


def for_pulls(environment: Mapping[str, str], *inside: str) -> dict[str, str]:
    """What a daemon that pulls images is given of the environment.

    `inside` are networks that it reaches without a proxy besides.
    """
    found = {name: environment[name] for name in (*_PROXIES, *_EXCEPTIONS, *_AUTHORITIES) if environment.get(name)}
    name = next((name for name in _EXCEPTIONS if found.get(name)), _EXCEPTIONS[0])  # the one that counts
    return {**found, name: ",".join([*([found[name]] if name in found else []), *inside])} if found else {}


def named() -> str:
    """The proxies of this process, and what is reached without them; empty without a proxy."""
    proxies = [f"{name}={_without_password(os.environ[name])}" for name in _PROXIES if os.environ.get(name)]
    exceptions = [f"{name}={os.environ[name]}" for name in _EXCEPTIONS if os.environ.get(name)]
    return ", ".join(proxies + exceptions) if proxies else ""


def said() -> str:
    """What an error says where something can't be downloaded; empty without a proxy."""
    if not named():
        return ""
    return (
        f"Downloads go through a proxy here: {named()}. Correct that, or name what is reached without it: `export NO_PROXY=<host>,<host>`. "
        "What the proxy signs itself is trusted by `export SSL_CERT_FILE=<file of its authority>`."
    )


def _without_password(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
