"""What actionlint and zizmor don't check of the GitHub workflows, and the one script in them, run
as it stands.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.doctor import parts, show
from dev.doctor.diagnosis import Diagnosis
from devkube import paths
from ops.settings import load_settings
from review.preview import committed_stacks

FOLDER = paths.ROOT / ".github" / "workflows"
FILES = sorted(FOLDER.glob("*.yml"))
WORKFLOWS: dict[str, dict[Any, Any]] = {file.stem: yaml.safe_load(file.read_text(encoding="utf-8")) for file in FILES}


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_every_action_is_pinned_by_a_commit_with_its_version_and_the_same_everywhere(file: Path) -> None:
    everywhere: dict[str, str] = {}
    for other in FILES:
        everywhere.update(re.findall(r"uses: ([\w/-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$", other.read_text(encoding="utf-8"), re.MULTILINE))
    for used in re.findall(r"uses: (\S+)", file.read_text(encoding="utf-8")):
        name, _, commit = used.partition("@")
        assert used.startswith("./") or commit == everywhere[name], f"{file.name}: {used}"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_is_granted_but_by_job_and_nothing_of_github_is_pasted_into_a_script(name: str) -> None:
    workflow = WORKFLOWS[name]
    assert workflow["permissions"] == {}
    for step in steps(workflow):
        assert "${{" not in step.get("run", "")
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False
    assert "secrets." not in (FOLDER / f"{name}.yml").read_text(encoding="utf-8")


def test_who_can_write_runs_nothing_of_the_pull_request_and_forks_get_no_credentials() -> None:
    jobs = WORKFLOWS["pull-request"]["jobs"]
    own = "github.event.pull_request.head.repo.full_name == github.repository"
    assert jobs["preview"]["permissions"] == {"contents": "read"}
    assert jobs["comment"]["permissions"] == {"pull-requests": "write"} and own in jobs["comment"]["if"]
    assert not [step for step in jobs["comment"]["steps"] if "checkout" in step.get("uses", "")]
    assert own in jobs["real"]["if"] and jobs["real"]["with"]["command"] == "preview"
    assert True in WORKFLOWS["pull-request"] and "pull_request_target" not in WORKFLOWS["pull-request"][True]


def test_an_up_is_never_cut_off() -> None:
    for name in ("up", "drift"):
        [job] = WORKFLOWS[name]["jobs"].values()
        assert job["concurrency"] == {"group": "stack-${{ matrix.stack }}", "cancel-in-progress": False}
        assert "vars." in job["if"]
    assert "concurrency" not in WORKFLOWS["stack"]["jobs"]["run"]


def test_who_runs_all_tests_may_have_the_inotify_instances_of_several_clusters() -> None:
    for name in ("test", "newest"):
        run = [step.get("run") for step in WORKFLOWS[name]["jobs"]["linux"]["steps"]]
        assert run.index("sudo sysctl fs.inotify.max_user_instances=512") < run.index("make test")


@pytest.mark.parametrize("stack", committed_stacks())
def test_every_stack_has_its_budget_for_the_policy_pack(stack: str) -> None:
    budget = json.loads((paths.ROOT / "policy" / f"{stack}.json").read_text(encoding="utf-8"))
    settings = load_settings(stack)
    classes = [f"{tier}-{settings.provisioner.name}" for tier in settings.tiers]
    assert sorted(budget["claims-on-allowed-tiers"]["classes"]) == sorted(classes)
    assert sorted(budget["claims-within-allocation"]["limits"]) == sorted(classes)


NEWEST = WORKFLOWS["newest"]["jobs"]["linux"]
LOOK = next(step["run"] for step in NEWEST["steps"] if "doctor" in step.get("run", ""))


def test_the_newest_releases_are_tried_every_week() -> None:
    assert [len(each["cron"].split()) for each in WORKFLOWS["newest"][True]["schedule"]] == [5]
    assert NEWEST["permissions"] == {"contents": "read"} and NEWEST["steps"][-1] == {"run": "make test"}
    [engine] = [step for step in NEWEST["steps"] if step.get("uses", "").startswith("pulumi/actions@")]
    assert engine["with"] == {"pulumi-version": "latest"}


@pytest.mark.parametrize("part", [None, *parts.NAMES.values()])
def test_a_newest_part_that_is_not_used_fails_the_week(tmp_path: Path, part: str | None) -> None:
    rows = [Diagnosis(name, "missing" if name == part else "good", "99.0.0") for name in (*parts.NAMES.values(), "kind")]
    (tmp_path / "rows").write_text(show.as_json(rows))
    (tmp_path / "python").write_text(f'#!/bin/sh\n[ "$1" = - ] && exec {sys.executable} -\ncat rows\nexit 1\n')
    (tmp_path / "python").chmod(0o755)
    variables = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-e", "-c", LOOK], cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert ran.returncode == (0 if part is None else 1), ran.stderr
    assert "engine: " in ran.stdout and "kind" not in ran.stdout


COMMENT = next(step["run"] for step in WORKFLOWS["pull-request"]["jobs"]["comment"]["steps"] if "run" in step)
MARK = "<!-- preview of all stacks -->"
GH = f"""#!{paths.SCRIPTS}/python
import json, sys
arguments = sys.argv[1:]
with open("calls", "a") as calls:
    calls.write(json.dumps(arguments) + chr(10))
if "--paginate" in arguments:
    print(open("listed").read(), end="")
"""


@pytest.mark.parametrize(("listed", "method", "target"), [("", "POST", "issues/7/comments"), ("41\n42\n", "PATCH", "issues/comments/41")])
def test_the_report_is_one_comment_that_is_kept_up_to_date(tmp_path: Path, listed: str, method: str, target: str) -> None:
    """With a stand-in for `gh`, which notes what it is asked.

    It lists the ids of what its --jq filter would find.
    """
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    (tmp_path / "listed").write_text(listed)
    (tmp_path / "preview.md").write_text("### the report\n")
    variables = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "GITHUB_REPOSITORY": "o/r", "NUMBER": "7"}
    subprocess.run(["bash", "-eo", "pipefail", "-c", COMMENT], cwd=tmp_path, env=variables, check=True)
    assert (tmp_path / "comment.md").read_text() == f"{MARK}\n### the report\n"
    asked, wrote = [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]
    assert asked[:3] == ["api", "--paginate", "repos/o/r/issues/7/comments"] and f'startswith("{MARK}")' in asked[4]
    assert wrote == ["api", "--method", method, f"repos/o/r/{target}", "--field", "body=@comment.md", "--silent"]
