"""What every component of a stack is given: which stack it is of, and the cluster that it is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class Stack:
    """The stack and its cluster, the same for all that the program declares."""

    name: str
    """The stack's name in Pulumi.

    Every object carries it as the label `app.kubernetes.io/instance`.
    """
    context: str
    """The context of the kubeconfig that the cluster is reached by."""
    identifier: str
    """A name for the cluster that survives a renamed context. Another one means another cluster."""
    provider: pulumi.ProviderResource
    """The Kubernetes provider of that cluster, for all of its objects."""
    protect: bool = False
    """Whether Pulumi refuses to delete or replace the claims, their namespace and the guard."""
    cluster_uid: str = ""
    """What Kubernetes tells the cluster from one that was made in its place by; empty where that
    can't be told.
    """

    def options(self, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        """The options of a component on this cluster.

        It comes after `depends_on`, and is deleted before it.
        """
        return pulumi.ResourceOptions(provider=self.provider, depends_on=list(depends_on) or None)
