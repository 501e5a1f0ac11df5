"""The setting `canary.pod`: how it comes into the pods, which stay the kind of pod they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.canary import driver, manifests
from components.canary.places import Place
from components.canary.plan import ProofPlan
from components.settings import SettingsError, load
from components.settings.canary_pod import USER
from components.settings.pod_values import OWN_LABELS
from tests.unit.mocked_program import COMMAND, dev_config, run

RUN = "0123456789abcdef"
PLAN = ProofPlan("ctx", "data-canary", "dev", "database", "database", "database-local-path", "python:3", "canary-probe-1", 2**30, False)
FITTED = {
    "labels": {"team": "storage", "sidecar.istio.io/inject": "false"},
    "annotations": {"example.com/owner": "storage"},
    "nodeSelector": {"example.com/pool": "storage"},
    "tolerations": [{"key": "dedicated", "value": "storage", "effect": "NoSchedule"}, {"operator": "Exists"}],
    "imagePullSecrets": ["registry", {"name": "mirror"}],
    "priorityClassName": "storage",
    "resources": {"requests": {"cpu": 0.5, "memory": "128Mi"}, "limits": {"cpu": 1}},
    "serviceAccountName": "canary",
    "runAsUser": None,
}


def compiled(pod: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The pod for a setting, on its way through the driver's command line."""
    written = load(dev_config(canary={"pod": pod}), "dev").canary.pod.model_dump(by_alias=True, exclude_defaults=True)
    _, plan = driver.parse(["--context=x", "--namespace=x", "--instance=x", f"--pod={json.dumps(written)}", "prove"])
    return manifests.pod(ProofPlan(**{**vars(PLAN), "pod": plan.pod, **changes}), RUN, "write", ["write"])


def test_the_number_of_the_user_is_one_in_the_settings_and_in_the_manifest() -> None:
    assert USER == manifests.USER


def test_everything_that_can_be_asked_for_comes_into_the_pod() -> None:
    made = compiled(FITTED)
    spec = made["spec"]
    (container,) = spec["containers"]
    assert made["metadata"]["labels"] == {**FITTED["labels"], **manifests.canary_labels("dev", "database"), manifests.RUN: RUN}  # type: ignore[dict-item]
    assert made["metadata"]["annotations"] == FITTED["annotations"]
    assert spec["nodeSelector"] == {"example.com/pool": "storage", "kubernetes.io/os": "linux"}
    assert spec["tolerations"] == FITTED["tolerations"]
    assert spec["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
    assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("storage", "canary")
    assert container["resources"] == {"requests": {"cpu": "0.5", "memory": "128Mi"}, "limits": {"cpu": "1"}}
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(spec["securityContext"])
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False


def test_a_number_of_a_user_is_that_of_its_groups_too() -> None:
    context = compiled({"runAsUser": 1000})["spec"]["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (1000, 1000, 1000)


def test_without_the_setting_a_pod_is_what_it_was_but_on_linux_alone() -> None:
    spec = compiled({})["spec"]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert not {"affinity", "tolerations", "imagePullSecrets", "priorityClassName", "serviceAccountName"} & set(spec)
    assert spec["containers"][0]["resources"] == manifests.RESOURCES
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == USER


@pytest.mark.parametrize(
    ("place", "term"),
    [
        (
            Place("zone", "eu-1", "topology.kubernetes.io/zone"),
            {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": ["eu-1"]}]},
        ),
        (Place("node", "one"), {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}),
    ],
    ids=str,
)
def test_a_pod_is_held_to_its_place(place: Place, term: dict[str, Any]) -> None:
    required = {"nodeSelectorTerms": [term]}
    affinity = compiled({"nodeSelector": {"a": "b"}}, place=place)["spec"]["affinity"]
    assert affinity == {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


texts = st.text("abcAB-_./ ", max_size=6)
pods = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.dictionaries(texts | st.sampled_from([*OWN_LABELS, manifests.RUN]), texts, max_size=3),
        "annotations": st.dictionaries(texts, texts, max_size=2),
        "nodeSelector": st.dictionaries(texts | st.just("kubernetes.io/os"), texts | st.just("windows"), max_size=2),
        "runAsUser": st.none() | st.integers(-1, 3),
        "serviceAccountName": texts,
    },
)


@given(pods)
def test_nothing_that_is_asked_for_makes_it_another_kind_of_pod(pod: dict[str, Any]) -> None:
    try:
        made = compiled(pod)
    except SettingsError:
        return
    spec = made["spec"]
    own = {**manifests.canary_labels("dev", "database"), manifests.RUN: RUN}
    assert own.items() <= made["metadata"]["labels"].items()
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"].get("runAsUser", 1) > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["nodeSelector"]["kubernetes.io/os"] == "linux"
    assert spec["automountServiceAccountToken"] is False


def arguments(canary: dict[str, Any]) -> list[str]:
    """The driver's arguments for the database tier, as Pulumi has them."""
    return list(run(dev_config(canary=canary)).of(COMMAND)["canary-database"].inputs["interpreter"])


def test_only_what_differs_from_the_defaults_is_an_argument() -> None:
    plain = arguments({"image": "python:3"})
    assert arguments({"image": "python:3", "pod": {"runAsUser": 65532, "labels": {}, "tolerations": []}}) == plain
    assert arguments({"image": "python:3", "pod": {"runAsUser": None, "labels": {"b": "1", "a": "2"}}, "spread": "nodes"}) == [
        *plain,
        '--pod={"labels":{"a":"2","b":"1"},"runAsUser":null}',
        "--spread=nodes",
    ]
    assert arguments({"image": "python:3", "spread": "none"}) == [*plain, "--spread=none"]
