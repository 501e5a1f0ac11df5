"""The stamp: labels on a volume that say which claim's data it holds, and that outlive the claim.

A provisioner copies no labels from a claim to its volume, and a Released volume's claimRef names a
claim that is gone. So a volume is stamped while it is bound, when the claim's UID ties the two
together. No import beyond the standard library: a destroy stamps too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from components.kube import labels
from components.kube.bindings import claims_and_volumes
from components.kube.discovery import ReadingApi

ORDINAL = "storage-tiers/ordinal"
SERVICE = labels.NAME
TIER = labels.COMPONENT
STACK = labels.INSTANCE

# Kubernetes puts it on a volume that had no claim's name in it when it was bound.
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
NOBODY = "00000000-0000-0000-0000-000000000000"  # the UID of a claim that never was: a volume with it in its claimRef is Released

_CLAIM = re.compile(r"data-(?P<service>.+)-(?P<ordinal>0|[1-9][0-9]*)")
_ATTEMPTS = 5  # to write a stamp on a volume that somebody else changes at the same time


def claim_name(service: str, ordinal: int) -> str:
    """The claim of a service's replica, as a StatefulSet with a template `data` names it."""
    return f"data-{service}-{ordinal}"


def parse_claim_name(name: str) -> tuple[str, int] | None:
    """The service and the ordinal that a claim's name is made of.

    None for a name of another form.
    """
    match = _CLAIM.fullmatch(name)
    return (match["service"], int(match["ordinal"])) if match else None


class Stamp(NamedTuple):
    """Whose data a volume holds: replica `ordinal` of `service`, on `tier`, of `stack`."""

    stack: str
    service: str
    ordinal: int
    tier: str

    @property
    def labels(self) -> dict[str, str]:
        """The labels that say so."""
        return {**labels.of_stack(self.stack), SERVICE: self.service, TIER: self.tier, ORDINAL: str(self.ordinal)}

    @classmethod
    def of(cls, found: Mapping[str, str]) -> Stamp | None:
        """The stamp among an object's labels.

        None where there is none, or one that somebody has damaged.
        """
        ordinal = found.get(ORDINAL, "")
        stack, service, tier = labels.stack_of(found), found.get(SERVICE, ""), found.get(TIER, "")
        if not re.fullmatch("[0-9]{1,9}", ordinal):
            return None
        return cls(stack, service, int(ordinal), tier) if stack and service and tier else None

    def __str__(self) -> str:
        return f"{self.service} {self.ordinal} of stack {self.stack}"


def stamp_for(claim: Mapping[str, Any], stack: str) -> Stamp | None:
    """The stamp of the volume of a claim, given as the API's JSON; None for one not of `stack`."""
    found, parsed = labels.of(claim), parse_claim_name(claim["metadata"]["name"])
    if labels.stack_of(found) != stack or not parsed or parsed[0] != found.get(SERVICE) or not found.get(TIER):
        return None
    return Stamp(stack, parsed[0], parsed[1], found[TIER])


def due(claims: Iterable[Mapping[str, Any]], volumes: Iterable[Mapping[str, Any]], stack: str) -> Iterator[tuple[Mapping[str, Any], Stamp]]:
    """Each volume that is bound to a claim of `stack` without saying so; with its right stamp.

    `claims` and `volumes` are the API's JSON. Bound means that either names the other, the volume
    the claim by its UID.
    """
    wanted: dict[tuple[str, str], Stamp] = {}
    for claim in claims:
        stamp = stamp_for(claim, stack)
        if stamp and claim["spec"].get("volumeName"):
            wanted[claim["metadata"]["uid"], claim["spec"]["volumeName"]] = stamp
    for volume in volumes:
        reference = volume["spec"].get("claimRef") or {}
        stamp = wanted.get((reference.get("uid", ""), volume["metadata"]["name"]))
        if stamp and not stamp.labels.items() <= labels.of(volume).items():
            yield volume, stamp


class StampingApi(ReadingApi, Protocol):
    """The two requests that stamping needs."""

    def patch(self, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        """Merge `body` into the object.

        None where it is gone or is no longer at the resourceVersion that `body` names.
        """


def stamp_volumes(api: StampingApi, namespace: str, stack: str) -> list[str]:
    """Stamp the volumes that are bound to claims of `stack` in `namespace`.

    The names of those that were stamped now.

    Raises what `api` raises.
    """
    done: list[str] = []
    for _ in range(_ATTEMPTS):
        claims, volumes = claims_and_volumes(api, namespace, stack)
        left = False
        for volume, stamp in due(claims, volumes, stack):
            metadata = volume["metadata"]
            body = {"metadata": {"resourceVersion": metadata["resourceVersion"], "labels": stamp.labels}}
            if api.patch(f"/api/v1/persistentvolumes/{metadata['name']}", body) is not None:
                done.append(metadata["name"])
            else:
                left = True
        if not left:
            break
    return done
