"""All nodes of an embedded cluster: started together, one of them killed and brought back, more or
fewer of them from one start to the next."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from devkube.cluster import host
from devkube.cluster import layout as layouts
from devkube.cluster.api_server import ask, ask_for_object
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.daemons import Daemon, stop_all, wait_for
from devkube.cluster.layout import MOST_NODES, NODE_NAME, Layout
from devkube.cluster.node import Node, Runtime
from devkube.errors import MachineError

# The zones of several nodes, in turn: the fourth node is in the first one's.
ZONES = ("zone-a", "zone-b", "zone-c")


class Nodes:
    """The nodes of one cluster, in the order of their numbers."""

    def __init__(
        self, layout: Layout, binaries: Path, runtime: Runtime | None, zones: Sequence[str] = (), *, attaches: bool = False
    ) -> None:
        """`zones`: what the nodes are labelled with, in turn; where none are given, several nodes
        are in ZONES and a single one in none. `attaches`: as a Node takes it."""
        zones = zones or (ZONES if layout.nodes > 1 else ("",))
        places = [zones[number % len(zones)] for number in range(layout.nodes)]
        self.layout = layout
        self.each = [Node(own, binaries, runtime, zone, attaches=attaches) for own, zone in zip(layout.each_node, places, strict=True)]

    @property
    def daemons(self) -> list[Daemon]:
        """In the order in which they start."""
        return [daemon for node in self.each for daemon in (node.containerd, node.kubelet)]

    def named(self, name: str) -> Node:
        """The node of this name. Raises MachineError where there is none."""
        found = next((node for node in self.each if node.layout.node_name == name), None)
        if found is None:
            names = ", ".join(node.layout.node_name for node in self.each)
            raise MachineError(f"the cluster {self.layout.identity} has no node {name!r}.", f"It has {names}.")
        return found

    def clear_up(self) -> None:
        """Take away what dead nodes have left; where all are dead, their bridge too."""
        dead = [node for node in self.each if not node.running()]
        _end(dead, grace=5)
        for node in dead:
            if node.layout.containerd_state.exists():
                host.remove_tree(node.layout.containerd_state)
        if len(dead) == len(self.each):
            host.delete_bridge(self.layout.bridge)

    def prepare(self) -> None:
        """Make what each needs of the machine, and write its settings."""
        for node in self.each:
            node.prepare()

    def wait_for_containerd(self, started: Sequence[Daemon]) -> None:
        """Wait until every containerd answers.

        Raises MachineError where one doesn't, or one of `started` has ended.
        """
        for node in self.each:
            wait_for(node.containerd_ready, "does not answer", [*started, node.containerd], 30)

    def load_images(self, *archives: Path) -> None:
        """Import OCI archives into each node that doesn't have them, side by side. A runtime must
        be given: finding one is not for several threads."""
        with ThreadPoolExecutor(len(self.each)) as pool:
            for loading in [pool.submit(node.load_images, *archives) for node in self.each]:
                loading.result()

    def start_kubelets(self, control_plane: ControlPlane) -> dict[str, datetime | None]:
        """Start those that don't run; when each was started, None for one that ran."""
        began = {}
        for node in self.each:
            control_plane.make_kubelet_user(node.layout)
            began[node.layout.node_name] = _start_kubelet(node)
        return began

    def wait_until_ready(self, control_plane: ControlPlane, began: dict[str, datetime | None], daemons: Sequence[Daemon]) -> None:
        """Wait until every node says that it is ready, and has said so since it `began`.

        Raises MachineError where one doesn't, or one of `daemons` has ended.
        """
        for node in self.each:
            wait_for_node(control_plane, node, began[node.layout.node_name], [*daemons, node.kubelet])
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_for(lambda: _has(self.layout, account), "the default service account is not there", daemons, 30)

    def start_one(self, control_plane: ControlPlane, name: str) -> None:
        """Start one node that doesn't run, and wait until it is ready.

        Raises MachineError where there is none of this name, or it doesn't get ready.
        """
        node = self.named(name)
        if not node.running():
            node.end_everything()
            host.remove_tree(node.layout.containerd_state)
        node.prepare()
        node.containerd.start()
        wait_for(node.containerd_ready, "does not answer", [node.containerd], 30)
        wait_for_node(control_plane, node, _start_kubelet(node), [control_plane.api, node.containerd, node.kubelet])

    def end(self, grace: float) -> None:
        """End all nodes; pods have `grace` seconds to end by themselves."""
        _end(self.each, grace)
        host.delete_bridge(self.layout.bridge)


