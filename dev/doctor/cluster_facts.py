"""Finds out which cluster a stack takes, and whether its API answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
from components.kube.proxies import proxy_for
from dev.doctor.facts import ClusterFacts
from dev.paths import KUBECONFIG
from devkube.cluster import Cluster, EmbeddedCluster, KindCluster, layout
from devkube.errors import MachineError

# Longer than a question may take: an API that is only slow is none that doesn't answer.
_API_SECONDS = 10


def about(name: Callable[[], str], choose: Callable[[str], Cluster]) -> ClusterFacts:
    """Which cluster it is, and whether it is made and runs."""
    context = ""
    try:
        context = name()
        cluster = choose(context)
    except MachineError as problem:
        return ClusterFacts(context, None, problem.message, problem.hint)
    folder = cluster.folder()
    if not isinstance(cluster, KindCluster | EmbeddedCluster):
        return ClusterFacts(context, "existing", made=True, running=True)
    facts = ClusterFacts(
        context,
        "kind" if isinstance(cluster, KindCluster) else "embedded",
        made=cluster.exists(),
        running=cluster.running(),
        volumes=folder.here if folder else None,
    )
    if isinstance(cluster, EmbeddedCluster) and not cluster.processes():
        return replace(facts, taken_ports=taken_ports(cluster.identity))
    return facts


def taken_ports(identity: str) -> tuple[int, ...]:
    """The ports of a stopped embedded cluster on which something else listens."""
    kept = layout.load(identity)
    if kept is None:
        return ()
    ports = (kept.ports.api, kept.ports.etcd, kept.ports.controller_manager, kept.ports.scheduler, kept.ports.kubelet_healthz)
    return tuple(port for port in ports if not layout.port_free("127.0.0.1", port))


def ask_api(cluster: ClusterFacts | None) -> ClusterFacts | None:
    """The same with what the API of a running cluster answers, however long that takes."""
    if cluster is None or not cluster.running:
        return cluster
    files: tuple[Path, ...] = () if cluster.way == "existing" else (KUBECONFIG,)
    try:
        kubeconfig = Kubeconfig.load(*files)
        server = kubeconfig.server(cluster.context)
        url = server.url if "://" in server.url else f"http://{server.url}"
        found = replace(cluster, server=url, proxy=server.proxy or proxy_for(urlsplit(url)))
    except UnreadableKubeconfig as problem:
        return replace(cluster, unreached=f"{problem.file}: {problem}")
    except (ApiError, ValueError) as problem:
        return replace(cluster, unreached=str(problem))
    try:
        answer = KubeApi(kubeconfig, cluster.context, timeout=_API_SECONDS).get("/version")
    except ApiError as problem:
        return replace(found, unreached=problem.reason)
    return replace(found, version=str(answer.get("gitVersion", "")).removeprefix("v"))
