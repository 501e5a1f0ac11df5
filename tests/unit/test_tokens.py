"""Type tokens are part of every URN in every state: changing one replaces what is under it.

So they are fixed here.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from tests.unit.mocked_program import PROVEN, ROOT, dev_config, run

TOKENS = {
    "CanaryNamespace": "storage-tiers:index:CanaryNamespace",
    "TierCanary": "storage-tiers:index:TierCanary",
    "TierAcceptance": "storage-tiers:index:TierAcceptance",
    "StorageTier": "storage-tiers:index:StorageTier",
    "TierQuota": "storage-tiers:index:TierQuota",
    "ServiceNamespace": "storage-tiers:index:ServiceNamespace",
    "ServiceVolumes": "storage-tiers:index:ServiceVolumes",
    "DestroyGuard": "storage-tiers:index:DestroyGuard",
}


def component_classes(folder: Path) -> dict[str, str]:
    """Each ComponentResource class in the sources, with the token that it gives itself."""
    found = {}
    for source in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("ComponentResource") for base in node.bases):
                constants = [
                    item.value for item in ast.walk(node) if isinstance(item, ast.Constant) and str(item.value).startswith("storage-tiers:")
                ]
                found[node.name] = str(constants[0])
    return found


def test_every_component_is_in_the_table_with_its_token() -> None:
    assert component_classes(ROOT / "components") == TOKENS


def tokens(**changes: Any) -> set[str]:
    """What the program registers with these settings."""
    return {each.type for each in run(dev_config(**changes)).registered if each.type.startswith("storage-tiers:")}


def test_the_program_registers_them_under_these_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROVEN, "run", "of the proof")
    assert tokens(canary={"engine": True}) == set(TOKENS.values())
    assert tokens() == set(TOKENS.values()) - {TOKENS["TierAcceptance"]}
