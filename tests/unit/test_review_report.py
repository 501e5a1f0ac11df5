"""How a preview's event log is read, and how its outcome is shown."""

from __future__ import annotations

import io
import itertools
import json
import re
from dataclasses import replace
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
    assert plan.advice == ("advice: The object: its value. Works: another",)
    assert plan.errors == ("it failed",)
    [claim] = plan.resources.values()
    assert (claim.type, claim.name) == ("kubernetes:core/v1:PersistentVolumeClaim", "data-kafka-0")
    assert claim.title == "PersistentVolumeClaim data/data-kafka-0"


def test_a_violation_that_is_exempt_fails_nothing_and_is_told_with_its_exceptions(tmp_path: Path) -> None:
    violation = {"policyName": "a-rule", "message": "Its reason.\nThe object: its value\n", "enforcementLevel": "mandatory"}
    exceptions = [{"id": "EXC-42", "reason": "agreed until\nspring"}, {"id": "EXC-7", "reason": "a test"}]
    plan = read(
        write(
            tmp_path,
            {"policyEvent": {**violation, "exceptions": exceptions}},
            {"policyEvent": {**violation, "policyName": "another", "exceptions": []}},
        )
    )
    assert plan.violations == ("another: The object: its value",)
    assert plan.advice == ("a-rule: The object: its value (exempt by EXC-42: agreed until spring, EXC-7: a test)",)


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


GITHUB = 65_536 - len("<!-- preview of all stacks -->\n")  # what the workflow puts before the report


def stack(name: str, *, problems: int = 0, objects: int = 0, failure: str = "", text: str = "p") -> Outcome:
    changes = tuple(Change("create", Planned(f"{URN}{n}", INPUTS)) for n in range(objects))
    comparison = None if failure else Comparison(changes, tuple(f"{text} {n}" for n in range(problems)))
    return Outcome(name, PreviewPlan({}), failure, comparison, "origin/main")


def verdicts(text: str) -> list[str]:
    """The rows of the first table."""
    lines = text.splitlines()
    assert lines[:2] == ["| stack | verdict | what would be done |", "|---|---|---|"]
    return list(itertools.takewhile(lambda line: line.startswith("| "), lines[2:]))


def test_a_verdict_for_every_stack_comes_first_and_the_bad_ones_before_the_good() -> None:
    everything = [stack("large", objects=9), stack("quiet"), stack("lost", problems=2, objects=1), stack("broken", failure="no such tier")]
    text = markdown(everything)
    assert verdicts(text) == [
        "| `broken` | ❌ failed |  |",
        "| `lost` | ❌ refused: 2 problems | 1 created |",
        "| `large` | ✅ good | 9 created |",
        "| `quiet` | ✅ good | nothing would change |",
    ]
    headings = [line for line in text.splitlines() if line.startswith("### ")]
    assert headings == [
        "### ❌ Stack broken: no plan, against `origin/main`",
        "### ❌ Stack lost: 1 created, against `origin/main`",
        "### ✅ Stack large: 9 created, against `origin/main`",
    ], "of a stack of which nothing changes the verdict says it all"
    assert "- `no such tier`" in text and "- `p 1`" in text


@pytest.mark.parametrize("text", ["p", "ü" * 700, "😀`|\\" * 9000, "x" * 100_000], ids=["short", "umlauts", "emoji", "long"])
@pytest.mark.parametrize("number", [1, 5, 50, 500])
def test_all_verdicts_stand_whatever_the_number_of_stacks_and_their_size(number: int, text: str) -> None:
    outcomes = [stack(f"large-{n}", objects=1500 if number < 50 else 50) for n in range(number - 1)] + [
        stack("refused", problems=30, text=text)
    ]
    report = markdown(outcomes)
    assert len(report.encode()) <= LONGEST_MARKDOWN <= GITHUB, "bytes are the most that anybody counts"
    rows = verdicts(report)
    assert rows[0] == "| `refused` | ❌ refused: 30 problems | nothing would change |" and len(rows) == number
    assert f"- `{text[:50]}".replace("😀`", "😀'") in report, "its first problem, at least, is told"
    # Nothing is left open: a line has all of its code, a table all of its bars.
    for line in report.splitlines():
        assert line.count("`") % 2 == 0
        assert not line.startswith("|") or len(re.findall(r"(?<!\\)\|", line)) == 4
    if number > 1:
        assert "Cut here; the job's log has all of it." in report or "There is no room for the details of" in report


def test_advice_is_told_and_fails_nothing() -> None:
    advised = replace(stack("dev"), head=PreviewPlan({}, advice=("a-rule: it isn't seen",)))
    report = markdown([advised])
    assert verdicts(report) == ["| `dev` | ✅ good | nothing would change |"]
    assert "### ✅ Stack dev: nothing would change, against `origin/main`\n\nAdvice:\n\n- `a-rule: it isn't seen`\n" in report


def test_a_short_stack_between_long_ones_is_whole() -> None:
    report = markdown([stack("a", objects=1500), stack("short", problems=3), stack("z", problems=1, objects=1500)])
    [short] = re.findall(r"### ❌ Stack short:.*?(?=###)", report, re.DOTALL)
    assert "- `p 2`" in short and "Cut" not in short
    assert report.count("Cut here") == 2 and len(report) > 0.98 * LONGEST_MARKDOWN


def test_where_not_even_the_verdicts_fit_the_bad_ones_are_first_and_the_rest_is_counted() -> None:
    report = markdown([stack(f"{n:0100}") for n in range(1000)] + [stack("bad", problems=1)] * 1000)
    rows = verdicts(report)
    assert len(report.encode()) <= LONGEST_MARKDOWN and rows[999].startswith("| `bad`") and "bad" not in rows[1000]
    assert f"There is no room for {2000 - len(rows)} more stacks, 0 of them failed or refused; the job's log has them." in report


def test_names_are_no_markdown() -> None:
    hostile = "www.example.com @everyone <img> `x` \\| \ud800 \u202e"
    report = markdown([stack(hostile, problems=1)])
    assert verdicts(report) == [
        "| `www.example.com @everyone <img> 'x' \\ \\| \ufffd \ufffd` | ❌ refused: 1 problem | nothing would change |"
    ]
    assert "### ❌ Stack `www.example.com @everyone <img> 'x' \\| \ufffd \ufffd`: nothing would change" in report
    assert "`<b> has no Pulumi.aws.yaml: everything is new.`" in markdown([replace(stack("aws"), new=True, base="<b>")])


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
