"""Which tiers of a stack are accepted, by which engine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from components.acceptance.plan import AcceptancePlan
from components.canary.plan import ProofPlan
from components.settings import Settings
from ops.errors import UserError

ENGINES = ("postgresql", "kafka")
# The engine of a tier is that which it is made for.
BY_PROFILE = {"database": "postgresql", "streaming": "kafka"}
# PostgreSQL keeps up to 1 GiB of WAL between two checkpoints. Three brokers have one claim each.
CLAIM_BYTES = {"postgresql": 2 * 2**30, "kafka": 2**30}
_LARGEST_SEED = 2**32


def plans(settings: Settings, tiers: Sequence[str], engine: str | None, seed: int | None) -> list[AcceptancePlan]:
    """A plan for each of these tiers.

    With none named it is each that is made for this engine; with no engine named either, all.
    Raises UserError.
    """
    unknown = [tier for tier in tiers if tier not in settings.tiers]
    if unknown:
        known = ", ".join(settings.tiers)
        raise UserError(f"--tier {unknown[0]}: stack {settings.stack} has no such tier.", f"Its tiers: {known}.")
    if not settings.canary.enabled:
        raise UserError(
            "canary.enabled is false: the namespace in which engines are run is not made.",
            f"`pulumi config set --path canary.enabled true --stack {settings.stack}`, then `pulumi up`.",
        )
    fitting = {tier.name: BY_PROFILE[tier.kind.profile] for tier in settings.tiers.values()}
    chosen = tiers or [name for name, own in fitting.items() if engine in (None, own)]
    if not chosen:
        first = next(iter(settings.tiers))
        raise UserError(f"stack {settings.stack} has no tier that is made for {engine}.", f"`--tier {first}` names one all the same.")
    return [_plan(settings, tier, engine or fitting[tier], secrets.randbelow(_LARGEST_SEED) if seed is None else seed) for tier in chosen]


def _plan(settings: Settings, name: str, engine: str, seed: int) -> AcceptancePlan:
    tier, images = settings.tiers[name], settings.canary.engines
    proof = ProofPlan(
        context=settings.cluster.context,
        namespace=settings.canary_namespace,
        instance=settings.stack,
        tier=name,
        profile=tier.kind.profile,
        storage_class=tier.class_name,
        image=getattr(images, engine),
        probe="",
        size=settings.smallest_bytes(name, CLAIM_BYTES[engine]),
        sizes_enforced=settings.provisioner.enforces_size,
        pod=settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True),
        other_image=f"Name one that this cluster's nodes can pull: `pulumi config set --path canary.engines.{engine} IMAGE`.",
    )
    return AcceptancePlan(proof, engine, images.client, seed)
