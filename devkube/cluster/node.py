"""The node of an embedded cluster: containerd, the pod network's settings and the kubelet, as host
processes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from devkube import debian, images, proxies
from devkube.cluster import csi, host
from devkube.cluster.daemons import Daemon, end
from devkube.cluster.layout import NODE_LEASE, Layout
from devkube.cluster.mount_namespace import DEVICE_PLUGINS, MountNamespace, possible
from devkube.errors import MachineError
from devkube.progress import step

_PACKAGES = ["containerd", "runc", "containernetworking-plugins"]
_RUNTIME = ["containerd", "containerd-shim-runc-v2", "ctr", "runc"]
_CNI_PLUGINS = ["bridge", "host-local", "loopback"]
_CNI_FOLDERS = [Path("/usr/lib/cni"), Path("/opt/cni/bin")]
# Of every CNI user on the machine; containerd 1.6 can't be told another.
_CNI_CACHE = Path("/var/lib/cni/results")
_POD_LOG_LINKS = Path("/var/log/containers")  # a kubelet's own, and not to be set either
# Older ones lack the options used below; 2.x has another form of settings.
_OLDEST_CONTAINERD = (1, 6)
_LATEST_CONTAINERD = (1, 7)
ZONE = "topology.kubernetes.io/zone"
_OURS = {"kube", "kubelet", "etcd", "containerd", "containerd-shim-runc-v2", "local-path-provisioner"}
_OURS |= {"kube-apiserver", "kube-controller-manager", "kube-scheduler"}
_OURS |= {"csi-driver", *csi.SIDECARS}


@dataclass(frozen=True)
class Runtime:
    """The programs that run containers, each from the machine itself or from the cache."""

    # Folder with containerd, its shim, ctr and runc; for the machine's own ones, the folder of
    # containerd.
    programs: Path
    cni: Path

    def program(self, name: str) -> Path:
        """The path of one of them."""
        here = self.programs / name
        found = here if here.exists() else shutil.which(name)
        if not found and (self.programs.parent / "sbin" / name).exists():
            found = self.programs.parent / "sbin" / name
        if not found:
            raise MachineError(f"{name} is not in {self.programs}.", f"Install the packages {' '.join(_PACKAGES)}.")
        return Path(found)


def containerd_version(program: str | Path) -> tuple[int, int] | None:
    """Major and minor version of a containerd, None if it doesn't say."""
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"\bv?(\d+)\.(\d+)\.\d+", said)
    return (int(match[1]), int(match[2])) if match else None


def find_runtime() -> Runtime:
    """What the machine has, where it has all of it in versions that fit, else Debian's packages
    from the cache.

    Raises MachineError with the packages' names where neither can be had.
    """
    installed = shutil.which("containerd")
    plugins = next((folder for folder in _CNI_FOLDERS if all((folder / name).exists() for name in _CNI_PLUGINS)), None)
    complete = installed and plugins and all(shutil.which(name) for name in _RUNTIME)
    if complete and installed and plugins:
        version = containerd_version(installed)
        if version and _OLDEST_CONTAINERD <= version <= _LATEST_CONTAINERD:
            return Runtime(Path(installed).parent, plugins)
    root = debian.unpack(_PACKAGES)
    return Runtime(root / "usr/bin", root / "usr/lib/cni")


