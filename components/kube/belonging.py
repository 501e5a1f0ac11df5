"""The objects in a namespace, and whose they are: a stack's, Kubernetes' own, or somebody else's.

By their metadata alone. No import beyond the standard library: a destroy asks this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from http import HTTPStatus
from typing import Any, NamedTuple

from components.kube import labels
from components.kube.discovery import Discovery
from components.kube.errors import ApiError
from components.kube.everywhere import METADATA, Candidate, ListingApi, in_every_namespace

OUR_KINDS = {"PersistentVolumeClaim", "ResourceQuota"}  # what a stack makes in its namespace
CANARY_KINDS = {"ConfigMap", "Pod", "PersistentVolumeClaim"}  # what a stack and its canaries make in their namespace
PASSING_KINDS = {"Event"}  # records of what happened, which expire
# Kubernetes makes these in every namespace by itself.
GIVEN = {("ServiceAccount", "default"), ("ConfigMap", "kube-root-ca.crt")}
TOKEN_OF = "kubernetes.io/service-account.name"


class Object(NamedTuple):
    """What tells whose a Kubernetes object is."""

    kind: str
    name: str
    uid: str
    labels: dict[str, str]
    annotations: dict[str, str]
    owners: tuple[str, ...]
    managers: frozenset[str] = frozenset()
    """Who has written it: the managers of its `managedFields`."""
    path: str = ""
    """The path of the list of its kind in all namespaces."""

    @classmethod
    def of(cls, kind: str, metadata: dict[str, Any], path: str = "") -> Object:
        """From the object's `metadata`, as the API's JSON has it."""
        owners = tuple(owner["uid"] for owner in metadata.get("ownerReferences") or [])
        marks, notes = metadata.get("labels") or {}, metadata.get("annotations") or {}
        managers = frozenset(each.get("manager", "") for each in metadata.get("managedFields") or [])
        return cls(kind, metadata["name"], metadata.get("uid", ""), marks, notes, owners, managers, path)

    def __str__(self) -> str:
        return f"{self.kind.lower()}/{self.name}"


def is_ours(found: Object, instance: str, kinds: Set[str] = OUR_KINDS) -> bool:
    """Whether the stack `instance` made this object.

    It is of one of the `kinds` that the stack makes there, and has its labels.
    """
    return found.kind in kinds and labels.stack_of(found.labels) == instance


def is_given(found: Object) -> bool:
    """Whether Kubernetes itself keeps this object in every namespace, or lets it expire."""
    token = found.kind == "Secret" and found.annotations.get(TOKEN_OF) == "default"
    return token or found.kind in PASSING_KINDS or (found.kind, found.name) in GIVEN


def foreign(objects: Iterable[Object], instance: str, kinds: Set[str] = OUR_KINDS) -> list[Object]:
    """The objects that are somebody else's, without those that go with another one in the list.

    A StatefulSet's pods go with it. `kinds` are those that the stack makes there itself.
    """
    unique = {found.uid: found for found in objects}
    return sorted(
        (
            found
            for found in unique.values()
            if not is_ours(found, instance, kinds)
            and not is_given(found)
            and not (found.owners and all(owner in unique for owner in found.owners))
        ),
        key=str,
    )


def objects_in(api: ListingApi, namespace: str) -> Iterator[Object]:
    """Every object of the namespace, of every kind that the API knows, only by its metadata."""
    for resource in Discovery(api).in_namespaces():
        if resource.kind in PASSING_KINDS or resource.base.startswith("/apis/metrics.k8s.io/"):  # readings, not objects
            continue
        try:
            found = api.get(resource.path(namespace), METADATA)
        except ApiError as problem:
            # a kind that was removed just now, or can't be listed after all
            if problem.status in (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
                continue
            raise
        yield from (Object.of(resource.kind, item["metadata"], resource.path()) for item in found.get("items") or [])


def foreign_in(api: ListingApi, namespace: str, instance: str, kinds: Set[str], own: Set[str]) -> list[Object]:
    """The objects in a namespace that are somebody else's, without those that a controller puts
    into every namespace.

    `own` are the namespaces that the stack has made.
    """
    found = foreign(objects_in(api, namespace), instance, kinds)
    asked = [Candidate(each.kind, each.name, each.path, frozenset(each.labels), each.managers) for each in found]
    controllers = in_every_namespace(api, namespace, asked, own)
    return [each for each, candidate in zip(found, asked, strict=True) if candidate not in controllers]
