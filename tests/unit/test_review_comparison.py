"""What a merge would do, for changes of the stack file: the program's own plans (on Pulumi's
mocks), compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from review.comparison import CLAIM, CLASS, COMMAND, NAMESPACE, PROVIDER, Comparison, compare
from review.plan import Planned, PreviewPlan
from tests.unit.mocked_program import dev_config, run

DEV = {key.removeprefix("storage-tiers:"): yaml.safe_load(value) for key, value in dev_config().items()}
SERVICES = DEV["services"]
PATTERN = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"


def plan_of(**changes: Any) -> PreviewPlan:
    """What the program declares with the dev stack's settings and these changes.

    The mocks' URNs have no project, and the engine's inheritance of providers isn't in them.
    """
    urns = {"": ""}
    resources = {}
    for registered in run(dev_config(**changes)).registered:
        request = registered.request
        *_, kinds, parent_name = request.parent.split("::") if "$" in request.parent else ("", "")
        parent = urns[f"{kinds.rpartition('$')[2]}::{parent_name}".removeprefix("::")]
        kind = f"{parent.split('::')[2]}${registered.type}" if parent else registered.type
        urn = f"urn:pulumi:dev::storage-tiers::{kind}::{registered.name}"
        urns[f"{registered.type}::{registered.name}"] = urn
        provider = urns[f"{PROVIDER}::cluster"] if registered.type.startswith("kubernetes:") else ""
        resources[urn] = Planned(urn, registered.inputs, request.custom, request.protect, parent, provider)
    return PreviewPlan(resources)


def change_service(name: str, **fields: Any) -> dict[str, Any]:
    return {"services": {**SERVICES, name: {**SERVICES[name], **fields}}}


def touched(comparison: Comparison) -> set[tuple[str, str]]:
    return {(change.action, change.resource.title) for change in comparison.changes}


CANARIES = {("replace", "Command canary-database"), ("replace", "Command canary-streaming")}
KAFKA = [f"PersistentVolumeClaim data/data-kafka-{ordinal}" for ordinal in range(3)]
POSTGRES = "PersistentVolumeClaim data/data-postgres-0"
SIZE = "spec.resources.requests.storage"
DATABASE_QUOTA = ("change", "ResourceQuota data/database-local-path")
STREAMING_QUOTA = ("change", "ResourceQuota data/streaming-local-path")

# What is changed (of the base, of the head): which objects are touched and how, the fields for
# which something is replaced, and how the problems begin.
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], set[tuple[str, str]], set[str], list[str]]] = {
    "nothing": ({}, {}, set(), set(), []),
    "a larger size": (
        {},
        change_service("postgres", size="6Gi"),
        {("change", POSTGRES), DATABASE_QUOTA},
        set(),
        [f"{POSTGRES}: {SIZE}: 6Gi: StorageClass database-local-path can't make a volume larger, and it is 5Gi. Works: 5Gi; or"],
    ),
    "a smaller size": (
        {},
        change_service("postgres", size="4Gi"),
        {("change", POSTGRES), DATABASE_QUOTA},
        set(),
        [f"{POSTGRES}: {SIZE}: 4Gi: a volume can't be made smaller, and it is 5Gi. Works: 5Gi; or"],
    ),
    "another spelling of the same size": ({}, change_service("postgres", size="5120Mi"), {("change", POSTGRES)}, set(), []),
    "more replicas": (
        {},
        change_service("kafka", replicas=4),
        {("create", "PersistentVolumeClaim data/data-kafka-3"), STREAMING_QUOTA},
        set(),
        [],
    ),
    "fewer replicas": (
        {},
        change_service("kafka", replicas=2),
        {("delete", KAFKA[2]), STREAMING_QUOTA},
        set(),
        [f"{KAFKA[2]}: would be deleted"],
    ),
    "a class parameter": (
        {},
        {"tiers": {"database": {"pathPattern": PATTERN}, "streaming": {}}},
        {("replace", "StorageClass database-local-path"), ("replace", "Command canary-database")},
        {"parameters", "parameters.pathPattern", "triggers[1]"},
        [],
    ),
    "a service on another tier": (
        {},
        change_service("postgres", tier="streaming"),
        {("replace", POSTGRES), DATABASE_QUOTA, STREAMING_QUOTA},
        {"spec.storageClassName"},
        [f"{POSTGRES}: would be replaced (spec.storageClassName database-local-path -> streaming-local-path)"],
    ),
    "another access mode": (
        {},
        change_service("postgres", accessMode="ReadWriteOncePod"),
        {("replace", POSTGRES), ("change", "Command canary-database")},  # a tier that isn't proven yet is proven with that
        {"spec.accessModes[0]"},
        [f"{POSTGRES}: would be replaced (spec.accessModes[0] ReadWriteOnce -> ReadWriteOncePod)"],
    ),
    "another name of a service": (
        {},
        {"services": {"kafka": SERVICES["kafka"], "pg": SERVICES["postgres"]}},
        {("delete", POSTGRES), ("create", "PersistentVolumeClaim data/data-pg-0")},
        set(),
        [f"{POSTGRES}: would be deleted"],
    ),
    "a service is new": (
        {"services": {"postgres": SERVICES["postgres"]}},
        {},
        {STREAMING_QUOTA, *(("create", title) for title in KAFKA)},
        set(),
        [],
    ),
    "a service goes": (
        {},
        {"services": {"postgres": SERVICES["postgres"]}},
        {STREAMING_QUOTA, *(("delete", title) for title in KAFKA)},
        set(),
        [f"{title}: would be deleted" for title in KAFKA],
    ),
    "an unused tier goes": (
        {"services": {}},
        {"services": {}, "tiers": {"database": {}}},
        {
            ("delete", "StorageClass streaming-local-path"),
            ("delete", "ResourceQuota data/streaming-local-path"),
            ("delete", "Command canary-streaming"),
        },
        set(),
        [],
    ),
    "the canary runs again": ({}, {"canary": {**DEV["canary"], "run": 2}}, CANARIES, {"triggers[3]"}, []),
    "another canary image": (
        {},
        {"canary": {"image": "registry.example/python:3.13"}},
        {("change", "Command canary-database"), ("change", "Command canary-streaming")},
        set(),
        [],
    ),
    "the canary is turned off": (
        {"canary": {**DEV["canary"], "enabled": True}},
        {"canary": {**DEV["canary"], "enabled": False}},
        {
            ("delete", "Namespace data-canary"),
            ("delete", "ConfigMap"),
            ("delete", "Command canary-sweep"),
            ("delete", "Command canary-database"),
            ("delete", "Command canary-streaming"),
            ("change", "Command destroy-guard"),
        },
        set(),
        [],
    ),
    "protected from now on": (
        {},
        {"protect": True},
        {("change", title) for title in (*KAFKA, POSTGRES, "Namespace data", "Command destroy-guard")},
        set(),
        [],
    ),
    "protected no more": (
        {"protect": True},
        {},
        {("change", title) for title in (*KAFKA, POSTGRES, "Namespace data", "Command destroy-guard")},
        set(),
        [],
    ),
    "the namespace is handed over": (
        {},
        {"namespace": {"name": "data", "create": False}},
        {("release", "Namespace data"), ("change", "Command destroy-guard")},
        set(),
        [],
    ),
    "another context of the same cluster": (
        {},
        {"cluster": {**DEV["cluster"], "context": "renamed"}},
        {
            ("change", "Provider cluster"),
            *(("change", f"Command {name}") for name in ("canary-database", "canary-streaming", "canary-sweep", "destroy-guard")),
        },
        set(),
        [],
    ),
}


@pytest.fixture(autouse=True)
def any_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program looks for its context in the kubeconfig.

    Which one is there doesn't matter here.
    """
    monkeypatch.setattr("components.preflight.cluster.check_cluster", lambda settings: None)


