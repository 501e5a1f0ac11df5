"""What is in a stack's state: every name, parent, dependency, input, option and output.

A difference here is one that every user's next `pulumi up` shows. One that is meant is written down
by `python -m tests.unit.registrations`, and the pull request then shows it.
"""

from __future__ import annotations

import json

import pytest

from tests.unit.registrations import CASES, FILE, all_recorded


@pytest.fixture(scope="module")
def recorded() -> dict[str, object]:
    return all_recorded()


def test_the_file_has_each_case() -> None:
    assert set(json.loads(FILE.read_text(encoding="utf-8"))) == set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_what_is_registered_is_what_is_written_down(recorded: dict[str, object], case: str) -> None:
    assert recorded[case] == json.loads(FILE.read_text(encoding="utf-8"))[case]
