"""What was found on the machine, without any judgement.

None stands for a question that wasn't asked, or that had no answer in time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from devkube.cluster.kind.checks import DockerEngine


@dataclass(frozen=True)
class FoundProgram:
    """A program, as PATH has it; `path` is empty where PATH has none.

    `version` is without a leading v; empty where it says none.
    """

    path: str = ""
    version: str = ""


@dataclass(frozen=True)
class PartFacts:
    """One part of the engine: the user's own, and what there is besides.

    `kept` is what an earlier run has downloaded or built, as `3.258.0, built here`; empty for
    nothing.
    """

    own: FoundProgram | None = None
    kept: str = ""


@dataclass(frozen=True)
class DockerFacts:
    """The Docker client, and the engine that it talks to. `path` is empty where PATH has none.

    `endpoint` is where the client looks for the engine, as `unix:///var/run/docker.sock`, and
    `by_variable` whether DOCKER_HOST says so. `engine` is None where it doesn't answer. The texts
    are a sentence where that is so: the program isn't Docker, the engine doesn't answer this user,
    it runs elsewhere.
    """

    path: str = ""
    client: str = ""
    endpoint: str = ""
    engine: DockerEngine | None = None
    by_variable: bool = False
    not_docker: str = ""
    silent: str = ""
    elsewhere: str = ""


Way = Literal["existing", "kind", "embedded"]


@dataclass(frozen=True)
class ClusterFacts:
    """The cluster that the stack takes.

    `way` is None where there can be none; `problem` and `remedy` say why then. `server` is the
    API's address, empty where no kubeconfig has one, and `proxy` what leads to it. `version` is
    what the API answered with, as `1.34.4`; `unreached` why it didn't, with a `remedy` where one is
    known, and empty where it wasn't asked or didn't answer in time. `refusals` are sentences by
    subject: why Kind would not make or start its nodes. `volumes` is where the volumes are on this
    machine, None elsewhere.
    """

    context: str
    way: Way | None
    problem: str = ""
    remedy: str = ""
    made: bool = False
    running: bool = False
    server: str = ""
    proxy: str = ""
    version: str = ""
    unreached: str = ""
    refusals: Mapping[Literal["cgroups", "inotify instances"], str] = field(default_factory=dict)
    volumes: Path | None = None
    taken_ports: tuple[int, ...] = ()
    nodes: int = 1


@dataclass(frozen=True)
class Disk:
    """A folder that will hold `what`, with the bytes that are free there."""

    what: str
    folder: Path
    free: int


@dataclass(frozen=True)
class Inotify:
    """The kernel's limits for each user, and how many instances this one may still make.

    `left` is counted up to what an embedded cluster takes.
    """

    instances: int
    watches: int
    left: int


@dataclass(frozen=True)
class Facts:
    """Everything that was asked; `up` is the command that brings the stack up."""

    up: str = "make up"
    python: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)  # versions by name
    parts: Mapping[str, PartFacts | None] = field(default_factory=dict)  # by the program's name
    go: FoundProgram | None = None
    builds_with: str = ""  # the version of the Go that builds here, as go1.26.6; empty where not asked
    docker: DockerFacts | None = None
    kind: FoundProgram | None = None
    other_provider: str = ""  # a sentence where Kind is told to use something else than Docker
    cluster: ClusterFacts | None = None
    embedded_lacks: tuple[str, ...] = ()
    memory: int = 0
    disks: tuple[Disk, ...] = ()
    inotify: Inotify | None = None
    cgroups: Literal["v1", "hybrid", "v2", ""] = ""
    proxies: str = ""  # the variables that are set, without passwords
