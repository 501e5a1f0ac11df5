"""When a tier is proven again because its cluster is another one, on Pulumi's mocks."""

from __future__ import annotations

import http.server
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from components.canary.proven_on import ProvenOn
from components.preflight import cluster
from components.preflight.cluster import uid_of_cluster
from components.settings import Settings, load
from tests.unit import https_server
from tests.unit.mocked_program import COMMAND, Run, dev_config, run

OLD, NEW = "7d1f0c52-6d0e-4a55-8f0c-1a2b3c4d5e6f", "0e9b6f4e-3c39-4c0e-9a80-aaaabbbbcccc"


@pytest.mark.parametrize(
    ("last", "here", "now"),
    [
        pytest.param(ProvenOn(), "", ProvenOn(), id="nothing is known"),
        pytest.param(ProvenOn(), OLD, ProvenOn(OLD), id="the first time, or a state from before it was noted"),
        pytest.param(ProvenOn(OLD), OLD, ProvenOn(OLD), id="the same cluster"),
        pytest.param(ProvenOn(OLD), "", ProvenOn(OLD), id="it doesn't answer"),
        pytest.param(ProvenOn(OLD), NEW, ProvenOn(NEW, NEW), id="another one"),
        pytest.param(ProvenOn(NEW, NEW), NEW, ProvenOn(NEW, NEW), id="that one again"),
        pytest.param(ProvenOn(NEW, NEW), "", ProvenOn(NEW, NEW), id="that one doesn't answer"),
        pytest.param(ProvenOn(NEW, NEW), OLD, ProvenOn(OLD, OLD), id="the first one again"),
    ],
)
def test_another_cluster_is_another_trigger(last: ProvenOn, here: str, now: ProvenOn) -> None:
    assert last.on(here) == now


class Said(list[str]):
    """What the program tells its user."""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    found = Said()
    for kind in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, kind, lambda text, kind=kind, **_: found.append(f"{kind}: {text}"))
    return found


Program = Callable[..., Run]


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs the program on a cluster with this UID."""

    def on(uid: str, noted: dict[str, Any] | None = None, **changes: Any) -> Run:
        monkeypatch.setattr(cluster, "cluster_uid", lambda _: uid)
        return run(dev_config(**changes), noted=noted)

    return on


def triggers(made: Run) -> dict[str, list[Any]]:
    """What each tier's proof is repeated for."""
    return {tier: made.of(COMMAND)[f"canary-{tier}"].inputs["triggers"] for tier in ("database", "streaming")}


def noted(made: Run) -> dict[str, Any]:
    """What the state says of each tier's cluster after this run."""
    found = {urn.rpartition("::")[2]: outputs for urn, outputs in made.component_outputs.items() if "TierCanary::" in urn}
    return {tier: outputs.get("provenOn") for tier, outputs in found.items()}


def test_a_cluster_is_noted_and_changes_no_trigger(program: Program) -> None:
    without = run(dev_config())
    assert noted(without) == {"database": None, "streaming": None}
    made = program(OLD)
    assert noted(made) == {"database": {"uid": OLD}, "streaming": {"uid": OLD}}
    assert triggers(made) == triggers(without)
    assert triggers(program(OLD, noted(made))) == triggers(without)


def test_all_that_the_run_asks_for_is_the_same_but_for_the_note(program: Program) -> None:
    def asked(made: Run) -> dict[tuple[str, str], Any]:
        return {(each.type, each.name): (each.inputs, sorted(each.request.dependencies)) for each in made.registered}

    assert asked(program(OLD)) == asked(run(dev_config()))


def test_a_cluster_that_was_made_anew_is_proven_again_once(program: Program, said: Said) -> None:
    before = noted(program(OLD))
    assert not [each for each in said if "proven again" in each]
    made = program(NEW, before)
    assert triggers(made) == {tier: [*each, NEW] for tier, each in triggers(run(dev_config())).items()}
    assert noted(made) == {tier: {"uid": NEW, "trigger": NEW} for tier in ("database", "streaming")}
    told = [each for each in said if "proven again" in each]
    assert sorted(each.partition(":")[0] + ":" + each.partition(":")[2].partition(":")[0] for each in told) == [
        "warn: database-local-path",
        "warn: streaming-local-path",
    ]
    assert all("`pulumi up --refresh`" in each for each in told)
    assert triggers(program(NEW, noted(made))) == triggers(made)
    assert len([each for each in said if "proven again" in each]) == 2, "only the first time"


