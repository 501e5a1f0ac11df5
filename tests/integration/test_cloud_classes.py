"""The cloud stacks on the real engine, and their classes on a real API server: what it takes,
keeps, and replaces.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import Access
from tests.conftest import eventually
from tests.program import Program

NAMESPACE = "cloud"
SNAPSHOT_CLASSES = {"group": "snapshot.storage.k8s.io", "version": "v1", "plural": "volumesnapshotclasses"}


@pytest.mark.engine
@pytest.mark.parametrize(("stack", "provisioner"), [("aws", "ebs"), ("gcp", "gce-pd")])
def test_a_preview_needs_no_cluster_and_leaves_the_stack_file_alone(
    stack: str, provisioner: str, program_factory: Callable[..., Program]
) -> None:
    program = program_factory(stack=stack)
    made = [step["urn"].split("::")[-2:] for step in program.preview_steps()]
    names = [name for kind, name in made if kind.endswith(("StorageClass", "PersistentVolumeClaim"))]
    assert sorted(names) == ["data-kafka-0", "data-kafka-1", "data-kafka-2", "data-postgres-0", "database", "streaming"]
    assert program.stack_file.read_text() == (paths.ROOT / program.stack_file.name).read_text()


@pytest.fixture(scope="module")
def program(program_factory: Callable[..., Program], access: Access) -> Program:
    """The stack `aws` for the throw-away cluster, with every kind of class that it can have."""
    program = program_factory(access=access, stack="aws")
    tiers = yaml.safe_load(program.stack_file.read_text())["config"]["storage-tiers:tiers"]
    tiers["database"] |= {"snapshots": {"lockMode": "governance", "lockDuration": 7}, "attributes": {"fast": {"throughput": 250}}}
    program.configure(
        cluster={"context": access.context, "identifier": access.context},
        namespace={"name": NAMESPACE, "create": True},
        tiers=tiers,
        canary={"enabled": False},  # there is no EBS here
        protect=False,
    )
    return program


@pytest.fixture
def snapshot_kind(api: client.ApiClient) -> Iterator[None]:
    """The cluster knows VolumeSnapshotClass: as much of external-snapshotter's CRD as an API server
    needs.
    """
    names = {"plural": "volumesnapshotclasses", "singular": "volumesnapshotclass", "kind": "VolumeSnapshotClass"}
    fields = {"driver": {"type": "string"}, "deletionPolicy": {"type": "string", "enum": ["Delete", "Retain"]}}
    parameters = {"type": "object", "additionalProperties": {"type": "string"}}
    schema = {"type": "object", "required": [*fields], "properties": {**fields, "parameters": parameters}}
    definition: dict[str, Any] = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "volumesnapshotclasses.snapshot.storage.k8s.io"},
        "spec": {
            "group": "snapshot.storage.k8s.io",
            "scope": "Cluster",
            "names": names,
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    # The API server keeps this group for those who have the Kubernetes project's consent; the real
    # CRD carries this note as well.
    definition["metadata"]["annotations"] = {
        "api-approved.kubernetes.io": "https://github.com/kubernetes-csi/external-snapshotter/pull/814"
    }
    extensions, objects = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    extensions.create_custom_resource_definition(definition)

    def served() -> bool:
        try:
            objects.list_cluster_custom_object(**SNAPSHOT_CLASSES)
        except client.ApiException:
            return False
        return True

    eventually(served, "VolumeSnapshotClass is served")
    yield
    extensions.delete_custom_resource_definition(definition["metadata"]["name"])


@pytest.mark.cluster
class TestClasses:
    def test_a_kind_that_the_cluster_lacks_is_named_before_anything_is_made(self, program: Program, core: client.CoreV1Api) -> None:
        done = program.run("up", "--yes", "--skip-preview")
        assert done.returncode != 0
        says = "tiers.database.snapshots: VolumeSnapshotClass: the cluster has no VolumeSnapshotClass (volumesnapshotclasses of "
        assert says in done.stdout + done.stderr
        assert NAMESPACE not in {each.metadata.name for each in core.list_namespace().items}

    def test_the_cluster_takes_every_class_and_a_changed_one_replaces_no_claim(
        self, program: Program, snapshot_kind: None, api: client.ApiClient, core: client.CoreV1Api, storage: client.StorageV1Api
    ) -> None:
        program.up()
        made = storage.read_storage_class("database-ebs")
        assert made.parameters["encrypted"] == "true"
        (expression,) = made.allowed_topologies[0].match_label_expressions
        assert (expression.key, expression.values[0]) == ("topology.kubernetes.io/zone", "eu-central-1a")
        assert storage.read_volume_attributes_class("database-ebs-fast").parameters == {"throughput": "250"}
        snapshots = client.CustomObjectsApi(api).get_cluster_custom_object(**SNAPSHOT_CLASSES, name="database-ebs")
        assert snapshots["parameters"] == {"lockMode": "governance", "lockDuration": "7"}
        claims = {claim.metadata.name: claim for claim in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}
        assert claims["data-kafka-2"].spec.resources.requests == {"storage": "4Gi"}
        assert program.preview_steps() == []

        tiers = yaml.safe_load(program.stack_file.read_text())["config"]["storage-tiers:tiers"]
        tiers["database"] |= {"snapshots": {}, "attributes": {"fast": {"throughput": 500}}, "throughput": 500}
        program.configure(tiers=tiers)
        planned = {step["urn"].split("::")[-1] for step in program.preview_steps() if step["op"] in ("replace", "delete-replaced")}
        assert planned == {"database", "database-fast", "database-snapshots"}
        program.up()
        assert storage.read_storage_class("database-ebs").parameters["throughput"] == "500"
        assert storage.read_volume_attributes_class("database-ebs-fast").parameters == {"throughput": "500"}
        assert not client.CustomObjectsApi(api).get_cluster_custom_object(**SNAPSHOT_CLASSES, name="database-ebs").get("parameters")
        after = {claim.metadata.name: claim.metadata.uid for claim in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}
        assert after == {name: claim.metadata.uid for name, claim in claims.items()}

        program.destroy()
        assert not [each for each in storage.list_storage_class().items if each.metadata.name.endswith("-ebs")]
        assert not storage.list_volume_attributes_class().items
