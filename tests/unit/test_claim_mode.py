"""With which access mode a tier is proven: that of its services, and no proof anew for its sake."""

from __future__ import annotations

from typing import Any

import pytest

from components.canary import driver, manifests, volumes
from components.canary.claim_mode import ClaimMode
from components.settings import load
from tests.unit.mocked_program import COMMAND, Run, run, stack_config

RWO, RWOP = "ReadWriteOnce", "ReadWriteOncePod"
ARGUMENT = f"--access-mode={RWOP}"
PROVEN = {"verdict": {"verdict": "proven"}}  # a component's outputs, by a version without modes


class TestDecided:
    @pytest.mark.parametrize("wanted", [RWO, RWOP])
    def test_a_tier_that_was_never_proven_is_proven_as_its_services_use_it(self, wanted: str) -> None:
        made = ClaimMode.decide(wanted, ["a"], {})
        assert (made.mode, made.arguments) == (wanted, [ARGUMENT] if wanted == RWOP else [])

    def test_a_proof_from_before_is_kept_until_another_is_due(self) -> None:
        first = ClaimMode.decide(RWOP, ["a", 1], PROVEN)
        assert (first.mode, first.arguments) == (RWO, [])
        noted = {**PROVEN, "claimMode": first.noted}
        assert ClaimMode.decide(RWOP, ["a", 1], noted) == first
        due = ClaimMode.decide(RWOP, ["a", 2], noted)
        assert (due.arguments, due.noted) == ([ARGUMENT], {"mode": RWOP})
        assert ClaimMode.decide(RWOP, ["a", 2], {**PROVEN, "claimMode": due.noted}) == due

    def test_another_mode_of_the_services_is_another_proof(self) -> None:
        made = ClaimMode.decide(RWO, ["a"], {**PROVEN, "claimMode": {"mode": RWOP}})
        assert (made.arguments, made.noted) == ([], None)

    def test_a_tier_of_before_whose_services_want_no_other_notes_nothing(self) -> None:
        assert ClaimMode.decide(RWO, ["a"], PROVEN).noted is None


@pytest.mark.parametrize(("modes", "mode"), [([RWOP, RWOP], RWOP), ([RWOP, RWO], RWO), ([RWO], RWO), ([], RWO)])
def test_the_mode_of_a_tier_is_the_one_that_all_its_services_have(modes: list[str], mode: str) -> None:
    services = {f"s{number}": {"tier": "database", "size": "1Gi", "accessMode": each} for number, each in enumerate(modes)}
    other = {"tier": "streaming", "size": "1Gi", "accessMode": RWOP}
    assert load(stack_config("dev", services={**services, "other": other}), "dev").access_mode_of("database") == mode


def outputs(made: Run) -> dict[str, dict[str, Any]]:
    """What the state has of each tier's component after this run."""
    return {urn.rpartition("::")[2]: each for urn, each in made.component_outputs.items() if "TierCanary::" in urn}


def arguments(made: Run) -> dict[str, bool]:
    """Whether each tier is proven with ReadWriteOncePod."""
    return {tier: ARGUMENT in made.of(COMMAND)[f"canary-{tier}"].inputs["interpreter"] for tier in ("database", "streaming")}


def test_a_stack_of_before_changes_no_command_until_a_proof_is_due() -> None:
    config = stack_config("aws")
    assert arguments(run(config, "aws")) == {"database": True, "streaming": True}
    old = run(config, "aws", canaries={"database": PROVEN, "streaming": PROVEN})
    assert arguments(old) == {"database": False, "streaming": False}
    again = run(config, "aws", canaries=outputs(old))
    assert arguments(again) == arguments(old)
    due = run(stack_config("aws", canary={"run": 2}), "aws", canaries=outputs(again))
    assert arguments(due) == {"database": True, "streaming": True}
    assert arguments(run(stack_config("aws", canary={"run": 2}), "aws", canaries=outputs(due))) == arguments(due)


def test_the_driver_claims_with_the_mode_and_looks_for_free_volumes_of_it() -> None:
    _, plan = driver.parse(["prove", "--context=c", "--namespace=n", "--instance=aws", "--tier=database", "--size=1073741824", ARGUMENT])
    assert manifests.claim(plan, "0123456789abcdef")["spec"]["accessModes"] == [RWOP]
    _, plan = driver.parse(["prove", "--context=c", "--namespace=n", "--instance=aws"])
    assert manifests.claim(plan, "0123456789abcdef")["spec"]["accessModes"] == [RWO]
    free = {
        "spec": {"storageClassName": "x", "accessModes": [RWO], "capacity": {"storage": "1Gi"}},
        "status": {"phase": "Available"},
    }
    assert [volumes.is_free(free, "x", 2**30, mode) for mode in (RWO, RWOP)] == [True, False]
