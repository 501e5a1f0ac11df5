"""Which cluster the stacks of this clone are on; loads no settings, which takes half a second."""

from __future__ import annotations

from dev.paths import CLUSTER_FILE, KUBECONFIG
from devkube import paths
from devkube.cluster import Cluster, ClusterChoice, EmbeddedCluster, KindCluster, choose, remembered
from devkube.errors import MachineError

OF_DEV_CLUSTERS = "local-path"  # the setting `provisioner` of a stack that a dev cluster has volumes for


def cluster_for(context: str, choice: ClusterChoice | None = None) -> Cluster:
    """The user's own cluster where their kubeconfig has the context, else this clone's.

    Unless the `choice`, or the one that the clone remembers, names another one. Raises MachineError
    where there can be none.
    """
    asked = choice or remembered(CLUSTER_FILE)
    return choose(context, f"dev-{paths.clone_identity()}", KUBECONFIG, asked)


def check_fits(cluster: Cluster, stack: str, context: str, provisioner: str) -> None:
    """Raises MachineError for a cloud's stack on a dev cluster, which has no volumes for it.

    The canary would say so after a minute, as a cluster that makes none.
    """
    if provisioner == OF_DEV_CLUSTERS or not isinstance(cluster, EmbeddedCluster | KindCluster):
        return
    raise MachineError(
        f"stack {stack} is for the provisioner {provisioner}, and a dev cluster has volumes of {OF_DEV_CLUSTERS} alone. Its own cluster is "
        f"the context {context}, which is not in your kubeconfig, or CLUSTER names another one.",
        f"`kubectl config get-contexts -o name` lists the contexts there are: name one as cluster.context in Pulumi.{stack}.yaml. Without "
        f"one, `make preview STACK={stack}` shows the stack, and `make rehearse STACK={stack}` tries it on a throw-away cluster.",
    )
