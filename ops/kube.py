"""The API of a stack's cluster, and what a person is told where it fails."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path

from components.kube.api import KubeApi
from components.kube.errors import ApiError, UnusableContext
from components.kube.kubeconfig import Kubeconfig, UnreadableKubeconfig
from ops.errors import UserError

TIMEOUT = 30  # seconds for the answer to each request
PATIENCE = 20  # seconds over which a request is repeated while the API can't be reached or is too busy

_RIGHTS = (
    "Use a context that may. What a stack has made, persistentvolumes, persistentvolumeclaims and nodes are read (get, list: see "
    "docs/drift.md); `volumes` creates and patches persistentvolumes as well."
)


def open_api(context: str, kubeconfig: str | None = None) -> KubeApi:
    """The API of a context. `kubeconfig` is a file, None for those that kubectl would use.

    Raises UserError.
    """
    try:
        found = Kubeconfig.load(*([Path(kubeconfig)] if kubeconfig else []))
    except UnreadableKubeconfig as problem:
        raise _no_way(f"{problem.file} can't be read ({problem})", _other_file(context)) from None
    if context not in found.contexts:
        files = ", ".join(map(str, found.files))
        raise _no_way(f"no context {context!r} in {files}.", _other_file(context))
    return KubeApi(found, context, timeout=TIMEOUT, patience=PATIENCE)


def explained(problem: ApiError) -> UserError:
    """What a person reads where the API didn't do what it was asked for."""
    context = problem.context
    if isinstance(problem, UnusableContext):
        hint = f"Mend that: `kubectl --context {context} get namespaces` needs it as well."
        return _no_way(f"{str(problem).rstrip('.')}.", hint)
    if problem.status is None:
        return UserError(
            f"the cluster of context {context!r} does not answer ({problem.reason}).",
            problem.remedy or "Start it (`make up` for the dev cluster) and try again.",
        )
    said = f": {problem.message}" if problem.message else "."
    refused = problem.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
    path = problem.path.partition("?")[0]
    return UserError(f"the API of context {context!r} answered {problem.reason} for {path}{said}", _RIGHTS if refused else "")


def _no_way(problem: str, hint: str) -> UserError:
    return UserError(f"the cluster can't be reached: {problem}", hint)


def _other_file(context: str) -> str:
    return f"Set KUBECONFIG to a file with the context {context!r} (the dev cluster's: `make up`, then `. .dev/env`)."
