"""The README's config reference says what Pulumi.yaml's schema and the settings' own models say."""

from __future__ import annotations

import re

import pytest
import yaml
from pydantic import BaseModel

from components import settings
from components.provisioners import PROVISIONERS
from dev import paths

README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
SCHEMA = yaml.safe_load((paths.ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]


def rows() -> dict[str, tuple[str, str]]:
    """The config reference: key -> (type, meaning)."""
    section = README.split("## Settings", 1)[1].split("\n## ", 1)[0]
    return {key: (kind, meaning) for key, kind, meaning in re.findall(r"^\| `([^`]+)` \| (\S+) \| (.+) \|$", section, re.MULTILINE)}


def test_every_top_level_key_is_there_and_no_other() -> None:
    assert {key for key in rows() if "." not in key} == set(SCHEMA) == set(settings.KEYS)


@pytest.mark.parametrize("key", SCHEMA)
def test_a_keys_type_is_the_schemas(key: str) -> None:
    assert rows()[key][0] == SCHEMA[key]["type"]


def test_every_key_below_is_there_and_no_other() -> None:
    def names(path: str, model: type[BaseModel]) -> set[str]:
        return {f"{path}.{field.alias or name}" for name, field in model.model_fields.items()}

    expected = names("cluster", settings.Cluster) | names("namespace", settings.Namespace) | names("services.<service>", settings.Service)
    expected |= (
        names("canary", settings.Canary) | {"adopt.<service>.<ordinal>", "canary.limits"} | names("canary.limits.<tier>", settings.Limits)
    )
    for provisioner in PROVISIONERS.values():
        expected |= names("tiers.<tier>", provisioner.parameters_model)
    assert {key for key in rows() if "." in key} == expected
