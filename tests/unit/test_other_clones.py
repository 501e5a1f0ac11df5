"""A shell that has read the `.dev/env` of one clone, in another clone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev import stack
from dev.stack import Session
from devkube import paths
from devkube.cluster import Access
from devkube.engine import Engine

THEIRS = "file:///home/ada/other/.dev/state"


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    monkeypatch.setattr(stack, "STATE", tmp_path / ".dev/state")
    monkeypatch.setattr(stack, "ENV_FILE", tmp_path / ".dev/env")
    monkeypatch.setattr(paths, "DOT_DEV", tmp_path / ".dev")
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    return Session(Engine((), ()), Access("kind", "c", tmp_path / ".dev/kubeconfig"))


@pytest.mark.parametrize(
    ("set_to", "own"),
    [
        (None, True),
        (THEIRS, True),
        (THEIRS + "/", True),
        ("s3://mine", False),
        ("file:///home/ada/states", False),
        ("file:///home/ada/.dev/state/mine", False),
        ("", False),
    ],
)
def test_the_other_clones_state_is_nobodys_setting(
    session: Session, set_to: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, own: bool
) -> None:
    if set_to is not None:
        monkeypatch.setenv("PULUMI_BACKEND_URL", set_to)
    ours = (tmp_path / ".dev/state").as_uri()
    assert session.environment()["PULUMI_BACKEND_URL"] == (ours if own else set_to)


@pytest.mark.skipif(sys.platform == "win32", reason="a script of sh")
@pytest.mark.parametrize(("set_to", "own"), [(None, True), (THEIRS, True), ("s3://mine", False), ("", False)])
def test_reading_env_after_the_other_clones(session: Session, set_to: str | None, tmp_path: Path, *, own: bool) -> None:
    session.write_env()
    environment = {"PATH": "/usr/bin:/bin", **({"PULUMI_BACKEND_URL": set_to} if set_to is not None else {})}
    script = f'. {tmp_path}/.dev/env; printf %s "$PULUMI_BACKEND_URL"'
    done = subprocess.run(["sh", "-ec", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout == ((tmp_path / ".dev/state").as_uri() if own else set_to)


def test_the_other_clones_kubeconfig_is_left_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours, own = tmp_path / "a/.dev/kubeconfig", tmp_path / "b/.dev/kubeconfig", tmp_path / "mine"
    for path in (theirs, ours):
        path.parent.mkdir(parents=True)
        (path.parent / "env").touch()
    monkeypatch.setattr(stack, "KUBECONFIG", ours)
    for named, left in (([theirs, own, ours], [own, ours]), ([theirs], None), ([own], [own])):
        monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, named)))
        stack.leave_other_clones()
        assert os.environ.get("KUBECONFIG") == (os.pathsep.join(map(str, left)) if left else None)
    monkeypatch.delenv("KUBECONFIG")
    stack.leave_other_clones()
    assert "KUBECONFIG" not in os.environ
