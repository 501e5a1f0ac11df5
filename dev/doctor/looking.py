"""Finds the facts: looks, and asks programs and the cluster. Changes and starts nothing."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import psutil

from dev.doctor import programs
from dev.doctor.cluster_facts import about, ask_api
from dev.doctor.facts import ClusterFacts, Disk, DockerFacts, Facts, Inotify
from dev.doctor.parts import NAMES
from dev.doctor.question import SECONDS, Question
from devkube import paths, proxies
from devkube.cluster import Cluster, embedded, host
from devkube.cluster.kind import checks
from devkube.cluster.layout import MOST_NODES
from devkube.toolchain.build import go_version

PACKAGES = ("pulumi", "pulumi-kubernetes", "pulumi-command")


def everything(up: str, context: Callable[[], str], choose: Callable[[str], Cluster]) -> Facts:
    """All facts for a stack; it takes little more than a second at the most.

    `up` is the command that brings it up, `context` gives the context that it names, and `choose`
    its cluster. Both may raise MachineError, where there can be none.
    """
    until = time.monotonic() + SECONDS
    parts = {name: Question(partial(programs.part, name)) for name in NAMES}
    docker, kind = Question(programs.docker), Question(programs.kind)
    go, builds_with = Question(programs.go), Question(go_version)
    chosen = Question(lambda: about(context, choose))
    answered = Question(lambda: ask_api(chosen.answer(until)))
    here = _here()  # meanwhile
    found = answered.answer(until) or chosen.answer(until)
    of_docker = docker.answer(until)
    return Facts(
        up,
        **here,
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in PACKAGES},
        parts={name: question.answer(until) for name, question in parts.items()},
        go=go.answer(until),
        builds_with=builds_with.answer(until) or "",
        docker=of_docker,
        kind=kind.answer(until),
        cluster=found,
        disks=disks(found, of_docker),
    )


def before_start(up: str, context: str, cluster: Cluster) -> Facts:
    """What decides whether `make up` can go on with the cluster: asks no more than that takes.

    The engine isn't asked for, and neither is a cluster of this clone that runs: that is done next.
    """
    found = about(lambda: context, lambda _: cluster)
    until = time.monotonic() + SECONDS
    here = _here()
    if found.way == "existing":
        answered = Question(lambda: ask_api(found)).answer(until)
        return Facts(up, **here, cluster=answered or found, disks=disks(found, None))
    if found.way == "embedded" or found.running:
        return Facts(up, **here, cluster=found, disks=disks(found, None))
    asked_docker, asked_kind = Question(programs.docker), Question(programs.kind)
    docker = asked_docker.answer(until)
    return Facts(up, **here, cluster=found, docker=docker, kind=asked_kind.answer(until), disks=disks(found, docker))


def _here() -> dict[str, Any]:
    """What needs nobody's answer."""
    return {
        "embedded_lacks": tuple(embedded.lacking()),
        "other_provider": checks.other_provider() or "",
        "memory": psutil.virtual_memory().total,
        "inotify": inotify(nodes=MOST_NODES),
        "cgroups": cgroups(),
        "proxies": proxies.named(),
    }


def inotify(folder: Path = Path("/proc/sys/fs/inotify"), nodes: int = 1) -> Inotify | None:
    """The kernel's limits; None where the system has no inotify. An embedded cluster of so many
    nodes is what the rest is counted for."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        instances, watches = (int((folder / name).read_text()) for name in ("max_user_instances", "max_user_watches"))
    except (OSError, ValueError):
        return None
    return Inotify(instances, watches, host.inotify_instances_left(embedded.inotify_instances(nodes)))


def cgroups(folder: Path = Path("/sys/fs/cgroup")) -> Literal["v1", "hybrid", "v2", ""]:
    """How this machine has its cgroups; empty where it has none.

    Hybrid is v1 with an empty hierarchy of v2 beside it, as systemd arranges it.
    """
    if (folder / "cgroup.controllers").exists():
        return "v2"
    if (folder / "unified" / "cgroup.controllers").exists():
        return "hybrid"
    return "v1" if any(folder.glob("*/cgroup.procs")) else ""


def disks(cluster: ClusterFacts | None, docker: DockerFacts | None) -> tuple[Disk, ...]:
    """The folders that fill: the cache, the cluster's volumes, Docker's images where they are
    used."""
    folders = {"cache": paths.cache()}
    if cluster and cluster.volumes:
        folders["volumes"] = cluster.volumes
    engine = docker.engine if docker else None
    if cluster and cluster.way == "kind" and engine and engine.here and engine.folder:
        folders["Docker"] = Path(engine.folder)
    return tuple(Disk(what, folder, shutil.disk_usage(_there(folder)).free) for what, folder in folders.items())


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there and that this user may see."""
    return next(each for each in (folder, *folder.parents) if os.path.exists(each))  # noqa: PTH110 - Path.exists raises for what it may not see
