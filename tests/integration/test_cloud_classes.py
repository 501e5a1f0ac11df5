"""The cloud stacks on the real engine, and their classes on a real API server: what it takes,
keeps, and replaces; what stays for the volumes that name it, and how such a volume comes back.

The tests of the class run in the order of the file, on one stack.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from components.kube.attributes import TAKEN_OFF
from components.kube.ownership import Stamp
from devkube import paths
from devkube.cluster import Access
from tests.conftest import eventually
from tests.program import Program

NAMESPACE = "cloud"
PLAIN = "database-ebs-fast"  # the name of a VolumeAttributesClass before it had a hash
CLAIM, VOLUME = "data-postgres-0", "pvc-of-postgres"
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


@pytest.fixture(scope="module")
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

    def test_the_cluster_takes_every_class(
        self, program: Program, snapshot_kind: None, api: client.ApiClient, core: client.CoreV1Api, storage: client.StorageV1Api
    ) -> None:
        program.up()
        made = storage.read_storage_class("database-ebs")
        assert made.parameters["encrypted"] == "true"
        (expression,) = made.allowed_topologies[0].match_label_expressions
        assert (expression.key, expression.values[0]) == ("topology.kubernetes.io/zone", "eu-central-1a")
        (name,) = attributes_classes(storage)
        assert re.fullmatch(rf"{PLAIN}-[0-9a-f]{{8}}", name)
        assert attributes_classes(storage)[name] == {"throughput": "250"}
        snapshots = client.CustomObjectsApi(api).get_cluster_custom_object(**SNAPSHOT_CLASSES, name="database-ebs")
        assert snapshots["parameters"] == {"lockMode": "governance", "lockDuration": "7"}
        claims = {claim.metadata.name: claim for claim in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}
        assert claims["data-kafka-2"].spec.resources.requests == {"storage": "4Gi"}
        assert program.preview_steps() == []

    def test_a_destroy_with_a_state_of_the_version_before_is_refused_while_a_volume_names_a_class(
        self, program: Program, core: client.CoreV1Api, storage: client.StorageV1Api, tmp_path: Path
    ) -> None:
        back_to_the_version_before(program, storage, tmp_path / "state.json")
        core.create_persistent_volume(released_volume(core))
        eventually(lambda: core.read_persistent_volume(VOLUME).status.phase == "Released", "the volume is Released")
        done = program.run("destroy", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert f"{PLAIN}: volume {VOLUME}" in done.stdout + done.stderr
        assert "Run `pulumi up` once" in done.stdout + done.stderr
        assert {step["urn"].split("::")[-1]: step["op"] for step in program.preview_steps()} == {"destroy-guard": "update"}

    def test_a_changed_class_replaces_no_claim_and_no_class_that_volumes_name(
        self, program: Program, api: client.ApiClient, core: client.CoreV1Api, storage: client.StorageV1Api
    ) -> None:
        before = uids(core)
        assert not has_room_to_restore(core)
        settings = yaml.safe_load(program.stack_file.read_text())["config"]
        tiers, services = settings["storage-tiers:tiers"], settings["storage-tiers:services"]
        tiers["database"] |= {"snapshots": {}, "attributes": {"fast": {"throughput": 500}}, "throughput": 500}
        services["postgres"] |= {"restores": 1}
        program.configure(tiers=tiers, services=services)
        steps = {step["urn"].split("::")[-1]: step["op"] for step in program.preview_steps()}
        (made,) = [name for name, kind in steps.items() if kind == "create"]
        assert made.startswith("database-fast-")
        replaced = {name for name, kind in steps.items() if kind in ("replace", "delete-replaced", "create-replacement")}
        assert replaced == {"database", "database-snapshots"}
        assert {name for name, kind in steps.items() if kind == "update"} == {"destroy-guard", "quota-database"}
        program.up()
        assert storage.read_storage_class("database-ebs").parameters["throughput"] == "500"
        assert attributes_classes(storage) == {
            PLAIN: {"throughput": "250"},
            made.replace("database", "database-ebs"): {"throughput": "500"},
        }
        assert not client.CustomObjectsApi(api).get_cluster_custom_object(**SNAPSHOT_CLASSES, name="database-ebs").get("parameters")
        assert uids(core) == before
        eventually(lambda: has_room_to_restore(core), "the quota has room for a restored volume")

        tiers["database"]["attributes"] = {"fast": {"throughput": 250}}
        program.configure(tiers=tiers)
        assert program.preview_steps() == [], "the figures are back, and so is their class"

    def test_a_destroy_leaves_what_a_volume_names_and_the_next_up_has_it(
        self, program: Program, core: client.CoreV1Api, storage: client.StorageV1Api
    ) -> None:
        said = program.destroy()
        assert f"VolumeAttributesClass {PLAIN} stays: volume {VOLUME}." in said
        eventually(lambda: list(attributes_classes(storage)) == [PLAIN], "what nothing names is gone")
        assert not storage.read_volume_attributes_class(PLAIN).metadata.deletion_timestamp
        assert not [each for each in storage.list_storage_class().items if each.metadata.name.endswith("-ebs")]

        adopted = program.ops("volumes", "adopt", "--stack", "aws")
        assert adopted.returncode == 0, adopted.stdout + adopted.stderr
        program.up()
        assert list(attributes_classes(storage)) == [PLAIN]
        (volume,) = [each for each in core.list_persistent_volume().items if each.spec.csi]
        assert (volume.spec.csi.volume_handle, volume.metadata.annotations[TAKEN_OFF]) == ("vol-0a1b", PLAIN)
        assert volume.spec.mount_options == ["noatime"]
        eventually(lambda: claim(core).status.phase == "Bound", "the claim has its volume")
        assert claim(core).spec.volume_name == volume.metadata.name

        command = re.search(rf"kubectl -n {NAMESPACE} patch pvc {CLAIM} -p '(.*)'", adopted.stdout)
        assert command, adopted.stdout
        core.patch_namespaced_persistent_volume_claim(CLAIM, NAMESPACE, json.loads(command[1]))
        assert claim(core).spec.volume_attributes_class_name == PLAIN
        assert program.preview_steps() == []
        assert f"VolumeAttributesClass {PLAIN} stays: claim {NAMESPACE}/{CLAIM}." in program.destroy()

        core.delete_persistent_volume(volume.metadata.name)
        storage.delete_volume_attributes_class(PLAIN)
        eventually(lambda: not attributes_classes(storage), "nothing names it any more")


def attributes_classes(storage: client.StorageV1Api) -> dict[str, dict[str, str]]:
    """The parameters of each VolumeAttributesClass, by name."""
    return {each.metadata.name: each.parameters for each in storage.list_volume_attributes_class().items}


def uids(core: client.CoreV1Api) -> dict[str, str]:
    return {each.metadata.name: each.metadata.uid for each in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}


def claim(core: client.CoreV1Api) -> client.V1PersistentVolumeClaim:
    return core.read_namespaced_persistent_volume_claim(CLAIM, NAMESPACE)


def has_room_to_restore(core: client.CoreV1Api) -> bool:
    """Whether the quota lets a claim in that a snapshot of the database would be restored into."""
    spec = {"accessModes": ["ReadWriteOncePod"], "storageClassName": "database-ebs", "resources": {"requests": {"storage": "5Gi"}}}
    try:
        core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": "restored-postgres-0"}, "spec": spec})
    except client.ApiException as refused:
        assert "exceeded quota" in refused.body
        return False
    core.delete_namespaced_persistent_volume_claim("restored-postgres-0", NAMESPACE)
    return True


def released_volume(core: client.CoreV1Api) -> dict[str, Any]:
    """The database's volume of an earlier life of the stack, as the EBS driver makes one, with an
    attributes class.
    """
    wanted = claim(core).spec
    return {
        "metadata": {
            "name": VOLUME,
            "labels": Stamp("aws", "postgres", 0, "database").labels,
            "annotations": {"pv.kubernetes.io/provisioned-by": "ebs.csi.aws.com"},
        },
        "spec": {
            "capacity": wanted.resources.requests,
            "accessModes": wanted.access_modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": wanted.storage_class_name,
            "volumeAttributesClassName": PLAIN,
            "mountOptions": ["noatime"],
            "csi": {"driver": "ebs.csi.aws.com", "volumeHandle": "vol-0a1b", "fsType": "ext4"},
            "claimRef": {"namespace": NAMESPACE, "name": CLAIM, "uid": "00000000-0000-0000-0000-000000000000"},
        },
    }


def back_to_the_version_before(program: Program, storage: client.StorageV1Api, file: Path) -> None:
    """Stack and cluster as they were before an attributes class had a hash in its name, and before
    Pulumi was told to leave it.
    """
    (made,) = storage.list_volume_attributes_class().items
    metadata = {"name": PLAIN, "labels": made.metadata.labels, "annotations": made.metadata.annotations}
    storage.create_volume_attributes_class({"metadata": metadata, "driverName": made.driver_name, "parameters": made.parameters})
    storage.delete_volume_attributes_class(made.metadata.name)
    eventually(lambda: list(attributes_classes(storage)) == [PLAIN], "the class of today is gone")
    state = json.loads(json.dumps(program.state()).replace(made.metadata.name.removeprefix(PLAIN), ""))
    for each in state["deployment"]["resources"]:
        each.pop("retainOnDelete", None)
        for values in (each.get("inputs", {}), each.get("outputs", {})):
            if "--keeps-attributes" in values.get("interpreter", ()):
                values["interpreter"].remove("--keeps-attributes")
    file.write_text(json.dumps(state), encoding="utf-8")
    program.pulumi("stack", "import", "--file", str(file))
