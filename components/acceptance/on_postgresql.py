"""PostgreSQL accepts a tier: a pod commits on a new volume until it is killed; another one starts
it on what is left, and says what is there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

from components.acceptance.acceptance import Acceptance
from components.acceptance.judging import KeptFinding, postgresql_findings
from components.acceptance.plan import AcceptancePlan
from components.canary.watch import Timeouts
from components.canary.words import NotProven, failed_operation
from components.kube.api import KubeApi

# Seconds in which a step ends, whatever the engine still says: the load's own two minutes, each
# start's (scripts/postgresql.py), initdb, and a reading of what was written meanwhile.
LOADING, RECOVERING = 600, 900


class PostgresqlAcceptance(Acceptance):
    """One claim, two pods."""

    report = MappingProxyType({"recovered": 1, "amcheck": 1, "checksums": 1, "done": 1})
    not_shown = (
        "a power cut: what a killed engine has written is in the node's memory, and the next pod may get it from there",
        "another node, unless the scheduler has put the second pod there",
    )

    def __init__(self, api: KubeApi, plan: AcceptancePlan, say: Callable[[str], None], timeouts: Timeouts | None = None) -> None:
        super().__init__(api, plan, say, timeouts)
        self.figures: dict[str, Any] = {}  # of the loading pod
        self.found: dict[str, list[Any]] = {}  # of the recovering pod, by word

    def write_and_kill(self) -> None:
        """The first pod makes a database and commits, until it is deleted without grace.

        That is never before its checkpoint: recovery would need none of the data files.
        """
        run = self.runs[0]
        writer = run.start_step("load", f"--run={self.run}", f"--clients={self.plan.clients}")
        after, first, checkpointed, killed = self.plan.killed_after, 0.0, False, False
        for word, value in writer.follow(self.timeouts.log, until_gone=True, longest=LOADING):
            if word == "mount":
                run.look_at_file_system(value)
            elif word == "engine":
                self.engine = value
                self.say(f"{value['name']} {value['version']} runs; it is killed {after:.1f} s after its first acknowledgement")
            elif word == "figures":
                self.figures = value
            elif word == "checkpoint":
                checkpointed = True
            elif word == "fault":
                raise NotProven(failed_operation(value))
            elif word == "acks":
                self.ledger.add(value)
                first = first or time.monotonic()
            if checkpointed and first and not killed and time.monotonic() - first >= after:
                writer.kill()
                killed = True
        if not killed:
            writer.wait_for_end(self.timeouts.deletion)
            unfinished = "" if checkpointed else ", and its checkpoint had not ended"
            raise NotProven(f"the engine's pod ended by itself after {self.ledger.total} acknowledged transactions{unfinished}")
        self.say(f"killed while writing, after {self.ledger.total} acknowledged transactions")

    def recover(self) -> None:
        """The second pod starts the engine on what the first one has left, and reads it all."""
        run = self.runs[0]
        reader = run.start_step("recover", f"--run={self.run}")
        run.check_same_volume()
        for word, value in reader.follow(self.timeouts.log, longest=RECOVERING):
            if word == "recovered":
                self.say(f"started again in {value['seconds']:.1f} s")
        reader.wait_for_end(self.timeouts.deletion)
        self.found = self.all_said(reader)

    def findings(self) -> list[KeptFinding]:
        """Of the rows, the slot and PostgreSQL's own tools."""
        return postgresql_findings(self.run, self.ledger, self.found)

    def measured(self) -> dict[str, Any]:
        """Figures that people know of databases."""
        return {
            "clients": self.plan.clients,
            "transactionsPerSecond": self.figures.get("tps"),
            "commitMs": self.figures.get("commitMs"),
            "walBytes": self.figures.get("walBytes"),
            "recoverySeconds": self.found["recovered"][0]["seconds"],
        }
