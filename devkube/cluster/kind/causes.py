"""What to do about what Kind and Docker say when a node can't be made or started."""

from __future__ import annotations

import re

from devkube.cluster.kind.commands import ProgramFailed
from devkube.errors import MachineError

_PULL = re.compile(r"failed to pull image \"?([^\s\"]+)")
_PORT = re.compile(r"address already in use|port is already allocated|ports are not available", re.IGNORECASE)
_BOUND = re.compile(r"(?:\d+\.\d+\.\d+\.\d+|\[?::\d*\]?):(\d+)")
_OTHERS = (
    (r"no space left on device", "Docker's disk is full: `docker system df` shows what takes it, `docker system prune` frees some of it."),
    (
        r"Mounts denied|is not shared from the host|read-only file system",
        "Docker may not mount the volumes' folder: share it with Docker (Docker Desktop: Settings, Resources, File sharing), or name "
        "another one by XDG_DATA_HOME.",
    ),
    (
        r"failed to remove control plane taint|could not find a log line that matches|timed out waiting for the condition",
        "The node's log says more. Often it is too few inotify instances (`sudo sysctl fs.inotify.max_user_instances=512`), memory, "
        "or disk space.",
    ),
)


class NodeImageMissing(MachineError):
    """The node image is not on this machine, and can't be pulled."""


def explained(problem: ProgramFailed, identity: str) -> MachineError:
    """The same error with what to do about it, where that is known."""
    if pull := _PULL.search(problem.said):
        return NodeImageMissing(
            f"the node image {pull[1]} can't be pulled:\n{problem.message}",
            "Name one that can: `make up KIND_IMAGE=<registry>/kindest/node:v1.34.0` (or an image that `docker images` lists; a mirror is "
            "set in Docker's daemon.json). Or do without Docker, on Linux as root: `make up CLUSTER=embedded`.",
        )
    if _PORT.search(problem.said):
        port = _BOUND.search(problem.said)
        who = f"`ss -tlnp 'sport = :{port[1]}'`" if port else "`ss -tlnp`"
        return MachineError(
            f"a port of the Kind cluster {identity} is in use by another program:\n{problem.message}",
            f"{who} shows which; end it, and run this again. Or have the cluster made anew with another port, which keeps the volumes: "
            f"`kind delete cluster --name {identity}`, then `make up ADOPT=1`.",
        )
    for pattern, hint in _OTHERS:
        if re.search(pattern, problem.said):
            return MachineError(problem.message, hint)
    return problem
