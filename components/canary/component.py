"""The canary as Pulumi sees it: a namespace for its pods, and a command for each tier.

The command succeeds when the tier is proven.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pulumi
from pulumi_command.local import Command, Logging
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.allocation import Allocation
from components.canary import claim_mode, proven_on
from components.canary.claim_mode import READ_WRITE_ONCE, ClaimMode
from components.canary.limits import LIMITED_FIGURES
from components.canary.proven_on import ProvenOn, last_outputs
from components.canary.verdict import free_space_warning
from components.kube import labels
from components.settings import Settings
from components.stack import Stack
from components.storage_tier import StorageTier
from components.timeouts import DELETE_TIMEOUT

DRIVER = ["components/run_python", "-m", "components.canary.driver"]
PROBE = Path(__file__).with_name("probe.py")

# The smallest volume that block storage drivers have (some types begin at more); the probe needs
# 0.3 GiB of it.
CLAIM_BYTES = 2**30

# The verdict of a tier whose canary isn't run.
DISABLED = {"verdict": "disabled", "reason": "canary.enabled is false: nothing shows that this tier keeps data"}


class CanaryNamespaceArgs(NamedTuple):
    """Where a stack's canaries run."""

    stack: Stack
    """The stack, and the cluster that they run on."""
    namespace: str
    """The name of a namespace that is made for them alone."""