@pytest.mark.parametrize(("base", "head", "expected", "because", "problems"), CASES.values(), ids=CASES)
def test_a_change(
    base: dict[str, Any], head: dict[str, Any], expected: set[tuple[str, str]], because: set[str], problems: list[str]
) -> None:
    comparison = compare(plan_of(**base), plan_of(**head))
    assert {(action, "ConfigMap" if title.startswith("ConfigMap") else title) for action, title in touched(comparison)} == expected
    paths = {path for change in comparison.changes for path in change.because}
    assert paths <= because and bool(paths) == bool(because), paths
    assert len(comparison.problems) == len(problems), comparison.problems
    for problem, beginning in zip(sorted(comparison.problems), sorted(problems), strict=True):
        assert problem.startswith(beginning) and "Works: " in problem


def test_another_namespace_takes_every_claim_with_it() -> None:
    comparison = compare(plan_of(), plan_of(namespace={"name": "other", "create": True}))
    assert {change.resource.title for change in comparison.of("replace") if change.resource.type in (CLAIM, NAMESPACE)} == {
        "Namespace other",
        "Namespace other-canary",
        "PersistentVolumeClaim other/data-postgres-0",
        *(f"PersistentVolumeClaim other/data-kafka-{ordinal}" for ordinal in range(3)),
    }
    assert len(comparison.problems) == 5
    assert any(
        problem.startswith("Namespace data: would be replaced (metadata.name data -> other): Kubernetes deletes every claim in a namespace")
        for problem in comparison.problems
    )


