"""Which cluster a person wants, beyond what is found: asked once, and remembered by the clone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from devkube.cluster.layout import MOST_NODES
from devkube.errors import MachineError

WAYS = ("auto", "kind", "embedded", "existing")
_KEYS = {"cluster": "cluster", "kind-image": "kind_image", "kind-config": "kind_config", "nodes": "nodes"}
_EXAMPLES = {"cluster": "auto", "kind-image": "kindest/node:v1.34.0", "kind-config": "/home/me/kind.yaml"}
DEFAULT = "default"  # as a value: as if the option had never been given


@dataclass(frozen=True)
class ClusterChoice:
    """What was asked for; the defaults are what is done where nobody asks."""

    cluster: str = "auto"  # one of WAYS
    kind_image: str = ""  # a node image, e.g. kindest/node:v1.34.0; empty for Kind's own
    kind_config: str = ""  # the absolute path of a kind config; empty for none
    nodes: int = 0  # of an embedded cluster; 0 for as many as it has, one for a new one

    def with_(self, cluster: str | None, kind_image: str | None, kind_config: str | None, nodes: str | None = None) -> ClusterChoice:
        """This choice with what is given now; None leaves a value as it is, `default` resets it.

        Raises MachineError for a number of nodes that is none.
        """
        number = nodes if nodes in (None, DEFAULT) else _number(nodes)
        asked = {"cluster": cluster, "kind_image": kind_image, "kind_config": kind_config, "nodes": number}
        default = asdict(ClusterChoice())
        changed: dict[str, Any] = {name: default[name] if value == DEFAULT else value for name, value in asked.items() if value is not None}
        if changed.get("kind_config"):
            changed["kind_config"] = _absolute(changed["kind_config"])
        return replace(self, **changed)

    def write(self, path: Path) -> None:
        """Remember it in the file; a default choice needs none."""
        if self == ClusterChoice():
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {key: getattr(self, name) for key, name in _KEYS.items() if getattr(self, name)}
        head = "# Which cluster `make up` uses; see docs/local-clusters.md. Without this file: auto.\n"
        path.write_text(head + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _absolute(file: str) -> str:
    """The path of a kind config, as a shell in the project's folder would take it."""
    return str(Path(file).expanduser().resolve())


def _number(nodes: str | None) -> int:
    if nodes is None or not nodes.isdecimal() or not 1 <= int(nodes) <= MOST_NODES:
        said = f"nodes: {nodes}: a number from 1 to {MOST_NODES} is wanted, or {DEFAULT}."
        raise MachineError(said, "Works: `make up NODES=3`, `python -m dev up --nodes 3`.")
    return int(nodes)


def remembered(path: Path) -> ClusterChoice:
    """The choice in the file; the default one where there is none.

    Raises MachineError for a file that doesn't say a choice.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return ClusterChoice()
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as problem:
        raise MachineError(f"{path} can't be read: {problem}", f"Mend it, or delete it: rm {path}") from None
    if not isinstance(content, dict):
        raise MachineError(f"{path}: a mapping is wanted, with {', '.join(_KEYS)}.", f"Mend it, or delete it: rm {path}")
    for key, value in content.items():
        if key not in _KEYS:
            raise MachineError(f"{path}: {key}: unknown key; there are {', '.join(_KEYS)}.", f"Remove that line, or: rm {path}")
        if key == "nodes" and value != DEFAULT:
            if value not in range(1, MOST_NODES + 1) or isinstance(value, bool):
                raise MachineError(f"{path}: nodes: {value!r}: a number from 1 to {MOST_NODES} is wanted.", "Works: nodes: 3")
        elif not isinstance(value, str):
            raise MachineError(f"{path}: {key}: {value!r}: a text is wanted.", f"Works: {key}: {_EXAMPLES[key]}. Or remove that line.")
    if content.get("cluster", "auto") not in WAYS:
        raise MachineError(f"{path}: cluster: {content['cluster']}: one of {', '.join(WAYS)} is wanted.", "Works: cluster: auto")
    values: dict[str, Any] = {_KEYS[key]: value for key, value in content.items() if value != DEFAULT}
    if values.get("kind_config"):
        values["kind_config"] = _absolute(values["kind_config"])
    return ClusterChoice(**values)
