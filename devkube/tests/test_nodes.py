"""Embedded clusters of several nodes: what each has to itself, and how many there are."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from devkube import paths
from devkube.cluster import ClusterChoice, EmbeddedCluster, KindCluster, choose, kind, mount_namespace, remembered
from devkube.cluster import layout as layouts
from devkube.cluster import node as node_module
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.kind.config import count_nodes
from devkube.cluster.local_path import node_paths
from devkube.cluster.node import Node, Runtime
from devkube.cluster.nodes import Nodes, check_number, volumes_of, with_number
from devkube.errors import MachineError

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="embedded clusters are for Linux")

LAYOUT = layouts.Layout("dev-1", "198.18.7.0/24", layouts.Ports(*range(7)))


def of(nodes: int) -> layouts.Layout:
    return layouts.Layout(LAYOUT.identity, LAYOUT.subnet, LAYOUT.ports, nodes)


def runtime(folder: Path) -> Runtime:
    for name in ("containerd", "runc", "ctr"):
        (folder / name).touch()
    return Runtime(folder, folder)


def test_one_node_is_where_it_always_was() -> None:
    """What a cluster on disk has: an upgrade goes on with it."""
    home, run = paths.MACHINE_STATE / "dev-1", paths.MACHINE_RUN / "dev-1"
    assert (LAYOUT.kubelet_root, LAYOUT.containerd_root) == (home / "kubelet", home / "containerd")
    assert (LAYOUT.node_home, LAYOUT.node_run, LAYOUT.node_volumes, LAYOUT.node_logs) == (home, run, home / "volumes", home / "logs")
    assert (LAYOUT.containerd_state, LAYOUT.containerd_socket) == (run / "containerd", run / "containerd.sock")
    assert (LAYOUT.network, LAYOUT.cgroup, LAYOUT.node_name) == ("storage-tiers-dev-1", "storage-tiers-dev-1", "storage-tiers")
    assert (LAYOUT.address, LAYOUT.pod_addresses, LAYOUT.most_pods) == ("198.18.7.1", ("198.18.7.2", "198.18.7.254"), 110)
    assert LAYOUT.kubeconfig(LAYOUT.kubelet_user) == home / "kubeconfig/kubelet.conf"
    assert node_paths(LAYOUT) == [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": [str(home / "volumes")]}]
    assert not [word for word in Node(LAYOUT, Path("/b"), None).kubelet.arguments if "--node-labels" in str(word)]


@pytest.mark.parametrize("nodes", range(2, layouts.MOST_NODES + 1))
def test_nodes_share_nothing(nodes: int) -> None:
    each = of(nodes).each_node
    names = ("node_name", "node_home", "node_run", "node_volumes", "node_logs", "kubelet_root", "containerd_root", "containerd_state")
    for name in (*names, "containerd_socket", "network", "cgroup", "address", "kubelet_user"):
        assert len({getattr(own, name) for own in each}) == nodes, name
    assert {own.bridge for own in each} == {LAYOUT.bridge}, "their pods reach each other"
    ranges = [tuple(int(address.rsplit(".", 1)[1]) for address in own.pod_addresses) for own in each]
    assert all(last < first for (_, last), (first, _) in pairwise(ranges))
    assert ranges[0][0] > nodes and ranges[-1][1] <= 254, "no pod has a node's address, or the one for all"
    assert all(last - first + 1 >= own.most_pods >= 30 for own, (first, last) in zip(each, ranges, strict=True))


def test_sockets_of_every_node_fit_into_a_socket_address() -> None:
    last = layouts.Layout("a" * 40, "198.18.0.0/24", LAYOUT.ports, layouts.MOST_NODES).each_node[-1]
    assert len(str(last.containerd_socket)) <= 107


def test_the_fourth_node_is_in_the_first_ones_zone() -> None:
    zones = [
        next(str(word).partition("=")[2] for word in node.kubelet.arguments if str(word).startswith("--node-labels="))
        for node in Nodes(of(4), Path("/b"), None, ("eu-central-1a", "eu-central-1b", "eu-central-1c")).each
    ]
    key = "topology.kubernetes.io/zone"
    assert zones == [f"{key}=eu-central-1a", f"{key}=eu-central-1b", f"{key}=eu-central-1c", f"{key}=eu-central-1a"]


def test_settings_of_a_further_node_name_its_own_things(machine: Path) -> None:
    first, second = Nodes(of(2), Path("/b"), runtime(machine)).each
    for node in (first, second):
        node.write_settings()
    kubelet = yaml.safe_load((second.layout.node_home / "kubelet.yaml").read_text())
    assert (kubelet["address"], kubelet["healthzBindAddress"]) == ("198.18.7.2", "198.18.7.2")
    assert kubelet["cgroupRoot"] == "/storage-tiers-dev-1.n2"
    network = json.loads((second.layout.node_home / "cni/10-bridge.conflist").read_text())
    assert network["plugins"][0]["ipam"]["ranges"][0][0]["rangeStart"] == "198.18.7.132"
    assert str(second.layout.containerd_socket) in (second.layout.node_home / "containerd.toml").read_text()
    alone = yaml.safe_load((first.layout.node_home / "kubelet.yaml").read_text())
    assert (alone["address"], alone["healthzBindAddress"]) == ("198.18.7.1", "127.0.0.1")


@pytest.mark.parametrize("attaches", [True, False])
def test_a_node_with_attached_volumes_tells_of_them_at_once(machine: Path, *, attaches: bool) -> None:
    for node in Nodes(of(2), Path("/b"), runtime(machine), attaches=attaches).each:
        node.write_settings()
        kubelet = yaml.safe_load((node.layout.node_home / "kubelet.yaml").read_text())
        assert kubelet.get("nodeStatusUpdateFrequency") == ("1s" if attaches else None)
        # Without a value of its own it would be the same, and a write each second.
        assert kubelet.get("nodeStatusReportFrequency") == ("5m" if attaches else None)


@pytest.mark.parametrize(("nodes", "lost_after", "lease"), [(1, None, None), (3, 20, 8)])
def test_one_of_several_nodes_counts_as_lost_after_ten_words_are_missing(
    machine: Path, nodes: int, lost_after: int | None, lease: int | None
) -> None:
    words = [str(word) for word in ControlPlane(of(nodes), Path("/b")).controller_manager.arguments]
    assert [word for word in words if "grace-period" in word] == ([f"--node-monitor-grace-period={lost_after}s"] if lost_after else [])
    for node in Nodes(of(nodes), Path("/b"), runtime(machine)).each:
        node.write_settings()
        assert yaml.safe_load((node.layout.node_home / "kubelet.yaml").read_text()).get("nodeLeaseDurationSeconds") == lease


def test_images_go_into_all_nodes_at_the_same_time_and_a_failure_is_told(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3, timeout=10)

    def load(node: Node, *archives: Path) -> None:
        together.wait()
        if node.layout.number == 2:
            raise MachineError(f"no {archives[0]}")

    monkeypatch.setattr(Node, "load_images", load)
    with pytest.raises(MachineError, match=r"no image\.tar"):
        Nodes(of(3), Path("/b"), runtime(machine)).load_images(Path("image.tar"))


@pytest.mark.parametrize("possible", [True, False])
def test_a_further_node_has_its_own_mounts_where_that_can_be(possible: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_module, "possible", lambda: possible)
    first, second = Nodes(of(2), Path("/b"), None).each
    assert first.namespace is None and Path(first.kubelet.arguments[0]) == Path("/b/kubelet")
    words = ["nsenter", f"--mount={second.layout.node_run}/namespace/mnt"] if possible else []
    for daemon, program in ((second.kubelet, "/b/kubelet"), (second.containerd, "containerd")):
        assert [str(word) for word in daemon.arguments[: len(words) + 1]] == [*words, program]


def test_the_number_is_kept_and_one_is_not_written(machine: Path) -> None:
    layout = layouts.choose("dev-1")
    file = layout.home / "cluster.json"
    before = file.read_text()
    assert json.loads(before) == {"subnet": layout.subnet, "ports": asdict(layout.ports)}
    assert layouts.keep_nodes(layout, 3) == layouts.load("dev-1") == layouts.choose("dev-1")
    assert layouts.choose("dev-1").nodes == 3
    layouts.keep_nodes(layout, 1)
    assert file.read_text() == before


def test_a_node_that_holds_volumes_is_not_removed(machine: Path) -> None:
    layout = layouts.keep_nodes(layouts.choose("dev-1"), 3)
    third = layout.of_node(3)
    (third.node_volumes / "pvc-7_data_data-kafka-2").mkdir(parents=True)
    for nodes in (0, 3, 8):
        check_number(layout, nodes)
    with pytest.raises(MachineError) as refused:
        choose("dev", "dev-1", machine / "ours", ClusterChoice("embedded", nodes=2))
    for part in ("storage-tiers-3", "1 volume ", "pvc-7_data_data-kafka-2", "make up NODES=3", "make prune"):
        assert part in str(refused.value)
    with pytest.raises(MachineError, match="storage-tiers-3"):
        with_number(layout, 1)
    (third.node_volumes / "pvc-7_data_data-kafka-2").rmdir()
    third.node_home.mkdir()
    with_number(layout, 2)
    assert not third.node_home.exists() and not third.node_volumes.exists()
    assert layouts.choose("dev-1").nodes == 2


def test_what_delete_would_delete(machine: Path) -> None:
    cluster = EmbeddedCluster("dev-1", "c", machine / "ours")
    layout = layouts.keep_nodes(layouts.choose("dev-1"), 2)
    for own, name in zip(layout.each_node, ("pvc-1_data_a", "pvc-2_data_b"), strict=True):
        (own.node_volumes / name).mkdir(parents=True)
    assert [path.name for own in layout.each_node for path in volumes_of(own)] == ["pvc-1_data_a", "pvc-2_data_b"]
    # By a pathPattern it may be named so.
    alone = layouts.choose("dev-2")
    for name in ("storage-tiers", "storage-tiers-2"):
        (alone.node_volumes / name).mkdir(parents=True)
    assert [path.name for path in volumes_of(alone)] == ["storage-tiers", "storage-tiers-2"]
    first, *volumes = cluster.contents()
    assert ", 2 nodes: " in first
    assert [line.split(" ")[1] for line in volumes] == ["pvc-1_data_a", "pvc-2_data_b"]
    assert dict(cluster.folder().nodes) == {str(own.node_volumes): own.node_name for own in layout.each_node}
    assert cluster.node_count() == 2 and EmbeddedCluster("dev-2", "c", machine / "ours").node_count() == 1


def test_a_node_that_is_not_there(machine: Path) -> None:
    layouts.choose("dev-1")
    with pytest.raises(MachineError, match="no node 'storage-tiers-2'") as caught:
        EmbeddedCluster("dev-1", "c", machine / "ours").kill_node("storage-tiers-2")
    assert "It has storage-tiers." in str(caught.value)
    with pytest.raises(MachineError, match="the node storage-tiers doesn't run"):
        EmbeddedCluster("dev-1", "c", machine / "ours").kill_node("storage-tiers")


class TestChoice:
    def test_it_is_remembered(self, tmp_path: Path) -> None:
        file = tmp_path / "cluster.yaml"
        remembered(file).with_(None, None, None, "3").write(file)
        assert remembered(file) == ClusterChoice(nodes=3)
        assert remembered(file).with_("embedded", None, None) == ClusterChoice("embedded", nodes=3)
        file.write_text("nodes: default\nkind-image: default\n")  # by hand
        assert remembered(file) == ClusterChoice()
        remembered(file).with_(None, None, None, "default").write(file)
        assert not file.exists()

    @pytest.mark.parametrize("nodes", ["0", "9", "-1", "three", "2.5", ""])
    def test_what_is_no_number_of_nodes(self, nodes: str) -> None:
        with pytest.raises(MachineError, match="a number from 1 to 8 is wanted"):
            ClusterChoice().with_(None, None, None, nodes)

    @pytest.mark.parametrize("value", ["0", "9", "'3'", "true", "[3]"])
    def test_what_is_none_in_the_file(self, tmp_path: Path, value: str) -> None:
        (tmp_path / "cluster.yaml").write_text(f"nodes: {value}\n")
        with pytest.raises(MachineError, match=r"nodes: .*: a number from 1 to 8 is wanted"):
            remembered(tmp_path / "cluster.yaml")

    def test_it_is_asked_of_an_embedded_cluster(self, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kind, "lacking", list)
        chosen = choose("dev", "dev-1", machine / "ours", ClusterChoice(nodes=3))
        assert isinstance(chosen, EmbeddedCluster) and chosen.nodes == 3
        assert isinstance(choose("dev", "dev-1", machine / "ours", ClusterChoice(nodes=1)), KindCluster)

    def test_kind_takes_it_from_a_config(self, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kind, "lacking", list)
        with pytest.raises(MachineError, match="takes its nodes from a kind config") as caught:
            choose("dev", "dev-1", machine / "ours", ClusterChoice("kind", nodes=3))
        made = caught.value.hint.partition("'")[2].partition("'")[0].replace("\\n", "\n")
        assert count_nodes(made) == 3, "as it says"

    def test_a_cluster_of_ones_own_has_its_nodes(self, machine: Path) -> None:
        (machine / "user/.kube").mkdir(parents=True)
        (machine / "user/.kube/config").write_text(yaml.safe_dump({"contexts": [{"name": "mine"}]}))
        with pytest.raises(MachineError, match="one of your own"):
            choose("mine", "dev-1", machine / "ours", ClusterChoice(nodes=2))


@pytest.mark.parametrize(
    ("text", "nodes"),
    [("", 1), ("kind: Cluster", 1), ("nodes: []", 1), ("nodes: [{role: control-plane}, {role: worker}]", 2), ("nodes: {", 1), ("- a", 1)],
)
def test_how_many_nodes_a_kind_config_asks_for(text: str, nodes: int) -> None:
    assert count_nodes(text) == nodes


@pytest.mark.parametrize(
    ("point", "others"),
    [
        ("lib/dev-2/kubelet/pods/7/volumes/x", True),
        ("lib/dev-2/n2/kubelet/plugins/y/globalmount", True),
        ("run/dev-2/containerd/netns/cni-1", True),
        ("lib", False),
        ("lib/dev-2", False),
        ("lib/dev-2/volumes", False),
        ("lib/dev-2/volumes/storage-tiers-2", False),
        ("library/dev-2/kubelet", False),
        ("mnt", False),
    ],
)
def test_what_a_new_mount_namespace_does_without(point: str, others: bool, machine: Path) -> None:
    """What other nodes have mounted; not what the user has, on which clusters or volumes may be."""
    assert mount_namespace.is_a_nodes(machine / point) is others
