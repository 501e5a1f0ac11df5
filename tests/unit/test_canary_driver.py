"""The canary's decisions: what is its own, what it waits for, and how it says what went wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest

from components.canary import driver, events, manifests, pods, volumes
from components.canary.component import CLAIM_BYTES
from components.canary.events import Event
from components.canary.limits import LIMITED_FIGURES, FigureLimit
from components.canary.plan import ProofPlan
from components.canary.profiles import PROFILES
from components.canary.report import ProbeReport
from components.canary.watch import PodStart, StartWatch, Timeouts
from components.canary.words import NotProven, explanation, failed_operation, refused
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from tests.unit.mocked_program import ROOT

RUN = "0123456789abcdef"
PLAN = ProofPlan("ctx", "data-canary", "dev", "database", "database", "database-local-path", "python:3", "canary-probe-1", 2**30, False)


def volume(namespace: str = "data-canary", uid: str = "u1", storage_class: str = "database-local-path") -> dict[str, Any]:
    return {"spec": {"claimRef": {"namespace": namespace, "uid": uid}, "storageClassName": storage_class}}


class TestWhatIsItsOwn:
    def test_a_volume_of_its_namespace_class_and_claim(self) -> None:
        assert volumes.belongs(volume(), "data-canary", "database-local-path", {"u1", "u2"})

    @pytest.mark.parametrize(
        "other",
        [volume(namespace="data"), volume(uid="u3"), volume(storage_class="streaming-local-path"), volume(uid="")],
    )
    def test_not_one_that_differs_in_any(self, other: dict[str, Any]) -> None:
        assert not volumes.belongs(other, "data-canary", "database-local-path", {"u1", "u2"})

    @pytest.mark.parametrize("spec", [{"claimRef": None}, {}])
    def test_not_one_that_is_bound_to_nothing(self, spec: dict[str, Any]) -> None:
        unbound = {"spec": {"storageClassName": "database-local-path", **spec}}
        assert not volumes.belongs(unbound, "data-canary", "database-local-path", {"u1"})
        assert not volumes.belongs(unbound, "data-canary", "database-local-path", {""})

    @pytest.mark.parametrize(
        ("time", "annotations", "made"),
        [
            ("2026-11-23T23:59:59Z", {}, False),
            ("2026-11-24T00:00:00Z", None, True),
            ("2026-11-24T00:00:00Z", {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}, True),
            ("2026-11-24T00:00:01Z", {}, True),
            ("2026-11-24T00:00:00Z", {"pv.kubernetes.io/bound-by-controller": "yes"}, False),  # free, and in the very same second
            ("2026-11-24T00:00:01Z", {"pv.kubernetes.io/bound-by-controller": "yes"}, False),
        ],
    )
    def test_a_volume_is_made_for_a_claim_that_is_not_younger(self, time: str, annotations: dict[str, str] | None, made: bool) -> None:
        its_claim = {"metadata": {"creationTimestamp": "2026-11-24T00:00:00Z"}}
        found = {"metadata": {"creationTimestamp": time, "annotations": annotations}}
        assert volumes.made_for(found, its_claim) is made

    @pytest.mark.parametrize(
        "change",
        [
            {},
            {"phase": "Released"},
            {"claimRef": {"namespace": "data", "name": "data-kafka-1"}},
            {"storageClassName": "streaming-local-path"},
            {"accessModes": ["ReadWriteOncePod"]},
            {"volumeMode": "Block"},
            {"capacity": {"storage": "1023Mi"}},
        ],
    )
    def test_only_a_volume_that_its_claim_could_get_is_free(self, change: dict[str, Any]) -> None:
        spec = {
            "claimRef": None,
            "storageClassName": "database-local-path",
            "accessModes": ["ReadWriteOnce", "ReadWriteOncePod"],
            "volumeMode": "Filesystem",
            "capacity": {"storage": "1Gi"},
            **change,
        }
        found = {"status": {"phase": spec.pop("phase", "Available")}, "spec": spec}
        assert volumes.is_free(found, "database-local-path", 2**30) is (not change)

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
        report = ProbeReport()
        for line in ('mount {"bytes":1}', "Traceback (most recent call last):", 'ack [1,2,"x"]', "", "ack [1,2", 'done "verify"'):
            report.add(line)
        assert report.said == [("mount", {"bytes": 1}), ("ack", [1, 2, "x"]), ("done", "verify")]
        assert report.other == ["Traceback (most recent call last):", "ack [1,2"]
        assert report.values("ack") == [[1, 2, "x"]]
        assert report.last_word == "done"

    @pytest.mark.parametrize(
        ("fault", "says"),
        [
            ({"errno": "ENOSPC", "message": "No space left on device", "path": ""}, "the volume is full: No space left on device (ENOSPC)"),
            ({"errno": "EROFS", "message": "Read-only", "path": "/volume/x"}, "the volume is read-only: Read-only (EROFS) at /volume/x"),
            ({"errno": "EXDEV", "message": "what", "path": ""}, "an operation of the volume failed: what (EXDEV)"),
        ],
    )
    def test_a_failed_operation_is_a_sentence(self, fault: dict[str, str], says: str) -> None:
        assert failed_operation(fault) == says

    def test_a_failure_is_the_sentence_the_log_and_the_warnings(self) -> None:
        report = ProbeReport(said=[("mount", {}), ("fault", {"errno": "EIO"})], other=["python: oh"])
        seen = [Event("Normal", "Scheduled", "pod/x", "yes"), Event("Warning", "FailedMount", "pod/x", "no such directory")]
        problem = NotProven("it is broken", "Mend it.")
        assert explanation(PLAN, problem, "canary-database-1-write", report, seen) == (
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

        database = PROFILES["database"].figures({"pages": workload(1, 2, 3), "wal": workload(4, 5, 6)})
        assert (database["writeMBps"], database["writeIOPS"], database["syncMs"]["p99"]) == (1, 2, 6)
        streaming = PROFILES["streaming"].figures({"stream": workload(1, 2, 3), "entries": workload(4, 5, 6)})
        assert (streaming["writeMBps"], streaming["writeIOPS"], streaming["syncMs"]["p99"]) == (1, 5, 6)

    def test_events_come_in_the_order_of_their_times_and_only_of_the_runs_own_objects(self) -> None:
        def event(message: str, uid: str = "u", **times: str | None) -> dict[str, Any]:
            about = {"kind": "Pod", "name": "x", "uid": uid}
            made = {
                "metadata": {"creationTimestamp": "2026-11-24T00:00:09Z"},
                "involvedObject": about,
                "type": "Warning",
                "reason": "Failed",
            }
            return {**made, "message": message, **times}

        class Api:
            def items(self, path: str) -> list[dict[str, Any]]:
                assert path == "/api/v1/namespaces/data-canary/events"
                return [
                    event("newest"),
                    event("second", eventTime="2026-11-24T00:00:01.500000Z", lastTimestamp=None),
                    event("first", lastTimestamp="2026-11-24T00:00:01Z"),
                    event("of another", uid="other"),
                ]

        found = events.events_about(cast(KubeApi, Api()), "data-canary", {"u"})
        assert [each.message for each in found] == ["first", "second", "newest"]
        assert str(found[0]) == "Warning Failed pod/x: first"
        assert events.last_warning(found) == "newest"
        assert events.last_warning(found, "Provisioning") == ""

    def test_what_befalls_a_sidecar_is_no_reason(self) -> None:
        def found(path: str, message: str) -> Event:
            about = {"kind": "Pod", "name": "x", "fieldPath": path}
            return Event.of({"type": "Warning", "reason": "Failed", "message": message, "involvedObject": about})

        own = found("spec.containers{probe}", "its own")
        assert events.last_warning([own, found("spec.containers{mesh-proxy}", "no such image")]) == "its own"
        assert events.last_warning([own, found("spec.initContainers{mesh-init}", "no such image")]) == "no such image"
        assert events.last_warning([found("spec.containers{mesh-proxy}", "no such image")]) == ""


class TestTheProbesContainer:
    @pytest.mark.parametrize("order", [1, -1])
    def test_is_found_by_its_name_among_others(self, order: int) -> None:
        ended = {"terminated": {"exitCode": 0}}
        statuses = [{"name": "istio-proxy", "state": {"running": {}}}, {"name": "probe", "state": ended}][::order]
        assert pods.container_state({"status": {"containerStatuses": statuses}}) == ended

    @pytest.mark.parametrize("status", [{}, {"containerStatuses": None}, {"containerStatuses": [{"name": "istio-proxy", "state": {}}]}])
    def test_has_no_state_before_the_kubelet_has_spoken(self, status: dict[str, Any]) -> None:
        assert pods.container_state({"status": status}) == {}

    def test_others_are_told_by_their_names(self) -> None:
        added = {
            "containers": [{"name": "mesh-proxy"}, {"name": "probe"}],
            "initContainers": [{"name": "agent", "restartPolicy": "Always"}],
        }
        assert manifests.other_containers({"spec": added}) == ["mesh-proxy", "agent"]
        assert manifests.other_containers(manifests.pod(PLAN, RUN, "write", ["write"])) == []


class Waiting:
    """A pod without a node, on a clock of the test's; what the API says of its claim and events."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self.events: list[Event] = []
        self.unschedulable = "0/2 nodes are available: 2 Insufficient cpu."
        self.annotations: dict[str, str] = {}
        monkeypatch.setattr(time, "monotonic", lambda: self.seconds)
        start = PodStart("ctx", "data-canary", "canary-database-1", "database-local-path", "python:3")
        self.watch = StartWatch(cast(KubeApi, self), start, created=0.0, timeouts=Timeouts(), events=lambda: self.events)

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/data-canary/persistentvolumeclaims/canary-database-1"
        return {"metadata": {"name": "canary-database-1", "annotations": self.annotations}, "status": {"phase": "Pending"}}

    def after(self, seconds: float) -> None:
        self.seconds = seconds
        condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": self.unschedulable}
        assert not self.watch.has_started({"spec": {}, "status": {"phase": "Pending", "conditions": [condition]}})


