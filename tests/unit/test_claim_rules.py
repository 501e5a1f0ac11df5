"""The program's own check and the review of a pull request refuse a change for one reason."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.preflight import claim_rules
from components.preflight.claim_rules import ACCESS_MODES, FIELDS, FIXED, NAMESPACE, REPLACING, SIZE, STORAGE_CLASS, Effect
from components.preflight.claims import problems
from review.comparison import compare
from tests.unit.test_preflight_claims import ALL_BOUND, BEFORE, REFUSED, settings
from tests.unit.test_review_comparison import plan_of

# One change at a time: of several, the review says for each claim that it is lost, and not all that
# is changed on it.
BOTH = {case: changes for case, (changes, _) in REFUSED.items() if case != "everything at once"}


@pytest.mark.parametrize("case", BOTH)
def test_both_say_the_same(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.preflight.cluster.check_cluster", lambda settings: None)
    (refused,) = problems(BEFORE, settings(**BOTH[case]), ALL_BOUND)
    review = [text for text in compare(plan_of(), plan_of(**BOTH[case])).problems if text.startswith("PersistentVolumeClaim")]
    rule = re.split(r", and (on|in) |, and data-", refused.rule)[0].removeprefix("local-path ")
    assert review
    assert all(rule in text for text in review), (rule, review)
    works = refused.works.partition("; or")[2].partition("`kubectl")[0].replace("do without them", "do without it")
    assert all(works in text for text in review), (works, review)


VALUES: dict[str, tuple[Any, Any]] = {field: (["one"], ["other"]) if field == ACCESS_MODES else ("one", "other") for field in FIELDS}


@given(st.sets(st.sampled_from(FIELDS)), st.sets(st.sampled_from(FIELDS)))
def test_each_field_that_differs_and_is_known_is_found_once(differing: set[str], unknown: set[str]) -> None:
    old = {field: values[0] for field, values in VALUES.items() if field not in unknown}
    new = {field: values[field in differing] for field, values in VALUES.items()}
    found = list(claim_rules.compare(old, new))
    assert [finding.field for finding in found] == [field for field in FIELDS if field in differing - unknown and field != SIZE]
    for finding in found:
        assert finding.effect is (Effect.REFUSED if finding.field in FIXED else Effect.REPLACED)


@given(st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_sizes(old: int, new: int, grows: bool) -> None:
    found = [finding.rule for finding in claim_rules.compare_sizes(old, new, "ebs", grows)]
    assert found == (["a volume can't be made smaller"] * (new < old) or ["ebs can't make a volume larger"] * (new > old and not grows))
    assert len(list(claim_rules.compare_sizes_unbound(old, new))) == (old != new)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_what_failed_to_grow_may_be_asked_for_less_but_not_for_what_it_has(has: int, asked: int, new: int) -> None:
    found = list(claim_rules.compare_sizes(asked, new, "ebs", grows=True, has=has))
    assert bool(found) is (new < asked and new <= has)  # kubernetes, ValidatePersistentVolumeClaimUpdate


def test_words_of_the_rules() -> None:
    assert {field: claim_rules.replacing(field).rule for field in (NAMESPACE, STORAGE_CLASS, ACCESS_MODES)} == {
        NAMESPACE: "a claim can't change its namespace: it would be made anew, empty",
        STORAGE_CLASS: "a claim can't change its class: it would be made anew, empty",
        ACCESS_MODES: "a claim can't change its access mode: it would be made anew, empty",
    }
    assert claim_rules.removed(2, 2).rule == "the claims above that number are deleted"
    assert claim_rules.removed(0, 0).rule == "the claims of a service that is removed or renamed are deleted"
    assert claim_rules.removed(None, 0).rule == "a claim that isn't declared any more is deleted"
    assert set(REPLACING).isdisjoint(FIXED)
