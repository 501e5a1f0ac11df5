"""A table of kubeconfigs and environments, and what has to reach the server by each.

For the project's client and for kubectl.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.recording_server import NAME, OTHER_NAME, Place

CONTEXT = "here"
PATH = "/api/v1/namespaces?limit=1"


@dataclass(frozen=True)
class Case:
    """`files` are kubeconfigs by their names, the first one first in KUBECONFIG.

    Of what is recorded at least `reaches` is as it says.

    `reaches` None: nothing may reach the server, and the error has `says` in it (in the project's
    words).
    """

    name: str
    files: Callable[[Place], Mapping[str, Any]]
    reaches: Mapping[str, Any] | None = field(default_factory=dict)
    environment: Callable[[Place], Mapping[str, str]] = lambda place: {}
    says: str = ""
    outside: bool = False  # takes an address of the machine that isn't the loopback's
    asks: bool = False  # kubectl asks for a user at the terminal; what has none goes on as nobody, as Pulumi's plugin does

    def write(self, place: Place, folder: Path) -> dict[str, str]:
        """Write the files; the variables that make them, and the environment, count.

        FOLDER in a variable is where they are.
        """
        paths = []
        for name, content in self.files(place).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
            if name.endswith(".py"):
                path.write_text(f"#!{sys.executable}\n{content}")
                path.chmod(path.stat().st_mode | stat.S_IXUSR)
            elif not name.endswith(".txt"):
                paths.append(str(path))
        environment = {name: value.replace("FOLDER", str(folder)) for name, value in self.environment(place).items()}
        return {"KUBECONFIG": os.pathsep.join(paths), **environment}


def config(cluster: Mapping[str, Any], user: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A kubeconfig with one context."""
    context = {"cluster": "c", **({} if user is None else {"user": "u"})}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": CONTEXT, "context": context}],
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }


def simple(user: Mapping[str, Any], **cluster: Any) -> Callable[[Place], Mapping[str, Any]]:
    """One file, for the server directly, with this user."""
    return lambda place: {"config": config({"server": place.server, "certificate-authority": place.file("ca"), **cluster}, user)}


def through(address: Callable[[Place], str], **cluster: Any) -> Callable[[Place], Mapping[str, Any]]:
    """One file, for the server under this address."""
    return lambda place: {
        "config": config({"server": address(place), "certificate-authority": place.file("ca"), **cluster}, {"token": "good"})
    }


def proxied(scheme: str) -> Callable[[Place], Mapping[str, Any]]:
    """One file, for a server that only its own proxy leads to."""
    return lambda place: {
        "config": config(
            {"server": place.named, "certificate-authority": place.file("ca"), "proxy-url": getattr(place, scheme)}, {"token": "good"}
        )
    }


def plugin(answer: object, version: str = "v1", said: str = "", **more: Any) -> Callable[[Place], Mapping[str, Any]]:
    """One file whose user signs in by a program beside it.

    It prints `answer`, and notes what it was told in `told`.
    """
    script = (
        "import json, os, sys, pathlib\n"
        "told = json.loads(os.environ['KUBERNETES_EXEC_INFO'])\n"
        "pathlib.Path(__file__).with_name('told').write_text(json.dumps([told, sys.argv[1:], os.environ.get('EXTRA')]))\n"
        f"{said}\n"
        f"print({json.dumps(answer)!r})\n"
    )
    program = {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": "./sign-in.py",
        "args": ["--for", "me"],
        "env": [{"name": "EXTRA", "value": "yes"}],
        **({"interactiveMode": "Never"} if version == "v1" else {}),
        **more,
    }
    return lambda place: {**simple({"exec": program})(place), "sign-in.py": script}


def credential(version: str = "v1", **status: str) -> dict[str, Any]:
    return {"kind": "ExecCredential", "apiVersion": f"client.authentication.k8s.io/{version}", "status": status}


def certificate_plugin(place: Place) -> Mapping[str, Any]:
    """A program that gives a client certificate."""
    pem = {"clientCertificateData": (place.folder / "client").read_text(), "clientKeyData": (place.folder / "client.key").read_text()}
    return plugin(credential(**pem))(place)


