"""A network, mounts and processes apart from the machine's, for as long as this process lives."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self

import psutil

from devkube.errors import MachineError

_FIRST_PROCESS = Path(__file__).with_name("first_process.py")
_CLONE_NEWNET = 0x40000000  # sched.h
_ENDS_WITHIN = 60.0  # seconds in which the kernel ends all processes, those of a cluster too


class Namespaces:
    """Namespaces for a network, for mounts and for processes: `with Namespaces() as apart: …`.

    Files are the machine's, but for /run, which is empty. There is a loopback interface and no way
    out. All of it ends with the block, and with this process however that ends.
    """

    def __enter__(self) -> Self:
        """Raises MachineError with what unshare said."""
        command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
        self._unshare = subprocess.Popen(
            [*command, sys.executable, "-I", str(_FIRST_PROCESS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            start_new_session=True,  # Ctrl-C is for whoever tells the parts to end, in their order
        )
        assert self._unshare.stdout and self._unshare.stderr
        try:
            if self._unshare.stdout.readline() != "ready\n":
                said = self._unshare.communicate()[1].strip()
                raise MachineError(f"namespaces of their own can't be made: {said}", "Root's rights are needed (CAP_SYS_ADMIN).")
            self.first = psutil.Process(self._unshare.pid).children()[0].pid
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._unshare.stdin:
            self._unshare.stdin.close()
        self._unshare.wait(_ENDS_WITHIN)

    def start(self, command: Sequence[str | Path], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a program in there, in a session of its own.

        The process that is returned is on the machine and ends when the program does; it doesn't
        pass on signals.
        """
        return subprocess.Popen(
            self._inside(command), env=dict(environment), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )

    def run(self, *command: str | Path) -> None:
        """Run a program in there to its end; raises CalledProcessError when it fails."""
        subprocess.run(self._inside(command), check=True, capture_output=True, cwd="/", stdin=subprocess.DEVNULL)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Have this thread, and what it starts from now on, use the network in there.

        Linux keeps a network for each thread: others go on in the one that they have.
        """
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with Path(f"/proc/{self.first}/ns/net").open() as network:
                _use(network.fileno())
            try:
                yield
            finally:
                _use(before)
        finally:
            os.close(before)

    def _inside(self, command: Sequence[str | Path]) -> list[str]:
        return ["nsenter", f"--target={self.first}", "--net", "--mount", "--pid", "--", *map(str, command)]


def _use(network: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
