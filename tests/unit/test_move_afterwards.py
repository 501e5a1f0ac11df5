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
from ops.move.claims import ClaimSide
from ops.move.kept import PROVEN, KeptMove
from ops.move.planning import Sides
from tests.unit.test_move_plan import DEV, Cluster, claim

NAMES = [("postgres", 0), ("kafka", 0), ("kafka", 1), ("kafka", 2)]
PROVEN_NOW: list[dict[str, Any]] = [{"verdict": "proven", "volume": "postgres-0"}]
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


def sides(cluster: Cluster, names: Iterable[tuple[str, int]] = NAMES) -> list[tuple[ClaimSide, ClaimSide]]:
    """Of the cluster and another one, with claims of the same names and of UIDs of their own."""
    other = Cluster({f"data-{service}-{ordinal}": at_target(f"data-{service}-{ordinal}") for service, ordinal in NAMES})
    return [(side(cluster, each), side(other, each)) for each in names]


def side(cluster: Cluster, replica: tuple[str, int]) -> ClaimSide:
    return ClaimSide(cast(KubeApi, cluster), DEV, *replica, claim=cluster.found[f"data-{replica[0]}-{replica[1]}"])


def at_target(name: str) -> dict[str, Any]:
    made = claim(name)
    return {**made, "metadata": {**made["metadata"], "uid": f"aws {name}"}}


def letting_go(cluster: Cluster) -> list[str]:
    source, target = sides(cluster, NAMES[:1])[0]
    return list(afterwards.letting_go(source, target, afterwards.unmoved(source, [target])))


def proven(*names: str, state: str = PROVEN, target: dict[str, Any] | None = None) -> None:
    """Moves of these to the claim of the same name at the target, or to another `target`."""
    for name in names:
        to = {"uid": f"aws data-{name}"} if target is None else target
        KeptMove(f"of-{name}").save(state=state, source={"stack": "dev", "uid": f"uid-of-data-{name}"}, target=to)


