"""Shows what was found in StorageClasses: as tables for people, as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from components.kube.quantity import Size
from components.provisioners import PROVISIONERS
from components.provisioners.lint.check import ClassReport


def as_json(reports: Sequence[ClassReport], others: Sequence[str]) -> dict[str, object]:
    """The findings for programs; `others` are the objects that were ignored."""
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


def show(reports: Sequence[ClassReport], others: Sequence[str], sizes: Sequence[Size]) -> None:
    """The findings for people, on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    for report in reports:
        console.print(f"{report.manifest.name} ({report.manifest.provisioner}): {_summary(report)}", markup=False)
        if report.findings:
            console.print(_table(report))
    if others:
        console.print(f"Not StorageClasses, and not checked: {', '.join(others)}", markup=False)
    if not sizes:
        console.print("Sizes, and figures that depend on them, were not checked: name the sizes of your claims with --size.", markup=False)


def _table(report: ClassReport) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, ratio in (("", None), ("Where", 4), ("Rule", 6), ("Works", 3)):
        table.add_column(column, ratio=ratio, overflow="fold")
    for finding in sorted(report.findings, key=lambda each: each.severity):
        colour = "red" if finding.severity == "error" else "yellow"
        row = (f"{report.where(finding)}\n{report.value(finding)}", finding.rule, report.works(finding))
        table.add_row(f"[{colour}]{finding.severity}[/]", *(escape(text) for text in row))
    return table


def _summary(report: ClassReport) -> str:
    if report.provisioner is None:
        known = ", ".join(driver for each in PROVISIONERS.values() for driver in each.drivers)
        return f"not checked, its provisioner isn't known here (known: {known})"
    counts = [(report.count(severity), severity) for severity in ("error", "warning")]
    found = [f"{number} {name}{'s' if number > 1 else ''}" for number, name in counts if number]
    return ", ".join(found) or "nothing to object to"
