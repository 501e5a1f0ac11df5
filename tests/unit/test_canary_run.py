"""A whole proof on a cluster in memory: what it says, what it asks for, and that it leaves
nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from components.canary import driver, objects, volumes
from components.canary.limits import FigureLimit
from components.canary.manifests import CLAIM_UID, RUN, canary_labels
from components.canary.plan import ProofPlan
from components.canary.run import Proof
from components.canary.sweep import SweepScope, sweep
from components.canary.words import NotProven
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from tests.unit.canary_cluster import VOLUME, CanaryCluster

PLAN = ProofPlan("ctx", "data-canary", "dev", "streaming", "streaming", "streaming-local-path", "python:3", "probe-1", 2**30, False)
ARGUMENTS = [
    "--context=ctx",
    "--namespace=data-canary",
    "--instance=dev",
    "--tier=streaming",
    "--profile=streaming",
    "--storage-class=streaming-local-path",
    "--image=python:3",
    "--probe=probe-1",
    "--size=1073741824",
]
CLAIMS = "/api/v1/namespaces/data-canary/persistentvolumeclaims"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CanaryCluster:
    made = CanaryCluster(tmp_path / "volume")
    monkeypatch.setattr(driver, "open_api", lambda _: made)
    monkeypatch.setattr(driver, "raise_on_signals", lambda: None)
    return made


def left(cluster: CanaryCluster) -> list[str]:
    """What is there but the last verdict's ConfigMap."""
    return [path for path in cluster.objects if "/configmaps/" not in path]


