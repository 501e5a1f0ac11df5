"""Each rule of the policy pack on plain data: what keeps it, what breaks it and with which words,
what is not known yet.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from components.kube.classes import DEFAULT_CLASS
from components.kube.labels import recommended
from components.provisioners import PROVISIONERS
from devkube import paths
from policy import rules
from policy.resources import CLAIM, NAMESPACE, POD_SPECS, STATEFUL_SET, STORAGE_CLASS, UNKNOWN, VOLUME, DeclaredResource, plain

POD = "kubernetes:core/v1:Pod"
LABELS = recommended("postgres", "aws", "database")


def storage_class(**fields: Any) -> DeclaredResource:
    metadata = {"name": "fast", "annotations": fields.pop("annotations", {}), "labels": fields.pop("labels", LABELS)}
    return DeclaredResource(STORAGE_CLASS, "fast", {"metadata": metadata, **fields}, stack="aws")


def claim(name: str = "it", *, protect: bool = True, stack: str = "aws", **spec: Any) -> DeclaredResource:
    return DeclaredResource(CLAIM, name, {"metadata": {"name": name, "namespace": "data"}, "spec": spec}, protect, stack)


def volume(annotations: Mapping[str, str] | None = None, **spec: Any) -> DeclaredResource:
    return DeclaredResource(VOLUME, "disk", {"metadata": {"name": "disk", "annotations": annotations or {}}, "spec": spec})


def stateful_set(**template: Any) -> DeclaredResource:
    templates = [{"metadata": {"name": "data"}, "spec": template}]
    return DeclaredResource(
        STATEFUL_SET,
        "queue",
        {"metadata": {"name": "queue", "namespace": "shop"}, "spec": {"replicas": 3, "volumeClaimTemplates": templates}},
    )


def ephemeral(kind: str, *path: str, **template: Any) -> DeclaredResource:
    spec: dict[str, Any] = {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": template}}}, {"name": "w"}]}
    for key in reversed(path):
        spec = {key: spec}
    if "template" in spec["spec"]:
        spec["spec"]["replicas"] = 3
    return DeclaredResource(kind, "it", {"metadata": {"name": "it", "namespace": "shop"}, **spec})


def on_host(kind: str, *path: str) -> DeclaredResource:
    spec: dict[str, Any] = {"volumes": [{"name": "v", "hostPath": {"path": "/srv"}}, {"name": "w", "emptyDir": {}}]}
    for key in reversed(path):
        spec = {key: spec}
    return DeclaredResource(kind, "it", {"metadata": {"name": "it"}, **spec})


EBS = "ebs.csi.aws.com"
UNKNOWN_CLASS = storage_class(
    reclaimPolicy=UNKNOWN, volumeBindingMode=UNKNOWN, provisioner=UNKNOWN, parameters=UNKNOWN, annotations=UNKNOWN
)

CLASS_RULES: list[Callable[..., Any]] = [
    rules.reclaim_policy_retain,
    rules.wait_for_first_consumer,
    rules.never_the_default_class,
    rules.known_provisioner,
    rules.encrypted_on_cloud,
]

KEPT: list[tuple[Callable[..., Any], DeclaredResource]] = [
    (rules.reclaim_policy_retain, storage_class(reclaimPolicy="Retain")),
    (rules.reclaim_policy_retain, volume(persistentVolumeReclaimPolicy="Retain")),
    (rules.reclaim_policy_retain, volume()),
    (rules.reclaim_policy_retain, claim()),
    (rules.wait_for_first_consumer, storage_class(volumeBindingMode="WaitForFirstConsumer")),
    (rules.wait_for_first_consumer, claim()),
    (rules.never_the_default_class, storage_class()),
    (rules.never_the_default_class, storage_class(annotations={"storageclass.kubernetes.io/is-default-class": "false"})),
    *((rules.known_provisioner, storage_class(provisioner=name)) for name in rules.PROVISIONERS),
    (rules.encrypted_on_cloud, storage_class(provisioner=EBS, parameters={"encrypted": "true"})),
    (rules.encrypted_on_cloud, storage_class(provisioner=EBS, parameters={"Encrypted": "true"})),
    (rules.encrypted_on_cloud, storage_class(provisioner=EBS, parameters={"kmsKeyId": "arn:aws:kms:eu-west-1:1:key/a"})),
    (rules.encrypted_on_cloud, storage_class(provisioner=EBS, parameters={"encrypted": UNKNOWN})),
    (rules.encrypted_on_cloud, storage_class(provisioner=EBS, parameters={"encrypted": "false", "kmsKeyId": UNKNOWN})),
    (rules.encrypted_on_cloud, storage_class(provisioner="pd.csi.storage.gke.io", parameters={})),
    (rules.encrypted_on_cloud, storage_class(provisioner="rancher.io/local-path")),
    (rules.single_writer_access, claim(accessModes=["ReadWriteOnce"])),
    (rules.single_writer_access, claim(accessModes=["ReadWriteOncePod"])),
    (rules.single_writer_access, claim(accessModes=UNKNOWN)),
    (rules.single_writer_access, claim(accessModes=[UNKNOWN])),
    (rules.single_writer_access, stateful_set(accessModes=["ReadWriteOnce"])),
    (rules.no_host_folders, volume(csi={"driver": EBS})),
    (rules.no_host_folders, volume(local={"path": "/a"}, storageClassName="database-local-path")),
    (rules.no_host_folders, volume({"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}, hostPath={"path": "/a"})),
    (rules.no_host_folders, volume(local={"path": "/a"}, storageClassName=UNKNOWN)),
    (rules.no_host_folders, on_host("kubernetes:apps/v1:DaemonSet", "spec", "template", "spec")),
    (
        rules.no_host_folders,
        DeclaredResource(POD, "it", {"spec": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}}),
    ),
    (rules.project_labels, storage_class()),
    (rules.project_labels, storage_class(labels=UNKNOWN)),
    (rules.project_labels, DeclaredResource(POD, "it", {"metadata": {}})),
    *((rule, UNKNOWN_CLASS) for rule in CLASS_RULES),
]

BROKEN: list[tuple[Callable[..., Any], DeclaredResource, str]] = [
    (
        rules.reclaim_policy_retain,
        storage_class(reclaimPolicy="Delete"),
        'StorageClass fast: reclaimPolicy: "Delete": data outlives its claim. Works: Retain',
    ),
    (
        rules.reclaim_policy_retain,
        storage_class(),
        "StorageClass fast: reclaimPolicy: (missing): data outlives its claim, and without it Kubernetes takes Delete. Works: Retain",
    ),
    (
        rules.reclaim_policy_retain,
        volume(persistentVolumeReclaimPolicy="Recycle"),
        'PersistentVolume disk: spec.persistentVolumeReclaimPolicy: "Recycle": data outlives its claim. Works: Retain',
    ),
    (
        rules.wait_for_first_consumer,
        storage_class(),
        "StorageClass fast: volumeBindingMode: (missing): a volume is made where its first pod is scheduled; without it Kubernetes takes "
        "Immediate. Works: WaitForFirstConsumer",
    ),
    (
        rules.wait_for_first_consumer,
        storage_class(volumeBindingMode="Immediate"),
        'StorageClass fast: volumeBindingMode: "Immediate": a volume is made where its first pod is scheduled. Works: WaitForFirstConsumer',
    ),
    *(
        (
            rules.never_the_default_class,
            storage_class(annotations={annotation: "true"}),
            f'StorageClass fast: metadata.annotations[{annotation}]: "true": a tier is used by name, never by default. Works: "false"',
        )
        for annotation in DEFAULT_CLASS
    ),
    (
        rules.known_provisioner,
        storage_class(provisioner="kubernetes.io/gce-pd"),
        'StorageClass fast: provisioner: "kubernetes.io/gce-pd": a driver that this project knows the rules and limits of. '
        "Works: pd.csi.storage.gke.io",
    ),
    (
        rules.known_provisioner,
        storage_class(provisioner="nfs.csi.k8s.io"),
        'StorageClass fast: provisioner: "nfs.csi.k8s.io": a driver that this project knows the rules and limits of. '
        f"Works: one of {', '.join(rules.PROVISIONERS)}",
    ),
    *(
        (
            rules.encrypted_on_cloud,
            storage_class(provisioner=driver, parameters=parameters),
            f'StorageClass fast: parameters.encrypted: {value}: volumes on EBS are encrypted. Works: "true"',
        )
        for driver in rules.EBS
        for parameters, value in (
            ({"encrypted": "True"}, '"True"'),
            ({}, "(missing)"),
            (None, "(missing)"),
            ({"kmsKeyId": ""}, "(missing)"),
        )
    ),
    *(
        (
            rules.single_writer_access,
            resource,
            f'{title}: spec.accessModes: "{mode}": a volume has one writer. Works: ReadWriteOnce or ReadWriteOncePod',
        )
        for mode in ("ReadWriteMany", "ReadOnlyMany")
        for resource, title in (
            (claim(accessModes=[mode]), "PersistentVolumeClaim data/it"),
            (claim(accessModes=["ReadWriteOnce", mode]), "PersistentVolumeClaim data/it"),
            (volume(accessModes=[mode]), "PersistentVolume disk"),
            (stateful_set(accessModes=[mode]), "StatefulSet shop/queue, claim template data"),
        )
    ),
    *(
        (
            rules.no_host_folders,
            volume(**{source: {"path": "/srv"}}, storageClassName="fast"),
            f'PersistentVolume disk: spec.{source}: "/srv": a node\'s own folder holds data only as a volume of local-path. '
            "Works: a claim on a tier's StorageClass",
        )
        for source in ("hostPath", "local")
    ),
    *(
        (
            rules.no_host_folders,
            on_host(kind, *path),
            f'{kind.rsplit(":", 1)[-1]} it: {".".join(path)}.volumes[v].hostPath: "/srv": a pod\'s data is on a claim. '
            "Works: persistentVolumeClaim",
        )
        for kind, path in POD_SPECS.items()
    ),
    (
        rules.project_labels,
        storage_class(labels={**LABELS, "app.kubernetes.io/instance": "gcp"}),
        'StorageClass fast: metadata.labels[app.kubernetes.io/instance]: "gcp": StorageClass objects carry the labels '
        f"{', '.join(rules.LABELS)}. Works: aws",
    ),
]


@pytest.mark.parametrize(("rule", "resource"), KEPT)
def test_what_keeps_a_rule(rule: Callable[..., Any], resource: DeclaredResource) -> None:
    assert list(rule(resource)) == []


@pytest.mark.parametrize(("rule", "resource", "message"), BROKEN)
def test_what_breaks_a_rule_and_its_words(rule: Callable[..., Any], resource: DeclaredResource, message: str) -> None:
    assert list(rule(resource)) == [message]


def test_labels_are_missing_one_by_one() -> None:
    assert len(list(rules.project_labels(storage_class(labels=None)))) == len(rules.LABELS)
    for label in rules.LABELS:
        [message] = rules.project_labels(storage_class(labels={name: value for name, value in LABELS.items() if name != label}))
        assert f"metadata.labels[{label}]: (missing)" in message


def test_claims_on_allowed_tiers() -> None:
    allowed = ["database-ebs", "streaming-ebs"]
    assert not list(rules.claims_on_allowed_tiers(claim(storageClassName="database-ebs"), allowed))
    assert not list(rules.claims_on_allowed_tiers(claim(storageClassName=UNKNOWN), allowed))
    assert not list(rules.claims_on_allowed_tiers(storage_class(), allowed))
    assert list(rules.claims_on_allowed_tiers(stateful_set(storageClassName="gp2"), allowed)) == [
        'StatefulSet shop/queue, claim template data: spec.storageClassName: "gp2": a class that this stack may use. '
        "Works: database-ebs or streaming-ebs"
    ]
    assert "without one the cluster's default class is taken" in next(rules.claims_on_allowed_tiers(claim(), allowed))


@pytest.mark.parametrize(("kind", "path"), POD_SPECS.items())
def test_claims_of_generic_ephemeral_volumes_are_claims(kind: str, path: tuple[str, ...]) -> None:
    resource = ephemeral(kind, *path, storageClassName="gp2", accessModes=["ReadWriteMany"], resources={"requests": {"storage": "5Gi"}})
    title = f"{kind.rsplit(':', 1)[-1]} shop/it, ephemeral volume scratch"
    assert [message.split(": ")[0] for message in rules.claims_on_allowed_tiers(resource, ["database-ebs"])] == [title]
    assert [message.split(": ")[0] for message in rules.single_writer_access(resource)] == [title]
    pods = 3 if path[:2] == ("spec", "template") else 1
    assert not list(rules.claims_within_allocation([resource], {"gp2": f"{5 * pods}Gi"}))
    assert title in next(rules.claims_within_allocation([resource], {"gp2": f"{5 * pods - 1}Gi"}))
    namespace = DeclaredResource(NAMESPACE, "shop", {"metadata": {"name": "shop"}}, protect=False, stack="prod")
    assert not list(rules.production_is_protected([namespace, resource], None))


def of_size(size: Any, name: str = "it", storage_class_name: Any = "fast") -> DeclaredResource:
    return claim(name, storageClassName=storage_class_name, resources={"requests": {"storage": size}})


@pytest.mark.parametrize(
    ("resources", "limit", "asked"),
    [
        ([of_size("5Gi"), of_size("5Gi", "other")], "10Gi", None),
        ([of_size("5Gi"), of_size("5121Mi", "other")], "10Gi", "10241Mi"),
        ([of_size(UNKNOWN), of_size("10Gi")], "10Gi", None),
        ([of_size("11Gi", storage_class_name="another")], "10Gi", None),
        ([of_size("11Gi", storage_class_name=UNKNOWN)], "10Gi", None),
        ([], "10Gi", None),
        ([stateful_set(storageClassName="fast", resources={"requests": {"storage": "3380Mi"}})], "10140Mi", None),
        ([stateful_set(storageClassName="fast", resources={"requests": {"storage": "3380Mi"}})], "10139Mi", "10140Mi"),
        ([of_size("10000000000")], "10G", None),
        ([of_size("10000000001")], "10G", "9537Mi"),
    ],
)
def test_claims_within_allocation(resources: list[DeclaredResource], limit: str, asked: str | None) -> None:
    messages = list(rules.claims_within_allocation(resources, {"fast": limit}))
    if asked is None:
        assert messages == []
    else:
        [message] = messages
        assert message.startswith(
            f'StorageClass fast: spec.resources.requests.storage: "{asked}": all claims of a class ask for no more than'
        )
        assert f"gives it, {limit}; these do: " in message and f"Works: smaller claims, or at least {asked} for fast" in message


def namespace(protect: bool, name: str = "data") -> DeclaredResource:
    return DeclaredResource(NAMESPACE, name, {"metadata": {"name": name}}, protect, "aws")


CLOUD_CLASS = storage_class(provisioner="pd.csi.storage.gke.io")


@pytest.mark.parametrize(
    ("resources", "stacks", "titles"),
    [
        ([CLOUD_CLASS, namespace(True), claim()], None, []),
        ([CLOUD_CLASS, namespace(False), claim(protect=False)], None, ["Namespace data", "PersistentVolumeClaim data/it"]),
        ([CLOUD_CLASS, namespace(True), namespace(False, "data-canary"), claim()], None, []),
        ([storage_class(provisioner="rancher.io/local-path"), claim(protect=False)], None, []),
        ([claim(protect=False, stack="prod-eu")], None, ["PersistentVolumeClaim data/it"]),
        ([claim(protect=False, stack="dev")], None, []),
        ([claim(protect=False, stack="dev")], ["de*"], ["PersistentVolumeClaim data/it"]),
        ([CLOUD_CLASS, claim(protect=False)], ["prod"], []),
        ([CLOUD_CLASS, claim(protect=False)], [], []),
        ([], None, []),
    ],
)
def test_production_is_protected(resources: list[DeclaredResource], stacks: list[str] | None, titles: list[str]) -> None:
    messages = list(rules.production_is_protected(resources, stacks))
    assert [message.split(": ")[0] for message in messages] == titles
    assert all("Works: true (here the setting `protect: true`)" in message for message in messages)


def test_what_the_sdk_raises_for_becomes_unknown() -> None:
    given = unknown_checking_proxy(
        {"a": UNKNOWN_STRING_VALUE, "b": [UNKNOWN_STRING_VALUE, {"c": 1}], "d": {"e": UNKNOWN_STRING_VALUE}, "f": None}
    )
    assert plain(given) == {"a": UNKNOWN, "b": [UNKNOWN, {"c": 1}], "d": {"e": UNKNOWN}, "f": None}


def test_the_pack_knows_every_provisioner_of_the_project() -> None:
    assert {provisioner.driver for provisioner in PROVISIONERS.values()} <= set(rules.PROVISIONERS)


def test_every_rule_is_in_the_pack_and_in_the_documentation_with_its_reason() -> None:
    functions = {
        name: function
        for name, function in inspect.getmembers(rules, inspect.isfunction)
        if function.__module__ == rules.__name__ and not name.startswith("_")
    }
    wiring = (paths.ROOT / "policy" / "__main__.py").read_text(encoding="utf-8")
    page = (paths.ROOT / "docs" / "pull-requests.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", page, re.MULTILINE))
    assert set(documented) == {name.replace("_", "-") for name in functions}
    for name, function in functions.items():
        assert f"rules.{name}" in wiring
        first = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
        assert documented[name.replace("_", "-")] == first
