"""The canary on clusters that ask more of a pod, add to it, or have more than one place: admission
webhooks, taints, zones, nodes that aren't ready.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from components.canary.driver import open_api
from components.canary.places import ZONE
from components.canary.plan import ProofPlan
from components.canary.spread import NotProvenIn, Spread, find_places
from components.canary.words import NotProven
from devkube.cluster import Access
from devkube.images import reference
from devkube.paths import ROOT
from tests.conftest import eventually
from tests.faults.tier import NAMESPACE, SHORT, Tiers
from tests.unit.https_server import serving

pytestmark = pytest.mark.cluster
by_webhook = pytest.mark.usefixtures("embedded")  # whose API server reaches this machine's loopback


def nothing_is_left(core: client.CoreV1Api) -> bool:
    """No pod, claim or volume of a canary."""
    volumes = [each for each in core.list_persistent_volume().items if each.spec.claim_ref.namespace == NAMESPACE]
    return not [*core.list_namespaced_pod(NAMESPACE).items, *core.list_namespaced_persistent_volume_claim(NAMESPACE).items, *volumes]


# --- what admission does --------------------------------------------------------------------------


@contextmanager
def webhook(api: client.ApiClient, folder: Path, patch: list[dict[str, Any]]) -> Iterator[None]:
    """Admission changes every pod of the canary's namespace by this JSON patch."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            encoded = base64.b64encode(json.dumps(patch).encode()).decode()
            response = {"uid": review["request"]["uid"], "allowed": True, "patchType": "JSONPatch", "patch": encoded}
            content = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    hooks = client.AdmissionregistrationV1Api(api)
    folder.mkdir()
    with serving(Handler, folder) as (address, certificate):
        bundle = base64.b64encode(Path(certificate).read_bytes()).decode()
        made = {
            "name": "pods.mesh.example.com",
            "clientConfig": {"url": f"{address}/mutate", "caBundle": bundle},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NAMESPACE}},
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
        }
        hooks.create_mutating_webhook_configuration({"metadata": {"name": "mesh"}, "webhooks": [made]})
        try:
            yield
        finally:
            hooks.delete_mutating_webhook_configuration("mesh")


def added_container(name: str, **more: Any) -> dict[str, Any]:
    """A container that never ends, and ignores being told to."""
    endless = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(100000)"
    context = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {"name": name, "image": reference("python"), "command": ["python3", "-c", endless], "securityContext": context, **more}


@by_webhook
def test_sidecars_that_never_end_are_named_and_no_fault_of_the_disk(
    tiers: Tiers, plain: str, api: client.ApiClient, core: client.CoreV1Api, tmp_path: Path
) -> None:
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": "/spec/containers/0", "value": added_container("mesh-proxy")},
        {"op": "add", "path": "/spec/initContainers", "value": [added_container("log-agent", restartPolicy="Always")]},
    ]
    with webhook(api, tmp_path / "hook", patch):
        canary = tiers.canary("streaming", plain)
        verdict = canary.prove()
    assert verdict["verdict"] == "proven"
    assert verdict["otherContainers"] == ["mesh-proxy", "log-agent"]
    told = "somebody has added to the pod: mesh-proxy, log-agent; the verdict is of the probe's own container alone"
    assert told in tiers.said
    eventually(lambda: nothing_is_left(core), "the pods with their sidecars are gone", 60)


@by_webhook
def test_a_sidecar_whose_image_is_missing_is_no_fault_either(
    tiers: Tiers, plain: str, api: client.ApiClient, core: client.CoreV1Api, tmp_path: Path
) -> None:
    broken = added_container("mesh-proxy", image="storage-tiers.local/nothing:1")
    with webhook(api, tmp_path / "hook", [{"op": "add", "path": "/spec/containers/0", "value": broken}]):
        assert tiers.canary("streaming", plain).prove()["verdict"] == "proven"
    eventually(lambda: nothing_is_left(core), "everything is gone", 60)


@by_webhook
def test_a_container_before_the_probes_that_does_not_end_is_named(
    tiers: Tiers, plain: str, api: client.ApiClient, core: client.CoreV1Api, tmp_path: Path
) -> None:
    patch = [{"op": "add", "path": "/spec/initContainers", "value": [added_container("mesh-init")]}]
    says = "its container mesh-init, which somebody has added, comes first"
    with webhook(api, tmp_path / "hook", patch), pytest.raises(NotProven, match=says):
        tiers.canary("streaming", plain, timeouts=replace(SHORT, mount=5)).prove()
    eventually(lambda: nothing_is_left(core), "everything is gone", 60)


