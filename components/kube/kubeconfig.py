"""The kubeconfig, read as kubectl and Pulumi's kubernetes plugin read it. Only PyYAML is needed, so that a destroy can use it too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


class UnreadableKubeconfig(Exception):
    """A file that KUBECONFIG names is there and is no kubeconfig, or may not be read; the text is the reason, in one line."""

    def __init__(self, file: Path, problem: Exception) -> None:
        reason = " ".join(str(problem).split())
        super().__init__(f"{type(problem).__name__}: {reason}" if reason else type(problem).__name__)
        self.file = file


@dataclass(frozen=True)
class Kubeconfig:
    """Contexts, clusters and users by their names; paths in them are absolute."""

    files: tuple[Path, ...]
    contexts: Mapping[str, Mapping[str, Any]]
    clusters: Mapping[str, Mapping[str, Any]]
    users: Mapping[str, Mapping[str, Any]]

    @classmethod
    def load(cls) -> Kubeconfig:
        """From the files in KUBECONFIG, else `~/.kube/config`. Files that don't exist are left out, as kubectl does.

        Where a name is given twice the first one counts. Raises UnreadableKubeconfig.
        """
        named = [Path(name) for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
        files = tuple(named or [Path.home() / ".kube" / "config"])
        found: dict[str, dict[str, Mapping[str, Any]]] = {"contexts": {}, "clusters": {}, "users": {}}
        for file in files:
            try:
                if file.exists():
                    document = yaml.load(file.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)) or {}
                    for kind, entries in found.items():
                        for entry in document.get(kind) or []:
                            entries.setdefault(entry["name"], _absolute(entry[kind.removesuffix("s")] or {}, file.parent))
            except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as problem:
                raise UnreadableKubeconfig(file, problem) from None
        return cls(files, found["contexts"], found["clusters"], found["users"])

    def access(self, context: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """The cluster and the user of a context; an empty one where there is none of that name. Raises KeyError without the context."""
        entry = self.contexts[context]
        return self.clusters.get(entry.get("cluster", ""), {}), self.users.get(entry.get("user", ""), {})


def _absolute(entry: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Paths in a kubeconfig are relative to its folder."""
    paths = ("certificate-authority", "client-certificate", "client-key", "tokenFile")
    return {key: str(folder / value) if key in paths and value else value for key, value in entry.items()}
