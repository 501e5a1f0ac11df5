"""What counts as drift: each kind of difference, one at a time, on objects that are otherwise as
declared.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.kube import labels
from ops.drift.compare import Declared, Difference, LiveObjects, Name, differences, remarks
from ops.drift.reading import declared_objects
from ops.drift.undeclared import others
from ops.errors import UserError

CLASS = Name("StorageClass", "", "streaming-local-path")
CLAIM = Name("PersistentVolumeClaim", "data", "data-kafka-0")
NAMESPACE = Name("Namespace", "", "data")
QUOTA = Name("ResourceQuota", "data", "streaming-local-path")
HARD = "streaming-local-path.storageclass.storage.k8s.io/"

STATE: dict[Name, dict[str, Any]] = {
    NAMESPACE: {"metadata": {"name": "data", "labels": labels.recommended("data", "dev", "namespace")}},
    CLASS: {
        "metadata": {
            "name": CLASS.name,
            "labels": labels.recommended("storage-tiers", "dev", "streaming"),
            "annotations": {"storageclass.kubernetes.io/is-default-class": "false"},
        },
        "provisioner": "rancher.io/local-path",
        "parameters": {},
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": False,
        "mountOptions": [],
    },
    QUOTA: {
        "metadata": {"name": QUOTA.name, "namespace": "data", "labels": labels.recommended("storage-tiers", "dev", "streaming")},
        "spec": {"hard": {f"{HARD}requests.storage": "10140Mi", f"{HARD}persistentvolumeclaims": "3"}},
    },
    CLAIM: {
        "metadata": {"name": CLAIM.name, "namespace": "data", "labels": labels.recommended("kafka", "dev", "streaming")},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS.name,
            "resources": {"requests": {"storage": "3380Mi"}},
        },
    },
}
DECLARED = [Declared(name, "v1", fields) for name, fields in STATE.items()]
VOLUME = "pvc-1"
NODES = [{"metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here", "topology.kubernetes.io/zone": "one"}}}]


def cluster() -> dict[Any, Any]:
    """The cluster as it is after an `up` and a first pod: by name, the volumes by theirs."""
    found: dict[Any, Any] = copy.deepcopy(STATE)
    for name, item in found.items():
        item["metadata"]["uid"] = f"uid of {name}"
    found[NAMESPACE]["metadata"]["labels"]["kubernetes.io/metadata.name"] = "data"
    found[CLASS].update({"parameters": None, "mountOptions": None})
    del found[CLASS]["allowVolumeExpansion"]
    found[QUOTA]["status"] = {"hard": {}, "used": {}}
    found[CLAIM]["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    found[CLAIM]["spec"]["volumeName"] = VOLUME
    found[CLAIM]["status"] = {"phase": "Bound"}
    stamp = {**labels.of_stack("dev"), labels.NAME: "kafka", labels.COMPONENT: "streaming", "storage-tiers/ordinal": "0"}
    reference = {"namespace": "data", "name": CLAIM.name, "uid": f"uid of {CLAIM}"}
    found[VOLUME] = {
        "metadata": {"name": VOLUME, "labels": stamp},
        "spec": {"claimRef": reference, "persistentVolumeReclaimPolicy": "Retain"},
    }
    return found


def compared(found: dict[Any, Any], declared: list[Declared] | None = None) -> list[Difference]:
    objects = {name: item for name, item in found.items() if isinstance(name, Name)}
    volumes = {name: item for name, item in found.items() if isinstance(name, str)}
    claims = {name: item for name, item in objects.items() if name.kind == CLAIM.kind}
    return differences(DECLARED if declared is None else declared, LiveObjects(objects, volumes, claims, NODES), "dev")


def on(host: str) -> dict[str, Any]:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}
    return {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}


def put(*path: Any) -> Callable[[dict[Any, Any]], None]:
    """Sets a value at a path; the last two items are the key and the value."""

    def change(found: dict[Any, Any]) -> None:
        *keys, last, value = path
        for key in keys:
            found = found[key]
        found[last] = value

    return change


def drop(*path: Any) -> Callable[[dict[Any, Any]], None]:
    def change(found: dict[Any, Any]) -> None:
        *keys, last = path
        for key in keys:
            found = found[key]
        del found[last]

    return change


def lost(found: dict[Any, Any]) -> None:
    found[CLAIM]["status"]["phase"] = "Lost"
    del found[VOLUME]


def reserved(found: dict[Any, Any]) -> None:
    found["pvc-2"] = {
        "metadata": {"name": "pvc-2", "labels": {}},
        "spec": {"claimRef": {"namespace": "data", "name": CLAIM.name}, "persistentVolumeReclaimPolicy": "Retain"},
    }


def reserved_and_gone(found: dict[Any, Any]) -> None:
    reserved(found)
    del found[CLAIM], found[VOLUME]


def strange(found: dict[Any, Any]) -> None:
    found[Name("PersistentVolumeClaim", "data", "mine")] = {"metadata": {"name": "mine", "labels": labels.of_stack("dev")}, "spec": {}}


PV = Name("PersistentVolume", "", VOLUME)
REFRESH = "`pulumi up --refresh` puts it back"
NEW_CLASS = f"{REFRESH}: the class is made anew, no claim is touched"
DELETE_CLASS = "`kubectl delete storageclass streaming-local-path`, then `pulumi up --refresh` makes it anew"
DELETE_QUOTA = "`kubectl -n data delete resourcequota streaming-local-path`, then `pulumi up --refresh` makes it anew"
ADOPT = "its volume is retained: `python -m ops volumes adopt`, then `pulumi up --refresh` makes it anew"
GOING = "it can't be brought back: what uses or is in it has to end first; then `pulumi up --refresh` makes it anew"
SMALLER = "a volume can't be made smaller: set the service's `size` to that, then `pulumi up --refresh`"
RETAIN = """kubectl patch pv pvc-1 -p '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}'"""
BETA = "storageclass.beta.kubernetes.io/is-default-class"
WHOSE = "metadata.labels: whose data it holds"
INSTANCE = f"metadata.labels.{labels.INSTANCE}"
STORAGE = f"spec.hard.{HARD}requests.storage"

KINDS: dict[str, tuple[Callable[[dict[Any, Any]], None], list[Difference]]] = {
    "a class deleted": (drop(CLASS), [Difference(CLASS, "exists", "yes", "no", "`pulumi up --refresh` makes it anew")]),
    "a class with another reclaim policy": (
        put(CLASS, "reclaimPolicy", "Delete"),
        [Difference(CLASS, "reclaimPolicy", "Retain", "Delete", NEW_CLASS)],
    ),
    "a class with a parameter more": (
        put(CLASS, "parameters", {"nodePath": "/fast"}),
        [Difference(CLASS, "parameters", "{}", '{"nodePath": "/fast"}', f"{DELETE_CLASS}: no claim is touched")],
    ),
    "a class that expands": (
        put(CLASS, "allowVolumeExpansion", True),
        [Difference(CLASS, "allowVolumeExpansion", "false", "true", REFRESH)],
    ),
    "a class with a mount option more": (
        put(CLASS, "mountOptions", ["noatime"]),
        [Difference(CLASS, "mountOptions", "[]", '["noatime"]', f"{DELETE_CLASS}: no claim is touched")],
    ),
    "a class that binds at once": (
        put(CLASS, "volumeBindingMode", "Immediate"),
        [Difference(CLASS, "volumeBindingMode", "WaitForFirstConsumer", "Immediate", NEW_CLASS)],
    ),
    "a class that became the default": (
        put(CLASS, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class", "true"),
        [Difference(CLASS, "metadata.annotations.storageclass.kubernetes.io/is-default-class", "false", "true", REFRESH)],
    ),
    "a class that became the default by the older annotation": (
        put(CLASS, "metadata", "annotations", BETA, "true"),
        [
            Difference(
                CLASS,
                f"metadata.annotations.{BETA}",
                "(none)",
                "true",
                f"storage reads it: `kubectl annotate storageclass streaming-local-path {BETA}-`",
            )
        ],
    ),
    "a claim of another class by the older annotation": (
        put(CLAIM, "metadata", "annotations", "volume.beta.kubernetes.io/storage-class", "gp2"),
        [
            Difference(
                CLAIM,
                "metadata.annotations.volume.beta.kubernetes.io/storage-class",
                "(none)",
                "gp2",
                "storage reads it: `kubectl -n data annotate persistentvolumeclaim data-kafka-0 volume.beta.kubernetes.io/storage-class-`",
            )
        ],
    ),
    "a label of ours gone": (
        drop(CLAIM, "metadata", "labels", labels.INSTANCE),
        [Difference(CLAIM, INSTANCE, "dev", "(none)", REFRESH)],
    ),
    "a label of ours changed": (
        put(NAMESPACE, "metadata", "labels", labels.INSTANCE, "other"),
        [Difference(NAMESPACE, INSTANCE, "dev", "other", REFRESH)],
    ),
    "a claim deleted": (drop(CLAIM), [Difference(CLAIM, "exists", "yes", "no", ADOPT)]),
    "a claim being deleted": (
        put(CLAIM, "metadata", "deletionTimestamp", "2026-01-01T00:00:00Z"),
        [Difference(CLAIM, "is being deleted", "no", "since 2026-01-01T00:00:00Z", GOING)],
    ),
    "a namespace being deleted": (
        put(NAMESPACE, "metadata", "deletionTimestamp", "2026-01-01T00:00:00Z"),
        [Difference(NAMESPACE, "is being deleted", "no", "since 2026-01-01T00:00:00Z", GOING)],
    ),
    "a claim made larger": (
        put(CLAIM, "spec", "resources", "requests", "storage", "4Gi"),
        [Difference(CLAIM, "spec.resources.requests.storage", "3380Mi", "4Gi", SMALLER)],
    ),
    "a claim that lost its volume": (
        lost,
        [Difference(CLAIM, "status.phase", "Bound", "Lost", "its volume was deleted: see `python -m ops volumes`")],
    ),
    "a volume that is being deleted": (
        put(VOLUME, "metadata", "deletionTimestamp", "2026-01-01T00:00:00Z"),
        [
            Difference(
                PV,
                "is being deleted",
                "no",
                "since 2026-01-01T00:00:00Z",
                "`python -m ops volumes adopt` declares its data once more; then stop the pods, `kubectl -n data delete pvc data-kafka-0`, "
                "`python -m ops volumes adopt` again and `pulumi up --refresh`",
            )
        ],
    ),
    "a volume that is gone while its claim says Bound": (
        drop(VOLUME),
        [
            Difference(
                CLAIM,
                "its volume exists",
                "yes",
                "no pvc-1",
                "its data may be there still: stop the pods, `kubectl -n data delete pvc data-kafka-0`, then `python -m ops volumes adopt` "
                "(with `--from` and a saved list where its folder isn't on this machine) and `pulumi up --refresh`",
            )
        ],
    ),
    "a volume whose node is gone": (
        put(VOLUME, "spec", "nodeAffinity", on("old")),
        [
            Difference(
                PV,
                "is usable on",
                "a node of the cluster",
                "node old alone, which is not there",
                "start it again, or join it under the same name; where its disk is lost, so is the data: stop the pods, "
                "`kubectl -n data delete pvc data-kafka-0`, then `pulumi up --refresh` makes an empty claim",
            )
        ],
    ),
    "a claim made again by hand with another class": (
        put(CLAIM, "spec", "storageClassName", "standard"),
        [
            Difference(
                CLAIM,
                "spec.storageClassName",
                CLASS.name,
                "standard",
                "it is another claim under its name: save what is in it, stop its pods, "
                "`kubectl -n data delete persistentvolumeclaim data-kafka-0`, then `pulumi up --refresh` makes it anew",
            )
        ],
    ),
    "a quota raised": (
        put(QUOTA, "spec", "hard", f"{HARD}requests.storage", "20Gi"),
        [Difference(QUOTA, STORAGE, "10140Mi", "20Gi", REFRESH)],
    ),
    "a quota with a limit more": (
        put(QUOTA, "spec", "hard", "pods", "0"),
        [Difference(QUOTA, "spec.hard.pods", "(none)", "0", DELETE_QUOTA)],
    ),
    "a volume that would be deleted": (
        put(VOLUME, "spec", "persistentVolumeReclaimPolicy", "Delete"),
        [Difference(PV, "spec.persistentVolumeReclaimPolicy", "Retain", "Delete", RETAIN)],
    ),
    "a volume that doesn't say whose it is": (
        put(VOLUME, "metadata", "labels", {}),
        [Difference(PV, WHOSE, "kafka 0 of stack dev, tier streaming", "(none)", "`python -m ops volumes` labels it")],
    ),
    "a volume that doesn't say which it is": (
        drop(VOLUME, "metadata", "labels", "storage-tiers/ordinal"),
        [
            Difference(
                PV, WHOSE, "kafka 0 of stack dev, tier streaming", "storage-tiers/ordinal=(none)", "`python -m ops volumes` labels it"
            )
        ],
    ),
    "a volume that says it is another stack's": (
        put(VOLUME, "metadata", "labels", labels.INSTANCE, "other"),
        [
            Difference(
                PV,
                WHOSE,
                "kafka 0 of stack dev, tier streaming",
                f"{labels.INSTANCE}=other",
                "`python -m ops volumes` labels it; find out who labelled it otherwise",
            )
        ],
    ),
    "a volume that another claim has": (
        put(VOLUME, "spec", "claimRef", "uid", "another"),
        [
            Difference(
                PV,
                "spec.claimRef",
                "claim data/data-kafka-0",
                "claim data/data-kafka-0 with uid another",
                "don't start its pods: see `python -m ops volumes`",
            )
        ],
    ),
    "a volume reserved for a claim that has another": (
        reserved,
        [
            Difference(
                Name("PersistentVolume", "", "pvc-2"),
                "is reserved for a claim",
                "data/data-kafka-0",
                "that has pvc-1",
                """give it up: kubectl patch pv pvc-2 -p '{"spec":{"claimRef":{"uid":"00000000-0000-0000-0000-000000000000"}}}'""",
            )
        ],
    ),
    "a volume reserved for a claim that is gone": (
        reserved_and_gone,
        [
            Difference(CLAIM, "exists", "yes", "no", ADOPT),
            Difference(
                Name("PersistentVolume", "", "pvc-2"),
                "is reserved for a claim",
                "data/data-kafka-0",
                "there is no such claim",
                "`pulumi up --refresh` makes the claim, which is then bound to it",
            ),
        ],
    ),
    "a claim that says it is the stack's": (
        strange,
        [
            Difference(
                Name("PersistentVolumeClaim", "data", "mine"),
                INSTANCE,
                "(none)",
                "dev",
                "whoever made it takes the label off: `kubectl -n data label pvc mine app.kubernetes.io/instance-`",
            )
        ],
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_drift_is_named(kind: str) -> None:
    change, expected = KINDS[kind]
    found = cluster()
    change(found)
    assert compared(found) == expected


def test_what_an_up_leaves_and_what_kubernetes_adds_is_none() -> None:
    assert compared(cluster()) == []


def test_a_command_names_a_stack_that_is_not_the_default_one() -> None:
    found = cluster()
    del found[CLAIM]
    todo = [each.todo for each in differences(DECLARED, LiveObjects(found, {}, {}), "mine") if each.object == CLAIM]
    assert todo == [ADOPT.replace("adopt`", "adopt --stack mine`")]


def test_what_a_class_has_none_of_is_not_in_the_state_and_counts() -> None:
    """Pulumi's state leaves out empty lists and mappings."""
    fields = {key: value for key, value in STATE[CLASS].items() if key not in ("parameters", "mountOptions")}
    found = cluster()
    declared = [Declared(CLASS, "v1", fields) if each.name == CLASS else each for each in DECLARED]
    assert compared(found, declared) == []
    found[CLASS].update(
        {"parameters": {"nodePath": "/fast"}, "mountOptions": ["noatime"], "allowedTopologies": [{"matchLabelExpressions": []}]}
    )
    differ = compared(found, declared)
    assert [each.what for each in differ] == ["parameters", "mountOptions", "allowedTopologies"]
    assert {each.todo for each in differ} == {f"{DELETE_CLASS}: no claim is touched"}


