"""The proxies that are set, and what goes through them by kubectl's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from components.kube.proxies import PORTS
from dev.doctor.diagnosis import Diagnosis
from dev.doctor.facts import Facts

VARIABLES = tuple(name for upper in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY") for name in (upper, upper.lower()))


def diagnose(facts: Facts) -> Iterator[Diagnosis]:
    """One row: what is set, and whether the cluster's API is reached through it.

    This machine's own address never is: kubectl and Pulumi's plugins go there directly.
    """
    set_ = [f"{name}={without_password(facts.environment[name])}" for name in VARIABLES if facts.environment.get(name)]
    shown = ", ".join(set_) or "none are set"
    cluster = facts.cluster
    if cluster is None or not cluster.server:
        yield Diagnosis("proxies", "good", shown)
        return
    if not cluster.proxy:
        yield Diagnosis("proxies", "good", f"{shown}; the API {cluster.server} is reached directly")
        return
    found = f"{shown}; the API {cluster.server} is reached through {without_password(cluster.proxy)}"
    directly = f'export NO_PROXY="${{NO_PROXY:+$NO_PROXY,}}{urlsplit(cluster.server).hostname}"'
    if urlsplit(cluster.proxy).scheme not in PORTS:
        yield Diagnosis("proxies", "missing", f"{found}, which is none of http://, https:// and socks5://", directly, fails=True)
    elif cluster.unreached:
        yield Diagnosis("proxies", "missing", f"{found}, and does not answer", directly)
    else:
        yield Diagnosis("proxies", "good", found)


def without_password(text: str) -> str:
    """A proxy's address without the user and password in it."""
    return re.sub(r"^((?:\w+://)?).*@", r"\1…@", text)