class TestTimeouts:
    @pytest.mark.parametrize(
        "event",
        [
            Event("Normal", "TriggeredScaleUp", "pod/x", "1->2"),
            Event("Normal", "Nominated", "pod/x", "Pod should schedule on: nodeclaim/y"),
        ],
        ids=lambda event: event.reason,
    )
    def test_a_node_that_an_autoscaler_adds_is_waited_for(self, event: Event, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.events = [event]
        waiting.after(599)
        with pytest.raises(NotProven, match="no node can take the pod: 0/2 nodes"):
            waiting.after(601)

    def test_without_one_a_minute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.after(59)
        with pytest.raises(NotProven, match="no node can take the pod: 0/2 nodes"):
            waiting.after(61)

    def test_the_time_of_a_volume_begins_when_it_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.events = [Event("Normal", "TriggeredScaleUp", "pod/x", "1->2")]
        waiting.after(150)
        waiting.annotations = {"volume.kubernetes.io/selected-node": "new", "volume.kubernetes.io/storage-provisioner": "ebs.csi.aws.com"}
        waiting.after(151)
        waiting.after(270)
        with pytest.raises(NotProven, match=r"ebs\.csi\.aws\.com has made no volume for class database-local-path in 121 s and gives no"):
            waiting.after(272)

    def test_a_provisioner_may_fail_at_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        waiting.annotations = {"volume.kubernetes.io/selected-node": "new"}
        waiting.events = [Event("Warning", "ProvisioningFailed", "persistentvolumeclaim/x", "no topology key found on CSINode new")]
        waiting.after(60)
        waiting.after(89)
        with pytest.raises(NotProven, match="in 31 s: no topology key found on CSINode new"):
            waiting.after(91)

    def test_a_mount_has_more_time_while_the_image_is_pulled(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        pod = {"spec": {"nodeName": "n"}, "status": {"phase": "Pending"}}
        assert not waiting.watch.has_started(pod)
        waiting.events = [
            Event("Normal", "Pulling", "pod/x", "Pulling image"),
            Event("Warning", "FailedMount", "pod/x", "no such directory"),
        ]
        waiting.seconds = 299
        assert not waiting.watch.has_started(pod)
        waiting.events = waiting.events[1:]
        with pytest.raises(NotProven, match="the pod does not start on node n: no such directory"):
            waiting.watch.has_started(pod)

    @pytest.mark.parametrize(
        ("last", "why"),
        [
            ({"state": {"waiting": {"reason": "ImagePullBackOff"}}}, "ImagePullBackOff"),
            ({"started": True, "state": {"running": {}}}, "does not end"),
        ],
    )
    def test_a_container_that_comes_first_is_named(self, last: dict[str, Any], why: str, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        statuses = [
            {"name": "done", "ready": True, "state": {"terminated": {"reason": "Completed"}}},
            {"name": "sidecar", "started": True, "ready": False, "state": {"running": {}}},
            {"name": "mesh-init", "ready": False, **last},
        ]
        first = [{"name": "done"}, {"name": "sidecar", "restartPolicy": "Always"}, {"name": "mesh-init"}]
        spec = {"nodeName": "n", "initContainers": first}
        pod = {"spec": spec, "status": {"phase": "Pending", "initContainerStatuses": statuses}}
        assert not waiting.watch.has_started(pod)
        waiting.seconds = 121
        says = f"node n: its container mesh-init, which somebody has added, comes first: {why}; no event says why"
        with pytest.raises(NotProven, match=says):
            waiting.watch.has_started(pod)

    def test_a_cluster_that_chooses_no_user_is_explained(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)
        state = {"waiting": {"reason": "CreateContainerConfigError", "message": "container has runAsNonRoot and image will run as root"}}
        pod = {"spec": {"nodeName": "n"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "probe", "state": state}]}}
        assert not waiting.watch.has_started(pod)
        waiting.seconds = 21
        with pytest.raises(NotProven, match="image will run as root") as failed:
            waiting.watch.has_started(pod)
        assert "canary.pod.runAsUser" in failed.value.hint

    def test_an_image_that_comes_at_last_is_no_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        waiting = Waiting(monkeypatch)

        def pod(state: dict[str, Any]) -> dict[str, Any]:
            status = {"phase": "Pending", "containerStatuses": [{"name": "probe", "state": state}]}
            return {"spec": {"nodeName": "n"}, "status": status}

        assert not waiting.watch.has_started(pod({"waiting": {"reason": "ErrImagePull"}}))
        waiting.seconds = 19
        assert not waiting.watch.has_started(pod({"waiting": {"reason": "ImagePullBackOff"}}))
        assert waiting.watch.has_started(pod({"running": {}}))
        waiting.seconds = 21
        with pytest.raises(NotProven, match=r"the image python:3 can't be pulled \(ImagePullBackOff\)"):
            waiting.watch.has_started(pod({"waiting": {"reason": "ImagePullBackOff"}}))


def test_a_pod_that_admission_refuses_is_told_with_what_helps() -> None:
    message = 'pods "canary-x" is forbidden: the label team is missing'
    said = refused("ctx", ApiError("403", 403, message, path="/api/v1/namespaces/data-canary/pods"))
    assert said.sentence == f"the API of context 'ctx' refused a request of the canary (403): {message}"
    assert "`canary.pod`" in said.hint
    assert refused("ctx", ApiError("403", 403, "no", path="/api/v1/namespaces/data-canary/configmaps")).hint == ""


def test_a_namespace_that_went_with_the_cluster_is_made_by_a_refresh() -> None:
    path = "/api/v1/namespaces/data-canary/persistentvolumeclaims"
    said = refused("ctx", ApiError("404", 404, 'namespaces "data-canary" not found', path=path))
    assert "`pulumi up --refresh`" in said.hint
    assert refused("ctx", ApiError("404", 404, 'persistentvolumeclaims "x" not found', path=f"{path}/x")).hint == ""


def test_the_command_line_is_the_plan() -> None:
    arguments = [f"--{name}=x" for name in ("context", "namespace", "instance", "tier", "profile", "storage-class", "image", "probe")]
    operation, plan = driver.parse([*arguments, f"--size={CLAIM_BYTES}", "--sizes-enforced", "--limit=syncP99Ms=10.5", "prove"])
    assert operation == "prove"
    limits = (FigureLimit(LIMITED_FIGURES["syncP99Ms"], 10.5),)
    assert plan == ProofPlan("x", "x", "x", "x", "x", "x", "x", "x", CLAIM_BYTES, True, limits)


@pytest.mark.parametrize(
    ("limit", "says"), [("syncP99=1", "'syncP99' is no figure that can be limited; these are: syncP50Ms"), ("writeMBps=x", "'x'")]
)
def test_a_limit_that_is_none_is_explained(limit: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        driver.parse(["--context=x", "--namespace=x", "--instance=x", f"--limit={limit}", "prove"])
    assert says in capsys.readouterr().err


def test_a_context_that_is_not_there_is_explained_without_a_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "components.canary.driver", "--context=none", "--namespace=n", "--instance=dev"]
    variables = {**os.environ, "KUBECONFIG": str(tmp_path / "missing")}
    done = subprocess.run([*command, "sweep"], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Set KUBECONFIG to a file with the context 'none'" in done.stderr
    assert "Traceback" not in done.stderr


def test_importing_the_driver_costs_no_pulumi_and_no_official_client() -> None:
    command = [sys.executable, "-c", "import json, sys, components.canary.driver; print(json.dumps(sorted(sys.modules)))"]
    loaded = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    assert not [name for name in loaded if name.split(".")[0] in ("pulumi", "pulumi_kubernetes", "pydantic", "kubernetes")]