def test_a_claim_that_waits_for_its_first_pod_is_none() -> None:
    found = cluster()
    del found[CLAIM]["spec"]["volumeName"], found[VOLUME]
    found[CLAIM]["status"]["phase"] = "Pending"
    assert compared(found) == []
    reserved(found)  # and then is bound to this one
    assert compared(found) == []


def test_another_spelling_of_a_quantity_is_none() -> None:
    found = cluster()
    put(QUOTA, "spec", "hard", f"{HARD}requests.storage", str(10140 * 2**20))(found)
    assert compared(found) == []


def test_a_namespace_of_somebody_else_only_has_to_be_there() -> None:
    theirs = [Declared(NAMESPACE, "v1", {}, ours=False)]
    there = {NAMESPACE: {"metadata": {"name": "data", "labels": {"team": "blue"}}}}
    assert compared(there, theirs) == []
    assert compared({}, theirs) == [Difference(NAMESPACE, "exists", "yes", "no", "`kubectl create namespace data`")]


PLATFORM: list[tuple[Name, str, str, str]] = [
    (NAMESPACE, "labels", "field.cattle.io/projectId", "p-1"),
    (NAMESPACE, "annotations", "field.cattle.io/projectId", "c-1:p-1"),
    (NAMESPACE, "labels", "pod-security.kubernetes.io/warn", "restricted"),
    (NAMESPACE, "annotations", "openshift.io/sa.scc.uid-range", "1000680000/10000"),
    (CLASS, "labels", "argocd.argoproj.io/instance", "storage"),
    (CLASS, "annotations", BETA, "false"),
    (CLAIM, "labels", "kustomize.toolkit.fluxcd.io/name", "apps"),
    (CLAIM, "annotations", "ebs.csi.aws.com/iops", "4000"),  # no volume of that driver
    (CLAIM, "annotations", "volumeType", "hostPath"),  # read when a volume is made, and this claim has one
    (QUOTA, "labels", "team", "blue"),
]


