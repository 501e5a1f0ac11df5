"""Refuses a cluster that is no place for the stack, before the first resource is declared.

Three mistakes that Pulumi finds late or never. With a context that doesn't exist, a preview plans
everything and `pulumi up` fails at each object. A local-path stack comes up on a cloud's nodes
without a word, and loses its data when the cloud replaces one. And a class for snapshots or for
changes is planned on a cluster that has no such kind.
"""

from __future__ import annotations

import difflib
import http
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pulumi

from components.kube.api import ApiError, KubeApi
from components.kube.identity import NAMESPACE, cluster_uid
from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
from components.preflight.unanswered import tell
from components.provisioners import ATTRIBUTES_API, SNAPSHOT_API, shown
from components.settings import Problem, Settings
from components.settings.program import RefusedByProgram

MOST_NODES = 100  # one page: a cluster of a cloud has a node of the cloud among the first ones

# The scheme of `spec.providerID`, which a cloud's controller manager gives to each of its nodes.
# Kind and k3s give their own (`kind://`, `k3s://`); those of private data centres (`openstack://`,
# `vsphere://`) are no cloud that takes nodes away.
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


def load_kubeconfig(stack: str) -> Kubeconfig:
    """The kubeconfig that KUBECONFIG names; RefusedByProgram for a file that can't be read."""
    try:
        return Kubeconfig.load()
    except UnreadableKubeconfig as problem:
        rule = f"the files in KUBECONFIG are kubeconfigs, and this one can't be read ({problem})"
        works = f"the path of a file that `kubectl --kubeconfig {problem.file} config view` can show"
        raise RefusedByProgram([Problem("KUBECONFIG", json.dumps(str(problem.file), ensure_ascii=False), rule, works)], stack) from None


def open_api(settings: Settings) -> KubeApi:
    """The API of the settings' context, whether that exists or not. Raises RefusedByProgram."""
    return KubeApi(load_kubeconfig(settings.stack), settings.cluster.context)


def check_cluster(settings: Settings) -> KubeApi | None:
    """Raise RefusedByProgram for a context that doesn't exist, and for a cluster that doesn't fit.

    That is a cloud's under a provisioner that is tied to a node, and one without the kinds of
    classes that a tier wants.

    A preview needs no cluster: it goes on where there is no kubeconfig at all, and where the
    cluster doesn't answer.

    Returns the API that it has asked, for what else is to be asked of the cluster: a connection is
    opened once, and a program that signs in is run once. None where there is no kubeconfig.
    """
    context = settings.cluster.context
    kubeconfig = load_kubeconfig(settings.stack)
    if context not in kubeconfig.contexts:
        if pulumi.runtime.is_dry_run() and not kubeconfig.contexts:
            return None
        raise RefusedByProgram([_no_such_context(context, kubeconfig)], settings.stack)
    api = KubeApi(kubeconfig, context)
    problems = list(_missing_kinds(settings, api))
    if problems:
        raise RefusedByProgram(problems, settings.stack)
    for node in _nodes(api) if settings.provisioner.tied_to_node else ():
        cloud = cloud_of(node)
        if cloud:
            name = node["metadata"]["name"]
            rule = (
                f"node {name} of this cluster belongs to {cloud[0]} ({cloud[1]}), which replaces nodes together with their disks; "
                f"{settings.provisioner.name} keeps all data on one node's own disk"
            )
            works = "the context of a development cluster, such as storage-tiers-dev of `make up`"
            raise RefusedByProgram([Problem("cluster.context", shown(context), rule, works)], settings.stack)
    return api


def uid_of_cluster(settings: Settings, api: KubeApi | None = None) -> str:
    """What tells the cluster from one that was made in its place by.

    `api` is what check_cluster returned; without it the cluster's is opened.

    Empty where that can't be told, which is said: without canaries, which alone need it; without a
    cluster that answers, as a preview may be; and where the user may not get the namespace
    kube-system.
    """
    if not settings.canary.enabled:
        return ""
    api = api or open_api(settings)
    context = api.context
    if context not in api.contexts:  # check_cluster lets no `up` go on
        return ""
    try:
        return cluster_uid(api)
    except ApiError as problem:
        unknown = f"whether the cluster of context {context} is the one that the tiers were proven on isn't known: {problem}"
        if problem.status is None:
            pulumi.log.info(unknown)
        elif problem.status == http.HTTPStatus.FORBIDDEN:
            pulumi.log.warn(
                f"{unknown}. One that was made anew is not proven again by itself without the right to get namespace {NAMESPACE}"
            )
        else:
            pulumi.log.warn(unknown)
        return ""


def cloud_of(node: Mapping[str, Any]) -> tuple[str, str] | None:
    """The cloud that a Node belongs to, and the sign of it; None for one of no known cloud.

    `node` is as the API's JSON has it.
    """
    provider_id = node.get("spec", {}).get("providerID") or ""
    scheme = provider_id.partition("://")[0]
    if scheme in CLOUDS and provider_id != scheme:
        return CLOUDS[scheme], f"providerID {provider_id}"
    for label in node["metadata"].get("labels") or {}:
        for prefix, cloud in CLOUD_LABELS.items():
            if label.startswith(prefix):
                return cloud, f"label {label}"
    return None


def _missing_kinds(settings: Settings, api: KubeApi) -> Iterator[Problem]:
    """The classes beside StorageClass that a tier wants and the cluster doesn't know."""
    provisioner, tiers = settings.provisioner, settings.tiers.values()
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
        "snapshots": [tier.name for tier in tiers if provisioner.snapshot_class(tier.parameters) is not None],
        "attributes": [tier.name for tier in tiers if provisioner.attributes_classes(tier.parameters)],
    }
    for key, (group, kind, resources, condition) in kinds.items():
        if not wanted[key] or _has(api, group, resources) is not False:
            continue
        for tier in wanted[key]:
            rule = f"the cluster has no {kind} ({resources} of {group}); it has one where {condition}"
            yield Problem(f"tiers.{tier}.{key}", kind, rule, f"without `{key}`")


def _has(api: KubeApi, group: str, resources: str) -> bool | None:
    """Whether the cluster has this kind; None when it doesn't answer, or won't tell."""
    try:
        known = api.get(f"/apis/{group}").get("resources") or []
    except ApiError as problem:
        if problem.status == http.HTTPStatus.NOT_FOUND:
            return False
        tell(problem)
        return None
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


def _nodes(api: KubeApi) -> Iterable[Mapping[str, Any]]:
    """The cluster's first nodes; none when it doesn't answer.

    None as well, with a warning, when the user may not list nodes.
    """
    try:
        return api.get(f"/api/v1/nodes?limit={MOST_NODES}").get("items") or []
    except ApiError as problem:
        if problem.status is None:
            tell(problem)
        else:
            pulumi.log.warn(f"whether the nodes of context {api.context} belong to a cloud could not be checked: {problem}")
        return []
