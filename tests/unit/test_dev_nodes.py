"""A node of the dev cluster is killed and brought back by a command."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dev import nodes
from dev.cli import cli
from devkube import paths
from devkube.cluster import Cluster, EmbeddedCluster, ExistingCluster, KindCluster
from devkube.errors import MachineError
from ops.errors import UserError


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "DOT_DEV", tmp_path / ".dev")
    monkeypatch.setattr(paths, "MACHINE_STATE", tmp_path / "lib")
    monkeypatch.setattr(paths, "MACHINE_RUN", tmp_path / "run")


def run(monkeypatch: pytest.MonkeyPatch, cluster: Cluster, *words: str) -> BaseException | None:
    monkeypatch.setattr(nodes, "cluster_of", lambda _: cluster)
    return CliRunner().invoke(cli, words).exception


@pytest.mark.parametrize("command", ["kill-node", "start-node"])
def test_only_an_embedded_clusters_nodes(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for cluster in (ExistingCluster("mine"), KindCluster("dev-1", "c", tmp_path / "kubeconfig")):
        refused = run(monkeypatch, cluster, command, "storage-tiers-2")
        assert isinstance(refused, UserError) and "not an embedded one" in str(refused)


@pytest.mark.parametrize("command", ["kill-node", "start-node"])
def test_a_cluster_that_does_not_run(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = run(monkeypatch, EmbeddedCluster("dev-1", "c", tmp_path / "kubeconfig"), command, "storage-tiers-2")
    assert isinstance(refused, MachineError) and "dev-1 doesn't run" in refused.message and "dev up" in refused.hint
