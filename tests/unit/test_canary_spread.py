"""A tier's proof in each place: how many at once, what the verdict has, and how it ends early."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from components.canary import driver, spread, stopping
from components.canary.places import ZONE, Place
from components.canary.plan import ProofPlan
from components.canary.report import ProbeReport
from components.canary.signals import Interrupted, raise_on_signals
from components.canary.spread import SIDE_BY_SIDE, NotProvenIn, Spread, find_places
from components.canary.words import NotProven, explanation
from components.kube.api import KubeApi
from components.kube.errors import ApiError
from tests.unit.canary_cluster import CanaryCluster

PLAN = ProofPlan("ctx", "data-canary", "dev", "streaming", "streaming", "streaming-ebs", "python:3", "probe-1", 2**30, True)
ARGUMENTS = [
    "--context=ctx",
    "--namespace=data-canary",
    "--instance=dev",
    "--tier=streaming",
    "--profile=streaming",
    "--storage-class=streaming-ebs",
    "--image=python:3",
    "--probe=probe-1",
    "--size=1073741824",
]
RECORD = "/api/v1/namespaces/data-canary/configmaps/canary-streaming-proven"


def zone(name: str, obstacle: str = "") -> Place:
    return Place("zone", name, ZONE, obstacle)


def verdict_of(place: Place | None, p99: float) -> dict[str, Any]:
    node = f"node-{place.name}" if place else "node-late"
    figures = {"syncMs": {"p99": p99}, "writeMBps": 80.0, "writeIOPS": 9.0, "secondsToRunning": 1.0, "fileSystem": {"freeBytes": 5}}
    return {"verdict": "proven", "reason": "", "node": node, "provenAt": "now", "run": "r", "workloads": {}, **figures, "previous": None}


class FakeProof:
    """A proof that does what the test says; `pods` and `events` are as of one that has none."""

    acts: Callable[[FakeProof], dict[str, Any]]
    running: list[str]
    most: int
    prepared: int
    cleaned: list[str]
    remembered: list[dict[str, Any]]

    def __init__(self, api: KubeApi, plan: ProofPlan, say: Callable[[str], None], timeouts: object, undisturbed: Any = None) -> None:
        self.api, self.plan, self.say, self.undisturbed = api, plan, say, undisturbed
        self.pods: list[Any] = []
        self.events: list[Any] = []

    def prepare(self) -> None:
        FakeProof.prepared += 1

    def remember(self, verdict: dict[str, Any]) -> None:
        FakeProof.remembered.append(verdict)

    def prove_here(self) -> dict[str, Any]:
        name = self.plan.place.name if self.plan.place else ""
        FakeProof.running.append(name)
        FakeProof.most = max(FakeProof.most, len(FakeProof.running))
        try:
            return FakeProof.acts(self)
        finally:
            FakeProof.running.remove(name)
            if self.undisturbed:
                with self.undisturbed():
                    self.api.find("/clean-up")
                    FakeProof.cleaned.append(name)


@pytest.fixture
def proofs(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeProof]]:
    FakeProof.running, FakeProof.most, FakeProof.prepared, FakeProof.cleaned, FakeProof.remembered = [], 0, 0, [], []
    monkeypatch.setattr(spread, "Proof", FakeProof)
    yield FakeProof


@pytest.fixture
def cluster(tmp_path: Path) -> CanaryCluster:
    return CanaryCluster(tmp_path / "volume")


def prove(cluster: CanaryCluster, places: list[Place], say: Callable[[str], None] = print) -> dict[str, Any]:
    return Spread(lambda: cast(KubeApi, cluster), PLAN, say).prove(places)


def test_places_are_proven_side_by_side_within_a_bound(cluster: CanaryCluster, proofs: type[FakeProof]) -> None:
    def act(proof: FakeProof) -> dict[str, Any]:
        time.sleep(0.05)
        return verdict_of(proof.plan.place, 1)

    proofs.acts = act
    verdict = prove(cluster, [zone(str(number)) for number in range(3 * SIDE_BY_SIDE)])
    assert proofs.most == SIDE_BY_SIDE
    assert proofs.prepared == 1, "a sweep in one place would remove what the others have made"
    assert len(verdict["places"]) == 3 * SIDE_BY_SIDE


def test_the_verdict_has_the_figures_of_each_and_the_worst_first(cluster: CanaryCluster, proofs: type[FakeProof]) -> None:
    slow = {"a": 2.0, "b": 9.0, "c": 5.0}
    proofs.acts = lambda proof: verdict_of(proof.plan.place, slow[cast(Place, proof.plan.place).name])
    said: list[str] = []
    verdict = prove(cluster, [zone("a"), zone("d", "no node in zone d"), zone("b"), zone("c")], said.append)
    assert [(each["zone"], each["verdict"]) for each in verdict["places"]] == [
        ("d", "not-proven"),
        ("b", "proven"),
        ("c", "proven"),
        ("a", "proven"),
    ]
    assert verdict["places"][0] == {"zone": "d", "verdict": "not-proven", "reason": "no node in zone d"}
    assert verdict["places"][1]["syncMs"] == {"p99": 9.0}
    assert "workloads" not in verdict["places"][1]
    assert (verdict["verdict"], verdict["node"], verdict["syncMs"], verdict["spread"]) == ("proven", "node-b", {"p99": 9.0}, "zones")
    assert said == ["no node in zone d"]
    assert proofs.remembered == [verdict]


def test_one_place_that_fails_fails_the_tier_and_the_others_are_told(cluster: CanaryCluster, proofs: type[FakeProof]) -> None:
    all_begun = threading.Barrier(SIDE_BY_SIDE)

    def act(proof: FakeProof) -> dict[str, Any]:
        place = cast(Place, proof.plan.place)
        if place.name in "abcd":
            all_begun.wait(30)
        if place.name == "b":
            raise NotProven("the volume is full", "Make room.")
        if place.name == "c":
            raise ApiError("403", 403, "pods is forbidden")
        time.sleep(0.1)
        return verdict_of(place, 1)

    proofs.acts = act
    with pytest.raises(NotProvenIn) as failed:
        prove(cluster, [zone(name) for name in "abcdef"])
    assert proofs.remembered == []
    assert set(proofs.cleaned) < set("abcdef")
    problem = failed.value
    said = driver.failure(PLAN, problem, cast(Any, FakeProof(cast(KubeApi, cluster), PLAN, print, None))).splitlines()
    assert said[0] == "tier streaming (streaming-ebs) in zone b is not proven: the volume is full."
    assert said[1] == "zone c: not proven: the API of context 'ctx' refused a request of the canary (403): pods is forbidden"
    assert said[2] == "zone a: proven, sync p99 1.00 ms, 80.0 MB/s"
    assert set(said[3:6]) <= {f"zone {name}: {rest}" for name in "def" for rest in ("not looked at any more", said[2].partition(": ")[2])}
    assert said[-2:] == ["Make room.", "No new claim is made on this tier."]


def test_where_no_place_has_room_one_canary_waits_for_a_node(cluster: CanaryCluster, proofs: type[FakeProof]) -> None:
    cluster.add("/api/v1/nodes/node-late", {"metadata": {"name": "node-late", "labels": {ZONE: "b"}}})
    proofs.acts = lambda proof: verdict_of(proof.plan.place, 1)
    verdict = prove(cluster, [zone("a", "no node in zone a"), zone("b", "no node in zone b")])
    assert [(each["zone"], each["verdict"]) for each in verdict["places"]] == [("a", "not-proven"), ("b", "proven")]


@contextmanager
def signals_raised() -> Iterator[None]:
    """SIGINT and SIGTERM raise Interrupted meanwhile."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raise_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def endless(begun: threading.Semaphore) -> Callable[[FakeProof], dict[str, Any]]:
    """A proof that says that it has begun, and goes on until it is stopped."""

    def act(proof: FakeProof) -> dict[str, Any]:
        begun.release()
        while True:
            proof.api.find("/x")
            time.sleep(0.01)

    return act


