"""The kubeconfig, read as kubectl and Pulumi's kubernetes plugin read it.

The rules are those of client-go's tools/clientcmd (loader.go, client_config.go, validation.go).
Only PyYAML is needed beyond the standard library, so that a destroy can use it too.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from components.kube.errors import UnusableContext

Entry = Mapping[str, Any]

_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
_EXEC_EXTENSION = "client.authentication.k8s.io/exec"  # a cluster's own words to the program that signs in


class UnreadableKubeconfig(Exception):
    """A file that KUBECONFIG names is there and is no kubeconfig, or may not be read.

    The text is the reason, in one line.
    """

    def __init__(self, file: Path, problem: Exception) -> None:
        reason = " ".join(str(problem).split())
        super().__init__(f"{type(problem).__name__}: {reason}" if reason else type(problem).__name__)
        self.file = file


class Server(NamedTuple):
    """Where a context's API is.

    Texts are empty and `authority` is None where the kubeconfig has none.
    """

    url: str
    tls_name: str = ""  # the name that its certificate has to have, where that isn't the one in `url`
    insecure: bool = False
    authority: bytes | None = None  # certificates in PEM form
    proxy: str = ""  # for this cluster alone, before those of the environment
    exec_config: object = None  # passed on to a program that signs in
    cluster: str = ""  # the name that the kubeconfig has for it

    @property
    def secure(self) -> bool:
        """Whether it is reached over TLS.

        Client-go takes an address without a scheme for one without.
        """
        return self.url.lower().startswith("https://")


@dataclass(frozen=True)
class Impersonation:
    """Whom a request is made as; the API server asks whether the user who signs in may do that."""

    user: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Plugin(NamedTuple):
    """A program that signs in (client-go's exec credential plugin).

    `interactive` is Never, IfAvailable or Always.
    """

    version: str
    command: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    interactive: str
    provide_cluster_info: bool
    install_hint: str


class User(NamedTuple):
    """How a context signs in.

    At most one of token, basic auth and plugin counts, in this order; a certificate comes with any.
    """

    token: str = ""
    token_file: str = ""
    basic: tuple[str, str] | None = None
    certificate: tuple[bytes, bytes] | None = None  # certificate and key in PEM form
    plugin: Plugin | None = None
    impersonation: Impersonation | None = None


@dataclass(frozen=True)
class Kubeconfig:
    """Contexts, clusters and users by their names, as the files have them.

    Paths in them are absolute.
    """

    files: tuple[Path, ...]
    contexts: Mapping[str, Entry]
    clusters: Mapping[str, Entry]
    users: Mapping[str, Entry]
    current_context: str = ""

    @classmethod
    def load(cls, *files: Path) -> Kubeconfig:
        """From these files; without any from those in KUBECONFIG, else `~/.kube/config`.

        Those that don't exist are left out.

        Where a name is given twice the first one counts, wholly. Raises UnreadableKubeconfig.
        """
        if not files:
            named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
            files = tuple(named or [Path.home() / ".kube" / "config"])
        found: dict[str, dict[str, Entry]] = {"contexts": {}, "clusters": {}, "users": {}}
        current = ""
        for file in files:
            try:
                if file.exists():
                    document = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
                    current = current or document.get("current-context") or ""
                    for kind, entries in found.items():
                        for entry in document.get(kind) or []:
                            entries.setdefault(entry["name"], _absolute(entry[kind.removesuffix("s")] or {}, file.parent))
            except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as problem:
                raise UnreadableKubeconfig(file, problem) from None
        return cls(files, found["contexts"], found["clusters"], found["users"], current)

    def server(self, context: str) -> Server:
        """Where the API of a context is. Raises UnusableContext."""
        name, entry = self._entry(context, "cluster", self.clusters)
        reader = _Reader(f"cluster {name!r}", entry)
        url = reader.text("server")
        if not url:
            raise UnusableContext(f"the kubeconfig's cluster {name!r} has no server")
        insecure = reader.flag("insecure-skip-tls-verify")
        authority = reader.content("certificate-authority")
        if insecure and authority:
            raise UnusableContext(f"the kubeconfig's cluster {name!r} has both insecure-skip-tls-verify and a certificate authority")
        listed = entry.get("extensions")
        extensions = listed if isinstance(listed, list) else []
        own = (each for each in extensions if isinstance(each, dict) and each.get("name") == _EXEC_EXTENSION)
        settings = next((each.get("extension") for each in own), None)
        return Server(url, reader.text("tls-server-name"), insecure, authority, reader.text("proxy-url"), settings, name)

    def user(self, context: str) -> User:
        """How a context signs in; as nobody where it names no user. Raises UnusableContext."""
        if not self._context(context).get("user"):
            return User()
        name, entry = self._entry(context, "user", self.users)
        return _user(_Reader(f"user {name!r}", entry))

    def _context(self, context: str) -> Entry:
        if context not in self.contexts:
            raise UnusableContext(f"the kubeconfig has no context {context}")
        return self.contexts[context]

    def _entry(self, context: str, kind: str, entries: Mapping[str, Entry]) -> tuple[str, Entry]:
        name = self._context(context).get(kind) or ""
        if not isinstance(name, str) or name not in entries:
            raise UnusableContext(f"the kubeconfig's context {context!r} names {kind} {name!r}, which it doesn't have")
        return name, entries[name]


def _absolute(entry: Entry, folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its folder.

    A program's too, but for one that is looked for on PATH.
    """
    found = {key: str(folder.absolute() / value) if key in _PATHS and value else value for key, value in entry.items()}
    program = found.get("exec")
    if isinstance(program, dict) and os.sep in (program.get("command") or ""):
        found["exec"] = {**program, "command": str(folder.absolute() / program["command"])}
    return found


class _Reader:
    """The fields of one entry of the kubeconfig, each in the form that client-go wants.

    Raises UnusableContext for another.
    """

    def __init__(self, what: str, entry: Entry) -> None:
        self.what = what
        self.entry = entry

    def fault(self, rule: str) -> UnusableContext:
        return UnusableContext(f"the kubeconfig's {self.what} {rule}")

    def text(self, key: str) -> str:
        found = self.entry.get(key)
        if found is not None and not isinstance(found, str):
            raise self.fault(f"has a {key} that is no text: {found!r}")
        return found or ""

    def texts(self, key: str) -> tuple[str, ...]:
        found = self.entry.get(key) or []
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.fault(f"has {key} that is no list of texts: {found!r}")
        return tuple(found)

    def flag(self, key: str) -> bool:
        found = self.entry.get(key)
        if found is not None and not isinstance(found, bool):
            raise self.fault(f"has {key} that is neither true nor false: {found!r}")
        return bool(found)

    def mapping(self, key: str) -> Entry | None:
        found = self.entry.get(key)
        if found is not None and not isinstance(found, dict):
            raise self.fault(f"has {key} that is no mapping: {found!r}")
        return found

    def content(self, key: str) -> bytes | None:
        """What `<key>-data` has in base64, or the file that `key` names.

        None where there is neither.
        """
        data, file = self.text(f"{key}-data"), self.text(key)
        if data and file:
            raise self.fault(f"has both {key} and {key}-data")
        try:
            if data:
                return base64.b64decode("".join(data.split()), validate=True)
            return Path(file).read_bytes() if file else None
        except binascii.Error as problem:
            raise self.fault(f"has {key}-data that is not base64: {problem}") from None
        except OSError as problem:
            raise self.fault(f"names {key} {file}, which can't be read: {problem.strerror}") from None


def _user(reader: _Reader) -> User:
    token, basic = reader.text("token"), (reader.text("username"), reader.text("password"))
    if token and any(basic):
        raise reader.fault("has both a token and a username or password")
    provider = reader.mapping("auth-provider")
    if provider is not None:
        name = provider.get("name")
        raise reader.fault(f"signs in by auth-provider {name!r}, which Kubernetes has removed but for oidc; use an exec plugin instead")
    certificate = reader.content("client-certificate")
    key = reader.content("client-key") if certificate else None
    if certificate and not key:
        raise reader.fault("has a client-certificate and no client-key")
    return User(
        token,
        reader.text("tokenFile"),
        basic if any(basic) else None,
        (certificate, key) if certificate and key else None,
        _plugin(reader),
        _impersonation(reader),
    )


def _impersonation(reader: _Reader) -> Impersonation | None:
    user, uid, groups = reader.text("as"), reader.text("as-uid"), reader.texts("as-groups")
    extra = reader.mapping("as-user-extra") or {}
    values = {key: _Reader(reader.what, extra).texts(key) for key in extra}
    if not user:
        if uid or groups or extra:
            raise reader.fault("has as-uid, as-groups or as-user-extra without `as`, so it can't be told whom to act as")
        return None
    return Impersonation(user, uid, groups, values)


def _plugin(reader: _Reader) -> Plugin | None:
    found = reader.mapping("exec")
    if found is None:
        return None
    inner = _Reader(f"{reader.what}, exec,", found)
    version, command = inner.text("apiVersion"), inner.text("command")
    if not command or not version:
        raise inner.fault("needs both a command and an apiVersion")
    if version not in ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"):
        raise inner.fault(f"has apiVersion {version!r}, and known are client.authentication.k8s.io/v1 and …/v1beta1")
    # v1 wants it to be said. v1beta1 has a default (client-go, tools/clientcmd/api/v1/defaults.go).
    interactive = inner.text("interactiveMode") or ("IfAvailable" if version.endswith("v1beta1") else "")
    if interactive not in ("Never", "IfAvailable", "Always"):
        raise inner.fault(f"has interactiveMode {interactive!r}; with {version} it is Never, IfAvailable or Always")
    listed = found.get("env") or []
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise inner.fault("has env that is no list of names and values")
    variables = [_Reader(inner.what, each) for each in listed]
    environment = {each.text("name"): each.text("value") for each in variables}
    if "" in environment:
        raise inner.fault("has a variable under env without a name")
    return Plugin(
        version,
        command,
        inner.texts("args"),
        environment,
        interactive,
        inner.flag("provideClusterInfo"),
        inner.text("installHint"),
    )
