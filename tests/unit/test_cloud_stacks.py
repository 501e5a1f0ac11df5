"""The committed cloud stacks on Pulumi's mocks: what they declare, and that nothing of local-path
is left in them.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from components.settings import load
from tests.unit.mocked_program import ATTRIBUTES_CLASS, CLAIM, CLASS, COMMAND, NAMESPACE, ROOT, SNAPSHOT_CLASS, Run, run, stack_config

# Each tier's class as the driver reads it.
CLASSES = {
    "aws": {
        "database-ebs": {
            "provisioner": "ebs.csi.aws.com",
            "parameters": {
                "type": "gp3",
                "iops": "3000",
                "throughput": "125",
                "encrypted": "true",
                "csi.storage.k8s.io/fstype": "ext4",
                "tagSpecification_1": "service=database",
            },
            "zones": ("topology.kubernetes.io/zone", ["eu-central-1a", "eu-central-1b", "eu-central-1c"]),
        },
        "streaming-ebs": {
            "provisioner": "ebs.csi.aws.com",
            "parameters": {
                "type": "gp3",
                "iops": "3000",
                "throughput": "250",
                "encrypted": "true",
                "csi.storage.k8s.io/fstype": "xfs",
                "tagSpecification_1": "service=streaming",
            },
            "zones": ("topology.kubernetes.io/zone", ["eu-central-1a", "eu-central-1b", "eu-central-1c"]),
        },
    },
    "gcp": {
        "database-gce-pd": {
            "provisioner": "pd.csi.storage.gke.io",
            "parameters": {"type": "pd-ssd", "csi.storage.k8s.io/fstype": "ext4", "labels": "service=database"},
            "zones": ("topology.gke.io/zone", ["europe-west1-b", "europe-west1-c", "europe-west1-d"]),
        },
        "streaming-gce-pd": {
            "provisioner": "pd.csi.storage.gke.io",
            "parameters": {"type": "pd-balanced", "csi.storage.k8s.io/fstype": "xfs", "labels": "service=streaming"},
            "zones": ("topology.gke.io/zone", ["europe-west1-b", "europe-west1-c", "europe-west1-d"]),
        },
    },
}


@pytest.fixture(scope="module", params=CLASSES)
def stack(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def made(stack: str) -> Run:
    return run(stack_config(stack), stack)


def test_a_class_is_what_the_driver_reads(stack: str, made: Run) -> None:
    assert set(made.of(CLASS)) == set(CLASSES[stack])
    for name, expected in CLASSES[stack].items():
        declared = made.of(CLASS)[name].inputs
        key, zones = expected["zones"]
        assert declared["provisioner"] == expected["provisioner"]
        assert declared["parameters"] == expected["parameters"]
        assert declared["allowedTopologies"] == [{"matchLabelExpressions": [{"key": key, "values": zones}]}]
        assert declared["reclaimPolicy"] == "Retain"
        assert declared["volumeBindingMode"] == "WaitForFirstConsumer"
        assert declared["allowVolumeExpansion"] is True
        assert declared["mountOptions"] == ["noatime"]
        annotations = declared["metadata"]["annotations"]
        assert set(annotations) == {"kubernetes.io/description", "storageclass.kubernetes.io/is-default-class"}
        assert "zone" in annotations["kubernetes.io/description"]


def test_the_claims_ask_for_what_the_cloud_makes(stack: str, made: Run) -> None:
    claims = made.of(CLAIM)
    asked = {name: claim.inputs["spec"]["resources"]["requests"]["storage"] for name, claim in claims.items()}
    assert asked == {"data-postgres-0": "5Gi", "data-kafka-0": "4Gi", "data-kafka-1": "4Gi", "data-kafka-2": "4Gi"}
    assert {claim.inputs["spec"]["accessModes"][0] for claim in claims.values()} == {"ReadWriteOncePod"}
    assert made.outputs["claims"]["kafka"][0]["requested"] == "3.3Gi"
    assert made.outputs["claims"]["kafka"][0]["provisioned"] == "4Gi"
    allocation = made.outputs["allocation"]
    assert allocation["services"]["kafka"]["provisionedBytes"] == 3 * 4 * 2**30
    assert allocation["total"]["provisionedBytes"] == 17 * 2**30


def test_claims_and_namespace_are_protected(made: Run) -> None:
    kept = [*made.of(CLAIM).values(), made.of(NAMESPACE)["data"]]
    assert {declared.request.protect for declared in kept} == {True}


def test_every_tier_is_proven_with_the_official_image(stack: str, made: Run) -> None:
    for tier in ("database", "streaming"):
        arguments = made.of(COMMAND)[f"canary-{tier}"].inputs["interpreter"]
        assert {"--image=docker.io/library/python:3.13-slim", "--sizes-enforced", f"--size={2**30}"} <= set(arguments)


def test_nothing_is_opted_into(made: Run) -> None:
    assert not made.of(SNAPSHOT_CLASS)
    assert not made.of(ATTRIBUTES_CLASS)


def test_a_committed_stack_has_no_warnings(stack: str) -> None:
    assert load(stack_config(stack), stack).warnings == ()


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_all_stacks_have_the_salt_of_the_empty_passphrase(name: str) -> None:
    salts = {yaml.safe_load((ROOT / f"Pulumi.{each}.yaml").read_text(encoding="utf-8"))["encryptionsalt"] for each in ("dev", name)}
    assert len(salts) == 1


def tiers(stack: str, **changes: Any) -> dict[str, Any]:
    """The stack's tiers with the database tier's settings changed; None takes one away."""
    written: dict[str, Any] = json.loads(stack_config(stack)["storage-tiers:tiers"])
    changed = {**written["database"], **changes}
    return {**written, "database": {key: value for key, value in changed.items() if value is not None}}


def test_auto_mode_is_another_driver_that_keeps_pods_on_its_own_nodes() -> None:
    made = run(stack_config("aws", tiers=tiers("aws", autoMode=True)), "aws")
    declared = made.of(CLASS)["database-ebs"].inputs
    assert declared["provisioner"] == "ebs.csi.eks.amazonaws.com"
    (term,) = declared["allowedTopologies"]
    assert [each["key"] for each in term["matchLabelExpressions"]] == ["topology.kubernetes.io/zone", "eks.amazonaws.com/compute-type"]
    assert made.of(CLASS)["streaming-ebs"].inputs["provisioner"] == "ebs.csi.aws.com"


def test_a_tier_that_wants_them_has_classes_for_snapshots_and_changes() -> None:
    wanted = {
        "snapshots": {"tagSpecification_1": "a=b", "lockMode": "governance", "lockDuration": 7},
        "attributes": {"calm": {"throughput": 125}},
    }
    made = run(stack_config("aws", tiers=tiers("aws", **wanted)), "aws")
    (snapshots,) = made.of(SNAPSHOT_CLASS).values()
    assert snapshots.inputs["metadata"]["name"] == "database-ebs"
    assert snapshots.inputs["driver"] == "ebs.csi.aws.com"
    assert snapshots.inputs["deletionPolicy"] == "Retain"
    assert snapshots.inputs["parameters"] == {"tagSpecification_1": "a=b", "lockMode": "governance", "lockDuration": "7"}
    (change,) = made.of(ATTRIBUTES_CLASS).values()
    assert re.fullmatch("database-ebs-calm-[0-9a-f]{8}", change.inputs["metadata"]["name"])
    assert change.inputs["driverName"] == "ebs.csi.aws.com"
    assert change.inputs["parameters"] == {"throughput": "125"}
    assert snapshots.request.deleteBeforeReplace
    assert change.request.retainOnDelete  # volumes may name it; other content has another name
    for declared in (snapshots, change):
        assert declared.inputs["metadata"]["labels"]["app.kubernetes.io/instance"] == "aws"


def test_a_canary_asks_for_the_least_that_its_class_can_have() -> None:
    services = {"postgres": {"tier": "database", "size": "10Gi"}}
    made = run(stack_config("gcp", tiers=tiers("gcp", type="hyperdisk-balanced"), services=services), "gcp")
    sizes = {tier: made.of(COMMAND)[f"canary-{tier}"].inputs["interpreter"] for tier in ("database", "streaming")}
    assert f"--size={4 * 2**30}" in sizes["database"]
    assert f"--size={2**30}" in sizes["streaming"]
