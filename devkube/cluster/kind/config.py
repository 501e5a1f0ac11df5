"""What a new cluster is told: the user's kind config, with the volumes' folder in every node."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from devkube.cluster.layout import port_free
from devkube.errors import MachineError

# Where Kind's built-in provisioner keeps its volumes in the node (kind:
# images/base/files/kind/manifests/default-storage.yaml).
VOLUMES_IN_NODE = "/var/local-path-provisioner"
# Below Linux' range for outgoing connections, which starts at 32768, and above the embedded
# clusters' ports. Docker gives a node its port once and for all, and Kind takes one from that
# range: later any program's connection may have it.
_PORTS = range(30000, 32768)


def read_config(path: str) -> str:
    """The text of a kind config; empty where no path is given.

    Raises MachineError for a file that can't be read.
    """
    if not path:
        return ""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise MachineError(f"the kind config {path} can't be read: {problem}", _another(path)) from None


def count_nodes(text: str) -> int:
    """How many nodes a kind config asks for; one where it says none, or where Kind would refuse
    it."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError:
        return 1
    nodes = given.get("nodes") if isinstance(given, dict) else None
    return len(nodes) if isinstance(nodes, list) and nodes else 1


def new_config(path: str, text: str, volumes: Path, identity: str) -> dict[str, Any]:
    """The config for `kind create cluster`.

    All that the user's config says is kept; whether Kind takes it, Kind says. Raises MachineError
    where the volumes' folder can't be added to it.
    """
    config = _parsed(path, text)
    nodes = config.setdefault("nodes", []) or [{"role": "control-plane"}]
    networking = config.setdefault("networking", {})
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes) or not isinstance(networking, dict):
        raise MachineError(f"the kind config {path}: nodes must be a list of mappings, and networking a mapping.", _another(path))
    for number, node in enumerate(nodes):
        mounts = node.get("extraMounts") or []
        if any(isinstance(mount, dict) and mount.get("containerPath") == VOLUMES_IN_NODE for mount in mounts):
            raise MachineError(
                f"the kind config {path}: nodes[{number}].extraMounts has containerPath {VOLUMES_IN_NODE}, where this project mounts "
                "the volumes' folder.",
                f"Remove that mount. The volumes are then in {volumes} (XDG_DATA_HOME decides where that is).",
            )
        node["extraMounts"] = [*mounts, {"hostPath": str(volumes), "containerPath": VOLUMES_IN_NODE}]
    networking.setdefault("apiServerAddress", "127.0.0.1")
    if "apiServerPort" not in networking and (port := _free_port(identity)):
        networking["apiServerPort"] = port
    return {**config, "nodes": nodes, "networking": networking}


def _parsed(path: str, text: str) -> dict[str, Any]:
    try:
        given = yaml.safe_load(text) or {}
    except yaml.YAMLError as problem:
        raise MachineError(f"the kind config {path} is no YAML: {problem}", _another(path)) from None
    if not isinstance(given, dict) or given.get("kind", "Cluster") != "Cluster":
        raise MachineError(f"the kind config {path} is not a mapping with `kind: Cluster`.", _another(path))
    return {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", **given}


def _another(path: str) -> str:
    return f"Mend {path}, name another one (`make up KIND_CONFIG=<file>`), or do without: `make up KIND_CONFIG=default`."


def _free_port(identity: str) -> int | None:
    """A port of this machine for the API server, the same for the same cluster where it is free."""
    seed = int(hashlib.sha256(identity.encode()).hexdigest()[:8], 16)
    turned = (_PORTS[(seed + turn) % len(_PORTS)] for turn in range(len(_PORTS)))
    return next((port for port in turned if port_free("127.0.0.1", port)), None)
