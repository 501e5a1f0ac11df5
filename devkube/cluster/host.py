"""What a cluster makes on the machine besides files and processes: a bridge, cgroups, mounts.

And how it goes away again.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from devkube.errors import MachineError

_CGROUPS = Path("/sys/fs/cgroup")


def _octal(text: str) -> str:
    """A path as /proc/self/mounts writes it (space is \\040 and so on), as it is."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def mounts_below(folder: Path) -> list[Path]:
    """Every mount point at or below `folder`, the innermost first.

    As the kernel names them: without symbolic links, which the folder may have on its way.
    """
    folder = folder.resolve()
    points = mount_points(Path("/proc/self/mounts").read_text())
    found = [point for point in points if point == folder or folder in point.parents]
    return sorted(found, key=lambda point: len(point.parts), reverse=True)


def mount_points(mounts: str) -> list[Path]:
    """Where something is mounted, by the text of /proc/self/mounts."""
    return [Path(_octal(line.split(" ")[1])) for line in mounts.splitlines()]


def unmount_below(folder: Path) -> None:
    """Unmount everything at or below `folder`.

    A busy mount is detached (it goes when its last user has gone).
    """
    for _ in range(20):  # mounts on top of each other need a turn each
        points = mounts_below(folder)
        if not points:
            return
        for point in points:
            done = subprocess.run(["umount", point], capture_output=True, check=False)
            if done.returncode != 0:
                subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)
    raise MachineError(f"these can't be unmounted: {', '.join(map(str, mounts_below(folder)))}.", "`umount` says why; then run this again.")


def remove_tree(folder: Path) -> None:
    """Delete a folder, never through a mount: what is mounted below it is unmounted first, or
    nothing is deleted."""
    unmount_below(folder)
    if folder.exists():
        shutil.rmtree(folder)


def inotify_instances_left(wanted: int) -> int:
    """How many inotify instances this user may still make, counted up to `wanted`.

    The kernel tells it only by refusing one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    made: list[int] = []
    try:
        while len(made) < wanted and (descriptor := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            made.append(descriptor)
        return len(made)
    finally:
        for descriptor in made:
            os.close(descriptor)


def bridge_exists(name: str) -> bool:
    """Whether this process's network has an interface of this name.

    The kernel is asked: in a network namespace of its own /sys may still show the machine's.
    """
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineError(
            f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}", "Root's rights over networks are needed (CAP_NET_ADMIN)."
        )


def make_bridge(name: str, address: str) -> None:
    """Make the bridge with its address (`198.18.7.1/24`), unless it is there."""
    if not bridge_exists(name):
        _ip("link", "add", name, "type", "bridge")
    shown = subprocess.run(["ip", "-j", "address", "show", "dev", name], capture_output=True, text=True, check=False)
    known = [info for link in json.loads(shown.stdout or "[]") for info in link.get("addr_info", [])]
    if not any(f"{info.get('local')}/{info.get('prefixlen')}" == address for info in known):
        _ip("address", "add", address, "dev", name)
    _ip("link", "set", name, "up")


def delete_bridge(name: str) -> None:
    """Delete the bridge and what still hangs on it (the pods' ends go with their pods)."""
    if not bridge_exists(name):
        return
    shown = subprocess.run(["ip", "-j", "link", "show", "master", name], capture_output=True, text=True, check=False)
    for port in json.loads(shown.stdout or "[]"):
        subprocess.run(["ip", "link", "delete", port["ifname"]], capture_output=True, check=False)
    _ip("link", "delete", name)


def cgroup_folders(name: str) -> list[Path]:
    """Where the cgroup `name` is, or would be: once with cgroup v2, once for each hierarchy with v1
    and hybrid."""
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS / name]
    hierarchies = {each.resolve() for each in _CGROUPS.iterdir() if each.is_dir()}
    return sorted(each / name for each in hierarchies if (each / "cgroup.procs").exists())


def make_cgroup(name: str) -> None:
    """Make the cgroup in every hierarchy; the kubelet wants its root to be there."""
    for folder in cgroup_folders(name):
        try:
            folder.mkdir(exist_ok=True)
        except OSError as problem:
            raise MachineError(f"the cgroup {folder} can't be made: {problem}", "A cluster needs a writable /sys/fs/cgroup.") from None
        # v1: empty in a new cgroup, and then no process may enter it.
        for item in ("cpuset.cpus", "cpuset.mems"):
            if (folder / item).exists() and not (folder / item).read_text().strip():
                with suppress(OSError):
                    (folder / item).write_text((folder.parent / item).read_text())


def files_named(folder: Path, name: str) -> list[Path]:
    """Every file of this name below `folder`.

    Folders may vanish meanwhile, as pods end: Path.rglob would raise then.
    """
    return [Path(parent, name) for parent, _, names in os.walk(folder) if name in names]


def cgroup_pids(name: str) -> set[int]:
    """Every process in the cgroup or below it."""
    pids: set[int] = set()
    for folder in cgroup_folders(name):
        for listing in files_named(folder, "cgroup.procs"):
            with suppress(OSError):
                pids.update(int(line) for line in listing.read_text().split())
    return pids - {0, os.getpid()}


def end_pods(names: Sequence[str], grace: float) -> None:
    """End all containers' processes in these cgroups: SIGTERM to each container's first process,
    SIGKILL to all that is left after `grace` seconds."""

    def pids() -> set[int]:
        return {pid for name in names for pid in cgroup_pids(name)}

    for pid in pids():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            parent = process.parent()
            if parent and parent.name().startswith("containerd-shim") and process.name() != "pause":
                process.terminate()
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(is_work(pid) for pid in pids()):
        time.sleep(0.1)
    for name in names:
        kill_pods(name)


def kill_pods(name: str) -> None:
    """Kill every process in the cgroup or below it, until there is none."""
    for _ in range(50):
        pids = cgroup_pids(name)
        if not pids:
            return
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def is_work(pid: int) -> bool:
    """Whether a process is worth waiting for: not a pod's pause process, and not a dead one."""
    try:
        process = psutil.Process(pid)
        return process.name() != "pause" and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def delete_cgroup(name: str) -> None:
    """Remove the cgroup with everything below it; there must be no process in it any more."""
    for _ in range(20):
        left = [folder for folder in cgroup_folders(name) if folder.exists()]
        if not left:
            return
        for root in left:
            for folder, _, _ in os.walk(root, topdown=False):
                with suppress(OSError):
                    Path(folder).rmdir()
        time.sleep(0.1)


def has_sys_resource() -> bool:
    """Whether this process has CAP_SYS_RESOURCE (bit 24).

    Without it a container's out-of-memory score can't be set below its parent's, and a mounted ext4
    file system can't be grown.
    """
    status = Path("/proc/self/status").read_text()
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", status, re.MULTILINE)
    return bool(effective and int(effective[1], 16) >> 24 & 1)
