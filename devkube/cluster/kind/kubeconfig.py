"""The kubeconfig that Kind gives out, and whether the API server in it can be reached."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import urlsplit

import yaml

from devkube.cluster.kind.commands import run
from devkube.errors import MachineError


def kind_kubeconfig(identity: str) -> dict[str, Any]:
    """Kind's kubeconfig of a cluster that has been made, running or not."""
    content: dict[str, Any] = yaml.safe_load(run("kind", "get", "kubeconfig", "--name", identity))
    return content


def check_reachable(content: dict[str, Any]) -> None:
    """Raises MachineError where the API server's port isn't on this machine."""
    server = str(content.get("clusters", [{}])[0].get("cluster", {}).get("server", ""))
    address = urlsplit(server)
    if not address.hostname:
        return
    try:
        socket.create_connection((address.hostname, address.port or 443), timeout=10).close()
    except OSError as problem:
        raise MachineError(
            f"the node is ready, but its API server at {server} can't be reached from here ({problem}): Docker's ports are not this "
            "machine's.",
            "Docker runs elsewhere (a container's outer engine, another machine). Run this where Docker runs, or do without it: "
            "`make up CLUSTER=embedded`.",
        ) from None
