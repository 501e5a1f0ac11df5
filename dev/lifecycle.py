"""`python -m dev up`, `down` and `destroy`: a stack and its dev cluster, from nothing and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from components.settings import DEFAULT_IMAGE
from dev import report
from dev.clone_cluster import check_fits
from dev.doctor.command import say_what_will_fail
from dev.machine import cluster_by, cluster_of, load_engine_images, one_at_a_time, volumes_of
from dev.paths import CLUSTER_FILE
from dev.stack import Session
from devkube.cluster import WAYS, Cluster, EmbeddedCluster, KindCluster, remembered
from devkube.cluster import start as start_cluster
from devkube.cluster.embedded import PARTS
from devkube.engine import ensure_engine, to_build
from devkube.errors import MachineError
from devkube.images import build_image, reference
from devkube.programs import beside
from devkube.progress import announced, duration
from devkube.toolchain.build import unbuilt
from ops.command_line import stack_option, variable_of
from ops.commands import volumes as volume_commands
from ops.console import errors, say
from ops.settings import load_settings
from ops.volumes.matching import AdoptionPlan


@click.command()
@stack_option
@click.option("--adopt", is_flag=True, help="Give each claim that has no volume the old one that was its own.")
@click.option("--from", "saved", type=click.Path(path_type=Path), help="With --adopt: a list that `volumes --json` printed before.")
@click.option("--cluster", "way", type=click.Choice(WAYS), help="Which cluster; remembered. `auto` finds one.")
@click.option("--kind-image", metavar="IMAGE", help="The node image of a new Kind cluster; remembered. `default`: Kind's own.")
@click.option("--kind-config", metavar="FILE", help="A kind config for a new Kind cluster; remembered. `default`: none.")
@click.option("--nodes", metavar="N", help="How many nodes an embedded cluster has; remembered. `default`: as many as it has.")
def up(
    stack: str, adopt: bool, saved: Path | None, *, way: str | None, kind_image: str | None, kind_config: str | None, nodes: str | None
) -> None:
    """From nothing to a dev stack that is up: engine, plugins, cluster, `pulumi up`."""
    settings = load_settings(stack)  # a wrong setting is said at once, not after ten minutes of building
    with one_at_a_time():
        choice = remembered(CLUSTER_FILE).with_(way, kind_image, kind_config, nodes)
        cluster = cluster_by(settings, choice)  # that there can be none is said before anything is built, too
        check_fits(cluster, stack, settings.cluster.context, settings.provisioner.name)
        say_what_will_fail(stack, settings.cluster.context, cluster)
        choice.write(CLUSTER_FILE)
        # Nothing waits for the engine before the cluster is there.
        with _announced(cluster), beside(ensure_engine) as engine:
            cluster, access = start_cluster(cluster, choice)
            # The nodes of a cluster of the user's own can't be reached. The canary then says so,
            # and which setting names another image.
            if access.kind != "existing" and settings.canary.enabled and settings.canary.image == reference("python"):
                _load_canary_image(cluster)
            if access.kind != "existing" and settings.canary.engine:
                load_engine_images(cluster, settings)
            session = Session(engine(), access)
        session.write_env()
        session.select(settings)
        volumes = volumes_of(settings, access, cluster, saved)
        volume_commands.stamp(volumes)
        plan = volume_commands.reserve(volumes) if adopt else AdoptionPlan()
        say(f"pulumi up --stack {stack}")
        pulumi = session.pulumi(stack)
        status = pulumi.stream("up", "--yes", "--skip-preview", "--refresh", "--suppress-outputs", "--stack", stack)
        if status != 0:
            _say_if_stopped(cluster)
            raise SystemExit(status)
        volumes.wait_bound(plan)
        volume_commands.stamp(volumes)
        report.show(pulumi.outputs(stack), stack)
        report.show_adopted(plan)
        report.show_left_behind(volumes)


@contextmanager
def _announced(cluster: Cluster) -> Iterator[None]:
    """Say what has to be built first, and while it is built what remains of that."""
    parts = unbuilt([*to_build(), *(PARTS if isinstance(cluster, EmbeddedCluster) else ())])
    if len(parts) > 1:
        say(f"{len(parts)} parts are built first, once on this machine: about {duration(sum(parts.values()))} on two cores that are free.")
    with announced(parts):
        yield


def _load_canary_image(cluster: Cluster) -> None:
    """Make the dev stack's canary image known to the cluster.

    It is made from Debian's packages, so that no image registry is needed. With Kind, Docker can
    pull the official image instead: each takes the other's place where that one can't be had.
    """
    name = reference("python")
    if not isinstance(cluster, KindCluster):
        cluster.load_image(build_image("python"))
        return
    if cluster.has_pulled(name):
        return
    ways = [lambda: cluster.load_image(build_image("python")), lambda: cluster.pull_image(DEFAULT_IMAGE, name)]
    if shutil.which("apt-get") is None:
        ways.reverse()
    try:
        ways[0]()
    except MachineError as first:
        try:
            ways[1]()
        except MachineError as second:
            raise MachineError(
                f"the canary's image can be had in neither of two ways:\n{first}\n{second}",
                "Name one that the cluster can pull as `canary.image` in the stack's file: `storage-tiers:canary: {image: <image>}`.",
            ) from None


def _say_if_stopped(cluster: Cluster) -> None:
    """Say that the cluster went away: of all that a failed run then says, the thing to act on."""
    if not cluster.running():
        errors.print("The dev cluster, or a part of it, has stopped during the run. Run the same command again: it starts it and goes on.")


@click.command()
@stack_option
def down(stack: str) -> None:
    """Stop the dev cluster, nothing else: the next `up` has all its data."""
    with one_at_a_time():
        cluster = cluster_of(stack)
        cluster.stop()
        of = variable_of(stack)
        say(f"The dev cluster is stopped; its data stays. `make up{of}` starts it again, `make purge{of}` deletes it.")


@click.command()
@stack_option
def destroy(stack: str) -> None:
    """`pulumi destroy` of the stack; the volumes and their data are retained."""
    with one_at_a_time():
        engine = ensure_engine()
        settings = load_settings(stack)
        cluster = cluster_by(settings)
        cluster, access = start_cluster(cluster, remembered(CLUSTER_FILE))
        session = Session(engine, access)
        session.write_env()
        session.select(settings, destroying=True)
        status = session.pulumi(stack).stream("destroy", "--yes", "--skip-preview", "--stack", stack)
        if status != 0:
            _say_if_stopped(cluster)
            raise SystemExit(status)
        of = variable_of(stack)
        say(f"The volumes are retained, with their data: `make volumes{of}` lists them.")
        say(f"The way back: `make up ADOPT=1{of}` gives each claim its own volume again. For good: `make prune{of}` deletes them.")
