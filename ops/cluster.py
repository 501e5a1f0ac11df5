"""The Kubernetes API of a stack's cluster, as an operator reaches it: by the context that the settings name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed
from urllib3.exceptions import HTTPError

from ops.errors import UserError

T = TypeVar("T")
Object: TypeAlias = Any  # of the API; the official client has no types

REQUEST = (5, 30)  # seconds to connect and to answer, for each request
PATIENCE = 20  # seconds over which a request is repeated while the API can't be reached or is too busy
_PASSING = (429, 500, 502, 503, 504)


def _passes(problem: BaseException) -> bool:
    return isinstance(problem, HTTPError) or (isinstance(problem, ApiException) and problem.status in _PASSING)


class Cluster:
    """One context's API. `kubeconfig` is a file, None for the one that kubectl would use."""

    def __init__(self, context: str, kubeconfig: str | None = None) -> None:
        try:
            self.api = config.new_client_from_config(kubeconfig, context)
        except (ConfigException, OSError) as problem:
            raise UserError(
                f"the cluster can't be reached: {problem}",
                f"Set KUBECONFIG to a file with the context {context!r} (in this project's folder: `. .dev/env`).",
            ) from None
        self.context = context
        self.core = client.CoreV1Api(self.api)
        self.storage = client.StorageV1Api(self.api)

    def call(self, function: Callable[..., T], *arguments: object, **options: object) -> T:
        """Call the API; repeated for `PATIENCE` seconds while it can't be reached or is too busy.

        Only for what may be repeated. Raises UserError when the API does not answer, ApiException with its status otherwise.
        """
        repeated = Retrying(retry=retry_if_exception(_passes), stop=stop_after_delay(PATIENCE), wait=wait_fixed(0.5), reraise=True)
        try:
            return repeated(function, *arguments, _request_timeout=REQUEST, **options)
        except HTTPError as problem:
            reason = str(getattr(problem, "reason", problem)).rsplit(": ", 1)[-1]
            raise UserError(
                f"the cluster of context {self.context!r} does not answer ({reason}).",
                "Start it (`make up` for the dev cluster) and try again.",
            ) from None

    def find(self, function: Callable[..., T], *arguments: object, **options: object) -> T | None:
        """Call the API for something that may not be there."""
        try:
            return self.call(function, *arguments, **options)
        except ApiException as problem:
            if problem.status == 404:
                return None
            raise
