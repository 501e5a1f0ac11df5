"""The config reference, in README.md and docs/provisioners.md, says what Pulumi.yaml's schema and the settings' own models say."""

from __future__ import annotations

import re
from typing import get_args, get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components import settings
from components.provisioners import PROVISIONERS
from components.provisioners.forms import Numbered
from devkube import paths

PROVISIONERS_PAGE = (paths.ROOT / "docs" / "provisioners.md").read_text(encoding="utf-8")
README = (paths.ROOT / "README.md").read_text(encoding="utf-8")
SCHEMA = yaml.safe_load((paths.ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]


def rows(page: str, section: str) -> dict[str, tuple[str, str]]:
    """A table of the config reference: key -> (type, meaning)."""
    section = page.split(f"\n## {section}\n", 1)[1].split("\n## ", 1)[0]
    return {key: (kind, meaning) for key, kind, meaning in re.findall(r"^\| `([^`]+)` \| (\S+) \| (.+) \|$", section, re.MULTILINE)}


def test_every_top_level_key_is_there_and_no_other() -> None:
    assert {key for key in rows(README, "Settings") if "." not in key} == set(SCHEMA) == set(settings.KEYS)


@pytest.mark.parametrize("key", SCHEMA)
def test_a_keys_type_is_the_schemas(key: str) -> None:
    assert rows(README, "Settings")[key][0] == SCHEMA[key]["type"]


def test_every_key_below_is_there_and_no_other() -> None:
    def names(path: str, model: type[BaseModel]) -> set[str]:
        return {f"{path}.{field.alias or name}" for name, field in model.model_fields.items()}

    expected = names("cluster", settings.ClusterSettings) | names("namespace", settings.NamespaceSettings)
    expected |= names("services.<service>", settings.ServiceSettings) | names("canary", settings.CanarySettings) | {"canary.limits"}
    expected |= names("canary.limits.<tier>", settings.CanaryLimits) | {"tiers.<tier>.kind", "adopt.<service>.<ordinal>"}
    assert {key for key in rows(README, "Settings") if "." in key} == expected


@pytest.mark.parametrize("name", PROVISIONERS)
def test_a_provisioners_table_is_what_its_model_says(name: str) -> None:
    expected = {key: (json_type(field), field.description) for key, field in keys_of(PROVISIONERS[name].parameters_model).items()}
    assert rows(PROVISIONERS_PAGE, name) == expected


@pytest.mark.parametrize("name", PROVISIONERS)
def test_every_key_can_be_explained_to_who_got_it_wrong(name: str) -> None:
    for key, field in keys_of(PROVISIONERS[name].parameters_model).items():
        assert field.description, key
        assert field.examples, key
        assert field.examples[0], key


def keys_of(model: type[BaseModel], below: str = "") -> dict[str, FieldInfo]:
    """Every key of a tier's settings: those of its mappings as `snapshots.lockMode`, `attributes.<name>.iops`."""
    keys: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        key = f"{below}{field.alias or name}"
        keys[key] = field
        inner = settings.inner_model(field)
        if inner:
            keys |= keys_of(inner, f"{key}.<name>." if get_origin(field.annotation) is dict else f"{key}.")
    return keys


def json_type(field: FieldInfo) -> str:
    """The type of a key as Pulumi's schema would call it."""
    kinds = [field.annotation, *get_args(field.annotation)]
    if Numbered in {type(each) for each in field.metadata}:
        return "string"
    if settings.inner_model(field) or get_origin(field.annotation) is dict:
        return "object"
    if get_origin(field.annotation) is list:
        return "array"
    return next(name for kind, name in ((bool, "boolean"), (int, "integer"), (str, "string")) if kind in kinds or kind is str)
