"""Questions to an embedded cluster's API server from this process.

Whoever waits for a cluster asks many times: a kubectl for each question would take as much of the
processors as the API server that is to become ready on them.
"""

from __future__ import annotations

import http.client
import json
import ssl
from contextlib import closing
from typing import Any

from devkube.cluster.layout import Layout
from devkube.errors import MachineError


def ask(layout: Layout, path: str, seconds: float = 5) -> bytes:
    """What the API server answers to a GET of `path` (`/readyz`), within `seconds`.

    Raises MachineError where it doesn't answer, or answers with another status than 200.

    It is asked with the certificate that it uses itself towards the kubelet, which kubeadm makes
    for an administrator (group kubeadm:cluster-admins).
    """
    certificate = layout.pki / "apiserver-kubelet-client.crt"
    try:
        context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        connection = http.client.HTTPSConnection("127.0.0.1", layout.ports.api, timeout=seconds, context=context)
        with closing(connection):
            connection.request("GET", path, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
    except (OSError, http.client.HTTPException) as problem:
        raise MachineError(f"the API server of cluster {layout.identity} does not answer to {path}: {problem}") from problem
    if answer.status != http.HTTPStatus.OK:
        raise MachineError(f"the API server of cluster {layout.identity} answers to {path}: {answer.status} {answer.reason}")
    return said


def ask_for_object(layout: Layout, path: str) -> dict[str, Any]:
    """The object or list at `path` (`/api/v1/nodes/x`). Raises MachineError as `ask` does."""
    found: dict[str, Any] = json.loads(ask(layout, path))
    return found
