"""Which cluster a tier was proven on, so that one that was made anew is proven again by itself.

The state keeps it among the outputs of the tier's component. There it is written after the proof,
and a change of it is no change of the command that proves: a state from before it was kept takes
the cluster that it finds for the one that was proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pulumi

OUTPUT = "provenOn"  # of the tier's component, in the state


@dataclass(frozen=True)
class ProvenOn:
    """The cluster of a tier's proof."""

    uid: str = ""
    """The UID of the cluster that was proven; empty where it isn't known."""
    trigger: str = ""
    """The UID that is among the triggers of the proof.

    Empty until a proof was repeated because of another cluster: the triggers of all proofs before
    are the same as they were without UIDs.
    """

    @classmethod
    def of(cls, outputs: Mapping[str, Any]) -> ProvenOn:
        """What the outputs of a tier's component have of it."""
        noted = outputs.get(OUTPUT) or {}
        return cls(noted.get("uid", ""), noted.get("trigger", ""))

    def on(self, uid: str) -> ProvenOn:
        """The same on the cluster `uid`, empty where that can't be told. Another trigger in it
        means another proof.
        """
        if not uid:
            return self
        return ProvenOn(uid, self.trigger) if self.uid in ("", uid) else ProvenOn(uid, uid)

    @property
    def triggers(self) -> list[str]:
        """What it adds to the triggers of the proof."""
        return [self.trigger] if self.trigger else []

    @property
    def noted(self) -> dict[str, str] | None:
        """It as the state has it; None where there is nothing to note."""
        return {key: value for key, value in asdict(self).items() if value} or None


async def last_outputs(component: pulumi.ComponentResource) -> Mapping[str, Any]:
    """The outputs of a tier's `component` that the last `up` has noted.

    Until a component has registered its outputs, the engine has those of the run before for it
    (pulumi, pkg/resource/deploy/step.go, SameStep), and none for a new one.
    """
    answer = await pulumi.runtime.invoke_async("pulumi:pulumi:getResource", {"urn": await component.urn.future()})
    return answer.get("state") or {}
