"""Who asked for how much, what is provisioned for it, and the share that this is of the whole.

Shares are computed from what is provisioned: three brokers of 3.3Gi are 3 x 3380Mi, not the 10Gi of
a plan.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple, NotRequired, TypedDict

from components.engines import own_share
from components.kube.quantity import Size
from components.settings import ServiceSettings, Settings, budget_of, file_system_of

# Digits of a share: a hundredth of a percent, so that the shares of a few services add up to 1 as
# they are printed.
SHARE_DIGITS = 4


class Demand(NamedTuple):
    """What one service asks for."""

    service: str
    """The service's name."""
    tier: str
    """The name of the tier that its volumes are on."""
    size: Size
    """The size of each."""
    replicas: int
    """How many there are."""


class ClaimBudget(TypedDict):
    """What one claim of a service holds, by the settings of the engine on it.

    The last three figures, in bytes, add up to the first.
    """

    engine: str
    """As the settings name it: `postgresql` or `kafka`."""
    claimBytes: int
    fileSystemBytes: int
    """What the file system keeps for itself; 0 on local-path, whose volumes are folders."""
    engineBytes: int
    """What the engine writes at most besides data."""
    dataBytes: int
    """What is left for data."""
    unbounded: list[str]
    """The engine's settings without a limit: what they let be written isn't in the figures."""


class Portion(TypedDict):
    """What a service or a tier has: bytes asked for, bytes provisioned, and its share.

    The share is of all that is provisioned, from 0 to 1 with four digits.
    """

    requestedBytes: int
    provisionedBytes: int
    share: float
    perClaim: NotRequired[ClaimBudget]
    """Of a service whose settings say which engine it is."""


class Allocation(TypedDict):
    """The stack output `allocation`: by service, by tier and in total.

    Every tier of the stack is in it, used or not.
    """

    services: dict[str, Portion]
    tiers: dict[str, Portion]
    total: Portion


def allocation_of(settings: Settings) -> Allocation:
    """The allocation of all services of a stack."""
    allocation = allocate((Demand(name, each.tier, each.size, each.replicas) for name, each in settings.services.items()), settings.tiers)
    for name, service in settings.services.items():
        budget = _claim_budget(settings, service)
        if budget is not None:
            allocation["services"][name]["perClaim"] = budget
    return allocation


def allocate(demands: Iterable[Demand], tiers: Iterable[str]) -> Allocation:
    """The allocation of all `demands`.

    `tiers` are the names of all tiers, so that an unused one shows with nothing.
    """
    services: dict[str, tuple[int, int]] = {}
    by_tier: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0), dict.fromkeys(tiers, (0, 0)))
    total = (0, 0)
    for demand in demands:
        asked = (demand.size.requested_bytes * demand.replicas, demand.size.provisioned_bytes * demand.replicas)
        services[demand.service] = asked
        by_tier[demand.tier] = _sum(by_tier[demand.tier], asked)
        total = _sum(total, asked)
    return {
        "services": _portions(services, total[1]),
        "tiers": _portions(by_tier, total[1]),
        "total": {"requestedBytes": total[0], "provisionedBytes": total[1], "share": 1.0 if total[1] else 0.0},
    }


def _claim_budget(settings: Settings, service: ServiceSettings) -> ClaimBudget | None:
    """What each claim of a service holds; None where the settings name no engine."""
    budget = budget_of(service)
    if budget is None or service.engine is None:
        return None
    claim = service.size.provisioned_bytes
    file_system = file_system_of(settings.provisioner, settings.tiers[service.tier].parameters)
    return {
        "engine": service.engine.chosen[0],
        "claimBytes": claim,
        "fileSystemBytes": own_share(file_system, claim),
        "engineBytes": budget.engine_bytes,
        "dataBytes": budget.left_for_data(claim, file_system),
        "unbounded": list(budget.unbounded),
    }


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return (one[0] + other[0], one[1] + other[1])


def _portions(asked: dict[str, tuple[int, int]], whole: int) -> dict[str, Portion]:
    """Each with its share.

    Shares are rounded by largest remainder, so that those of a stack add up to exactly 1.
    """
    units = 10**SHARE_DIGITS
    shares = {name: divmod(provisioned * units, whole) if whole else (0, 0) for name, (_, provisioned) in asked.items()}
    missing = units - sum(share for share, _ in shares.values()) if whole else 0
    raised = set(sorted(shares, key=lambda name: (-shares[name][1], name))[:missing])
    return {
        name: {
            "requestedBytes": requested,
            "provisionedBytes": provisioned,
            "share": (shares[name][0] + (name in raised)) / units,
        }
        for name, (requested, provisioned) in asked.items()
    }
