"""The claims that a cluster has at a moment, and whether each of them holds data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from components.kube import labels
from components.kube.api import ApiError, KubeApi
from components.preflight.unanswered import tell

ClaimKey = tuple[str, str]  # namespace and name of a claim
LiveClaim = Mapping[str, Any]  # a claim as the API's JSON has it


class ClaimState(Enum):
    """Whether a claim holds data."""

    BOUND = auto()
    """It has a volume, so it counts as one with data."""
    PENDING = auto()
    """It was never bound."""
    GONE = auto()
    """It isn't there."""
    UNKNOWN = auto()
    """The cluster could not be asked; it counts as BOUND."""


@dataclass(frozen=True)
class ClaimSnapshot:
    """The claims that a cluster has at a moment."""

    claims: Mapping[ClaimKey, LiveClaim] = field(default_factory=dict)
    """All that were read, by namespace and name."""
    unread: str = ""
    """Why they could not be read; empty where they could."""

    def state(self, key: ClaimKey) -> ClaimState:
        """What became of the claim of this namespace and name."""
        if self.unread:
            return ClaimState.UNKNOWN
        live = self.claims.get(key)
        if live is None:
            return ClaimState.GONE
        never_bound = live.get("status", {}).get("phase") == "Pending" and not live["spec"].get("volumeName")
        return ClaimState.PENDING if never_bound else ClaimState.BOUND

    @property
    def uids(self) -> set[str]:
        """What Kubernetes tells these claims by from all others of the same names."""
        return {live["metadata"]["uid"] for live in self.claims.values()}


def read_claims(api: KubeApi, namespaces: Iterable[str]) -> ClaimSnapshot:
    """Read the claims in these namespaces; one that doesn't exist has none."""
    claims = {}
    for namespace in sorted(namespaces):
        try:
            found = api.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")
        except ApiError as problem:
            tell(problem)
            return ClaimSnapshot(unread=str(problem))
        claims.update({(namespace, live["metadata"]["name"]): live for live in found})
    return ClaimSnapshot(claims)


def read_claims_of_stack(api: KubeApi, stack: str, namespace: str) -> ClaimSnapshot:
    """Read the claims of `stack` in all namespaces.

    Where the user may not, those in `namespace`.
    """
    try:
        found = api.items(f"/api/v1/persistentvolumeclaims?labelSelector={labels.selector_of_stack(stack)}")
    except ApiError as problem:
        if problem.status == HTTPStatus.FORBIDDEN:
            return read_claims(api, {namespace})
        tell(problem)
        return ClaimSnapshot(unread=str(problem))
    return ClaimSnapshot({(live["metadata"]["namespace"], live["metadata"]["name"]): live for live in found})
