"""The steps of an acceptance, in their order.

A pod starts the engine on a new volume and writes until it is killed; another one starts it on what
is left, and says what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from components.acceptance import manifests
from components.acceptance.judging import KeptFinding, postgresql_findings
from components.acceptance.ledger import Ledger
from components.acceptance.plan import AcceptancePlan
from components.canary import objects
from components.canary.manifests import CONTAINER, TOOLS, script_map
from components.canary.pods import ProbePod
from components.canary.report import ProbeReport
from components.canary.volume_run import VolumeRun
from components.canary.watch import IMAGE_TROUBLES, Timeouts
from components.canary.words import NotProven, failed_operation
from components.kube.api import KubeApi
from components.kube.errors import ApiError

SHOWN_FINDINGS = 3
LAST_LINES = 5  # seconds in which the log of a container that has ended comes
NO_CLIENT = (
    "Name an image with Python and the engine's client, or with Python and pip: "
    "`pulumi config set --path canary.engines.client IMAGE` (docs/accept.md)."
)
NOT_SHOWN = (
    "a power cut: what a killed engine has written is in the node's memory, and the next pod may get it from there",
    "another node, unless the scheduler has put the second pod there",
)


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


class Acceptance(VolumeRun):
    """One run of one engine on a claim of a tier's class. `say` takes a line of progress."""

    def __init__(self, api: KubeApi, plan: AcceptancePlan, say: Callable[[str], None], timeouts: Timeouts | None = None) -> None:
        super().__init__(api, plan.proof, say, timeouts)
        self.accepting = plan
        self.ledger = Ledger()
        self.loaded: dict[str, Any] = {}  # of the loading pod: engine and figures
        self.found: dict[str, list[Any]] = {}  # of the recovering pod, by word
        self.image_id = ""
        self.pullable = time.monotonic()  # when the client's image was last not refused

    def accept(self) -> dict[str, Any]:
        """All steps; returns the verdict. Cleans up whatever happens.

        Raises NotProven, as NotAccepted where the engine came back without all that it had
        acknowledged, and ApiError.
        """
        self.prepare()
        return self.on_own_claim(self._accept)

    def _accept(self) -> dict[str, Any]:
        self.make_scripts()
        self.write_and_kill()
        self.recover()
        return self.judge()

    # --- the steps ------------------------------------------------------------------------------

    def make_scripts(self) -> None:
        """What runs in the pods, in a ConfigMap that goes with the claim."""
        name = manifests.scripts_name(self.accepting, self.run)
        made = script_map(self.plan, self.run, name, self._own_claim(), manifests.scripts(self.accepting))
        objects.create(self.api, objects.namespaced(self.plan.namespace, "configmaps"), made)

    def write_and_kill(self) -> None:
        """The first pod makes a database and commits, until it is deleted without grace."""
        writer = self.start_pod(manifests.pod(self.accepting, self.run, "load"))
        after, first, killed = self.accepting.killed_after, 0.0, False
        for word, value in writer.follow(self.timeouts.log, until_gone=True):
            if word == "mount":
                self.look_at_file_system(value)
            elif word == "engine":
                self.loaded["engine"] = value
                self.say(f"{value['name']} {value['version']} runs; it is killed {after:.1f} s after its first acknowledgement")
            elif word == "figures":
                self.loaded["figures"] = value
            elif word == "fault":
                raise NotProven(failed_operation(value))
            elif word == "acks":
                self.ledger.add(value)
                first = first or time.monotonic()
            if first and not killed and time.monotonic() - first >= after:
                writer.kill()
                killed = True
        if not killed:
            writer.wait_for_end(self.timeouts.deletion)
            raise NotProven(f"the engine's pod ended by itself after {self.ledger.total} acknowledged transactions")
        self.say(f"killed while writing, after {self.ledger.total} acknowledged transactions")

    def recover(self) -> None:
        """The second pod starts the engine on what the first one has left, and reads it all."""
        reader = self.start_pod(manifests.pod(self.accepting, self.run, "recover"))
        self.check_same_volume()
        for word, value in reader.follow(self.timeouts.log):
            if word == "recovered":
                self.say(f"started again in {value['seconds']:.1f} s")
        reader.wait_for_end(self.timeouts.deletion)
        self.found = {word: reader.report.values(word) for word in {said for said, _ in reader.report.said}}
        if self.found.get("done") != ["recover"]:
            raise NotProven("the reading pod's report is not complete")

    def judge(self) -> dict[str, Any]:
        """The verdict where nothing was lost. Raises NotAccepted."""
        findings = postgresql_findings(self.run, self.ledger, self.found)
        if findings:
            raise NotAccepted(findings, self.accepting.seed)
        volume = self._own_volume()["metadata"]
        measured = self.loaded.get("figures") or {}
        return {
            "verdict": "accepted",
            "reason": "",
            "engine": self.accepting.engine,
            "version": self.loaded["engine"]["version"],
            "settings": self.loaded["engine"]["settings"],
            "tier": self.plan.tier,
            "storageClass": self.plan.storage_class,
            "image": self.plan.image,
            "imageID": self.image_id,
            "acceptedAt": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.began, 1),
            "seed": self.accepting.seed,
            "killedAfterSeconds": round(self.accepting.killed_after, 2),
            "run": self.run,
            "pods": [pod.uid for pod in self.pods],
            "volume": {"name": volume["name"], "uid": volume["uid"], "claimBytes": self.plan.size},
            "node": self.node,
            "acknowledged": self.ledger.total,
            "lost": 0,
            "clients": self.accepting.clients,
            "transactionsPerSecond": measured.get("tps"),
            "commitMs": measured.get("commitMs"),
            "walBytes": measured.get("walBytes"),
            "recoverySeconds": self.found["recovered"][0]["seconds"],
            **self.figures,
            "notShown": list(NOT_SHOWN),
        }

    # --- what the steps are made of -------------------------------------------------------------

    def look_at_start(self, pod: Mapping[str, Any]) -> None:
        """Note the digest of the engine's image.

        Raises NotProven where the container that comes first has failed, or has no image.
        """
        status, image = pod["status"], self.accepting.client_image
        first = next((each.get("state") or {} for each in status.get("initContainerStatuses") or [] if each["name"] == TOOLS), {})
        if (first.get("terminated") or {}).get("exitCode"):
            raise NotProven(f"Python and the engine's client could not be had from the image {image}: {self._said_first()}", NO_CLIENT)
        refused = (first.get("waiting") or {}).get("reason")
        if refused not in IMAGE_TROUBLES:
            self.pullable = time.monotonic()
        elif time.monotonic() - self.pullable > self.timeouts.image:
            raise NotProven(f"the image {image} can't be pulled ({refused})", NO_CLIENT)
        ids = (each.get("imageID") for each in status.get("containerStatuses") or [] if each["name"] == CONTAINER)
        self.image_id = next((found for found in ids if found), self.image_id)

    def _said_first(self) -> str:
        """The last that the container before the engine's has said."""
        pod: ProbePod = self.pods[-1]
        report = ProbeReport()
        with suppress(ApiError):
            for line in self.api.lines(f"{pod.path}/log?container={TOOLS}", LAST_LINES):
                report.add(line)
        faults = report.values("fault")
        return str(faults[-1]["message"]) if faults else next(iter(reversed(report.other)), "it says nothing")
