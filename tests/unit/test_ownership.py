"""The stamp: what is stamped as what, and that nothing else ever is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.canary.manifests import canary_labels
from components.kube import labels
from components.kube.ownership import ORDINAL, Stamp, claim_name, due, parse_claim_name, stamp_volumes

STAMP = Stamp("dev", "kafka", 1, "streaming")


def claim(name: str = "data-kafka-1", uid: str = "u1", volume: str | None = "pv1", **changed: str) -> dict[str, Any]:
    parsed = parse_claim_name(name)
    made = labels.recommended(parsed[0] if parsed else "kafka", "dev", "streaming") | changed
    return {"metadata": {"name": name, "uid": uid, "labels": made}, "spec": {"volumeName": volume} if volume else {}}


def volume(name: str = "pv1", uid: str = "u1", version: str = "1", **changed: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version, "labels": changed}, "spec": {"claimRef": {"uid": uid}}}


@given(st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True), st.integers(0, 1000))
def test_a_claims_name_and_its_parts(service: str, ordinal: int) -> None:
    assert parse_claim_name(claim_name(service, ordinal)) == (service, ordinal)


@pytest.mark.parametrize("name", ["data-kafka", "data-kafka-01", "data-kafka-1x", "log-kafka-1", "data--", "data-1"])
def test_names_of_another_form(name: str) -> None:
    assert parse_claim_name(name) is None


def test_a_stamp_is_read_back_from_its_labels() -> None:
    assert Stamp.of({**STAMP.labels, "mine": "too"}) == STAMP


@pytest.mark.parametrize("key", STAMP.labels)
def test_a_damaged_stamp_is_none(key: str) -> None:
    assert Stamp.of({name: value for name, value in STAMP.labels.items() if name != key}) is None
    assert Stamp.of({**STAMP.labels, ORDINAL: "one"}) is None


def test_a_canarys_labels_are_no_stamp() -> None:
    assert Stamp.of(canary_labels("dev", "streaming")) is None


def test_what_is_bound_both_ways_is_due() -> None:
    assert [(found["metadata"]["name"], stamp) for found, stamp in due([claim()], [volume()], "dev")] == [("pv1", STAMP)]


@pytest.mark.parametrize(
    ("claims", "volumes"),
    [
        ([claim()], [volume(uid="another claim of that name")]),
        ([claim()], [volume(name="pv2")]),  # names the claim, but the claim is bound to another
        ([claim(volume=None)], [volume()]),
        ([claim(**{"app.kubernetes.io/instance": "other"})], [volume()]),
        ([claim(**{"app.kubernetes.io/part-of": "something"})], [volume()]),
        ([claim(**{"app.kubernetes.io/name": "postgres"})], [volume()]),
        ([claim("notes")], [volume()]),
        ([claim()], [volume(**STAMP.labels)]),  # has it already
        ([claim()], [{"metadata": {"name": "pv1", "resourceVersion": "1"}, "spec": {}}]),
    ],
)
def test_nothing_else_is(claims: list[dict[str, Any]], volumes: list[dict[str, Any]]) -> None:
    assert list(due(claims, volumes, "dev")) == []


class Recorded:
    """An API with one claim and one volume, whose first `conflicts` patches come too late."""

    def __init__(self, conflicts: int) -> None:
        self.conflicts = conflicts
        self.volume = volume()

    def get(self, path: str) -> dict[str, Any]:
        return {"items": [self.volume]} if path == "/api/v1/persistentvolumes" else {"items": [claim()]}

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        assert path == "/api/v1/persistentvolumes/pv1"
        assert body["metadata"]["resourceVersion"] == self.volume["metadata"]["resourceVersion"]
        if self.conflicts:
            self.conflicts -= 1
            self.volume["metadata"]["resourceVersion"] += "0"
            return None
        self.volume["metadata"]["labels"] = body["metadata"]["labels"]
        return self.volume


@pytest.mark.parametrize("conflicts", [0, 1, 4])
def test_a_volume_that_changes_is_looked_at_again(conflicts: int) -> None:
    api = Recorded(conflicts)
    assert stamp_volumes(api, "data", "dev") == ["pv1"]
    assert Stamp.of(api.volume["metadata"]["labels"]) == STAMP
    assert stamp_volumes(api, "data", "dev") == []
