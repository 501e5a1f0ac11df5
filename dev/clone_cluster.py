"""Which cluster the stacks of this clone are on; loads no settings, which takes half a second."""

from __future__ import annotations

from dev.paths import KUBECONFIG
from devkube import paths
from devkube.cluster import Cluster, choose


def cluster_for(context: str) -> Cluster:
    """The user's own cluster where their kubeconfig has the context, else this clone's."""
    return choose(context, f"dev-{paths.clone_identity()}", KUBECONFIG)
