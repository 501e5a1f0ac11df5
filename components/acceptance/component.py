"""An engine's acceptance as Pulumi sees it: a command for each tier, which succeeds when the engine
has kept what it acknowledged. It is part of the proof where the setting `canary.engine` is true.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi_command.local import Command, Logging

from components.acceptance.of_settings import engine_for, plan_of
from components.acceptance.plan import OUTPUT, AcceptancePlan
from components.canary.component import StackProof, TierCanary
from components.settings import Settings
from components.stack import Stack

DRIVER = ["components/run_python", "-m", "components.acceptance.driver"]


@dataclass(frozen=True)
class TierAcceptanceArgs:
    """Which engine accepts a tier, and after which proof."""

    plan: AcceptancePlan
    """How it is accepted."""
    canary: TierCanary
    """The tier's proof: what is accepted was proven before."""


class TierAcceptance(pulumi.ComponentResource):
    """A real engine on a tier: what depends on it is made only if the engine keeps its data.

    It runs after each proof of the tier, and (then as an update) when an argument of its own
    changes: images, limits, pod, size. `verdict` is the driver's JSON.
    """

    verdict: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: TierAcceptanceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:TierAcceptance", name, None, opts)
        plan, proof = args.plan, args.plan.proof
        command = Command(
            f"acceptance-{name}",
            interpreter=[
                *DRIVER,
                f"--context={proof.context}",
                f"--namespace={proof.namespace}",
                f"--instance={proof.instance}",
                f"--tier={proof.tier}",
                f"--profile={proof.profile}",
                f"--storage-class={proof.storage_class}",
                f"--engine={plan.engine}",
                f"--image={proof.image}",
                f"--client-image={plan.client_image}",
                f"--size={proof.size}",
                *(["--sizes-enforced"] if proof.sizes_enforced else []),
                *(f"--limit={limit.figure.name}={json.dumps(limit.number)}" for limit in plan.limits),
                *([f"--pod={json.dumps(proof.pod, sort_keys=True, separators=(',', ':'))}"] if proof.pod else []),
            ],
            create="accept",
            triggers=[args.canary.verdict["run"]],
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.canary]),
        )
        self.verdict = command.stdout.apply(json.loads)
        self.register_outputs({"verdict": self.verdict})


@dataclass(frozen=True)
class AcceptedProof(StackProof):
    """The proof of all tiers of a stack, with the acceptance of each by an engine."""

    acceptances: Mapping[str, TierAcceptance] = field(default_factory=dict)
    """Each tier's, by the tier's name."""

    @property
    def resources(self) -> list[pulumi.Resource]:
        """All that it is made of."""
        return [*super().resources, *self.acceptances.values()]

    def of(self, tier: str) -> list[pulumi.Resource]:
        """What proves a tier."""
        return [*super().of(tier), self.acceptances[tier]]

    def verdict(self, tier: str) -> pulumi.Output[dict[str, Any]]:
        """What came of a tier's proof, with the engine's verdict in it."""
        both = pulumi.Output.all(super().verdict(tier), self.acceptances[tier].verdict)
        return both.apply(lambda found: {**found[0], OUTPUT: found[1]})


def accepted(stack: Stack, settings: Settings, proof: StackProof) -> AcceptedProof:
    """Have an engine accept every tier, each after its proof."""
    acceptances = {
        # The seed decides the moment of the kill: the driver takes another one for each run.
        tier: TierAcceptance(
            tier, TierAcceptanceArgs(plan_of(settings, tier, engine_for(settings, tier), seed=0), canary), stack.options([canary])
        )
        for tier, canary in proof.canaries.items()
    }
    return AcceptedProof(proof.namespace, proof.canaries, acceptances)
