"""A single node of upstream Kubernetes as host processes, for Linux as root where there is no
Docker."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import yaml
from filelock import FileLock

from devkube import paths
from devkube.cluster import host
from devkube.cluster import layout as layouts
from devkube.cluster.access import Access, NodeFolder, write_kubeconfig
from devkube.cluster.api_server import ask, ask_for_object
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.daemons import Daemon, end, stop_all, wait_for
from devkube.cluster.layout import NODE_NAME, Layout
from devkube.cluster.local_path import PROVISIONER, LocalPathProvisioner
from devkube.cluster.node import Node, find_runtime
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
    """API server, controller manager, scheduler, etcd, containerd, kubelet and
    local-path-provisioner of one throw-away or dev cluster.

    Everything listens on 127.0.0.1 or on the address of the cluster's own bridge. Data is in
    /var/lib/storage-tiers/<identity>, sockets and process ids in /run/storage-tiers/<identity>; any
    number of clusters can run side by side. There is no kube-proxy, no DNS and no Service network,
    and pods reach each other and the node but nothing beyond: storage work needs none of it.

    The kubelet sets a few kernel settings of the machine (vm.overcommit_memory, kernel.panic and
    the like), as every kubelet does.
    """

    def __init__(self, identity: str, context: str, kubeconfig: Path, *, provisioners: tuple[str, ...] = (PROVISIONER,)) -> None:
        """`provisioners`: the names that a local-path-provisioner answers to, one instance each."""
        layouts.check_identity(identity)
        self.identity = identity
        self.context = context
        self.kubeconfig = kubeconfig
        self.provisioners = provisioners

    def start(self) -> Access:
        """Start what isn't running and wait until a pod could run.

        Raises MachineError with the end of the log of what failed.
        """
        missing = lacking()
        if missing:
            raise MachineError(f"an embedded cluster can't run here: {'; '.join(missing)}.")
        binaries, program = build("node"), build("local-path-provisioner") / "local-path-provisioner"
        runtime = find_runtime()
        archives = [build_image(name) for name in ("pause", "busybox")]
        with self._locked():
            layout = layouts.choose(self.identity)
            _check_disk(layout.home)
            control_plane = ControlPlane(layout, binaries)
            node = Node(layout, binaries, runtime)
            local_paths = [LocalPathProvisioner(control_plane, program, name) for name in self.provisioners]
            daemons = [*control_plane.daemons, node.containerd, node.kubelet, *(each.daemon for each in local_paths)]
            if not all(daemon.process() for daemon in daemons) or not control_plane.ready():
                with step("Kubernetes", estimate=20) as progress, self._nothing_half_started(layout):
                    self._clear_up(layout, node, daemons)
                    for folder in (layout.run / "pids", layout.logs):
                        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                    progress.detail = "certificates"
                    host.make_bridge(layout.bridge, f"{layout.address}/24")
                    host.make_cgroup(layout.cgroup)
                    control_plane.make_certificates()
                    control_plane.make_super_admin()
                    node.write_settings()
                    progress.detail = "control plane"
                    self._start_control_plane(layout, control_plane, node)
                    progress.detail = "node"
                    node.load_images(*archives)
                    self._start_node(control_plane, node, local_paths)
                    progress.detail = f"{ask_for_object(layout, '/version')['gitVersion']} ready"
            else:
                node.load_images(*archives)
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
        """Whether the API server's and the kubelet's processes are there."""
        layout = layouts.load(self.identity)
        return bool(layout and all(Daemon(name, [], layout.logs, layout.run / "pids").process() for name in ("kube-apiserver", "kubelet")))

    def exists(self) -> bool:
        """Whether the cluster has ever been started (and not been deleted since)."""
        return layouts.home_of(self.identity).exists()

    def contents(self) -> list[str]:
        """What `delete` would delete, a line each."""
        home = layouts.home_of(self.identity)
        if not home.exists():
            return []
        volumes = sorted((home / "volumes").glob("*")) if (home / "volumes").exists() else []
        return [
            f"the cluster {self.identity} with all its objects: {home}",
            *(f"volume {folder.name} ({_readable(_size(folder))}): {folder}" for folder in volumes),
        ]

    def folder(self) -> NodeFolder:
        """The node is this machine, so it sees the volumes under the same path."""
        return NodeFolder(self.volumes, str(self.volumes))

    def load_image(self, archive: Path) -> None:
        """Import an OCI archive, unless it has been imported. The cluster must run."""
        layout = layouts.load(self.identity)
        if not layout or not self.running():
            raise MachineError(f"the cluster {self.identity} doesn't run.", "`python -m dev up` starts it.")
        with self._locked():
            Node(layout, Path(), None).load_images(archive)

    @property
    def volumes(self) -> Path:
        """The folder with the volumes' directories."""
        return layouts.home_of(self.identity) / "volumes"

    def processes(self) -> list[int]:
        """The ids of all of this cluster's daemons and container shims that run."""
        layout = layouts.load(self.identity)
        if not layout:
            return []
        return [process.pid for process in Node(layout, Path(), None).leftovers()]

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
            _check_inotify()
        try:
            yield
        except BaseException:
            if not ran_before:
                self._stop(layout, grace=5)
            raise

    def _start_control_plane(self, layout: Layout, control_plane: ControlPlane, node: Node) -> None:
        for daemon, port in (
            (control_plane.etcd, layout.ports.etcd),
            (control_plane.api, layout.ports.api),
            (control_plane.controller_manager, layout.ports.controller_manager),
            (control_plane.scheduler, layout.ports.scheduler),
            (node.kubelet, layout.ports.kubelet_healthz),
        ):
            if not daemon.process() and not layouts.port_free("127.0.0.1", port):
                raise MachineError(
                    f"{daemon.name} can't start: something listens on 127.0.0.1:{port}.",
                    f"`ss -tlnp 'sport = {port}'` shows what it is.",
                )
        control_plane.etcd.start()
        node.containerd.start()
        control_plane.api.start()
        started = [control_plane.etcd, control_plane.api]
        wait_for(control_plane.ready, "is not ready", started, 90)
        control_plane.allow_admin()
        control_plane.controller_manager.start()
        control_plane.scheduler.start()
        wait_for(node.containerd_ready, "does not answer", [*started, node.containerd], 30)

    def _start_node(self, control_plane: ControlPlane, node: Node, local_paths: list[LocalPathProvisioner]) -> None:
        began = datetime.now(UTC).replace(microsecond=0)
        fresh = node.kubelet.process() is None
        node.kubelet.start()
        for each in local_paths:
            each.prepare()
            each.daemon.start()
        daemons = [*control_plane.daemons, *(each.daemon for each in local_paths), node.containerd, node.kubelet]
        # Without it neither logs nor exec work.
        certificate = node.layout.kubelet_root / "pki/kubelet-server-current.pem"

        def ready() -> bool:
            with suppress(MachineError):
                if not certificate.exists():
                    _approve_serving_certificate(control_plane)
                    return False
                found = ask_for_object(node.layout, f"/api/v1/nodes/{NODE_NAME}")
                for condition in found["status"].get("conditions", []):
                    if condition["type"] == "Ready" and condition["status"] == "True":
                        # After a restart the last run's word still stands there until the kubelet
                        # has spoken again.
                        beat = datetime.fromisoformat(condition["lastHeartbeatTime"].replace("Z", "+00:00"))
                        return not fresh or beat >= began
            return False

        wait_for(ready, "its node is not ready", daemons, 90)
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        wait_for(lambda: _has(node.layout, account), "the default service account is not there", daemons, 30)

    def _clear_up(self, layout: Layout, node: Node, daemons: list[Daemon]) -> None:
        """After a crash or a reboot: end what nobody names any more, and take away what a dead node
        has left."""
        known = {process.pid for daemon in daemons if (process := daemon.process())}
        node_alive = node.kubelet.process() or node.containerd.process()
        if not node_alive:
            node.end_everything(grace=5)
            known = {process.pid for daemon in daemons if (process := daemon.process())}
            if layout.containerd_state.exists():
                host.remove_tree(layout.containerd_state)
        unknown = [process for process in node.leftovers() if process.pid not in known and not process.name().startswith("containerd-shim")]
        for process in unknown:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)
        end(unknown, 10)

    def _stop(self, layout: Layout, grace: float) -> None:
        node = Node(layout, Path(), None)
        control_plane = ControlPlane(layout, Path())
        pid_files = (layout.run / "pids").glob("local-path-provisioner*.json")
        provisioners = [Daemon(pid_file.stem, [], layout.logs, layout.run / "pids") for pid_file in pid_files]
        stop_all([node.kubelet, *provisioners, control_plane.scheduler, control_plane.controller_manager], 15)
        node.end_everything(grace)
        control_plane.api.stop()
        control_plane.etcd.stop(30)
        left = node.leftovers()
        for process in left:
            with suppress(OSError):
                os.kill(process.pid, signal.SIGTERM)
        end(left, 10)
        host.remove_tree(layout.run)

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


def _approve_serving_certificate(control_plane: ControlPlane) -> None:
    """Approve what the kubelet has asked for: a serving certificate for this node.

    Nobody but this node can ask for one in its name.
    """
    requests = ask_for_object(control_plane.layout, "/apis/certificates.k8s.io/v1/certificatesigningrequests")["items"]
    waiting = [
        request["metadata"]["name"]
        for request in requests
        if request["spec"]["signerName"] == "kubernetes.io/kubelet-serving"
        and request["spec"]["username"] == f"system:node:{NODE_NAME}"
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


def _check_disk(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK:
        raise MachineError(f"{folder}: {_readable(free)} free, at least {_readable(LEAST_DISK)} are needed.", "Free some disk space there.")


def _check_inotify() -> None:
    """Without them containerd starts without its Kubernetes part, and the kubelet then ends with
    words that explain nothing."""
    left = host.inotify_instances_left(INOTIFY_INSTANCES)
    if left < INOTIFY_INSTANCES:
        raise MachineError(
            f"the machine lets this user make {left} more inotify instances (fs.inotify.max_user_instances), and a cluster needs "
            f"{INOTIFY_INSTANCES}.",
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
