"""`python -m dev test`, `soak`, `lint` and `lock`: checks of the code, and its Python packages."""

from __future__ import annotations

import subprocess
import sys

import click

from dev.machine import one_at_a_time
from devkube import paths
from devkube.engine import ensure_engine
from devkube.toolchain.build import EXE, build

TESTING = ("test.lock", "running this clone's tests: they share one throw-away cluster")
TESTS_FAILED = 1
"""pytest's exit status when tests failed; every other one means that it came to no end."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """All checks and tests, in a throw-away cluster and state.

    Arguments go to pytest, e.g. `-- -k sizes`.
    """
    with one_at_a_time(*TESTING):
        run_lint()
        ensure_engine()
        pytest = [sys.executable, "-m", "pytest"]
        if pytest_arguments:
            run([*pytest, *pytest_arguments])
        else:  # most of the time a test waits for its cluster: two at a time, file by file, each process with a cluster of its own
            slowest = ["--durations=30", "--durations-min=10"]
            # Files in conftest.py's order: xdist's own begins with those of the most tests.
            together = status_of([*pytest, "--numprocesses=2", "--dist=loadfile", "--no-loadscope-reorder", *slowest, "-m", "not alone"])
            if together not in (0, TESTS_FAILED):
                raise SystemExit(together)
            # After a failure too: whoever reads the result of a long run wants to see all of it.
            if status := status_of([*pytest, *slowest, "-m", "alone"]) or together:
                raise SystemExit(status)


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def soak(pytest_arguments: tuple[str, ...]) -> None:
    """All of what `test` runs a part of: faults, engines, moves, clouds, Kind.

    It takes several hours. Arguments go to pytest.
    """
    with one_at_a_time(*TESTING):
        ensure_engine()
        pytest = [sys.executable, "-m", "pytest", "--numprocesses=2", "--dist=loadfile", "--full"]
        run([*pytest, "-m", "faults or kind or soak", *pytest_arguments])


@click.command()
def lint() -> None:
    """Ruff, mypy --strict, import-linter; actionlint and zizmor for the GitHub workflows."""
    run_lint()


@click.command()
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
    run([str(paths.SCRIPTS / f"lint-imports{EXE}"), "--no-cache", "--no-logo"])
    # Without shellcheck and pyflakes, which actionlint would run where they happen to be.
    run([str(build("actionlint") / f"actionlint{EXE}"), "-shellcheck=", "-pyflakes="])
    run([str(paths.SCRIPTS / f"zizmor{EXE}"), "--offline", "--quiet", ".github"])


def run(command: list[str]) -> None:
    """Run a command in the project folder; raises SystemExit with its status when it fails."""
    if status := status_of(command):
        raise SystemExit(status)


def status_of(command: list[str]) -> int:
    """Run a command in the project folder, and return its exit status."""
    return subprocess.run(command, cwd=paths.ROOT).returncode