def two_files(place: Place) -> Mapping[str, Any]:
    """The first file has the user and the context's name.

    The second has the server, and others of the same names.
    """
    first = {
        "apiVersion": "v1",
        "kind": "Config",
        "contexts": [{"name": CONTEXT, "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {"tokenFile": "token.txt"}}],
    }
    second = config({"server": place.server, "certificate-authority": "../ca.txt"}, {"token": "bad", "as": "nobody"})
    second["contexts"].append({"name": "other", "context": {"cluster": "d", "user": "u"}})
    authority = (place.folder / "ca").read_text()
    return {"one/config": first, "two/config": second, "one/token.txt": "from-a-file\n", "ca.txt": authority}


def with_proxy(**more: str) -> Callable[[Place], Mapping[str, str]]:
    return lambda place: {"HTTPS_PROXY": place.proxy, **more}


# In PEM form, and no certificate: whoever reads many passes over it.
NO_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nbm90aGluZw==\n-----END CERTIFICATE-----\n"
DIRECT: Mapping[str, Any] = {"proxied": []}
GOOD: Mapping[str, Any] = {**DIRECT, "authorization": "Bearer good"}
IMPERSONATED = {
    "as": "nobody-in-particular",
    "as-uid": "7",
    "as-groups": ["readers", "guests"],
    "as-user-extra": {"scopes": ["view", "list"], "example.com/é%": ["x"]},
}

CASES = [
    Case("token", simple({"token": "good"}), GOOD),
    Case("nobody", simple({}), {**DIRECT, "authorization": None}, asks=True),
    Case("a prefix before the API", through(lambda place: f"{place.server}/clusters/one/"), {"path": f"/clusters/one{PATH}"}),
    Case(
        "certificate in files",
        lambda place: simple({"client-certificate": place.file("client"), "client-key": place.file("client.key")})(place),
        {**DIRECT, "certificate": "somebody", "authorization": None},
    ),
    Case(
        "certificate in the file, and a token",
        lambda place: simple(
            {"client-certificate-data": place.data("client"), "client-key-data": place.data("client.key"), "token": "good"}
        )(place),
        {**GOOD, "certificate": "somebody"},
    ),
    Case("a certificate without a key", lambda place: simple({"client-certificate": place.file("client")})(place), None, says="client-key"),
    Case("user and password", simple({"username": "me", "password": "pass:ü"}), {"authorization": "Basic bWU6cGFzczrDvA=="}),
    Case("token and password", simple({"username": "me", "password": "pass", "token": "good"}), None, says="both a token and"),
    Case(
        "token and a file of one",
        lambda place: {**simple({"token": "old", "tokenFile": "token.txt"})(place), "token.txt": "new"},
        {"authorization": "Bearer new"},
    ),
    Case("token and a file that is missing", simple({"token": "old", "tokenFile": "none"}), {"authorization": "Bearer old"}),
    Case("a file of a token that is missing", simple({"tokenFile": "none"}), None, says="tokenFile"),
    Case(
        "read-only impersonation",
        simple({"token": "good", "as": "nobody-in-particular"}),
        {**GOOD, "impersonated": [("Impersonate-User", "nobody-in-particular")]},
    ),
    Case("impersonation with all that belongs to it", simple({"token": "good", **IMPERSONATED}), GOOD),
    Case("groups of nobody", simple({"token": "good", "as-groups": ["readers"]}), None, says="without `as`"),
    Case("auth-provider", simple({"auth-provider": {"name": "gcp", "config": {}}}), None, says="auth-provider 'gcp'"),
    Case("a user that is not there", lambda place: {"config": {**simple({})(place)["config"], "users": []}}, None, says="names user 'u'"),
    Case(
        "a cluster that is not there",
        lambda place: {"config": {**simple({})(place)["config"], "clusters": []}},
        None,
        says="names cluster 'c'",
    ),
    Case("a cluster without a server", simple({}, server=""), None, says="no server"),
    Case("two files", two_files, {**DIRECT, "authorization": "Bearer from-a-file", "impersonated": []}),
    # --- the server's certificate
    Case(
        "authority in the file",
        lambda place: {"config": config({"server": place.server, "certificate-authority-data": place.data("ca")}, {"token": "good"})},
        GOOD,
    ),
    Case(
        "authority of the machine",
        lambda place: {"config": config({"server": place.server}, {"token": "good"})},
        GOOD,
        environment=lambda place: {"SSL_CERT_FILE": place.file("ca"), "SSL_CERT_DIR": place.file("none")},
    ),
    Case(
        "an authority that nobody knows",
        lambda place: {"config": config({"server": place.server}, {"token": "good"})},
        None,
        says="certificate verify failed",
    ),
    Case(
        "authority of the machine, in a folder under any name",
        lambda place: {"config": config({"server": place.server}, {"token": "good"}), "own/company.txt": (place.folder / "ca").read_text()},
        GOOD,
        environment=lambda place: {"SSL_CERT_FILE": place.file("strange"), "SSL_CERT_DIR": "/none:FOLDER/own"},
    ),
    Case(
        "authority of the machine, among what is none",
        lambda place: {
            "config": config({"server": place.server}, {"token": "good"}),
            "all.txt": f"# ours\n{NO_CERTIFICATE}{(place.folder / 'ca').read_text()}{NO_CERTIFICATE}",
        },
        GOOD,
        environment=lambda place: {"SSL_CERT_FILE": "FOLDER/all.txt", "SSL_CERT_DIR": "/none"},
    ),
    Case(
        "authority of the machine, and another of the cluster",
        lambda place: simple({"token": "good"}, **{"certificate-authority": place.file("strange")})(place),
        None,
        environment=lambda place: {"SSL_CERT_FILE": place.file("ca"), "SSL_CERT_DIR": place.file("none")},
        says="certificate verify failed",
    ),
    Case(
        "authority in the file, among what is none",
        lambda place: {
            **simple({"token": "good"}, **{"certificate-authority": "all.txt"})(place),
            "all.txt": f"{NO_CERTIFICATE}{(place.folder / 'ca').read_text()}",
        },
        GOOD,
    ),
    Case(
        "an authority that is none",
        lambda place: {**simple({"token": "good"}, **{"certificate-authority": "all.txt"})(place), "all.txt": "nothing"},
        None,
        says="no certificate in PEM form",
    ),
    Case(
        "another authority",
        lambda place: simple({"token": "good"}, **{"certificate-authority": place.file("strange")})(place),
        None,
        says="certificate verify failed",
    ),
    Case(
        "unchecked", lambda place: {"config": config({"server": place.server, "insecure-skip-tls-verify": True}, {"token": "good"})}, GOOD
    ),
    Case("unchecked and an authority", simple({"token": "good"}, **{"insecure-skip-tls-verify": True}), None, says="both"),
    Case("tls-server-name", simple({"token": "good"}, **{"tls-server-name": OTHER_NAME}), {**GOOD, "server name": OTHER_NAME}),
    Case(
        "a tls-server-name that the certificate lacks",
        simple({"token": "good"}, **{"tls-server-name": "else.example"}),
        None,
        says="certificate verify failed",
    ),
    # --- programs that sign in
    Case("exec v1", plugin(credential(token="good")), GOOD),
    Case("exec v1beta1", plugin(credential("v1beta1", token="good"), "v1beta1"), GOOD),
    Case("exec that is told the cluster", plugin(credential(token="good"), provideClusterInfo=True), GOOD),
    Case("exec with a certificate", certificate_plugin, {"certificate": "somebody", "authorization": None}),
    Case(
        "exec beside a token",
        lambda place: {
            "config": config(
                {"server": place.server, "certificate-authority": place.file("ca")},
                {"token": "good", "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "none", "interactiveMode": "Never"}},
            )
        },
        GOOD,
    ),
    Case("exec of another version", plugin(credential("v1beta1", token="good")), None, says="printed no credential"),
    Case("exec without a token", plugin(credential()), None, says="neither a token nor a certificate"),
    Case(
        "exec that fails",
        plugin({}, said="print('no ticket', file=sys.stderr); sys.exit(3)"),
        None,
        says="failed with exit status 3: no ticket",
    ),
    Case(
        "exec that is missing",
        simple(
            {
                "exec": {
                    "apiVersion": "client.authentication.k8s.io/v1",
                    "command": "sign-in-of-nobody",
                    "interactiveMode": "Never",
                    "installHint": "Install it from example.com.",
                }
            }
        ),
        None,
        says="is not there. Install it from example.com.",
    ),
    Case(
        "exec v1 without interactiveMode",
        simple({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "x"}}),
        None,
        says="interactiveMode",
    ),
    Case("exec that wants a terminal", plugin(credential(token="good"), interactiveMode="Always"), None, says="terminal"),
    Case("exec v1alpha1", simple({"exec": {"apiVersion": "client.authentication.k8s.io/v1alpha1", "command": "x"}}), None, says="v1alpha1"),
    # --- proxies
    Case("proxy-url", proxied("proxy"), {"proxied": [f"CONNECT {NAME}:PORT"], "server name": NAME, "host": f"{NAME}:PORT"}),
    Case("proxy-url of SOCKS", proxied("socks"), {"proxied": [f"SOCKS {NAME}:PORT"], "server name": NAME}),
    Case("proxy-url over TLS", proxied("tls_proxy"), {"proxied": [f"CONNECT {NAME}:PORT"], "server name": NAME}),
    Case(
        "proxy-url over TLS, and another name for both",
        lambda place: through(lambda _: place.named, **{"proxy-url": place.tls_proxy, "tls-server-name": OTHER_NAME})(place),
        {"proxied": [f"CONNECT {NAME}:PORT"], "server name": OTHER_NAME},
    ),
    Case(
        "proxy-url for the loopback",
        lambda place: simple({"token": "good"}, **{"proxy-url": place.proxy})(place),
        {"proxied": ["CONNECT 127.0.0.1:PORT"]},
    ),
    Case(
        "proxy-url with a password, before that of the environment",
        lambda place: through(lambda _: place.named, **{"proxy-url": place.proxy.replace("//", "//me:p%40ss@")})(place),
        {"proxied": [f"CONNECT {NAME}:PORT Basic bWU6cEBzcw=="]},
        lambda place: {"HTTPS_PROXY": place.refusing, "NO_PROXY": "*"},
    ),
    Case("proxy-url that refuses", proxied("refusing"), None, says="doesn't lead there"),
    Case("proxy-url of another kind", through(lambda place: place.named, **{"proxy-url": "ftp://127.0.0.1:1"}), None, says="ftp://"),
    Case(
        "proxy-url that is no address", through(lambda place: place.named, **{"proxy-url": "http://me:x@[::1"}), None, says="is no address"
    ),
    Case("proxy-url without a port", through(lambda place: place.named, **{"proxy-url": "http://127.0.0.1:x"}), None, says="is no address"),
    Case(
        "proxy-url with another name for SOCKS",
        through(lambda place: place.named, **{"proxy-url": "socks5h://127.0.0.1:1"}),
        None,
        says="socks5h://127.0.0.1:1",
    ),
    Case(
        "proxy-url without a scheme", through(lambda place: place.named, **{"proxy-url": "proxy.example:8080"}), None, says="none of http"
    ),
    Case(
        "HTTPS_PROXY that wants a password",
        through(lambda place: place.named),
        None,
        lambda place: {"HTTPS_PROXY": place.asking},
        "407 Proxy Authentication Required; it wants http://<user>:<password>@<host>:<port>",
    ),
    Case(
        "HTTPS_PROXY with a user alone",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT Basic bWU6"]},
        lambda place: {"HTTPS_PROXY": place.asking.replace("//", "//me@")},
    ),
    Case(
        "HTTPS_PROXY with a password of any bytes",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT Basic bWU6w7w6/w=="]},
        lambda place: {"HTTPS_PROXY": place.asking.replace("//", "//me:%C3%BC%3A%FF@")},
    ),
    Case(
        "HTTPS_PROXY of SOCKS",
        through(lambda place: place.named),
        {"proxied": [f"SOCKS {NAME}:PORT"]},
        lambda place: {"HTTPS_PROXY": place.socks.replace("socks5", "socks5h")},
    ),
    Case(
        "HTTPS_PROXY over TLS",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT"]},
        lambda place: {"HTTPS_PROXY": place.tls_proxy},
    ),
    Case(
        "HTTPS_PROXY of an unknown kind",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT"]},
        lambda place: {"HTTPS_PROXY": place.proxy.replace("http:", "gopher:")},
    ),
    Case(
        "HTTPS_PROXY with an authority of the machine",
        lambda place: {"config": config({"server": place.named}, {"token": "good"})},
        {"proxied": [f"CONNECT {NAME}:PORT"], "authorization": "Bearer good"},
        lambda place: {"HTTPS_PROXY": place.proxy, "SSL_CERT_FILE": place.file("ca"), "SSL_CERT_DIR": place.file("none")},
    ),
    Case(
        "HTTPS_PROXY that isn't there",
        through(lambda place: place.named),
        None,
        lambda place: {"HTTPS_PROXY": "http://me:secret@127.0.0.1:1"},
        "the proxy http://127.0.0.1:1 (HTTPS_PROXY) doesn't lead there: Connection refused",
    ),
    Case("ALL_PROXY", simple({"token": "good"}), GOOD, lambda place: {"ALL_PROXY": place.refusing, "all_proxy": place.refusing}),
    Case(
        "ALL_PROXY for this machine's address",
        through(lambda place: place.outside),
        DIRECT,
        lambda place: {"ALL_PROXY": place.refusing, "all_proxy": place.refusing},
        outside=True,
    ),
    Case("HTTPS_PROXY", through(lambda place: place.named), {"proxied": [f"CONNECT {NAME}:PORT"]}, with_proxy()),
    Case(
        "https_proxy without a scheme",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT"]},
        lambda place: {"https_proxy": place.proxy.removeprefix("http://")},
    ),
    Case("HTTP_PROXY is for http", simple({"token": "good"}), GOOD, lambda place: {"HTTP_PROXY": place.refusing}),
    Case(
        "HTTPS_PROXY and tls-server-name",
        through(lambda place: place.named, **{"tls-server-name": OTHER_NAME}),
        {"proxied": [f"CONNECT {NAME}:PORT"], "server name": OTHER_NAME, "host": f"{NAME}:PORT"},
        with_proxy(),
    ),
    Case(
        "HTTPS_PROXY that refuses",
        through(lambda place: place.named),
        None,
        lambda place: {"HTTPS_PROXY": place.refusing},
        "doesn't lead there",
    ),
    Case("HTTPS_PROXY is not for the loopback", simple({"token": "good"}), GOOD, lambda place: {"HTTPS_PROXY": place.refusing}),
    Case(
        "HTTPS_PROXY for this machine's address",
        through(lambda place: place.outside),
        {"proxied": ["CONNECT ADDRESS:PORT"]},
        with_proxy(),
        outside=True,
    ),
    Case(
        "NO_PROXY with the address",
        through(lambda place: place.outside),
        DIRECT,
        lambda place: {"HTTPS_PROXY": place.refusing, "NO_PROXY": f"example.com,{place.address}"},
        outside=True,
    ),
    Case(
        "no_proxy with the network",
        through(lambda place: place.outside),
        DIRECT,
        lambda place: {"HTTPS_PROXY": place.refusing, "no_proxy": f"{place.address}/16"},
        outside=True,
    ),
    Case(
        "NO_PROXY with another port",
        through(lambda place: place.outside),
        {"proxied": ["CONNECT ADDRESS:PORT"]},
        lambda place: {"HTTPS_PROXY": place.proxy, "NO_PROXY": f"{place.address}:1"},
        outside=True,
    ),
    Case(
        "NO_PROXY with a netmask",
        through(lambda place: place.outside),
        {"proxied": ["CONNECT ADDRESS:PORT"]},
        lambda place: {"HTTPS_PROXY": place.proxy, "NO_PROXY": f"{place.address}/255.0.0.0"},
        outside=True,
    ),
    Case(
        "NO_PROXY with the end of the address",
        through(lambda place: place.outside),
        {"proxied": ["CONNECT ADDRESS:PORT"]},
        lambda place: {"HTTPS_PROXY": place.proxy, "NO_PROXY": f".{place.address.partition('.')[2]}"},
        outside=True,
    ),
    Case(
        "NO_PROXY with the address and port, among blanks",
        through(lambda place: place.outside),
        DIRECT,
        lambda place: {"HTTPS_PROXY": place.refusing, "NO_PROXY": f" example.com , {place.address}:{place.port} "},
        outside=True,
    ),
    Case(
        "NO_PROXY of everything",
        through(lambda place: place.outside),
        DIRECT,
        lambda place: {"HTTPS_PROXY": place.refusing, "NO_PROXY": "*"},
        outside=True,
    ),
    Case(
        "NO_PROXY of another name",
        through(lambda place: place.named),
        {"proxied": [f"CONNECT {NAME}:PORT"]},
        with_proxy(NO_PROXY=f"pi.{NAME},.{NAME},sub.{NAME}"),
    ),
]
