"""A file system in user space whose medium lags behind what it acknowledges, as a disk with a
volatile cache does.

Started as a program of its own: `lagging_disk.py MOUNT LIVE MEDIUM --lag SECONDS`. Everything
passes through to the folder LIVE, which is what readers see (as a page cache lets them). What has
been synced comes to the folder MEDIUM as well, `lag` seconds after the sync was acknowledged: 0 is
an honest disk, which acknowledges afterwards; infinity one that never writes what it acknowledged.
What was not synced never comes there. Killing this program is the power cut: MEDIUM is then what is
left.

As on ext4, a sync of one file makes all names durable, but the data of that file only. So names are
changed first on the medium, and data by the names that its files have then. FUSE comes from
Debian's libfuse2 through python3-fusepy, unpacked by `tests.faults.media`.
"""

from __future__ import annotations

import argparse
import errno
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from fusepy import FUSE, FuseOSError, Operations, fuse_get_context  # type: ignore[import-not-found, unused-ignore]


class Change(NamedTuple):
    """One change: the method of `Medium` that makes it, and what that is called with.

    `data` is the file whose data is changed. Without it names are.
    """

    method: str
    path: str
    arguments: tuple[Any, ...]
    data: bool


class Medium:
    """A folder, and the changes that can be made in it.

    Paths begin with a slash, as the kernel gives them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def at(self, path: str) -> Path:
        return self.folder / path.lstrip("/")

    def mkdir(self, path: str, mode: int) -> None:
        self.at(path).mkdir()
        self.at(path).chmod(mode)

    def create(self, path: str, mode: int) -> None:
        os.close(os.open(self.at(path), os.O_RDWR | os.O_CREAT))
        self.at(path).chmod(mode & 0o7777)

    def write(self, path: str, data: bytes, offset: int) -> None:
        descriptor = os.open(self.at(path), os.O_WRONLY)
        try:
            os.pwrite(descriptor, data, offset)
        finally:
            os.close(descriptor)

    def truncate(self, path: str, length: int) -> None:
        os.truncate(self.at(path), length)

    def unlink(self, path: str) -> None:
        self.at(path).unlink()

    def rmdir(self, path: str) -> None:
        self.at(path).rmdir()

    def rename(self, path: str, new: str) -> None:
        self.at(path).rename(self.at(new))

    def link(self, path: str, new: str) -> None:
        self.at(new).hardlink_to(self.at(path))

    def chmod(self, path: str, mode: int) -> None:
        self.at(path).chmod(mode & 0o7777)

    def chown(self, path: str, uid: int, gid: int) -> None:
        os.chown(self.at(path), uid, gid)


class LaggingDisk(Operations):  # type: ignore[misc, unused-ignore]
    """The file system; single-threaded but for the medium's lag."""

    def __init__(self, live: Path, medium: Path, lag: float) -> None:
        self.live, self.medium, self.lag = Medium(live), Medium(medium), lag
        self.unsynced: list[Change] = []
        self.acknowledged: list[tuple[float, list[Change]]] = []  # when they come to the medium
        self.changing = threading.Lock()  # `lock` is what FUSE calls for a file lock

    def init(self, path: str) -> None:
        """Called by FUSE in the process that serves.

        A thread started earlier would not be there.
        """
        threading.Thread(target=self._write_behind, daemon=True).start()

    def _write_behind(self) -> None:
        while True:
            time.sleep(0.02)
            with self.changing:
                while self.acknowledged and self.acknowledged[0][0] <= time.monotonic():
                    self._to_medium(self.acknowledged.pop(0)[1])

    def _to_medium(self, changes: list[Change]) -> None:
        for change in changes:
            getattr(self.medium, change.method)(change.path, *change.arguments)

    def _change(self, method: str, path: str, *arguments: Any, data: bool = False) -> None:
        getattr(self.live, method)(path, *arguments)
        with self.changing:
            self.unsynced.append(Change(method, path, arguments, data))

    def _sync(self, path: str) -> int:
        with self.changing:
            names = [change for change in self.unsynced if not change.data]
            synced = names + [change for change in self.unsynced if change.data and change.path == path]
            self.unsynced = [change for change in self.unsynced if change.data and change.path != path]
            if self.lag:
                self.acknowledged.append((time.monotonic() + self.lag, synced))
            else:
                self._to_medium(synced)
        return 0

    def _give_to_group(self, path: str) -> tuple[int, int]:
        """The group that a new name in this folder gets, and the mode bit that a new folder
        inherits with it (setgid, inode(7)).
        """
        parent = self.live.at(path).parent.stat()
        return (parent.st_gid, stat.S_ISGID) if parent.st_mode & stat.S_ISGID else (fuse_get_context()[1], 0)

    def _give_to_caller(self, path: str) -> None:
        self._change("chown", path, fuse_get_context()[0], self._give_to_group(path)[0])

    # --- what FUSE calls --------------------------------------------------------------------------

    def __call__(self, op: str, *args: Any) -> Any:
        try:
            return super().__call__(op, *args)
        except FuseOSError:
            raise
        except OSError as problem:
            raise FuseOSError(problem.errno or errno.EIO) from None

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        found = self.live.at(path).lstat()
        return {name: getattr(found, name) for name in dir(found) if name.startswith("st_") and not name.endswith("_ns")}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *(each.name for each in self.live.at(path).iterdir())]

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self.live.folder)
        return {name: getattr(found, name) for name in dir(found) if name.startswith("f_") and name != "f_fsid"}

    def open(self, path: str, flags: int) -> int:
        return os.open(self.live.at(path), flags & ~(os.O_CREAT | os.O_EXCL | os.O_DIRECT))

    def create(self, path: str, mode: int, fi: object = None) -> int:
        self._change("create", path, mode)
        self._give_to_caller(path)
        return os.open(self.live.at(path), os.O_RDWR)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._change("write", path, data, offset, data=True)
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> None:
        self._change("truncate", path, length, data=True)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return self._sync(path)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return self._sync(path)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> None:
        self._change("mkdir", path, mode | self._give_to_group(path)[1])
        self._give_to_caller(path)

    def unlink(self, path: str) -> None:
        self._change("unlink", path)
        self._forget(path)

    def rename(self, old: str, new: str) -> None:
        self._change("rename", old, new)
        self._forget(new)
        with self.changing:
            self.unsynced = [self._moved(change, old, new) for change in self.unsynced]

    def link(self, target: str, source: str) -> None:
        self._change("link", source, target)

    def _forget(self, path: str) -> None:
        """The data of a file that is gone never comes to the medium."""
        with self.changing:
            self.unsynced = [change for change in self.unsynced if not (change.data and change.path == path)]

    @staticmethod
    def _moved(change: Change, old: str, new: str) -> Change:
        """A change of data by the new name of its file, or of a folder above it."""
        if change.data and (change.path == old or change.path.startswith(f"{old}/")):
            return change._replace(path=new + change.path.removeprefix(old))
        return change

    def rmdir(self, path: str) -> None:
        self._change("rmdir", path)

    def chmod(self, path: str, mode: int) -> int:
        self._change("chmod", path, mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        self._change("chown", path, uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[float, float] | None = None) -> int:
        os.utime(self.live.at(path), times)
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("mount", "live", "medium"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--lag", type=float, required=True, help="seconds; inf is never")
    given = parser.parse_args()
    disk = LaggingDisk(given.live, given.medium, given.lag)
    options: dict[str, Any] = {"allow_other": True, "default_permissions": True, "big_writes": True, "fsname": "lagging-disk"}
    FUSE(disk, str(given.mount), foreground=True, nothreads=True, **options)


if __name__ == "__main__":
    main()
