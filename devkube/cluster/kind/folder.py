"""The volumes' folder as the node has it: this machine's own, and fit for volumes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from devkube.cluster.kind.checks import docker_is_snap
from devkube.cluster.kind.commands import answer
from devkube.cluster.kind.config import VOLUMES_IN_NODE
from devkube.cluster.kind.nodes import KindNode
from devkube.errors import MachineError

# A pod's fsGroup, or a database's own container, sets an owner as this does.
_TRY = f"""
made=$(mktemp -d {VOLUMES_IN_NODE}/.tried-XXXXXXXX) || exit
echo "$made"
problem=$(chown 65532:65532 "$made" 2>&1)
stat --format=%u "$made"
echo "$problem"
"""
_ELSEWHERE = (
    "Name another folder by XDG_DATA_HOME (in your shell's profile, so that it stays): on a local disk, in your home folder, without "
    "a part that begins with a dot. Where Docker runs in a virtual machine, the folder must be shared with it."
)


def seen_by(node: KindNode, volumes: Path) -> bool:
    """Whether the node has this machine's folder, as it is now.

    It has another one where Docker runs elsewhere or may not look there, and an old one where the
    folder was deleted and made again while the node ran.
    Raises MachineError where it is the same, but owners of files can't be set in it.
    """
    made, _, rest = (answer("docker", "exec", node.name, "sh", "-c", _TRY) or "").partition("\n")
    if not made:
        return False
    try:
        if not (volumes / PurePosixPath(made).name).is_dir():
            return False
        owner, _, problem = rest.partition("\n")
        if owner.strip() != "65532":
            raise MachineError(
                f"owners of files can't be set in {volumes} ({problem.strip()}), and volumes need it: databases run as users of their own.",
                _ELSEWHERE,
            )
    finally:
        answer("docker", "exec", node.name, "rmdir", made)
    return True


def not_seen(volumes: Path) -> MachineError:
    """The error for a node that doesn't have the folder."""
    snap = " (Docker is a snap, which sees no hidden folder, and little outside of /home)" if docker_is_snap() else ""
    return MachineError(f"the node doesn't see the folder {volumes} of this machine{snap}: volumes would be kept elsewhere.", _ELSEWHERE)
