"""Whether Kind can work on this machine.

`make up` asks before it makes a cluster, and `dev doctor` at any time. Each check is a function
that gives a sentence, or nothing where all is well; none changes anything.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devkube.cluster import host
from devkube.cluster.kind.commands import ProgramFailed, answer, run

# Programs that Kind uses in Docker's place when KIND_EXPERIMENTAL_PROVIDER names them (kind 0.33:
# pkg/internal/runtime). Any other value is ignored by Kind, with a warning.
_OTHER_PROVIDERS = ("podman", "nerdctl", "finch", "nerdctl.lima")
# Measured: a node's daemons take up to 26 of its user's inotify instances.
NODE_INOTIFY_INSTANCES = 26
_INOTIFY_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
# From this version on the kubelet doesn't start on cgroup v1 unless its setting failCgroupV1 is
# false (KubeletConfiguration v1beta1).
_CGROUP_V2_ONLY = (1, 35)
# The Kubernetes of Kind's own node image, by Kind's version (pkg/apis/config/defaults/image.go of
# each); one that is newer than all of these has at least the last.
_DEFAULT_KUBERNETES = {(0, 30): (1, 34), (0, 31): (1, 35), (0, 32): (1, 36), (0, 33): (1, 37)}
ON_CGROUP_V1 = "kindest/node:v1.34.0"  # the newest that starts there as it is
_CONTAINER = re.compile(r"/containers/([0-9a-f]{64})/")


@dataclass(frozen=True)
class DockerEngine:
    """What a Docker engine says of itself (`docker info`)."""

    version: str
    cgroups: str  # "1" or "2"; empty where the engine is too old to say it
    kernel: str  # as `uname -r` has it where the engine runs
    system: str  # e.g. "Debian GNU/Linux 12 (bookworm)", "Docker Desktop"
    folder: str  # where it keeps its images
    architecture: str  # e.g. x86_64, aarch64

    @property
    def here(self) -> bool:
        """Whether it runs on this machine's own kernel, and not in a virtual machine."""
        return sys.platform.startswith("linux") and self.kernel == platform.release()


def lacking() -> list[str]:
    """What this machine lacks for a Kind cluster, in words; empty where it lacks nothing."""
    missing = []
    if shutil.which("kind") is None:
        missing.append("`kind` is not on PATH (https://kind.sigs.k8s.io/docs/user/quick-start/)")
    if other := other_provider():
        missing.append(other)
    if shutil.which("docker") is None:
        missing.append("`docker` is not on PATH")
    elif problem := not_docker() or docker_silent():
        missing.append(problem)
    return missing


def unfit(image: str = "", config: str = "") -> list[str]:
    """Why a new Kind cluster would not work although nothing lacks, in words.

    `image` is the node image that it would have (empty: Kind's own), `config` the text of the
    user's kind config.
    """
    engine = docker_engine()
    reasons = [docker_elsewhere(), cgroup_refusal(engine, kubernetes_of(image), config) if engine else None]
    return [reason for reason in reasons if reason]


def other_provider() -> str | None:
    """That Kind is told to use something else than Docker; this project drives Docker alone."""
    named = os.environ.get("KIND_EXPERIMENTAL_PROVIDER", "")
    if named not in _OTHER_PROVIDERS:
        return None
    return (
        f"KIND_EXPERIMENTAL_PROVIDER={named}: a Kind cluster of this project needs Docker (unset the variable where Docker runs; or "
        f"`kind create cluster` yourself, and name its context in the stack's settings: cluster.context: kind-kind)"
    )


def not_docker() -> str | None:
    """That the program `docker` is another one under that name, as podman-docker brings it.

    Kind then finds no Docker either (kind 0.33: pkg/cluster/internal/providers/docker/util.go).
    """
    said = answer("docker", "-v")
    if not said or said.startswith("Docker version"):
        return None
    return f"`docker` on PATH is not Docker (`docker -v`: {said.splitlines()[0]})"


def docker_answers() -> bool:
    """Whether a Docker engine runs and this user may use it."""
    return docker_silent() is None


def docker_silent() -> str | None:
    """That no Docker engine answers this user, with Docker's own words; None where one does."""
    try:
        said = run("docker", "version", "--format", "{{.Server.Version}}", seconds=20).strip()
    except ProgramFailed as problem:
        said = ""
        cause = problem.said
    else:
        cause = "it names no version of its own"
    if said:
        return None
    help_ = "; this user may not use it: `sudo usermod -aG docker $USER`, then log in again" if "permission denied" in cause else ""
    named = os.environ.get("DOCKER_HOST", "")
    where = f"; DOCKER_HOST={named} says where it is (`unset DOCKER_HOST`: the engine of this machine)" if named else ""
    return f"the Docker engine does not answer (`docker version`): {' '.join(cause.split())}{help_}{where}"


