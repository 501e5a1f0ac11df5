"""What ops asks of the API: which paths, and what is made of the answers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from components.kube.api import ApiError, Json, KubeApi
from components.kube.labels import of_stack, recommended
from ops.drift.compare import Declared, Name
from ops.drift.reading import look
from ops.errors import UserError
from ops.healing import quotas
from ops.healing.objects import Objects
from ops.healing.state import Ref
from ops.volumes.api import VolumesApi

CORE = {
    "resources": [
        {"name": "persistentvolumeclaims", "kind": "PersistentVolumeClaim", "namespaced": True, "verbs": ["get", "list"]},
        {"name": "persistentvolumeclaims/status", "kind": "PersistentVolumeClaim", "namespaced": True, "verbs": ["get"]},
        {"name": "namespaces", "kind": "Namespace", "namespaced": False, "verbs": ["get", "list"]},
    ]
}
CLASSES = {"resources": [{"name": "storageclasses", "kind": "StorageClass", "namespaced": False, "verbs": ["get", "list"]}]}
QUOTA = "streaming.storageclass.storage.k8s.io/persistentvolumeclaims"


class Recorded(KubeApi):
    """An API that has these answers, or statuses instead; what isn't among them is not there."""

    def __init__(self, answers: dict[str, Any]) -> None:
        self.context = "here"
        self.answers = answers
        self.asked: list[str] = []
        self.sent: list[tuple[str, str, Json]] = []

    def request(self, method: str, path: str, body: Json | None = None, **_: Any) -> Json:
        self.asked.append(path)
        found = self.answers.get(path, 404)
        if isinstance(found, int):
            raise ApiError(f"the API answered {found}", found, context=self.context, path=path)
        if body is not None:
            self.sent.append((method, path, body))
        return cast(Json, found)


def named(name: str, namespace: str = "", **more: Any) -> Json:
    return {"metadata": {"name": name, **({"namespace": namespace} if namespace else {}), **more}}


def test_drift_reads_lists_in_namespaces_and_the_clusters_objects_one_by_one() -> None:
    claim = {**named("data-kafka-0", "data"), "spec": {}}
    api = Recorded(
        {
            "/api/v1": CORE,
            "/apis/storage.k8s.io/v1": CLASSES,
            "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [claim]},
            "/apis/storage.k8s.io/v1/storageclasses/fast": named("fast"),
            "/api/v1/persistentvolumes": {"items": [named("pv1")]},
        }
    )
    declared = [
        Declared(Name("PersistentVolumeClaim", "data", "data-kafka-0"), "v1", {}),
        Declared(Name("StorageClass", "", "fast"), "storage.k8s.io/v1", {}),
        Declared(Name("StorageClass", "", "gone"), "storage.k8s.io/v1", {}),
        Declared(Name("VolumeSnapshotClass", "", "x"), "snapshot.storage.k8s.io/v1", {}),
    ]
    seen = look(api, declared)
    assert set(seen.objects) == {declared[0].name, declared[1].name}
    assert list(seen.claims) == [declared[0].name]
    assert list(seen.volumes) == ["pv1"]
    assert len(api.asked) == len(set(api.asked)), "nothing is asked twice"
    assert "/apis/storage.k8s.io/v1/storageclasses" not in api.asked, "the right to read these alone is enough"


@pytest.mark.parametrize(("answer", "nodes"), [({"items": [named("n1")]}, ["n1"]), (403, None)])
def test_drift_reads_the_nodes_of_bound_volumes_where_it_may(answer: Any, nodes: list[str] | None) -> None:
    claim = {**named("data-kafka-0", "data"), "spec": {"volumeName": "pv1"}}
    answers = {
        "/api/v1": CORE,
        "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [claim]},
        "/api/v1/persistentvolumes": {"items": [named("pv1")]},
        "/api/v1/nodes": answer,
    }
    seen = look(Recorded(answers), [Declared(Name("PersistentVolumeClaim", "data", "data-kafka-0"), "v1", {})])
    assert (None if seen.nodes is None else [each["metadata"]["name"] for each in seen.nodes]) == nodes


