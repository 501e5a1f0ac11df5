"""What runs in or against the cluster on our behalf has the rights that it uses and no more, and
leaves no secret anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from components.canary import manifests
from components.canary.plan import ProofPlan
from devkube.cluster import Cluster, EmbeddedCluster, embedded, kind
from devkube.cluster import layout as layouts
from devkube.cluster.daemons import Daemon, wait_for
from devkube.cluster.local_path import NAMESPACE as PROVISIONER_NAMESPACE
from tests.conftest import eventually
from tests.kubeconfig import client_of

not_embedded = "; ".join(embedded.lacking()) or ("" if kind.lacking() else "this machine's clusters are Kind's")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(bool(not_embedded), reason=f"the provisioner and its rights are those of an embedded cluster: {not_embedded}"),
]

USER = "local-path-provisioner"
HELPER = f"system:serviceaccount:{PROVISIONER_NAMESPACE}:local-path-helper"
NAMESPACE = "rights"


@pytest.fixture(scope="module")
def layout(cluster: Cluster) -> layouts.Layout:
    assert isinstance(cluster, EmbeddedCluster)
    found = layouts.load(cluster.identity)
    assert found
    return found


@pytest.fixture(scope="module")
def core(api: client.ApiClient) -> Iterator[client.CoreV1Api]:
    """With a namespace for these tests."""
    core = client.CoreV1Api(api)
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    eventually(
        lambda: bool(core.list_namespaced_service_account(NAMESPACE, field_selector="metadata.name=default").items), "a service account"
    )
    yield core
    core.delete_namespace(NAMESPACE)


def forbidden(attempt: Callable[[], object], what: str) -> None:
    """The API refuses it for want of a right."""
    with pytest.raises(ApiException) as refused:
        attempt()
    assert refused.value.status == 403, f"{what}: {refused.value}"


def test_the_provisioner_tries_more_and_is_refused(layout: layouts.Layout, core: client.CoreV1Api) -> None:
    as_provisioner = client_of(layout.kubeconfig(USER))
    mine = client.CoreV1Api(as_provisioner)
    rights = client.RbacAuthorizationV1Api(as_provisioner)
    classes = client.StorageV1Api(as_provisioner)
    pod = {"metadata": {"name": "x"}, "spec": {"containers": [{"name": "x", "image": "x"}]}}
    name = {"metadata": {"name": "x"}}
    admin = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    binding = {**name, "roleRef": admin, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}]}
    everything = {**name, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}
    attempts: dict[str, Callable[[], object]] = {
        "secrets of all namespaces": mine.list_secret_for_all_namespaces,
        "secrets of its own namespace": lambda: mine.list_namespaced_secret(PROVISIONER_NAMESPACE),
        "a token of its helper's account": lambda: mine.create_namespaced_service_account_token(
            "local-path-helper", PROVISIONER_NAMESPACE, {"spec": {}}
        ),
        "pods of all namespaces": mine.list_pod_for_all_namespaces,
        "pods of another namespace": lambda: mine.list_namespaced_pod(NAMESPACE),
        "a pod in another namespace": lambda: mine.create_namespaced_pod(NAMESPACE, pod),
        "exec": lambda: mine.connect_post_namespaced_pod_exec("x", PROVISIONER_NAMESPACE, command="id"),
        "config maps of another namespace": lambda: mine.list_namespaced_config_map(NAMESPACE),
        "its own scripts": lambda: mine.patch_namespaced_config_map("local-path-scripts", PROVISIONER_NAMESPACE, {"data": {"setup": "id"}}),
        "the list of nodes": mine.list_node,
        "a node": lambda: mine.patch_node("storage-tiers", {"metadata": {"labels": {"x": "x"}}}),
        "deletion of a claim": lambda: mine.delete_namespaced_persistent_volume_claim("x", NAMESPACE),
        "a claim": lambda: mine.patch_namespaced_persistent_volume_claim("x", NAMESPACE, {"metadata": {"labels": {"x": "x"}}}),
        "a namespace": lambda: mine.create_namespace(name),
        "deletion of a namespace": lambda: mine.delete_namespace(NAMESPACE),
        "a class": lambda: classes.create_storage_class({**name, "provisioner": "x"}),
        "deletion of a class": lambda: classes.delete_storage_class("x"),
        "to be administrator": lambda: rights.create_cluster_role_binding(binding),
        "to be administrator of its namespace": lambda: rights.create_namespaced_role_binding(PROVISIONER_NAMESPACE, binding),
        "a wider role": lambda: rights.patch_cluster_role(USER, {"rules": everything["rules"]}),
        "a new role": lambda: rights.create_cluster_role(everything),
    }
    for what, attempt in attempts.items():
        forbidden(attempt, what)
    for group in ("system:masters", "kubeadm:cluster-admins"):
        as_provisioner.set_default_header("Impersonate-User", "admin")
        as_provisioner.set_default_header("Impersonate-Group", group)
        forbidden(mine.list_node, f"to pass for a member of {group}")


def test_its_helper_pods_have_no_token_and_their_account_no_rights(core: client.CoreV1Api, api: client.ApiClient) -> None:
    account = core.read_namespaced_service_account("local-path-helper", PROVISIONER_NAMESPACE)
    assert account.automount_service_account_token is False
    asked = client.AuthorizationV1Api(api)
    for verb, group, resource in [
        ("get", "", "secrets"),
        ("list", "", "pods"),
        ("create", "", "pods"),
        ("get", "", "configmaps"),
        ("get", "", "nodes"),
        ("list", "", "persistentvolumes"),
        ("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ]:
        for where in (PROVISIONER_NAMESPACE, NAMESPACE, ""):
            attributes = {"namespace": where, "verb": verb, "group": group, "resource": resource}
            review = {"spec": {"user": HELPER, "groups": ["system:serviceaccounts"], "resourceAttributes": attributes}}
            assert not asked.create_subject_access_review(review).status.allowed, attributes


@pytest.mark.parametrize("role", ["write", "read"])
def test_a_canary_pod_has_no_token(role: str, core: client.CoreV1Api, cluster: Cluster) -> None:
    """The API server accepts the manifest under Pod Security `restricted`, and mounts no token into
    the pod.
    """
    core.patch_namespace(NAMESPACE, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    plan = ProofPlan(
        context="", namespace=NAMESPACE, instance="x", tier="database", profile="database", storage_class="x", image="x", probe="x",
        size=1, sizes_enforced=False,
    )  # fmt: skip
    made = core.create_namespaced_pod(NAMESPACE, manifests.pod(plan, "0123456789abcdef", role, []), dry_run="All")
    assert [volume.name for volume in made.spec.volumes] == ["volume", "probe"]
    assert not any("serviceaccount" in mount.mount_path for container in made.spec.containers for mount in container.volume_mounts)


POLICY = f"""apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {{level: Metadata, users: ["{USER}"]}}
- {{level: None}}
"""


def test_what_is_granted_is_what_is_used(
    cluster: Cluster, core: client.CoreV1Api, api: client.ApiClient, busybox: str, tmp_path: Path
) -> None:
    """An API server that keeps an audit of the provisioner's requests sees each right used: start,
    volume made, volume deleted.
    """
    assert isinstance(cluster, EmbeddedCluster)
    layout = layouts.load(cluster.identity)
    assert layout
    log, policy = tmp_path / "audit.log", tmp_path / "policy.yaml"
    policy.write_text(POLICY)
    pids = layout.run / "pids"
    audited = restarted("kube-apiserver", layout, [f"--audit-policy-file={policy}", f"--audit-log-path={log}"])
    try:
        wait_for(lambda: ready(core), "does not answer", [audited], 60)
        restarted(USER, layout, [])
        use_and_delete_a_volume(core, client.StorageV1Api(api), busybox)
    finally:
        audited.stop()
        assert Daemon("kube-apiserver", [], layout.logs, pids).process() is None
        cluster.start()
    used: set[tuple[str, str, str]] = set()
    refused: set[tuple[str, str, str]] = set()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        target = event.get("objectRef")
        if target:
            resource = "/".join(target[part] for part in ("resource", "subresource") if part in target)
            request = (event["verb"], target.get("apiGroup", ""), resource)
            (refused if event["responseStatus"]["code"] == 403 else used).add(request)
    rights = client.RbacAuthorizationV1Api(api)
    rules = [*rights.read_cluster_role(USER).rules, *rights.read_namespaced_role(USER, PROVISIONER_NAMESPACE).rules]
    granted = {(verb, group, each) for rule in rules for verb in rule.verbs for group in rule.api_groups for each in rule.resources}
    assert refused - used == set(), "while it starts, an API server refuses for a moment what it allows later"
    # A repeated event becomes a patch of the first one; that takes a fault that lasts.
    assert granted - used <= {("patch", "", "events")}


def restarted(name: str, layout: layouts.Layout, added: list[str]) -> Daemon:
    """The cluster's daemon anew, with further arguments."""
    old = Daemon(name, [], layout.logs, layout.run / "pids")
    process = old.process()
    assert process
    command, environment = process.cmdline(), process.environ()
    old.stop()
    new = Daemon(name, [*command, *added], layout.logs, layout.run / "pids", {"PATH": environment["PATH"]})
    new.start()
    return new


