"""What a preview ends with, for people (a table), for a pull request (Markdown) and for programs
(JSON).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from review.comparison import CLASS, Action, Change, Comparison, Field
from review.plan import PreviewPlan

# GitHub takes at most 65536 characters in a comment (and 1 MiB in a job's summary).
LONGEST_MARKDOWN = 60_000
LONGEST_VALUE = 60
MOST_FIELDS = 8  # of one object; the rest is counted

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
    """All stacks, for a comment on a pull request.

    What comes from the plans is shown as code: it links and mentions nothing.
    """
    lines: list[str] = []
    for outcome in outcomes:
        mark = "❌" if outcome.problems else "✅"
        against = f", against `{_code(outcome.base)}`" if outcome.base else ""
        lines += [f"### {mark} Stack {_code(outcome.stack)}: {summary(outcome)}{against}", ""]
        if outcome.problems:
            lines += ["**Not to be merged as it is:**", "", *(f"- `{_code(problem)}`" for problem in outcome.problems), ""]
        if outcome.comparison and outcome.comparison.changes:
            lines += ["| | object | fields |", "|---|---|---|"]
            lines += [_markdown_row(change) for change in outcome.comparison.changes]
            lines.append("")
        if note(outcome):
            lines += [_code(note(outcome)), ""]
    text = "\n".join(lines)
    if len(text) > LONGEST_MARKDOWN:
        text = f"{text[:LONGEST_MARKDOWN].rpartition(chr(10))[0]}\n\nCut here; the job's log has all of it.\n"
    return text


def _markdown_row(change: Change) -> str:
    fields = "<br>".join(_cell(line) for line in _field_lines(change))
    return f"| {change.action} | {_cell(change.resource.title)} | {fields} |"


def _cell(text: str) -> str:
    """The text as code in a table, where a bar would begin the next cell, in code too."""
    return f"`{_code(text)}`".replace("|", "\\|")


def _code(text: str) -> str:
    """The text as it can stand between two backticks."""
    return " ".join(text.split()).replace("`", "'")


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
