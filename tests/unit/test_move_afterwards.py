"""What is said after a move: the services that may be started, and whether the old stack may go."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import pytest

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from ops.move import afterwards
from ops.move.afterwards import Sides
from ops.move.claims import ClaimSide
from ops.move.kept import PROVEN, KeptMove
from tests.unit.test_move_plan import DEV, Cluster, claim

NAMES = [("postgres", 0), ("kafka", 0), ("kafka", 1), ("kafka", 2)]
PROVEN_NOW: list[dict[str, Any]] = [{"verdict": "proven"}]
GO = [
    "  kubectl --context storage-tiers-dev -n data delete statefulset postgres kafka --ignore-not-found",
    "  pulumi destroy --stack dev",
    "  python -m ops volumes prune --stack dev",
]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """With all claims of the dev stack, bound, and no move that is known."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Cluster({f"data-{service}-{ordinal}": claim(f"data-{service}-{ordinal}") for service, ordinal in NAMES})


def sides(cluster: Cluster, names: Iterable[tuple[str, int]] = NAMES) -> Sides:
    made = [ClaimSide(cast(KubeApi, cluster), DEV, *each, claim=cluster.found[f"data-{each[0]}-{each[1]}"]) for each in names]
    return [(each, each) for each in made]


def proven(*names: str, state: str = PROVEN, **more: Any) -> None:
    for name in names:
        KeptMove(f"of-{name}").save(state=state, source={"stack": "dev", "uid": f"uid-of-data-{name}"}, target={}, **more)


def test_the_old_stack_may_go_once_all_that_it_has_is_proven(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    said = list(afterwards.after_the_copy(sides(cluster), PROVEN_NOW))
    assert said[0] == "Both sides are whole: the source is as it was."
    assert "  kubectl --context storage-tiers-dev -n data scale statefulset kafka --replicas=3" in said
    assert said[-3:] == GO
    assert said[-4] == "Later, when nobody wants stack dev back (its volumes are retained until they are pruned):"


def test_a_stack_that_is_protected_is_told_how_that_ends(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    protected = dataclasses.replace(DEV, protect=True)
    said = list(afterwards.letting_go(cast(KubeApi, cluster), protected))
    assert said[1:] == ["  pulumi config set --stack dev storage-tiers:protect false && pulumi up --stack dev", *GO]


@pytest.mark.parametrize("state", ["begun", "compared", "following"])
def test_a_stack_with_anything_that_is_not_proven_is_not_to_go(cluster: Cluster, state: str) -> None:
    """One service was moved: to destroy the stack, and to prune, would take the others' data."""
    proven("postgres-0", "kafka-0")
    proven("kafka-1", state=state)
    said = list(afterwards.after_the_copy(sides(cluster, NAMES[:1]), PROVEN_NOW))
    assert "Stack dev isn't to be let go of yet: of kafka-1, kafka-2 no move on this machine is proven." in said
    assert not set(GO) & set(said)
    assert any("scale statefulset postgres --replicas=1" in each for each in said)
    assert list(afterwards.letting_go(cast(KubeApi, cluster), DEV)) == said[-1:]


def test_a_service_that_lacks_a_volume_is_not_to_be_started(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0")
    said = list(afterwards.after_the_copy(sides(cluster, NAMES[1:2]), PROVEN_NOW))
    assert not any("scale statefulset" in each for each in said)
    assert "Service kafka isn't whole on the new stack yet: kafka-1, kafka-2 of the old one is to be moved before it starts." in said


def test_of_a_backup_the_way_back_is_said(cluster: Cluster) -> None:
    made: Sides = [(source, None) for source, _ in sides(cluster, NAMES[:1])]
    said = list(afterwards.after_the_copy(made, [{"target": {"folder": "/my backup/data-postgres-0"}}]))
    assert said[0] == "Both sides are whole: the source is as it was."
    assert said[1].endswith(" -m ops move --from-folder '/my backup' --to STACK`")
    assert not set(GO) & set(said)


def test_claims_without_a_volume_hold_nothing_and_a_kafka_is_moved_whole(cluster: Cluster) -> None:
    proven("postgres-0")
    cluster.found["data-kafka-2"] = claim("data-kafka-2", phase="Pending")
    del cluster.found["data-kafka-1"]
    assert afterwards.unproven(cast(KubeApi, cluster), DEV) == [("kafka", 0)]
    KeptMove("live").save(state=PROVEN, live=True, source={"stack": "dev", "claims": [{"uid": "uid-of-data-kafka-0"}]}, target={})
    assert list(afterwards.letting_go(cast(KubeApi, cluster), DEV))[1:] == GO


def test_of_what_was_done_before_nobody_knows_what_it_is_by_now(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    said = list(afterwards.after_the_copy(sides(cluster), [{"verdict": "proven", "done": "before"}]))
    assert said[0].startswith("Nothing was done now.")
    assert not any("as it was" in each for each in said)


def test_a_cluster_that_no_longer_answers_takes_no_verdict_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> None:
        raise ApiError("the API answered 503", 503, "etcd is gone")

    monkeypatch.setattr(cluster, "find", fails)
    said = list(afterwards.after_the_copy(sides(cluster), PROVEN_NOW))
    assert any("What else stack dev has that isn't moved could not be looked at: " in each for each in said)
    assert not set(GO) & set(said)


def test_what_cannot_be_read_of_a_move_keeps_the_stack_from_going(cluster: Cluster, tmp_path: Path) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    (tmp_path / "storage-tiers/moves/of-kafka-2/move.json").write_text("{")
    said = "\n".join(afterwards.letting_go(cast(KubeApi, cluster), DEV))
    assert "of-kafka-2/move.json can't be read" in said
    assert "destroy" not in said
