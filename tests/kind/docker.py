"""A Docker daemon from Debian's packages, unpacked and apart from the machine's own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from filelock import FileLock, Timeout

from devkube import debian
from devkube.cluster import host
from devkube.errors import MachineError
from devkube.progress import step
from tests.kind.isolation import Namespaces
from tests.kind.parts import IPTABLES_PACKAGES, IPTABLES_PROGRAMS

# dockerd with what starts containers, and iptables with its libraries, which Docker needs to
# publish a port.
_PACKAGES = ["docker.io", "containerd", "runc", "libdevmapper1.02.1", *IPTABLES_PACKAGES]
# On a disk: Docker's overlays don't lie on other overlays, and /tmp may be memory.
HOMES = Path("/var/tmp")
_PREFIX = "storage-tiers-docker-"
_READY_WITHIN = 60.0
_MODULES = Path("/lib/modules")  # every Kind node mounts it; Docker would make it where it isn't there

# Docker asks for all capabilities for a privileged container, and runc refuses one that root itself
# lacks.
_RUNC = r"""#!/bin/sh
# runc without CAP_SYS_RESOURCE, which this machine's root lacks: taken out of what is asked for.
last=
for word; do
  case "$last" in
    --bundle | -b) edit="$word/config.json" ;;
    --process | -p) edit="$word" ;;
  esac
  last="$word"
done
[ -z "${edit:-}" ] || sed -i 's/"CAP_SYS_RESOURCE",//g; s/,*"CAP_SYS_RESOURCE"//g' "$edit"
exec @RUNC@ "$@"
"""


def lacking() -> list[str]:
    """What this machine lacks for a Docker of its own, in words; empty where it lacks nothing."""
    if not sys.platform.startswith("linux"):
        return [f"it needs Linux (this is {sys.platform})"]
    missing = []
    if os.geteuid() != 0:
        missing.append("it needs root")
    programs = [
        name for name in ("unshare", "nsenter", "mount", "umount", "ip", "sed", "apt-get", "dpkg-deb") if shutil.which(name) is None
    ]
    if programs:
        missing.append(f"it needs these programs on PATH: {', '.join(programs)}")
    return missing


def may_use_resources() -> bool:
    """Whether this process has CAP_SYS_RESOURCE (bit 24), which Docker asks for."""
    effective = re.search(r"^CapEff:\s*([0-9a-f]+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return bool(effective and int(effective[1], 16) >> 24 & 1)


def runc_script(runc: Path) -> str:
    """A program to be called as `runc`, which asks for nothing that this machine's root lacks."""
    return _RUNC.replace("@RUNC@", shlex.quote(str(runc)))


