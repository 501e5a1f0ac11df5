"""On which kind of cluster a rehearsal is: the same as the clone's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev.rehearsal import run
from devkube.cluster import ClusterChoice, EmbeddedCluster, KindCluster, embedded, kind


@pytest.mark.parametrize(
    ("way", "made", "root", "on_kind"),
    [
        ("auto", True, True, True),
        ("auto", False, True, False),
        ("auto", False, False, True),  # nothing else could be
        ("kind", False, True, True),
        ("embedded", False, False, False),
        ("existing", False, True, False),
    ],
)
def test_as_the_clones_own(way: str, *, made: bool, root: bool, on_kind: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ClusterChoice(way, "kindest/node:v1.34.0", "/kind.yaml")
    monkeypatch.setattr(run, "remembered", lambda _: asked)
    monkeypatch.setattr(KindCluster, "exists", lambda _: made)
    monkeypatch.setattr(embedded, "lacking", lambda: [] if root else ["it needs root"])
    monkeypatch.setattr(kind, "lacking", lambda: ["no Docker"])
    cluster = run._throw_away(tmp_path / "kubeconfig", ("ebs.csi.aws.com",))
    assert isinstance(cluster, KindCluster if on_kind else EmbeddedCluster)
    assert cluster.provisioners == ("ebs.csi.aws.com",)
    assert run._lacking() == ("no Docker" if on_kind else "" if root else "it needs root")
    if isinstance(cluster, KindCluster):
        assert (cluster.image, cluster.config) == ("kindest/node:v1.34.0", "/kind.yaml")
        assert run._kubectl(cluster)[:3] == ["docker", "exec", "--interactive"]
