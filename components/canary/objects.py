"""Where the canary's objects are in the API, and how one is made."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from components.kube.api import KubeApi
from components.kube.errors import ApiError

POLL = 0.2  # seconds between two looks at something that is waited for
# Seconds over which the making of an object is tried again. A new namespace takes no pod before it
# has its service account, which comes a moment later.
CREATION = 20


def namespaced(namespace: str, resource: str, name: str = "", *, selector: str = "") -> str:
    """The path of an object of a namespace; with no name, of all of that resource.

    `selector` is a label selector.
    """
    return _path(f"/api/v1/namespaces/{namespace}/{resource}", name, selector)


def volume(name: str = "", *, selector: str = "") -> str:
    """The path of a PersistentVolume; with no name, of all of them."""
    return _path("/api/v1/persistentvolumes", name, selector)


def _path(collection: str, name: str, selector: str) -> str:
    return collection + (f"/{name}" if name else "") + (f"?labelSelector={quote(selector)}" if selector else "")


def create(api: KubeApi, collection: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Make an object whose name nobody else has. Raises ApiError.

    A request that is repeated finds what the first one made.
    """
    end = time.monotonic() + CREATION
    while True:
        try:
            return api.create(collection, manifest)
        except ApiError as problem:
            if problem.status == HTTPStatus.CONFLICT and (found := api.find(f"{collection}/{manifest['metadata']['name']}")):
                return found
            no_account_yet = problem.status == HTTPStatus.FORBIDDEN and "serviceaccount" in problem.message
            unknown = problem.status is None or problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            if not (no_account_yet or unknown) or time.monotonic() > end:
                raise
        time.sleep(POLL)
