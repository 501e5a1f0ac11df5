"""The development machine: which cluster a stack is on, and how the commands of `ops` reach it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from components.kube.api import KubeApi
from components.settings import Settings
from dev.clone_cluster import cluster_for
from dev.stack import Session, kubeconfig_of
from devkube import paths
from devkube.cluster import Access, Cluster, ClusterChoice
from devkube.engine import ensure_engine
from devkube.errors import MachineError
from devkube.images import build_image, reference
from ops.command_line import option_of, variable_of
from ops.console import console
from ops.errors import UserError
from ops.kube import open_api
from ops.machine import Machine
from ops.pulumi_command import Pulumi
from ops.settings import load_settings
from ops.volumes.found import VolumesFolder
from ops.volumes.stack_volumes import StackVolumes


@contextmanager
def one_at_a_time(lock_name: str = "lock", what: str = "changing this clone's cluster or stack") -> Iterator[None]:
    """Only one command does `what` at a time in this clone; raises UserError for a second one.

    It doesn't wait: whoever starts `make up` a second time wants to know that the first one still
    runs, not two runs in a row.
    """
    paths.DOT_DEV.mkdir(exist_ok=True)
    lock = FileLock(paths.DOT_DEV / lock_name)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another `python -m dev` command is {what}.", "Wait until it has ended, then run this one again.") from None
    try:
        yield
    finally:
        lock.release()


def cluster_by(settings: Settings, choice: ClusterChoice | None = None) -> Cluster:
    """A stack's cluster: the user's own where its context exists, else this clone's.

    Unless the `choice`, or the one that the clone remembers, names another one.
    """
    return cluster_for(settings.cluster.context, choice)


def cluster_of(stack: str) -> Cluster:
    """The same by the stack's name."""
    return cluster_by(load_settings(stack))


def api_of(access: Access) -> KubeApi:
    """The API of a cluster that runs."""
    return open_api(access.context, kubeconfig_of(access))


def volumes_of(settings: Settings, access: Access, cluster: Cluster, saved: Path | None = None) -> StackVolumes:
    """A stack's volumes on a cluster that runs, also those that are only folders here."""
    folder = cluster.folder()
    in_ops = VolumesFolder(folder.here, folder.in_node, folder.used, folder.nodes) if folder else None
    return StackVolumes(settings, kubeconfig_of(access), in_ops, saved)


class DevMachine(Machine):
    """This clone's: its engine and state, and its dev cluster, which is started where needed."""

    @contextmanager
    def volumes(self, stack: str, *, saved: Path | None = None, quiet: bool = False) -> Iterator[StackVolumes]:
        """As in `ops`. The cluster is started, but not for a `quiet` command, which is refused."""
        with one_at_a_time():
            cluster = cluster_of(stack)
            if quiet:
                _must_run(cluster, stack)
            yield volumes_of(load_settings(stack), cluster.start(), cluster, saved)

    def state_and_cluster(self, stack: str, *, quiet: bool = False) -> tuple[Pulumi, KubeApi]:
        """As in `ops`. The cluster has to run: only looking must not start one."""
        console.stderr = console.stderr or quiet  # what the engine's setup says
        try:
            cluster = cluster_of(stack)
            _must_run(cluster, stack)
            session = Session(ensure_engine(), cluster.start())
        except MachineError as problem:
            raise UserError(problem.message, problem.hint) from None
        return session.pulumi(stack), api_of(session.access)

    def cluster_for_engines(self, stack: str, *, quiet: bool = False) -> KubeApi:
        """As in `ops`, and the images that are made here are put on the cluster. It has to run."""
        console.stderr = console.stderr or quiet  # what the making of images says
        settings = load_settings(stack)
        try:
            cluster = cluster_by(settings)
            _must_run(cluster, stack)
            access = cluster.start()
            if access.kind != "existing":
                load_engine_images(cluster, settings)
        except MachineError as problem:
            raise UserError(problem.message, problem.hint) from None
        return api_of(access)

    def way_to_adopt(self, stack: str) -> str:
        """By make, which brings the stack up as well."""
        return f"make up ADOPT=1{variable_of(stack)}"

    def prune_command(self, stack: str) -> str:
        """The short one."""
        return f"python -m dev prune{option_of(stack)}"


def load_engine_images(cluster: Cluster, settings: Settings) -> None:
    """Put the engines' images on the cluster, as far as they are made here. Raises MachineError."""
    for name in ("clients", "postgresql", "kafka"):
        if reference(name) in settings.canary.engines.model_dump().values():
            cluster.load_image(build_image(name))


def _must_run(cluster: Cluster, stack: str) -> None:
    if not cluster.running():
        raise UserError("the dev cluster doesn't run.", f"`make up{variable_of(stack)}` starts it.")
