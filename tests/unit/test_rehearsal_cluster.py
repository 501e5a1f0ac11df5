"""On which kind of cluster a rehearsal is: the same as the clone's own; and where it has real
disks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.settings import Settings, load
from dev.rehearsal import cluster as clusters
from dev.rehearsal import run
from dev.rehearsal.cluster import Disks, disks_for
from devkube import paths
from devkube.cluster import ClusterChoice, EmbeddedCluster, KindCluster, csi, embedded, kind
from devkube.errors import MachineError
from ops.errors import UserError
from ops.stack_file import raw_config

AWS_ZONES = ("eu-central-1a", "eu-central-1b", "eu-central-1c")


def settings_of(stack: str, changes: dict[str, str] | None = None) -> Settings:
    """The settings of a committed stack, with other text in its file."""
    config = raw_config(paths.ROOT / f"Pulumi.{stack}.yaml")
    for old, new in (changes or {}).items():
        assert any(old in value for value in config.values())
        config = {key: value.replace(old, new) for key, value in config.items()}
    return load(config, stack)


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
    monkeypatch.setattr(clusters, "remembered", lambda _: asked)
    monkeypatch.setattr(KindCluster, "exists", lambda _: made)
    monkeypatch.setattr(embedded, "lacking", lambda: [] if root else ["it needs root"])
    monkeypatch.setattr(kind, "lacking", lambda: ["no Docker"])
    cluster = clusters.throw_away(tmp_path / "kubeconfig", ("ebs.csi.aws.com",))
    assert isinstance(cluster, KindCluster if on_kind else EmbeddedCluster)
    assert cluster.provisioners == ("ebs.csi.aws.com",)
    assert clusters.lacking() == ("no Docker" if on_kind else "" if root else "it needs root")
    if isinstance(cluster, KindCluster):
        assert (cluster.image, cluster.config) == ("kindest/node:v1.34.0", "/kind.yaml")
        assert clusters.kubectl(cluster)[:3] == ["docker", "exec", "--interactive"]


@pytest.fixture
def disks_are_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_on_kind", lambda: False)
    monkeypatch.setattr(csi, "lacking", list)
    monkeypatch.setattr(csi, "prepare", lambda: None)


@pytest.mark.usefixtures("disks_are_possible")
def test_real_disks_in_the_stacks_zones_and_a_node_more_in_the_first(tmp_path: Path) -> None:
    disks = disks_for(settings_of("aws"))
    assert disks == Disks("ebs", AWS_ZONES)
    assert isinstance(disks, Disks)
    cluster = clusters.throw_away(tmp_path / "kubeconfig", ("ebs.csi.aws.com",), disks)
    assert isinstance(cluster, EmbeddedCluster)
    assert (cluster.driver, cluster.nodes, cluster.zones, cluster.provisioners) == ("ebs", 4, AWS_ZONES, ())
    assert disks_for(settings_of("gcp")) == Disks("gce", ("europe-west1-b", "europe-west1-c", "europe-west1-d"))


@pytest.mark.usefixtures("disks_are_possible")
@pytest.mark.parametrize(
    ("zones", "nodes"), [("eu-central-1a", 2), ("eu-central-1b, eu-central-1a", 3), (", ".join(f"us-east-1{z}" for z in "abcdefghi"), 8)]
)
def test_as_many_nodes_as_the_zones_need_and_a_cluster_takes(zones: str, nodes: int) -> None:
    disks = disks_for(settings_of("aws", {'"eu-central-1a", "eu-central-1b", "eu-central-1c"': '"' + zones.replace(", ", '", "') + '"'}))
    assert isinstance(disks, Disks)
    assert disks.nodes == nodes
    assert disks.zones == tuple(zones.split(", "))[:8]


@pytest.mark.usefixtures("disks_are_possible")
def test_a_stack_that_names_no_zones_has_those_of_the_drivers_examples() -> None:
    settings = settings_of("aws")
    bare = {name: replace(tier, parameters=tier.parameters.model_copy(update={"zones": ()})) for name, tier in settings.tiers.items()}
    disks = disks_for(replace(settings, tiers=bare))
    assert disks == Disks("ebs", csi.ZONES["ebs"])
    assert run.zones_of_services(replace(settings, tiers=bare), disks) == {name: list(disks.zones) for name in settings.services}


@pytest.mark.usefixtures("disks_are_possible")
def test_there_are_none_where_their_driver_cannot_be_built(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_go() -> None:
        raise MachineError("Go is not on PATH.", "Install Go.")

    monkeypatch.setattr(csi, "prepare", no_go)
    assert disks_for(settings_of("aws")) == "their driver can't be had: Go is not on PATH.\n    Install Go."


def test_why_there_are_no_real_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_on_kind", lambda: False)
    monkeypatch.setattr(csi, "lacking", lambda: ["it needs /dev/loop-control"])
    assert disks_for(settings_of("aws")) == "it needs /dev/loop-control"
    monkeypatch.setattr(clusters, "_on_kind", lambda: True)
    assert "the cluster is a Kind one" in disks_for(settings_of("aws"))  # type: ignore[operator]
    monkeypatch.setattr(clusters, "drivers", lambda _: ("ebs.csi.eks.amazonaws.com",))
    why = disks_for(settings_of("aws"))
    assert why == "ebs.csi.eks.amazonaws.com is not one of the drivers that are rehearsed on disks (ebs.csi.aws.com, pd.csi.storage.gke.io)"
    assert run.not_shown(why)[-1] == f"no real disks here, because {why}"
    assert run.not_shown(why)[:-1] == list(run.NOT_SHOWN)


class Cluster:
    """Starts, and can be deleted so often."""

    kubeconfig = Path("/nowhere")

    def __init__(self, deletions: int) -> None:
        self.deletions = deletions
        self.deleted = 0

    def start(self) -> None:
        pass

    def load_image(self, archive: Path) -> None:
        pass

    def delete(self) -> None:
        if self.deleted == self.deletions:
            raise MachineError("these disks are still attached", "End that.")
        self.deleted += 1


@pytest.mark.parametrize(
    ("problem", "deletions", "told"),
    [
        (UserError("no proof", "Look."), 2, "no proof\nLook."),
        (
            UserError("no proof", "Look."),
            1,
            "no proof\nLook.\nThen the cluster could not be deleted: these disks are still attached\nEnd that.",
        ),
        (KeyboardInterrupt(), 2, ""),
        (KeyboardInterrupt(), 1, "the cluster could not be deleted: these disks are still attached\nEnd that."),
    ],
)
def test_what_went_wrong_is_told_also_where_the_cluster_cannot_be_deleted(
    problem: BaseException, deletions: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "build_image", lambda _: Path("image"))
    cluster: Any = Cluster(deletions)
    with pytest.raises((UserError, MachineError, KeyboardInterrupt)) as shown, clusters.running(cluster):
        raise problem
    assert str(shown.value) == told
    assert cluster.deleted == deletions
