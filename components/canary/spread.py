"""A tier's proof in each place where its claims may land, side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, cast

from components.canary import objects, record
from components.canary.places import Place, nodes_of, zones, zones_named
from components.canary.plan import ProofPlan
from components.canary.run import Proof
from components.canary.signals import Interrupted, deferred, undisturbed
from components.canary.stopping import StoppableApi
from components.canary.watch import Timeouts
from components.canary.words import NotProven, no_answer, refused
from components.kube.api import KubeApi
from components.kube.errors import ApiError

# Places that are proven at the same time. Each has a pod and a volume at work, and they should not
# measure one another where they share a disk or a cloud's quota.
SIDE_BY_SIDE = 4
# What an entry of the verdict's `places` has of the proof there.
FIGURES = (
    *("verdict", "reason", "provenAt", "seconds", "run", "volume", "node", "acknowledgedBeforeKill", "secondsToBound"),
    *("secondsToRunning", "fileSystem", "writeMBps", "writeIOPS", "syncMs", "otherContainers", "previous"),
)


@dataclass(frozen=True)
class PlaceOutcome:
    """What came of the proof in a place: its verdict, or why there is none.

    `proof` is None where none was begun.
    """

    place: Place
    proof: Proof | None = None
    verdict: Mapping[str, Any] | None = None
    problem: NotProven | None = None

    @property
    def slowness(self) -> float:
        """What the places are ordered by: the longest sync but 1 in 100, in milliseconds."""
        return float(self.verdict["syncMs"]["p99"]) if self.verdict else 0

    def entry(self) -> dict[str, Any]:
        """It as the stack's outputs have it."""
        where = {self.place.kind: self.place.name}
        if self.verdict is None:
            return {**where, "verdict": "not-proven", "reason": self.problem.sentence if self.problem else self.place.obstacle}
        return {**where, **{key: self.verdict[key] for key in FIGURES if key in self.verdict}}

    def __str__(self) -> str:
        if self.verdict:
            return f"{self.place}: proven, sync p99 {self.slowness:.2f} ms, {self.verdict['writeMBps']:.1f} MB/s"
        return f"{self.place}: {f'not proven: {self.problem.sentence}' if self.problem else 'not looked at any more'}"


class NotProvenIn(NotProven):
    """The tier is not proven in a place; `worst` is what came of it, `others` of the others."""

    def __init__(self, worst: PlaceOutcome, problem: NotProven, others: Sequence[PlaceOutcome]) -> None:
        super().__init__(problem.sentence, problem.hint)
        self.worst = worst
        self.others = others


def find_places(api: KubeApi, plan: ProofPlan, say: Callable[[str], None]) -> list[Place]:
    """Where the tier is to be proven; empty for wherever the scheduler puts one canary.

    Where the settings don't say it, that is in each zone that the class names. Raises NotProven for
    places that the cluster doesn't have, and ApiError.
    """
    if plan.spread == "none":
        return []
    try:
        storage_class = api.find(f"/apis/storage.k8s.io/v1/storageclasses/{plan.storage_class}") or {}
        if not plan.spread and not zones_named(storage_class):
            return []
        nodes = api.items("/api/v1/nodes")
    except ApiError as problem:
        if plan.spread or problem.status != HTTPStatus.FORBIDDEN:
            raise
        say(f"one place is proven, not each zone: classes and nodes can't be read ({problem.reason})")
        return []
    found = (nodes_of if plan.spread == "nodes" else zones)(storage_class, nodes, plan.pod)
    if not found:
        missing = "node" if plan.spread == "nodes" else "zone (label topology.kubernetes.io/zone)"
        raise NotProven(
            f"no {missing} of the cluster's nodes is one where claims may land: `canary.pod` and the class leave none of {len(nodes)}",
            "`pulumi config set --path canary.spread none` proves it where the scheduler puts a pod.",
        )
    return found