def test_each_tier_is_decided_by_its_own_note(program: Program) -> None:
    """After a run in which one of two was proven on the new cluster, and the other was not."""
    plain = triggers(run(dev_config()))
    made = program(NEW, {"database": {"uid": NEW, "trigger": NEW}, "streaming": {"uid": OLD}})
    assert triggers(made) == {tier: [*each, NEW] for tier, each in plain.items()}
    made = program(OLD, {"database": {"uid": NEW, "trigger": NEW}, "streaming": {"uid": OLD}})
    assert triggers(made) == {"database": [*plain["database"], OLD], "streaming": plain["streaming"]}


def test_a_run_that_cannot_tell_keeps_what_is_noted(program: Program) -> None:
    before = {"database": {"uid": NEW, "trigger": NEW}, "streaming": {"uid": OLD}}
    made = program("", before)
    assert noted(made) == before
    assert {tier: len(each) for tier, each in triggers(made).items()} == {"database": 5, "streaming": 4}


# --- what is asked of the cluster -----------------------------------------------------------------

ANSWERS: dict[str, tuple[int, dict[str, Any]]] = {
    "mine": (200, {"metadata": {"name": "kube-system", "uid": OLD}}),
    "forbidden": (403, {"message": 'namespaces "kube-system" is forbidden: User "ci" cannot get resource "namespaces"'}),
    "none": (404, {"message": 'namespaces "kube-system" not found'}),
}


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Settings]]:
    """Settings of a stack whose cluster gives this answer, and nothing else."""
    asked: list[str] = []

    class Api(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, content = ANSWERS[chosen[0]]
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    chosen = ["mine"]
    with https_server.serving(Api, tmp_path) as (address, certificate):
        file = tmp_path / "kubeconfig"
        document = {
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": address, "certificate-authority": str(certificate)}}],
            "users": [{"name": "u", "user": {}}],
        }
        file.write_text(yaml.safe_dump(document))
        monkeypatch.setenv("KUBECONFIG", str(file))

        def answering(answer: str, **changes: Any) -> Settings:
            chosen[0] = answer
            return load(dev_config(cluster={"context": "here", "identifier": "a"}, **changes), "dev")

        yield answering
    assert set(asked) <= {"/api/v1/namespaces/kube-system"}, "the right to get that one namespace is enough"


def test_the_uid_of_kube_system_is_the_clusters(answers: Callable[[str], Settings], said: Said) -> None:
    assert uid_of_cluster(answers("mine")) == OLD
    assert said == []


RIGHT = ". One that was made anew is not proven again by itself without the right to get namespace kube-system"


@pytest.mark.parametrize(("answer", "told"), [("forbidden", f"403{RIGHT}"), ("none", "404")])
def test_a_user_who_may_not_see_it_is_told_and_goes_on(answer: str, told: str, answers: Callable[[str], Settings], said: Said) -> None:
    assert uid_of_cluster(answers(answer)) == ""
    unknown = "whether the cluster of context here is the one that the tiers were proven on isn't known"
    assert said == [f"warn: {unknown}: the API answered {told}"]


def test_a_cluster_that_does_not_answer_is_told_and_refuses_nothing(said: Said) -> None:
    """That of this folder's own kubeconfig."""
    assert uid_of_cluster(load(dev_config(), "dev")) == ""
    (line,) = said
    assert line.startswith("info: whether the cluster of context storage-tiers-dev is the one that the tiers were proven on isn't known: ")


def test_without_a_kubeconfig_or_canaries_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: Callable[..., Settings], said: Said
) -> None:
    assert uid_of_cluster(answers("mine", canary={"enabled": False})) == ""
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert uid_of_cluster(load(dev_config(), "dev")) == ""
    assert said == []