@pytest.mark.parametrize(("name", "field", "key", "value"), PLATFORM)
def test_what_platforms_add_and_storage_does_not_read_is_none_and_can_be_looked_at(name: Name, field: str, key: str, value: str) -> None:
    found = cluster()
    found[name]["metadata"].setdefault(field, {})[key] = value
    assert compared(found) == []
    objects = {each: item for each, item in found.items() if isinstance(each, Name)}
    shown = [(each.object, each.what, each.declared, each.found) for each in others(DECLARED, objects)]
    assert shown == [(name, f"metadata.{field}.{key}", "(none)", value)]


@pytest.mark.parametrize(
    ("driver", "key", "value", "bound"),
    [
        ("ebs.csi.aws.com", "ebs.csi.aws.com/iops", "4000", True),
        ("rancher.io/local-path", "volumeType", "hostPath", False),
    ],
)
def test_what_a_driver_reads_on_a_claim_is_drift_on_its_volumes(driver: str, key: str, value: str, bound: bool) -> None:
    declared = [Declared(CLASS, "v1", {**STATE[CLASS], "provisioner": driver}), Declared(CLAIM, "v1", STATE[CLAIM])]
    found = cluster()
    found[CLASS]["provisioner"] = driver
    found[CLAIM]["metadata"]["annotations"][key] = value
    if not bound:
        del found[CLAIM]["spec"]["volumeName"], found[VOLUME]
    assert [(each.object, each.what) for each in compared(found, declared)] == [(CLAIM, f"metadata.annotations.{key}")]


