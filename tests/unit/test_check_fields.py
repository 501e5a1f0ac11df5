"""What the API server, or kubectl before it, refuses of a StorageClass, whatever its driver."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml

from components.provisioners.lint.check import check_source
from components.provisioners.lint.manifests import read_manifests

GOOD: dict[str, Any] = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast"},
    "provisioner": "ebs.csi.aws.com",
    "parameters": {"type": "gp3", "encrypted": "true"},
    "reclaimPolicy": "Retain",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}
TERM = {"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["eu-central-1a"]}]}


def errors(document: dict[str, Any]) -> list[tuple[str, str, str]]:
    """(where, value, what works) of the errors."""
    (source,) = read_manifests(yaml.safe_dump(document, sort_keys=False)).classes
    report = check_source(source, [])
    found = [each for each in report.findings if each.severity == "error"]
    assert all(report.line(each) > 0 and each.rule for each in found)
    return sorted((report.where(each), report.value(each), report.works(each)) for each in found)


GONE = object()
# A field and its value, then where, the value as shown, and what works.
REFUSED: list[tuple[str, object, list[tuple[str, str, str]]]] = [
    ("apiVersion", "storage.k8s.io/v1beta1", [("apiVersion", '"storage.k8s.io/v1beta1"', "storage.k8s.io/v1")]),
    ("apiVersion", "v1", [("apiVersion", '"v1"', "storage.k8s.io/v1")]),
    ("apiVersion", "storage.k8.io/v1", [("apiVersion", '"storage.k8.io/v1"', "storage.k8s.io/v1")]),
    ("apiVersion", GONE, [("apiVersion", "(missing)", "storage.k8s.io/v1")]),
    ("kind", "Storageclass", [("kind", '"Storageclass"', "StorageClass")]),
    ("reclaimPolicy", "retain", [("reclaimPolicy", '"retain"', "Retain")]),
    ("reclaimPolicy", "DELETE", [("reclaimPolicy", '"DELETE"', "Delete")]),
    ("reclaimPolicy", "Recycle", [("reclaimPolicy", '"Recycle"', "Retain")]),
    ("reclaimPolicy", True, [("reclaimPolicy", "true", "Retain")]),
    ("reclaimPolicy", ["Delete"], [("reclaimPolicy", '["Delete"]', "Delete")]),
    ("volumeBindingMode", "waitforfirstconsumer", [("volumeBindingMode", '"waitforfirstconsumer"', "WaitForFirstConsumer")]),
    ("volumeBindingMode", "WaitForConsumer", [("volumeBindingMode", '"WaitForConsumer"', "WaitForFirstConsumer")]),
    ("volumeBindingMode", "immediate", [("volumeBindingMode", '"immediate"', "Immediate")]),
    ("volumeBindingMode", "", [("volumeBindingMode", '""', "WaitForFirstConsumer")]),
    ("allowVolumeExpansion", "true", [("allowVolumeExpansion", '"true"', "true")]),
    ("allowVolumeExpansion", "No", [("allowVolumeExpansion", '"No"', "false")]),
    ("allowVolumeExpansion", 1, [("allowVolumeExpansion", "1", "true")]),
    ("provisioner", GONE, [("provisioner", "(missing)", "ebs.csi.aws.com")]),
    ("provisioner", "", [("provisioner", "(missing)", "ebs.csi.aws.com")]),
    ("provisioner", "my driver", [("provisioner", '"my driver"', "ebs.csi.aws.com")]),
    ("provisioner", " ebs.csi.aws.com", [("provisioner", '" ebs.csi.aws.com"', "ebs.csi.aws.com")]),
    ("provisioner", 1, [("provisioner", "1", "ebs.csi.aws.com")]),
    ("metadata", GONE, [("metadata.name", "(missing)", "fast")]),
    ("metadata", "fast", [("metadata", '"fast"', "{name: fast}")]),
    ("metadata", {"name": "Fast_One"}, [("metadata.name", '"Fast_One"', "fast-one")]),
    ("metadata", {"name": 5}, [("metadata.name", "5", "5")]),
    ("metadata", {"name": "a" * 254}, [("metadata.name", f'"{"a" * 78}…', "a" * 253)]),
    ("metadata", {"name": "a", "label": {"b": "c"}}, [("metadata.label", '{"b": "c"}', "labels: {b: c}")]),
    ("metadata", {"name": "a", "labels": {"b": 1}}, [("metadata.labels.b", "1", "1")]),
    ("metadata", {"name": "a", "labels": {"b": "c d"}}, [("metadata.labels.b", '"c d"', "c-d")]),
    ("metadata", {"name": "a", "labels": ["b"]}, [("metadata.labels", '["b"]', "without `labels`")]),
    (
        "metadata",
        {"name": "a", "annotations": {"storageclass.kubernetes.io/is-default-class": True}},
        [("metadata.annotations.storageclass.kubernetes.io/is-default-class", "true", "true")],
    ),
    ("metadata", {"name": "a", "annotations": {"b c": "d"}}, [("metadata.annotations.b c", '"b c"', "without `b c`")]),
    ("parameters", ["a"], [("parameters", '["a"]', "without `parameters`")]),
    ("parameters", [{"type": "gp3"}], [("parameters", '[{"type": "gp3"}]', "{type: gp3}")]),
    ("parameters", {"type": 3}, [("parameters.type", "3", "gp3"), ("parameters.type", "3", "gp3")]),
    ("parameters", {str(n): "" for n in range(513)}, [("parameters", '"513 parameters"', "only those that the driver knows")]),
    ("mountOptions", "noatime,nodiratime", [("mountOptions", '"noatime,nodiratime"', "[noatime, nodiratime]")]),
    ("mountOptions", ["noatime", 1], [("mountOptions[1]", "1", "1")]),
    ("mountOptions", {"a": "b"}, [("mountOptions", '{"a": "b"}', "without `mountOptions`")]),
    ("mountoptions", ["noatime"], [("mountoptions", '["noatime"]', "mountOptions: [noatime]")]),
    ("volumeBinding", "x", [("volumeBinding", '"x"', "without `volumeBinding`")]),
    ("type", "gp3", [("type", '"gp3"', "without `type`")]),
    ("throughput", 125, [("throughput", "125", "`throughput: 125` below `parameters`")]),
    ("labels", {"a": "b"}, [("labels", '{"a": "b"}', "`labels: {a: b}` below `metadata`")]),
    ("spec", {}, [("spec", "{}", "without `spec`")]),
    (
        "allowedTopologies",
        TERM,
        [("allowedTopologies", '{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["e…', "")],
    ),
    ("allowedTopologies", ["x"], [("allowedTopologies[0]", '"x"', 'without `"x"`')]),
    (
        "allowedTopologies",
        [{"matchLabels": {"a": "b"}}],
        [("allowedTopologies[0].matchLabels", '{"a": "b"}', "matchLabelExpressions: {a: b}")],
    ),
    (
        "allowedTopologies",
        [{"matchLabelExpressions": [{**TERM["matchLabelExpressions"][0], "operator": "In"}]}],
        [("allowedTopologies[0].matchLabelExpressions[0].operator", '"In"', "without `operator`")],
    ),
    (
        "allowedTopologies",
        [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": "eu-central-1a"}]}],
        [("allowedTopologies[0].matchLabelExpressions[0].values", '"eu-central-1a"', "[eu-central-1a]")],
    ),
    (
        "allowedTopologies",
        [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": []}]}],
        [("allowedTopologies[0].matchLabelExpressions[0].values", "[]", "without `values`")],
    ),
    (
        "allowedTopologies",
        [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["eu-central-1a", "eu-central-1a"]}]}],
        [("allowedTopologies[0].matchLabelExpressions[0].values[1]", '"eu-central-1a"', "without `eu-central-1a`")],
    ),
    ("allowedTopologies", [TERM, TERM], [("allowedTopologies[1]", "", "without `this term`")]),
    (
        "allowedTopologies",
        [{"matchLabelExpressions": [{"values": ["eu-central-1a"]}]}],
        [("allowedTopologies[0].matchLabelExpressions[0].key", "(missing)", "without `key`")],
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: f"{case[0]}: {'absent' if case[1] is GONE else str(case[1])[:40]}")
def test_a_field_that_is_refused(case: tuple[str, object, list[tuple[str, str, str]]]) -> None:
    field, value, expected = case
    document = {key: each for key, each in {**GOOD, field: value}.items() if each is not GONE}
    found = errors(document)
    assert [each[0] for each in found] == [each[0] for each in expected]
    for (_, shown, works), (_, expected_value, expected_works) in zip(found, expected, strict=True):
        assert shown == expected_value or not expected_value
        assert works == expected_works or not expected_works


ALLOWED: list[tuple[str, object]] = [
    ("metadata", {"generateName": "fast-"}),
    ("metadata", {"name": "a.b-c.1", "namespace": "ignored", "labels": {"a.b/c": "D_e", "f": ""}, "annotations": {"A/b": "any text"}}),
    ("metadata", {"name": "a", "uid": "b", "creationTimestamp": None, "resourceVersion": "1", "managedFields": []}),
    ("reclaimPolicy", None),
    ("reclaimPolicy", "Delete"),
    ("volumeBindingMode", None),
    ("volumeBindingMode", "Immediate"),
    ("allowVolumeExpansion", None),
    ("allowVolumeExpansion", False),
    ("parameters", None),
    ("parameters", {"kmsKeyId": None}),
    ("mountOptions", None),
    ("mountOptions", []),
    ("allowedTopologies", None),
    ("allowedTopologies", []),
    ("allowedTopologies", [TERM]),
    ("allowedTopologies", [{"matchLabelExpressions": []}]),
    # One zone in two terms, and under the two keys that the driver's nodes have.
    (
        "allowedTopologies",
        [TERM, {"matchLabelExpressions": [{"key": "topology.ebs.csi.aws.com/zone", "values": ["eu-central-1a"]}]}],
    ),
    ("provisioner", "example.com/a_b.c"),
    ("provisioner", "Ebs"),
]


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: f"{case[0]}: {'absent' if case[1] is GONE else str(case[1])[:40]}")
def test_a_field_that_is_taken(case: tuple[str, object]) -> None:
    field, value = case
    assert errors({**copy.deepcopy(GOOD), field: value}) == []


# A field of a class below its parameters: its value, and what works.
MISPLACED: list[tuple[str, object, str]] = [
    ("reclaimPolicy", "Retain", "`reclaimPolicy: Retain` at the top of the class, beside `parameters`"),
    ("volumeBindingMode", "Immediate", "`volumeBindingMode: Immediate` at the top of the class, beside `parameters`"),
    ("allowVolumeExpansion", True, "`allowVolumeExpansion: true` at the top of the class, beside `parameters`"),
    ("allowVolumeExpansion", "false", "`allowVolumeExpansion: false` at the top of the class, beside `parameters`"),
    ("mountOptions", "noatime", "`mountOptions: [noatime]` at the top of the class, beside `parameters`"),
    ("allowedTopologies", [TERM], ""),
]


@pytest.mark.parametrize("case", MISPLACED, ids=lambda case: f"{case[0]}: {case[1]}")
@pytest.mark.parametrize("driver", ["ebs.csi.aws.com", "pd.csi.storage.gke.io"])
def test_a_field_of_the_class_below_its_parameters_is_shown_there(driver: str, case: tuple[str, object, str]) -> None:
    field, value, works = case
    document = {key: each for key, each in GOOD.items() if key != field}
    (found,) = errors({**document, "provisioner": driver, "parameters": {field: value}})
    assert found[0] == f"parameters.{field}"
    assert found[2] == works or not works


def test_what_is_there_already_is_not_moved() -> None:
    (found,) = errors({**GOOD, "parameters": {"reclaimPolicy": "Delete"}})
    assert found == ("parameters.reclaimPolicy", '"Delete"', "without `reclaimPolicy`")


def test_a_class_of_a_driver_that_is_not_known_has_the_same_fields() -> None:
    document = {**GOOD, "provisioner": "nfs.csi.k8s.io", "reclaimPolicy": "retain"}
    assert errors(document) == [("reclaimPolicy", '"retain"', "Retain")]


# A key that no driver has, with what is meant by it.
NEAR: list[tuple[str, str, str, str]] = [
    ("ebs.csi.aws.com", "kmsKeyArn", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "kmsKeyId"),
    ("ebs.csi.aws.com", "kms-key-id", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab", "kmsKeyId"),
    ("ebs.csi.aws.com", "encryption", "true", "encrypted"),
    ("ebs.csi.aws.com", "Encrypt", "true", "encrypted"),
    ("ebs.csi.aws.com", "volumeType", "gp3", "type"),
    ("ebs.csi.aws.com", "filesystem", "xfs", "csi.storage.k8s.io/fstype"),
    ("ebs.csi.aws.com", "iopsPerGiB", "500", "iopsPerGB"),
    ("ebs.csi.aws.com", "provisioned-iops-on-create", "3000", "iops"),
    ("ebs.csi.aws.com", "tags", "team=data", "tagSpecification_1"),
    ("pd.csi.storage.gke.io", "kmsKeyId", "projects/a-b/locations/eu/keyRings/c/cryptoKeys/d", "disk-encryption-kms-key"),
    ("pd.csi.storage.gke.io", "diskType", "pd-ssd", "type"),
    ("pd.csi.storage.gke.io", "label", "team=data", "labels"),
    ("pd.csi.storage.gke.io", "replicationType", "none", "replication-type"),
    ("rancher.io/local-path", "node-path", "/data", "nodePath"),
]


@pytest.mark.parametrize("case", NEAR, ids=lambda case: f"{case[1]} is {case[3]}")
def test_a_near_miss_is_a_rename_and_never_left_out(case: tuple[str, str, str, str]) -> None:
    driver, key, value, meant = case
    document = {**GOOD, "provisioner": driver, "parameters": {key: value}, "allowVolumeExpansion": driver != "rancher.io/local-path"}
    shown = f'"{value}"' if value in ("true", "500", "3000") else value
    assert [each for each in errors(document) if each[0] == f"parameters.{key}"] == [
        (f"parameters.{key}", f'"{value}"', f"{meant}: {shown}")
    ]


def test_a_size_of_a_cache_is_written_with_its_unit() -> None:
    document = {**GOOD, "provisioner": "pd.csi.storage.gke.io", "parameters": {"type": "pd-ssd", "data-cache-mode": "writethrough"}}
    assert errors(document) == [("parameters.data-cache-mode", '"writethrough"', "with `data-cache-size: 100Gi`")]
