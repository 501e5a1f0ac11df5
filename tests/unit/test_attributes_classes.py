"""VolumeAttributesClasses: under which names, which are kept, and what a destroy does with them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import pulumi
import pytest

from components.destroy_guard import check
from components.kube import labels
from components.kube.api import KubeApi
from components.kube.attributes import PATH, TAKEN_OFF, AttributesClass, name_for, to_give_back, users
from tests.unit.mocked_program import COMMAND, Run, run, stack_config
from tests.unit.test_destroy_guard import Recorded

VAC = "kubernetes:storage.k8s.io/v1:VolumeAttributesClass"
DRIVER = "ebs.csi.aws.com"
PLAIN = "database-ebs-fast"
FAST = {"iops": "6000", "throughput": "500"}


def manifest(
    name: str, parameters: dict[str, str] | None = None, *, stack: str = "aws", tier: str = "database", **metadata: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": labels.recommended("storage-tiers", stack, tier), **metadata},
        "driverName": DRIVER,
        "parameters": FAST if parameters is None else parameters,
    }


def found(*manifests: dict[str, Any]) -> list[AttributesClass]:
    return [AttributesClass.of(each) for each in manifests]


def name(parameters: dict[str, str], *there: dict[str, Any]) -> str:
    return name_for(PLAIN, DRIVER, parameters, "aws", found(*there)).name


class TestNames:
    def test_another_content_is_another_name_and_the_same_one_is_the_same(self) -> None:
        assert name(FAST) == name(dict(reversed(FAST.items())))
        assert name(FAST).startswith(f"{PLAIN}-")
        assert len({name(FAST), name({**FAST, "iops": "6001"}), name_for(PLAIN, "other", FAST, "aws", []).name}) == 3

    def test_one_of_an_older_version_is_kept_as_long_as_its_content_is_wanted(self) -> None:
        assert name(FAST, manifest(PLAIN)) == PLAIN
        assert name({"iops": "9000"}, manifest(PLAIN)) == name({"iops": "9000"})

    @pytest.mark.parametrize(
        "there",
        [
            {"deletionTimestamp": "2026-11-26T10:00:00Z"},
            {"stack": "another"},
            {"labels": {}},
            {"parameters": {"iops": "1"}},
        ],
    )
    def test_one_that_is_going_or_somebody_elses_is_not_had(self, there: dict[str, Any]) -> None:
        first = name(FAST)
        other = name(FAST, manifest(first, **there), manifest(PLAIN, **there))
        assert other not in (first, PLAIN)
        assert name(FAST, manifest(first, **there), manifest(other)) == other  # and stays

    def test_the_one_that_is_there_is_told_from_one_that_is_to_be_made(self) -> None:
        assert name_for(PLAIN, DRIVER, FAST, "aws", found(manifest(name(FAST)))).there
        assert not name_for(PLAIN, DRIVER, FAST, "aws", []).there


def test_what_names_a_class() -> None:
    claim = {
        "metadata": {"namespace": "data", "name": "data-a-0"},
        "spec": {"volumeAttributesClassName": "asked"},
        "status": {"currentVolumeAttributesClassName": "has", "modifyVolumeStatus": {"targetVolumeAttributesClassName": "asked"}},
    }
    plain = {"metadata": {"namespace": "data", "name": "data-b-0"}, "spec": {}}
    volume = {"metadata": {"name": "pv"}, "spec": {"volumeAttributesClassName": "has"}}
    assert dict(users([claim, plain], [volume, {"metadata": {"name": "x"}, "spec": {}}])) == {
        "asked": ["claim data/data-a-0"],
        "has": ["claim data/data-a-0", "volume pv"],
    }


def answers(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any] | int) -> None:
    """The cluster tells its classes, and nothing else."""
    real = KubeApi.get

    def get(api: KubeApi, path: str, accept: str = "application/json") -> dict[str, Any]:
        return Recorded({PATH: answer}).get(path) if path.split("?", maxsplit=1)[0] == PATH else real(api, path, accept)

    monkeypatch.setattr(KubeApi, "get", get)


def declared(monkeypatch: pytest.MonkeyPatch, *there: dict[str, Any], stack: str = "aws", **attributes: dict[str, Any]) -> Run:
    answers(monkeypatch, {"items": list(there)})
    tiers = {
        "database": {"type": "gp3", "iops": 3000, "attributes": attributes} if attributes else {"type": "gp3"},
        "streaming": {"type": "gp3"},
    }
    return run(stack_config(stack, tiers=tiers), stack=stack)


class TestProgram:
    def test_pulumi_never_deletes_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        (made,) = declared(monkeypatch, fast={"iops": 6000, "throughput": 500}).of(VAC).values()
        assert (made.inputs["metadata"]["name"], made.name) == (name(FAST), name(FAST).replace("database-ebs", "database"))
        assert made.request.retainOnDelete
        assert not made.request.deleteBeforeReplace
        assert not made.request.importId

    def test_old_content_stays_declared_as_it_is_beside_the_new(self, monkeypatch: pytest.MonkeyPatch) -> None:
        old, older = {"iops": "4000"}, manifest(f"{PLAIN}-0a0a0a0a", {"iops": "5000"}, deletionTimestamp="2026-11-26T10:00:00Z")
        made = declared(monkeypatch, manifest(PLAIN, old), older, fast={"iops": 6000, "throughput": 500}).of(VAC)
        assert {key: each.inputs["parameters"] for key, each in made.items()} == {
            name(FAST): FAST,
            PLAIN: old,
            older["metadata"]["name"]: {"iops": "5000"},
        }
        # The URN of states from before, so that nothing is deleted.
        assert {each.name: each.request.importId for each in made.values()} == {
            name(FAST).replace("database-ebs", "database"): "",
            "database-fast": PLAIN,
            "database-fast-0a0a0a0a": older["metadata"]["name"],
        }

    def test_one_that_no_setting_has_any_more_stays_too_and_others_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        others = [manifest("database-ebs-b", stack="another"), manifest("database-ebs-c", tier="streaming"), manifest("mine", labels={})]
        made = declared(monkeypatch, manifest(PLAIN), *others)
        assert list(made.of(VAC)) == [PLAIN]
        assert "--keeps-attributes" in made.of(COMMAND)["destroy-guard"].inputs["interpreter"]

    def test_a_stack_without_any_has_the_guard_that_it_had(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "--keeps-attributes" not in declared(monkeypatch).of(COMMAND)["destroy-guard"].inputs["interpreter"]

    def test_who_may_not_list_them_is_told_and_goes_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        answers(monkeypatch, HTTPStatus.FORBIDDEN)
        monkeypatch.setattr(pulumi.log, "warn", said.append)
        tiers = {"database": {"type": "gp3", "attributes": {"fast": {"iops": 6000}}}, "streaming": {"type": "gp3"}}
        assert len(run(stack_config("aws", tiers=tiers), stack="aws").of(VAC)) == 1
        assert [words for words in said if "which VolumeAttributesClasses the cluster" in words]


class Cluster(Recorded):
    def __init__(self, *there: dict[str, Any], used_by: str = "", answer: int | None = None, claims: Sequence[Any] = ()) -> None:
        volume = {"metadata": {"name": "pv"}, "spec": {"volumeAttributesClassName": used_by}}
        lists: dict[str, Any] = {
            PATH: {"items": list(there)} if answer is None else answer,
            "/api/v1/persistentvolumeclaims": {"items": [*claims]},
            "/api/v1/persistentvolumes": {"items": [volume] if used_by else []},
        }
        super().__init__(lists)
        self.deleted: list[str] = []

    def delete(self, path: str, **_: Any) -> bool:
        self.deleted.append(path.rpartition("/")[2])
        return True


class TestDestroy:
    def test_what_nothing_names_is_deleted_and_what_a_volume_names_stays(self, capsys: pytest.CaptureFixture[str]) -> None:
        cluster = Cluster(manifest("a"), manifest("b"), manifest("c", stack="another"), used_by="b")
        check.attributes_classes(cluster, "data", "aws", left=True)
        assert cluster.deleted == ["a"]
        assert capsys.readouterr().err == "VolumeAttributesClass b stays: volume pv. The next `pulumi up` has it.\n"

    def test_a_state_from_before_is_refused_where_pulumi_would_fail_for_ever(self) -> None:
        cluster = Cluster(manifest(PLAIN), used_by=PLAIN)
        with pytest.raises(check.Refusal, match="volume pv") as refused:
            check.attributes_classes(cluster, "data", "aws", left=False)
        assert "Run `pulumi up` once" in str(refused.value)
        assert not cluster.deleted

    def test_a_state_from_before_is_left_to_pulumi_where_nothing_names_them(self) -> None:
        cluster = Cluster(manifest(PLAIN))
        check.attributes_classes(cluster, "data", "aws", left=False)
        assert not cluster.deleted

    @pytest.mark.parametrize(
        ("namespace", "marks", "deleted"),
        [
            ("new", labels.recommended("kafka", "aws", "streaming"), []),
            ("data", labels.recommended("kafka", "aws", "streaming"), ["a"]),
            ("new", labels.recommended("kafka", "another", "streaming"), ["a"]),
            ("data-canary", {**labels.recommended("canary", "aws", "streaming"), labels.MANAGED_BY: labels.CANARY}, ["a"]),
        ],
    )
    def test_a_stack_that_has_moved_to_another_namespace_keeps_its_classes(
        self, namespace: str, marks: dict[str, str], deleted: list[str]
    ) -> None:
        claim = {"metadata": {"namespace": namespace, "name": "data-kafka-0", "labels": marks}, "spec": {}}
        cluster = Cluster(manifest("a"), claims=[claim])
        check.attributes_classes(cluster, "data", "aws", left=True)
        assert cluster.deleted == deleted

    def test_a_cluster_without_the_kind_is_no_obstacle(self, capsys: pytest.CaptureFixture[str]) -> None:
        check.attributes_classes(Cluster(answer=404), "data", "aws", left=False)
        assert not capsys.readouterr().err

    def test_without_the_right_the_destroy_goes_on_and_says_how_to_find_them(self, capsys: pytest.CaptureFixture[str]) -> None:
        check.attributes_classes(Cluster(answer=403), "data", "aws", left=True)
        assert "get volumeattributesclasses -l app.kubernetes.io/part-of=storage-tiers" in capsys.readouterr().err


def test_an_adopted_volumes_class_is_asked_for_until_its_claim_names_one() -> None:
    volume = {"metadata": {"name": "pv", "annotations": {TAKEN_OFF: "database-ebs-fast"}}, "spec": {}}
    claim: dict[str, Any] = {"metadata": {"name": "data-a-0"}, "spec": {}}
    assert to_give_back(claim, volume) == "database-ebs-fast"
    assert to_give_back({**claim, "spec": {"volumeAttributesClassName": "another"}}, volume) == ""
    assert to_give_back(claim, {"metadata": {"name": "pv"}, "spec": {}}) == ""