def test_a_declared_label_that_a_platform_took_away_is_drift_as_ever() -> None:
    found = cluster()
    found[NAMESPACE]["metadata"]["labels"] = {"field.cattle.io/projectId": "p-1"}
    assert {each.what for each in compared(found)} == {f"metadata.labels.{key}" for key in STATE[NAMESPACE]["metadata"]["labels"]}


def test_a_node_that_is_not_ready_and_a_zone_without_one_are_worth_a_word_and_no_drift() -> None:
    found = cluster()
    found[VOLUME]["spec"]["nodeAffinity"] = on("here")
    not_ready = [{**NODES[0], "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}]
    zone = {"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["two"]}
    in_zone = {"required": {"nodeSelectorTerms": [{"matchExpressions": [zone]}]}}
    for affinity, nodes, words in (
        (on("here"), not_ready, "node here alone, which is not Ready"),
        (in_zone, NODES, "zone two alone, which is not there"),
    ):
        found[VOLUME]["spec"]["nodeAffinity"] = affinity
        objects = {name: item for name, item in found.items() if isinstance(name, Name)}
        seen = LiveObjects(objects, {VOLUME: found[VOLUME]}, {CLAIM: found[CLAIM]}, nodes)
        assert differences(DECLARED, seen, "dev") == []
        assert [(each.object, each.found) for each in remarks(DECLARED, seen)] == [(PV, words)]


def test_where_nodes_may_not_be_read_nothing_is_said_of_them() -> None:
    found = cluster()
    found[VOLUME]["spec"]["nodeAffinity"] = on("old")
    objects = {name: item for name, item in found.items() if isinstance(name, Name)}
    seen = LiveObjects(objects, {VOLUME: found[VOLUME]}, {CLAIM: found[CLAIM]}, None)
    assert differences(DECLARED, seen, "dev") == []
    assert remarks(DECLARED, seen) == []


def test_an_empty_state_has_none() -> None:
    assert compared({}, []) == []


@pytest.mark.skipif(sys.platform == "win32", reason="the `pulumi` of these tests is a script")
class TestTheState:
    @staticmethod
    def pulumi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        program = folder / "pulumi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    def test_its_objects_are_those_of_the_kubernetes_plugin(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        inputs = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **STATE[CLAIM]}
        resources = [
            {"urn": "a", "type": "pulumi:pulumi:Stack"},
            {"urn": "b", "type": "kubernetes:core/v1:PersistentVolumeClaim", "id": "data/data-kafka-0", "inputs": inputs},
            {"urn": "c", "type": "kubernetes:core/v1:Namespace", "id": "data", "external": True},
            {"urn": "d", "type": "kubernetes:storage.k8s.io/v1:StorageClass", "id": "old", "inputs": {}, "delete": True},
        ]
        exported = tmp_path / "state.json"
        exported.write_text(json.dumps({"version": 3, "deployment": {"resources": resources}}))
        self.pulumi(tmp_path, monkeypatch, f'while IFS= read -r line; do echo "$line"; done < {exported}; echo "$line"')
        assert declared_objects("dev") == [
            Declared(CLAIM, "v1", STATE[CLAIM]),
            Declared(NAMESPACE, "v1", {}, ours=False),
        ]

    def test_one_that_can_not_be_read_is_told_in_pulumis_words(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pulumi(tmp_path, monkeypatch, "echo 'error: no stack named dev' >&2; exit 255")
        with pytest.raises(UserError, match=r"the state of stack dev can't be read: .*\n  error: no stack named dev"):
            declared_objects("dev")

    def test_without_pulumi_it_is_said_where_it_would_be(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(UserError, match=r"`pulumi` is not on PATH.\nPut it there: `. .dev/env`"):
            declared_objects("dev")
