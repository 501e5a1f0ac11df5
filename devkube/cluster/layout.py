"""Where everything of one embedded cluster is: folders, ports, addresses.

Chosen free at first start, kept from then on.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
import subprocess
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil
from filelock import FileLock

from devkube import paths
from devkube.errors import MachineError

# The same in every cluster, so that manifests and node affinities don't differ. The second node is
# storage-tiers-2, and so on.
NODE_NAME = "storage-tiers"
# The nodes share the addresses of one /24: with more of them each has too few for its pods.
MOST_NODES = 8
# Seconds without a word after which a node counts as lost, where there are several. A kubelet says
# one every quarter of NODE_LEASE, so ten of them are missing by then; the default is 50 s and five.
NODE_LOST_AFTER, NODE_LEASE = 20, 8
# Of a bridge's addresses the first ones are the nodes' where there are several.
_FIRST_POD, _LAST_POD = 10, 254
# 198.18.0.0/15 is set aside for benchmarks (RFC 2544, RFC 6890): never a LAN, never routed. The
# lower half holds one /24 bridge per cluster; the upper half is given to the API server as the
# Service range, which nothing routes either.
_BRIDGES = list(ipaddress.IPv4Network("198.18.0.0/16").subnets(new_prefix=24))
SERVICE_SUBNET = "198.19.0.0/16"
# A unix socket path below /run has 107 characters at most.
_IDENTITY = re.compile(r"^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")
# Below Linux' range for outgoing connections, which starts at 32768.
_FIRST_PORT, _LAST_PORT = 20000, 29990
_PORT_NAMES = ("api", "etcd", "etcd_peer", "controller_manager", "scheduler", "kubelet", "kubelet_healthz")


@dataclass(frozen=True)
class Ports:
    """TCP ports: the kubelet's on the node's address, all others on 127.0.0.1."""

    api: int
    etcd: int
    etcd_peer: int
    controller_manager: int
    scheduler: int
    kubelet: int
    kubelet_healthz: int


@dataclass(frozen=True)
class Layout:
    """One cluster's folders, ports and addresses, and those of one of its nodes.

    The first node has the cluster's own folders: a cluster of one node is as it was when there were
    no others.
    """

    identity: str
    subnet: str  # of the bridge, e.g. 198.18.7.0/24
    ports: Ports
    nodes: int = 1  # how many the cluster has
    number: int = 1  # which of them this is

    def of_node(self, number: int) -> Layout:
        """The same cluster, and its node of this number (from 1)."""
        return replace(self, number=number)

    @property
    def each_node(self) -> list[Layout]:
        """The same cluster once for each of its nodes."""
        return [self.of_node(number) for number in range(1, self.nodes + 1)]

    @property
    def node_name(self) -> str:
        """The node's name in the cluster."""
        return NODE_NAME if self.number == 1 else f"{NODE_NAME}-{self.number}"

    @property
    def kubelet_user(self) -> str:
        """The name of the kubeconfig that the node's kubelet has."""
        return "kubelet" if self.number == 1 else f"kubelet-{self.number}"

    @property
    def node_home(self) -> Path:
        """What of this node outlives a reboot, its volumes aside."""
        return self.home if self.number == 1 else self.home / f"n{self.number}"

    @property
    def node_run(self) -> Path:
        """This node's part of what doesn't."""
        return self.run if self.number == 1 else self.run / f"n{self.number}"

    @property
    def node_volumes(self) -> Path:
        """The directories of this node's volumes."""
        return self.volumes if self.number == 1 else self.volumes / self.node_name

    @property
    def node_logs(self) -> Path:
        """The logs of this node's daemons and pods."""
        return self.logs if self.number == 1 else self.logs / self.node_name

    @property
    def pod_addresses(self) -> tuple[str, str]:
        """The first and the last address for this node's pods: all of them, or an equal part."""
        base = self.subnet.rsplit(".", 1)[0]
        if self.nodes == 1:
            return f"{base}.2", f"{base}.{_LAST_POD}"
        part = (_LAST_POD + 1 - _FIRST_POD) // self.nodes
        first = _FIRST_POD + (self.number - 1) * part
        return f"{base}.{first}", f"{base}.{first + part - 1}"

    @property
    def most_pods(self) -> int:
        """How many pods the node takes: the kubelet's default, or as many as have an address."""
        first, last = (int(address.rsplit(".", 1)[1]) for address in self.pod_addresses)
        return min(110, last - first + 1)

    @property
    def home(self) -> Path:
        """What outlives a reboot."""
        return home_of(self.identity)

    @property
    def run(self) -> Path:
        """Sockets, process ids, and what a container runtime keeps only while it runs."""
        return run_of(self.identity)

    @property
    def volumes(self) -> Path:
        """The volumes' directories: the users' data. Nodes other than the first have a folder of
        their own in it."""
        return self.home / "volumes"

    @property
    def logs(self) -> Path:
        """One log for each daemon, and the pods' logs."""
        return self.home / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys, in kubeadm's arrangement."""
        return self.home / "pki"

    @property
    def kubelet_root(self) -> Path:
        """The kubelet's own folder: pods' volumes are mounted in it."""
        return self.node_home / "kubelet"

    @property
    def containerd_root(self) -> Path:
        """Images and snapshots."""
        return self.node_home / "containerd"

    @property
    def containerd_state(self) -> Path:
        """What containerd keeps about running containers."""
        return self.node_run / "containerd"

    @property
    def containerd_socket(self) -> Path:
        """containerd's API, and the kubelet's way to its container runtime."""
        return self.node_run / "containerd.sock"

    @property
    def bridge(self) -> str:
        """The name of the bridge (Linux allows 15 characters)."""
        return f"st-{hashlib.sha256(self.identity.encode()).hexdigest()[:8]}"

    @property
    def network(self) -> str:
        """The name of the node's pod network (CNI). All nodes' pods are on one bridge."""
        return f"storage-tiers-{self.identity}{self._mark}"

    @property
    def cgroup(self) -> str:
        """The root of the pods' cgroups: a kubelet removes pod cgroups under its root that it
        doesn't know, so each has its own."""
        return f"storage-tiers-{self.identity}{self._mark}"

    @property
    def address(self) -> str:
        """The node's address, which is one of the bridge's own: the first node's the first one."""
        return str(ipaddress.ip_network(self.subnet)[self.number])

    @property
    def _mark(self) -> str:
        """What tells the other nodes' names from the first one's. No identity has a dot."""
        return "" if self.number == 1 else f".n{self.number}"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of one of the cluster's own users, e.g. `admin`, `kubelet`."""
        return self.home / "kubeconfig" / f"{user}.conf"