def test_another_cluster_replaces_everything_on_it() -> None:
    comparison = compare(plan_of(), plan_of(cluster={**DEV["cluster"], "identifier": "another"}))
    replaced = {change.resource.type for change in comparison.of("replace")}
    assert replaced == {PROVIDER, CLAIM, CLASS, NAMESPACE, COMMAND, "kubernetes:core/v1:ConfigMap", "kubernetes:core/v1:ResourceQuota"}
    assert not comparison.of("create") and not comparison.of("delete")
    assert len(comparison.problems) == 5
    assert all("Provider cluster is replaced" in problem for problem in comparison.problems)


def test_without_a_base_everything_is_new() -> None:
    comparison = compare(None, plan_of())
    assert {change.action for change in comparison.changes} == {"create"} and not comparison.problems


def edited(plan: PreviewPlan, kind: str, edit: Callable[[dict[str, Any]], Any], **options: Any) -> PreviewPlan:
    """The plan with the inputs of every object of a type edited."""

    def new(resource: Planned) -> Planned:
        if resource.type != kind:
            return resource
        inputs = yaml.safe_load(yaml.safe_dump(resource.inputs))
        edit(inputs)
        return replace(resource, inputs=inputs, **options)

    return PreviewPlan({urn: new(resource) for urn, resource in plan.resources.items()})


# What no setting of this program changes, and a change of the program itself would.
EDITS: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str, int]] = {
    "a label": (CLAIM, lambda inputs: inputs["metadata"]["labels"].update(team="a"), "change", 0),
    "a description": (CLASS, lambda inputs: inputs["metadata"]["annotations"].update({"kubernetes.io/description": "new"}), "change", 0),
    "an annotation less": (CLAIM, lambda inputs: inputs["metadata"].pop("annotations"), "change", 0),
    "a class that allows expansion": (CLASS, lambda inputs: inputs.update(allowVolumeExpansion=True), "change", 0),
    "mount options": (CLASS, lambda inputs: inputs.update(mountOptions=["noatime"]), "change", 0),
    "another reclaim policy": (CLASS, lambda inputs: inputs.update(reclaimPolicy="Delete"), "replace", 0),
    "another binding mode": (CLASS, lambda inputs: inputs.update(volumeBindingMode="Immediate"), "replace", 0),
    "another provisioner": (CLASS, lambda inputs: inputs.update(provisioner="ebs.csi.aws.com"), "replace", 0),
    "another name of a class": (CLASS, lambda inputs: inputs["metadata"].update(name="new"), "replace", 0),
    "a volume named in the program": (CLAIM, lambda inputs: inputs["spec"].update(volumeName="pv"), "replace", 4),
    "a selector": (CLAIM, lambda inputs: inputs["spec"].update(selector={"matchLabels": {"a": "b"}}), "replace", 4),
    "a class that is known only later": (CLAIM, lambda inputs: inputs["spec"].update(storageClassName="04da6b54-80e4"), "replace", 4),
    "a raw volume": (CLAIM, lambda inputs: inputs["spec"].update(volumeMode="Block"), "change", 4),
    "another size that is known only later": (CLAIM, lambda i: i["spec"]["resources"]["requests"].update(storage="04da6b54"), "change", 0),
    "a quota's limit": ("kubernetes:core/v1:ResourceQuota", lambda inputs: inputs["spec"]["hard"].update({"count/pods": "2"}), "change", 0),
    "another probe": ("kubernetes:core/v1:ConfigMap", lambda inputs: inputs["data"].update({"probe.py": ""}), "replace", 0),
}

