"""`check --fix`: the text of a manifest with what can be mended without a change of meaning.

Changed is what an error is about, and nothing else: comments, quotes and order stay.
A change keeps the meaning where the mended class asks for what is written: the same value in the
form that is read, the same key in the right spelling or place, or without what has no effect.
Whatever else works is left to a person: another figure, an example in place of a wrong value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from components.kube.quantity import Size
from components.provisioners.findings import Finding
from components.provisioners.lint.check import ClassReport, check_source
from components.provisioners.lint.edit_text import CannotEdit, Splice, spliced, splices
from components.provisioners.lint.manifests import read_manifests
from components.provisioners.lint.mending import Edit, edits_of
from components.provisioners.remedies import Drop, Move, Remedy, Rename, Replace, Set

_MOST_ROUNDS = 8
_TRUE, _FALSE = ("true", "yes", "on", "1", "t", "y"), ("false", "no", "off", "0", "f", "n")
_CLOSE = 0.75


class Fixed(NamedTuple):
    """A mended text; `changes` says in words what was changed, and `reports` what is left."""

    text: str
    changes: Sequence[str]
    reports: Sequence[ClassReport]


def fix(text: str, sizes: Sequence[Size]) -> Fixed:
    """The text with all that keeps its meaning.

    One change may bring another finding to light, so it is read again until nothing changes.
    Raises ManifestError.
    """
    changes: list[str] = []
    for _ in range(_MOST_ROUNDS):
        reports = [check_source(source, sizes) for source in read_manifests(text).classes]
        made: list[Splice] = []
        for report in reports:
            for finding in report.findings:
                words = _mended(text, report, finding, made)
                if words:
                    changes.append(words)
        if not made:
            break
        text = spliced(text, made)
    reports = [check_source(source, sizes) for source in read_manifests(text).classes]
    return Fixed(text, changes, reports)


def apply_remedy(text: str, report: ClassReport, finding: Finding, remedy: Remedy) -> str:
    """The text with one remedy, whatever it changes; raises CannotEdit."""
    return spliced(text, _splices(text, report, finding, remedy))


def _mended(text: str, report: ClassReport, finding: Finding, made: list[Splice]) -> str:
    """Adds the changes for a finding to `made`; in words what they are, empty for none."""
    if finding.severity != "error" and not isinstance(finding.remedy, Replace):
        return ""
    remedy = next((each for each in _remedies(report, finding) if keeps_meaning(report, finding, each)), None)
    if remedy is None:
        return ""
    try:
        new = _splices(text, report, finding, remedy)
    except CannotEdit:
        return ""
    if not new or any(each.touches(other) for each in new for other in made):
        return ""  # the next round looks at it again
    made.extend(new)
    return f"line {report.line(finding)}: {report.where(finding)}: {report.value(finding)}: now {report.words(finding, remedy)}"


def _remedies(report: ClassReport, finding: Finding) -> Iterator[Remedy]:
    """What works, and what does away with this finding alone."""
    yield report.remedy(finding)
    if report.suggestions:
        yield report.suggestions.written(finding.path, finding.remedy)


def _splices(text: str, report: ClassReport, finding: Finding, remedy: Remedy) -> list[Splice]:
    if report.source is None:
        raise CannotEdit("a class that is in no text")
    edits = edits_of_report(report, finding, remedy)
    if not edits:
        raise CannotEdit("no change of the manifest")
    return splices(text, report.source.node, edits)


def edits_of_report(report: ClassReport, finding: Finding, remedy: Remedy) -> list[Edit]:
    """The edits of a remedy, whether the class's driver is known or not."""
    return report.suggestions.edits(finding, remedy) if report.suggestions else edits_of(report.manifest, finding, remedy)


def keeps_meaning(report: ClassReport, finding: Finding, remedy: Remedy) -> bool:
    """Whether the class asks for the same with the remedy."""
    match remedy:
        case Set():
            return not remedy.with_ and (remedy.meant or _same(_written(report, finding), remedy.value))
        case Rename():
            return not remedy.without and (remedy.value is None or _same(_written(report, finding), remedy.value))
        case Move() | Replace():
            return True
        case Drop():
            return remedy.ignored and not remedy.with_
        case _:
            return False


def _written(report: ClassReport, finding: Finding) -> object:
    """The value as the class has it."""
    return finding.value if finding.place else report.manifest.parameters.get(finding.path, finding.value)


def _same(old: object, new: object) -> bool:
    """Whether a new value says what the old one was meant to say."""
    before, after = _folded(old), _folded(new)
    if before == after or (before in _TRUE and after == "true") or (before in _FALSE and after == "false"):
        return True
    if (number := re.fullmatch(r"([0-9]+)(?:\.0*)?", before.replace(",", "").replace("_", "").replace(" ", ""))) is not None:
        return re.fullmatch(rf"{number[1]}(?:mi|gi)?", after) is not None
    if (unit := re.fullmatch(r"([0-9]+) ?(?:mi|mib|mib/s|mibps|gi|gib)", before)) is not None:
        return re.fullmatch(rf"{unit[1]}(?:mi|gi)?", after) is not None and (after[-2:] in (before[len(unit[1]) :].strip()[:2], after[-2:]))
    letters = re.fullmatch("[a-z_ -]{4,}", before) and re.fullmatch("[a-z_-]{4,}", after)
    return bool(letters) and SequenceMatcher(None, before, after).ratio() >= _CLOSE


def _folded(value: object) -> str:
    return ("true" if value is True else "false" if value is False else str(value)).strip().lower()
