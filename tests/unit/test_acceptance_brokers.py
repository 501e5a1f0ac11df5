"""A whole acceptance by Kafka on a cluster in memory: one broker killed, then all, and what is said
of it.
"""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Any, cast

import pytest

from components.acceptance import on_kafka
from components.acceptance import plan as plans
from components.acceptance.acceptance import NotAccepted
from components.acceptance.judging import KeptFault
from components.acceptance.on_kafka import KafkaAcceptance
from components.acceptance.plan import AcceptancePlan
from components.canary.plan import ProofPlan
from components.canary.words import NotProven
from components.kube.api import KubeApi
from tests.unit.brokers_cluster import BrokersCluster

PROOF = ProofPlan("ctx", "data-canary", "dev", "streaming", "streaming", "streaming-local-path", "kafka:4", "", 2**30, False)
PLAN = AcceptancePlan(PROOF, "kafka", "python:3.13-slim", seed=7)


@pytest.fixture(autouse=True)
def killed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "KILLED_AFTER", (0.2, 0.4))


def left(cluster: BrokersCluster) -> list[str]:
    """What is there but the ConfigMaps, which Kubernetes deletes with their owners."""
    return [path for path in cluster.objects if "/configmaps/" not in path]


def test_brokers_that_keep_all_accept_the_tier(tmp_path: Path) -> None:
    cluster = BrokersCluster(tmp_path / "volumes")
    said: list[str] = []
    verdict = KafkaAcceptance(cast(KubeApi, cluster), PLAN, said.append).accept()
    assert (verdict["verdict"], verdict["engine"], verdict["version"], verdict["lost"]) == ("accepted", "kafka", "4.4.0", 0)
    assert verdict["acknowledged"] >= 3
    assert verdict["recoverySeconds"] == 1.5
    assert verdict["failoverSeconds"] >= 0
    assert verdict["failoverSeconds"] >= on_kafka.GONE, "what the killed one has acknowledged on its way out doesn't count"
    assert verdict["recordsPerSecond"] > 0
    assert len(verdict["volumes"]) == len({each["uid"] for each in verdict["volumes"]}) == 3
    assert len(set(verdict["pods"])) == 7, "three, the one that joins again, three"
    assert any("another led its partition" in line for line in said)
    assert said[-1].startswith("all killed while writing")
    assert left(cluster) == []


def test_what_listening_has_not_got_to_is_in_the_verdict(tmp_path: Path) -> None:
    class Late(queue.Queue[Any]):
        """Words of a broker's start come when all is over."""

        def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
            if isinstance(item, Exception) or item[1] != "joined":
                super().put(item, block, timeout)

    run = KafkaAcceptance(cast(KubeApi, BrokersCluster(tmp_path / "volumes")), PLAN, lambda _: None)
    run.listening._said = Late()
    assert run.accept()["recoverySeconds"] == 1.5


def test_every_pod_is_told_where_all_are_whenever_one_is_replaced(tmp_path: Path) -> None:
    cluster = BrokersCluster(tmp_path / "volumes")
    KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    told = cluster.addresses()
    assert [len(each) for each in told] == [3, 3, 3]
    assert len([name for name in told[0] if told[0][name] != told[1][name]]) == 1
    assert not set(told[0].values()) & set(told[2].values())


def test_the_figures_are_of_the_time_before_a_broker_was_killed(tmp_path: Path) -> None:
    run = KafkaAcceptance(cast(KubeApi, BrokersCluster(tmp_path / "volumes")), PLAN, lambda _: None)
    said = {"records": 10, "seconds": 1, "bytes": 4000, "ackMs": {"p99": 2.0}}
    for all_run, p99 in ((True, 2.0), (False, 4000.0)):
        run.all_run = all_run
        run.listening._said.put((0, "figures", {**said, "ackMs": {"p99": p99}}))
        run._listen(run.listening._said.empty, 5, "")
    assert run.figures[0]["ackMs"] == {"p99": 2.0}


def test_records_that_are_lost_are_counted(tmp_path: Path) -> None:
    cluster = BrokersCluster(tmp_path / "volumes", lost=5)
    with pytest.raises(NotAccepted) as caught:
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    assert {each.fault for each in caught.value.findings} == {KeptFault.LOST, KeptFault.REPLICA}
    assert left(cluster) == []


@pytest.mark.parametrize("word", ["replica", "segments", "discarded"])
def test_a_report_with_a_line_that_has_not_come_is_no_acceptance(tmp_path: Path, word: str) -> None:
    # The first replica of each broker: the two others come.
    cluster = BrokersCluster(tmp_path / "volumes", swallowed=f'{word} {{"partition":0' if word != "discarded" else word)
    with pytest.raises(NotProven, match=f"-recover is not complete: {word}$"):
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    assert left(cluster) == []


@pytest.mark.parametrize(("step", "brokers"), [("rejoin", 1), ("recover", 3)])
def test_records_that_a_broker_throws_away_are_a_finding_whenever_it_starts(tmp_path: Path, step: str, brokers: int) -> None:
    cluster = BrokersCluster(tmp_path / "volumes", discards=step)
    with pytest.raises(NotAccepted) as caught:
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    assert [each.fault for each in caught.value.findings] == [KeptFault.DISCARDED] * brokers


def test_brokers_that_were_not_killed_while_they_wrote_accept_nothing(tmp_path: Path) -> None:
    cluster = BrokersCluster(tmp_path / "volumes", records=5)
    with pytest.raises(NotProven, match=r"^broker \d has written all that it was to write"):
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    assert left(cluster) == []


def test_brokers_that_hang_are_not_killed_while_they_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_kafka, "FAILING_OVER", 1)
    cluster = BrokersCluster(tmp_path / "volumes", records=5, swallowed="done")
    said: list[str] = []
    with pytest.raises(NotProven, match=r"^more of each partition is acknowledged: not in 1 s"):
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, said.append).accept()
    assert not any("killed," in line for line in said)
    assert left(cluster) == []


def test_a_broker_that_ends_without_a_word_is_named(tmp_path: Path) -> None:
    cluster = BrokersCluster(tmp_path / "volumes", ends="rejoin")
    with pytest.raises(NotProven, match="the probe ended with exit status 9"):
        KafkaAcceptance(cast(KubeApi, cluster), PLAN, lambda _: None).accept()
    assert left(cluster) == []
