"""Before a dev cluster is deleted it is asked whose volumes it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from dev import cli
from dev.cluster import Access, ExistingCluster
from ops.errors import UserError
from ops.volumes.found import VolumesFolder
from ops.volumes.stack_volumes import strangers
from tests.unit.volume_objects import stamp, volume


class Broken(ExistingCluster):
    """A dev cluster that can't be started."""

    def __init__(self, volumes: Path) -> None:
        super().__init__("context")
        self.volumes = volumes

    def folder(self) -> VolumesFolder:  # type: ignore[override]
        return VolumesFolder(self.volumes, str(self.volumes))

    def start(self) -> Access:
        raise UserError("etcd has ended while the cluster was starting.", "Its log: …")


def test_without_volumes_there_is_nothing_to_ask(tmp_path: Path) -> None:
    cli._refuse_for_strangers(Broken(tmp_path), "dev")
    cli._refuse_for_strangers(Broken(tmp_path / "missing"), "dev")


def test_a_cluster_that_cant_be_asked_is_not_deleted_unseen(tmp_path: Path) -> None:
    (tmp_path / "pvc-1_data_data-kafka-1").mkdir()
    with pytest.raises(UserError) as refused:
        cli._refuse_for_strangers(Broken(tmp_path), "dev")
    assert str(refused.value) == (
        "the dev cluster can't be started, and only so can it be seen whether it holds another stack's volumes:\n"
        "etcd has ended while the cluster was starting.\n"
        "Repair that and purge again; or, when you know that nobody else's are in it: `python -m dev purge --unseen`."
    )


def test_strangers_are_what_other_stacks_have_stamped() -> None:
    there = [volume("mine", marks=stamp()), volume("plain"), volume("theirs", marks=stamp(stack="other"))]
    damaged = volume("damaged", marks={"app.kubernetes.io/part-of": "storage-tiers", "app.kubernetes.io/instance": "other"})
    assert [each.name for each in strangers([*there, damaged], "dev")] == ["theirs", "damaged"]
