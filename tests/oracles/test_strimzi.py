"""The blocks for Strimzi in docs/consumers.md, as an API server with Strimzi's own CRDs takes them:
with every field checked, and nothing stored."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest
import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from devkube import paths
from tests.conftest import eventually
from tests.oracles.strimzi_crds import VERSION, crds

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

GROUP = "kafka.strimzi.io"
Taking: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def blocks() -> list[dict[str, Any]]:
    """The objects of Strimzi's that the page has."""
    page = (paths.ROOT / "docs/consumers.md").read_text(encoding="utf-8")
    found = [each for block in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) for each in yaml.safe_load_all(block)]
    return [each for each in found if each["apiVersion"].startswith(f"{GROUP}/")]


@pytest.fixture(scope="module")
def taking(api: client.ApiClient) -> Iterator[Taking]:
    """Gives an object to the API server as `kubectl apply --dry-run=server` does."""
    definitions, objects = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    made = crds()
    for each in made.values():
        definitions.create_custom_resource_definition(each)
    names = [each["metadata"]["name"] for each in made.values()]

    def established() -> bool:
        found = [definitions.read_custom_resource_definition(name).status.conditions or [] for name in names]
        return all(any(each.type == "Established" and each.status == "True" for each in listed) for listed in found)

    def take(given: dict[str, Any]) -> dict[str, Any]:
        plural = made[given["kind"]]["spec"]["names"]["plural"]
        group, version = given["apiVersion"].split("/")
        options = {"dry_run": "All", "field_validation": "Strict"}
        answer: dict[str, Any] = objects.create_namespaced_custom_object(group, version, "default", plural, given, **options)
        return answer

    try:
        eventually(established, "Strimzi's kinds are there", 60)
        yield take
    finally:
        for name in names:
            definitions.delete_custom_resource_definition(name)


def here(block: dict[str, Any]) -> dict[str, Any]:
    """The object in a namespace that is there."""
    made = copy.deepcopy(block)
    made["metadata"]["namespace"] = "default"
    return made


def test_the_page_has_a_node_pool() -> None:
    assert "KafkaNodePool" in [each["kind"] for each in blocks()]
    assert {each["apiVersion"] for each in blocks()} == {f"{GROUP}/{VERSION}"}


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block["kind"])
def test_what_the_page_has_is_taken_as_it_stands(taking: Taking, block: dict[str, Any]) -> None:
    assert taking(here(block))["spec"] == block["spec"], "no field is dropped"


def volume(pool: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = pool["spec"]["storage"]["volumes"][0]
    return found


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda pool: volume(pool).update(deleteClaims=False), "deleteClaims"),
        (lambda pool: volume(pool).update(storageClass="x"), "storageClass"),
        (lambda pool: volume(pool).update(kraftMetadata="own"), "kraftMetadata"),
        (lambda pool: volume(pool).update(type="claim"), "type"),
        (lambda pool: volume(pool).update(size=3380), "size"),
        (lambda pool: pool["spec"].update(roles=["leader"]), "roles"),
        (lambda pool: pool["spec"].pop("replicas"), "replicas"),
        (lambda pool: pool["spec"].pop("storage"), "storage"),
    ],
)
def test_what_is_wrong_is_refused(taking: Taking, spoil: Callable[[dict[str, Any]], object], said: str) -> None:
    spoiled = here(next(each for each in blocks() if each["kind"] == "KafkaNodePool"))
    spoil(spoiled)
    with pytest.raises(ApiException) as caught:
        taking(spoiled)
    assert caught.value.status in (400, 422)
    assert said in str(caught.value.body)
