"""Volumes that are to become larger, and are not yet.

A claim that asks for more is `Bound` all the time, and its volume's object shows the new size
before the file system has it. What it has is in `status.capacity`; what is done, or why nothing is,
in `status.conditions` and `status.allocatedResourceStatuses` (kubernetes, staging/src/k8s.io/api/
core/v1/types.go: PersistentVolumeClaimConditionType, ClaimResourceStatus).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from components.kube.quantity import as_quantity, bytes_of

Json = Mapping[str, Any]

# What is going on, by the condition or the status of the resource that says it.
_REFUSED = {
    "ControllerResizeInfeasible": "its driver refuses to make the volume larger",
    "ControllerResizeError": "its driver could not make the volume larger",
    "NodeResizeInfeasible": "its node can't make the file system larger",
    "NodeResizeError": "its node could not make the file system larger",
}
_WAITING = {
    "FileSystemResizePending": "the volume is larger, and its file system waits for a pod that mounts the claim",
    "NodeResizePending": "the volume is larger, and its file system waits for a pod that mounts the claim",
}
_WORKED_ON = {
    "NodeResizeInProgress": "its node makes the file system larger",
    "ControllerResizeInProgress": "its driver makes the volume larger",
    "Resizing": "its driver makes the volume larger",
}
_NOT_BEGUN = "nobody has begun with it"
_WORDS = {**_REFUSED, **_WAITING, **_WORKED_ON, "": _NOT_BEGUN}


class Expansion(NamedTuple):
    """A claim whose volume is not as large as it asks."""

    namespace: str
    """The claim's."""
    claim: str
    """Its name."""
    has: int
    """What it has, in bytes; 0 where nothing says."""
    asks: int
    """What it asks for, in bytes."""
    state: str = ""
    """The condition or status that says what is going on; empty where none does."""
    message: str = ""
    """The driver's or the kubelet's own words, where there are any."""

    @property
    def refused(self) -> bool:
        """Whether it failed, or is refused."""
        return self.state in _REFUSED

    @property
    def worked_on(self) -> bool:
        """Whether it ends by itself: somebody is at it just now."""
        return self.state in _WORKED_ON

    @property
    def cause(self) -> str:
        """What it waits for, as a sentence without its end."""
        return f"{_WORDS[self.state]}{f' ({self.message})' if self.message and self.refused else ''}"

    @property
    def fact(self) -> str:
        """It as a sentence without its end."""
        return f"the volume of claim {self.namespace}/{self.claim} {self.lack}"

    @property
    def lack(self) -> str:
        """The same as the rest of a sentence that begins with the volume."""
        has = f" and has {as_quantity(self.has)}" if self.has else ""
        return f"is to have {as_quantity(self.asks)}{has}: {self.cause}"

    @property
    def todo(self) -> str:
        """What a person does about it."""
        look = f"`kubectl -n {self.namespace} describe pvc {self.claim}` shows how it goes on"
        if self.refused:
            return (
                f"the reason is the driver's; {look}. For another size set the service's `size` to what the driver takes, more than "
                f"{as_quantity(self.has)}, then `pulumi up`"
            )
        if self.state in _WAITING:
            return f"start its pod; where it runs and nothing changes within a minute, restart it. {look}"
        return look if self.worked_on else f"its driver's resizer does it: is it installed, and running? {look}"


def unfinished(claims: Iterable[Json]) -> Iterator[Expansion]:
    """The bound claims, as the API's JSON, whose volume is still to become larger."""
    for claim in claims:
        status, metadata = claim.get("status") or {}, claim["metadata"]
        if status.get("phase") != "Bound":
            continue
        said = {each["type"]: each.get("message") or "" for each in status.get("conditions") or [] if each.get("status") == "True"}
        resource = (status.get("allocatedResourceStatuses") or {}).get("storage", "")
        # An error goes before what is tried again; the status of the resource is the exacter one.
        states = [*(each for each in _REFUSED if each == resource or each in said), resource, *said]
        state = next((each for each in states if each and each in _WORDS), "")
        has = capacity_of(claim) or 0
        asks = bytes_of(claim["spec"].get("resources", {}).get("requests", {}).get("storage", "0"))
        if state or 0 < has < asks:
            message = said.get(state) or next((said[each] for each in said if each in _REFUSED), "")
            yield Expansion(metadata.get("namespace", ""), metadata["name"], has, asks, state, message)


def capacity_of(claim: Json) -> int | None:
    """What a claim has, in bytes; None where the cluster doesn't say."""
    capacity = ((claim.get("status") or {}).get("capacity") or {}).get("storage")
    return bytes_of(capacity) if capacity else None
