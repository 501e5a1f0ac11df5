"""What a request carries to say who makes it.

That is a token, a password, a client certificate, or what a program gives for one of them.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from components.kube.errors import UnusableContext
from components.kube.kubeconfig import Impersonation, Plugin, Server, User

# The characters of a header's name (RFC 9110, token) but for %, by which the rest is escaped.
_HEADER_NAME = "!#$&'*+-.^_`|~"

Headers = list[tuple[str, bytes]]


class _Given(NamedTuple):
    """What a program has given; `until` is None where it doesn't expire."""

    token: str
    certificate: tuple[bytes, bytes] | None
    until: datetime | None


class Credentials:
    """Those of one user of a kubeconfig for one server.

    As client-go does, nothing but the impersonation is sent to a server without TLS; a program
    isn't asked where a token, a password or a certificate is there; what it gave is kept until it
    expires or the API refuses it.
    """

    def __init__(self, user: User, server: Server) -> None:
        self._user = user if server.secure else User(impersonation=user.impersonation)
        self._server = server
        self._given: _Given | None = None
        self._token = self._user.token

    def certificate(self) -> tuple[bytes, bytes] | None:
        """The client certificate and its key in PEM form. Raises UnusableContext."""
        given = self._from_program()
        return given.certificate if given else self._user.certificate

    def headers(self) -> Headers:
        """The headers that say who asks. Raises UnusableContext."""
        said, who = self._authorization(), self._user.impersonation
        return [*([("Authorization", said.encode())] if said else []), *(_impersonating(who) if who else [])]

    def refused(self) -> None:
        """The API took them for nobody's (401): a program is asked again next time."""
        self._given = None

    def _authorization(self) -> str:
        if self._user.token_file:
            self._read_token()
        if self._token:
            return f"Bearer {self._token}"
        if self._user.basic:
            return f"Basic {base64.b64encode(':'.join(self._user.basic).encode()).decode()}"
        given = self._from_program()
        return f"Bearer {given.token}" if given and given.token else ""

    def _read_token(self) -> None:
        """The file counts before the token, and is read again each time: it is renewed."""
        try:
            token = Path(self._user.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            if not self._token:
                raise UnusableContext(f"the kubeconfig's tokenFile {self._user.token_file} can't be read: {problem}") from None
            return
        if not token and not self._token:
            raise UnusableContext(f"the kubeconfig's tokenFile {self._user.token_file} is empty")
        self._token = token or self._token

    def _from_program(self) -> _Given | None:
        user = self._user
        if user.plugin is None or user.token or user.token_file or user.basic or user.certificate:
            return None
        if self._given is None or (self._given.until and self._given.until < datetime.now(UTC)):
            self._given = _run(user.plugin, self._server)
        return self._given


def _impersonating(who: Impersonation) -> Headers:
    found = [("Impersonate-User", who.user.encode())]
    if who.uid:
        found.append(("Impersonate-Uid", who.uid.encode()))
    found += [("Impersonate-Group", group.encode()) for group in who.groups]
    for key, values in who.extra.items():
        found += [(f"Impersonate-Extra-{quote(key, safe=_HEADER_NAME)}", value.encode()) for value in values]
    return found


def _run(plugin: Plugin, server: Server) -> _Given:
    """What the program says.

    The protocol: https://kubernetes.io/docs/reference/config-api/client-authentication.v1/.
    """
    import subprocess  # noqa: PLC0415 - 10 ms, for users who have such a program alone

    terminal = bool(sys.stdin) and sys.stdin.isatty()
    if plugin.interactive == "Always" and not terminal:
        raise UnusableContext(f"{plugin.command} of the kubeconfig wants to ask at a terminal (interactiveMode: Always), and there is none")
    interactive = terminal and plugin.interactive != "Never"
    spec: dict[str, Any] = {"interactive": interactive}
    if plugin.provide_cluster_info:
        spec["cluster"] = _cluster_info(server)
    asked = {"kind": "ExecCredential", "apiVersion": plugin.version, "spec": spec}
    program = shutil.which(plugin.command)
    if program is None:
        hint = f" {plugin.install_hint.strip()}" if plugin.install_hint else ""
        raise UnusableContext(f"{plugin.command}, by which the kubeconfig signs in, is not there.{hint}")
    try:
        done = subprocess.run(
            [program, *plugin.arguments],
            env={**os.environ, **plugin.environment, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if interactive else subprocess.PIPE,
            check=False,
        )
    except OSError as problem:
        raise UnusableContext(f"{plugin.command}, by which the kubeconfig signs in, can't be run: {problem.strerror}") from None
    if done.returncode != 0:
        said = " ".join((done.stderr or b"").decode(errors="replace").split()[-60:])
        raise UnusableContext(
            f"{plugin.command}, by which the kubeconfig signs in, failed with exit status {done.returncode}{': ' if said else ''}{said}"
        )
    try:
        return _parse(done.stdout, plugin.version)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UnusableContext(f"{plugin.command}, by which the kubeconfig signs in, printed no credential: {problem}") from None


def _cluster_info(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = {
        "server": server.url,
        "tls-server-name": server.tls_name,
        "insecure-skip-tls-verify": server.insecure,
        "certificate-authority-data": base64.b64encode(server.authority or b"").decode(),
        "proxy-url": server.proxy,
    }
    return {**{key: value for key, value in found.items() if value}, "config": server.exec_config}


def _parse(printed: bytes, version: str) -> _Given:
    """Raises ValueError, or what Python raises where JSON has another form."""
    document = json.loads(printed)
    if (document["kind"], document["apiVersion"]) != ("ExecCredential", version):
        raise ValueError(f"it is {document['kind']} of {document['apiVersion']}, the kubeconfig says {version}")
    status = document.get("status") or {}
    token = status.get("token") or ""
    certificate, key = (status.get(name) or "" for name in ("clientCertificateData", "clientKeyData"))
    if bool(certificate) != bool(key):
        raise ValueError("it has a certificate or a key alone")
    if not token and not certificate:
        raise ValueError("it has neither a token nor a certificate")
    until = status.get("expirationTimestamp")
    expires = datetime.fromisoformat(until) if until else None
    if expires and not expires.tzinfo:
        raise ValueError(f"its expirationTimestamp {until} has no time zone")
    return _Given(token, (certificate.encode(), key.encode()) if certificate else None, expires)
