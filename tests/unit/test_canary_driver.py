"""The driver's own decisions: what is its own, what it asks of Kubernetes, and how it says what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.canary import driver, manifests
from components.canary.component import CLAIM_BYTES
from components.canary.manifests import Plan
from tests.unit.mocked_program import ROOT

RUN = "0123456789abcdef"
PLAN = Plan("ctx", "data-canary", "dev", "database", "database", "database-local-path", "python:3", "canary-probe-1", 2**30, False)


def volume(namespace: str = "data-canary", uid: str = "u1", storage_class: str = "database-local-path") -> Any:
    claim_ref = SimpleNamespace(namespace=namespace, uid=uid)
    return SimpleNamespace(spec=SimpleNamespace(claim_ref=claim_ref, storage_class_name=storage_class))


class TestWhatIsItsOwn:
    def test_a_volume_of_its_namespace_class_and_claim(self) -> None:
        assert driver.belongs(volume(), "data-canary", "database-local-path", {"u1", "u2"})

    @pytest.mark.parametrize(
        "other",
        [volume(namespace="data"), volume(uid="u3"), volume(storage_class="streaming-local-path"), volume(uid="")],
    )
    def test_not_one_that_differs_in_any(self, other: Any) -> None:
        assert not driver.belongs(other, "data-canary", "database-local-path", {"u1", "u2"})

    def test_not_one_that_is_bound_to_nothing(self) -> None:
        unbound = SimpleNamespace(spec=SimpleNamespace(claim_ref=None, storage_class_name="database-local-path"))
        assert not driver.belongs(unbound, "data-canary", "database-local-path", {"u1"})

    @pytest.mark.parametrize(
        ("seconds", "annotations", "made"),
        [
            (-1, {}, False),
            (0, None, True),
            (0, {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}, True),
            (1, {}, True),
            (0, {"pv.kubernetes.io/bound-by-controller": "yes"}, False),  # free, and in the very same second
            (1, {"pv.kubernetes.io/bound-by-controller": "yes"}, False),
        ],
    )
    def test_a_volume_is_made_for_a_claim_that_is_not_younger(self, seconds: int, annotations: dict[str, str] | None, made: bool) -> None:
        claimed = datetime(2026, 11, 24, tzinfo=UTC)
        its_claim = SimpleNamespace(metadata=SimpleNamespace(creation_timestamp=claimed))
        found = SimpleNamespace(metadata=SimpleNamespace(creation_timestamp=claimed + timedelta(seconds=seconds), annotations=annotations))
        assert driver.made_for(found, its_claim) is made

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"phase": "Released"},
            {"claim_ref": SimpleNamespace(namespace="data", name="data-kafka-1", uid=None)},
            {"storage_class_name": "streaming-local-path"},
            {"access_modes": ["ReadWriteOncePod"]},
            {"volume_mode": "Block"},
            {"capacity": {"storage": "1023Mi"}},
        ],
    )
    def test_only_a_volume_that_its_claim_could_get_is_free(self, change: dict[str, Any]) -> None:
        spec = {
            "claim_ref": None,
            "storage_class_name": "database-local-path",
            "access_modes": ["ReadWriteOnce", "ReadWriteOncePod"],
            "volume_mode": "Filesystem",
            "capacity": {"storage": "1Gi"},
            **change,
        }
        found = SimpleNamespace(status=SimpleNamespace(phase=spec.pop("phase", "Available")), spec=SimpleNamespace(**spec))
        assert driver.is_free(found, "database-local-path", 2**30) is (not change)

    def test_it_is_found_by_labels_of_stack_canary_and_tier(self) -> None:
        one_tier = manifests.selector("dev", "database").split(",")
        assert set(one_tier) == {
            "app.kubernetes.io/part-of=storage-tiers",
            "app.kubernetes.io/instance=dev",
            "app.kubernetes.io/name=canary",
            "app.kubernetes.io/component=database",
            "app.kubernetes.io/managed-by=storage-tiers-canary",
        }
        assert set(manifests.selector("dev", None).split(",")) == set(one_tier) - {"app.kubernetes.io/component=database"}


class TestManifests:
    def test_a_pod_passes_pod_security_restricted_and_has_limits_and_no_token(self) -> None:
        spec = manifests.pod(PLAN, RUN, "write", ["write"])["spec"]
        (container,) = spec["containers"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert spec["automountServiceAccountToken"] is False
        assert set(container["resources"]) == {"requests", "limits"}
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}
        assert spec["restartPolicy"] == "Never"
        assert spec["activeDeadlineSeconds"] > 0
        assert [mount.get("readOnly", False) for mount in container["volumeMounts"]] == [False, True]

    def test_pods_and_claim_of_a_run_belong_together_and_two_runs_never_share_one(self) -> None:
        claim = manifests.claim(PLAN, RUN)
        for role in ("write", "read", "read-again"):
            pod = manifests.pod(PLAN, RUN, role, ["verify"])
            assert pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
            assert pod["metadata"]["labels"] == claim["metadata"]["labels"]
        assert claim["metadata"]["name"] != manifests.claim(PLAN, "f" * 16)["metadata"]["name"]
        assert claim["spec"]["storageClassName"] == "database-local-path"
        assert claim["spec"]["resources"] == {"requests": {"storage": str(2**30)}}


class TestWords:
    def test_a_pods_log_is_its_report_and_whatever_else_it_said(self) -> None:
        pod = driver.Pod("canary", "u", 0.0)
        for line in ('mount {"bytes":1}', "Traceback (most recent call last):", 'ack [1,2,"x"]', "", "ack [1,2", 'done "verify"'):
            pod.take(line)
        assert pod.words == [("mount", {"bytes": 1}), ("ack", [1, 2, "x"]), ("done", "verify")]
        assert pod.other == ["Traceback (most recent call last):", "ack [1,2"]
        assert pod.values("ack") == [[1, 2, "x"]]

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"errno": "ENOSPC", "message": "No space left on device", "path": ""}, "the volume is full: No space left on device (ENOSPC)"),
            ({"errno": "EROFS", "message": "Read-only", "path": "/volume/x"}, "the volume is read-only: Read-only (EROFS) at /volume/x"),
            ({"errno": "EXDEV", "message": "what", "path": ""}, "an operation of the volume failed: what (EXDEV)"),
        ],
    )
    def test_a_failed_operation_is_a_sentence(self, fault: dict[str, str], says: str) -> None:
        assert driver.trouble_of(fault) == says

    def test_a_failure_is_the_sentence_the_log_and_the_warnings(self) -> None:
        pod = driver.Pod("canary-database-1-write", "u", 0.0, words=[("mount", {}), ("fault", {"errno": "EIO"})], other=["python: oh"])
        events = ["Normal Scheduled pod/x: yes", "Warning FailedMount pod/x: no such directory"]
        canary = cast(driver.Canary, SimpleNamespace(plan=PLAN, pods=[pod], events_seen=events))
        assert driver.explain(canary, driver.NotProven("it is broken", "Mend it.")) == (
            "tier database (database-local-path) is not proven: it is broken.\n"
            "Log of pod canary-database-1-write:\n"
            "  python: oh\n"
            '  fault {"errno": "EIO"}\n'
            "Events:\n"
            "  Warning FailedMount pod/x: no such directory\n"
            "Mend it.\n"
            "No new claim is made on this tier."
        )

    def test_figures_are_those_of_the_workload_that_the_tier_is_for(self) -> None:
        def workload(mbps: float, iops: float, p99: float) -> dict[str, Any]:
            return {"MBps": mbps, "IOPS": iops, "syncMs": {"p99": p99}}

        database = driver.summary("database", {"pages": workload(1, 2, 3), "wal": workload(4, 5, 6)})
        assert (database["writeMBps"], database["writeIOPS"], database["syncMs"]["p99"]) == (1, 2, 6)
        streaming = driver.summary("streaming", {"stream": workload(1, 2, 3), "entries": workload(4, 5, 6)})
        assert (streaming["writeMBps"], streaming["writeIOPS"], streaming["syncMs"]["p99"]) == (1, 5, 6)


class Waiting:
    """A canary whose pod has no node yet, on a clock of the test's: what the API says of the pod, its claim and its events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.events: list[str] = []
        self.unschedulable = "0/2 nodes are available: 2 Insufficient cpu."
        self.annotations: dict[str, str] = {}
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)
        core = SimpleNamespace(read_namespaced_persistent_volume_claim=None)
        cluster = SimpleNamespace(core=core, call=lambda *_: self.claim())
        self.canary = driver.Canary(cast(driver.Cluster, cluster), PLAN, lambda _: None)
        self.canary.claim = self.claim()
        monkeypatch.setattr(self.canary, "events", lambda: self.events)
        self.since: dict[str, float] = {}

    def claim(self) -> Any:
        metadata = SimpleNamespace(name="canary-database-1", annotations=self.annotations)
        return SimpleNamespace(metadata=metadata, status=SimpleNamespace(phase="Pending"))

    def after(self, seconds: float) -> None:
        self.seconds = seconds
        condition = SimpleNamespace(type="PodScheduled", reason="Unschedulable", message=self.unschedulable)
        pod = SimpleNamespace(status=SimpleNamespace(conditions=[condition]))
        self.canary.check_scheduling(pod, seconds, self.since)


