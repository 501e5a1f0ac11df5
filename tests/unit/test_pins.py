"""The versions of engine and plugins stand in devkube/versions.py: every other file that names one
names the same."""

from __future__ import annotations

import gzip
import json
import re

import pytest
import yaml

from dev.doctor.tried import pinned
from devkube import paths
from devkube.toolchain import build
from devkube.versions import BUILT, COMMAND, DOWNLOADS, GOOD, KUBERNETES, LANGUAGE, PULUMI

STATES = sorted((paths.ROOT / "tests" / "engine" / "states").glob("*.json.gz"))


def test_the_engine_s_module_is_the_version_that_is_said_to_be_built() -> None:
    module = (build.HERE / "pulumi" / "go.mod").read_text(encoding="utf-8")
    assert re.findall(r"github\.com/pulumi/pulumi/pkg/v3 v(\S+)", module) == [BUILT[PULUMI]]


def test_what_is_downloaded_is_what_the_python_packages_want() -> None:
    assert (pinned("pulumi-kubernetes"), pinned("pulumi-command")) == (DOWNLOADS[KUBERNETES], DOWNLOADS[COMMAND])


def test_who_changes_a_stack_from_a_workflow_has_the_engine_that_is_downloaded() -> None:
    workflow = yaml.safe_load((paths.ROOT / ".github" / "workflows" / "stack.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert [step["with"]["pulumi-version"] for step in steps if "pulumi-version" in step.get("with", {})] == [DOWNLOADS[PULUMI]]


def test_a_page_has_the_engine_s_warning_with_today_s_versions() -> None:
    page = (paths.ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    told = re.findall(r"resource plugin kubernetes is expected to have version >=(\S+), but has (\S+)`", page)
    assert told == [(DOWNLOADS[KUBERNETES], BUILT[KUBERNETES])]


@pytest.mark.parametrize("name", GOOD)
def test_what_is_got_is_good(name: str) -> None:
    versions = {version[PULUMI if name == LANGUAGE else name] for version in (BUILT, DOWNLOADS) if name in version or name == LANGUAGE}
    assert versions and all(GOOD[name].accepts(version) for version in versions)


@pytest.mark.parametrize("version", ["4.18.1", "4.25.0", "4.32.0", "4.34.2"])
def test_the_kubernetes_plugins_that_users_have_are_good(version: str) -> None:
    assert GOOD[KUBERNETES].accepts(version)


def test_the_states_of_the_upgrade_test_stay_those_of_the_oldest_good_engine() -> None:
    """Ones that today's engine has written would say nothing about taking over older ones."""
    wrote = {json.loads(gzip.decompress(file.read_bytes()))["deployment"]["manifest"]["version"] for file in STATES}
    assert {tuple(map(int, version.split(".")[:2])) for version in wrote} == {GOOD[PULUMI].oldest}
