"""The cluster that a stack runs on: the user's own, Kind, or an embedded node, in this order."""

from __future__ import annotations

from pathlib import Path

from devkube.cluster import embedded, kind
from devkube.cluster.access import Access, Cluster, NodeFolder
from devkube.cluster.embedded import EmbeddedCluster
from devkube.cluster.existing import ExistingCluster, user_has
from devkube.cluster.kind import KindCluster
from devkube.errors import MachineError

__all__ = ["Access", "Cluster", "EmbeddedCluster", "ExistingCluster", "KindCluster", "NodeFolder", "choose"]


def choose(context: str, identity: str, kubeconfig: Path) -> Cluster:
    """The cluster for a stack that names `context`. Nothing is started.

    1. A cluster of the user's own, where their kubeconfig has that context.
    2. What this `identity` has been before: neither a Docker engine that was started since, nor
       one that was stopped, makes a clone's data vanish behind another cluster.
    3. Kind, where Docker runs.
    4. An embedded node, on Linux as root.

    `kubeconfig` is the file that a cluster of this project writes. Raises MachineError that says
    what each way lacks.
    """
    if user_has(context, but=kubeconfig):
        return ExistingCluster(context)
    in_docker = KindCluster(identity, context, kubeconfig)
    on_host = EmbeddedCluster(identity, context, kubeconfig)
    if on_host.exists():
        return on_host
    if in_docker.exists():
        return in_docker
    kind_lacks = kind.lacking()
    if not kind_lacks:
        return in_docker
    embedded_lacks = embedded.lacking()
    if not embedded_lacks:
        return on_host
    raise MachineError(
        f"there is no cluster for context {context}:\n"
        f"  your own: no context of this name is in your kubeconfig\n"
        f"  Kind: {'; '.join(kind_lacks)}\n"
        f"  embedded: {'; '.join(embedded_lacks)}",
        "Start Docker with `kind` installed, or run this as root on Linux, or name a context of yours: "
        "`pulumi config set --path storage-tiers:cluster.context <context>`.",
    )
