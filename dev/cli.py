"""The command line `python -m dev`: what a development machine needs, one command each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import click
from filelock import FileLock, Timeout

from components.settings import DEFAULT_IMAGE
from dev import report
from dev.stack import Session
from devkube import paths
from devkube.cluster import Access, Cluster, KindCluster, choose
from devkube.engine import ensure_engine
from devkube.images import build_image, reference
from devkube.toolchain.build import EXE, build
from ops import command_line
from ops.command_line import option_of, stack_option, variable_of, yes_option
from ops.console import console, errors, say
from ops.drift import commands as drift_commands
from ops.errors import UserError
from ops.healing.killed_run import end_killed_run
from ops.kube import open_api
from ops.pulumi_command import Pulumi
from ops.settings import load_settings
from ops.volumes import commands as volume_commands
from ops.volumes.api import VolumesApi
from ops.volumes.matching import Plan
from ops.volumes.stack_volumes import StackVolumes, refuse_for_strangers
from review import preview


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def cli() -> None:
    """Everything that a development machine needs for storage-tiers.

    \b
    First time:  python -m dev up       (the same as `make up`)
    Afterwards:  . .dev/env             (then plain `pulumi` and `kubectl` act on this clone's stack)
    """


@contextmanager
def one_at_a_time(lock_name: str = "lock", what: str = "changing this clone's cluster or stack") -> Iterator[None]:
    """Only one command does `what` at a time in this clone; raises UserError for a second one.

    It doesn't wait: whoever starts `make up` a second time wants to know that the first one still runs, not two runs in a row.
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


def cluster_of(stack: str) -> Cluster:
    """The cluster that `stack` runs on: the user's own where its context exists, else this clone's dev cluster."""
    settings = load_settings(stack)
    return choose(settings.cluster.context, f"dev-{paths.clone_identity()}", paths.KUBECONFIG)


def volumes_of(stack: str, access: Access, cluster: Cluster, saved: Path | None = None) -> StackVolumes:
    """The stack's volumes on a cluster that runs."""
    kubeconfig = str(access.kubeconfig) if access.kubeconfig else None
    return StackVolumes(load_settings(stack), kubeconfig, cluster.folder(), saved)


@cli.command()
@stack_option
@click.option("--adopt", is_flag=True, help="Give each claim that has no volume the old one that was its own.")
@click.option("--from", "saved", type=click.Path(path_type=Path), help="With --adopt: a list that `volumes --json` printed before.")
def up(stack: str, adopt: bool, saved: Path | None) -> None:
    """From nothing to a dev stack that is up: engine, plugins, cluster, `pulumi up`."""
    settings = load_settings(stack)  # a wrong setting is said at once, not after ten minutes of building
    with one_at_a_time():
        cluster = cluster_of(stack)  # that there can be none is said before anything is built, too
        engine = ensure_engine()
        access = cluster.start()
        # The nodes of a cluster of the user's own can't be reached: the canary says so, and which setting names another image.
        if access.kind != "existing" and settings.canary.enabled and settings.canary.image == reference("python"):
            _load_canary_image(cluster)
        session = Session(engine, access)
        session.write_env()
        session.select(settings)
        volumes = volumes_of(stack, access, cluster, saved)
        volume_commands.stamp(volumes)
        plan = volume_commands.reserve(volumes) if adopt else Plan()
        say(f"pulumi up --stack {stack}")
        status = session.pulumi(stack, "up", "--yes", "--skip-preview", "--refresh", "--suppress-outputs")
        if status != 0:
            _say_if_stopped(cluster)
            raise SystemExit(status)
        volumes.wait_bound(plan)
        volume_commands.stamp(volumes)
        report.show(session.outputs(stack), stack)
        report.show_adopted(plan)
        report.show_left_behind(volumes)


def _load_canary_image(cluster: Cluster) -> None:
    """Make the dev stack's canary image known to the cluster: made from Debian's packages, so that no image registry is needed.

    Where there are no such packages (Kind on macOS, Windows, Fedora), Docker pulls the official image instead.
    """
    if isinstance(cluster, KindCluster) and shutil.which("apt-get") is None:
        cluster.pull_image(DEFAULT_IMAGE, reference("python"))
    else:
        cluster.load_image(build_image("python"))


def _say_if_stopped(cluster: Cluster) -> None:
    """A run that failed because its cluster went away says many things; this is the one to act on."""
    if not cluster.running():
        errors.print("The dev cluster, or a part of it, has stopped during the run. Run the same command again: it starts it and goes on.")


@cli.command()
@stack_option
def down(stack: str) -> None:
    """Stop the dev cluster, nothing else: the next `up` has all its data."""
    with one_at_a_time():
        cluster = cluster_of(stack)
        cluster.stop()
        of = variable_of(stack)
        say(f"The dev cluster is stopped; its data stays. `make up{of}` starts it again, `make purge{of}` deletes it.")


@cli.command()
@stack_option
def destroy(stack: str) -> None:
    """`pulumi destroy` of the stack; the volumes and their data are retained."""
    with one_at_a_time():
        engine = ensure_engine()
        cluster = cluster_of(stack)
        session = Session(engine, cluster.start())
        session.write_env()
        session.select(load_settings(stack), destroying=True)
        status = session.pulumi(stack, "destroy", "--yes", "--skip-preview")
        if status != 0:
            _say_if_stopped(cluster)
            raise SystemExit(status)
        of = variable_of(stack)
        say(f"The volumes are retained, with their data: `make volumes{of}` lists them.")
        say(f"The way back: `make up ADOPT=1{of}` gives each claim its own volume again. For good: `make prune{of}` deletes them.")


@cli.command()
@stack_option
@click.option("--json", "as_json", is_flag=True, help="The list as JSON, to be saved.")
def volumes(stack: str, as_json: bool) -> None:
    """List the stack's volumes: size, use, phase, where the data is, whether and how it can be adopted."""
    with one_at_a_time():
        cluster = cluster_of(stack)
        if as_json and not cluster.running():  # starting it would be told on stdout
            raise UserError("the dev cluster doesn't run.", f"`make up{variable_of(stack)}` starts it.")
        volume_commands.show(volumes_of(stack, cluster.start(), cluster), as_json, f"make up ADOPT=1{variable_of(stack)}")


@cli.command()
@click.argument("names", nargs=-1)
@stack_option
@click.option("--older-than", help="All that have been Released for longer than this: 30d, 12h, 45m or 2w.")
@yes_option
def prune(names: tuple[str, ...], stack: str, older_than: str | None, yes: bool) -> None:
    """Delete Released volumes of the stack and their data: those NAMEd, or all of some age. Without either, list them."""
    with one_at_a_time():
        cluster = cluster_of(stack)
        volume_commands.delete_old(
            volumes_of(stack, cluster.start(), cluster), names, older_than, yes, f"python -m dev prune{option_of(stack)}"
        )


@cli.command()
@stack_option
@drift_commands.json_option
def drift(stack: str, as_json: bool) -> None:
    """What differs between the stack's state and its cluster. Exit status: 0 nothing, 1 something, 3 it could not be looked at."""
    console.file = sys.stderr if as_json else console.file  # what the engine's setup says is no part of the JSON
    cluster = cluster_of(stack)
    if not cluster.running():
        problem = UserError("the dev cluster doesn't run.", f"`make up{variable_of(stack)}` starts it.")
        problem.status = drift_commands.NOT_LOOKED
        raise problem
    session = Session(ensure_engine(), cluster.start())
    kubeconfig = str(session.access.kubeconfig) if session.access.kubeconfig else None
    drift_commands.show(stack, as_json, kubeconfig, session.environment())


@cli.command()
@stack_option
@yes_option
@click.option("--unseen", is_flag=True, help="Also a cluster that can't be started any more to see whose volumes it holds.")
def purge(stack: str, yes: bool, unseen: bool) -> None:
    """Delete the dev cluster and every volume in it, after showing what and asking. Refused while it holds another stack's volumes."""
    with one_at_a_time():
        cluster = cluster_of(stack)
        contents = cluster.contents()
        if not contents:
            say("There is no dev cluster of this clone.")
            return
        if not unseen:
            _refuse_for_strangers(cluster, stack)
        say("This deletes for good:")
        for line in contents:
            say(f"  {line}")
        if not yes and not click.confirm("Delete all of it?"):
            raise SystemExit(1)
        _forget(stack)
        cluster.delete()
        say(f"Deleted. `make up{variable_of(stack)}` makes a new one.")


def _refuse_for_strangers(cluster: Cluster, stack: str) -> None:
    """Raise UserError when the cluster holds another stack's volumes. Only its API knows, so it is started; not where it has no volumes."""
    folder = cluster.folder()
    if folder is None or not folder.here.is_dir() or not any(folder.here.iterdir()):
        return
    try:
        access = cluster.start()
    except UserError as problem:
        raise UserError(
            f"the dev cluster can't be started, and only so can it be seen whether it holds another stack's volumes:\n{problem.message}",
            "Repair that and purge again; or, when you know that nobody else's are in it: "
            f"`python -m dev purge{option_of(stack)} --unseen`.",
        ) from None
    refuse_for_strangers(VolumesApi(open_api(access.context, str(access.kubeconfig))), stack)


def _forget(stack: str) -> None:
    """Remove the stack's entry from the state: what it lists is about to be gone. Only from the clone's own local state."""
    own = paths.STATE.as_uri()  # `. .dev/env` sets the variable to it
    if os.environ.get("PULUMI_BACKEND_URL", own) != own or not paths.STATE.exists():
        return
    session = Session(ensure_engine(), Access("embedded", "", None))
    end_killed_run(Pulumi(session.marked(stack)), stack)
    if stack in session.stacks():
        session.ask("stack", "rm", "--force", "--yes", "--preserve-config", "--stack", stack)


@cli.command("preview")
@click.option("--stack", "stacks", multiple=True, default=["dev"], show_default=True, help="Which stack; may be given several times.")
@click.option("--all", "every", is_flag=True, help="Every stack that has a settings file.")
@click.option("--base", metavar="REVISION", help="A git revision, such as origin/main: say what a merge would change.")
@click.option("--markdown", type=click.Path(dir_okay=False, path_type=Path), help="Write the report there, for a pull request.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON, and everything else to standard error.")
def preview_command(stacks: tuple[str, ...], every: bool, base: str | None, markdown: Path | None, as_json: bool) -> None:
    """`pulumi preview` with the policy pack, on a copy: no cluster, no credentials, nothing changes."""
    raise SystemExit(preview.run([] if every else stacks, base, markdown, as_json))


@cli.command("rehearse")
@click.option("--stack", required=True, help="Which cloud stack: Pulumi.<stack>.yaml.")
def rehearse_stack(stack: str) -> None:
    """A real `pulumi up` of a cloud stack on a throw-away cluster, where a local provisioner answers to the driver's name."""
    from dev.rehearsal import rehearse  # noqa: PLC0415 - what no other command needs

    with one_at_a_time("rehearsal.lock", "rehearsing a stack"):
        rehearse(stack)


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """All checks and tests, in a throw-away cluster and state. Arguments go to pytest, e.g. `-- -k sizes`."""
    with one_at_a_time("test.lock", "running this clone's tests: they share one throw-away cluster"):
        run_lint()
        ensure_engine()
        pytest = [sys.executable, "-m", "pytest"]
        if pytest_arguments:
            run([*pytest, *pytest_arguments])
        else:  # most of the time a test waits for its cluster: two at a time, file by file, each process with a cluster of its own
            run([*pytest, "--numprocesses=2", "--dist=loadfile", "-m", "not alone"])
            run([*pytest, "-m", "alone"])


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def soak(pytest_arguments: tuple[str, ...]) -> None:
    """The fault and repeat tests with their full counts, about an hour. Arguments go to pytest."""
    with one_at_a_time("test.lock", "running this clone's tests: they share one throw-away cluster"):
        ensure_engine()
        run([sys.executable, "-m", "pytest", "--numprocesses=2", "--dist=loadfile", "--full", "-m", "faults", *pytest_arguments])


@cli.command()
def lint() -> None:
    """Ruff (rules and format), mypy --strict, and actionlint and zizmor for the GitHub workflows."""
    run_lint()


@cli.command()
def lock() -> None:
    """Pin and hash the Python packages again after a change of requirements*.in."""
    for name in ("requirements", "requirements-dev"):
        options = ["--quiet", "--universal", "--python-version", "3.11", "--generate-hashes", "--no-header", "--upgrade"]
        run([sys.executable, "-m", "uv", "pip", "compile", *options, f"{name}.in", "-o", f"{name}.txt"])


def run_lint() -> None:
    """Run the static checks; raises SystemExit with the status of the first that fails."""
    run([sys.executable, "-m", "ruff", "check", "."])
    run([sys.executable, "-m", "ruff", "format", "--check", "--quiet", "."])
    run([sys.executable, "-m", "mypy"])
    # Without shellcheck and pyflakes, which actionlint would run where they happen to be: the same result on every machine.
    run([str(build("actionlint") / f"actionlint{EXE}"), "-shellcheck=", "-pyflakes="])
    run([str(paths.SCRIPTS / f"zizmor{EXE}"), "--offline", "--quiet", ".github"])


def run(command: list[str]) -> None:
    """Run a command in the project folder; raises SystemExit with its status when it fails."""
    status = subprocess.run(command, cwd=paths.ROOT).returncode
    if status != 0:
        raise SystemExit(status)


def main() -> NoReturn:
    """Run the command line."""
    command_line.run(cli, "python -m dev")
