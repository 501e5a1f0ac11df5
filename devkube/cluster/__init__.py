"""The cluster that a stack runs on: the user's own, Kind, or an embedded node, in this order."""

from __future__ import annotations

from pathlib import Path

from devkube.cluster import embedded, kind
from devkube.cluster.access import Access, Cluster, NodeFolder
from devkube.cluster.choice import WAYS, ClusterChoice, remembered
from devkube.cluster.embedded import EmbeddedCluster
from devkube.cluster.existing import ExistingCluster, is_of_a_clone, user_has, user_kubeconfigs
from devkube.cluster.kind import KindCluster
from devkube.cluster.kind.config import read_config
from devkube.errors import MachineError
from devkube.progress import say

__all__ = [
    "WAYS",
    "Access",
    "Cluster",
    "ClusterChoice",
    "EmbeddedCluster",
    "ExistingCluster",
    "KindCluster",
    "NodeFolder",
    "choose",
    "is_of_a_clone",
    "remembered",
    "start",
]


def choose(context: str, identity: str, kubeconfig: Path, choice: ClusterChoice | None = None) -> Cluster:
    """The cluster for a stack that names `context`. Nothing is started.

    What the `choice` names, or, where it names none:

    1. A cluster of the user's own, where their kubeconfig has that context.
    2. What this `identity` has been before: neither a Docker engine that was started since, nor
       one that was stopped, makes a clone's data vanish behind another cluster.
    3. Kind, where Docker runs, and where a node of it can, and unless a number of nodes is asked
       for, which Kind takes from a kind config alone.
    4. An embedded cluster, on Linux as root.

    `kubeconfig` is the file that a cluster of this project writes. Raises MachineError that says
    what each way lacks.
    """
    asked = choice or ClusterChoice()
    in_docker = KindCluster(identity, context, kubeconfig, image=asked.kind_image, config=asked.kind_config)
    on_host = EmbeddedCluster(identity, context, kubeconfig, nodes=asked.nodes)
    chosen = _chosen(asked, context, kubeconfig, in_docker, on_host)
    if isinstance(chosen, EmbeddedCluster):
        chosen.check_nodes()
    elif asked.nodes > 1:
        raise _not_so_many(asked.nodes, chosen)
    return chosen


def _not_so_many(nodes: int, chosen: Cluster) -> MachineError:
    """Only an embedded cluster takes a number of nodes."""
    if isinstance(chosen, KindCluster):
        lines = "".join("  - role: worker\\n" for _ in range(nodes - 1))
        made = f"kind: Cluster\\napiVersion: kind.x-k8s.io/v1alpha4\\nnodes:\\n  - role: control-plane\\n{lines}"
        return MachineError(
            f"nodes: {nodes}: this clone's cluster is a Kind one, and takes its nodes from a kind config, when it is made.",
            f"`printf '{made}' > .dev/kind.yaml && make up NODES=default KIND_CONFIG=.dev/kind.yaml`. Or, for a new cluster as root on "
            f"Linux: `make up CLUSTER=embedded NODES={nodes}`.",
        )
    return MachineError(
        f"nodes: {nodes}: the cluster is one of your own, with the nodes that it has.",
        f"`make up NODES=default` uses it as it is; `make up CLUSTER=embedded NODES={nodes}` makes one with so many.",
    )


def _chosen(asked: ClusterChoice, context: str, kubeconfig: Path, in_docker: KindCluster, on_host: EmbeddedCluster) -> Cluster:
    if asked.cluster != "auto":
        return _asked_for(asked.cluster, context, kubeconfig, in_docker, on_host)
    if user_has(context, but=kubeconfig):
        return ExistingCluster(context)
    if on_host.exists():
        return on_host
    if in_docker.exists():
        return in_docker
    kind_lacks = kind.lacking() or kind.unfit(asked.kind_image, read_config(asked.kind_config))
    embedded_lacks = embedded.lacking()
    takes_number = asked.nodes > 1 and not asked.kind_config and not embedded_lacks  # only an embedded cluster does
    if not kind_lacks and not takes_number:
        return in_docker
    if not embedded_lacks:
        return on_host
    raise MachineError(
        f"there is no cluster for context {context}:\n"
        f"  your own: no context of this name is in your kubeconfig\n"
        f"  Kind: {'; '.join(kind_lacks)}\n"
        f"  embedded: {'; '.join(embedded_lacks)}",
        "Start Docker with `kind` installed, or run this as root on Linux, or name a context of yours (`kubectl config get-contexts -o "
        "name` lists them) as `cluster.context` in the stack's file, Pulumi.<stack>.yaml.",
    )


def _asked_for(way: str, context: str, kubeconfig: Path, in_docker: KindCluster, on_host: EmbeddedCluster) -> Cluster:
    """The cluster of the kind that was asked for.

    Raises MachineError where it can't be, or where the clone has volumes in one of another kind.
    """
    if way == "existing":
        if not user_has(context, but=kubeconfig):
            files = ", ".join(map(str, user_kubeconfigs(kubeconfig)))
            raise MachineError(
                f"cluster: existing: no context {context} is in your kubeconfig ({files}).",
                "`kubectl config get-contexts -o name` lists those there are: name one as `cluster.context` in the stack's file, "
                "Pulumi.<stack>.yaml. Or `make up CLUSTER=auto` makes a cluster.",
            )
        return ExistingCluster(context)
    wanted, other = (in_docker, on_host) if way == "kind" else (on_host, in_docker)
    if other.exists() and not wanted.exists():
        of, words = ("embedded", "an embedded node") if way == "kind" else ("kind", "a Kind cluster")
        raise MachineError(
            f"cluster: {way}: this clone's cluster is {words}, and its volumes are in that one.",
            f"`make up CLUSTER={of}` goes on with it. For a new one: after that `make purge`, which deletes its volumes too, and "
            f"`make up CLUSTER={way}`.",
        )
    lacks = [] if wanted.exists() else (kind.lacking() if way == "kind" else embedded.lacking())
    if lacks:
        raise MachineError(f"cluster: {way}: {'; '.join(lacks)}.", "`make up CLUSTER=auto` takes what can be had.")
    return wanted


def start(cluster: Cluster, choice: ClusterChoice | None = None) -> tuple[Cluster, Access]:
    """Start the cluster that was chosen; gives it, and how to reach it.

    Where a new Kind cluster lacks nothing but its node image, and nobody asked for Kind, an
    embedded node takes its place. Raises MachineError as `Cluster.start` does.
    """
    try:
        return cluster, cluster.start()
    except kind.NodeImageMissing as problem:
        taken = isinstance(cluster, KindCluster) and cluster.exists()  # its volumes would be left behind
        if (choice and choice.cluster != "auto") or not isinstance(cluster, KindCluster) or taken or embedded.lacking():
            raise
        say(f"{problem.message}\nSo an embedded node is used, which needs no image (`make up KIND_IMAGE=<image>` names another one).")
        instead = EmbeddedCluster(cluster.identity, cluster.context, cluster.kubeconfig)
        return instead, instead.start()
