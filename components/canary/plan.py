"""What is to be proven, and where: the command line of `components.canary.driver` as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.canary.claim_mode import READ_WRITE_ONCE
from components.canary.limits import FigureLimit
from components.canary.places import Place

OTHER_IMAGE = "Name one that this cluster's nodes can pull, with Python 3.9 or newer: `pulumi config set --path canary.image IMAGE`."


@dataclass(frozen=True)
class ProofPlan:
    """One tier's proof.

    `probe` is the name of the ConfigMap with the probe, `size` the size of the claim in bytes.
    `sizes_enforced`: the provisioner's volumes are as large as their claims.
    `pod` is what the settings have in `canary.pod`, as they are written.
    `spread` is `none`, `zones` or `nodes`, and empty where the class decides (see places.py).
    `access_mode` is that of the claim.
    `other_image` is what to do about an image that can't be pulled.
    `place` is the one that is proven, None for wherever the scheduler puts it.
    """

    context: str
    namespace: str
    instance: str
    tier: str
    profile: str
    storage_class: str
    image: str
    probe: str
    size: int
    sizes_enforced: bool
    limits: tuple[FigureLimit, ...] = ()
    pod: Mapping[str, Any] = field(default_factory=dict)
    spread: str = ""
    access_mode: str = READ_WRITE_ONCE
    place: Place | None = None
    other_image: str = OTHER_IMAGE

    @property
    def where(self) -> str:
        """The tier's class and the place, for a sentence."""
        return f"{self.tier} ({self.storage_class}){f' in {self.place}' if self.place else ''}"

    @property
    def owner(self) -> str:
        """Whose data this is, in words that another run can read on a volume that isn't its own."""
        return f"tier {self.tier} of stack {self.instance} in namespace {self.namespace}"
