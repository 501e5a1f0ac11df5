"""A cloud's CSI driver for an embedded cluster: volumes on loop devices behind Kubernetes' own
sidecars, as host processes.

One controller, with the sidecars beside it, and a process for each node. Everything of the "cloud"
(disks, snapshots, what is attached where) is in one folder, `csi/<flavour>` of the cluster's home.
The driver is in devkube/toolchain/csi.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from devkube import debian
from devkube.cluster import host
from devkube.cluster.api_server import ask_for_object
from devkube.cluster.control_plane import ControlPlane
from devkube.cluster.csi_objects import CRDS, objects
from devkube.cluster.daemons import Daemon, stop_all, wait_for
from devkube.cluster.layout import Layout
from devkube.errors import MachineError
from devkube.toolchain.build import build

Flavour = Literal["ebs", "gce"]
# Kubernetes' own, and with them the one that is a cluster's rather than a driver's.
SIDECARS = ("csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter", "snapshot-controller")
DRIVERS: dict[Flavour, str] = {"ebs": "ebs.csi.aws.com", "gce": "pd.csi.storage.gke.io"}
# The first three zones of the region in the drivers' own examples.
ZONES: dict[Flavour, tuple[str, ...]] = {
    "ebs": ("us-east-1a", "us-east-1b", "us-east-1c"),
    "gce": ("us-central1-a", "us-central1-b", "us-central1-c"),
}

# mkfs.xfs, xfs_growfs and the libraries that they want beside those of every Debian.
_XFS_PACKAGES = ["xfsprogs", "libinih1", "liburcu8"]
_LOOP_CLR_FD, _LOOP_GET_STATUS64 = 0x4C01, 0x4C05  # linux/loop.h
_LOOP_INFO64 = struct.Struct("=QQ216x")  # its lo_device and lo_inode, which say what stat(2) says of the file
_LOOP_CONTROL = Path("/dev/loop-control")
_DETACHED_WITHIN = 10  # seconds
_DELETED = " (deleted)"  # what the kernel adds to a backing file's name
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# What the driver runs for ext4 and ext3; those for XFS come from Debian where they are missing. The
# last one is for `thaw`.
_PROGRAMS = ("blkid", "mkfs.ext4", "mkfs.ext3", "e2fsck", "resize2fs", "dumpe2fs", "fsfreeze")


def lacking() -> list[str]:
    """What this machine lacks for real disks, beside what an embedded cluster needs, in words;
    empty where it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return [f"it needs Linux (this is {sys.platform})"]
    missing = []
    if os.geteuid() != 0:
        missing.append("it needs root (run it with sudo)")
    else:
        try:
            os.close(os.open(_LOOP_CONTROL, os.O_RDWR))
        except OSError as problem:  # a container may have it, and not be allowed to use it
            missing.append(f"it needs {_LOOP_CONTROL} (`modprobe loop`; a container needs it given, `--privileged`): {problem.strerror}")
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    programs = [name for name in _PROGRAMS if shutil.which(name, path=path) is None]
    if programs:
        missing.append(f"it needs these programs (packages e2fsprogs and util-linux): {', '.join(programs)}")
    return missing


def prepare() -> None:
    """Build the driver and fetch the programs for XFS, where they aren't there yet.

    Raises MachineError where they can't be had: without Go and its modules, or Debian's packages.
    """
    build("csi")
    environment()


def grows_ext4_mounted() -> bool:
    """Whether an ext4 file system grows while it is mounted here; else it does at its next mount.
    The kernel asks for CAP_SYS_RESOURCE, which root in a container may lack; XFS needs none."""
    return host.has_sys_resource()


@dataclass(frozen=True)
class CsiNode:
    """A node as the driver's process on it sees it."""

    name: str  # the Kubernetes node's
    zone: str  # its topology.kubernetes.io/zone label: the driver reports the same one
    kubelet_root: Path
    enter: Sequence[str | Path] = ()  # the words before a command that is to see the node's mounts
    attach_limit: int = 0  # disks that it takes; 0 is the flavour's own


