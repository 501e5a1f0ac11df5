"""Kubeconfigs of a test's own: another context name, another server, another user on the throw-away
cluster.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from devkube.cluster import Access


def client_of(kubeconfig: Path | str | None, context: str | None = None) -> client.ApiClient:
    """A client of a cluster that the tests have made: on this machine, so no proxy leads there.

    Kubernetes' client for Python sends the loopback through one too, and forgets NO_PROXY (35.0).
    """
    settings = client.Configuration()
    config.load_kube_config(str(kubeconfig), context, settings)
    settings.proxy = None
    return client.ApiClient(settings)


def write(
    access: Access,
    file: Path,
    context: str,
    *,
    server: str | None = None,
    token: str | None = None,
    changed: Mapping[str, Any] | None = None,
) -> Path:
    """A kubeconfig with one context for the throw-away cluster.

    `token` is another user's, else it is the tests' own. `changed` are fields of the cluster's
    entry; what is None there is left out.
    """
    document = yaml.safe_load(Path(str(access.kubeconfig)).read_text(encoding="utf-8"))
    found = {kind: {each["name"]: each[kind.removesuffix("s")] for each in document[kind]} for kind in ("contexts", "clusters", "users")}
    entry = found["contexts"][access.context]
    cluster = {**found["clusters"][entry["cluster"]], **({"server": server} if server else {}), **(changed or {})}
    cluster = {key: value for key, value in cluster.items() if value is not None}
    user: dict[str, Any] = {"token": token} if token else found["users"][entry["user"]]
    named = {"contexts": {"cluster": context, "user": context}, "clusters": cluster, "users": user}
    file.write_text(
        yaml.safe_dump({kind: [{"name": context, kind.removesuffix("s"): content}] for kind, content in named.items()}), encoding="utf-8"
    )
    return file


def service_account(core: client.CoreV1Api, name: str) -> str:
    """A token for a service account of this name in namespace default, which may do what RBAC gives
    it: nothing at first.
    """
    core.create_namespaced_service_account("default", {"metadata": {"name": name}})
    request = {"spec": {"audiences": None, "expirationSeconds": 3600}}
    token: str = core.create_namespaced_service_account_token(name, "default", request).status.token
    return token


def authority_of(cluster: Mapping[str, Any]) -> bytes:
    """The certificates that a kubeconfig's cluster trusts, in PEM form."""
    data = cluster.get("certificate-authority-data")
    return base64.b64decode(data) if data else Path(cluster["certificate-authority"]).read_bytes()
