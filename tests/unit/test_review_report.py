"""How a preview's event log is read, and how its outcome is shown."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from review.comparison import Change, Comparison, Field, compare
from review.plan import Planned, PreviewPlan, read
from review.report import LONGEST_MARKDOWN, Outcome, as_json, markdown, summary, table

URN = "urn:pulumi:dev::storage-tiers::storage-tiers:index:ServiceVolumes$kubernetes:core/v1:PersistentVolumeClaim::data-kafka-0"
PROVIDER = "urn:pulumi:dev::storage-tiers::pulumi:providers:kubernetes::cluster"
INPUTS = {"metadata": {"name": "data-kafka-0", "namespace": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}
CLAIM = Planned(URN, INPUTS)


def event(op: str, **new: object) -> dict[str, object]:
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": URN, "new": {"urn": URN, "custom": True, "inputs": INPUTS, **new}}}}


def write(folder: Path, *events: object) -> Path:
    log = folder / "events.json"
    log.write_text("".join(f"{json.dumps(each)}\n" for each in events))
    return log


def test_what_is_read_of_an_event_log(tmp_path: Path) -> None:
    violation = {"policyName": "a-rule", "message": "Its reason.\nThe object: its value. Works: another\n", "enforcementLevel": "mandatory"}
    plan = read(
        write(
            tmp_path,
            {"preludeEvent": {"config": {}}},
            event("create", protect=True, parent="p", provider=f"{PROVIDER}::04da6b54"),
            {"policyEvent": violation},
            {"policyEvent": violation},  # the engine says it again in its summary
            {"policyEvent": {**violation, "enforcementLevel": "advisory", "policyName": "advice"}},
            {"diagnosticEvent": {"severity": "warning", "message": "never mind"}},
            {"diagnosticEvent": {"severity": "error", "message": "it\n  failed\n"}},
        )
    )
    assert plan.resources == {URN: Planned(URN, INPUTS, protect=True, parent="p", provider=PROVIDER)}
    assert plan.violations == ("a-rule: The object: its value. Works: another",)
    assert plan.errors == ("it failed",)
    [claim] = plan.resources.values()
    assert (claim.type, claim.name) == ("kubernetes:core/v1:PersistentVolumeClaim", "data-kafka-0")
    assert claim.title == "PersistentVolumeClaim data/data-kafka-0"


def test_an_object_that_is_only_read_is_not_planned(tmp_path: Path) -> None:
    assert read(write(tmp_path, event("read"))).resources == {}


def test_a_log_that_is_cut_off_or_missing_gives_what_there_is(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") == PreviewPlan({})
    log = write(tmp_path, event("create"))
    log.write_text(log.read_text() + '{"resourcePreEvent": {"meta')
    assert set(read(log).resources) == {URN}


def outcome(*changes: Change, problems: tuple[str, ...] = (), **more: object) -> Outcome:
    return Outcome("aws", PreviewPlan({}), comparison=Comparison(changes, problems), base="origin/main", **more)  # type: ignore[arg-type]


REPLACED = Change("replace", CLAIM, (Field("spec.accessModes[0]", "ReadWriteOnce", "ReadWriteOncePod"),), ("spec.accessModes[0]",))


def test_the_table_marks_what_replaces() -> None:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table(Comparison((REPLACED, Change("change", CLAIM, tuple(Field(f"f{n}", n, None) for n in range(10)))), ())))
    shown = console.export_text()
    assert 'spec.accessModes[0]: "ReadWriteOnce" -> "ReadWriteOncePod" (replaces)' in shown
    assert "f7: 7 -> (none)" in shown and "f8" not in shown and "and 2 more" in shown


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], "nothing would change"),
        ([Change("create", CLAIM)] * 2, "2 created"),
        ([Change("release", CLAIM), REPLACED], "1 replaced, 1 let go of, and not deleted"),
    ],
)
def test_the_summary_counts(changes: list[Change], expected: str) -> None:
    assert summary(outcome(*changes)) == expected


def test_markdown_neither_links_nor_mentions_nor_breaks_out_of_its_table() -> None:
    hostile = "@everyone `x` | ![](http://a) <img src=x>\n# title"
    text = markdown([outcome(Change("change", CLAIM, (Field("metadata.labels[a]", hostile, None),)), problems=(hostile,))])
    [row] = [line for line in text.splitlines() if line.startswith("| change")]
    cells = re.split(r"(?<!\\)\|", row)
    # Between two backticks nothing means anything but a backtick, and in a table a bar.
    assert len(cells) == 5 and cells[3].count("`") == 2 and cells[3].strip().startswith("`") and cells[3].strip().endswith("`")
    assert text.splitlines().count("- `@everyone 'x' | ![](http://a) <img src=x> # title`") == 1


def test_markdown_is_cut_at_a_line_where_a_comment_ends() -> None:
    plan = PreviewPlan({f"{URN}{n}": Planned(f"{URN}{n}", INPUTS) for n in range(2000)})
    text = markdown([Outcome("aws", plan, comparison=compare(None, plan), base="origin/main", new=True)])
    assert len(text) < LONGEST_MARKDOWN + 100
    assert text.endswith("|\n\nCut here; the job's log has all of it.\n") and "2000 created" in text


def test_json_has_every_field_in_full() -> None:
    long = "x" * 500
    [report] = as_json([outcome(Change("replace", CLAIM, (Field("a", long, [1]),), ("a",)), problems=("p",))])
    assert report == {
        "stack": "aws",
        "base": "origin/main",
        "new": False,
        "ok": False,
        "failure": None,
        "violations": [],
        "problems": ["p"],
        "changes": [
            {
                "action": "replace",
                "kind": "PersistentVolumeClaim",
                "name": "data/data-kafka-0",
                "urn": URN,
                "fields": [{"path": "a", "base": long, "head": [1]}],
                "because": ["a"],
            }
        ],
    }
