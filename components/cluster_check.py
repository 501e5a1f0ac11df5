"""Is the cluster that the settings name one that the stack may be put on? Asked before the first resource is declared.

Three mistakes that Pulumi finds late or never. With a context that doesn't exist, a preview plans everything and `pulumi up` fails
at each object. A local-path stack comes up on a cloud's nodes without a word, and loses its data when the cloud replaces one. And a
class for snapshots or for changes is planned on a cluster that has no such kind.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import http.client
import json
import os
import ssl
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pulumi
import yaml

from components.provisioners import PROVISIONERS
from components.provisioners.shape import ATTRIBUTES_API, SNAPSHOT_API
from components.settings import Problem, Settings, SettingsError, shown

TIMEOUT = 5  # seconds: without a cluster a preview goes on
MOST_NODES = 100  # one page: a cluster of a cloud has a node of the cloud among the first ones

# The scheme of `spec.providerID`, which a cloud's controller manager gives to each of its nodes. Kind and k3s give their own
# (`kind://`, `k3s://`); those of private data centres (`openstack://`, `vsphere://`) are no cloud that takes nodes away.
CLOUDS = {
    "aws": "AWS",
    "azure": "Azure",
    "civo": "Civo",
    "digitalocean": "DigitalOcean",
    "gce": "Google Cloud",
    "hcloud": "Hetzner Cloud",
    "ibm": "IBM Cloud",
    "linode": "Linode",
    "oci": "Oracle Cloud",
    "scaleway": "Scaleway",
    "vultr": "Vultr",
}
# Labels that the managed services put on their nodes.
CLOUD_LABELS = {"eks.amazonaws.com/": "AWS", "cloud.google.com/gke-": "Google Cloud", "kubernetes.azure.com/": "Azure"}


def check_cluster(settings: Settings) -> None:
    """Raise SettingsError for a context that doesn't exist, and for a cluster that is no place for the stack.

    That is a cloud's under a provisioner that is tied to a node, and one without the kinds of classes that a tier wants.

    A preview needs no cluster: it goes on where there is no kubeconfig at all, and where the cluster doesn't answer.
    """
    context = settings.cluster.context
    kubeconfig = Kubeconfig.load(settings.stack)
    if context not in kubeconfig.contexts:
        if pulumi.runtime.is_dry_run() and not kubeconfig.contexts:
            return
        raise SettingsError([_no_such_context(context, kubeconfig)], settings.stack)
    problems = list(_missing_kinds(settings, kubeconfig))
    if problems:
        raise SettingsError(problems, settings.stack)
    if not PROVISIONERS[settings.provisioner].tied_to_node:
        return
    for node in _nodes(kubeconfig, context):
        cloud = cloud_of(node)
        if cloud:
            name = node["metadata"]["name"]
            rule = (
                f"node {name} of this cluster belongs to {cloud[0]} ({cloud[1]}), which replaces nodes together with their disks; "
                f"{settings.provisioner} keeps all data on one node's own disk"
            )
            works = "the context of a development cluster, such as storage-tiers-dev of `make up`"
            raise SettingsError([Problem("cluster.context", shown(context), rule, works)], settings.stack)


def cloud_of(node: Mapping[str, Any]) -> tuple[str, str] | None:
    """The cloud that a Node (as the API's JSON has it) belongs to, and the sign of it; None for one of no cloud that is known here."""
    provider_id = node.get("spec", {}).get("providerID") or ""
    scheme = provider_id.partition("://")[0]
    if scheme in CLOUDS and provider_id != scheme:
        return CLOUDS[scheme], f"providerID {provider_id}"
    for label in node["metadata"].get("labels") or {}:
        for prefix, cloud in CLOUD_LABELS.items():
            if label.startswith(prefix):
                return cloud, f"label {label}"
    return None


def _missing_kinds(settings: Settings, kubeconfig: Kubeconfig) -> Iterator[Problem]:
    """The classes beside StorageClass that a tier wants and the cluster doesn't know."""
    provisioner = PROVISIONERS[settings.provisioner]
    kinds = {
        "snapshots": (
            SNAPSHOT_API,
            "VolumeSnapshotClass",
            "volumesnapshotclasses",
            "external-snapshotter's CRDs and controller are installed",
        ),
        "attributes": (ATTRIBUTES_API, "VolumeAttributesClass", "volumeattributesclasses", "it is Kubernetes 1.34 or newer"),
    }
    wanted = {
        "snapshots": [name for name, each in settings.tiers.items() if provisioner.snapshot_class(each) is not None],
        "attributes": [name for name, each in settings.tiers.items() if provisioner.attributes_classes(each)],
    }
    for key, (api, kind, resources, condition) in kinds.items():
        if not wanted[key] or _has(kubeconfig, settings.cluster.context, api, resources) is not False:
            continue
        for tier in wanted[key]:
            rule = f"the cluster has no {kind} ({resources} of {api}); it has one where {condition}"
            yield Problem(f"tiers.{tier}.{key}", kind, rule, f"without `{key}`")


def _has(kubeconfig: Kubeconfig, context: str, api: str, resources: str) -> bool | None:
    """Whether the cluster has this kind; None when it doesn't answer, or won't tell."""
    answer = _ask(kubeconfig, context, f"/apis/{api}")
    if answer is None or answer[0] not in (http.HTTPStatus.OK, http.HTTPStatus.NOT_FOUND):
        return None
    known = json.loads(answer[1]).get("resources") or [] if answer[0] == http.HTTPStatus.OK else []
    return any(each.get("name") == resources for each in known)


def _no_such_context(context: str, kubeconfig: Kubeconfig) -> Problem:
    files = ", ".join(map(str, kubeconfig.files))
    known = sorted(kubeconfig.contexts)
    rule = f"no such context in the kubeconfig {files}; there are: {', '.join(known) or 'none'}"
    near = difflib.get_close_matches(context, known, 1)
    set_it = "pulumi config set --path cluster.context"
    if near:
        works = f"{near[0]} (`{set_it} {near[0]}`)"
    else:
        works = f"one of these (`{set_it} <context>`), or the dev cluster: `make up`, then `. .dev/env`"
        works = works if known else "the dev cluster: `make up`, then `. .dev/env`; or set KUBECONFIG to the file that has the context"
    return Problem("cluster.context", shown(context), rule, works)


@dataclass(frozen=True)
class Kubeconfig:
    """The kubeconfig as kubectl and Pulumi's kubernetes plugin see it; paths in it are absolute.

    The official client would read it as well, but its import costs as much as a tenth of a whole preview.
    """

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
                raise SettingsError([Problem("KUBECONFIG", shown(str(file)), rule, works)], stack) from None
        return cls(files, found["contexts"], found["clusters"], found["users"])


def _absolute(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its folder."""
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in paths and value else value for key, value in entry.items()}


def _nodes(kubeconfig: Kubeconfig, context: str) -> Iterable[Mapping[str, Any]]:
    """The cluster's first nodes; none when it doesn't answer, and with a warning none when it won't tell."""
    answer = _ask(kubeconfig, context, f"/api/v1/nodes?limit={MOST_NODES}")
    if answer is None:
        return []
    status, body = answer
    if status != http.HTTPStatus.OK:
        pulumi.log.warn(f"whether the nodes of context {context} belong to a cloud could not be checked: the API answered {status}")
        return []
    items: list[Mapping[str, Any]] = json.loads(body).get("items") or []
    return items


def _ask(kubeconfig: Kubeconfig, context: str, path: str) -> tuple[int, bytes] | None:
    """The API server's status and body for a GET; None when it doesn't answer."""
    entry = kubeconfig.contexts[context]
    cluster, user = kubeconfig.clusters.get(entry.get("cluster", ""), {}), kubeconfig.users.get(entry.get("user", ""), {})
    simple = cluster.keys() <= _CLUSTER_KEYS and user.keys() <= _USER_KEYS and str(cluster.get("server")).startswith("https://")
    try:
        return _get(cluster, user, path) if simple else _get_by_official_client(kubeconfig.files, context, path)
    except (OSError, http.client.HTTPException, ValueError) as problem:  # ValueError: a certificate, an address or a port that is none
        pulumi.log.debug(f"context {context}: {problem}")
        return None


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
        answer, _, _ = kubernetes.client.ApiClient(configuration).call_api(
            path, "GET", auth_settings=["BearerToken"], _preload_content=False, _request_timeout=TIMEOUT
        )
    except kubernetes.client.ApiException as problem:
        return problem.status or 0, b""
    except (ConfigException, HTTPError) as problem:
        raise OSError(str(problem)) from None
    return answer.status, answer.data
