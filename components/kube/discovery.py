"""Which kinds of objects a cluster knows, and at which paths of its API they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from components.kube.errors import ApiError


class ReadingApi(Protocol):
    """The request that discovery needs."""

    def get(self, path: str) -> dict[str, Any]:
        """The JSON at a path of the API; raises ApiError."""


class ApiResource(NamedTuple):
    """A kind of objects.

    `base` is the path of its version (`/api/v1`, `/apis/apps/v1`), `plural` its name in paths.
    """

    base: str
    plural: str
    kind: str
    namespaced: bool
    listable: bool

    def path(self, namespace: str = "", name: str = "") -> str:
        """The path of a list, in one namespace or all; or of the object of this name in it."""
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.base}{where}/{self.plural}{f'/{name}' if name else ''}"


class Discovery:
    """Asks the API once for each version of a group.

    See https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api.
    """

    def __init__(self, api: ReadingApi) -> None:
        self._api = api
        self._known: dict[str, tuple[ApiResource, ...]] = {}

    def find(self, version: str, kind: str) -> ApiResource | None:
        """The resource of a kind of an apiVersion (`v1`, `apps/v1`).

        None where the cluster doesn't know it (any more).
        """
        try:
            known = self._of(f"/apis/{version}" if "/" in version else f"/api/{version}")
        except ApiError as problem:
            if problem.status == 404:
                return None
            raise
        return next((each for each in known if each.kind == kind), None)

    def in_namespaces(self) -> Iterator[ApiResource]:
        """What namespaces can hold and a list can show, each once.

        That is as its group's preferred version has it, or another one where that hasn't got it: a
        group may serve a kind in an older version alone.
        """
        for versions in (["/api/v1"], *map(_versions, self._api.get("/apis")["groups"])):
            seen = set()
            for version in versions:
                for resource in self._of(version):
                    if resource.plural not in seen and resource.namespaced and resource.listable:
                        seen.add(resource.plural)
                        yield resource

    def _of(self, base: str) -> tuple[ApiResource, ...]:
        """The resources of a version, without what is a part of another one (`pods/log`)."""
        if base not in self._known:
            listed = self._api.get(base).get("resources") or []
            self._known[base] = tuple(
                ApiResource(base, each["name"], each["kind"], each["namespaced"], "list" in each["verbs"])
                for each in listed
                if "/" not in each["name"]
            )
        return self._known[base]


def _versions(group: dict[str, Any]) -> list[str]:
    """The paths of all versions of a group in the answer of `/apis`, the preferred one first."""
    served = (version["groupVersion"] for version in group["versions"])
    return [f"/apis/{name}" for name in dict.fromkeys([group["preferredVersion"]["groupVersion"], *served])]