class Spread:
    """The proofs of one tier in its places.

    `open_api` makes a connection for each proof that runs. `proofs` are those that have begun.
    """

    def __init__(
        self,
        open_api: Callable[[], KubeApi],
        plan: ProofPlan,
        say: Callable[[str], None],
        timeouts: Timeouts | None = None,
    ) -> None:
        self._open_api = open_api
        self._plan = plan
        self._say = say
        self._timeouts = timeouts
        self._stop = threading.Event()
        self._failed = threading.Event()
        self._spare: list[KubeApi] = []

    def prove(self, places: Sequence[Place]) -> dict[str, Any]:
        """The verdict of all places.

        It has the figures of the worst one, and `places` with those of each, the worst first.
        A place where no pod can run is among them; with no other place there is one proof, wherever
        the scheduler finds room, for which an autoscaler may add a node. Raises NotProven.
        """
        began = time.monotonic()
        api = self._open_api()
        everywhere = Proof(api, self._plan, self._say, self._timeouts)
        everywhere.prepare()
        for place in places:
            if place.obstacle:
                self._say(place.obstacle)
        possible = [place for place in places if not place.obstacle]
        if possible:
            proven = self._side_by_side(possible)
        else:
            verdict = everywhere.prove_here()
            node = api.get(f"/api/v1/nodes/{verdict['node']}")
            proven = [
                PlaceOutcome(next((place for place in places if place.has(node)), Place("node", verdict["node"])), everywhere, verdict)
            ]
        done = {outcome.place for outcome in proven}
        proven.sort(key=lambda outcome: -outcome.slowness)
        outcomes = [*(PlaceOutcome(place) for place in places if place not in done), *proven]
        result = {
            **(proven[0].verdict or {}),
            "seconds": round(time.monotonic() - began, 1),
            "previous": record.load(api, self._plan),
            "spread": f"{places[0].kind}s",
            "places": [outcome.entry() for outcome in outcomes],
        }
        everywhere.remember(result)
        return result

    def _side_by_side(self, places: Sequence[Place]) -> list[PlaceOutcome]:
        """What came of each place, all of them proven. Raises NotProvenIn."""
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:  # from the first one on: a signal may come while the others are begun
                with deferred():  # the pool doesn't wait for a thread whose start a signal has cut off
                    running = {pool.submit(self._prove, place) for place in places}
                waiting = running
                while waiting:  # with a timeout, because on Windows no signal comes in a wait without one
                    waiting = wait(waiting, timeout=objects.POLL).not_done
            except Interrupted:
                self._stop.set()
                with undisturbed():
                    pool.shutdown(cancel_futures=True)
                raise
        outcomes = sorted((each.result() for each in running), key=lambda outcome: (outcome.problem is None, outcome.place.name))
        worst, *others = outcomes
        if worst.problem:
            raise NotProvenIn(worst, worst.problem, others)
        return outcomes

    def _prove(self, place: Place) -> PlaceOutcome:
        """The proof in one place, in a thread; after a failure elsewhere none is begun."""
        if self._failed.is_set() or self._stop.is_set():
            return PlaceOutcome(place)
        plan = replace(self._plan, place=place)
        try:
            api = self._spare.pop()
        except IndexError:
            api = self._open_api()
        stoppable = StoppableApi(api, self._stop)
        proof = Proof(cast(KubeApi, stoppable), plan, lambda line: self._say(f"{place}: {line}"), self._timeouts, stoppable.shielded)
        try:
            return PlaceOutcome(place, proof, proof.prove_here())
        except NotProven as problem:
            self._failed.set()
            return PlaceOutcome(place, proof, problem=problem)
        except ApiError as problem:
            self._failed.set()
            answer = no_answer if problem.status is None else refused
            return PlaceOutcome(place, proof, problem=answer(plan.context, problem))
        except Interrupted:
            return PlaceOutcome(place, proof)
        finally:
            self._spare.append(api)