def test_a_signal_ends_all_and_each_cleans_up(cluster: CanaryCluster, proofs: type[FakeProof]) -> None:
    begun = threading.Semaphore(0)

    def interrupt() -> None:
        for _ in range(SIDE_BY_SIDE):
            begun.acquire()
        os.kill(os.getpid(), signal.SIGTERM)

    proofs.acts = endless(begun)
    interrupting = threading.Thread(target=interrupt)
    with signals_raised():
        interrupting.start()
        with pytest.raises(Interrupted):
            prove(cluster, [zone(str(number)) for number in range(SIDE_BY_SIDE + 2)])
        interrupting.join()
    assert sorted(proofs.cleaned) == [str(number) for number in range(SIDE_BY_SIDE)]
    assert proofs.running == []


def test_a_signal_that_comes_while_they_are_begun_ends_those_that_run(
    cluster: CanaryCluster, proofs: type[FakeProof], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Semaphore(0)

    class Pool(ThreadPoolExecutor):
        def submit(self, *work: Any, **more: Any) -> Any:
            submitted = super().submit(*work, **more)
            begun.acquire()
            if len(proofs.running) == 2:
                raise Interrupted
            return submitted

    proofs.acts = endless(begun)
    monkeypatch.setattr(spread, "ThreadPoolExecutor", Pool)
    with pytest.raises(Interrupted):
        prove(cluster, [zone(str(number)) for number in range(SIDE_BY_SIDE)])
    assert sorted(proofs.cleaned) == ["0", "1"]
    assert proofs.running == []


def test_a_signal_that_comes_while_a_thread_starts_leaves_none_behind(
    cluster: CanaryCluster, proofs: type[FakeProof], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pool knows a thread when its start has returned, and waits for those it knows."""
    begun, start = threading.Semaphore(0), threading.Thread.start

    def interrupted(thread: threading.Thread) -> None:
        start(thread)
        begun.acquire()
        signal.raise_signal(signal.SIGTERM)

    proofs.acts = endless(begun)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with signals_raised(), pytest.raises(Interrupted):
        prove(cluster, [zone(str(number)) for number in range(SIDE_BY_SIDE)])
    assert proofs.running == []
    assert proofs.cleaned != []


def test_a_stopped_canary_reads_no_more_lines(cluster: CanaryCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    monkeypatch.setattr(cluster, "lines", lambda path, silence: iter(["a", "b"]))
    api = stopping.StoppableApi(cast(KubeApi, cluster), stop)
    lines = api.lines("/log", 5)
    assert next(lines) == "a"
    stop.set()
    with pytest.raises(Interrupted):
        next(lines)
    with api.shielded():
        assert api.find("/x") is None
    with pytest.raises(Interrupted):
        api.find("/x")


class TestWhere:
    CLASS = "/apis/storage.k8s.io/v1/storageclasses/streaming-ebs"

    def with_class(self, cluster: CanaryCluster, *zones: str) -> CanaryCluster:
        terms = [{"matchLabelExpressions": [{"key": ZONE, "values": list(zones)}]}] if zones else []
        cluster.add(self.CLASS, {"metadata": {"name": "streaming-ebs"}, "allowedTopologies": terms})
        for name in ("one", "two"):
            labels = {"kubernetes.io/os": "linux", ZONE: f"zone-{name}"}
            cluster.add(f"/api/v1/nodes/{name}", {"metadata": {"name": name, "labels": labels}})
        return cluster

    @pytest.mark.parametrize(
        ("zones", "setting", "places"),
        [
            ((), "", []),
            (("zone-one",), "none", []),
            (("zone-one", "zone-x"), "", ["zone zone-one", "zone zone-x"]),
            ((), "zones", ["zone zone-one", "zone zone-two"]),
            ((), "nodes", ["node one", "node two"]),
            (("zone-two",), "nodes", ["node two"]),
        ],
    )
    def test_the_class_or_the_setting_says_it(
        self, cluster: CanaryCluster, zones: tuple[str, ...], setting: str, places: list[str]
    ) -> None:
        found = find_places(cast(KubeApi, self.with_class(cluster, *zones)), replace(PLAN, spread=setting), print)
        assert [str(place) for place in found] == places

    def test_no_such_place_is_explained(self, cluster: CanaryCluster) -> None:
        plan = replace(PLAN, spread="nodes", pod={"nodeSelector": {"a": "b"}})
        with pytest.raises(NotProven, match="leave none of 2") as failed:
            find_places(cast(KubeApi, self.with_class(cluster)), plan, print)
        assert "canary.spread none" in failed.value.hint

    def test_without_the_right_to_read_nodes_one_place_is_proven_unless_it_was_asked_for(
        self, cluster: CanaryCluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(path: str) -> list[Any]:
            raise ApiError("the API answered 403", 403, "nodes is forbidden")

        self.with_class(cluster, "zone-one")
        monkeypatch.setattr(cluster, "items", refuse)
        said: list[str] = []
        assert find_places(cast(KubeApi, cluster), PLAN, said.append) == []
        assert said == ["one place is proven, not each zone: classes and nodes can't be read (403 Forbidden)"]
        with pytest.raises(ApiError):
            find_places(cast(KubeApi, cluster), replace(PLAN, spread="zones"), print)

    def test_a_whole_proof_in_the_zone_of_a_class(
        self, cluster: CanaryCluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.with_class(cluster, "zone-one", "zone-x")
        monkeypatch.setattr(driver, "open_api", lambda _: cluster)
        monkeypatch.setattr(driver, "raise_on_signals", lambda: None)
        before = set(cluster.objects)
        assert driver.main([*ARGUMENTS, "prove"]) == 0
        shown = capsys.readouterr()
        verdict = json.loads(shown.out)
        assert [(each["zone"], each["verdict"]) for each in verdict["places"]] == [("zone-x", "not-proven"), ("zone-one", "proven")]
        assert verdict["spread"] == "zones"
        assert verdict["places"][1]["syncMs"] == verdict["syncMs"]
        assert "no node in zone zone-x: none has the label topology.kubernetes.io/zone=zone-x\n" in shown.err
        assert "\nzone zone-one: wrote " in shown.err
        assert set(cluster.objects) - before == {RECORD}
        # The next one has the figures of each place before it.
        assert driver.main([*ARGUMENTS, "prove"]) == 0
        again = json.loads(capsys.readouterr().out)
        assert again["previous"]["syncMs"] == again["places"][1]["previous"]["syncMs"] == verdict["syncMs"]
        # And so has one without places.
        assert driver.main([*ARGUMENTS, "--spread=none", "prove"]) == 0
        assert json.loads(capsys.readouterr().out)["previous"]["syncMs"] == again["syncMs"]


def test_a_failure_without_places_reads_as_it_did() -> None:
    said = explanation(PLAN, NotProven("it hangs"), "", ProbeReport(), [])
    assert said.splitlines()[0] == "tier streaming (streaming-ebs) is not proven: it hangs."
