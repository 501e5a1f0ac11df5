"""Which tiers of a stack are accepted, by which engine."""

from __future__ import annotations

from collections.abc import Sequence

from components.acceptance.of_settings import engine_for, plan_of
from components.acceptance.plan import AcceptancePlan, new_seed
from components.settings import Settings
from ops.errors import UserError


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
    fitting = {tier: engine_for(settings, tier) for tier in settings.tiers}
    chosen = tiers or [name for name, own in fitting.items() if engine in (None, own)]
    if not chosen:
        first = next(iter(settings.tiers))
        raise UserError(f"stack {settings.stack} has no tier that is made for {engine}.", f"`--tier {first}` names one all the same.")
    return [plan_of(settings, tier, engine or fitting[tier], new_seed() if seed is None else seed) for tier in chosen]