class CsiDriver:
    """One cloud's driver in one cluster. `programs` is what `build("csi")` returns."""

    def __init__(self, control_plane: ControlPlane, programs: Path, flavour: Flavour, nodes: Sequence[CsiNode]) -> None:
        self.control_plane = control_plane
        self.flavour = flavour
        self._programs = programs
        self._layout = control_plane.layout
        self.folder = folder_of(self._layout, flavour)
        self.nodes = list(nodes)

    @property
    def controller(self) -> Daemon:
        """The controller: it alone writes the cloud's state."""
        return self._daemon("csi-controller", "csi-driver", "controller", *self._common(), f"--endpoint={self._controller_socket}")

    def node(self, node: CsiNode) -> Daemon:
        """The process on one node. It registers itself with the kubelet whenever that starts."""
        return self._daemon(
            f"csi-node-{node.name}",
            "csi-driver",
            "node",
            *self._common(),
            f"--endpoint={self._node_socket(node)}",
            f"--node-id={node.name}",
            f"--zone={node.zone}",
            f"--kubelet-root={node.kubelet_root}",
            f"--attach-limit={node.attach_limit}",
            enter=node.enter,
        )

    @property
    def sidecars(self) -> list[Daemon]:
        """Kubernetes' own, each with a client certificate of its own.

        They end at their next call after the controller has restarted, so they start and stop with
        it. Retries come every 5 s at most: a rehearsal doesn't wait for five minutes.
        """
        asks = ("--timeout=60s", "--retry-interval-max=5s")
        driver = f"--csi-address={self._controller_socket}"
        # Snapshots of groups have no kinds here; the controller would wait for them for 30 s.
        no_groups = "--feature-gates=CSIVolumeGroupSnapshot=false"
        own: dict[str, tuple[str, ...]] = {
            # `--extra-create-metadata` and `--default-fstype` as in both drivers' own manifests.
            "csi-provisioner": (driver, *asks, "--extra-create-metadata", "--default-fstype=ext4", "--feature-gates=Topology=true"),
            "csi-attacher": (driver, *asks, "--default-fstype=ext4"),
            "csi-resizer": (driver, *asks, "--handle-volume-inuse-error=false"),
            "csi-snapshotter": (driver, *asks, no_groups),
            "snapshot-controller": ("--retry-interval-max=5s", no_groups),
        }
        return [self._daemon(name, name, f"--kubeconfig={self._layout.kubeconfig(name)}", *flags) for name, flags in own.items()]

    @property
    def daemons(self) -> list[Daemon]:
        """All of them, in the order in which they start."""
        return [self.controller, *(self.node(node) for node in self.nodes), *self.sidecars]

    def start(self) -> None:
        """Start what doesn't run; the API server must. Raises MachineError with a log's end."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for sidecar in SIDECARS:
            self.control_plane.make_user(sidecar)
        self.control_plane.kubectl(
            "apply", "--server-side", "--force-conflicts", *(f"--filename={self._programs / name}.yaml" for name in CRDS)
        )
        self.control_plane.apply(objects(DRIVERS[self.flavour]))
        if self.controller.process() is None:
            stop_all(self.sidecars, 10)
            self.controller.start()
        wait_for(self._controller_socket.exists, "its socket is not there", [self.controller], 30)
        for node in self.nodes:
            if self.node(node).process() is None:
                self._node_socket(node).unlink(missing_ok=True)  # a lost node's, on which nobody answers
            self.node(node).start()
        for sidecar_daemon in self.sidecars:
            sidecar_daemon.start()

    def wait_until_registered(self) -> None:
        """Wait until every node's process runs, and its kubelet has told the API server of the
        driver: before that no pod with one of its volumes can be placed there.

        A node that was lost is still told of, so that alone says nothing. Raises MachineError with
        a log's end.
        """
        for node in self.nodes:

            def registered(node: CsiNode = node) -> bool:
                with suppress(MachineError):
                    found = ask_for_object(self._layout, f"/apis/storage.k8s.io/v1/csinodes/{node.name}")
                    told = any(driver["name"] == DRIVERS[self.flavour] for driver in found["spec"].get("drivers") or [])
                    return told and self._node_socket(node).exists() and self.node(node).process() is not None
                return False

            wait_for(registered, "the node's kubelet has not registered it", [self.controller, self.node(node)], 60)

    @cached_property
    def _environment(self) -> dict[str, str]:
        return environment()

    def _common(self) -> tuple[str, ...]:
        return (f"--flavour={self.flavour}", f"--folder={self.folder}")

    @property
    def _controller_socket(self) -> Path:
        return self._layout.run / "csi.sock"

    def _node_socket(self, node: CsiNode) -> Path:
        return node.kubelet_root / "plugins" / self.flavour / "csi.sock"

    def _daemon(self, name: str, program: str, *arguments: str, enter: Sequence[str | Path] = ()) -> Daemon:
        command = [*enter, self._programs / program, *arguments]
        return Daemon(name, command, self._layout.logs, self._layout.run / "pids", self._environment)


def folder_of(layout: Layout, flavour: Flavour) -> Path:
    """Where one cloud's disks and state are, without symbolic links: the driver finds a disk's
    device by the name that the kernel has for its file."""
    return (layout.home / "csi" / flavour).resolve()


def stop_running(layout: Layout) -> None:
    """Stop whatever runs of a driver and its sidecars, by the process id files: nothing built is
    needed. The kubelets must have ended: nobody unmounts for them afterwards."""
    pids = layout.run / "pids"
    names = [path.stem for path in (*pids.glob("csi-*.json"), *pids.glob("snapshot-controller.json"))]
    stop_all([Daemon(name, [], layout.logs, pids) for name in names], 15)


def end_on_node(layout: Layout) -> None:
    """End the driver's process on one node. It has nothing to put in order."""
    stop_all([Daemon(f"csi-node-{layout.node_name}", [], layout.logs, layout.run / "pids")], 0)


