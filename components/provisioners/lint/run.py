"""One run of the check: what comes of each file, and of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from components.kube.quantity import Size
from components.provisioners.lint.check import ClassReport, check_source
from components.provisioners.lint.files import read_text
from components.provisioners.lint.manifests import ManifestError, read_manifests

# The exit status by what was found.
CLEAN, ERRORS, UNREADABLE, UNCHECKED = 0, 1, 2, 3


class FileResult(NamedTuple):
    """What comes of a file, `-` for standard input.

    `problem` says why it can't be read, in `line` where that is known; there is nothing else then.
    `others` are the objects that are no StorageClass.
    `fixed` is the mended text, `changes` what was changed in it; `reports` are about that text.
    """

    name: str
    reports: Sequence[ClassReport] = ()
    others: Sequence[str] = ()
    problem: str = ""
    line: int = 0
    fixed: str | None = None
    changes: Sequence[str] = ()

    @property
    def refusal(self) -> str:
        """The problem with the file, and the line where there is one."""
        return f"{self.name}:{self.line}: {self.problem}" if self.line else f"{self.name}: {self.problem}"


def check_file(name: str, sizes: Sequence[Size]) -> FileResult:
    """All classes of a file."""
    try:
        found = read_manifests(read_text(name))
        return FileResult(name, [check_source(source, sizes) for source in found.classes], found.others)
    except ManifestError as problem:
        return FileResult(name, problem=problem.message, line=problem.line)


def fix_file(name: str, sizes: Sequence[Size]) -> FileResult:
    """The same, mended where that changes no meaning."""
    from components.provisioners.lint.fix import fix  # noqa: PLC0415 - 3 % of a check, which needs none of it

    try:
        text = read_text(name)
        found, fixed = read_manifests(text), fix(text, sizes)
        return FileResult(name, fixed.reports, found.others, fixed=fixed.text, changes=fixed.changes)
    except ManifestError as problem:
        return FileResult(name, problem=problem.message, line=problem.line)


def without_classes(results: Sequence[FileResult]) -> list[FileResult]:
    """The results, where no file has a class with that as the problem of each.

    Beside files that have one, a file with other objects alone is nothing to complain of.
    """
    if any(each.reports for each in results):
        return list(results)
    return [
        each
        if each.problem
        else each._replace(problem="no StorageClass in it" + (f"; there is {', '.join(each.others)}" if each.others else ""))
        for each in results
    ]


def exit_status(results: Sequence[FileResult]) -> int:
    """What a shell is told: unreadable before errors, errors before what couldn't be checked."""
    reports = [report for each in results for report in each.reports]
    if any(each.problem for each in results):
        return UNREADABLE
    if any(report.count("error") for report in reports):
        return ERRORS
    return UNCHECKED if any(report.provisioner is None for report in reports) else CLEAN
