"""A cluster of the user's own, named by its context: used as it is, never started, stopped or
deleted."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from devkube import paths
from devkube.cluster.access import Access
from devkube.errors import MachineError


def user_kubeconfigs(but: Path) -> list[Path]:
    """The kubeconfig files that the user's kubectl reads, without `but` (this project's own, which
    `. .dev/env` puts there), and without those of other clones, whose `.dev/env` was read."""
    named = [Path(name).expanduser() for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    others = [path for path in named if path.resolve() != but.resolve() and not is_of_a_clone(path)]
    return others or [Path.home() / ".kube/config"]


def is_of_a_clone(kubeconfig: Path) -> bool:
    """Whether a clone of this project has written this kubeconfig: its dev cluster is its alone."""
    path = kubeconfig.resolve()
    return (path.parent.name, path.name) == (paths.DOT_DEV.name, "kubeconfig") and (path.parent / "env").is_file()


def user_has(context: str, but: Path) -> bool:
    """Whether a context of this name is in the user's kubeconfig.

    Raises MachineError for one that can't be read.
    """
    for path in user_kubeconfigs(but):
        try:
            content = yaml.safe_load(path.read_text()) or {}
            if any(each.get("name") == context for each in content.get("contexts") or []):
                return True
        except FileNotFoundError:
            continue
        except (OSError, yaml.YAMLError, AttributeError, TypeError, UnicodeDecodeError) as problem:
            raise MachineError(f"the kubeconfig {path} can't be read: {problem}", "Repair it, or set KUBECONFIG to another one.") from None
    return False


class ExistingCluster:
    """The cluster behind a context in the user's kubeconfig."""

    def __init__(self, context: str) -> None:
        self.context = context

    def start(self) -> Access:
        """Nothing is started; whoever uses the cluster finds out whether it answers."""
        return Access("existing", self.context, None)

    def stop(self) -> None:
        """Raises MachineError: it isn't this project's to stop."""
        raise self._not_ours("stopped")

    def delete(self) -> None:
        """Raises MachineError: it isn't this project's to delete."""
        raise self._not_ours("deleted")

    def running(self) -> bool:
        """Taken as running: the context is there."""
        return True

    def contents(self) -> list[str]:
        """Nothing of it would ever be deleted."""
        return []

    def folder(self) -> None:
        """Its nodes are not this machine's."""

    def load_image(self, archive: Path) -> None:
        """Raises MachineError: its nodes can't be reached from here."""
        raise MachineError(
            f"the image {archive.name} can't be put on the nodes of context {self.context}: they are not this machine's.",
            "Push it to a registry that the cluster pulls from, and name that image in the stack's config.",
        )

    def _not_ours(self, what: str) -> MachineError:
        return MachineError(
            f"context {self.context} is in your own kubeconfig: that cluster is never {what} by this project.",
            "`pulumi destroy` removes the stack from it.",
        )
