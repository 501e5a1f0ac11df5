"""Makes a Kind cluster whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from devkube.cluster.kind.causes import NodeImageMissing, explained
from devkube.cluster.kind.checks import cgroup_refusal, docker_endpoint, docker_engine, inotify_shortage, kubernetes_of
from devkube.cluster.kind.commands import ProgramFailed, run
from devkube.cluster.kind.config import new_config
from devkube.cluster.kind.folder import not_seen, seen_by
from devkube.cluster.kind.kubeconfig import check_reachable, kind_kubeconfig
from devkube.cluster.kind.nodes import KindNode, keep_logs, looks_whole, nodes_of, running_everywhere, start_nodes, wait_until_ready
from devkube.cluster.kind.provisioners import add_provisioners
from devkube.cluster.kind.record import KindRecord, forget, recorded
from devkube.errors import MachineError
from devkube.progress import step


@dataclass(frozen=True)
class NewKindCluster:
    """What a cluster is made from."""

    identity: str
    home: Path  # its folder on this machine
    kubeconfig: Path
    logs: Path  # where a failed node's logs are kept
    image: str  # empty for Kind's own
    config: str  # the path of the user's kind config; empty for none
    config_text: str
    provisioners: tuple[str, ...]

    @property
    def volumes(self) -> Path:
        """The folder that is mounted into every node."""
        return self.home / "volumes"


def create(new: NewKindCluster) -> None:
    """Create the cluster, and wait until it is ready.

    One that fails or is interrupted is deleted, when its logs have been read; volumes of an earlier
    cluster of this name stay.
    Raises MachineError with all that Kind said, and with the end of the logs.
    """
    config = new_config(new.config, new.config_text, new.volumes, new.identity)
    _check(new, config)
    first = not new.volumes.exists()
    new.volumes.mkdir(parents=True, exist_ok=True)
    new.kubeconfig.parent.mkdir(parents=True, exist_ok=True)
    begun = KindRecord(False, "", new.image, new.config_text, docker_endpoint())
    begun.write(new.home)
    try:
        with step(f"Kind cluster {new.identity}", estimate=60):
            node = _make(new, config)
        replace(begun, whole=True, node=node.identifier).write(new.home)
    except BaseException as problem:
        told = with_logs(problem, new.identity, new.logs) if isinstance(problem, MachineError) else problem
        with suppress(MachineError):
            delete_nodes(new.identity, new.kubeconfig)
        # The folder is what says that this clone uses Kind; an earlier cluster's volumes keep it.
        forget(new.home)
        if first:
            with suppress(OSError):
                new.volumes.rmdir()
                new.home.rmdir()
        raise told from None


def _make(new: NewKindCluster, config: dict[str, Any]) -> KindNode:
    image = ["--image", new.image] if new.image else []
    # --retain: Kind would delete a node that fails with its logs, and by its name, so perhaps
    # another one.
    run(
        *("kind", "create", "cluster", "--name", new.identity, "--kubeconfig", str(new.kubeconfig)),
        *("--config", "-", *image, "--retain"),
        stdin=yaml.safe_dump(config),
    )
    nodes = nodes_of(new.identity)
    wait_until_ready(new.identity, nodes)
    check_reachable(kind_kubeconfig(new.identity))
    if not seen_by(nodes[0], new.volumes):
        raise not_seen(new.volumes)
    add_provisioners(nodes[0], new.provisioners)
    return nodes[0]


def _check(new: NewKindCluster, config: dict[str, Any]) -> None:
    """Raises MachineError for what the nodes would fail of after minutes, without saying it."""
    engine = docker_engine()
    if engine is None:
        return
    for refusal in (
        cgroup_refusal(engine, kubernetes_of(new.image), new.config_text),
        inotify_shortage(engine, len(config["nodes"]), running_everywhere()),
    ):
        if refusal:
            raise MachineError(f"the Kind cluster {new.identity} would not start: {refusal}.")


def half_made(identity: str, home: Path, nodes: Sequence[KindNode]) -> bool:
    """Whether Kind never came to the end of making this cluster.

    Of one that nothing is remembered of, its own objects tell; where they can't be asked, it counts
    as whole. Raises MachineError where such a one can't be started.
    """
    kept = recorded(home)
    first = nodes[0]
    if kept and kept.whole and kept.node == first.identifier:
        return False
    being_made = kept is not None and not kept.whole
    if first.role != "control-plane":
        return True
    if not first.runs:
        try:
            start_nodes(nodes)
        except ProgramFailed as problem:
            if being_made:
                return True
            raise explained(problem, identity) from None
    whole = looks_whole(nodes)
    if whole:
        home.mkdir(parents=True, exist_ok=True)
        replace(kept or KindRecord(True), whole=True, node=first.identifier, endpoint=docker_endpoint()).write(home)
    return whole is False or (whole is None and being_made)


def delete_nodes(identity: str, kubeconfig: Path) -> None:
    """Delete the containers, whole or half, with everything in them but the volumes' folder."""
    run("kind", "delete", "cluster", "--name", identity, "--kubeconfig", str(kubeconfig))


def with_logs(problem: MachineError, identity: str, folder: Path) -> MachineError:
    """The error with what to do about it, and with the end of the nodes' logs, which are kept."""
    known = explained(problem, identity) if isinstance(problem, ProgramFailed) else problem
    logs = ""
    if not isinstance(known, NodeImageMissing):  # then there is no node
        with suppress(MachineError):
            logs = keep_logs(nodes_of(identity), folder)
    known.message = "\n".join(part for part in (known.message, logs) if part)
    return known
