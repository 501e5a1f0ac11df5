"""The canary as Pulumi sees it: a namespace for its pods, and for each tier a command that succeeds when the tier is proven."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi
from pulumi_command.local import Command, Logging
from pulumi_kubernetes.core.v1 import ConfigMap, Namespace
from pulumi_kubernetes.meta.v1 import ObjectMetaArgs

from components.canary.verdict import free_space_warning
from components.kinds import TierKind
from components.kube import labels
from components.timeouts import SOON

DRIVER = ["components/run_python", "-m", "components.canary.driver"]
PROBE = Path(__file__).with_name("probe.py")

# The smallest volume that block storage drivers have (some types begin at more); the probe needs 0.3 GiB of it.
CLAIM_BYTES = 2**30


def disabled() -> dict[str, Any]:
    """The verdict of a tier whose canary isn't run."""
    return {"verdict": "disabled", "reason": "canary.enabled is false: nothing shows that this tier keeps data"}


@dataclass(frozen=True)
class CanaryNamespaceArgs:
    """`namespace` is made for the canary alone; `context` and `identifier` are the cluster's, as for the destroy guard."""

    namespace: str
    context: str
    identifier: str
    stack: str


class CanaryNamespace(pulumi.ComponentResource):
    """What all canaries of a stack share: a namespace, the probe, and a command that clears up before the namespace is deleted."""

    probe: str

    def __init__(self, name: str, args: CanaryNamespaceArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:CanaryNamespace", name, None, opts)
        source = PROBE.read_text(encoding="utf-8")
        # A new probe is a new ConfigMap: a pod never sees a mixture.
        self.probe = f"canary-probe-{hashlib.sha256(source.encode()).hexdigest()[:8]}"
        own = labels.recommended("canary", args.stack, "canary")
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
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace], custom_timeouts=SOON),
        )
        Command(
            f"{name}-sweep",
            interpreter=[*DRIVER, f"--context={args.context}", f"--namespace={args.namespace}", f"--instance={args.stack}"],
            delete="sweep",
            triggers=[args.identifier, args.namespace],
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        self.register_outputs({"namespace": args.namespace, "probe": self.probe})


@dataclass(frozen=True)
class TierCanaryArgs:
    """`kind` is the tier's, `definition` the class as it is declared, `probe` the ConfigMap's name.

    `run` is a number that a user raises for a new proof.

    `allocated_bytes` is what the services are promised on the tier, `claim_bytes` what the canary's own claim asks for; `limits`
    are by name, as in the settings.
    """

    tier: str
    kind: TierKind
    storage_class: str
    definition: Mapping[str, Any]
    sizes_enforced: bool
    namespace: str
    probe: str
    image: str
    run: int
    limits: Mapping[str, float]
    allocated_bytes: int
    claim_bytes: int
    context: str
    identifier: str
    stack: str


class TierCanary(pulumi.ComponentResource):
    """Proves a tier: what is in `opts.depends_on` is there before, and what depends on it is made only if the tier keeps data.

    It runs when the class, the probe, `run` or the cluster changes, and (then as an update) when an argument of its own does: image,
    limits, context. All inputs are the same bytes on every machine. `verdict` is the driver's JSON, with a warning where little
    space is free.
    """

    verdict: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: TierCanaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("storage-tiers:index:TierCanary", name, None, opts)
        proof = Command(
            f"canary-{name}",
            interpreter=[
                *DRIVER,
                f"--context={args.context}",
                f"--namespace={args.namespace}",
                f"--instance={args.stack}",
                f"--tier={args.tier}",
                f"--profile={args.kind.profile}",
                f"--storage-class={args.storage_class}",
                f"--image={args.image}",
                f"--probe={args.probe}",
                f"--size={args.claim_bytes}",
                *(["--sizes-enforced"] if args.sizes_enforced else []),
                *(f"--limit={limit}={json.dumps(number)}" for limit, number in sorted(args.limits.items())),
            ],
            create="prove",
            triggers=[args.identifier, _fingerprint(args.definition), args.probe, args.run],
            logging=Logging.STDERR,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=opts.depends_on if opts else None),
        )
        self.verdict = proof.stdout.apply(lambda text: with_warnings(json.loads(text), args))
        self.register_outputs({"verdict": self.verdict})


def with_warnings(verdict: dict[str, Any], args: TierCanaryArgs) -> dict[str, Any]:
    """The verdict with what a user of the tier should hear now, which changes with the services, not with the proof.

    Where sizes are enforced the canary's file system is its own, and says nothing of the room for others.
    """
    warning = None if args.sizes_enforced else free_space_warning(verdict["fileSystem"]["freeBytes"], args.allocated_bytes)
    if warning:
        pulumi.log.warn(f"{args.storage_class}: {warning}")
    return {**verdict, "warnings": [warning] if warning else []}


def _fingerprint(definition: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:16]
