"""What every kind of cluster has in common for those who use one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import yaml


@dataclass(frozen=True)
class Access:
    """How to reach a running cluster: a context in a kubeconfig.

    `kubeconfig` is None for the user's own.
    """

    kind: Literal["existing", "kind", "embedded"]
    context: str
    kubeconfig: Path | None


@dataclass(frozen=True)
class NodeFolder:
    """Where a cluster has its volumes: the folder `here` on this machine is `in_node` as the node
    sees it."""

    here: Path
    in_node: str
    # Bytes of disk that a directory takes, named as the node sees it, asked of the node: its user
    # may look where this one may not. None where the node is this machine.
    used: Callable[[str], int | None] | None = None
    # Where each node has a part of the folder to itself: the node's name by that part, as the node
    # sees it. Empty for one node, and where all of them share the folder.
    nodes: Mapping[str, str] = field(default_factory=dict)


class Cluster(Protocol):
    """A cluster that a stack can be put on.

    Everything may be repeated; a fault that can be foreseen is a MachineError.
    """

    def start(self) -> Access:
        """Start what isn't running, and wait until the cluster is ready."""

    def stop(self) -> None:
        """Stop it; its data stays."""

    def delete(self) -> None:
        """Delete it with everything in it, volumes included."""

    def running(self) -> bool:
        """Whether it runs, as far as can be told without waiting."""

    def contents(self) -> list[str]:
        """What `delete` would delete, a line each; empty where there is nothing."""

    def folder(self) -> NodeFolder | None:
        """Where its volumes are on this machine.

        None for a cluster whose nodes can't be reached from here.
        """

    def load_image(self, archive: Path) -> None:
        """Make the image in an OCI archive known to the cluster's node."""


def write_kubeconfig(path: Path, content: dict[str, Any]) -> None:
    """Write a kubeconfig whole or not at all, readable by its owner alone from its first moment on:
    it holds a private key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        yaml.safe_dump(content, file)
    temporary.replace(path)
