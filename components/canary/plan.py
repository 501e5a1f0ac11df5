"""What is to be proven, and where: the command line of `components.canary.driver` as a value."""

from __future__ import annotations

from dataclasses import dataclass

from components.canary.limits import FigureLimit


@dataclass(frozen=True)
class ProofPlan:
    """One tier's proof.

    `probe` is the name of the ConfigMap with the probe, `size` the size of the claim in bytes.
    `sizes_enforced`: the provisioner's volumes are as large as their claims.
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

    @property
    def owner(self) -> str:
        """Whose data this is, in words that another run can read on a volume that isn't its own."""
        return f"tier {self.tier} of stack {self.instance} in namespace {self.namespace}"