def docker_engine() -> DockerEngine | None:
    """What the engine says of itself; None where it doesn't answer."""
    said = answer("docker", "info", "--format", "{{json .}}")
    try:
        info = json.loads(said or "{}")
    except ValueError:
        return None
    if not isinstance(info, dict) or not info.get("ServerVersion"):
        return None
    keys = ("ServerVersion", "CgroupVersion", "KernelVersion", "OperatingSystem", "DockerRootDir", "Architecture")
    return DockerEngine(*(str(info.get(key) or "") for key in keys))


def docker_endpoint() -> str:
    """Where `docker` looks for its engine, e.g. unix:///var/run/docker.sock.

    Both DOCKER_HOST and Docker's contexts are in it; empty where it can't be told.
    """
    return answer("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}") or ""


def docker_elsewhere() -> str | None:
    """That the engine runs where this machine's folders and ports are not.

    So it is with an engine behind ssh or on another host, and in a container that was given the
    socket of the engine that runs it (many devcontainers).
    """
    endpoint = docker_endpoint()
    parts = urlsplit(endpoint)
    if parts.scheme == "ssh" or (parts.scheme in ("tcp", "http", "https") and not _loopback(parts.hostname or "")):
        source = "DOCKER_HOST" if os.environ.get("DOCKER_HOST") else "`docker context show`"
        return (
            f"Docker is on another machine ({source}: {endpoint}), which has neither this machine's folders nor its ports "
            "(`DOCKER_CONTEXT=default`, without DOCKER_HOST, is the engine of this machine)"
        )
    for container in _containers_of_this_process():
        if answer("docker", "inspect", "--type", "container", "--format", "{{.Name}}", container) is not None:
            return (
                "this runs in a container, and Docker is the engine outside of it, which has neither this container's folders nor its "
                "ports (run `make up` on the host, or give the container an engine of its own: docker-in-docker)"
            )
    return None


def _loopback(name: str) -> bool:
    return name == "localhost" or name.startswith("127.") or name == "::1"


def _containers_of_this_process() -> list[str]:
    """What the container that this runs in may be called by its engine; empty outside of one."""
    if not Path("/.dockerenv").exists():
        return []
    try:
        mounts = Path("/proc/self/mountinfo").read_text()
    except OSError:
        mounts = ""
    return list(dict.fromkeys([*_CONTAINER.findall(mounts), socket.gethostname()]))


def docker_is_snap() -> bool:
    """Whether `docker` is the snap: its engine sees no hidden folder of a home folder."""
    found = shutil.which("docker")
    return found is not None and (found.startswith("/snap/") or Path(found).resolve().name == "snap")


def kind_version() -> tuple[int, int] | None:
    """The version of `kind`, e.g. (0, 33); None where it can't be told."""
    match = re.match(r"kind v(\d+)\.(\d+)", answer("kind", "version") or "")
    return (int(match[1]), int(match[2])) if match else None


def kubernetes_of(image: str = "") -> tuple[int, int] | None:
    """The Kubernetes version of a node image by its tag, e.g. (1, 34) for kindest/node:v1.34.0.

    Of Kind's own one where none is named. None where it can't be told.
    """
    if image:
        match = re.search(r":v?(\d+)\.(\d+)", image.partition("@")[0])
        return (int(match[1]), int(match[2])) if match else None
    kind = kind_version()
    known = [kubernetes for since, kubernetes in sorted(_DEFAULT_KUBERNETES.items()) if kind and since <= kind]
    return known[-1] if known else None


def cgroup_refusal(engine: DockerEngine, kubernetes: tuple[int, int] | None, config: str = "") -> str | None:
    """That the kubelet of this Kubernetes version won't start with the engine's cgroups.

    `config` is the user's kind config: one that sets failCgroupV1 knows what it does.
    """
    if engine.cgroups != "1" or kubernetes is None or kubernetes < _CGROUP_V2_ONLY or "failCgroupV1" in config:
        return None
    return (
        f"Docker uses cgroup v1 here, on which the kubelet of Kubernetes {kubernetes[0]}.{kubernetes[1]} doesn't start "
        f"(`make up KIND_IMAGE={ON_CGROUP_V1}` names an older one)"
    )


def inotify_shortage(engine: DockerEngine, nodes: int = 1, running: int = 0) -> str | None:
    """That the machine has too few inotify instances for so many new nodes.

    A node's daemons are root's. What root has left can be counted by root alone; for others the
    nodes that are `running` are reckoned with. Nothing is known of an engine in a virtual machine.
    """
    if not engine.here or not _INOTIFY_LIMIT.exists():
        return None
    wanted = nodes * NODE_INOTIFY_INSTANCES
    limit = int(_INOTIFY_LIMIT.read_text())
    left = host.inotify_instances_left(wanted) if os.geteuid() == 0 else limit - running * NODE_INOTIFY_INSTANCES
    if left >= wanted:
        return None
    return (
        f"{max(left, 0)} of the {limit} inotify instances that root may have (fs.inotify.max_user_instances) are left, and "
        f"{'a node takes' if nodes == 1 else f'{nodes} nodes take'} up to {wanted}: `sudo sysctl fs.inotify.max_user_instances=512`, or "
        "stop other clusters (`make down` in their clones)"
    )