def _end(nodes: Sequence[Node], grace: float) -> None:
    """End these nodes; the pods of all have the same `grace` seconds."""
    stop_all([node.kubelet for node in nodes], 15)
    for node in nodes:
        node.thaw()
    host.end_pods([node.layout.cgroup for node in nodes], grace)
    for node in nodes:
        node.end_everything()


def _start_kubelet(node: Node) -> datetime | None:
    """Start a node's kubelet; when that was, None for one that runs."""
    began = None if node.kubelet.process() else datetime.now(UTC).replace(microsecond=0)
    node.kubelet.start()
    return began


def wait_for_node(control_plane: ControlPlane, node: Node, began: datetime | None, daemons: Sequence[Daemon]) -> None:
    """Wait until the node is ready, and has said so since `began`, where it was started then.

    Raises MachineError where it isn't in time, or one of `daemons` has ended.
    """
    # Without it neither logs nor exec work.
    certificate = node.layout.kubelet_root / "pki/kubelet-server-current.pem"
    name = node.layout.node_name

    def ready() -> bool:
        with suppress(MachineError):
            if not certificate.exists():
                _approve_serving_certificate(control_plane, name)
                return False
            found = ask_for_object(node.layout, f"/api/v1/nodes/{name}")
            for condition in found["status"].get("conditions", []):
                if condition["type"] == "Ready" and condition["status"] == "True":
                    # After a restart the last run's word still stands there until the kubelet
                    # has spoken again.
                    beat = datetime.fromisoformat(condition["lastHeartbeatTime"].replace("Z", "+00:00"))
                    return began is None or beat >= began
        return False

    wait_for(ready, "its node is not ready", daemons, 90)


def _approve_serving_certificate(control_plane: ControlPlane, name: str) -> None:
    """Approve what the kubelet has asked for: a serving certificate for this node.

    Nobody but this node can ask for one in its name.
    """
    requests = ask_for_object(control_plane.layout, "/apis/certificates.k8s.io/v1/certificatesigningrequests")["items"]
    waiting = [
        request["metadata"]["name"]
        for request in requests
        if request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
        and request["spec"]["username"] == f"system:node:{name}"
        and not request["status"].get("conditions")
    ]
    if waiting:
        control_plane.kubectl("certificate", "approve", *waiting)


def _has(layout: Layout, path: str) -> bool:
    try:
        ask(layout, path)
    except MachineError:
        return False
    return True


def check_number(layout: Layout | None, nodes: int) -> None:
    """Raises MachineError where a cluster can't have so many nodes, or not so few any more: a node
    that holds volumes is never removed. `nodes` of 0 means as many as it has."""
    if not 0 <= nodes <= MOST_NODES:
        raise MachineError(f"nodes: {nodes}: an embedded cluster has 1 to {MOST_NODES} nodes.", "Works: 3")
    if layout is None or nodes == 0:
        return
    for own in layout.each_node[nodes:]:
        held = volumes_of(own)
        if held:
            raise MachineError(
                f"nodes: {nodes}: the node {own.node_name} would be removed, and it holds {len(held)} "
                f"volume{'s' if len(held) > 1 else ''} (local-path keeps a volume on its node): {', '.join(path.name for path in held)}.",
                f"`make up NODES={layout.nodes}` goes on with it. To remove the node, delete what nobody needs any more "
                "(`make volumes`, `make prune`), or the whole cluster (`make purge`).",
            )


def volumes_of(own: Layout) -> list[Path]:
    """The directories of one node's volumes."""
    if not own.node_volumes.exists():
        return []
    others = {other.node_volumes for other in own.each_node if other.number > 1}
    return sorted(path for path in own.node_volumes.iterdir() if path not in others)


def with_number(layout: Layout, nodes: int) -> Layout:
    """The layout of a stopped cluster with another number of nodes, which is kept; what the removed
    ones had is deleted.

    Raises MachineError as `check_number` does.
    """
    check_number(layout, nodes)
    for own in layout.each_node[nodes:]:
        for folder in (own.node_home, own.node_volumes, own.node_logs):
            host.remove_tree(folder)
        own.kubeconfig(own.kubelet_user).unlink(missing_ok=True)
    return layouts.keep_nodes(layout, nodes)


def forget_removed(control_plane: ControlPlane, layout: Layout) -> None:
    """Delete the Node objects of nodes that the cluster doesn't have any more."""
    kept = {own.node_name for own in layout.each_node}
    there = {node["metadata"]["name"] for node in ask_for_object(layout, "/api/v1/nodes")["items"]}
    removed = sorted(name for name in there - kept if name.startswith(f"{NODE_NAME}-"))
    if removed:
        control_plane.kubectl("delete", "node", *removed)
