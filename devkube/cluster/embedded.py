"""Upstream Kubernetes as host processes, for Linux as root where there is no Docker: one node, or
several."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml
from filelock import FileLock

from devkube import paths
from devkube.cluster import csi, host
from devkube.cluster import layout as layouts
from devkube.cluster.access import Access, NodeFolder, write_kubeconfig
from devkube.cluster.api_server import ask_for_object
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.csi import CsiDriver, CsiNode, Flavour
from devkube.cluster.daemons import Daemon, end, stop_all, wait_for
from devkube.cluster.layout import Layout
from devkube.cluster.local_path import PROVISIONER, LocalPathProvisioner
from devkube.cluster.mount_namespace import MountNamespace
from devkube.cluster.node import Node, find_runtime
from devkube.cluster.nodes import Nodes, check_number, forget_removed, volumes_of, with_number
from devkube.errors import MachineError
from devkube.images import build_image
from devkube.progress import step
from devkube.toolchain.build import Name, build

PARTS: tuple[Name, ...] = ("node", "local-path-provisioner")  # what is built for it

# Bytes: images, snapshots and etcd of a small cluster, with room to write a few volumes.
LEAST_DISK = 2 * 1024**3

# What a cluster uses: 7 the controller manager, 6 the API server, 5 the kubelet, 1 containerd; and
# one to spare.
INOTIFY_INSTANCES = 20
# What each further node takes: 5 the kubelet, 1 containerd.
FURTHER_NODE_INOTIFY_INSTANCES = 6


def inotify_instances(nodes: int) -> int:
    """How many inotify instances a cluster of so many nodes needs."""
    return INOTIFY_INSTANCES + (nodes - 1) * FURTHER_NODE_INOTIFY_INSTANCES


def lacking() -> list[str]:
    """What this machine lacks for an embedded cluster, in words; empty where it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return [f"it needs Linux (this is {sys.platform})"]
    missing = []
    if os.geteuid() != 0:
        missing.append("it needs root (run it with sudo)")
    if not Path("/dev/kmsg").exists():
        missing.append("it needs /dev/kmsg (a container without it can't carry a kubelet)")
    programs = [name for name in ("ip", "mount", "umount") if shutil.which(name) is None]
    if programs:
        missing.append(f"it needs these programs on PATH: {', '.join(programs)}")
    if not any((folder.parent / "cgroup.procs").exists() for folder in host.cgroup_folders("x")):
        missing.append("it needs cgroups at /sys/fs/cgroup")
    return missing


