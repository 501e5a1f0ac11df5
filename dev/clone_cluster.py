"""Which cluster the stacks of this clone are on; loads no settings, which takes half a second."""

from __future__ import annotations

from dev.paths import CLUSTER_FILE, KUBECONFIG
from devkube import paths
from devkube.cluster import Cluster, ClusterChoice, choose, remembered


def cluster_for(context: str, choice: ClusterChoice | None = None) -> Cluster:
    """The user's own cluster where their kubeconfig has the context, else this clone's.

    Unless the `choice`, or the one that the clone remembers, names another one. Raises MachineError
    where there can be none.
    """
    asked = choice or remembered(CLUSTER_FILE)
    return choose(context, f"dev-{paths.clone_identity()}", KUBECONFIG, asked)
