"""What a volume can lie on: file systems of the tests' own, mounted where a class of the
provisioner makes its volumes.

Each is a context manager: mounted while it lasts, unmounted whatever happens. `cut` is a power cut:
what was not synced by then is lost, and the file system is mounted again with what the medium has.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Literal, Self

import pytest

from devkube import paths
from devkube.cluster import host
from devkube.debian import unpack
from tests.conftest import eventually

# ioctl FS_IOC_SHUTDOWN of ext4 and XFS (include/uapi/linux/fs.h): the file system stops at once;
# with this flag the journal's unwritten part is lost, too, as in a power cut.
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG = 2
_LAGGING_DISK = Path(__file__).with_name("lagging_disk.py")


def run(*command: str | Path) -> str:
    """Run a program of the system; fails the test with what it said when it fails."""
    done = subprocess.run(list(command), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}"
    return done.stdout


def mounts() -> list[list[str]]:
    """The machine's mounts as proc(5) has them in mountinfo: [2] is the file system's number, [4]
    where it is mounted.
    """
    return [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]


class Medium(ABC):
    """A file system at `point` that a test can do things to.

    `work` is a folder for whatever it is made of.
    """

    def __init__(self, point: Path, work: Path) -> None:
        self.point = point
        self.work = work

    def __enter__(self) -> Self:
        self.work.mkdir(parents=True)
        self.point.mkdir(mode=0o755)
        try:
            self.make()
            self.mount()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        host.unmount_below(self.point)
        self.stop()
        if self.point.exists():
            self.point.rmdir()
        shutil.rmtree(self.work)

    @abstractmethod
    def make(self) -> None:
        """Make what `mount` mounts."""

    @abstractmethod
    def mount(self) -> None:
        """Mount it."""

    def stop(self) -> None:
        """End whatever serves it."""
        return

    def unmount(self) -> None:
        """Unmount it, once nothing of a pod is mounted from it any more: the next mount of the same
        device must be a new one.
        """
        number = next(mount[2] for mount in mounts() if mount[4] == str(self.point))
        end = time.monotonic() + 30
        while len(users := [mount[4] for mount in mounts() if mount[2] == number]) > 1:
            if time.monotonic() > end:
                pytest.fail(f"still mounted from {self.point}: {users}")
            time.sleep(0.1)
        run("umount", self.point)


class Memory(Medium):
    """tmpfs of `size` bytes."""

    def __init__(self, point: Path, work: Path, size: int) -> None:
        super().__init__(point, work)
        self.size = size

    def make(self) -> None:
        """Nothing: memory is there."""

    def mount(self) -> None:
        run("mount", "-t", "tmpfs", "-o", f"size={self.size},mode=0755", "tmpfs", self.point)


class Loop(Medium):
    """ext4 or XFS on a loop device of `size` bytes. XFS needs 300 MiB at least (mkfs.xfs(8))."""

    def __init__(self, point: Path, work: Path, kind: Literal["ext4", "xfs"], size: int) -> None:
        super().__init__(point, work)
        self.kind = kind
        self.size = size

    @property
    def image(self) -> Path:
        return self.work / "image"

    def make(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(self.size)
        if self.kind == "ext4":
            # errors=remount-ro is what distributions format with: after an error nothing more is
            # written
            run("mkfs.ext4", "-q", "-F", "-e", "remount-ro", self.image)
        else:
            program, environment = xfs_tool()
            done = subprocess.run([program, "-q", self.image], env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr

    def mount(self, options: str = "rw") -> None:
        run("mount", "-t", self.kind, "-o", f"loop,{options}", self.image, self.point)

    @property
    def device(self) -> str:
        return next(mount[mount.index("-") + 2] for mount in mounts() if mount[4] == str(self.point))

    def unmount(self) -> None:
        """Unmount it, and wait until no other mount namespace has it mounted any more.

        A container that is being started by anybody on this machine has a copy of all mounts for a
        moment. While one is there, the kernel gives the next mount of the device the same file
        system again, shut down as it is.
        """
        kept = Path("/sys/fs", self.kind, Path(self.device).name)
        super().unmount()
        eventually(lambda: not kept.exists(), f"no other mount namespace has {self.image} mounted, and {kept} is gone", 30)

    def shut_down(self) -> None:
        """From now on every operation fails, as with a device that is gone."""
        descriptor = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("I", _WITHOUT_LOG))
        finally:
            os.close(descriptor)

    def remount(self, options: str = "rw") -> None:
        """Unmount and mount it.

        After a fault it is as good as new, with what its journal recovers.
        """
        self.unmount()
        self.mount(options)

    def cut(self) -> None:
        """Power cut, then the journal's recovery."""
        self.shut_down()
        self.remount()

    def turn_read_only(self) -> None:
        """ext4 only: as after an error that the kernel has found in the file system, which then
        lets nobody write any more.
        """
        trigger = Path("/sys/fs/ext4", Path(self.device).name, "trigger_fs_error")
        trigger.write_text("1")


class LaggingDisk(Medium):
    """The file system of tests/faults/lagging_disk.py, whose medium has what was acknowledged `lag`
    seconds later.
    """

    def __init__(self, point: Path, work: Path, lag: float) -> None:
        super().__init__(point, work)
        self.lag = lag
        self.server: subprocess.Popen[bytes] | None = None

    def make(self) -> None:
        for name in ("live", "medium"):
            (self.work / name).mkdir()

    def mount(self) -> None:
        packages = unpack(["python3-fusepy", "libfuse2"])
        library = next(packages.rglob("libfuse.so.2"))
        environment = {**os.environ, "PYTHONPATH": str(packages / "usr/lib/python3/dist-packages"), "FUSE_LIBRARY_PATH": str(library)}
        command = [sys.executable, str(_LAGGING_DISK), str(self.point), str(self.work / "live"), str(self.work / "medium")]
        log = (self.work / "log").open("ab")
        with log:
            self.server = subprocess.Popen([*command, "--lag", str(self.lag)], env=environment, stdout=log, stderr=log, cwd=paths.ROOT)
        end = time.monotonic() + 20
        while not self.point.is_mount():
            assert self.server.poll() is None, (self.work / "log").read_text()
            if time.monotonic() > end:
                pytest.fail(f"not mounted: {(self.work / 'log').read_text()}")
            time.sleep(0.05)

    def stop(self) -> None:
        if self.server:
            self.server.kill()
            self.server.wait(10)

    def cut(self) -> None:
        """Power cut: the server is killed, and only what had come to the medium is left."""
        self.stop()
        self.unmount()
        shutil.rmtree(self.work / "live")
        run("cp", "-a", self.work / "medium", self.work / "live")
        self.mount()


def xfs_tool() -> tuple[Path | str, dict[str, str]]:
    """mkfs.xfs and the environment that it needs: the system's, else Debian's, unpacked."""
    found = shutil.which("mkfs.xfs")
    if found:
        return found, dict(os.environ)
    packages = unpack(["xfsprogs", "libinih1", "liburcu8"])
    libraries = sorted({str(path.parent) for path in packages.rglob("*.so.*")})
    return packages / "sbin/mkfs.xfs", {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}
