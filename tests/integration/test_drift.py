"""`python -m ops drift` on the real cluster: each kind of drift made by hand, found, and named.

It runs as a user who may only look.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from components.kube import labels
from devkube.cluster import Access
from tests import kubeconfig
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.integration.test_docs import files
from tests.integration.test_guarded_changes import bind
from tests.program import Program

pytestmark = pytest.mark.cluster

NAMESPACE = "data"
CLAIM = "data-kafka-0"
CLASS = "streaming-local-path"
USER = "drift"


@dataclass(frozen=True)
class Stack:
    """The stack that is looked at, and its cluster.

    `variables` are those of a user who may get and list, and no more.
    """

    program: Program
    core: client.CoreV1Api
    storage: client.StorageV1Api
    variables: dict[str, str]

    def drift(self, *options: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops.start", "drift", "--stack", "dev", *options],
            cwd=self.program.folder,
            env={**self.variables, **changed},
            capture_output=True,
            text=True,
            timeout=120,
        )

    def found(self) -> list[tuple[str, str, str, str]]:
        """What is found to differ: object, what, declared, found."""
        done = self.drift("--json")
        assert done.stderr == ""
        differences = json.loads(done.stdout)["drift"]
        assert done.returncode == (1 if differences else 0)
        assert all(each["todo"] for each in differences)
        return [(each["object"]["name"], each["what"], each["declared"], each["found"]) for each in differences]

    def claim(self) -> Any:
        return self.core.read_namespaced_persistent_volume_claim(CLAIM, NAMESPACE)

    def label_volume(self, changed: dict[str, str | None]) -> None:
        self.core.patch_persistent_volume(self.claim().spec.volume_name, {"metadata": {"labels": changed}})


@pytest.fixture(scope="module")
def stack(
    program_factory: Callable[..., Program], access: Access, api: client.ApiClient, busybox: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The dev stack without its canary, with one bound claim whose volume says whose it is."""
    program, core = program_factory(access=access), client.CoreV1Api(api)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    program.up()
    bind(core, busybox, CLAIM)
    file = tmp_path_factory.mktemp("drift") / "kubeconfig"
    kubeconfig.write(access, file, access.context, token=kubeconfig.service_account(core, USER))
    stack = Stack(program, core, client.StorageV1Api(api), {**program.variables, "KUBECONFIG": str(file)})
    stack.label_volume({**labels.of_stack("dev"), labels.NAME: "kafka", labels.COMPONENT: "streaming", "storage-tiers/ordinal": "0"})
    yield stack
    program.destroy()
    remove_volumes(core)
    core.delete_namespaced_service_account(USER, "default")


