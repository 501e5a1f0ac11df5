"""A class has a name that no other class has: a reader who has met one knows what is meant."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.unit.mocked_program import ROOT

ROOMS = ("bench", "components", "dev", "devkube", "ops", "policy", "review")


def test_no_two_public_classes_have_one_name() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for room in ROOMS:
        for source in sorted((ROOT / room).rglob("*.py")):
            place = source.relative_to(ROOT)
            if "tests" in place.parts:
                continue
            for node in ast.parse(source.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(place.as_posix())
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
