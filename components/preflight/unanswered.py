"""What is said where the cluster isn't reached before anything is declared: mostly nothing.

A preview needs no cluster, and in an `up` Pulumi's plugin says it. But it names no variable.
"""

from __future__ import annotations

import functools

import pulumi

from components.kube.errors import ApiError


def tell(problem: ApiError) -> None:
    """Warn once of a way that can be mended, such as through a proxy; else for `--debug` alone."""
    if problem.remedy:
        _warn(f"the cluster of context {problem.context!r} does not answer ({problem}). {problem.remedy}")
    else:
        pulumi.log.debug(f"context {problem.context}: {problem}")


@functools.cache
def _warn(text: str) -> None:
    pulumi.log.warn(text)
