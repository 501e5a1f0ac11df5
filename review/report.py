"""What a preview ends with, for people (a table), for a pull request (Markdown) and for programs
(JSON).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from review.comparison import CLASS, Action, Change, Comparison, Field
from review.fitting import first_of, fitted, size
from review.plan import PreviewPlan

# GitHub takes at most 65536 characters in a comment, and the workflow puts a mark before it (a
# job's summary may have 1 MiB).
LONGEST_MARKDOWN = 65_000
LONGEST_VALUE = 60
LONGEST_CODE = 300  # of a name or a path; Kubernetes' own end at 253 and 316
LONGEST_PROBLEM = 8_000  # of one stack; of many it is less, so that each has its first one
MOST_FIELDS = 8  # of one object; the rest is counted

# Of a stack, as it can stand in a heading: Markdown makes nothing of it, not even a link.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9-]+")

_COLOURS: dict[Action, str] = {"create": "green", "change": "yellow", "replace": "magenta", "delete": "red", "release": "cyan"}
_VERBS: dict[Action, str] = {
    "create": "created",
    "change": "changed",
    "replace": "replaced",
    "delete": "deleted",
    "release": "let go of, and not deleted",
}


@dataclass(frozen=True)
class Outcome:
    """One stack's preview.

    `failure` is why there is no good plan, empty where there is one; `comparison` is None without a
    base.
    """

    stack: str
    head: PreviewPlan
    failure: str = ""
    comparison: Comparison | None = None
    base: str = ""
    new: bool = False

    @property
    def problems(self) -> tuple[str, ...]:
        """Everything for which this must not be merged."""
        found = self.comparison.problems if self.comparison else ()
        return (*([self.failure] if self.failure else []), *self.head.violations, *found)


def summary(outcome: Outcome) -> str:
    """One line: what would be done, in numbers."""
    if outcome.comparison is None:
        objects = sum(resource.custom and not resource.type.startswith("pulumi:") for resource in outcome.head.resources.values())
        return "no plan" if outcome.failure else f"{objects} objects, {len(outcome.head.violations)} violations of policies"
    counts = [(len(outcome.comparison.of(action)), verb) for action, verb in _VERBS.items()]
    parts = [f"{number} {verb}" for number, verb in counts if number]
    return ", ".join(parts) or "nothing would change"


def note(outcome: Outcome) -> str:
    """What a reader of the table might otherwise wonder at; empty where there is nothing."""
    if outcome.new:
        return f"{outcome.base} has no Pulumi.{outcome.stack}.yaml: everything is new."
    if outcome.comparison and any(change.resource.type == CLASS for change in outcome.comparison.of("replace")):
        return "A replaced StorageClass is for new volumes. Those that are there stay as they are, and so do their claims."
    return ""


def table(comparison: Comparison) -> Table:
    """A row for each object that a merge touches, with the fields that differ.

    Those that replace it are marked.
    """
    shown = Table("", "Object", "Fields", box=box.SIMPLE_HEAD, pad_edge=False)
    for change in comparison.changes:
        shown.add_row(Text(change.action, _COLOURS[change.action]), Text(change.resource.title), Text("\n".join(_field_lines(change))))
    return shown


def _field_lines(change: Change) -> list[str]:
    lines = [f"{_field(field)}{' (replaces)' if field.path in change.because else ''}" for field in change.fields[:MOST_FIELDS]]
    more = len(change.fields) - MOST_FIELDS
    others = [why for why in change.because if why not in {field.path for field in change.fields}]
    return [*lines, *([f"and {more} more"] if more > 0 else []), *(f"{why} is replaced" for why in others)]


def _field(field: Field) -> str:
    return f"{field.path}: {_value(field.base)} -> {_value(field.head)}"


def _value(value: object) -> str:
    text = "(none)" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """All stacks, for a comment on a pull request: the verdict of every stack first, then the
    details of each, those that must not be merged before the others.

    What comes from the plans is shown as code: it links and mentions nothing.
    """
    ordered = sorted(outcomes, key=lambda outcome: (not outcome.failure, not outcome.problems))
    lines = _verdicts(ordered)
    longest = min(LONGEST_PROBLEM, max(LONGEST_CODE, LONGEST_MARKDOWN // 2 // max(len(ordered), 1)))
    lines += fitted([section for outcome in ordered if (section := _details(outcome, longest))], LONGEST_MARKDOWN - size(lines))
    return "\n".join(lines)


def _verdicts(outcomes: Sequence[Outcome]) -> list[str]:
    """A row for each stack; where there is no room for all, the last ones are counted."""
    head = ["| stack | verdict | what would be done |", "|---|---|---|"]
    rows = [f"| {_cell(outcome.stack)} | {_verdict(outcome)} | {'' if outcome.failure else summary(outcome)} |" for outcome in outcomes]
    room = LONGEST_MARKDOWN - size([*head, _not_shown(outcomes), ""])
    shown = first_of(rows, room)
    rest = outcomes[len(shown) :]
    return [*head, *shown, "", *([_not_shown(rest), ""] if rest else [])]


def _verdict(outcome: Outcome) -> str:
    if outcome.failure:
        return "❌ failed"
    number = len(outcome.problems)
    return f"❌ refused: {number} problem{'s' if number > 1 else ''}" if number else "✅ good"


def _not_shown(outcomes: Sequence[Outcome]) -> str:
    bad = sum(bool(outcome.problems) for outcome in outcomes)
    return f"There is no room for {len(outcomes)} more stacks, {bad} of them failed or refused; the job's log has them."


def _details(outcome: Outcome, longest: int) -> list[str]:
    """What there is to say of a stack besides its verdict: nothing, where the verdict says all.

    A problem or advice is cut at `longest` bytes.
    """
    lines: list[str] = []
    if outcome.problems:
        lines += ["**Not to be merged as it is:**", "", *(f"- `{_code(problem, longest)}`" for problem in outcome.problems), ""]
    if outcome.comparison and outcome.comparison.changes:
        lines += ["| | object | fields |", "|---|---|---|", *map(_markdown_row, outcome.comparison.changes), ""]
    if note(outcome):
        lines += [f"`{_code(note(outcome))}`", ""]
    if outcome.head.advice:
        lines += ["Advice:", "", *(f"- `{_code(advice, longest)}`" for advice in outcome.head.advice), ""]
    mark = "❌" if outcome.problems else "✅"
    name = outcome.stack if _PLAIN_NAME.fullmatch(outcome.stack) else f"`{_code(outcome.stack)}`"
    against = f", against `{_code(outcome.base)}`" if outcome.base else ""
    return [f"### {mark} Stack {name}: {summary(outcome)}{against}", "", *lines] if lines else []


def _markdown_row(change: Change) -> str:
    fields = "<br>".join(_cell(line) for line in _field_lines(change))
    return f"| {change.action} | {_cell(change.resource.title)} | {fields} |"


def _cell(text: str) -> str:
    """The text as code in a table, where a bar would begin the next cell, in code too.

    A backslash before a bar is escaped by the bar's own, so a blank parts them.
    """
    return f"`{_code(text)}`".replace("\\|", "\\ |").replace("|", "\\|")


def _code(text: str, longest: int = LONGEST_CODE) -> str:
    """The text as it can stand between two backticks: on one line, of characters that are seen, in
    at most `longest` bytes.
    """
    shown = " ".join(text[:longest].split())
    if not shown.isprintable():
        shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in shown)
    shown = shown.replace("`", "'") or "(empty)"
    if len(text) <= longest and len(shown.encode()) <= longest:
        return shown
    return f"{shown.encode()[: longest - len('…'.encode())].decode(errors='ignore')}…"


def as_json(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """All stacks: `{stack, base, new, ok, failure, violations, problems, changes: [{action, kind,
    name, urn, fields, because}]}`.
    """
    return [
        {
            "stack": outcome.stack,
            "base": outcome.base or None,
            "new": outcome.new,
            "ok": not outcome.problems,
            "failure": outcome.failure or None,
            "violations": list(outcome.head.violations),
            "problems": list(outcome.comparison.problems) if outcome.comparison else [],
            "changes": [_json_change(change) for change in outcome.comparison.changes] if outcome.comparison else None,
        }
        for outcome in outcomes
    ]


def _json_change(change: Change) -> dict[str, Any]:
    kind, _, name = change.resource.title.partition(" ")
    fields = [{"path": field.path, "base": field.base, "head": field.head} for field in change.fields]
    return {
        "action": change.action,
        "kind": kind,
        "name": name,
        "urn": change.resource.urn,
        "fields": fields,
        "because": list(change.because),
    }