class Docker:
    """A daemon with its own folder, network, processes, mounts and cgroup: `with Docker() as …`.

    `kill` and `start` are for tests of what a restart of Docker does. When the block ends, however
    it does, nothing of it is left, neither containers nor images.
    """

    def __enter__(self) -> Self:
        """Raises MachineError where the packages can't be had, or with the daemon's last words."""
        _remove_leftovers()
        self.packages = debian.unpack(_PACKAGES)
        with ExitStack() as stack:
            self.home = stack.enter_context(_home())
            self.programs = self.home / "bin"  # what users of this Docker find first
            self._helpers = self.home / "helpers"  # what dockerd starts
            self._cgroup = self.home.name
            stack.callback(host.delete_cgroup, self._cgroup)
            self.namespaces = stack.enter_context(Namespaces())
            self._write_programs()
            self._log = stack.enter_context((self.home / "dockerd.log").open("ab"))
            self.start()
            self._exits = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()
        with suppress(subprocess.TimeoutExpired):
            self._daemon.wait(10)

    def start(self) -> None:
        """Start the daemon, and wait until it answers. Raises MachineError with its last words."""
        command = [
            *("dockerd", f"--host=unix://{self._socket}", f"--data-root={self.home / 'data'}"),
            *(f"--cgroup-parent=/{self._cgroup}", "--exec-opt=native.cgroupdriver=cgroupfs", "--oom-score-adjust=0"),
            *(f"--add-runtime=apart={self._helpers / 'runc-apart'}", "--default-runtime=apart"),
        ]
        found = shutil.which(command[0], path=self._daemon_environment()["PATH"])
        assert found, f"no dockerd in {self.packages}"
        with step("Docker", estimate=5):
            self._daemon = self.namespaces.start([found, *command[1:]], self._daemon_environment(), self._log)
            deadline = time.monotonic() + _READY_WITHIN
            while subprocess.run(self._client("version"), env=self.variables(), capture_output=True).returncode != 0:
                if self._daemon.poll() is not None or time.monotonic() > deadline:
                    raise MachineError(f"dockerd doesn't answer. The end of its log:\n{self._last_words()}")
                time.sleep(0.2)

    def kill(self) -> None:
        """Kill the daemon, as a crash does. Its containers go on until a daemon starts again."""
        self.namespaces.run("sh", "-c", "kill -9 $(cat /run/docker.pid)")
        self._daemon.wait(30)

    def client(self, *arguments: str | Path) -> str:
        """Run `docker` with these arguments; what it printed. Raises CalledProcessError."""
        done = subprocess.run(self._client(*arguments), env=self.variables(), check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def variables(self) -> dict[str, str]:
        """The environment of whoever uses this Docker, and has the machine's other programs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DOCKER_", "KIND_"))}
        return {
            **kept,
            "PATH": os.pathsep.join([str(self.programs), os.environ.get("PATH", "")]),
            "DOCKER_HOST": f"unix://{self._socket}",
            "DOCKER_CONFIG": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "user-data"),  # where a Kind cluster of the project has its volumes
        }

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have this thread, and what it starts from now on, use this Docker and its network.

        The environment is the whole process's.
        """
        before = dict(os.environ)
        with self.namespaces.joined():
            os.environ.update(self.variables())
            for name in before.keys() - self.variables().keys():
                del os.environ[name]
            try:
                yield
            finally:
                os.environ.clear()
                os.environ.update(before)

    @property
    def _socket(self) -> Path:
        return self.home / "docker.sock"

    def _client(self, *arguments: str | Path) -> list[str]:
        return [str(self.programs / "docker"), *map(str, arguments)]

    def _daemon_environment(self) -> dict[str, str]:
        """The unpacked packages first: their programs, libraries, and iptables' extensions."""
        folders = ["usr/sbin", "usr/bin", "sbin", "bin"]
        libraries = sorted({path.parent for path in self.packages.glob("**/*-linux-gnu*/*.so.*")})
        extensions = next(self.packages.glob("usr/lib/*/xtables"))
        system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        return {
            "PATH": ":".join([str(self._helpers), *(str(self.packages / folder) for folder in folders), system]),
            "LD_LIBRARY_PATH": ":".join(map(str, libraries)),
            "XTABLES_LIBDIR": str(extensions),
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }

    def _write_programs(self) -> None:
        """The names by which dockerd, and users, find what they start."""
        self.programs.mkdir()
        (self.programs / "docker").symlink_to(self.packages / "usr/bin/docker")
        self._helpers.mkdir()
        multi_call = next(self.packages.glob("**/xtables-nft-multi"))
        for name in IPTABLES_PROGRAMS:
            (self._helpers / name).symlink_to(multi_call)
        runc = next(self.packages.glob("usr/*bin/runc"))
        apart = self._helpers / "runc-apart"
        if may_use_resources():
            apart.symlink_to(runc)
        else:
            apart.write_text(runc_script(runc))
            apart.chmod(0o755)

    def _last_words(self) -> str:
        lines = (self.home / "dockerd.log").read_text(errors="replace").splitlines()
        return "\n".join(f"  {line[:300]}" for line in lines[-8:])


@contextmanager
def _home() -> Iterator[Path]:
    """A folder for one daemon. Its lock tells others that whoever made it is alive."""
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=HOMES))
    made_modules = not _MODULES.exists()
    try:
        with FileLock(folder / "lock"):
            yield folder
    finally:
        host.remove_tree(folder)
        if made_modules:
            with suppress(OSError):  # not there, or somebody's by now
                _MODULES.rmdir()


def _remove_leftovers() -> None:
    """What runs that were killed have left: a folder and a cgroup each, and no process."""
    for folder in HOMES.glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout), FileLock(folder / "lock", timeout=0):
            host.delete_cgroup(folder.name)
            host.remove_tree(folder)
