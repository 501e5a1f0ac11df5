"""Single reads of a cluster's API by what the kubeconfig says, without the official client.

That would read the kubeconfig as well, but its import alone costs as much as a tenth of a whole preview.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from components.settings import Problem, SettingsError

TIMEOUT = 5  # seconds: without a cluster a preview goes on


class NoAnswer(Exception):
    """The API didn't give what it was asked for. `status` is the HTTP status that it gave instead; None where it wasn't reached."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Kubeconfig:
    """The kubeconfig as kubectl and Pulumi's kubernetes plugin see it; paths in it are absolute."""

    files: tuple[Path, ...]
    contexts: Mapping[str, Mapping[str, Any]]
    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls, stack: str) -> Kubeconfig:
        """From the files in KUBECONFIG, else `~/.kube/config`. Files that don't exist are left out, as kubectl does.

        Where a name is given twice the first one counts. Raises SettingsError for a file that can't be read.
        """
        named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
        files = tuple(named or [Path.home() / ".kube" / "config"])
        found: dict[str, dict[str, Mapping[str, Any]]] = {"contexts": {}, "clusters": {}, "users": {}}
        for file in files:
            try:
                if file.exists():
                    document = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
                    for kind, entries in found.items():
                        for entry in document.get(kind) or []:
                            entries.setdefault(entry["name"], _absolute(entry[kind.removesuffix("s")] or {}, file.parent))
            except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as problem:
                reason = " ".join(str(problem).split()) or type(problem).__name__
                rule = f"the files in KUBECONFIG are kubeconfigs, and this one can't be read ({type(problem).__name__}: {reason})"
                works = f"the path of a file that `kubectl --kubeconfig {file} config view` can show"
                raise SettingsError([Problem("KUBECONFIG", json.dumps(str(file), ensure_ascii=False), rule, works)], stack) from None
        return cls(files, found["contexts"], found["clusters"], found["users"])

    def items(self, context: str, path: str) -> list[Mapping[str, Any]]:
        """The items of the list at a path of the API, as its JSON has them. Raises NoAnswer, as `get` does."""
        items: list[Mapping[str, Any]] = self.get(context, path).get("items") or []
        return items

    def get(self, context: str, path: str) -> Mapping[str, Any]:
        """What is at a path of the API, as JSON. Raises NoAnswer, for a context that doesn't exist as well."""
        if context not in self.contexts:
            raise NoAnswer(f"the kubeconfig has no context {context}")
        entry = self.contexts[context]
        cluster, user = self.clusters.get(entry.get("cluster", ""), {}), self.users.get(entry.get("user", ""), {})
        simple = cluster.keys() <= _CLUSTER_KEYS and user.keys() <= _USER_KEYS and str(cluster.get("server")).startswith("https://")
        try:
            status, body = _get(cluster, user, path) if simple else _get_by_official_client(self.files, context, path)
            answer = json.loads(body) if status == http.HTTPStatus.OK else {}
        # ValueError: a certificate, an address or a port that is none, or an answer that is no JSON
        except (OSError, http.client.HTTPException, ValueError) as problem:
            raise NoAnswer(str(problem)) from None
        if status != http.HTTPStatus.OK:
            raise NoAnswer(f"the API answered {status}", status)
        found: Mapping[str, Any] = answer
        return found


def _absolute(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its folder."""
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in paths and value else value for key, value in entry.items()}


# What `_get` understands; whoever signs in by a program, or reaches the cluster through a proxy, needs the official client.
_CLUSTER_KEYS = {"server", "certificate-authority", "certificate-authority-data", "insecure-skip-tls-verify", "extensions"}
_USER_KEYS = {"client-certificate", "client-certificate-data", "client-key", "client-key-data", "token", "tokenFile", "extensions"}


def _get(cluster: Mapping[str, Any], user: Mapping[str, Any], path: str) -> tuple[int, bytes]:
    """GET a path of the API server; the status and the body. Raises OSError when it can't be reached."""
    url = urlsplit(cluster["server"])
    authority = cluster.get("certificate-authority-data")
    tls = ssl.create_default_context(
        cafile=None if authority else cluster.get("certificate-authority"), cadata=_text(authority) if authority else None
    )
    if cluster.get("insecure-skip-tls-verify"):
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    _present_certificate(tls, user)
    token = user.get("token") or (Path(user["tokenFile"]).read_text(encoding="utf-8").strip() if user.get("tokenFile") else None)
    connection = http.client.HTTPSConnection(url.hostname or "", url.port, timeout=TIMEOUT, context=tls)
    try:
        connection.request("GET", url.path.rstrip("/") + path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _present_certificate(tls: ssl.SSLContext, user: Mapping[str, Any]) -> None:
    """Use the user's client certificate, if there is one. Python's ssl takes it from files alone."""
    with tempfile.TemporaryDirectory() as folder:  # for this user only (mode 0700)
        files = []
        for kind in ("client-certificate", "client-key"):
            file = user.get(kind)
            if user.get(f"{kind}-data"):
                file = str(Path(folder) / kind)
                Path(file).write_text(_text(user[f"{kind}-data"]), encoding="ascii")
            if file:
                files.append(file)
        if files:
            tls.load_cert_chain(*files)


def _text(data: str) -> str:
    try:
        return base64.b64decode(data).decode("ascii")
    except (binascii.Error, UnicodeDecodeError) as problem:
        raise ValueError(f"not a certificate or key in base64: {problem}") from None


def _get_by_official_client(files: Iterable[Path], context: str, path: str) -> tuple[int, bytes]:
    import kubernetes  # noqa: PLC0415 - costs 0.4 s
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    configuration = kubernetes.client.Configuration()
    configuration.retries = False
    try:
        kubernetes.config.load_kube_config(os.pathsep.join(map(str, files)), context, configuration, persist_config=False)
        answer = kubernetes.client.ApiClient(configuration).call_api(
            path, "GET", auth_settings=["BearerToken"], _preload_content=False, _return_http_data_only=True, _request_timeout=TIMEOUT
        )
    except kubernetes.client.ApiException as problem:
        return problem.status or 0, b""
    except (ConfigException, HTTPError) as problem:
        raise OSError(str(problem)) from None
    return answer.status, answer.data