def test_a_tier_that_keeps_data_is_proven_and_nothing_is_left(cluster: CanaryCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert driver.main([*ARGUMENTS, "--limit=syncP99Ms=100000", "--limit=writeMBps=0.001", "prove"]) == 0
    shown = capsys.readouterr()
    verdict = json.loads(shown.out)
    assert shown.out == json.dumps(verdict, separators=(",", ":")) + "\n"
    assert list(verdict) == [
        *("verdict", "reason", "profile", "storageClass", "provenAt", "seconds", "run", "pods", "volume", "node"),
        *("acknowledgedBeforeKill", "secondsToBound", "secondsToRunning", "fileSystem", "writeMBps", "writeIOPS", "syncMs"),
        *("workloads", "bytes", "entries", "previous"),
    ]
    assert verdict["verdict"] == "proven"
    assert verdict["previous"] is None
    assert len(set(verdict["pods"])) == 3
    assert verdict["volume"]["name"] == "pv-1"
    assert verdict["acknowledgedBeforeKill"] >= 20
    says = shown.err.splitlines()
    assert says[0] == "proving streaming-local-path with a volume of 1Gi, profile streaming"
    assert [line.split()[0] for line in says] == ["proving", "volume", "wrote", "intact", "killed"]
    assert left(cluster) == []
    assert {path.partition("?")[2] for path in cluster.asked_logs} == {"container=probe&follow=true"}
    # Another run has the first one's figures.
    assert driver.main([*ARGUMENTS, "prove"]) == 0
    previous = json.loads(capsys.readouterr().out)["previous"]
    assert previous == {key: verdict[key] for key in ("provenAt", "writeMBps", "writeIOPS", "syncMs", "secondsToRunning")}


def test_a_slow_tier_is_not_proven(cluster: CanaryCluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert driver.main([*ARGUMENTS, "--limit=writeMBps=1000000", "prove"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    says = shown.err.splitlines()
    assert says[-3].startswith("tier streaming (streaming-local-path) is not proven: it keeps data, but writeMBps is ")
    assert says[-3].endswith(", the limit is at least 1e+06.")
    assert says[-2:] == ["The limits are in canary.limits.streaming of the stack's settings.", "No new claim is made on this tier."]
    assert left(cluster) == []


def test_limits_are_checked_in_their_direction(cluster: CanaryCluster) -> None:
    proof = Proof(cast(KubeApi, cluster), replace(PLAN, limits=(FigureLimit.parse("writeIOPS=501"),)), print)
    proof.figures = {"writeIOPS": 500}
    with pytest.raises(NotProven, match="writeIOPS is 500, the limit is at least 501"):
        proof.judge()


def test_a_free_volume_is_not_taken(cluster: CanaryCluster, capsys: pytest.CaptureFixture[str]) -> None:
    spec = {"storageClassName": PLAN.storage_class, "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    cluster.add(VOLUME, {"kind": "PersistentVolume", "metadata": {"name": "pv-1"}, "spec": spec, "status": {"phase": "Available"}})
    assert driver.main([*ARGUMENTS, "prove"]) == 1
    says = capsys.readouterr().err
    assert "is not proven: volume pv-1 of class streaming-local-path is Available to any claim, the canary's as well.\n" in says
    reserve = (
        '{"spec": {"persistentVolumeReclaimPolicy": "Retain", "claimRef": {"namespace": "default", "name": "nobodys", '
        '"uid": "00000000-0000-0000-0000-000000000000"}}}'
    )
    assert f"`kubectl --context ctx patch pv pv-1 -p '{reserve}'`" in says
    assert left(cluster) == [VOLUME]


class TestAnApiThatDoesNotAnswer:
    @pytest.fixture(autouse=True)
    def at_a_closed_port(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        kubeconfig = {
            "contexts": [{"name": "ctx", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
            "users": [{"name": "u", "user": {}}],
        }
        (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        monkeypatch.setattr(driver, "PATIENCE", 0)
        monkeypatch.setattr(driver, "raise_on_signals", lambda: None)

    def test_is_said_by_a_proof(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert driver.main([*ARGUMENTS, "prove"]) == 1
        says = capsys.readouterr().err
        assert "tier streaming (streaming-local-path) is not proven: the cluster of context 'ctx' does not answer (" in says
        assert says.endswith("Start it (`make up` for the dev cluster) and try again.\nNo new claim is made on this tier.\n")

    def test_is_said_by_a_sweep(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert driver.main([*ARGUMENTS[:3], "sweep"]) == 1
        says = capsys.readouterr().err
        assert says.startswith("the cluster of context 'ctx' does not answer (")
        assert says.endswith(").\nStart it (`make up` for the dev cluster) and try again.\n")


def test_a_request_that_the_api_refuses_is_told_in_its_own_words(cluster: CanaryCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.refused = [ApiError("the API answered 403", 403, "persistentvolumeclaims is forbidden: User x cannot create")]
    assert driver.main([*ARGUMENTS, "prove"]) == 1
    says = "the API of context 'ctx' refused a request of the canary (403): persistentvolumeclaims is forbidden: User x cannot create"
    assert capsys.readouterr().err.splitlines()[-1] == says


class TestWhatIsMade:
    MANIFEST: dict[str, Any] = {"kind": "ConfigMap", "metadata": {"name": "x"}}  # noqa: RUF012

    def test_waits_for_the_service_account_of_a_new_namespace(self, cluster: CanaryCluster) -> None:
        cluster.refused = [ApiError("403", 403, 'error looking up service account x/default: serviceaccount "default" not found')]
        assert objects.create(cast(KubeApi, cluster), "/c", self.MANIFEST)["metadata"]["uid"]

    def test_is_found_when_the_first_request_had_made_it(self, cluster: CanaryCluster) -> None:
        made = cluster.create("/c", self.MANIFEST)
        cluster.refused = [ApiError("broken"), ApiError("409", 409, "already exists")]
        assert objects.create(cast(KubeApi, cluster), "/c", self.MANIFEST) == made

    def test_is_not_asked_for_again_when_it_is_refused(self, cluster: CanaryCluster) -> None:
        cluster.refused = [ApiError("422", 422, "Invalid value"), ApiError("never asked")]
        with pytest.raises(ApiError, match="422"):
            objects.create(cast(KubeApi, cluster), "/c", self.MANIFEST)


def bound(cluster: CanaryCluster, *, marked: bool, tier: str = "streaming") -> dict[str, Any]:
    """A volume that is bound to the canary's claim `u1`; `marked` as its own while it was."""
    claim_ref = {"namespace": "data-canary", "name": "c", "uid": "u1"}
    spec = {"claimRef": claim_ref, "persistentVolumeReclaimPolicy": "Retain", "storageClassName": PLAN.storage_class}
    marks = {**canary_labels("dev", tier), CLAIM_UID: "u1"} if marked else {}
    return cluster.add(VOLUME, {"kind": "PersistentVolume", "metadata": {"name": "pv-1", "labels": marks}, "spec": spec})


class TestHandingOver:
    def test_marks_a_volume_that_somebody_else_has_changed(self, cluster: CanaryCluster) -> None:
        read = json.loads(json.dumps(bound(cluster, marked=False)))
        cluster.patch(VOLUME, {"metadata": {"labels": {"other": "x"}}})
        handed = volumes.hand_over(cast(KubeApi, cluster), read, "dev", "streaming")
        assert handed
        assert handed["metadata"]["labels"] == {**canary_labels("dev", "streaming"), CLAIM_UID: "u1", "other": "x"}
        assert handed["spec"]["persistentVolumeReclaimPolicy"] == "Delete"

    def test_not_one_that_another_claim_has_got(self, cluster: CanaryCluster) -> None:
        read = json.loads(json.dumps(bound(cluster, marked=False)))
        cluster.patch(VOLUME, {"spec": {"claimRef": {"uid": "u2"}}})
        with pytest.raises(NotProven, match="volume pv-1 was given to another claim"):
            volumes.hand_over(cast(KubeApi, cluster), read, "dev", "streaming")
        assert cluster.objects[VOLUME]["spec"]["persistentVolumeReclaimPolicy"] == "Retain"

    def test_nor_one_that_is_gone(self, cluster: CanaryCluster) -> None:
        read = bound(cluster, marked=False)
        del cluster.objects[VOLUME]
        assert volumes.hand_over(cast(KubeApi, cluster), read, "dev", "streaming") is None


class TestSweeping:
    def claim(self, cluster: CanaryCluster, **changes: Any) -> None:
        metadata = {"name": "c", "namespace": "data-canary", "uid": "u1", "labels": {**canary_labels("dev", "streaming"), RUN: "r"}}
        body = {"kind": "PersistentVolumeClaim", "spec": {"volumeName": "pv-1", "storageClassName": PLAN.storage_class}}
        cluster.add(f"{CLAIMS}/c", {**body, "metadata": {**metadata, **changes}, "status": {"phase": "Bound"}})

    def test_removes_claim_and_volume_of_all_tiers(self, cluster: CanaryCluster) -> None:
        cluster.folder.mkdir()
        bound(cluster, marked=False)
        self.claim(cluster)
        said: list[str] = []
        sweep(cast(KubeApi, cluster), SweepScope("data-canary", "dev"), said.append)
        assert cluster.objects == {}
        assert said == ["removing what an earlier run has left: 0 pods, 1 claims, 0 volumes without a claim"]

    def test_leaves_what_is_not_its_own(self, cluster: CanaryCluster) -> None:
        bound(cluster, marked=False)
        self.claim(cluster, labels=canary_labels("other", "streaming"))
        sweep(cast(KubeApi, cluster), SweepScope("data-canary", "dev"), print)
        assert sorted(cluster.objects) == sorted([VOLUME, f"{CLAIMS}/c"])
        assert cluster.objects[VOLUME]["spec"]["persistentVolumeReclaimPolicy"] == "Retain"

    def test_marks_a_volume_whose_claim_is_gone_for_its_deletion(self, cluster: CanaryCluster) -> None:
        bound(cluster, marked=True)
        with pytest.raises(NotProven, match=r"still there after 0 s: persistentvolume/pv-1"):
            sweep(cast(KubeApi, cluster), SweepScope("data-canary", "dev"), print, timeout=0.1)
        assert cluster.objects[VOLUME]["spec"]["persistentVolumeReclaimPolicy"] == "Delete"

    def test_of_a_run_that_was_interrupted_leaves_a_claim_whose_volume_is_being_made(self, cluster: CanaryCluster) -> None:
        self.claim(cluster, annotations={"volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"})
        cluster.objects[f"{CLAIMS}/c"]["status"] = {"phase": "Pending"}
        said: list[str] = []
        began = time.monotonic()
        sweep(cast(KubeApi, cluster), SweepScope("data-canary", "dev", run="r"), said.append, timeout=0)
        assert time.monotonic() - began < 5
        assert said == ["left for the next run, because a volume is being made for it: c"]
        assert list(cluster.objects) == [f"{CLAIMS}/c"]