def thaw(layout: Layout, enter: Sequence[str | Path]) -> None:
    """Let what is mounted of the cluster's disks be written again, before its pods are killed.

    A driver that was killed while it copied a snapshot has left its file system frozen. No process
    that writes there can end, and once unmounted it is never freed. `enter` is what a node has.
    """
    devices = {device for device, _ in attached(layout.home / "csi")}
    if not devices:
        return
    mounts = subprocess.run([*enter, "cat", "/proc/self/mounts"], capture_output=True, text=True, check=False).stdout
    for line, place in zip(mounts.splitlines(), host.mount_points(mounts), strict=True):
        if line.split(" ")[0] in devices:
            with suppress(OSError):  # no such program: no driver has run here
                subprocess.run([*enter, "fsfreeze", "--unfreeze", place], capture_output=True, check=False)


def release(layout: Layout, kubelet_roots: Sequence[Path]) -> None:
    """Unmount and detach every disk of the cluster, and look whether that is so.

    The kubelets and the drivers must have ended. The disks' files stay. Raises MachineError with
    what is left: deleting the files would then only hide it.
    """
    folder = layout.home / "csi"
    for root in kubelet_roots:
        host.unmount_below(root)
    for device, file in attached(folder):
        _detach(device, file)
    # The kernel answers at once, even while something still has a device open.
    deadline = time.monotonic() + _DETACHED_WITHIN
    while left := attached(folder):
        if time.monotonic() > deadline:
            named = "\n".join(f"  {device}: {file}" for device, file in left)
            raise MachineError(
                f"these disks are still attached:\n{named}",
                "`grep /dev/loop /proc/*/mounts` shows who has them; end that and run this again.",
            )
        time.sleep(0.1)


def _detach(device: str, file: Path) -> None:
    """Free a loop device, if it still is this file's: while it is open here, nobody else gets
    it."""
    with suppress(OSError):
        opened = os.open(device, os.O_RDONLY)
        try:
            if _is_of(opened, file):
                fcntl.ioctl(opened, _LOOP_CLR_FD, 0)
        finally:
            os.close(opened)


def attached(folder: Path) -> list[tuple[str, Path]]:
    """Every loop device of a file below `folder`, with the file, whether that is still there or
    not.

    The containers of a machine share its loop devices. Another one's may be of a file with the same
    path: those are left out.
    """
    folder, found = folder.resolve(), []
    for noted in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):  # detached in this moment
            name = noted.read_text().rstrip("\n")
            file = Path(name.removesuffix(_DELETED))
            device = f"/dev/{noted.parent.parent.name}"
            if folder in file.parents and (name.endswith(_DELETED) or file.exists()) and _may_be_of(device, file):
                found.append((device, file))
    return sorted(found)


def _may_be_of(device: str, file: Path) -> bool:
    """Whether a device is this file's, also where it can't be asked: then nothing can detach it."""
    try:
        opened = os.open(device, os.O_RDONLY)
    except OSError:
        return True
    try:
        return _is_of(opened, file)
    finally:
        os.close(opened)


def _is_of(opened: int, file: Path) -> bool:
    """Whether an open loop device is of the file that this process sees under its name. Of a
    deleted one it is asked whether it was in the same file system."""
    said = bytearray(_LOOP_INFO64.size)
    fcntl.ioctl(opened, _LOOP_GET_STATUS64, said)
    file_system, inode = _LOOP_INFO64.unpack(said)
    try:
        status = file.stat()
    except FileNotFoundError:
        there = next(parent for parent in file.parents if parent.exists())
        return bool(there.stat().st_dev == file_system)
    return (status.st_dev, status.st_ino) == (file_system, inode)


def contents(layout: Layout) -> list[str]:
    """The disks and snapshots that deleting the cluster would delete, a line each."""
    lines = []
    for kind, word in (("disks", "volume"), ("snapshots", "snapshot")):
        for file in sorted((layout.home / "csi").glob(f"*/{kind}/*")):
            status = file.stat()
            size, used = status.st_size // 2**20, status.st_blocks * 512 // 2**20
            lines.append(f"{word} {file.name} ({size / 1024:.0f} GiB, {used} MiB of it used): {file}")
    return lines


def environment() -> dict[str, str]:
    """The environment in which the driver finds mkfs.xfs: the machine's own, or Debian's from the
    cache."""
    path = f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
    if shutil.which("mkfs.xfs", path=path):
        return {"PATH": path}
    root = debian.unpack(_XFS_PACKAGES)
    libraries = [str(folder) for folder in (*(root / "usr/lib").glob("*-linux-gnu"), *(root / "lib").glob("*-linux-gnu"))]
    return {"PATH": f"{root / 'sbin'}:{root / 'usr/sbin'}:{path}", "LD_LIBRARY_PATH": ":".join(libraries)}
