"""Which engine accepts a tier of a stack, and how: from its settings."""

from __future__ import annotations

from components.acceptance.plan import AcceptancePlan
from components.canary.limits import LIMITED_FIGURES, FigureLimit
from components.canary.plan import ProofPlan
from components.settings import Settings

ENGINES = ("postgresql", "kafka")
# The engine of a tier is that which it is made for.
_BY_PROFILE = {"database": "postgresql", "streaming": "kafka"}
# PostgreSQL keeps up to 1 GiB of WAL between two checkpoints. Three brokers have one claim each.
_CLAIM_BYTES = {"postgresql": 2 * 2**30, "kafka": 2**30}


def engine_for(settings: Settings, tier: str) -> str:
    """The engine that a tier is made for."""
    return _BY_PROFILE[settings.tiers[tier].kind.profile]


def other_image(engine: str) -> str:
    """What to do about an engine's image that can't be pulled."""
    return f"Name one that this cluster's nodes can pull: `pulumi config set --path canary.engines.{engine} IMAGE`."


def plan_of(settings: Settings, name: str, engine: str, seed: int) -> AcceptancePlan:
    """The acceptance of a tier by an engine."""
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
        size=settings.smallest_bytes(name, _CLAIM_BYTES[engine]),
        sizes_enforced=settings.provisioner.enforces_size,
        pod=settings.canary.pod.model_dump(by_alias=True, exclude_defaults=True),
        other_image=other_image(engine),
    )
    limits = [FigureLimit(LIMITED_FIGURES[limit], number) for limit, number in sorted(settings.limits.get(name, {}).items())]
    return AcceptancePlan(proof, engine, images.client, seed, limits=tuple(each for each in limits if each.figure.of_engine))