def test_the_old_stack_may_go_once_all_that_it_has_is_proven(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    said = list(afterwards.after_the_copy(sides(cluster), PROVEN_NOW))
    assert said[0] == "Both sides are whole: the source is as it was."
    assert "  kubectl --context storage-tiers-dev -n data scale statefulset kafka --replicas=3" in said
    assert said[-3:] == GO
    assert said[-4] == "Later, when nobody wants stack dev back (its volumes are retained until they are pruned):"


def test_a_stack_that_is_protected_is_told_how_that_ends(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    (source, target), *_ = sides(cluster)
    protected = dataclasses.replace(source, settings=dataclasses.replace(DEV, protect=True))
    said = list(afterwards.letting_go(protected, target, afterwards.unmoved(protected, [target])))
    assert said[1:] == ["  pulumi config set --stack dev storage-tiers:protect false && pulumi up --stack dev", *GO]


@pytest.mark.parametrize("state", ["begun", "compared", "following"])
def test_a_stack_with_anything_that_is_not_proven_is_not_to_go(cluster: Cluster, state: str) -> None:
    """One service was moved: to destroy the stack, and to prune, would take the others' data."""
    proven("postgres-0", "kafka-0")
    proven("kafka-1", state=state)
    said = list(afterwards.after_the_copy(sides(cluster, NAMES[:1]), PROVEN_NOW))
    not_yet = "Stack dev isn't to be let go of yet: no move on this machine is proven that has put kafka-1, kafka-2 onto stack dev."
    assert not_yet in said
    assert not set(GO) & set(said)
    assert any("scale statefulset postgres --replicas=1" in each for each in said)
    assert letting_go(cluster) == said[-1:]


@pytest.mark.parametrize("target", [{"folder": "/backup/data-kafka-1"}, {"uid": "a claim that is gone"}])
def test_a_copy_elsewhere_is_none_on_the_new_stack(cluster: Cluster, target: dict[str, Any]) -> None:
    """A backup, or a claim of the new stack that was made anew since, empty."""
    proven("postgres-0", "kafka-0", "kafka-2")
    proven("kafka-1", target=target)
    said = list(afterwards.after_the_copy(sides(cluster), PROVEN_NOW))
    assert said[-1].endswith("that has put kafka-1 onto stack dev.")
    assert not set(GO) & set(said)
    assert any("scale statefulset postgres" in each for each in said)
    assert not any("scale statefulset kafka" in each for each in said)


def test_what_comes_from_a_folder_is_started_once_all_of_it_is_there(cluster: Cluster) -> None:
    proven("kafka-0", "kafka-1")
    into: Sides = [(None, target) for _, target in sides(cluster, NAMES[1:2])]
    said = list(afterwards.after_the_copy(into, PROVEN_NOW))
    assert said[1:] == ["Service kafka isn't whole on the new stack yet: kafka-2 is to be moved before it starts."]
    proven("kafka-2")
    assert "scale statefulset kafka --replicas=3" in list(afterwards.after_the_copy(into, PROVEN_NOW))[-1]


def test_of_what_was_moved_now_alone_the_source_is_as_it_was(cluster: Cluster) -> None:
    verdicts = [{"volume": "postgres-0", "done": "before"}, {"volume": "kafka-0"}]
    assert next(afterwards.after_the_copy(sides(cluster), verdicts)) == "Both sides of kafka-0 are whole: the source is as it was."


def test_a_service_that_lacks_a_volume_is_not_to_be_started(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0")
    said = list(afterwards.after_the_copy(sides(cluster, NAMES[1:2]), PROVEN_NOW))
    assert not any("scale statefulset" in each for each in said)
    assert "Service kafka isn't whole on the new stack yet: kafka-1, kafka-2 is to be moved before it starts." in said


def test_of_a_backup_the_way_back_is_said(cluster: Cluster) -> None:
    made: Sides = [(source, None) for source, _ in sides(cluster, NAMES[:1])]
    said = list(afterwards.after_the_copy(made, [{"volume": "postgres-0", "target": {"folder": "/my backup/data-postgres-0"}}]))
    assert said[0] == "Both sides are whole: the source is as it was."
    assert said[1].endswith(" -m ops move --from-folder '/my backup' --to STACK`")
    assert not set(GO) & set(said)


def test_claims_without_a_volume_hold_nothing_and_a_kafka_is_moved_whole(cluster: Cluster) -> None:
    proven("postgres-0")
    cluster.found["data-kafka-2"] = claim("data-kafka-2", phase="Pending")
    del cluster.found["data-kafka-1"]
    (source, target), *_ = sides(cluster, NAMES[:1])
    assert afterwards.unmoved(source, [target]).replicas == [("kafka", 0)]
    ends = {"source": {"claims": [{"uid": "uid-of-data-kafka-0"}]}, "target": {"claims": [{"uid": "aws data-kafka-0"}]}}
    KeptMove("live").save(state=PROVEN, live=True, **ends)
    assert letting_go(cluster)[1:] == GO


def test_of_what_was_done_before_nobody_knows_what_it_is_by_now(cluster: Cluster) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    said = list(afterwards.after_the_copy(sides(cluster), [{"verdict": "proven", "done": "before"}]))
    assert said[0].startswith("Nothing was done now.")
    assert not any("as it was" in each for each in said)


def test_a_cluster_that_no_longer_answers_takes_no_verdict_back(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: str) -> None:
        raise ApiError("the API answered 503", 503, "etcd is gone")

    both = sides(cluster)
    monkeypatch.setattr(cluster, "find", fails)
    said = list(afterwards.after_the_copy(both, PROVEN_NOW))
    assert any("What else stack dev has that isn't moved could not be looked at: " in each for each in said)
    assert not any("scale statefulset" in each for each in said), "whether they are whole isn't known"
    assert not set(GO) & set(said)


def test_what_cannot_be_read_of_a_move_keeps_the_stack_from_going(cluster: Cluster, tmp_path: Path) -> None:
    proven("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    (tmp_path / "storage-tiers/moves/of-kafka-2/move.json").write_text("{")
    said = "\n".join(letting_go(cluster))
    assert "of-kafka-2/move.json can't be read" in said
    assert "destroy" not in said