def test_a_right_that_is_missing_for_drift_is_no_absence() -> None:
    with pytest.raises(ApiError) as refused:
        look(Recorded({"/api/v1": 403}), [Declared(Name("Namespace", "", "data"), "v1", {})])
    assert (refused.value.status, refused.value.path) == (403, "/api/v1")


def test_healing_lists_what_it_may_and_finds_by_what_is_declared() -> None:
    ours = named("data-kafka-0", "data", labels=recommended("kafka", "dev", "streaming"), deletionTimestamp="now")
    api = Recorded(
        {
            "/api/v1": CORE,
            "/apis/storage.k8s.io/v1/storageclasses": 403,
            "/api/v1/namespaces": {"items": [named("data")]},
            "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [ours]},
            "/api/v1/namespaces/data/configmaps": {"items": []},
            "/api/v1/namespaces/data/resourcequotas": {"items": []},
            "/api/v1/namespaces/data/persistentvolumeclaims/data-kafka-0": ours,
        }
    )
    objects = Objects(api)
    namespace, claim = objects.list_all(["data"])
    assert (namespace.ref, namespace.owner(), namespace.is_of("dev")) == (Ref("Namespace", "", "data"), "without labels", False)
    assert (claim.ref, claim.owner(), claim.is_of("dev"), claim.terminating) == (
        Ref("PersistentVolumeClaim", "data", "data-kafka-0"),
        "of stack dev",
        True,
        True,
    )
    inputs = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    assert objects.find({**inputs, **named("data-kafka-0", "data")}) == claim
    assert objects.find({**inputs, **named("data-kafka-1", "data")}) is None
    with pytest.raises(UserError, match=r"the cluster has no Backup of example.com/v1"):
        objects.find({"apiVersion": "example.com/v1", "kind": "Backup", **named("x")})


def test_a_quota_that_counts_too_many_is_raised_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "_COUNTED_WITHIN", 0.3)
    quota = {**named("streaming"), "spec": {"hard": {QUOTA: "3", "pods": "9"}}, "status": {"hard": {QUOTA: "4"}, "used": {QUOTA: "2"}}}
    path = "/api/v1/namespaces/data/resourcequotas/streaming"
    api = Recorded(
        {
            "/api/v1/namespaces/data/resourcequotas?labelSelector=" + ",".join(f"{k}={v}" for k, v in of_stack("dev").items()): {
                "items": [quota]
            },
            "/api/v1/namespaces/data/persistentvolumeclaims": {"items": [{"spec": {"storageClassName": "streaming"}}]},
            path: quota,
        }
    )
    quotas.recount(api, "data", "dev")
    assert [(method, where, body["spec"]["hard"]) for method, where, body in api.sent] == [
        ("PATCH", path, {QUOTA: "4"}),
        ("PATCH", path, {QUOTA: "3"}),
    ]
    quotas.recount(Recorded({}), "data", "dev")  # without the namespace
    with pytest.raises(ApiError):
        quotas.recount(Recorded({next(iter(api.answers)): 500}), "data", "dev")


def test_volumes_that_changed_meanwhile_or_are_there_already() -> None:
    api = Recorded({"/api/v1/persistentvolumes/pv1": 409, "/api/v1/persistentvolumes": 409, "/api/v1/persistentvolumes/pv2": named("pv2")})
    volumes = VolumesApi(api)
    assert not volumes.change_volume("pv1", {})
    assert not volumes.change_volume("gone", {})
    assert volumes.change_volume("pv2", {})
    assert not volumes.create_volume({})
    api.answers["/api/v1/persistentvolumes"] = named("pv3")
    assert volumes.create_volume({})
    api.answers["/api/v1/namespaces/data"] = named("data", deletionTimestamp="now")
    assert volumes.namespace_is_going("data")
    assert not volumes.namespace_is_going("gone")
