"""`python -m components.provisioners check`: checks StorageClasses in a file, without cluster, stack or engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TextIO

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.kube.quantity import Size, SizeError
from components.provisioners import PROVISIONERS
from components.provisioners.check import Report, check
from components.provisioners.manifests import ManifestError, read


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
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON, for programs.")
def check_command(file: TextIO, sizes: Sequence[Size], as_json: bool) -> None:
    """Check the StorageClasses in FILE (`-` for standard input), for example `kubectl get storageclass -o yaml | … check - --size 5Gi`.

    Exit status 0: no errors, perhaps warnings; 1: errors; 2: wrong usage, or no StorageClass in FILE.
    """
    try:
        classes, others = read(file.read())
    except (ManifestError, UnicodeDecodeError) as problem:
        raise click.UsageError(f"{file.name}: {problem}") from None
    if not classes:
        raise click.UsageError(f"{file.name}: no StorageClass in it" + (f"; there is {', '.join(others)}" if others else ""))
    reports = [check(manifest, sizes) for manifest in classes]
    if as_json:
        click.echo(json.dumps(_as_json(reports, others), indent=2, ensure_ascii=False))
    else:
        _show(reports, others, sizes)
    sys.exit(1 if any(report.count("error") for report in reports) else 0)


def _as_json(reports: Sequence[Report], others: Sequence[str]) -> dict[str, object]:
    return {
        "classes": [
            {
                "name": report.manifest.name,
                "provisioner": report.manifest.provisioner,
                "checked": report.provisioner is not None,
                "findings": [
                    {
                        "severity": finding.severity,
                        "path": report.where(finding),
                        "value": report.value(finding),
                        "rule": finding.rule,
                        "works": report.works(finding),
                    }
                    for finding in report.findings
                ],
            }
            for report in reports
        ],
        "ignored": list(others),
        "errors": sum(report.count("error") for report in reports),
        "warnings": sum(report.count("warning") for report in reports),
    }


def _show(reports: Sequence[Report], others: Sequence[str], sizes: Sequence[Size]) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    for report in reports:
        console.print(f"{report.manifest.name} ({report.manifest.provisioner}): {_summary(report)}", markup=False)
        if report.findings:
            table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
            for column, ratio in (("", None), ("Where", 4), ("Rule", 6), ("Works", 3)):
                table.add_column(column, ratio=ratio, overflow="fold")
            for finding in sorted(report.findings, key=lambda each: each.severity):
                colour = "red" if finding.severity == "error" else "yellow"
                row = (f"{report.where(finding)}\n{report.value(finding)}", finding.rule, report.works(finding))
                table.add_row(f"[{colour}]{finding.severity}[/]", *(escape(text) for text in row))
            console.print(table)
    if others:
        console.print(f"Not StorageClasses, and not checked: {', '.join(others)}", markup=False)
    if not sizes:
        console.print("Sizes, and figures that depend on them, were not checked: name the sizes of your claims with --size.", markup=False)


def _summary(report: Report) -> str:
    if report.provisioner is None:
        known = ", ".join(driver for each in PROVISIONERS.values() for driver in each.drivers)
        return f"not checked, its provisioner isn't known here (known: {known})"
    counts = [(report.count(severity), severity) for severity in ("error", "warning")]
    found = [f"{number} {name}{'s' if number > 1 else ''}" for number, name in counts if number]
    return ", ".join(found) or "nothing to object to"


if __name__ == "__main__":
    main(prog_name="python -m components.provisioners")
