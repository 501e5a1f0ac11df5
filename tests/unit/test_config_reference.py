"""The config reference, in README.md and docs/provisioners.md, says what Pulumi.yaml's schema and
the settings' own models say.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_origin

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components import settings
from components.provisioners import PROVISIONERS
from components.settings import reference
from components.settings.problems import example
from devkube import paths
from tests.unit.mocked_program import dev_config

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
    expected |= names("services.<service>", settings.ServiceSettings) | names("canary", settings.CanarySettings)
    expected |= names("canary.limits.<tier>", settings.CanaryLimits) | names("tiers.<tier>", settings.TierSettings)
    expected |= names("canary.pod", settings.CanaryPod) | names("canary.pod.tolerations[]", settings.Toleration)
    expected |= names("canary.pod.imagePullSecrets[]", settings.SecretReference) | names("canary.pod.resources", settings.PodResources)
    expected |= names("services.<service>.engine", settings.EngineSettings)
    expected |= names("services.<service>.engine.postgresql", settings.PostgresqlEngine)
    expected |= names("services.<service>.engine.kafka", settings.KafkaEngine)
    expected |= names("canary.engines", settings.EngineImages)
    expected |= {"adopt.<service>.<ordinal>"}
    assert {key for key in rows(README, "Settings") if "." in key} == expected


WRITE = "write both again with `python -m components.settings`"


def test_readme_and_pulumi_yaml_say_what_the_models_say() -> None:
    assert reference.in_readme(README) == README, WRITE
    schema = (paths.ROOT / "Pulumi.yaml").read_text(encoding="utf-8")
    assert reference.in_pulumi_yaml(schema) == schema, WRITE
    assert {key: entry["description"] for key, entry in SCHEMA.items()} == reference.descriptions(), WRITE
    assert {row.key: (row.type, row.meaning) for row in reference.rows()} == rows(README, "Settings"), WRITE


def test_both_are_written_again_when_they_are_behind(tmp_path: Path) -> None:
    for name in ("README.md", "Pulumi.yaml"):
        good = (paths.ROOT / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(
            good.replace("the storage driver of this stack", "nothing").replace("The storage driver", "Nothing"), "utf-8"
        )
    assert reference.write(tmp_path) == ["README.md", "Pulumi.yaml"]
    assert all((tmp_path / name).read_bytes() == (paths.ROOT / name).read_bytes() for name in ("README.md", "Pulumi.yaml"))
    assert reference.write(tmp_path) == []


@pytest.mark.parametrize("key", settings.KEYS)
def test_an_example_of_a_top_level_key_works(key: str) -> None:
    written = yaml.safe_load(example(settings.StackConfig.model_fields[key]))
    made = dev_config(**{key: written if key != "adopt" else {"kafka": {"1": "pvc-1"}}})
    if key == "tiers":
        made |= dev_config(services={})
    settings.load(made, "dev")


MODELS = [
    settings.StackConfig,
    settings.ClusterSettings,
    settings.NamespaceSettings,
    settings.TierSettings,
    settings.ServiceSettings,
    settings.CanarySettings,
    settings.CanaryLimits,
    settings.CanaryPod,
    settings.Toleration,
    settings.SecretReference,
    settings.PodResources,
    settings.EngineSettings,
    settings.PostgresqlEngine,
    settings.KafkaEngine,
]


@pytest.mark.parametrize("model", MODELS)
def test_every_setting_has_a_rule_and_a_value_that_works(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.examples, name
        assert field.examples[0], name


@pytest.mark.parametrize("model", [model for model in MODELS[1:] if model is not settings.EngineSettings])
def test_the_examples_of_a_model_work_together(model: type[BaseModel]) -> None:
    model.model_validate({field.alias: yaml.safe_load(example(field)) for field in model.model_fields.values()})


def test_the_example_of_each_engine_works_where_it_is_the_only_one() -> None:
    for field in settings.EngineSettings.model_fields.values():
        settings.EngineSettings.model_validate({field.alias: yaml.safe_load(example(field))})


@pytest.mark.parametrize("name", PROVISIONERS)
def test_a_provisioners_table_is_what_its_model_says(name: str) -> None:
    expected = {key: (reference.json_type(field), field.description) for key, field in keys_of(PROVISIONERS[name].parameters_model).items()}
    assert rows(PROVISIONERS_PAGE, name) == expected


@pytest.mark.parametrize("name", PROVISIONERS)
def test_every_key_can_be_explained_to_who_got_it_wrong(name: str) -> None:
    for key, field in keys_of(PROVISIONERS[name].parameters_model).items():
        assert field.description, key
        assert field.examples, key
        assert field.examples[0], key


def keys_of(model: type[BaseModel], below: str = "") -> dict[str, FieldInfo]:
    """Every key of a tier's settings: those of its mappings as `snapshots.lockMode`,
    `attributes.<name>.iops`.
    """
    keys: dict[str, FieldInfo] = {}
    for name, field in model.model_fields.items():
        key = f"{below}{field.alias or name}"
        keys[key] = field
        inner = settings.inner_model(field)
        if inner:
            keys |= keys_of(inner, f"{key}.<name>." if get_origin(field.annotation) is dict else f"{key}.")
    return keys
