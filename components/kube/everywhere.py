"""What controllers put into every namespace, and again where it is deleted.

A mesh's root certificate (`istio-ca-root-cert`), OpenShift's `builder` account with its secrets and
role bindings, a platform's pull secret: they are in a namespace because it is one, and are nobody's
that could be asked to delete them. What tells them from what somebody has put there is that they
are in the other namespaces too.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol

from components.kube.errors import ApiError

METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"  # of a list: metadata alone

# Kubernetes' own namespaces, and OpenShift's: many controllers leave them out.
_SYSTEM = re.compile(r"(kube|openshift)(-.*)?")
# What `generateName` appends: five of these characters (k8s.io/apimachinery, pkg/util/rand).
_GENERATED = re.compile(r"(.+)-[bcdfghjklmnpqrstvwxz2456789]{5}")
# What runs or keeps data is somebody's in each namespace, whatever it is called: two teams may both
# have a `web`.
_SOMEBODYS = {
    *("PersistentVolumeClaim", "VolumeSnapshot", "VolumeGroupSnapshot"),
    *("Pod", "ReplicationController", "ReplicaSet", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"),
    *("Service", "Ingress"),
}
# Field managers of what people write with. A Secret of theirs may have the same name in every
# namespace and another content in each, which isn't read here.
_PEOPLES = re.compile(r"(kubectl|helm|pulumi|terraform|hashicorp|k9s)\b.*", re.IGNORECASE)
_LEAST = 2  # other namespaces that have it: one alone may be somebody's who has two
_MAY_LACK = 4  # of so many ordinary namespaces one may lack it, and at least one in all


class ListingApi(Protocol):
    """The request that is needed."""

    def get(self, path: str, accept: str = ...) -> dict[str, Any]:
        """The JSON at a path of the API; raises ApiError."""


class Candidate(NamedTuple):
    """An object of which is asked whether a controller puts it into every namespace."""

    kind: str
    name: str
    path: str
    """The path of the list of its kind in all namespaces."""
    labels: frozenset[str]
    """The keys of its labels."""
    managers: frozenset[str]
    """Who has written it: the managers of its `managedFields`."""

    @property
    def is_somebodys(self) -> bool:
        """Whether it is, by its kind or by who has written it, whatever other namespaces have."""
        return self.kind in _SOMEBODYS or (self.kind == "Secret" and any(map(_PEOPLES.fullmatch, self.managers)))


def in_every_namespace(api: ListingApi, namespace: str, candidates: Iterable[Candidate], own: Set[str]) -> set[Candidate]:
    """Those of the candidates, all in `namespace`, that nearly every other namespace has as well.

    The same kind, name (but for a generated ending, and the namespace in it), keys of labels and,
    for a ConfigMap, content.
    `own` are the namespaces of the stack: what they have counts, what they lack doesn't. Where the
    user may not look into other namespaces, there are none.
    """
    candidates = [each for each in candidates if not each.is_somebodys]
    if not candidates:
        return set()
    try:
        there = api.get("/api/v1/namespaces", METADATA).get("items") or []
    except ApiError as problem:
        _unless_not_allowed(problem)
        return set()
    going = {each["metadata"]["name"] for each in there if each["metadata"].get("deletionTimestamp")}
    ordinary = {each["metadata"]["name"] for each in there if not _SYSTEM.fullmatch(each["metadata"]["name"])} - going - own
    by_path: defaultdict[str, list[Candidate]] = defaultdict(list)
    for each in candidates:
        by_path[each.path].append(each)
    found = set()
    for path, of_kind in by_path.items():
        having = _having(api, namespace, path, of_kind)
        for each in of_kind:
            others = having[each] - {namespace} - going
            lacking = ordinary - others - {namespace}
            if len(others) >= _LEAST and len(lacking) <= max(1, len(ordinary) // _MAY_LACK):
                found.add(each)
    return found


def _having(api: ListingApi, namespace: str, path: str, candidates: list[Candidate]) -> Mapping[Candidate, Set[str]]:
    """The namespaces that have each candidate, or its like."""
    having: defaultdict[Candidate, set[str]] = defaultdict(set)
    try:
        listed = api.get(path, METADATA).get("items") or []
        for candidate in candidates:
            for metadata in (item["metadata"] for item in listed):
                where = metadata.get("namespace", "")
                named = _stem(metadata["name"], where) == _stem(candidate.name, namespace)
                if named and set(metadata.get("labels") or {}) == candidate.labels:
                    having[candidate].add(where)
            if candidate.kind == "ConfigMap" and len(having[candidate]) > _LEAST:
                having[candidate] &= _same_content(api, namespace, candidate)
    except ApiError as problem:
        _unless_not_allowed(problem)
        having.clear()
    return having


def _same_content(api: ListingApi, namespace: str, candidate: Candidate) -> set[str]:
    """The namespaces whose ConfigMap of this name has the same in it as that in `namespace`."""
    named = api.get(f"{candidate.path}?fieldSelector=metadata.name%3D{candidate.name}").get("items") or []
    content = {
        each["metadata"]["namespace"]: (each.get("data") or {}, each.get("binaryData") or {})
        for each in named
        if each["metadata"]["name"] == candidate.name
    }
    return {where for where, found in content.items() if found == content.get(namespace)}


def _stem(name: str, namespace: str) -> str:
    """A name without what is another in each namespace: a generated ending, and the namespace."""
    generated = _GENERATED.fullmatch(name)
    name = f"{generated[1]}-" if generated else name
    return re.sub(f"(?<![a-z0-9]){re.escape(namespace)}(?![a-z0-9])", "<namespace>", name)


def _unless_not_allowed(problem: ApiError) -> None:
    """Raise it, unless it says that this user may not see that, or that it can't be listed."""
    if problem.status not in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED):
        raise problem
