"""Container images for a Kind cluster's nodes, imported by each node's own containerd.

`kind load docker-image` asks for every platform of an image, and Docker's present image store
(containerd's) has one alone: it fails for every official image (kind#3795).
"""

from __future__ import annotations

import json
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from devkube.cluster.kind.commands import ProgramFailed, run
from devkube.cluster.kind.nodes import KindNode
from devkube.errors import MachineError

_PLATFORMS = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7"}
_CTR = ("ctr", "--namespace=k8s.io", "images")


def image_names(node: KindNode) -> set[str]:
    """The names of all images that the node has."""
    return set(run("docker", "exec", node.name, *_CTR, "list", "--quiet").split())


def load_archive(nodes: Sequence[KindNode], archive: Path) -> None:
    """Import an OCI archive into each node that doesn't have it.

    Of this project's images, one name is made from the content: a node that has it needs no other.
    """
    names = set(_names_in(archive))
    for node in nodes:
        if not names or not names <= image_names(node):
            with archive.open("rb") as content:
                _import(node, content)


def load_pulled(nodes: Sequence[KindNode], official: str, name: str) -> None:
    """Have Docker pull the image `official`, and import it as `name` into each node without one."""
    lacking = [node for node in nodes if name not in image_names(node)]
    if not lacking:
        return
    run("docker", "pull", official)
    run("docker", "tag", official, name)
    with tempfile.TemporaryFile() as content:
        saved = subprocess.run(["docker", "save", name], stdout=content, stderr=subprocess.PIPE, check=False)
        if saved.returncode != 0:
            raise ProgramFailed(("docker", "save", name), saved.stderr.decode(errors="replace"))
        for node in lacking:
            content.seek(0)
            _import(node, content)


def _import(node: KindNode, content: IO[bytes]) -> None:
    """Import an archive for the node's own platform, whatever else its index names."""
    machine = run("docker", "exec", node.name, "uname", "-m").strip()
    platform = f"linux/{_PLATFORMS.get(machine, machine)}"
    options = ["import", f"--platform={platform}", f"--snapshotter={_snapshotter(node)}", "-"]
    command = ["docker", "exec", "--interactive", node.name, *_CTR, *options]
    done = subprocess.run(command, stdin=content, capture_output=True, check=False)
    if done.returncode != 0:
        raise ProgramFailed(command, (done.stderr or done.stdout).decode(errors="replace"))


def _snapshotter(node: KindNode) -> str:
    """Where the kubelet's pods look for unpacked layers, by the settings of the node's containerd.

    Kind chooses another one than overlayfs on some file systems (images/base: entrypoint).
    """
    try:
        plugins = tomllib.loads(run("docker", "exec", node.name, "containerd", "config", "dump")).get("plugins", {})
    except tomllib.TOMLDecodeError:
        return "overlayfs"
    before_2 = plugins.get("io.containerd.grpc.v1.cri", {}).get("containerd", {}).get("snapshotter")
    return str(before_2 or plugins.get("io.containerd.cri.v1.images", {}).get("snapshotter") or "overlayfs")


def _names_in(archive: Path) -> list[str]:
    """The names under which an OCI archive has its images."""
    try:
        with tarfile.open(archive) as tar:
            index = tar.extractfile("index.json")
            manifests = json.load(index)["manifests"] if index else []
    except (OSError, tarfile.TarError, KeyError, ValueError) as problem:
        raise MachineError(f"the image archive {archive} can't be read: {problem}", f"Delete it, then run this again: {archive}") from None
    return [name for each in manifests if (name := each.get("annotations", {}).get("io.containerd.image.name"))]
