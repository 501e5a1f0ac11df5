"""Before a dev cluster is deleted it is asked whose volumes it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.canary.manifests import canary_labels
from dev import purge
from devkube.cluster import Access, ExistingCluster, NodeFolder
from devkube.errors import MachineError
from ops.command_line import option_of, variable_of
from ops.errors import UserError
from ops.volumes.stack_volumes import refuse_for_strangers, strangers
from tests.unit.volume_objects import claim, stamp, volume


class Broken(ExistingCluster):
    """A dev cluster that can't be started."""

    def __init__(self, volumes: Path) -> None:
        super().__init__("context")
        self.volumes = volumes

    def folder(self) -> NodeFolder:  # type: ignore[override]
        parts = {str(self.volumes): "storage-tiers", f"{self.volumes}/storage-tiers-2": "storage-tiers-2"}
        return NodeFolder(self.volumes, str(self.volumes), nodes=parts)

    def start(self) -> Access:
        raise MachineError("etcd has ended while the cluster was starting.", "Its log: …")


def test_without_volumes_there_is_nothing_to_ask(tmp_path: Path) -> None:
    purge._refuse_for_strangers(Broken(tmp_path), "dev")
    purge._refuse_for_strangers(Broken(tmp_path / "missing"), "dev")
    (tmp_path / "storage-tiers-2").mkdir()
    purge._refuse_for_strangers(Broken(tmp_path), "dev")


def test_a_further_nodes_volumes_count(tmp_path: Path) -> None:
    (tmp_path / "storage-tiers-2/pvc-2_data_data-kafka-2").mkdir(parents=True)
    with pytest.raises(UserError, match="whether it holds another stack's volumes"):
        purge._refuse_for_strangers(Broken(tmp_path), "dev")


def test_a_cluster_that_cant_be_asked_is_not_deleted_unseen(tmp_path: Path) -> None:
    (tmp_path / "pvc-1_data_data-kafka-1").mkdir()
    with pytest.raises(UserError) as refused:
        purge._refuse_for_strangers(Broken(tmp_path), "dev")
    assert str(refused.value) == (
        "the dev cluster can't be started, and only so can it be seen whether it holds another stack's volumes:\n"
        "etcd has ended while the cluster was starting.\n"
        "Repair that and purge again; or, when you know that nobody else's are in it: `python -m dev purge --unseen`."
    )


def test_strangers_are_what_other_stacks_have_stamped() -> None:
    there = [volume("mine", marks=stamp()), volume("plain"), volume("theirs", marks=stamp(stack="other"))]
    damaged = volume("damaged", marks={"app.kubernetes.io/part-of": "storage-tiers", "app.kubernetes.io/instance": "other"})
    assert [each.name for each in strangers([*there, damaged], "dev")] == ["theirs", "damaged"]


class Cluster:
    """An API without volumes, and with these claims."""

    def __init__(self, *claims: dict[str, Any]) -> None:
        self.claims = claims

    def volumes(self) -> list[dict[str, Any]]:
        return []

    def all_claims(self) -> list[dict[str, Any]]:
        return list(self.claims)


def test_refused_for_another_stacks_claim_in_any_namespace_whose_volume_is_not_stamped() -> None:
    foreign = claim(volume="pv1", stack="other", namespace="elsewhere")
    with pytest.raises(UserError) as refused:
        refuse_for_strangers(Cluster(foreign), "dev")  # type: ignore[arg-type]
    assert str(refused.value) == (
        "this cluster holds volumes of another stack than dev; nothing was deleted:\n"
        "  pv1: claim elsewhere/data-kafka-1 of stack other, Bound\n"
        "Save what is in them, or delete them as their own stack: `pulumi destroy --stack other`, then "
        "`python -m ops volumes prune --stack other`. Then purge again."
    )


def test_not_for_its_own_claims_empty_ones_and_those_of_nobody() -> None:
    canary = claim(volume="pv2", labels=canary_labels("other", "streaming"))
    refuse_for_strangers(
        Cluster(claim(volume="pv1"), claim(stack="other"), canary, claim(volume="pv3", labels={})),  # type: ignore[arg-type]
        "dev",
    )


@pytest.mark.parametrize(("backend", "forgotten"), [(None, ["dev"]), ("own", ["dev"]), ("s3://theirs", [])])
def test_the_stack_is_forgotten_in_the_clones_own_state_alone(
    backend: str | None, forgotten: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed = []

    class Session:
        def __init__(self, *_: object) -> None:
            pass

        def pulumi(self, stack: str) -> Session:
            return self

        def stacks(self) -> list[str]:
            return ["dev"]

        def ask(self, *arguments: str) -> None:
            removed.append(arguments[-1])

    monkeypatch.setattr(purge, "STATE", tmp_path)
    monkeypatch.setattr(purge, "Session", Session)
    monkeypatch.setattr(purge, "ensure_engine", lambda: None)
    monkeypatch.setattr(purge, "end_killed_run", lambda *_: None)
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    if backend:
        monkeypatch.setenv("PULUMI_BACKEND_URL", tmp_path.as_uri() if backend == "own" else backend)
    purge._forget("dev")
    assert removed == forgotten


def test_printed_commands_name_a_stack_that_is_not_the_default_one(tmp_path: Path) -> None:
    (tmp_path / "pvc-1").mkdir()
    with pytest.raises(UserError, match="`python -m dev purge --stack mine --unseen`"):
        purge._refuse_for_strangers(Broken(tmp_path), "mine")
    assert (option_of("dev"), variable_of("dev")) == ("", "")
    assert (option_of("mine"), variable_of("mine")) == (" --stack mine", " STACK=mine")
