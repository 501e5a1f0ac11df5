"""The mount namespace of one node: what it mounts, neither the machine nor another node sees."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from devkube import paths
from devkube.cluster import host
from devkube.errors import MachineError

# Where every kubelet makes its socket for device plugins, whatever its own folder is
# (k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1, DevicePluginPath).
DEVICE_PLUGINS = Path("/var/lib/kubelet/device-plugins")


@lru_cache
def possible() -> bool:
    """Whether this kernel lets this user make one, and util-linux's programs for it are there."""
    if not (shutil.which("unshare") and shutil.which("nsenter")):
        return False
    return subprocess.run(["unshare", "--mount", "--propagation=slave", "true"], capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class MountNamespace:
    """A mount namespace that lasts without a process in it, because a file in `folder` names it.

    The machine's later mounts and unmounts reach it, its own reach nobody.
    """

    folder: Path
    # What lies over a folder of the machine in it: the machine's folder, and that in its place.
    instead: Mapping[Path, Path]

    @property
    def file(self) -> Path:
        """What names it."""
        return self.folder / "mnt"

    @property
    def enter(self) -> list[str | Path]:
        """The words before a command that is to run in it. The command has their process id."""
        return ["nsenter", f"--mount={self.file}"]

    def make(self) -> None:
        """Make it, unless it is there.

        Raises MachineError with the words of the program that failed.
        """
        instead = {place.resolve() for place in self.instead}
        if self.file.resolve() in host.mounts_below(self.folder) and instead <= set(self.mounts()):
            return
        host.unmount_below(self.folder)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.touch()
        # A namespace can't be named on a mount that others get a copy of.
        _run("mount", "--bind", self.folder, self.folder)
        _run("mount", "--make-private", self.folder)
        _run("unshare", f"--mount={self.file}", "--propagation=slave", "true")
        self._forget_other_nodes()
        # As systemd has it on a machine: pods may ask for mounts that the node sees too.
        _run(*self.enter, "mount", "--make-rshared", "/")
        for place, own in self.instead.items():
            for folder in (place, own):
                folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            _run(*self.enter, "mount", "--bind", own, place)

    def mounts(self) -> list[Path]:
        """Where something is mounted in it."""
        return host.mount_points(_run(*self.enter, "cat", "/proc/self/mounts"))

    def _forget_other_nodes(self) -> None:
        """A new namespace has what the machine has mounted, other nodes' volumes too: they would
        stay in use here after those nodes have unmounted them."""
        for _ in range(20):  # some may go meanwhile, some lie on each other
            others = [point for point in self.mounts() if is_a_nodes(point)]
            if not others:
                return
            subprocess.run([*self.enter, "umount", "--lazy", *others], capture_output=True, check=False)
        raise MachineError(f"these can't be unmounted in {self.file}: {', '.join(map(str, others))}.", "Stop the other clusters first.")

    def remove(self) -> None:
        """Remove it with all its mounts. No process may be in it any more: the last one to leave
        takes them along."""
        host.unmount_below(self.folder)


def is_a_nodes(point: Path) -> bool:
    """Whether a node has mounted it: what lies in a cluster's folders. What is mounted on the
    folder of a cluster, or on that of its volumes or below, is the user's doing."""
    for base in (paths.MACHINE_STATE.resolve(), paths.MACHINE_RUN.resolve()):
        if point.is_relative_to(base):
            inside = point.relative_to(base).parts[1:]
            return bool(inside) and inside[0] != "volumes"
    return False


def _run(*command: str | Path) -> str:
    """Run a program to its end; what it printed. Raises MachineError with its words."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = " ".join(map(str, command))
        raise MachineError(f"`{words}` failed: {done.stderr.strip()}", "Root's rights over mounts are needed (CAP_SYS_ADMIN).")
    return done.stdout
