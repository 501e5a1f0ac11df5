"""The namespace that holds the claims: made by the stack, or one that is there already."""

from __future__ import annotations

from typing import NamedTuple

import pulumi
from pulumi_kubernetes.core.v1 import Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.kube import labels
from components.preflight.cluster import load_kubeconfig
from components.stack import Stack


class ServiceNamespaceArgs(NamedTuple):
    """Which namespace, and whose it is."""

    stack: Stack
    """The stack that has its claims there."""
    namespace: str
    """Its name in Kubernetes."""
    create: bool = True
    """Whether the stack makes the namespace, and removes it. Otherwise it must be there."""


class ServiceNamespace(pulumi.ComponentResource):
    """The namespace of the claims.

    One that isn't the stack's is read, under the same name in the state. So a namespace that is
    handed over (`create: true` becomes `false`) is let go of by Pulumi, not deleted, and one that
    isn't there is reported at once.
    """

    def __init__(self, name: str, args: ServiceNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:ServiceNamespace", name, None, opts)
        if args.create:
            Namespace(
                name,
                metadata=ObjectMetaArgs(name=args.namespace, labels=labels.recommended(args.namespace, args.stack.name, "namespace")),
                opts=pulumi.ResourceOptions(parent=self, protect=args.stack.protect),
            )
        # A preview needs no cluster, but reading a namespace does.
        elif load_kubeconfig(args.stack.name).contexts or not pulumi.runtime.is_dry_run():
            Namespace.get(name, args.namespace, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({"name": args.namespace})
