"""What the stack was when it was last up: its cluster and its claims.

Its own last outputs say so, and the claims in the cluster.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pulumi

from components.kube import labels
from components.kube.expansion import capacity_of
from components.kube.ownership import claim_name, parse_claim_name
from components.kube.quantity import bytes_of
from components.preflight import claim_rules
from components.preflight.claim_rules import ClaimValues
from components.preflight.snapshot import ClaimKey, ClaimSnapshot, LiveClaim

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between attempts to read the state


class PreviousClaim(NamedTuple):
    """A claim that the stack has made."""

    service: str
    """The service that it is for."""
    ordinal: int
    """Which replica of it, from 0 on."""
    namespace: str
    """Where it is."""
    storage_class: str
    """The name of its StorageClass."""
    access_mode: str | None
    """`ReadWriteOnce` or `ReadWriteOncePod`; None where it was not noted down."""
    requested: str
    """Its size as the settings had it."""
    size: int
    """Its size as it was provisioned, in bytes."""
    has: int | None = None
    """What its volume has, in bytes: less than `size` while it grows.

    None where it isn't known.
    """

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return claim_name(self.service, self.ordinal)

    @property
    def key(self) -> ClaimKey:
        """What it is found by."""
        return (self.namespace, self.name)

    @property
    def values(self) -> ClaimValues:
        """It as the rules for claims compare it."""
        modes = {} if self.access_mode is None else {claim_rules.ACCESS_MODES: [self.access_mode]}
        return {claim_rules.NAMESPACE: self.namespace, claim_rules.STORAGE_CLASS: self.storage_class, **modes}


@dataclass(frozen=True)
class PreviousStack:
    """The stack as its last `up` left it."""

    context: str
    """The kubeconfig's context that its cluster was reached by."""
    identifier: str
    """The name of its cluster in the settings."""
    provisioner: str
    """The name of its provisioner."""
    claims: tuple[PreviousClaim, ...]
    """All that it has made."""

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> PreviousStack:
        """From the stack's outputs."""
        claims = (
            PreviousClaim(
                service=service,
                ordinal=ordinal,
                namespace=claim["namespace"],
                storage_class=claim["storageClass"],
                access_mode=claim.get("accessMode"),
                requested=claim["requested"],
                size=bytes_of(claim["provisioned"]),
            )
            for service, claims in outputs["claims"].items()
            for ordinal, claim in enumerate(claims)
        )
        cluster = outputs["cluster"]
        return cls(cluster["context"], cluster["identifier"], outputs["provisioner"], tuple(claims))

    def as_seen(self, snapshot: ClaimSnapshot, stack: str) -> PreviousStack:
        """The same with each claim as the cluster has it, and those that the outputs don't have.

        Outputs are not always those of the objects: a run that failed has changed some, and may
        have written them or not.
        """
        known = {claim.key for claim in self.claims}
        made = (_made_by(stack, live) for key, live in snapshot.claims.items() if key not in known)
        ours = (_as_it_is(claim, snapshot.claims.get(claim.key)) for claim in self.claims)
        return replace(self, claims=(*ours, *(claim for claim in made if claim)))


def outputs() -> Mapping[str, Any]:
    """The outputs of the stack's last successful `up`; empty when there was none.

    Asked of the engine as a StackReference asks, but at once and without an entry in the state. The
    engine reads them from its state, which it may be writing just then (the first resources of a
    new stack): that reading fails, and is repeated.
    """
    name = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    for pause in (*PAUSES, None):
        try:
            answer = pulumi.runtime.invoke("pulumi:pulumi:readStackOutputs", {"name": name}).value or {}
            break
        except Exception as problem:  # the SDK raises nothing more precise
            if pause is None:
                rule = "so it can't be told which claims it has"
                raise pulumi.RunError(f"the last outputs of stack {name} can't be read, {rule}: {problem}") from None
            time.sleep(pause)
    found: Mapping[str, Any] = answer.get("outputs") or {}
    return found if "claims" in found else {}


def is_another_cluster(previous: PreviousStack, here: ClaimSnapshot, there: ClaimSnapshot) -> bool:
    """Whether a new context (`here`) is another cluster than the last one (`there`).

    The stack's claims show it: they are in one of the two.
    """
    if here is there or here.uids & there.uids:
        return False
    left = there.unread or not any(claim.key in there.claims for claim in previous.claims)
    return not (left and any(claim.key in here.claims for claim in previous.claims))


def _made_by(stack: str, live: LiveClaim) -> PreviousClaim | None:
    """A claim in the cluster as one that this program has made for `stack`; None for any other."""
    metadata = live["metadata"]
    found = metadata.get("labels") or {}
    service, tier = found.get(labels.NAME, ""), found.get(labels.COMPONENT, "")
    named = parse_claim_name(metadata["name"])
    if named is None or named[0] != service or not labels.recommended(service, stack, tier).items() <= found.items():
        return None
    return _as_it_is(PreviousClaim(service, named[1], metadata["namespace"], "", None, "", 0), live)


def _as_it_is(claim: PreviousClaim, live: LiveClaim | None) -> PreviousClaim:
    """The claim with what the cluster says of it, where that has it."""
    if live is None:
        return claim
    spec, asked = live["spec"], live["spec"]["resources"]["requests"]["storage"]
    size = bytes_of(asked)
    return claim._replace(
        storage_class=spec.get("storageClassName") or "",
        access_mode=spec["accessModes"][0],
        requested=claim.requested if size == claim.size else asked,
        size=size,
        has=capacity_of(live),
    )