def ready(core: client.CoreV1Api) -> bool:
    try:
        core.list_namespace(_request_timeout=5)
    except Exception:
        return False
    return True


def use_and_delete_a_volume(core: client.CoreV1Api, storage: client.StorageV1Api, image: str) -> None:
    storage.create_storage_class(
        {"metadata": {"name": NAMESPACE}, "provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}
    )
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": NAMESPACE, "resources": {"requests": {"storage": "1Mi"}}}
    core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": "rights"}, "spec": spec})
    container: dict[str, Any] = {"name": "x", "image": image, "command": ["true"], "volumeMounts": [{"name": "x", "mountPath": "/x"}]}
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}
    container["securityContext"] = {**security, "runAsNonRoot": True, "runAsUser": 65532}
    volumes = [{"name": "x", "persistentVolumeClaim": {"claimName": "rights"}}]
    pod_spec = {"restartPolicy": "Never", "automountServiceAccountToken": False, "containers": [container], "volumes": volumes}
    core.create_namespaced_pod(NAMESPACE, {"metadata": {"name": "rights"}, "spec": pod_spec})
    eventually(lambda: core.read_namespaced_pod("rights", NAMESPACE).status.phase == "Succeeded", "the pod has run")
    core.delete_namespaced_pod("rights", NAMESPACE)
    core.delete_namespaced_persistent_volume_claim("rights", NAMESPACE)
    storage.delete_storage_class(NAMESPACE)
    eventually(
        lambda: not [each for each in core.list_persistent_volume().items if each.spec.storage_class_name == NAMESPACE],
        "the volume is deleted",
    )
