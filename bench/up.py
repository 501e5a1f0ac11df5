"""`python -m bench.up`: how long `make up` takes, from each of three beginnings.

Each is measured in a fresh clone with a dev cluster of its own, which is deleted afterwards:

- `warm`: it is up, and nothing is to change;
- `built`: everything is built, and nothing runs;
- `nothing`: nothing is built, in an empty cache of this project and of Go's compiler. Go modules
  that are on the machine are not downloaded again: what is measured is the machine, not the net.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from bench.measure import Cost, run, table_of_medians
from dev import command_line
from ops.console import console, step
from tests.clone import Clone

UP = ("make", "up")
BEGINNINGS = ("warm", "built", "nothing")


@click.command()
@click.argument("beginnings", nargs=-1, type=click.Choice(BEGINNINGS))
@click.option("--runs", type=click.IntRange(min=1), default=3, show_default=True, help="Runs from each beginning.")
def main(beginnings: Sequence[str], runs: int) -> None:
    """`make up`: warm, with everything built, and from nothing. By default the first two."""
    costs: dict[str, list[Cost]] = {each: [] for each in beginnings or BEGINNINGS[:2]}
    for turn in range(1, runs + 1):
        for beginning, measured in costs.items():
            with step(f"{beginning}, run {turn} of {runs}"), tempfile.TemporaryDirectory() as folder:
                measured.append(from_the(beginning, Path(folder)))
    console.print(table_of_medians("From", costs, decimals=1))


def from_the(beginning: str, folder: Path) -> Cost:
    """One `make up`."""
    own = {name: str(folder / name) for name in ("XDG_CACHE_HOME", "GOCACHE")} if beginning == "nothing" else {}
    with clone_in(folder / "clone", own) as clone:
        variables = clone.environment(**own)
        if beginning != "nothing":  # what was never built is built before
            run(UP, clone.folder, variables)
        if beginning == "built":
            purge(clone)
        return run(UP, clone.folder, variables)


@contextmanager
def clone_in(folder: Path, variables: dict[str, str]) -> Iterator[Clone]:
    """A clone without anything, whose cluster is deleted in the end."""
    clone = Clone(folder, lend_environment=not variables)
    try:
        yield clone
    finally:
        purge(clone, **variables)


def purge(clone: Clone, **variables: str) -> None:
    """Delete its dev cluster."""
    clone.works(clone.python, "-m", "dev", "purge", "--yes", "--unseen", **variables)


if __name__ == "__main__":
    command_line.run(main, "python -m bench.up")
