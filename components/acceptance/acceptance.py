"""What the acceptances of all engines have in common: the ledger, the verdict."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from components.acceptance.engine_run import EngineRun
from components.acceptance.judging import KeptFinding
from components.acceptance.ledger import Ledger
from components.acceptance.plan import AcceptancePlan
from components.canary.events import Event
from components.canary.pods import ProbePod
from components.canary.watch import Timeouts
from components.canary.words import NotProven, too_slow
from components.kube.api import KubeApi

SHOWN_FINDINGS = 3


class NotAccepted(NotProven):
    """The engine has not kept what it acknowledged. `findings` are all that is wrong."""

    def __init__(self, findings: list[KeptFinding], seed: int) -> None:
        others = [str(finding) for finding in findings[1 : 1 + SHOWN_FINDINGS]]
        also = f"; also {'; '.join(others)}" if others else ""
        super().__init__(
            f"the engine did not keep what it acknowledged: {findings[0]}{also}",
            f"Don't put data on this tier. `--seed {seed}` kills it again after as many seconds.",
        )
        self.findings = findings


class Acceptance(ABC):
    """One acceptance of a tier by an engine, with as many claims as it has `runs`.

    `say` takes a line of progress. `report` is how often a reading script says which of its words,
    whatever it finds.
    """

    claims = 1
    report: Mapping[str, int] = MappingProxyType({})
    not_shown: Sequence[str] = ()

    def __init__(self, api: KubeApi, plan: AcceptancePlan, say: Callable[[str], None], timeouts: Timeouts | None = None) -> None:
        self.plan = plan
        self.say = say
        self.timeouts = timeouts or Timeouts()
        self.runs = [EngineRun(api, plan, say, timeouts) for _ in range(self.claims)]
        self.began = time.monotonic()
        self.ledger = Ledger()
        self.engine: dict[str, Any] = {}  # its version and settings, as it has said them

    @property
    def run(self) -> str:
        """The id of this acceptance, from which the content of all entries follows."""
        return self.runs[0].run

    @property
    def pods(self) -> list[ProbePod]:
        """All pods that there were, in no order but that of each claim's."""
        return [pod for run in self.runs for pod in run.pods]

    @property
    def events(self) -> list[Event]:
        """What Kubernetes has said, where it failed."""
        return [event for run in self.runs for event in run.events]

    def accept(self) -> dict[str, Any]:
        """All steps; returns the verdict. Cleans up whatever happens.

        Raises NotProven, as NotAccepted where the engine came back without all that it had
        acknowledged, and ApiError.
        """
        self.runs[0].prepare()
        return self._on_claims(self.runs)

    def _on_claims(self, runs: Sequence[EngineRun]) -> dict[str, Any]:
        """Do all steps on the claims of these runs: each is made within the one before."""
        if not runs:
            self.write_and_kill()
            self.recover()
            return self.judge()
        first, *others = runs

        def on_the_others() -> dict[str, Any]:
            first.make_scripts()
            return self._on_claims(others)

        return first.on_own_claim(on_the_others)

    @abstractmethod
    def write_and_kill(self) -> None:
        """The engine is made, and writes until it is killed."""

    @abstractmethod
    def recover(self) -> None:
        """The engine is started on what is left, and read."""

    def all_said(self, pod: ProbePod) -> dict[str, list[Any]]:
        """What a reading pod has said, by word.

        Raises NotProven where a line has not come: a kubelet that begins a new log in between may
        keep it back, and what isn't said would be no finding.
        """
        found = {word: pod.report.values(word) for word in {said for said, _ in pod.report.said}}
        lacking = [word for word, times in self.report.items() if len(found.get(word, [])) != times]
        if lacking:
            raise NotProven(f"the report of pod {pod.name} is not complete: {', '.join(lacking)}")
        return found

    @abstractmethod
    def findings(self) -> list[KeptFinding]:
        """What is wrong with what was read."""

    @abstractmethod
    def measured(self) -> dict[str, Any]:
        """The figures of this engine, for the verdict."""

    def judge(self) -> dict[str, Any]:
        """The verdict where nothing was lost. Raises NotAccepted, and NotProven where a figure
        breaks a limit.
        """
        findings = self.findings()
        if findings:
            raise NotAccepted(findings, self.plan.seed)
        measured = self.measured()
        problem = too_slow(self.plan.limits, measured, self.plan.proof.tier)
        if problem:
            raise problem
        first, proof = self.runs[0], self.plan.proof
        return {
            "verdict": "accepted",
            "reason": "",
            "engine": self.plan.engine,
            "version": self.engine["version"],
            "settings": self.engine["settings"],
            "tier": proof.tier,
            "storageClass": proof.storage_class,
            "image": proof.image,
            "imageID": first.image_id,
            "acceptedAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.began, 1),
            "seed": self.plan.seed,
            "killedAfterSeconds": round(self.plan.killed_after, 2),
            "run": self.run,
            "pods": [pod.uid for pod in self.pods],
            "volume": first.volume_said,
            "node": first.node,
            "acknowledged": self.ledger.total,
            "lost": 0,
            **measured,
            **first.figures,
            "notShown": list(self.not_shown),
        }
