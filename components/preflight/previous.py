"""What the stack was when it was last up: its claims, by its own last outputs, and what became of them in the cluster."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import pulumi

from components.kube import labels
from components.kube.api import ApiError, KubeApi
from components.kube.ownership import claim_name, parse_claim_name
from components.kube.quantity import bytes_of

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2)  # seconds between attempts to read the state

Key = tuple[str, str]  # namespace and name of a claim
Live = Mapping[str, Any]  # a claim as the API's JSON has it


@dataclass(frozen=True)
class Claim:
    """A claim that the stack has made: `requested` is its size as the settings had it, `size` the same in bytes as it was provisioned.

    `access_mode` is None where it was not noted down.
    """

    service: str
    ordinal: int
    namespace: str
    storage_class: str
    access_mode: str | None
    requested: str
    size: int

    @property
    def name(self) -> str:
        """Its name in Kubernetes."""
        return claim_name(self.service, self.ordinal)

    @property
    def key(self) -> Key:
        """What it is found by."""
        return (self.namespace, self.name)


class State(Enum):
    """Whether a claim holds data: PENDING ones were never bound, and what is UNKNOWN counts as BOUND."""

    BOUND = auto()
    PENDING = auto()
    GONE = auto()
    UNKNOWN = auto()


@dataclass(frozen=True)
class Looked:
    """What a cluster was seen to have: its claims by namespace and name. `unread` is why it could not be seen, else ``""``."""

    claims: Mapping[Key, Live] = field(default_factory=dict)
    unread: str = ""

    def state(self, claim: Claim) -> State:
        """What became of a claim here."""
        if self.unread:
            return State.UNKNOWN
        live = self.claims.get(claim.key)
        if live is None:
            return State.GONE
        never_bound = live.get("status", {}).get("phase") == "Pending" and not live["spec"].get("volumeName")
        return State.PENDING if never_bound else State.BOUND

    @property
    def uids(self) -> set[str]:
        """What Kubernetes tells these claims by from all others of the same names."""
        return {live["metadata"]["uid"] for live in self.claims.values()}


@dataclass(frozen=True)
class Before:
    """The stack's cluster, its provisioner and its claims when it was last up."""

    context: str
    identifier: str
    provisioner: str
    claims: tuple[Claim, ...]

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> Before:
        """From the stack's outputs."""
        claims = (
            Claim(
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

    def as_seen(self, seen: Looked, stack: str) -> Before:
        """The same with each claim as the cluster has it, and with those that are missing in the outputs.

        Outputs are not always those of the objects: a run that failed has changed some, and may have written them or not.
        """
        known = {claim.key for claim in self.claims}
        made = (_made_by(stack, live) for key, live in seen.claims.items() if key not in known)
        ours = (_as_it_is(claim, seen.claims.get(claim.key)) for claim in self.claims)
        return replace(self, claims=(*ours, *(claim for claim in made if claim)))


def outputs() -> Mapping[str, Any]:
    """The outputs of the stack's last successful `up`; empty when there was none.

    Asked of the engine as a StackReference asks, but at once and without an entry in the state. The engine reads them from its state,
    which it may be writing just then (the first resources of a new stack): that reading fails, and is repeated.
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


def look(api: KubeApi, namespaces: Iterable[str]) -> Looked:
    """Read the claims in these namespaces; one that doesn't exist has none."""
    claims = {}
    for namespace in sorted(namespaces):
        try:
            found = api.items(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")
        except ApiError as problem:
            return Looked(unread=str(problem))
        claims.update({(namespace, live["metadata"]["name"]): live for live in found})
    return Looked(claims)


def look_for_all(api: KubeApi, stack: str, namespace: str) -> Looked:
    """Read the claims of `stack` in all namespaces; where the user may not, those in `namespace`."""
    try:
        found = api.items(f"/api/v1/persistentvolumeclaims?labelSelector={labels.selector_of_stack(stack)}")
    except ApiError as problem:
        return look(api, {namespace}) if problem.status == HTTPStatus.FORBIDDEN else Looked(unread=str(problem))
    return Looked({(live["metadata"]["namespace"], live["metadata"]["name"]): live for live in found})


def moved(before: Before, here: Looked, there: Looked) -> bool:
    """Whether a new context (`here`) is another cluster than the last one (`there`), as far as the stack's claims show it."""
    if here is there or here.uids & there.uids:
        return False
    left = there.unread or not any(claim.key in there.claims for claim in before.claims)
    return not (left and any(claim.key in here.claims for claim in before.claims))


def _made_by(stack: str, live: Live) -> Claim | None:
    """A claim in the cluster as one that this program has made for `stack`; None for any other."""
    metadata = live["metadata"]
    found = metadata.get("labels") or {}
    service, tier = found.get(labels.NAME, ""), found.get(labels.COMPONENT, "")
    named = parse_claim_name(metadata["name"])
    if named is None or named[0] != service or not labels.recommended(service, stack, tier).items() <= found.items():
        return None
    return _as_it_is(Claim(service, named[1], metadata["namespace"], "", None, "", 0), live)


def _as_it_is(claim: Claim, live: Live | None) -> Claim:
    """The claim with what the cluster says of it, where that has it."""
    if live is None:
        return claim
    spec, asked = live["spec"], live["spec"]["resources"]["requests"]["storage"]
    size = bytes_of(asked)
    return replace(
        claim,
        storage_class=spec.get("storageClassName") or "",
        access_mode=spec["accessModes"][0],
        requested=claim.requested if size == claim.size else asked,
        size=size,
    )
