"""The steps of one proof, in their order.

Write through one pod, read through another, kill a writer, read what was kept.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from components.canary import manifests, record, verdict
from components.canary.plan import ProofPlan
from components.canary.pods import ProbePod
from components.canary.profiles import PROFILES
from components.canary.signals import undisturbed
from components.canary.volume_run import VolumeRun
from components.canary.watch import Timeouts
from components.canary.words import NotProven, not_kept, reason_of, too_slow
from components.kube.api import KubeApi
from components.kube.errors import ApiError

# The writer is killed after so many acknowledged entries, at random between the two.
ACKNOWLEDGED = (20, 150)
SLOW = 30  # seconds after which it is killed on a disk that hasn't acknowledged as many


class Proof(VolumeRun):
    """One run for one tier, in one place.

    The steps are methods, in the order in which `prove` calls them.
    """

    def __init__(
        self,
        api: KubeApi,
        plan: ProofPlan,
        say: Callable[[str], None],
        timeouts: Timeouts | None = None,
        undisturbed: Callable[[], AbstractContextManager[None]] = undisturbed,
    ) -> None:
        super().__init__(api, plan, say, timeouts, undisturbed)
        self.profile = PROFILES[plan.profile]
        self.written: list[dict[str, Any]] = []
        self.acknowledged: dict[str, list[Any]] = {}  # by file

    def prove(self) -> dict[str, Any]:
        """All steps; returns the verdict, and keeps it for the next run.

        Cleans up whatever happens.
        """
        self.prepare()
        result = self.prove_here()
        self.remember(result)
        return result

    def prove_here(self) -> dict[str, Any]:
        """The steps on a claim of this run's own; returns the verdict.

        Cleans up whatever happens.
        """
        return self.on_own_claim(self._prove)

    def _prove(self) -> dict[str, Any]:
        self.write()
        self.read_back_and_kill()
        self.read_what_was_acknowledged()
        return self.judge()

    # --- the steps ------------------------------------------------------------------------------

    def write(self) -> None:
        """The first pod writes everything.

        What it has written is known from its report alone, and kept here, never on the volume.
        """
        writer = self.start("write", "write")
        for word, value in writer.follow(self.timeouts.log):
            if word == "mount":
                self.look_at_file_system(value)
        writer.wait_for_end(self.timeouts.deletion)
        self.written = writer.report.values("file")
        if writer.report.values("done") != ["write"] or not self.profile.is_complete(self.written):
            raise NotProven("the writing pod's report is not complete")
        self.figures.update(self.profile.figures(writer.report.values("figures")[0]))
        total = sum(file["size"] for file in self.written)
        self.figures.update({"bytes": total, "entries": sum(len(file["entries"]) for file in self.written)})
        self.say(f"wrote {total / 1e6:.1f} MB in {len(self.written)} files, sync p99 {self.figures['syncMs']['p99']:.2f} ms")
        writer.remove(self.timeouts.deletion)

    def read_back_and_kill(self, stream_file: str = "killed-1.entries") -> None:
        """Another pod reads everything, then writes a stream and is killed in the middle of it."""
        reader = self.start("read", "verify", "stream", f"--stream-file={stream_file}")
        self.check_same_volume()
        acknowledged: list[Any] = []
        enough, killed, first = random.SystemRandom().randint(*ACKNOWLEDGED), False, 0.0
        for word, value in reader.follow(self.timeouts.log, until_gone=True):
            if word == "done" and value == "verify":
                self.compare(reader)
                self.say(f"intact in another pod ({reader.uid[:8]}…), on the same volume")
            elif word == "ack":
                acknowledged.append(value)
                first = first or time.monotonic()
                if not killed and (len(acknowledged) == enough or time.monotonic() - first > SLOW):
                    time.sleep(random.SystemRandom().random() * 0.1)
                    reader.kill()
                    killed = True
        if not killed:
            reader.wait_for_end(self.timeouts.deletion)
            raise NotProven(f"the writer ended by itself after {len(acknowledged)} acknowledged entries")
        self.acknowledged[stream_file] = acknowledged
        self.say(f"killed while writing, after {len(acknowledged)} acknowledged entries")

    def read_what_was_acknowledged(self) -> None:
        """A third pod reads everything again, with every entry acknowledged before the kill."""
        last = self.start("read-again", "verify")
        self.check_same_volume()
        for _ in last.follow(self.timeouts.log):
            pass
        last.wait_for_end(self.timeouts.deletion)
        if last.report.values("done") != ["verify"]:
            raise NotProven("the reading pod's report is not complete")
        self.compare(last)

    def judge(self) -> dict[str, Any]:
        """The verdict where nothing was lost. Raises NotProven where a figure breaks a limit."""
        problem = too_slow(self.plan.limits, self.figures, self.plan.tier)
        if problem:
            raise problem
        volume = self._own_volume()["metadata"]
        return {
            "verdict": "proven",
            "reason": "",
            "profile": self.plan.profile,
            "storageClass": self.plan.storage_class,
            "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.began, 1),
            "run": self.run,
            "pods": [pod.uid for pod in self.pods],
            "volume": {"name": volume["name"], "uid": volume["uid"], "claimBytes": self.plan.size},
            "node": self.node,
            "acknowledgedBeforeKill": sum(map(len, self.acknowledged.values())),
            **self.figures,
            **({"otherContainers": self.others} if self.others else {}),
            "previous": record.load(self.api, self.plan),
        }

    # --- what the steps are made of -------------------------------------------------------------

    def start(self, role: str, *steps: str) -> ProbePod:
        """Start a pod that runs these steps of the probe, and wait until it runs or has ended."""
        return self.start_pod(manifests.pod(self.plan, self.run, role, steps))

    def compare(self, reader: ProbePod) -> None:
        """Raise NotProven unless what `reader` has read is what was written and acknowledged."""
        read = {file["name"]: file for file in reader.report.values("file")}
        findings = verdict.compare(
            reader.report.values("folder")[0],
            {"owner": self.plan.owner, "run": self.run},
            self.written,
            [file for name, file in read.items() if name not in self.acknowledged],
        )
        for name, acknowledged in self.acknowledged.items():
            findings += verdict.compare_stream(name, acknowledged, read.get(name))
        problem = not_kept(findings)
        if problem:
            raise problem

    def remember(self, result: dict[str, Any]) -> None:
        """Keep the verdict for the next run. Where that fails the tier is proven all the same."""
        try:
            record.save(self.api, self.plan, result)
        except ApiError as problem:
            self.say(f"could not keep the figures for the next run: {reason_of(problem, self.plan.context)}")
