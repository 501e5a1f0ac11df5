"""A containerd that runs for a moment, to have images in a folder as containerd keeps them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devkube import debian
from devkube.errors import MachineError
from tests.kind.parts import output


class Ctr:
    """containerd's client on a containerd of our own."""

    def __init__(self, program: Path, address: Path) -> None:
        self.command = [str(program), f"--address={address}", "--namespace=k8s.io"]

    def __call__(self, *arguments: str) -> str:
        return output(*self.command, *arguments)


@contextmanager
def containerd(root: Path) -> Iterator[Ctr]:
    """A containerd that keeps what is imported in `root`, for as long as the block lasts."""
    programs = debian.unpack(["containerd", "runc", "containernetworking-plugins"]) / "usr/bin"
    shutil.rmtree(root, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="containerd-") as temporary:
        state = Path(temporary)
        settings = state / "config.toml"
        settings.write_text(
            f'version = 2\nroot = "{root}"\nstate = "{state / "state"}"\noom_score = 0\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{state / "sock"}"\n[plugins."io.containerd.internal.v1.opt"]\npath = "{state / "opt"}"\n'
        )
        ctr = Ctr(programs / "ctr", state / "sock")
        with (state / "log").open("wb") as log:
            process = subprocess.Popen([programs / "containerd", f"--config={settings}"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait_for(ctr, process, state / "log")
            yield ctr
        finally:
            process.terminate()
            process.wait(30)


def _wait_for(ctr: Ctr, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            ctr("version")
            return
        except MachineError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f"containerd doesn't answer: {log.read_text(errors='replace')[-500:]}") from None
            time.sleep(0.2)