class Node:
    """containerd and kubelet of one node. `binaries` is the folder with the kubelet."""

    def __init__(self, layout: Layout, binaries: Path, runtime: Runtime | None, zone: str = "", *, attaches: bool = False) -> None:
        """`runtime` may be None for a node that is only to be stopped: that must work with an empty
        cache too. `zone`: the node's label topology.kubernetes.io/zone; empty for none. `attaches`:
        whether it has volumes that are attached to it."""
        self.layout = layout
        self.zone = zone
        self._attaches = attaches
        self._runtime = runtime
        pids = layout.node_run / "pids"
        programs = f"{runtime.programs}:{runtime.program('runc').parent}" if runtime else ""
        containerd = runtime.program("containerd") if runtime else Path("containerd")
        path = {"PATH": f"{programs}:{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"}
        # Images come from outside. No other daemon has anything to do there.
        pulls = {**path, **proxies.for_pulls(os.environ, layout.subnet)}
        settings = layout.node_home / "containerd.toml"
        namespace = MountNamespace(layout.node_run / "namespace", {DEVICE_PLUGINS: layout.node_home / "device-plugins"})
        # The first node is the machine itself, as it was when there were no others.
        self.namespace = namespace if layout.number > 1 and possible() else None
        # The words before a command that is to see this node's mounts.
        self.enter = self.namespace.enter if self.namespace else []
        self.containerd = Daemon("containerd", [*self.enter, containerd, f"--config={settings}"], layout.node_logs, pids, pulls)
        self.kubelet = Daemon(
            "kubelet",
            [
                *self.enter,
                binaries / "kubelet",
                f"--config={layout.node_home / 'kubelet.yaml'}",
                f"--kubeconfig={layout.kubeconfig(layout.kubelet_user)}",
                f"--root-dir={layout.kubelet_root}",
                f"--cert-dir={layout.kubelet_root / 'pki'}",
                f"--hostname-override={layout.node_name}",
                f"--node-ip={layout.address}",
                *([f"--node-labels={ZONE}={zone}"] if zone else []),
            ],
            layout.node_logs,
            pids,
            path,
        )

    @property
    def runtime(self) -> Runtime:
        """The container runtime's programs."""
        if self._runtime is None:
            self._runtime = find_runtime()
        return self._runtime

    def prepare(self) -> None:
        """Make what it needs of the machine: folders, bridge, cgroup, mount namespace; and write
        its settings.

        Raises MachineError where one of them can't be made.
        """
        own = self.layout
        for folder in (own.node_run / "pids", own.node_logs):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        host.make_bridge(own.bridge, f"{own.address}/24")
        host.make_cgroup(own.cgroup)
        if self.namespace:
            self.namespace.make()
        self.write_settings()

    def write_settings(self) -> None:
        """Write the settings of containerd, the pod network and the kubelet."""
        layout = self.layout
        for folder in (
            layout.kubelet_root,
            layout.containerd_root,
            layout.node_volumes,
            layout.node_logs / "pods",
            layout.node_home / "cni",
            layout.containerd_state,
        ):
            folder.mkdir(mode=0o700 if folder != layout.node_volumes else 0o755, parents=True, exist_ok=True)
        (layout.node_home / "containerd.toml").write_text(self._containerd_toml())
        (layout.node_home / "cni/10-bridge.conflist").write_text(json.dumps(self._cni(), indent=2))
        (layout.node_home / "kubelet.yaml").write_text(yaml.safe_dump(self._kubelet_settings()))

    def ctr(self, *arguments: str | Path) -> str:
        """Run containerd's own client in the kubelet's namespace; returns what it printed.

        Raises MachineError when it fails.
        """
        command = [self.runtime.program("ctr"), f"--address={self.layout.containerd_socket}", "--namespace=k8s.io", *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise MachineError(
                f"`ctr {' '.join(map(str, arguments))}` failed: {done.stderr.strip()[-500:]}", f"containerd's log: {self.containerd.log}"
            )
        return done.stdout

    def containerd_ready(self) -> bool:
        """Whether containerd answers."""
        try:
            self.ctr("--connect-timeout=2s", "version")
        except MachineError:
            return False
        return True

    def load_images(self, *archives: Path) -> None:
        """Import OCI archives, each once: an archive is known by its file name, which comes from
        its content."""
        marks = self.layout.containerd_root / "imported"
        marks.mkdir(exist_ok=True)
        new = [archive for archive in archives if not (marks / archive.name).exists()]
        if not new:
            return
        on = f" on {self.layout.node_name}" if self.layout.nodes > 1 else ""
        with step(f"Images{on}: {', '.join(archive.stem.rsplit('-', 1)[0] for archive in new)}", estimate=3):
            for archive in new:
                self.ctr("images", "import", f"--snapshotter={self._snapshotter()}", archive)
                (marks / archive.name).touch()

    def running(self) -> bool:
        """Whether one of its daemons is there."""
        return bool(self.kubelet.process() or self.containerd.process())

    def thaw(self) -> None:
        """Let pods that wait for a frozen disk go on: a kill doesn't end them before."""
        csi.thaw(self.layout, self.enter)

    def end_everything(self) -> None:
        """End the node: kubelet, then the pods at once, containerd, and whatever is left of them,
        their mounts too."""
        self.kubelet.stop()
        self.thaw()
        host.end_pods([self.layout.cgroup], 0)
        self._end_shims_and_containerd()

    def kill(self) -> None:
        """End the node as a power cut would, as far as can be: every process by SIGKILL at once,
        without a word to the API server, and its mounts with them.

        What was written is in the machine's memory all the same: no write is lost.
        """
        for daemon in (self.kubelet, self.containerd):
            process = daemon.process()
            if process:
                with suppress(psutil.Error):
                    process.kill()
            daemon.stop()
        self.thaw()
        host.kill_pods(self.layout.cgroup)
        self._end_shims_and_containerd()

    def _end_shims_and_containerd(self) -> None:
        shims = [each for each in self._processes({"containerd-shim-runc-v2"}) if self._is_here(each)]
        sockets = self._shim_sockets()
        for shim in shims:
            with suppress(psutil.Error):
                shim.kill()
        end(shims, 5)
        self.containerd.stop()
        for socket in sockets:
            socket.unlink(missing_ok=True)
        csi.end_on_node(self.layout)  # a process in the namespace would keep it
        if self.namespace:
            self.namespace.remove()
        host.unmount_below(self.layout.containerd_state)
        host.unmount_below(self.layout.kubelet_root)
        host.delete_cgroup(self.layout.cgroup)
        self._forget_links()

    def _is_here(self, shim: psutil.Process) -> bool:
        """Whether a shim of the cluster's is this node's: it was told its containerd's socket."""
        with suppress(psutil.Error):
            return str(self.layout.containerd_socket) in shim.cmdline()
        return False

    def leftovers(self) -> list[psutil.Process]:
        """Processes of the whole cluster that no process id file names any more."""
        return list(self._processes(_OURS))

    def _processes(self, names: set[str]) -> Iterator[psutil.Process]:
        """Processes with one of `names` that were started with a path of this cluster: nobody
        else's have one."""
        marks = (f"{self.layout.home}/", f"{self.layout.run}/")
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                command = process.cmdline()
                ours = command and Path(command[0]).name in names and any(mark in word for word in command[1:] for mark in marks)
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    yield process

    def _shim_sockets(self) -> list[Path]:
        """The sockets of our shims: containerd 1.6 keeps them in a folder that all containerds
        share."""
        found = []
        for address in host.files_named(self.layout.containerd_state, "address"):
            with suppress(OSError):
                text = address.read_text().strip()
                if text.startswith("unix:///run/containerd/s/"):
                    found.append(Path(text.removeprefix("unix://")))
        return found

    def _forget_links(self) -> None:
        """Remove what the kubelet and the pod network note in folders that the whole machine
        shares, as far as it is ours."""
        for link in _POD_LOG_LINKS.glob("*.log"):
            with suppress(OSError):
                if link.is_symlink() and str(link.readlink()).startswith(f"{self.layout.node_logs}/pods/"):
                    link.unlink()
        ours = re.compile(rf"^{re.escape(self.layout.network)}-([0-9a-f]{{64}})-eth0$")
        if _CNI_CACHE.is_dir():
            for note in list(_CNI_CACHE.iterdir()):
                match = ours.match(note.name)
                if match:
                    (_CNI_CACHE / f"cni-loopback-{match[1]}-lo").unlink(missing_ok=True)
                    note.unlink(missing_ok=True)

    def _snapshotter(self) -> str:
        """overlayfs where the file system can carry it (one overlay can't lie on another), else
        plain copies."""
        if not hasattr(self, "_kind_of_snapshots"):
            self._kind_of_snapshots = "overlayfs" if _overlay_works(self.layout.node_home) else "native"
        return self._kind_of_snapshots

    def _containerd_toml(self) -> str:
        layout = self.layout
        return f"""version = 2
root = "{layout.containerd_root}"
state = "{layout.containerd_state}"
oom_score = 0
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
address = "{layout.containerd_socket}"

[debug]
level = "warn"

[plugins."io.containerd.internal.v1.opt"]
path = "{layout.containerd_root / "opt"}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{images.reference("pause")}"
disable_tcp_service = true
stream_server_address = "127.0.0.1"
stream_server_port = "0"
restrict_oom_score_adj = {str(not host.has_sys_resource()).lower()}
netns_mounts_under_state_dir = true
disable_apparmor = {str(not Path("/sys/module/apparmor/parameters/enabled").exists()).lower()}

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{self.runtime.cni}"
conf_dir = "{layout.node_home / "cni"}"

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{self._snapshotter()}"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{self.runtime.program("runc")}"
Root = "{layout.node_run / "runc"}"
SystemdCgroup = false
"""

    def _cni(self) -> dict[str, object]:
        """Pods reach each other and the node, nothing else: no masquerading, no forwarding, no
        default route."""
        first, last = self.layout.pod_addresses
        return {
            "cniVersion": "0.4.0",
            "name": self.layout.network,
            "plugins": [
                {
                    "type": "bridge",
                    "bridge": self.layout.bridge,
                    "isGateway": False,
                    "ipMasq": False,
                    "hairpinMode": True,
                    "ipam": {
                        "type": "host-local",
                        "dataDir": str(self.layout.node_run / "addresses"),
                        "ranges": [[{"subnet": self.layout.subnet, "rangeStart": first, "rangeEnd": last}]],
                    },
                }
            ],
        }

    def _kubelet_settings(self) -> dict[str, object]:
        layout = self.layout
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": layout.address,
            "port": layout.ports.kubelet,
            "readOnlyPort": 0,
            # Another node has the port on loopback already.
            "healthzBindAddress": "127.0.0.1" if layout.number == 1 else layout.address,
            "healthzPort": layout.ports.kubelet_healthz,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
            },
            "authorization": {"mode": "Webhook"},
            "rotateCertificates": False,
            # A certificate signed by the cluster's CA, so that the API server can verify the
            # kubelet.
            "serverTLSBootstrap": True,
            "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{layout.cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "makeIPTablesUtilChains": False,
            "podLogsDir": str(layout.node_logs / "pods"),
            "volumePluginDir": str(layout.kubelet_root / "volumeplugins"),
            "maxPods": layout.most_pods,
            # How soon a grown disk is seen, and its file system grown: at a pod's next turn. The
            # default is a minute.
            "syncFrequency": "10s",
            # A pod starts only once its node has told which volumes it uses, and a volume is
            # detached only once it tells of it no more. The default is every 10 seconds.
            **({"nodeStatusUpdateFrequency": "1s", "nodeStatusReportFrequency": "5m"} if self._attaches else {}),
            **({"nodeLeaseDurationSeconds": NODE_LEASE} if layout.nodes > 1 else {}),
            # The kubelet's defaults (10 and 15 %) would evict every pod of a laptop whose disk is
            # merely well filled.
            "evictionHard": {
                "memory.available": "50Mi",
                "nodefs.available": "1%",
                "nodefs.inodesFree": "1%",
                "imagefs.available": "1%",
                "imagefs.inodesFree": "1%",
            },
            "imageGCHighThresholdPercent": 100,  # never: local images can't be pulled again
            "imageGCLowThresholdPercent": 99,
            "resolvConf": "",
            "shutdownGracePeriod": "0s",
        }


def _overlay_works(folder: Path) -> bool:
    """Whether an overlay can be mounted on the file system that `folder` is on."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".overlay-") as temporary:
        base = Path(temporary)
        for name in ("lower", "upper", "work", "merged"):
            (base / name).mkdir()
        options = f"lowerdir={base / 'lower'},upperdir={base / 'upper'},workdir={base / 'work'}"
        mounted = subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, base / "merged"], capture_output=True, check=False)
        if mounted.returncode == 0:
            subprocess.run(["umount", base / "merged"], check=True)
        return mounted.returncode == 0
