"""Which tiers of a stack are accepted, by which engine."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from components.acceptance.plan import AcceptancePlan
from components.canary.plan import ProofPlan
from components.settings import Settings
from ops.errors import UserError

ENGINES = ("postgresql",)
CLAIM_BYTES = 2 * 2**30  # PostgreSQL keeps up to 1 GiB of WAL between two checkpoints
_LARGEST_SEED = 2**32


def plans(settings: Settings, tiers: Sequence[str], engine: str | None, seed: int | None) -> list[AcceptancePlan]:
    """A plan for each of these tiers; with none named, for each that is made for databases.

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
    chosen = tiers or [tier.name for tier in settings.tiers.values() if tier.kind.profile == "database"]
    if not chosen:
        first = next(iter(settings.tiers))
        raise UserError(f"stack {settings.stack} has no tier that is made for databases.", f"`--tier {first}` names one all the same.")
    return [_plan(settings, tier, engine or ENGINES[0], secrets.randbelow(_LARGEST_SEED) if seed is None else seed) for tier in chosen]


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
        size=settings.smallest_bytes(name, CLAIM_BYTES),
        sizes_enforced=settings.provisioner.enforces_size,
        pod=settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True),
        other_image=f"Name one that this cluster's nodes can pull: `pulumi config set --path canary.engines.{engine} IMAGE`.",
    )
    return AcceptancePlan(proof, engine, images.client, seed)
