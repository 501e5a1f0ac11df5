"""The tests' own Docker: nothing of the machine's is touched, and nothing of it stays."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from devkube import paths
from devkube.cluster import host
from devkube.toolchain import build
from tests.kind import docker, parts

on_this_machine = "; ".join(docker.lacking())
needs_root = pytest.mark.skipif(bool(on_this_machine), reason=f"Docker from packages can't run here: {on_this_machine}")


def test_kube_proxy_is_of_the_same_kubernetes_as_the_other_parts() -> None:
    def kubernetes(module: Path) -> set[str]:
        return set(re.findall(r"^\s*(k8s\.io/\S+ => .*|k8s\.io/kubernetes v.*)$", (module / "go.mod").read_text(), re.MULTILINE))

    theirs = {line.removesuffix(" // indirect") for line in kubernetes(Path(parts.__file__).parent / "kube-proxy")}
    assert theirs == kubernetes(build.HERE / "node")
    assert f"k8s.io/kubernetes v{build.KUBERNETES_VERSION}" in theirs


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is for Linux, as its sed is")
@pytest.mark.parametrize("capabilities", [["CAP_SYS_RESOURCE"], ["CAP_SYS_RESOURCE", "CAP_A"], ["CAP_A", "CAP_SYS_RESOURCE"], ["CAP_A"]])
def test_runc_is_not_asked_for_what_root_lacks(tmp_path: Path, capabilities: list[str]) -> None:
    real, script, bundle = tmp_path / "runc", tmp_path / "apart", tmp_path / "bundle"
    real.write_text('#!/bin/sh\necho "$@"\n')
    script.write_text(docker.runc_script(real))
    for program in (real, script):
        program.chmod(0o755)
    bundle.mkdir()
    process = tmp_path / "process.json"
    for file in (bundle / "config.json", process):
        file.write_text(json.dumps({"capabilities": {"bounding": capabilities, "effective": capabilities}}, separators=(",", ":")))
    for words in (["--root", "/run/x", "create", "--bundle", str(bundle), "a"], ["exec", "--process", str(process), "a"], ["delete", "a"]):
        assert subprocess.run([script, *words], check=True, capture_output=True, text=True).stdout.split() == words
    left = [each for each in capabilities if each != "CAP_SYS_RESOURCE"]
    for file in (bundle / "config.json", process):
        assert json.loads(file.read_text())["capabilities"] == {"bounding": left, "effective": left}


def processes_of(pid: int) -> list[psutil.Process]:
    """All processes in the namespace of the process `pid`."""
    space = Path(f"/proc/{pid}/ns/pid").readlink()
    found = []
    for each in psutil.process_iter():
        with suppress(OSError):
            if Path(f"/proc/{each.pid}/ns/pid").readlink() == space:
                found.append(each)
    return found


@needs_root
@pytest.mark.kind
@pytest.mark.alone
@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_nothing_is_left(how: str) -> None:
    def bridges() -> set[str]:
        return {name for name in psutil.net_if_addrs() if name.startswith(("docker", "br-"))}

    before = bridges()
    script = "from tests.kind.docker import Docker\nwith Docker() as made:\n    print(made.home, flush=True)\n    input()"
    run = subprocess.Popen([sys.executable, "-c", script], cwd=paths.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    home = next(Path(line.strip()) for line in run.stdout if line.startswith(str(docker.HOMES)))
    daemons = (each for each in psutil.process_iter(["name", "cmdline"]) if each.info["name"] == "dockerd")
    daemon = next(each for each in daemons if f"--data-root={home / 'data'}" in each.info["cmdline"])
    apart = processes_of(daemon.pid)
    assert {each.name() for each in apart} >= {"dockerd", "containerd"}
    assert bridges() == before
    os.kill(run.pid, signal.Signals[how])
    run.wait(60)
    assert psutil.wait_procs(apart, 30)[1] == [], "its daemons have ended"
    if how == "SIGKILL":  # what nobody could take away, the next one does
        with docker.Docker():
            assert not home.exists()
    assert not home.exists()
    assert not [folder for folder in host.cgroup_folders(home.name) if folder.exists()]
    assert not host.mounts_below(home)