@by_webhook
def test_a_cluster_may_choose_the_user(tiers: Tiers, plain: str, api: client.ApiClient, core: client.CoreV1Api, tmp_path: Path) -> None:
    """As OpenShift's security context constraints do it."""
    chosen = {"op": "add", "path": "/spec/securityContext/runAsUser", "value": 1000660000}
    group = {"op": "add", "path": "/spec/securityContext/fsGroup", "value": 1000660000}
    with webhook(api, tmp_path / "hook", [chosen, group]):
        assert tiers.canary("database", plain, pod={"runAsUser": None}).prove()["verdict"] == "proven"


def test_all_that_can_be_asked_for_passes_pod_security(
    tiers: Tiers, plain: str, api: client.ApiClient, core: client.CoreV1Api, node: str
) -> None:
    scheduling = client.SchedulingV1Api(api)
    scheduling.create_priority_class({"metadata": {"name": "storage"}, "value": 1000})
    core.create_namespaced_service_account(NAMESPACE, {"metadata": {"name": "canary"}})
    core.patch_node(node, {"metadata": {"labels": {"example.com/pool": "storage"}}})
    taint = {"key": "dedicated", "value": "storage", "effect": "NoSchedule"}
    core.patch_node(node, {"spec": {"taints": [taint]}})
    asked = {
        "labels": {"team": "storage"},
        "annotations": {"example.com/owner": "storage"},
        "nodeSelector": {"example.com/pool": "storage"},
        "tolerations": [{"key": "dedicated", "value": "storage", "effect": "NoSchedule"}],
        "imagePullSecrets": [{"name": "registry"}],
        "priorityClassName": "storage",
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
        "serviceAccountName": "canary",
        "runAsUser": 1000,
    }
    try:
        with pytest.raises(NotProven, match=r"no node can take the pod: .*untolerated taint") as refused:
            tiers.canary("streaming", plain, pod={**asked, "tolerations": []}).prove()
        assert "canary.pod" in refused.value.hint
        assert tiers.canary("streaming", plain, pod=asked).prove()["verdict"] == "proven"
    finally:
        core.patch_node(node, {"metadata": {"labels": {"example.com/pool": None}}, "spec": {"taints": None}})
        scheduling.delete_priority_class("storage")
        core.delete_namespaced_service_account("canary", NAMESPACE)


# --- more than one place --------------------------------------------------------------------------


_numbers = itertools.count(1)


@contextmanager
def another_node(core: client.CoreV1Api, zone: str, *, cordoned: bool) -> Iterator[str]:
    """A node on which nothing ever runs, because it has no kubelet.

    Its name is a new one each time: Kubernetes' controller remembers for a while how long a node of
    some name has been silent, and taints the next one of that name as well.
    """
    name = f"without-kubelet-{next(_numbers)}"
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/hostname": name, ZONE: zone}
    core.create_node({"metadata": {"name": name, "labels": labels}, "spec": {"unschedulable": cordoned}})
    room = {"cpu": "4", "memory": "8Gi", "pods": "20"}
    condition = {"type": "Ready", "status": "True", "reason": "Test", "message": "so it seems"}
    core.patch_node_status(name, {"status": {"capacity": room, "allocatable": room, "conditions": [condition]}})
    try:
        if not cordoned:
            eventually(lambda: not core.read_node(name).spec.taints, "the node seems ready", 30)
        yield name
    finally:
        for pod in core.list_pod_for_all_namespaces(field_selector=f"spec.nodeName={name}").items:
            core.delete_namespaced_pod(pod.metadata.name, pod.metadata.namespace, grace_period_seconds=0)
        core.delete_node(name)


@pytest.fixture
def zoned(core: client.CoreV1Api, storage: client.StorageV1Api, node: str) -> Iterator[str]:
    """A class of two zones; the cluster's node is in the first."""
    core.patch_node(node, {"metadata": {"labels": {ZONE: "zone-1"}}})
    manifest = {
        "metadata": {"name": "zoned", "annotations": {"defaultVolumeType": "local"}},
        "provisioner": "rancher.io/local-path",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["zone-1", "zone-2"]}]}],
    }
    try:
        storage.create_storage_class(manifest)
        yield "zoned"
        storage.delete_storage_class("zoned")
    finally:
        core.patch_node(node, {"metadata": {"labels": {ZONE: None}}})


