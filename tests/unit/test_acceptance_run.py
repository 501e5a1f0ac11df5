"""A whole acceptance on a cluster in memory: what it says, what it asks for, and that it leaves
nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest

from components.acceptance import on_postgresql
from components.acceptance import plan as plans
from components.acceptance.acceptance import NotAccepted
from components.acceptance.judging import KeptFault
from components.acceptance.manifests import pod, scripts
from components.acceptance.on_postgresql import PostgresqlAcceptance
from components.acceptance.plan import AcceptancePlan
from components.canary.plan import ProofPlan
from components.canary.words import NotProven
from components.kube.api import KubeApi
from tests.unit.accepting_cluster import AcceptingCluster

PROOF = ProofPlan("ctx", "data-canary", "dev", "database", "database", "database-local-path", "postgres:17", "", 2**31, False)
PLAN = AcceptancePlan(PROOF, "postgresql", "python:3.13-slim", seed=7)


@pytest.fixture(autouse=True)
def killed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "KILLED_AFTER", (0.2, 0.4))


def accept(cluster: AcceptingCluster, said: list[str] | None = None, plan: AcceptancePlan = PLAN) -> dict[str, Any]:
    return PostgresqlAcceptance(cast(KubeApi, cluster), plan, (said if said is not None else []).append).accept()


def left(cluster: AcceptingCluster) -> list[str]:
    """What is there but the ConfigMap, which Kubernetes deletes with its owner."""
    return [path for path in cluster.objects if "/configmaps/" not in path]


def test_an_engine_that_keeps_all_accepts_the_tier(tmp_path: Path) -> None:
    cluster = AcceptingCluster(tmp_path / "volume")
    said: list[str] = []
    verdict = accept(cluster, said)
    assert verdict["verdict"] == "accepted"
    assert (verdict["engine"], verdict["version"], verdict["seed"], verdict["lost"]) == ("postgresql", "15.20", 7, 0)
    assert verdict["acknowledged"] >= 1  # as many as a slow machine gets done until the kill
    assert verdict["imageID"] == "docker.io/library/probe@sha256:0123"
    assert verdict["recoverySeconds"] == 0.4
    assert len(set(verdict["pods"])) == 2
    assert [line.split()[0] for line in said] == ["volume", "postgresql", "killed", "started"]
    assert left(cluster) == []


def test_lost_transactions_are_counted(tmp_path: Path) -> None:
    cluster = AcceptingCluster(tmp_path / "volume", lost=3)
    with pytest.raises(NotAccepted) as caught:
        accept(cluster)
    assert caught.value.findings[0].fault is KeptFault.LOST
    assert "`--seed 7`" in caught.value.hint
    assert left(cluster) == []


@pytest.mark.parametrize("word", ["amcheck", "checksums"])
def test_a_report_with_a_line_that_has_not_come_is_no_acceptance(tmp_path: Path, word: str) -> None:
    cluster = AcceptingCluster(tmp_path / "volume", swallowed=word)
    with pytest.raises(NotProven, match=f"-recover is not complete: {word}$"):
        accept(cluster)
    assert left(cluster) == []


@pytest.mark.parametrize("step", ["LOADING", "RECOVERING"])
def test_an_engine_that_says_something_forever_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    monkeypatch.setattr(on_postgresql, step, 0)
    cluster = AcceptingCluster(tmp_path / "volume")
    with pytest.raises(NotProven, match=r"has not ended in 0 s \(last: "):
        accept(cluster)
    assert left(cluster) == []


def test_a_full_volume_in_mid_load_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "KILLED_AFTER", (600, 600))  # the fault comes first, however slow the machine is
    cluster = AcceptingCluster(tmp_path / "volume", fault="53100")
    with pytest.raises(NotProven, match="the volume is full: could not extend file"):
        accept(cluster)
    assert left(cluster) == []


def test_no_client_is_said_with_the_image_and_the_setting(tmp_path: Path) -> None:
    cluster = AcceptingCluster(tmp_path / "volume", no_client=True)
    with pytest.raises(NotProven, match=r"python:3.13-slim: ERROR: No matching distribution found for psycopg") as caught:
        accept(cluster)
    assert "canary.engines.client" in caught.value.hint
    assert left(cluster) == []


def test_the_same_seed_kills_after_the_same_time() -> None:
    assert PLAN.killed_after == AcceptancePlan(PROOF, "postgresql", "python", seed=7).killed_after
    assert PLAN.killed_after != AcceptancePlan(PROOF, "postgresql", "python", seed=8).killed_after


def test_every_container_is_admitted_by_pod_security_restricted() -> None:
    spec = pod(PLAN, "0123456789abcdef", "load", [])["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in [*spec["initContainers"], *spec["containers"]]:
        context = each["securityContext"]
        assert context == {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert set(each["resources"]) == {"requests", "limits"}
    assert [each["image"] for each in (spec["initContainers"][0], spec["containers"][0])] == ["python:3.13-slim", "postgres:17"]


def test_initdb_finds_its_user_unless_the_cluster_chooses_it() -> None:
    assert "\naccept:x:65532:65532:" in scripts(PLAN)["passwd"]
    chosen = AcceptancePlan(ProofPlan(**{**vars(PROOF), "pod": {"runAsUser": None}}), "postgresql", "python", seed=7)
    assert "passwd" not in scripts(chosen)
    mounts = pod(chosen, "0123456789abcdef", "load", [])["spec"]["containers"][0]["volumeMounts"]
    assert not any(each["mountPath"] == "/etc/passwd" for each in mounts)


def test_brokers_are_on_different_nodes_where_there_are_as_many() -> None:
    brokers = pod(AcceptancePlan(PROOF, "kafka", "python", seed=7), "0123456789abcdef", "load", [])
    (spread,) = brokers["spec"]["topologySpreadConstraints"]
    assert (spread["topologyKey"], spread["whenUnsatisfiable"], spread["maxSkew"]) == ("kubernetes.io/hostname", "ScheduleAnyway", 1)
    assert spread["labelSelector"]["matchLabels"].items() <= brokers["metadata"]["labels"].items()
    assert "topologySpreadConstraints" not in pod(PLAN, "0123456789abcdef", "load", [])["spec"]
