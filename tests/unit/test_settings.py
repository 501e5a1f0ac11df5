"""The settings: the exact message for each mistake (wrong_settings.py), and what good ones are
loaded as.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from components.kube.labels import PROJECT
from components.settings import (
    KEYS,
    LONGEST_SERVICE,
    MISSING_SERVICES,
    Problem,
    SettingsError,
    label_problem,
    load,
)
from tests.unit.mocked_program import ROOT, dev_config
from tests.unit.wrong_settings import CASES, service


def problems(config: dict[str, str], stack: str = "dev") -> list[Problem]:
    with pytest.raises(SettingsError) as refused:
        load(config, stack)
    return list(refused.value.problems)


@pytest.mark.parametrize("case", CASES)
def test_one_mistake_one_exact_message(case: str) -> None:
    changes, message = CASES[case]
    assert [str(problem) for problem in problems(dev_config(**changes))] == [message]


@pytest.mark.parametrize(("stack", "works"), [("-dev", "dev"), ("d" * 64, "d" * 63)])
def test_a_stack_name_that_is_no_label(stack: str, works: str) -> None:
    (problem,) = problems(dev_config(), stack)
    assert (problem.path, problem.works) == ("stack", works)
    load(dev_config(), works)


def test_all_mistakes_are_in_one_message() -> None:
    changes: dict[str, Any] = {
        "cluster": {"context": "a"},
        "zone": "b",
        "protect": "on",
        **service(size="5GB", replicas=0, tier="streeming"),
    }
    with pytest.raises(SettingsError) as refused:
        load(dev_config(**changes), "dev")
    lines = str(refused.value).splitlines()
    assert lines[0] == "6 problems in the settings of stack dev (Pulumi.dev.yaml), nothing was changed:"
    assert [line.split(":")[0].strip() for line in lines[1:]] == [
        "zone",
        "cluster.identifier",
        "services.kafka.size",
        "services.kafka.replicas",
        "services.kafka.tier",
        "protect",
    ]


def test_what_refers_to_something_wrong_is_no_second_problem() -> None:
    changes: dict[str, Any] = {
        "tiers": {"database": {}, "streaming": {"nodePath": "x"}},
        "services": {"kafka": {"tier": "streaming", "size": "5GB"}, "postgres": {"tier": "database", "size": "5Gi"}},
        "canary": {"limits": {"streaming": {"writeMBps": 80}}},
        "adopt": {"kafka": {"0": "pvc-1"}},
    }
    assert [problem.path for problem in problems(dev_config(**changes))] == ["tiers.streaming.nodePath", "services.kafka.size"]


def test_one_problem_is_one() -> None:
    with pytest.raises(SettingsError, match=r"^1 problem in the settings of stack dev \(Pulumi\.dev\.yaml\), nothing was changed:\n"):
        load(dev_config(protect="x"), "dev")


def test_nothing_at_all_names_every_key_that_is_needed() -> None:
    assert [problem.path for problem in problems({})] == ["provisioner", "cluster", "tiers", "services"]


def test_a_long_value_is_cut() -> None:
    (problem,) = problems(dev_config(zone="z" * 500))
    assert len(problem.value) == 80


class TestGoodSettings:
    def test_the_dev_stack(self) -> None:
        settings = load(dev_config(), "dev")
        assert settings.provisioner.name == "local-path"
        assert settings.cluster.context == "storage-tiers-dev"
        assert (settings.namespace.name, settings.namespace.create) == ("data", True)
        assert set(settings.tiers) == {"database", "streaming"}
        kafka = settings.services["kafka"]
        assert (kafka.tier, kafka.size.requested, kafka.replicas, kafka.access_mode) == ("streaming", "3.3Gi", 3, "ReadWriteOnce")
        assert settings.protect is False

    def test_defaults(self) -> None:
        settings = load(dev_config(namespace=None, protect=None, services={"a": {"tier": "database", "size": "1Gi"}}), "dev")
        assert (settings.namespace.name, settings.namespace.create, settings.protect) == ("data", True, False)
        assert (settings.services["a"].replicas, settings.services["a"].access_mode) == (1, "ReadWriteOnce")

    def test_no_services_when_said_so(self) -> None:
        assert load(dev_config(services={}), "dev").services == {}

    def test_keys_of_other_namespaces_are_not_ours(self) -> None:
        assert load({**dev_config(), "kubernetes:context": "x", "aws:region": "y"}, "dev").provisioner.name == "local-path"

    def test_the_longest_names_stay_within_what_kubernetes_takes(self) -> None:
        name = "k" * LONGEST_SERVICE
        settings = load(dev_config(services={name: {"tier": "database", "size": "1Gi", "replicas": 1000}}), "dev")
        assert len(f"data-{name}-{settings.services[name].replicas - 1}") <= 63
        assert len(f"{name}-{'x' * 10}") <= 63


names = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)


@given(st.sets(st.tuples(names, st.integers(0, 999))))
def test_claims_of_different_services_never_have_one_name(claims: set[tuple[str, int]]) -> None:
    assert len({f"data-{service}-{ordinal}" for service, ordinal in claims}) == len(claims)


@given(st.text(max_size=80), st.integers(1, 63))
def test_the_name_that_is_proposed_is_a_good_one(name: str, longest: int) -> None:
    problem = label_problem(name, max(longest, 7))
    assert problem is None or label_problem(problem[1], max(longest, 7)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_settings_end_in_anything_but_settings_or_problems(config: dict[str, Any]) -> None:
    raw = {f"{PROJECT}:{key}": json.dumps(value) for key, value in config.items()}
    raw[f"{PROJECT}:provisioner"] = "local-path"
    with pytest.raises(SettingsError):
        load(raw, "dev")


class TestSchema:
    """Pulumi.yaml's own typed schema, which the engine checks first, agrees with the loader."""

    schema = yaml.safe_load((ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))["config"]

    def test_has_every_key_with_type_description_and_default(self) -> None:
        assert tuple(self.schema) == KEYS
        for key, entry in self.schema.items():
            assert {"type", "description", "default"} <= set(entry), key

    def test_its_default_for_services_is_the_one_that_the_loader_takes_for_missing(self) -> None:
        assert self.schema["services"]["default"] == MISSING_SERVICES


@pytest.mark.parametrize(
    "volume",
    [
        "pvc-1",
        "a.b",
        "/volumes/pvc-1_data_data-kafka-1",
        "vol-0a1b2c",
        "aws://eu-central-1a/vol-0a1b2c",
        "projects/p/zones/z/disks/d",
        "vol-0a1b2c@6Gi",
        "aws://eu-central-1a/vol-0a1b2c@1Ti",
        "projects/p/zones/z/disks/d@512Mi",
        "/volumes/a@6Gi",
        "new",
    ],
)
def test_every_form_of_an_old_volume(volume: str) -> None:
    assert load(dev_config(adopt={"kafka": {"1": volume}, "postgres": {"0": "new"}}), "dev").adopt == {
        "kafka": {1: volume},
        "postgres": {0: "new"},
    }