class EmbeddedCluster:
    """API server, controller manager, scheduler, etcd, local-path-provisioner, and for each node
    containerd and kubelet, of one throw-away or dev cluster.

    Everything listens on 127.0.0.1 or on the address of the cluster's own bridge. Data is in
    /var/lib/storage-tiers/<identity>, sockets and process ids in /run/storage-tiers/<identity>; any
    number of clusters can run side by side. There is no kube-proxy, no DNS and no Service network,
    and pods reach each other and the node but nothing beyond: storage work needs none of it.

    Several nodes have state, address, pod addresses, cgroups, logs and volumes of their own, and
    share a bridge, so that their pods reach each other. The first one's mounts are the machine's;
    each further one has a mount namespace, where the kernel gives one. Down, up and delete take
    them as one.

    The kubelet sets a few kernel settings of the machine (vm.overcommit_memory, kernel.panic and
    the like), as every kubelet does.
    """

    def __init__(
        self,
        identity: str,
        context: str,
        kubeconfig: Path,
        *,
        provisioners: tuple[str, ...] = (PROVISIONER,),
        nodes: int = 0,
        zones: Sequence[str] = (),
        driver: Flavour | None = None,
    ) -> None:
        """`provisioners`: the names that a local-path-provisioner answers to, one instance each.

        `nodes`: how many; 0 for as many as the cluster has, one for a new one. `zones`: what the
        nodes are labelled with, in turn; those of `nodes.ZONES`, or the cloud's, where none are
        given. `driver`: the cloud whose CSI driver the cluster has as well, with real disks.
        """
        layouts.check_identity(identity)
        self.identity = identity
        self.context = context
        self.kubeconfig = kubeconfig
        self.provisioners = provisioners
        self.nodes = nodes
        self.zones = tuple(zones) or (csi.ZONES[driver] if driver else ())
        self.driver = driver

    def start(self) -> Access:
        """Start what isn't running and wait until a pod could run.

        Raises MachineError with the end of the log of what failed.
        """
        missing = dict.fromkeys([*lacking(), *(csi.lacking() if self.driver else [])])
        if missing:
            raise MachineError(f"an embedded cluster can't run here: {'; '.join(missing)}.")
        binaries, program = build("node"), build("local-path-provisioner") / "local-path-provisioner"
        drivers = build("csi") if self.driver else Path()
        runtime = find_runtime()
        archives = [build_image(name) for name in ("pause", "busybox")]
        with self._locked():
            layout = self._with_nodes(layouts.choose(self.identity))
            _check_disk(layout.home)
            control_plane = ControlPlane(layout, binaries)
            nodes = Nodes(layout, binaries, runtime, self.zones, attaches=bool(self.driver))
            local_paths = [LocalPathProvisioner(control_plane, program, name) for name in self.provisioners]
            cloud = self._cloud(control_plane, nodes.each, drivers)
            daemons = [*control_plane.daemons, *nodes.daemons, *(each.daemon for each in local_paths), *(cloud.daemons if cloud else ())]
            if not all(daemon.process() for daemon in daemons) or not control_plane.ready():
                with step("Kubernetes", estimate=20) as progress, self._nothing_half_started(layout):
                    self._clear_up(nodes, daemons)
                    for folder in (layout.run / "pids", layout.logs):
                        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    progress.detail = "certificates"
                    control_plane.make_certificates()
                    control_plane.make_super_admin()
                    nodes.prepare()
                    progress.detail = "control plane"
                    self._start_control_plane(control_plane, nodes)
                    progress.detail = "node" if layout.nodes == 1 else f"{layout.nodes} nodes"
                    nodes.load_images(*archives)
                    if cloud:
                        cloud.start()
                    self._start_nodes(control_plane, nodes, local_paths)
                    if cloud:
                        cloud.wait_until_registered()
                    progress.detail = f"{ask_for_object(layout, '/version')['gitVersion']} ready"
            else:
                nodes.load_images(*archives)
            self._write_kubeconfig(layout)
        return Access("embedded", self.context, self.kubeconfig)

    def stop(self) -> None:
        """Stop everything, in an order that lets each part end cleanly.

        Volumes and the cluster's objects stay.
        """
        layout = layouts.load(self.identity)
        if layout:
            with self._locked(), step("Kubernetes: stopping", estimate=15):
                self._stop(layout, grace=10)

    def delete(self) -> None:
        """Stop it, then delete everything that it has on this machine, volumes included."""
        layout = layouts.load(self.identity)
        if layout:
            with self._locked(), step(f"Kubernetes: deleting {layout.home}", estimate=10):
                self._stop(layout, grace=0)
                host.remove_tree(layout.home)
        elif layouts.home_of(self.identity).exists():
            # A start that was killed before the layout was kept.
            host.remove_tree(layouts.home_of(self.identity))
        (paths.MACHINE_RUN / f"{self.identity}.lock").unlink(missing_ok=True)
        self._forget_context()

    def running(self) -> bool:
        """Whether the API server's and every kubelet's processes are there."""
        layout = layouts.load(self.identity)
        if not layout:
            return False
        kubelets = [node.kubelet for node in Nodes(layout, Path(), None).each]
        return all(daemon.process() for daemon in (ControlPlane(layout, Path()).api, *kubelets))

    def exists(self) -> bool:
        """Whether the cluster has ever been started (and not been deleted since)."""
        return layouts.home_of(self.identity).exists()

    def contents(self) -> list[str]:
        """What `delete` would delete, a line each."""
        home = layouts.home_of(self.identity)
        if not home.exists():
            return []
        nodes = self._each_node()
        several = f", {len(nodes)} nodes" if len(nodes) > 1 else ""
        return [
            f"the cluster {self.identity} with all its objects{several}: {home}",
            *(f"volume {folder.name} ({_readable(_size(folder))}): {folder}" for own in nodes for folder in volumes_of(own)),
            *csi.contents(nodes[0]),
        ]

    def left_behind(self) -> list[str]:
        """What the machine still has of a deleted cluster, a line each: files, mounts and loop
        devices. Nothing, where `delete` has done its work."""
        home = layouts.home_of(self.identity)
        folders = [home, layouts.run_of(self.identity)]
        return [
            *(f"files in {folder}" for folder in folders if folder.exists()),
            *(f"a mount at {path}" for folder in folders for path in host.mounts_below(folder)),
            *(f"the loop device {device} of {file}" for device, file in csi.attached(home)),
        ]

    def _each_node(self) -> list[Layout]:
        """The nodes as they are kept; where that can't be read, as if there were one."""
        with suppress(MachineError):
            if layout := layouts.load(self.identity):
                return layout.each_node
        return [Layout(self.identity, "198.18.0.0/24", layouts.Ports(*[0] * 7))]

    def check_nodes(self) -> None:
        """Raises MachineError where so many nodes as were asked for can't be had, or a node that
        would be removed holds volumes."""
        check_number(layouts.load(self.identity), self.nodes)

    def node_count(self) -> int:
        """How many nodes the next start brings up."""
        return self.nodes or len(self._each_node())

    def kill_node(self, name: str) -> None:
        """End a node as a power cut would: its daemons, its pods' processes and its mounts, without
        a word to the API server.

        Raises MachineError for a node that isn't there, or doesn't run.
        """
        layout = layouts.load(self.identity)
        if not layout:
            raise self._does_not_run()
        with self._locked():
            node = Nodes(layout, Path(), None).named(name)
            if not node.running():
                raise MachineError(f"the node {name} doesn't run.", "`python -m dev up` starts it.")
            node.kill()

    def start_node(self, name: str) -> None:
        """Bring one node back, and wait until it is ready. The control plane must run.

        Raises MachineError for a node that isn't there, and where it doesn't get ready.
        """
        layout = layouts.load(self.identity)
        if not layout or not ControlPlane(layout, Path()).api.process():
            raise self._does_not_run()
        Nodes(layout, Path(), None).named(name)  # one that isn't there is said before anything is built
        binaries, runtime = build("node"), find_runtime()
        drivers = build("csi") if self.driver else Path()
        with self._locked():
            nodes, control_plane = Nodes(layout, binaries, runtime, self.zones, attaches=bool(self.driver)), ControlPlane(layout, binaries)
            cloud = self._cloud(control_plane, [nodes.named(name)], drivers)
            nodes.start_one(control_plane, name)
            if cloud:
                cloud.start()  # in the mount namespace that the node has now
                cloud.wait_until_registered()

    def _cloud(self, control_plane: ControlPlane, nodes: Sequence[Node], programs: Path) -> CsiDriver | None:
        """The CSI driver on these nodes, where the cluster has one."""
        if not self.driver:
            return None
        places = [CsiNode(node.layout.node_name, node.zone, node.layout.kubelet_root, node.enter) for node in nodes]
        return CsiDriver(control_plane, programs, self.driver, places)

    def node_namespace(self, name: str) -> MountNamespace | None:
        """The mount namespace of a node, for what is to run beside its kubelet (a storage driver);
        None where it is the machine's own.

        Raises MachineError for a node that isn't there.
        """
        layout = layouts.load(self.identity)
        return Nodes(layout, Path(), None).named(name).namespace if layout else None

    def folder(self) -> NodeFolder:
        """The nodes are this machine, so they see the volumes under the same path."""
        nodes = self._each_node()
        owners = {str(own.node_volumes): own.node_name for own in nodes} if len(nodes) > 1 else {}
        return NodeFolder(self.volumes, str(self.volumes), nodes=owners)

    def load_image(self, archive: Path) -> None:
        """Import an OCI archive, unless it has been imported. The cluster must run."""
        layout = layouts.load(self.identity)
        if not layout or not self.running():
            raise self._does_not_run()
        with self._locked():
            Nodes(layout, Path(), find_runtime()).load_images(archive)

    @property
    def volumes(self) -> Path:
        """The folder with the volumes' directories."""
        return layouts.home_of(self.identity) / "volumes"

    def processes(self) -> list[int]:
        """The ids of all of this cluster's daemons and container shims that run."""
        layout = layouts.load(self.identity)
        if not layout:
            return []
        return [process.pid for process in Nodes(layout, Path(), None).each[0].leftovers()]

    def _does_not_run(self) -> MachineError:
        return MachineError(f"the cluster {self.identity} doesn't run.", "`python -m dev up` starts it.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        paths.MACHINE_RUN.mkdir(mode=0o755, parents=True, exist_ok=True)
        with FileLock(paths.MACHINE_RUN / f"{self.identity}.lock"):
            yield

    @contextmanager
    def _nothing_half_started(self, layout: Layout) -> Iterator[None]:
        """Where nothing ran before, a start that fails or is interrupted leaves nothing running.

        Its logs and data stay.
        """
        ran_before = bool(self.processes())
        if not ran_before:
            _check_inotify(inotify_instances(layout.nodes))
        try:
            yield
        except BaseException:
            if not ran_before:
                self._stop(layout, grace=5)
            raise

    def _with_nodes(self, layout: Layout) -> Layout:
        """The layout with as many nodes as were asked for; a cluster that runs is stopped for
        another number: the nodes then share the pods' addresses in another way."""
        if self.nodes in (0, layout.nodes):
            return layout
        check_number(layout, self.nodes)
        if layout.run.exists():
            with step(f"Kubernetes: stopping, for {self.nodes} nodes instead of {layout.nodes}", estimate=15):
                self._stop(layout, grace=10)
        return with_number(layout, self.nodes)

    def _start_control_plane(self, control_plane: ControlPlane, nodes: Nodes) -> None:
        layout, first = nodes.layout, nodes.each[0]
        for daemon, port in (
            (control_plane.etcd, layout.ports.etcd),
            (control_plane.api, layout.ports.api),
            (control_plane.controller_manager, layout.ports.controller_manager),
            (control_plane.scheduler, layout.ports.scheduler),
            (first.kubelet, layout.ports.kubelet_healthz),
        ):
            if not daemon.process() and not layouts.port_gets_free("127.0.0.1", port):
                raise MachineError(
                    f"{daemon.name} can't start: something listens on 127.0.0.1:{port}.",
                    f"`ss -tlnp 'sport = {port}'` shows what it is.",
                )
        control_plane.etcd.start()
        for node in nodes.each:
            node.containerd.start()
        control_plane.api.start()
        started = [control_plane.etcd, control_plane.api]
        wait_for(control_plane.ready, "is not ready", started, 90)
        control_plane.allow_admin()
        control_plane.controller_manager.start()
        control_plane.scheduler.start()
        nodes.wait_for_containerd(started)

    def _start_nodes(self, control_plane: ControlPlane, nodes: Nodes, local_paths: list[LocalPathProvisioner]) -> None:
        began = nodes.start_kubelets(control_plane)
        for each in local_paths:
            each.prepare()
            each.daemon.start()
        started = [*control_plane.daemons, *(each.daemon for each in local_paths), *nodes.daemons]
        nodes.wait_until_ready(control_plane, began, started)
        forget_removed(control_plane, nodes.layout)

    def _clear_up(self, nodes: Nodes, daemons: list[Daemon]) -> None:
        """After a crash or a reboot: end what nobody names any more, and take away what a dead node
        has left."""
        nodes.clear_up()
        known = {process.pid for daemon in daemons if (process := daemon.process())}
        left = nodes.each[0].leftovers()
        unknown = [process for process in left if process.pid not in known and not process.name().startswith("containerd-shim")]
        for process in unknown:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)
        end(unknown, 10)

    def _stop(self, layout: Layout, grace: float) -> None:
        nodes = Nodes(layout, Path(), None)
        control_plane = ControlPlane(layout, Path())
        pid_files = (layout.run / "pids").glob("local-path-provisioner*.json")
        provisioners = [Daemon(pid_file.stem, [], layout.logs, layout.run / "pids") for pid_file in pid_files]
        kubelets = [node.kubelet for node in nodes.each]
        stop_all([*kubelets, *provisioners, control_plane.scheduler, control_plane.controller_manager], 15)
        csi.stop_running(layout)
        nodes.end(grace)
        control_plane.api.stop()
        control_plane.etcd.stop(30)
        left = nodes.each[0].leftovers()
        for process in left:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)
        end(left, 10)
        host.remove_tree(layout.run)
        csi.release(layout, [own.kubelet_root for own in layout.each_node])

    def _write_kubeconfig(self, layout: Layout) -> None:
        """The administrator's kubeconfig with the one context that was asked for.

        Readable by its owner alone.
        """
        content = yaml.safe_load(layout.kubeconfig("admin").read_text())
        content["clusters"][0]["name"] = content["users"][0]["name"] = self.context
        content["contexts"] = [{"name": self.context, "context": {"cluster": self.context, "user": self.context}}]
        content["current-context"] = self.context
        write_kubeconfig(self.kubeconfig, content)

    def _forget_context(self) -> None:
        """Remove the kubeconfig, if it is the one that this cluster has written."""
        with suppress(OSError, yaml.YAMLError, AttributeError):
            if yaml.safe_load(self.kubeconfig.read_text()).get("current-context") == self.context:
                self.kubeconfig.unlink()


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise MachineError(f"{folder}: {_readable(free)} free, at least {_readable(LEAST_DISK)} are needed.", "Free some disk space there.")


def _check_inotify(needed: int) -> None:
    """Without them containerd starts without its Kubernetes part, and the kubelet then ends with
    words that explain nothing."""
    left = host.inotify_instances_left(needed)
    if left < needed:
        raise MachineError(
            f"the machine lets this user make {left} more inotify instances (fs.inotify.max_user_instances), and a cluster needs {needed}.",
            "Stop other clusters (`make down` in their clones), or raise it: `sysctl fs.inotify.max_user_instances=512`.",
        )


def _size(folder: Path) -> int:
    """Bytes in the files below a folder."""
    total = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += (Path(parent) / name).lstat().st_size
    return total


def _readable(size: float) -> str:
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
