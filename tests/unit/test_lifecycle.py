"""What `make up` says of what has to be built first."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev import lifecycle
from devkube.cluster import EmbeddedCluster, ExistingCluster
from devkube.progress import remains
from ops.console import console


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything has to be built, a minute each."""
    monkeypatch.setattr(lifecycle, "to_build", lambda: ["pulumi", "kubernetes-provider"])
    monkeypatch.setattr(lifecycle, "unbuilt", lambda names: dict.fromkeys(names, 60.0))


@pytest.mark.usefixtures("builds")
def test_all_that_is_built_is_said_before_it_begins(tmp_path: Path) -> None:
    with console.capture() as said, lifecycle._announced(EmbeddedCluster("dev-x", "x", tmp_path / "kubeconfig")):
        assert remains("node", 30) == ", about 4 min left in all"
    assert said.get() == "4 parts are built first, once on this machine: about 4 min on two cores that are free.\n"


@pytest.mark.usefixtures("builds")
def test_a_cluster_of_the_users_own_needs_no_parts() -> None:
    with console.capture() as said, lifecycle._announced(ExistingCluster("mine")):
        assert remains("node", 30) == ""
    assert said.get() == "2 parts are built first, once on this machine: about 2 min on two cores that are free.\n"


def test_with_everything_built_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "to_build", list)
    with console.capture() as said, lifecycle._announced(ExistingCluster("mine")):
        pass
    assert said.get() == ""