QUOTA = "urn:pulumi:dev::storage-tiers::kubernetes:core/v1:ResourceQuota::tiers"


@pytest.mark.parametrize(("kind", "edit", "action", "problems"), EDITS.values(), ids=EDITS)
def test_a_change_of_the_program(kind: str, edit: Callable[[dict[str, Any]], Any], action: str, problems: int) -> None:
    quota = Planned(QUOTA, {"metadata": {"name": "tiers", "namespace": "data"}, "spec": {"hard": {"count/pods": "1"}}})
    base = PreviewPlan({**plan_of().resources, QUOTA: quota})
    comparison = compare(base, edited(base, kind, edit))
    assert {change.action for change in comparison.changes} == {action}
    assert {change.resource.type for change in comparison.changes} == {kind}
    assert len(comparison.problems) == problems, comparison.problems


def test_a_part_of_a_claims_source_of_data_cannot_change() -> None:
    base = edited(plan_of(), CLAIM, lambda inputs: inputs["spec"].update(dataSource={"kind": "VolumeSnapshot", "name": "monday"}))
    comparison = compare(base, edited(base, CLAIM, lambda inputs: inputs["spec"]["dataSource"].update(name="tuesday")))
    assert len(comparison.problems) == 4
    assert all('spec.dataSource.name: "tuesday": Kubernetes refuses to change it' in each for each in comparison.problems)


def test_a_larger_size_is_fine_where_the_class_allows_expansion() -> None:
    base = edited(plan_of(), CLASS, lambda inputs: inputs.update(allowVolumeExpansion=True))
    larger = edited(base, CLAIM, lambda inputs: inputs["spec"]["resources"]["requests"].update(storage="1Ti"))
    assert {change.action for change in compare(base, larger).changes} == {"change"} and not compare(base, larger).problems
    assert len(compare(larger, base).problems) == 4


def test_without_an_identifier_another_way_to_the_cluster_is_another_cluster() -> None:
    base = edited(plan_of(), PROVIDER, lambda inputs: inputs.pop("clusterIdentifier"))
    head = edited(base, PROVIDER, lambda inputs: inputs.update(context="another"))
    assert len(compare(base, head).problems) == 5


def test_the_providers_that_pulumi_makes_by_itself_are_no_matter() -> None:
    urn = "urn:pulumi:dev::storage-tiers::pulumi:providers:command::default_1_2_1"
    assert not compare(plan_of(), PreviewPlan({**plan_of().resources, urn: Planned(urn, {"version": "1.2.1"})})).changes


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["4Gi", "5Gi", "6Gi", "5120Mi"]),
        "tier": st.sampled_from(["database", "streaming"]),
        "replicas": st.integers(1, 3),
        "accessMode": st.sampled_from(["ReadWriteOnce", "ReadWriteOncePod"]),
    },
)


@given(before=SETTINGS, after=SETTINGS)
def test_a_problem_is_named_iff_a_claim_would_be_lost_or_its_size_refused(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """On claims as the program declares them, without running it each time."""

    def plan(settings: Mapping[str, Any]) -> PreviewPlan:
        resources = {}
        for ordinal in range(settings.get("replicas", 1)):
            urn = f"urn:pulumi:dev::storage-tiers::{CLAIM}::data-a-{ordinal}"
            spec = {
                "accessModes": [settings.get("accessMode", "ReadWriteOnce")],
                "storageClassName": settings.get("tier", "database"),
                "resources": {"requests": {"storage": settings.get("size", "5Gi")}},
            }
            resources[urn] = Planned(urn, {"metadata": {"name": f"data-a-{ordinal}", "namespace": "data"}, "spec": spec})
        return PreviewPlan(resources)

    sizes = {"4Gi": 4, "5Gi": 5, "6Gi": 6, "5120Mi": 5, None: 5}
    lost = max(before.get("replicas", 1) - after.get("replicas", 1), 0)
    kept = before.get("replicas", 1) - lost
    other = any(
        before.get(key, default) != after.get(key, default) for key, default in (("tier", "database"), ("accessMode", "ReadWriteOnce"))
    )
    smaller = sizes[after.get("size")] < sizes[before.get("size")]
    assert len(compare(plan(before), plan(after)).problems) == lost + (kept if other or smaller else 0)
