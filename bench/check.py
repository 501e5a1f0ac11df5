"""`python -m bench.check`: the `check` command on one StorageClass, and on a thousand.

Medians of several runs, each a process of its own.
Both counts take turns, after one turn that warms up.
"""

from __future__ import annotations

import os
import sys
import tempfile
from itertools import cycle
from pathlib import Path

import click
import yaml

from bench.measure import Cost, run_short, table_of_medians
from devkube import paths
from ops.console import console, step

CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "volumeBindingMode": "WaitForFirstConsumer",
    "reclaimPolicy": "Retain",
}
# Each has one error: a text that is read as false, one in bytes, a key that no driver has.
FAULTY = (
    ("ebs.csi.aws.com", {"type": "gp3", "encrypted": "True"}),
    ("pd.csi.storage.gke.io", {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "250"}),
    ("ebs.csi.aws.com", {"type": "gp3", "encrypted": "true", "iopsPerGiB": "500"}),
    ("rancher.io/local-path", {"nodePath": "data"}),
)
ERRORS = 1  # the exit status


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=7, show_default=True, help="Counted runs of each count of classes.")
@click.option("--classes", multiple=True, type=click.IntRange(min=1), default=(1, 1000), show_default=True, help="Classes in the file.")
def main(runs: int, classes: tuple[int, ...]) -> None:
    """The check of one class, and of a thousand, with an error each."""
    costs: dict[int, list[Cost]] = {count: [] for count in classes}
    with tempfile.TemporaryDirectory() as folder, step(f"{runs} runs of each") as progress:
        files = {count: manifests(Path(folder, f"{count}.yaml"), count) for count in classes}
        for turn in range(runs + 1):
            progress.detail = f"turn {turn}"
            for count, file in files.items():
                cost = checked(file)
                if turn:
                    costs[count].append(cost)
    console.print(table_of_medians("Classes", {str(count): measured for count, measured in costs.items()}, decimals=2))


def manifests(file: Path, count: int) -> Path:
    """`file` with as many classes."""
    classes = [
        {**CLASS, "metadata": {"name": f"fast-{n}"}, "provisioner": provisioner, "parameters": parameters}
        for n, (provisioner, parameters) in zip(range(count), cycle(FAULTY), strict=False)
    ]
    file.write_text(yaml.safe_dump_all(classes), encoding="utf-8")
    return file


def checked(file: Path) -> Cost:
    """What one check of the file costs."""
    return run_short([sys.executable, "-m", "components.provisioners", "check", str(file), "--size", "5Gi"], paths.ROOT, os.environ, ERRORS)


if __name__ == "__main__":
    main()
