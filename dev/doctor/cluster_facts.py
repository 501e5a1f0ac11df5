"""Finds out which cluster a stack takes, and whether its API answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from components.kube.api import KubeApi
from components.kube.connection import address_of, proxy_to
from components.kube.errors import ApiError
from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
from dev.doctor.facts import ClusterFacts
from dev.paths import KUBECONFIG
from devkube.cluster import Cluster, EmbeddedCluster, KindCluster, layout
from devkube.cluster.kind import checks
from devkube.cluster.kind.config import count_nodes
from devkube.cluster.kind.nodes import running_everywhere
from devkube.errors import MachineError

# Longer than a question may take: an API that is only slow is none that doesn't answer.
_API_SECONDS = 10


def about(name: Callable[[], str], choose: Callable[[str], Cluster]) -> ClusterFacts:
    """Which cluster it is, and whether it is made and runs."""
    context = ""
    try:
        context = name()
        return _about(context, choose(context))
    except MachineError as problem:
        return ClusterFacts(context, None, problem.message, problem.hint)


def _about(context: str, cluster: Cluster) -> ClusterFacts:
    if not isinstance(cluster, KindCluster | EmbeddedCluster):
        return ClusterFacts(context, "existing", made=True, running=True)
    made, running = cluster.exists(), cluster.running()
    facts = ClusterFacts(context, "embedded", made=made, running=running, volumes=cluster.volumes)
    if isinstance(cluster, KindCluster):
        if running:
            return replace(facts, way="kind")
        refusals = kind_refusals(cluster, made=made)
        return replace(facts, way="kind", refusals=refusals, nodes=count_nodes(cluster.config_text()))
    return replace(facts, nodes=cluster.node_count(), taken_ports=taken_ports(cluster) if made and not running else ())


def kind_refusals(cluster: KindCluster, *, made: bool) -> dict[Literal["cgroups", "inotify instances"], str]:
    """Why Kind would not make the cluster's nodes, or start them: what `make up` asks as well."""
    engine = checks.docker_engine()
    if engine is None:
        return {}
    config = cluster.config_text()
    cgroups = None if made else checks.cgroup_refusal(engine, checks.kubernetes_of(cluster.image), config)
    inotify = checks.inotify_shortage(engine, running=running_everywhere(), nodes=count_nodes(config))
    return {**({"cgroups": cgroups} if cgroups else {}), **({"inotify instances": inotify} if inotify else {})}


def taken_ports(cluster: EmbeddedCluster) -> tuple[int, ...]:
    """The ports of a stopped embedded cluster on which something else listens."""
    kept = layout.load(cluster.identity)
    if kept is None or cluster.processes():  # these may have them
        return ()
    ports = (kept.ports.api, kept.ports.etcd, kept.ports.controller_manager, kept.ports.scheduler, kept.ports.kubelet_healthz)
    return tuple(port for port in ports if not layout.port_free("127.0.0.1", port))


def ask_api(cluster: ClusterFacts | None) -> ClusterFacts | None:
    """The same with what the API of a running cluster answers, however long that takes."""
    if cluster is None or not cluster.running:
        return cluster
    files: tuple[Path, ...] = () if cluster.way == "existing" else (KUBECONFIG,)
    found = cluster
    try:
        kubeconfig = Kubeconfig.load(*files)
        server = kubeconfig.server(cluster.context)
        found = replace(cluster, server=address_of(server).geturl(), proxy=str(proxy_to(server) or ""))
        answer = KubeApi(kubeconfig, cluster.context, timeout=_API_SECONDS).get("/version")
    except UnreadableKubeconfig as problem:
        return replace(found, unreached=f"{problem.file}: {problem}")
    except ApiError as problem:
        return replace(found, unreached=problem.reason, remedy=problem.remedy)
    except ValueError as problem:
        return replace(found, unreached=str(problem))
    return replace(found, version=str(answer.get("gitVersion", "")).removeprefix("v"))