@pytest.fixture(scope="module", autouse=True)
def role(stack: Stack, api: client.ApiClient) -> Iterator[None]:
    """The role of docs/drift.md for that user.

    Before it has the role, it is told which right it lacks.
    """
    done = stack.drift()
    assert done.returncode == 3, done.stdout + done.stderr
    assert "answered 403 Forbidden for /api" in done.stderr
    assert "see docs/drift.md" in done.stderr
    rbac = client.RbacAuthorizationV1Api(api)
    role = yaml.safe_load(files("drift.md")["drift-role.yaml"])
    name = role["metadata"]["name"]
    rbac.create_cluster_role(role)
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": USER, "namespace": "default"}
    rbac.create_cluster_role_binding({"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})
    yield
    rbac.delete_cluster_role_binding(name)
    rbac.delete_cluster_role(name)


def test_after_an_up_there_is_none_for_whoever_may_only_look(stack: Stack) -> None:
    done = stack.drift()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "Stack dev: its 9 objects in the cluster are as declared.\n"


def test_changed_fields_are_found_and_an_up_with_refresh_puts_them_back(stack: Stack) -> None:
    edited = stack.storage.read_storage_class(CLASS)
    stack.storage.delete_storage_class(CLASS)
    edited.reclaim_policy, edited.metadata = (
        "Delete",
        {"name": CLASS, "labels": edited.metadata.labels, "annotations": edited.metadata.annotations},
    )
    stack.storage.create_storage_class(edited)
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    stack.storage.patch_storage_class("database-local-path", {"metadata": {"annotations": default}})
    hard = {f"{CLASS}.storageclass.storage.k8s.io/persistentvolumeclaims": "9"}
    stack.core.patch_namespaced_resource_quota(CLASS, NAMESPACE, {"spec": {"hard": hard}})
    stack.core.patch_namespaced_persistent_volume_claim(CLAIM, NAMESPACE, {"metadata": {"labels": {labels.INSTANCE: "other"}}})
    assert sorted(stack.found()) == [
        (CLAIM, f"metadata.labels.{labels.INSTANCE}", "dev", "other"),
        ("database-local-path", f"metadata.annotations.{next(iter(default))}", "false", "true"),
        (CLASS, "reclaimPolicy", "Retain", "Delete"),
        (CLASS, f"spec.hard.{next(iter(hard))}", "3", "9"),
    ]
    shown = stack.drift()
    assert shown.returncode == 1
    assert "Stack dev: 4 differences in 4 objects." in shown.stdout
    before = stack.claim().metadata.uid
    stack.program.up("--refresh")
    assert stack.found() == []
    assert stack.claim().metadata.uid == before


def test_what_a_platform_adds_is_none_and_can_be_looked_at(stack: Stack) -> None:
    labels_of_it = {"field.cattle.io/projectId": "p-1", "pod-security.kubernetes.io/warn": "restricted"}
    notes = {"openshift.io/sa.scc.uid-range": "1000680000/10000"}
    stack.core.patch_namespace(NAMESPACE, {"metadata": {"labels": labels_of_it, "annotations": notes}})
    assert stack.found() == []
    shown = stack.drift("--all")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "as declared" in shown.stdout
    added = {each["what"]: each["found"] for each in json.loads(stack.drift("--json").stdout)["undeclared"]}
    expected = {f"metadata.labels.{key}": value for key, value in labels_of_it.items()}
    assert added == {**expected, **{f"metadata.annotations.{key}": value for key, value in notes.items()}}
    gone = {"labels": dict.fromkeys(labels_of_it), "annotations": dict.fromkeys(notes)}
    stack.core.patch_namespace(NAMESPACE, {"metadata": gone})


def test_what_nobody_declared_and_storage_reads_is_found_and_goes_by_the_way_that_is_named(stack: Stack) -> None:
    beta = "storageclass.beta.kubernetes.io/is-default-class"
    options = {"mountOptions": ["noatime"], "allowVolumeExpansion": True}
    stack.storage.patch_storage_class(CLASS, {"metadata": {"annotations": {beta: "true"}}, **options})
    made = client.ApiClient().sanitize_for_serialization(stack.storage.read_storage_class("database-local-path"))
    stack.storage.delete_storage_class("database-local-path")
    metadata = {key: made["metadata"][key] for key in ("name", "labels", "annotations")}
    stack.storage.create_storage_class({**made, "metadata": metadata, "parameters": {"nodePath": "/fast"}})
    stack.core.patch_namespaced_resource_quota(CLASS, NAMESPACE, {"spec": {"hard": {"pods": "70"}}})
    differences = json.loads(stack.drift("--json").stdout)["drift"]
    assert sorted((each["object"]["name"], each["what"], each["found"]) for each in differences) == [
        ("database-local-path", "parameters", '{"nodePath": "/fast"}'),
        (CLASS, "allowVolumeExpansion", "true"),
        (CLASS, f"metadata.annotations.{beta}", "true"),
        (CLASS, "mountOptions", '["noatime"]'),
        (CLASS, "spec.hard.pods", "70"),
    ]
    uid = stack.storage.read_storage_class(CLASS).metadata.uid
    stack.program.up("--refresh")
    assert {what for _, what, _, _ in stack.found()} == {"parameters", f"metadata.annotations.{beta}", "mountOptions", "spec.hard.pods"}
    assert stack.storage.read_storage_class(CLASS).metadata.uid == uid, "allowVolumeExpansion is updated in place"
    todo = {each["what"]: each["todo"] for each in differences}
    assert todo[f"metadata.annotations.{beta}"] == f"storage reads it: `kubectl annotate storageclass {CLASS} {beta}-`"
    stack.storage.patch_storage_class(CLASS, {"metadata": {"annotations": {beta: None}}})
    assert "`kubectl delete storageclass database-local-path`" in todo["parameters"]
    stack.storage.delete_storage_class("database-local-path")
    assert f"`kubectl delete storageclass {CLASS}`" in todo["mountOptions"]
    stack.storage.delete_storage_class(CLASS)
    assert f"`kubectl -n {NAMESPACE} delete resourcequota {CLASS}`" in todo["spec.hard.pods"]
    stack.core.delete_namespaced_resource_quota(CLASS, NAMESPACE)
    stack.program.up("--refresh")
    assert stack.found() == []


def test_a_volume_that_lost_its_protection_or_its_name(stack: Stack) -> None:
    volume = stack.claim().spec.volume_name
    stack.core.patch_persistent_volume(volume, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}})
    stack.label_volume({labels.INSTANCE: "other", "storage-tiers/ordinal": None})
    assert sorted(stack.found()) == [
        (
            volume,
            "metadata.labels: whose data it holds",
            "kafka 0 of stack dev, tier streaming",
            f"{labels.INSTANCE}=other, storage-tiers/ordinal=(none)",
        ),
        (volume, "spec.persistentVolumeReclaimPolicy", "Retain", "Delete"),
    ]
    stack.core.patch_persistent_volume(volume, {"spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    stack.label_volume({labels.INSTANCE: "dev", "storage-tiers/ordinal": "0"})


def test_a_volume_reserved_for_a_claim_that_has_another(stack: Stack) -> None:
    volume = stack.core.read_persistent_volume(stack.claim().spec.volume_name)
    spec = {
        "capacity": {"storage": "3380Mi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": CLASS,
        "persistentVolumeReclaimPolicy": "Retain",
        "claimRef": {"namespace": NAMESPACE, "name": CLAIM},
        "local": {"path": "/nowhere"},
        "nodeAffinity": client.ApiClient().sanitize_for_serialization(volume.spec.node_affinity),
    }
    stack.core.create_persistent_volume({"metadata": {"name": "reserved"}, "spec": spec})
    found = stack.found()
    stack.core.delete_persistent_volume("reserved")
    assert found == [("reserved", "is reserved for a claim", f"{NAMESPACE}/{CLAIM}", f"that has {volume.metadata.name}")]


def test_a_claim_that_was_deleted_or_is_being_deleted(stack: Stack) -> None:
    stack.core.delete_namespaced_persistent_volume_claim("data-kafka-1", NAMESPACE)
    finalizer = {"metadata": {"finalizers": ["storage-tiers/test"]}}  # as if a pod still used it
    stack.core.patch_namespaced_persistent_volume_claim("data-kafka-2", NAMESPACE, finalizer)
    stack.core.delete_namespaced_persistent_volume_claim("data-kafka-2", NAMESPACE)
    since = stack.core.read_namespaced_persistent_volume_claim("data-kafka-2", NAMESPACE).metadata.deletion_timestamp
    found = sorted(stack.found())
    stack.core.patch_namespaced_persistent_volume_claim("data-kafka-2", NAMESPACE, {"metadata": {"finalizers": None}})
    assert found == [
        ("data-kafka-1", "exists", "yes", "no"),
        ("data-kafka-2", "is being deleted", "no", f"since {since:%Y-%m-%dT%H:%M:%SZ}"),
    ]
    stack.program.up("--refresh")
    assert stack.found() == []


def test_a_claim_with_the_stacks_labels_that_is_not_its_own(stack: Stack) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": "somebodys"}
    stack.core.create_namespaced_persistent_volume_claim(
        NAMESPACE, {"metadata": {"name": "mine", "labels": labels.of_stack("dev")}, "spec": spec}
    )
    assert stack.found() == [("mine", f"metadata.labels.{labels.INSTANCE}", "(none)", "dev")]
    stack.core.delete_namespaced_persistent_volume_claim("mine", NAMESPACE)


def test_a_volume_that_is_being_deleted(stack: Stack) -> None:
    volume = stack.claim().spec.volume_name
    stack.core.delete_persistent_volume(volume)
    since = f"{stack.core.read_persistent_volume(volume).metadata.deletion_timestamp:%Y-%m-%dT%H:%M:%SZ}"
    assert stack.found() == [(volume, "is being deleted", "no", f"since {since}")]
    (listed,) = json.loads(stack.program.ops("volumes", "--json").stdout)["volumes"]
    assert [problem["mark"] for problem in listed["problems"]] == ["being deleted"]
    refused = stack.program.ops("volumes", "adopt")
    assert refused.returncode == 1
    assert f"the volume {volume} is being deleted, and goes with the claim; its data is declared as kept-kafka-0-" in refused.stderr
    (kept,) = (each for each in stack.core.list_persistent_volume().items if each.metadata.name != volume)
    assert kept.spec.local.path == stack.core.read_persistent_volume(volume).spec.local.path
    eventually(lambda: stack.core.read_persistent_volume(kept.metadata.name).status.phase == "Released", "no claim takes it by itself")
    assert stack.found() == [(volume, "is being deleted", "no", f"since {since}")]
    stack.core.delete_persistent_volume(kept.metadata.name)


def test_a_claim_whose_volume_is_lost(stack: Stack) -> None:
    volume = stack.claim().spec.volume_name
    folder = Path(stack.core.read_persistent_volume(volume).spec.local.path)
    stack.core.delete_persistent_volume(volume)
    stack.core.patch_persistent_volume(volume, {"metadata": {"finalizers": None}})
    eventually(lambda: bool(stack.claim().status.phase == "Lost"), "the claim is Lost")
    assert stack.found() == [(CLAIM, "status.phase", "Bound", "Lost")]
    shutil.rmtree(folder, ignore_errors=True)


def test_where_nothing_can_be_seen_it_is_not_said_that_all_is_well(stack: Stack, tmp_path: Path, access: Access) -> None:
    silent = kubeconfig.write(access, tmp_path / "silent", access.context, server="https://127.0.0.1:1", token="none")
    for changed, words in (
        ({"KUBECONFIG": str(silent)}, "does not answer"),
        ({"KUBECONFIG": str(tmp_path / "none")}, "can't be reached"),
        ({"PULUMI_BACKEND_URL": tmp_path.as_uri()}, "the state of stack dev can't be read"),
    ):
        done = stack.drift("--json", **changed)
        assert done.returncode == 3, done.stdout + done.stderr
        assert words in done.stderr
        assert done.stdout == ""