class TestPatience:
    @pytest.mark.parametrize(
        "event", ["Normal TriggeredScaleUp pod/x: 1->2", "Normal Nominated pod/x: Pod should schedule on: nodeclaim/y"]
    )
    def test_a_node_that_an_autoscaler_adds_is_waited_for(self, event: str, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.events = [event]
        waiting.after(599)
        with pytest.raises(driver.NotProven, match="no node can take the pod: 0/2 nodes"):
            waiting.after(601)

    def test_without_one_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.after(59)
        with pytest.raises(driver.NotProven, match="no node can take the pod: 0/2 nodes"):
            waiting.after(61)

    def test_the_time_of_a_volume_begins_when_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.events = ["Normal TriggeredScaleUp pod/x: 1->2"]
        waiting.after(150)
        waiting.annotations = {"volume.kubernetes.io/selected-node": "new", "volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"}
        waiting.after(151)
        waiting.after(270)
        with pytest.raises(
            driver.NotProven, match=r"ebs\.csi\.aws\.com has made no volume for class database-local-path in 121 s and gives no"
        ):
            waiting.after(272)

    def test_a_provisioner_may_fail_at_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.annotations = {"volume.kubernetes.io/selected-node": "new"}
        waiting.events = ["Warning ProvisioningFailed claim/x: no topology key found on CSINode new"]
        waiting.after(60)
        waiting.after(89)
        with pytest.raises(driver.NotProven, match="in 31 s: no topology key found on CSINode new"):
            waiting.after(91)


def test_the_command_line_is_the_plan() -> None:
    arguments = [f"--{name}=x" for name in ("context", "namespace", "instance", "tier", "profile", "storage-class", "image", "probe")]
    operation, plan = driver.parse([*arguments, f"--size={CLAIM_BYTES}", "--sizes-enforced", "--limit=syncP99Ms=10.5", "prove"])
    assert operation == "prove"
    assert plan == Plan("x", "x", "x", "x", "x", "x", "x", "x", CLAIM_BYTES, True, {"syncP99Ms": 10.5})


def test_a_context_that_is_not_there_is_explained_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "components.canary.driver", "--context=none", "--namespace=n", "--instance=dev"]
    variables = {**os.environ, "KUBECONFIG": str(tmp_path / "missing")}
    done = subprocess.run([*command, "sweep"], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Set KUBECONFIG to a file with the context 'none'" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_driver_costs_no_pulumi() -> None:
    command = [sys.executable, "-c", "import json, sys, components.canary.driver; print(json.dumps(sorted(sys.modules)))"]
    loaded = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert not [name for name in loaded if name.split(".")[0] in ("pulumi", "pulumi_kubernetes", "pydantic")]