def prove_in_places(tiers: Tiers, storage_class: str, **changes: Any) -> dict[str, Any]:
    """What the driver does."""
    plan = tiers.canary("streaming", storage_class, **changes).plan
    places = find_places(open_api(plan.context), plan, tiers.said.append)
    assert places
    return Spread(lambda: open_api(plan.context), plan, tiers.said.append, SHORT).prove(places)


def test_a_zone_without_a_node_says_so(tiers: Tiers, zoned: str, core: client.CoreV1Api, node: str) -> None:
    verdict = prove_in_places(tiers, zoned)
    missing, proven = verdict["places"]
    assert missing == {
        "zone": "zone-2",
        "verdict": "not-proven",
        "reason": "no node in zone zone-2: none has the label topology.kubernetes.io/zone=zone-2",
    }
    assert (proven["zone"], proven["verdict"], proven["node"]) == ("zone-1", "proven", node)
    assert proven["syncMs"] == verdict["syncMs"]
    assert verdict["verdict"] == "proven"
    assert nothing_is_left(core)


def test_a_zone_that_makes_no_volume_fails_the_tier_and_is_named(tiers: Tiers, zoned: str, core: client.CoreV1Api) -> None:
    with another_node(core, "zone-2", cordoned=False):
        with pytest.raises(NotProvenIn) as failed:
            prove_in_places(tiers, zoned)
        assert str(failed.value.worst.place) == "zone zone-2"
        assert "rancher.io/local-path has made no volume for class zoned" in failed.value.sentence
        assert [str(outcome).partition(",")[0] for outcome in failed.value.others] == ["zone zone-1: proven"]
    eventually(lambda: nothing_is_left(core), "everything is gone", 60)


def test_each_node_is_proven_and_one_that_is_cordoned_is_told(tiers: Tiers, plain: str, core: client.CoreV1Api, node: str) -> None:
    with another_node(core, "zone-1", cordoned=True) as cordoned:
        verdict = prove_in_places(tiers, plain, spread="nodes")
    assert [(each["node"], each["verdict"], each["reason"]) for each in verdict["places"]] == [
        (cordoned, "not-proven", f"node {cordoned} is cordoned"),
        (node, "proven", ""),
    ]
    assert verdict["spread"] == "nodes"
    assert nothing_is_left(core)


def start_driver(access: Access, plan: ProofPlan) -> subprocess.Popen[str]:
    """The driver as Pulumi starts it."""
    command = [sys.executable, "-m", "components.canary.driver", f"--context={plan.context}", f"--namespace={plan.namespace}"]
    command += [f"--instance={plan.instance}", f"--tier={plan.tier}", f"--profile={plan.profile}", f"--storage-class={plan.storage_class}"]
    command += [f"--image={plan.image}", f"--probe={plan.probe}", f"--size={plan.size}", "prove"]
    variables = {**os.environ, "KUBECONFIG": str(access.kubeconfig)}
    return subprocess.Popen(command, cwd=ROOT, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def have_begun(core: client.CoreV1Api) -> bool:
    """Both canaries have a claim and a pod."""
    return len(core.list_namespaced_pod(NAMESPACE).items) == len(core.list_namespaced_persistent_volume_claim(NAMESPACE).items) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_driver_cleans_up_in_all_places(
    number: signal.Signals, tiers: Tiers, zoned: str, access: Access, core: client.CoreV1Api
) -> None:
    with another_node(core, "zone-2", cordoned=False):
        driver = start_driver(access, tiers.canary("streaming", zoned).plan)
        eventually(lambda: have_begun(core), "both canaries have begun", 60)
        driver.send_signal(number)
        shown, said = driver.communicate(timeout=60)
        assert (driver.returncode, shown) == (130, ""), said
        assert said.endswith("interrupted; what the canary had made is being removed\n")
        assert "Traceback" not in said
        # A claim whose volume is just being made is left for the next run.
        tiers.canary("streaming", zoned).sweep()
    eventually(lambda: nothing_is_left(core), "everything is gone", 60)


def test_what_a_killed_driver_left_in_all_places_is_swept(tiers: Tiers, zoned: str, access: Access, core: client.CoreV1Api) -> None:
    with another_node(core, "zone-2", cordoned=False):
        driver = start_driver(access, tiers.canary("streaming", zoned).plan)
        eventually(lambda: have_begun(core), "both canaries have begun", 60)
        driver.kill()
        driver.communicate(timeout=60)
        assert not nothing_is_left(core)
        tiers.canary("streaming", zoned).sweep()
    eventually(lambda: nothing_is_left(core), "everything is gone", 60)
