"""`python -m components.provisioners check`: checks StorageClasses in a file.

It needs no cluster, stack or engine.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TextIO

import click

from components.kube.quantity import Size, SizeError
from components.provisioners.lint.check import check_class
from components.provisioners.lint.manifests import ManifestError, read_manifests
from components.provisioners.lint.output import as_json, show


class _SizeType(click.ParamType[Size]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        """A text such as 5Gi."""
        try:
            return value if isinstance(value, Size) else Size.parse(str(value))
        except SizeError as problem:
            self.fail(f"{problem.text}: {problem.rule}. Works: {problem.works}", param, ctx)


@click.group()
def main() -> None:
    """What the provisioners of this project know, for StorageClasses of any origin."""


@main.command("check")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option(
    "--size", "sizes", type=_SizeType(), multiple=True, help="A size that volumes of the class will have, such as 5Gi; may be repeated."
)
@click.option("--json", "json_wanted", is_flag=True, help="The findings as JSON, for programs.")
def check_command(file: TextIO, sizes: Sequence[Size], json_wanted: bool) -> None:
    """Check the StorageClasses in FILE (`-` for standard input), for example
    `kubectl get storageclass -o yaml | … check - --size 5Gi`.

    Exit status 0: no errors, perhaps warnings; 1: errors; 2: wrong usage, or no StorageClass in
    FILE.
    """
    try:
        classes, others = read_manifests(file.read())
    except (ManifestError, UnicodeDecodeError) as problem:
        raise click.UsageError(f"{file.name}: {problem}") from None
    if not classes:
        raise click.UsageError(f"{file.name}: no StorageClass in it" + (f"; there is {', '.join(others)}" if others else ""))
    reports = [check_class(manifest, sizes) for manifest in classes]
    if json_wanted:
        click.echo(json.dumps(as_json(reports, others), indent=2, ensure_ascii=False))
    else:
        show(reports, others, sizes)
    sys.exit(1 if any(report.count("error") for report in reports) else 0)


if __name__ == "__main__":
    main(prog_name="python -m components.provisioners")
