"""`python -m dev kill-node` and `start-node`: to see what a stack's services do when they lose a
node."""

from __future__ import annotations

import click

from dev.machine import cluster_of, one_at_a_time
from devkube.cluster import Cluster, EmbeddedCluster
from ops.command_line import option_of, stack_option, variable_of
from ops.console import say
from ops.errors import UserError


@click.command("kill-node")
@click.argument("node")
@stack_option
def kill_node(node: str, stack: str) -> None:
    """End a node of the embedded dev cluster as a power cut would."""
    with one_at_a_time():
        _embedded(cluster_of(stack)).kill_node(node)
        say(f"{node} is dead. The cluster notices within a minute (NotReady), and deletes its pods five minutes later.")
        say(f"`python -m dev start-node {node}{option_of(stack)}` brings it back, and so does `make up{variable_of(stack)}`.")


@click.command("start-node")
@click.argument("node")
@stack_option
def start_node(node: str, stack: str) -> None:
    """Bring a node of the embedded dev cluster back, and wait until it is ready."""
    with one_at_a_time():
        _embedded(cluster_of(stack)).start_node(node)
        say(f"{node} is ready.")


def _embedded(cluster: Cluster) -> EmbeddedCluster:
    """The cluster, where its nodes are this machine's processes; raises UserError where not."""
    if isinstance(cluster, EmbeddedCluster):
        return cluster
    raise UserError(
        "the dev cluster is not an embedded one, so its nodes are not this project's to end.",
        "Of a Kind cluster a node is a container: `docker kill <node>`, `docker start <node>`.",
    )