class CanaryNamespace(pulumi.ComponentResource):
    """What all canaries of a stack share: a namespace, the probe, and a command that clears up.

    It clears up before the namespace is deleted.
    """

    probe: str

    def __init__(self, name: str, args: CanaryNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:CanaryNamespace", name, None, opts)
        source = PROBE.read_text(encoding="utf-8")
        # A new probe is a new ConfigMap: a pod never sees a mixture.
        self.probe = f"canary-probe-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        own = labels.recommended("canary", args.stack.name, "canary")
        namespace = Namespace(
            name,
            metadata=ObjectMetaArgs(
                name=args.namespace,
                labels={
                    **own,
                    "pod-security.kubernetes.io/enforce": "restricted",
                    "pod-security.kubernetes.io/enforce-version": "latest",
                },
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        ConfigMap(
            f"{name}-probe",
            metadata=ObjectMetaArgs(name=self.probe, namespace=args.namespace, labels=own),
            data={PROBE.name: source},
            immutable=True,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace], custom_timeouts=DELETE_TIMEOUT),
        )
        Command(
            f"{name}-sweep",
            interpreter=[*DRIVER, f"--context={args.stack.context}", f"--namespace={args.namespace}", f"--instance={args.stack.name}"],
            delete="sweep",
            triggers=[args.stack.identifier, args.namespace],
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        self.register_outputs({"namespace": args.namespace, "probe": self.probe})


@dataclass(frozen=True)
class ProofArgs:
    """How a tier is proven."""

    namespace: str
    """The namespace of the canary's pods."""
    probe: str
    """The name of the ConfigMap that has the probe."""
    image: str
    """The image that the probe runs in."""
    run: int = 1
    """A number that a user raises for a new proof."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """What must be measured, by its name in the settings: milliseconds, MB/s or writes in a second.

    None by default.
    """
    pod: Mapping[str, Any] = field(default_factory=dict)
    """What the cluster asks of the pods, by its name in the settings (`canary.pod`).

    Only what differs from the defaults.
    """
    spread: str | None = None
    """In which places it is proven: `none`, `zones` or `nodes`; by default the class says it."""


class TierCanaryArgs(NamedTuple):
    """Which tier is proven, how, and with how much room."""

    stack: Stack
    """The stack, and the cluster that the canary runs on."""
    storage_tier: StorageTier
    """The tier that is proven."""
    proof: ProofArgs
    """How it is proven."""
    claim_bytes: int = CLAIM_BYTES
    """What the canary's own claim asks for, in bytes."""
    access_mode: str = READ_WRITE_ONCE
    """The access mode of that claim, from the next proof on (see claim_mode.py)."""
    allocated_bytes: int = 0
    """What the services are provisioned with on the tier, in bytes.

    Where less is free, a warning says so.
    """


class TierCanary(pulumi.ComponentResource):
    """Proves a tier: what depends on it is made only if the tier keeps data.

    What is in `opts.depends_on` is there before.

    It runs when the class, the probe, `run` or the cluster changes (see proven_on.py), and (then as
    an update) when an argument of its own does: image, limits, pod, spread, context. All inputs are
    the same bytes on every machine. `verdict` is the driver's JSON, with warnings.
    """

    verdict: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: TierCanaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:TierCanary", name, None, opts)
        stack, proof, tier = args.stack, args.proof, args.storage_tier.tier
        triggers = [stack.identifier, _fingerprint(args.storage_tier.definition), proof.probe, proof.run]
        decided: pulumi.Output[tuple[ProvenOn, ClaimMode]] = pulumi.Output.from_input(self._decide(args, triggers))
        fixed = [
            *DRIVER,
            f"--context={stack.context}",
            f"--namespace={proof.namespace}",
            f"--instance={stack.name}",
            f"--tier={tier.name}",
            f"--profile={tier.kind.profile}",
            f"--storage-class={tier.class_name}",
            f"--image={proof.image}",
            f"--probe={proof.probe}",
            f"--size={args.claim_bytes}",
            *(["--sizes-enforced"] if args.storage_tier.enforces_size else []),
            *(f"--limit={limit}={json.dumps(number)}" for limit, number in sorted(proof.limits.items())),
            *([f"--pod={json.dumps(proof.pod, sort_keys=True, separators=(',', ':'))}"] if proof.pod else []),
            *([f"--spread={proof.spread}"] if proof.spread else []),
        ]
        command = Command(
            f"canary-{name}",
            interpreter=decided.apply(lambda each: [*fixed, *each[1].arguments]),
            create="prove",
            triggers=decided.apply(lambda each: [*triggers, *each[0].triggers]),
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None),
        )
        self.verdict = command.stdout.apply(lambda text: with_warnings(json.loads(text), args))
        noted = {proven_on.OUTPUT: decided.apply(lambda each: each[0].noted), claim_mode.OUTPUT: decided.apply(lambda each: each[1].noted)}
        self.register_outputs({"verdict": self.verdict, **noted})

    async def _decide(self, args: TierCanaryArgs, triggers: list[Any]) -> tuple[ProvenOn, ClaimMode]:
        """For which cluster the tier is proven, and with which access mode."""
        outputs = await last_outputs(self)
        on = self._proven_on(args, ProvenOn.of(outputs))
        return on, ClaimMode.decide(args.access_mode, [*triggers, *on.triggers], outputs)

    @staticmethod
    def _proven_on(args: TierCanaryArgs, last: ProvenOn) -> ProvenOn:
        here = last.on(args.stack.cluster_uid)
        if here.trigger != last.trigger:
            pulumi.log.warn(
                f"{args.storage_tier.tier.class_name}: this is not the cluster that it was proven on, so it is proven again. What of the "
                "stack is gone with the old one is made by `pulumi up --refresh`"
            )
        return here


def with_warnings(verdict: dict[str, Any], args: TierCanaryArgs) -> dict[str, Any]:
    """The verdict with what a user of the tier should hear now.

    That changes with the services, not with the proof.

    That is a place without a proof, and too little room for the services. Where sizes are enforced
    the canary's file system is its own, and says nothing of the room for others.
    """
    places = verdict.get("places", [])
    warnings = [f"not proven everywhere: {each['reason']}" for each in places if each["verdict"] != "proven"]
    if not args.storage_tier.enforces_size:
        free = [each["fileSystem"]["freeBytes"] for each in (places or [verdict]) if "fileSystem" in each]
        # Claims may land in any of the places, so only what is too much for all of them is told.
        warnings += filter(None, [free_space_warning(sum(free), args.allocated_bytes)])
    for warning in warnings:
        pulumi.log.warn(f"{args.storage_tier.tier.class_name}: {warning}")
    return {**verdict, "warnings": warnings}


def _fingerprint(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class StackProof:
    """The proof of all tiers of a stack."""

    namespace: CanaryNamespace | None
    """Where the canaries run; None where they are disabled."""
    canaries: Mapping[str, TierCanary]
    """Each tier's, by the tier's name; empty where they are disabled."""

    @property
    def resources(self) -> list[pulumi.Resource]:
        """All that it is made of."""
        return [*([self.namespace] if self.namespace else []), *self.canaries.values()]

    def of(self, tier: str) -> list[pulumi.Resource]:
        """What proves a tier: nothing where canaries are disabled."""
        return [self.canaries[tier]] if self.canaries else []

    def verdict(self, tier: str) -> pulumi.Output[dict[str, Any]] | dict[str, Any]:
        """What came of a tier's proof."""
        return self.canaries[tier].verdict if self.canaries else DISABLED


def prove(stack: Stack, settings: Settings, tiers: Mapping[str, StorageTier], allocation: Allocation) -> StackProof:
    """Prove every tier, where the settings have canaries enabled."""
    if not settings.canary.enabled:
        return StackProof(None, {})
    namespace, canary = settings.canary_namespace, settings.canary
    shared = CanaryNamespace("canary", CanaryNamespaceArgs(stack, namespace), stack.options())
    canaries = {
        name: TierCanary(
            name,
            TierCanaryArgs(
                stack=stack,
                storage_tier=tier,
                proof=ProofArgs(
                    namespace,
                    shared.probe,
                    canary.image,
                    canary.run,
                    {limit: number for limit, number in settings.limits.get(name, {}).items() if not LIMITED_FIGURES[limit].of_engine},
                    canary.pod.model_dump(by_alias=True, exclude_defaults=True),
                    canary.spread,
                ),
                claim_bytes=settings.smallest_bytes(name, CLAIM_BYTES),
                access_mode=settings.access_mode_of(name),
                allocated_bytes=allocation["tiers"][name]["provisionedBytes"],
            ),
            stack.options([shared, tier]),
        )
        for name, tier in tiers.items()
    }
    return StackProof(shared, canaries)
