"""Shows what was found in StorageClasses: as tables for people, as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import click

from components.kube.quantity import Size
from components.provisioners import PROVISIONERS
from components.provisioners.findings import Finding
from components.provisioners.lint.check import ClassReport
from components.provisioners.lint.run import FileResult, exit_status
from components.provisioners.lint.tables import FindingRow, table
from components.provisioners.migration import PLUGINS


def as_json(results: Sequence[FileResult]) -> dict[str, object]:
    """The findings for programs; `status` is the exit status."""
    reports = [(each.name, report) for each in results for report in each.reports]
    return {
        "status": exit_status(results),
        "classes": [
            {
                "file": name,
                "line": report.source.node.line if report.source else 0,
                "name": report.manifest.name,
                "provisioner": report.manifest.provisioner,
                "checked": report.provisioner is not None,
                "findings": [
                    {
                        "severity": finding.severity,
                        "line": report.line(finding),
                        "path": report.where(finding),
                        "value": report.value(finding),
                        "rule": finding.rule,
                        "works": report.works(finding),
                    }
                    for finding in report.findings
                ],
            }
            for name, report in reports
        ],
        "ignored": [other for each in results for other in each.others],
        "unreadable": [{"file": each.name, "line": each.line, "problem": each.problem} for each in results if each.problem],
        "errors": sum(report.count("error") for _, report in reports),
        "warnings": sum(report.count("warning") for _, report in reports),
        "unchecked": sum(report.provisioner is None for _, report in reports),
    }


def write_json(results: Sequence[FileResult]) -> None:
    """All of it as one JSON object, on standard output."""
    click.echo(json.dumps(as_json(results), indent=2, ensure_ascii=False))


def show(results: Sequence[FileResult], sizes: Sequence[Size]) -> None:
    """The findings for people, on standard output; files that can't be read on standard error."""
    for result in results:
        for report in result.reports:
            click.echo(f"{_printable(report.manifest.name)} ({_printable(report.manifest.provisioner)}): {_summary(report)}")
            if report.findings:
                click.echo(table(list(_rows(result, report))))
    others = [other for each in results if not each.problem for other in each.others]
    if others:
        click.echo(f"Not StorageClasses, and not checked: {', '.join(map(_printable, others))}")
    if not sizes and any(report.provisioner for each in results for report in each.reports):
        click.echo("Sizes, and figures that depend on them, were not checked: name the sizes of your claims with --size.")
    _tell_unreadable(results)


def write_fixed(results: Sequence[FileResult]) -> None:
    """The mended manifests, on standard output; what was changed and is left, on standard error."""
    readable = [each for each in results if each.fixed is not None]
    for number, result in enumerate(readable):
        text = result.fixed or ""
        divider = "---\n" if number and not text.startswith(("---", "%")) else ""
        click.echo(divider + text, nl=bool(text) and not text.endswith("\n"))
        for change in result.changes:
            click.echo(f"{result.name}: changed: {change}", err=True)
        for report in result.reports:
            for finding in report.findings:
                if finding.severity == "error":
                    click.echo(f"{result.name}: left to you, as it would change the meaning: {_left(report, finding)}", err=True)
            if report.provisioner is None:
                click.echo(f"{result.name}: {_printable(report.manifest.name)}: {_summary(report)}", err=True)
    _tell_unreadable(results)


def _tell_unreadable(results: Sequence[FileResult]) -> None:
    for result in results:
        if result.problem:
            click.echo(f"Error: {result.refusal}", err=True)


def _left(report: ClassReport, finding: Finding) -> str:
    line = report.line(finding)
    where = f"line {line}: {report.where(finding)}" if line else report.where(finding)
    return f"{where}: {report.value(finding)}: {finding.rule}. Works: {report.works(finding)}"


def _rows(result: FileResult, report: ClassReport) -> Iterator[FindingRow]:
    for finding in sorted(report.findings, key=lambda each: each.severity):
        line = report.line(finding)
        place = [f"{'line ' if result.name == '-' else f'{result.name}:'}{line}"] if line else []
        cells = ("\n".join((report.where(finding), report.value(finding), *place)), finding.rule, report.works(finding))
        yield FindingRow(finding.severity, *cells)


def _summary(report: ClassReport) -> str:
    counts = [(report.count(severity), severity) for severity in ("error", "warning")]
    found = [f"{number} {name}{'s' if number > 1 else ''}" for number, name in counts if number]
    if report.provisioner is None:
        known = ", ".join([*(driver for each in PROVISIONERS.values() for driver in each.drivers), *PLUGINS])
        return ", ".join([*found, f"not checked, its provisioner isn't known here (known: {known})"])
    return ", ".join(found) or "nothing to object to"


def _printable(text: str) -> str:
    """A name that a terminal can show; any other as JSON has it."""
    return text if text.isprintable() else json.dumps(text)