def home_of(identity: str) -> Path:
    """The folder that a cluster of this name has, or would have."""
    return paths.MACHINE_STATE / identity


def run_of(identity: str) -> Path:
    """The same below /run."""
    return paths.MACHINE_RUN / identity


def check_identity(identity: str) -> None:
    """Raises MachineError for a name that is not fit for folders, sockets and cgroups."""
    if not _IDENTITY.match(identity):
        raise MachineError(
            f"cluster identity {identity!r}: up to 40 lower-case letters, digits and inner dashes.", "For example dev-1a2b3c4d."
        )


def _file(identity: str) -> Path:
    return home_of(identity) / "cluster.json"


def load(identity: str) -> Layout | None:
    """The layout that this cluster was given at its first start; None before that.

    Raises MachineError for an unreadable file.
    """
    path = _file(identity)
    try:
        kept = json.loads(path.read_text())
        return Layout(identity, kept["subnet"], Ports(**kept["ports"]), int(kept.get("nodes", 1)))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise MachineError(f"{path} can't be read: the embedded cluster {identity} belongs to root.", "Run this with sudo.") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise MachineError(
            f"{path} can't be read: {problem}", f"Restore it, or delete the cluster with all its volumes: {path.parent}"
        ) from None


def _others(identity: str) -> list[Layout]:
    """The layouts of all other clusters on this machine, running or not."""
    names = [path.parent.name for path in paths.MACHINE_STATE.glob("*/cluster.json")]
    return [layout for name in names if name != identity and (layout := load(name))]


def port_free(address: str, port: int) -> bool:
    """Whether a server could listen there now (as servers do, with SO_REUSEADDR: old connections in
    TIME_WAIT don't count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def port_gets_free(address: str, port: int, seconds: float = 5) -> bool:
    """Whether a server could listen there within `seconds`: a process that has been killed holds
    its ports until its last thread has ended."""
    deadline = time.monotonic() + seconds
    while not port_free(address, port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _choose_ports(seed: int, taken: set[int]) -> Ports:
    count = len(_PORT_NAMES)
    slots = (_LAST_PORT - _FIRST_PORT) // 10
    for turn in range(slots):
        first = _FIRST_PORT + 10 * ((seed + turn) % slots)
        ports = range(first, first + count)
        if not taken.intersection(ports) and all(port_free("127.0.0.1", port) and port_free("0.0.0.0", port) for port in ports):
            return Ports(*ports)
    raise MachineError(f"no {count} free TCP ports in a row between {_FIRST_PORT} and {_LAST_PORT}.", "`ss -tlnp` shows what uses them.")


def _used_networks() -> list[ipaddress.IPv4Network]:
    """Every IPv4 network that this machine has an address in or a route to, the default route
    aside."""
    addresses = [each for interface in psutil.net_if_addrs().values() for each in interface if each.family == socket.AF_INET]
    texts = [f"{each.address}/{each.netmask}" for each in addresses if each.netmask]
    answer = subprocess.run(["ip", "-j", "route"], capture_output=True, text=True, check=False)
    texts += [route["dst"] for route in json.loads(answer.stdout or "[]") if route.get("dst", "default") != "default"]
    return [ipaddress.IPv4Network(text, strict=False) for text in texts]


def choose(identity: str) -> Layout:
    """This cluster's layout: the kept one, else a new one that clashes with nothing here, which is
    then kept.

    Raises MachineError where no port or network is free.
    """
    check_identity(identity)
    paths.MACHINE_STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    with FileLock(paths.MACHINE_STATE / "lock"):
        known = load(identity)
        if known:
            return known
        others = _others(identity)
        seed = int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16)
        ports = _choose_ports(seed, {port for other in others for port in asdict(other.ports).values()})
        used = _used_networks() + [ipaddress.IPv4Network(other.subnet) for other in others]
        turned = _BRIDGES[seed % len(_BRIDGES) :] + _BRIDGES[: seed % len(_BRIDGES)]
        subnet = next((each for each in turned if not any(each.overlaps(other) for other in used)), None)
        if subnet is None:
            raise MachineError("no free /24 network in 198.18.0.0/16 for the cluster's bridge.", "`ip route` shows what uses them.")
        layout = Layout(identity, str(subnet), ports)
        layout.home.mkdir(mode=0o700, exist_ok=True)
        _keep(layout)
        return layout


def keep_nodes(layout: Layout, nodes: int) -> Layout:
    """The layout with another number of nodes, which is kept from now on."""
    changed = replace(layout, nodes=nodes)
    _keep(changed)
    return changed


def _keep(layout: Layout) -> None:
    content: dict[str, object] = {"subnet": layout.subnet, "ports": asdict(layout.ports)}
    if layout.nodes > 1:  # one is what every cluster had when this was not kept
        content["nodes"] = layout.nodes
    temporary = _file(layout.identity).with_suffix(".new")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(_file(layout.identity))
