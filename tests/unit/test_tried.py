"""README's table of what was run with what says what the code pins and takes."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from dev.__main__ import OLDEST_PYTHON
from dev.doctor import tried
from devkube import paths
from devkube.toolchain import build
from devkube.versions import BUILT, COMMAND, GOOD, KUBERNETES, PULUMI

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
WRITE = "`python -m dev.doctor.tried` writes it again"


def cells() -> dict[str, list[str]]:
    """README's table by the part."""
    _, _, section = README.partition("\n## What was run with what\n")
    lines = section.partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row[1:] for row in rows[1:]}


def test_readme_is_up_to_date(tmp_path: Path) -> None:
    assert tried.in_readme(README) == README, WRITE
    behind = tmp_path / "README.md"
    behind.write_text(README.replace(BUILT[PULUMI], "3.1.0"))
    tried.write(behind)
    assert behind.read_text() == README


def test_it_has_the_pinned_versions_and_the_good_ones() -> None:
    found = cells()
    for part, name in (("engine", PULUMI), ("kubernetes plugin", KUBERNETES)):
        assert BUILT[name] in found[part][0] and BUILT[name] not in found[part][1]
    for part, name in (("engine", PULUMI), ("kubernetes plugin", KUBERNETES), ("command plugin", COMMAND)):
        assert found[part][2] == str(GOOD[name])
    pins = dict(re.findall(r"^(pulumi[\w-]*)==(\S+)", (paths.ROOT / "requirements.in").read_text(), re.MULTILINE))
    assert found["Python packages"][0] == ", ".join(f"{name} {version}" for name, version in pins.items())
    assert build.KUBERNETES_VERSION in found["Kubernetes"][0] and build.LOCAL_PATH_VERSION in found["Kubernetes"][0]


def test_python_s_oldest_version_is_the_one_that_the_commands_refuse_older_ones_than() -> None:
    assert ".".join(map(str, OLDEST_PYTHON)) == tried.OLDEST_PYTHON
    test = yaml.safe_load((paths.ROOT / ".github/workflows/test.yml").read_text())
    used = [
        step["with"]["python-version"] for job in test["jobs"].values() for step in job["steps"] if "setup-python" in step.get("uses", "")
    ]
    assert set(used) == {tried.OLDEST_PYTHON}


def test_what_is_said_to_be_the_oldest_that_was_tried_is_in_the_table() -> None:
    found = cells()
    for part, oldest in (("kind", tried.OLDEST_KIND), ("Docker", tried.OLDEST_DOCKER)):
        assert found[part][0].startswith(".".join(map(str, oldest)))
    assert tried.numbers("v1.34.4+k3s1") == (1, 34) and tried.numbers("unknown") == ()
