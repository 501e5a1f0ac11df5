"""Shares are those of what is provisioned, and add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.allocation import SHARE_DIGITS, Demand, allocate
from components.kube.quantity import GI, MI, Size

POSTGRES = Demand("postgres", "database", Size.parse("5Gi"), 1)
KAFKA = Demand("kafka", "streaming", Size.parse("3.3Gi"), 3)


def test_the_dev_stack() -> None:
    allocation = allocate([POSTGRES, KAFKA], ["database", "streaming"])
    total = 5 * GI + 3 * 3380 * MI
    assert allocation["total"] == {"requestedBytes": 5 * GI + 3 * 3543348020, "provisionedBytes": total, "share": 1.0}
    assert allocation["services"]["kafka"] == {"requestedBytes": 3 * 3543348020, "provisionedBytes": 3 * 3380 * MI, "share": 0.6645}
    assert allocation["services"]["postgres"]["share"] == 0.3355
    assert allocation["tiers"] == {
        "database": allocation["services"]["postgres"],
        "streaming": allocation["services"]["kafka"],
    }


def test_two_services_of_a_tier_are_added_up_and_an_unused_tier_shows_with_nothing() -> None:
    allocation = allocate([KAFKA, Demand("redpanda", "streaming", Size.parse("3.3Gi"), 3)], ["database", "streaming"])
    assert allocation["tiers"]["streaming"]["provisionedBytes"] == 6 * 3380 * MI
    assert allocation["tiers"]["streaming"]["share"] == 1.0
    assert allocation["tiers"]["database"] == {"requestedBytes": 0, "provisionedBytes": 0, "share": 0.0}


def test_no_services() -> None:
    nothing = {"requestedBytes": 0, "provisionedBytes": 0, "share": 0.0}
    assert allocate([], ["database"]) == {"services": {}, "tiers": {"database": nothing}, "total": nothing}


@given(st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 100)), min_size=1, max_size=30))
def test_shares_add_up_to_one_and_are_right_to_their_last_digit(services: list[tuple[int, int]]) -> None:
    demands = [Demand(f"s{index}", "t", Size.parse(f"{size}Mi"), replicas) for index, (size, replicas) in enumerate(services)]
    allocation = allocate(demands, ["t"])
    whole = allocation["total"]["provisionedBytes"]
    assert sum(portion["provisionedBytes"] for portion in allocation["services"].values()) == whole
    assert sum(round(portion["share"] * 10**SHARE_DIGITS) for portion in allocation["services"].values()) == 10**SHARE_DIGITS
    for portion in allocation["services"].values():
        assert portion["share"] == pytest.approx(portion["provisionedBytes"] / whole, abs=10**-SHARE_DIGITS)
