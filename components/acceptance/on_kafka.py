"""Kafka accepts a tier: three brokers, each on a claim of its own, are written to; one is killed
and comes back, then all three are; what they have kept is read from each.
"""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from types import MappingProxyType
from typing import Any, TypeAlias

from components.acceptance.acceptance import Acceptance
from components.acceptance.judging import KeptFinding
from components.acceptance.judging_kafka import kafka_findings
from components.acceptance.manifests import HOSTS, PEERS
from components.acceptance.plan import AcceptancePlan
from components.acceptance.scripts.common import DISK_ERRORS
from components.acceptance.scripts.kafka_broker import BROKERS, name
from components.canary import objects
from components.canary.pods import ProbePod
from components.canary.report import ProbeReport
from components.canary.watch import Timeouts
from components.canary.words import NotProven, failed_operation
from components.kube.api import KubeApi
from components.kube.errors import ApiError

Said: TypeAlias = tuple[int, str, Any]  # a broker, a word and its value
JOINING = 180  # seconds in which a killed broker is in sync again
ENDING = 5  # seconds until the kubelet has said how a container has ended
FAILING_OVER = 60  # seconds in which a partition has another leader
# Seconds after the last word of a killed broker's pod. It runs on for a moment, and what it has
# acknowledged comes later still. Nobody else leads before it has missed its heartbeats for 3 s.
GONE = 1


class Listening:
    """Follows the logs of several pods at once. What they say comes one after the other."""

    def __init__(self, silence: float) -> None:
        self._silence = silence
        self._said: queue.Queue[Said | Exception] = queue.Queue()

    def add(self, broker: int, pod: ProbePod) -> None:
        """Listen to one more, until it is gone."""
        threading.Thread(target=self._listen, args=(broker, pod), daemon=True).start()

    def _listen(self, broker: int, pod: ProbePod) -> None:
        followed = replace(pod, api=pod.api.of_context(pod.api.context))  # a kept connection is one thread's
        try:
            for word, value in followed.follow(self._silence, until_gone=True):
                self._said.put((broker, word, value))
            if followed.find() is not None:
                followed.wait_for_end(ENDING)
                raise NotProven(f"the pod of broker {broker} ended by itself")
        except (NotProven, ApiError) as problem:
            self._said.put(problem)

    def until(self, over: Callable[[], bool], seconds: float, what: str) -> Iterator[Said]:
        """What is said until it is over.

        Raises NotProven after so many seconds, and for a fault.
        """
        end = time.monotonic() + seconds
        while not over():
            if time.monotonic() > end:
                raise NotProven(f"{what}: not in {seconds:.0f} s")
            try:
                said = self._said.get(timeout=0.1)
            except queue.Empty:
                continue
            if isinstance(said, Exception) or said[1] == "fault":
                raise self._cause(said)
            yield said

    def _cause(self, first: Said | Exception) -> Exception:
        """Of what is said to have failed, a disk's fault before what comes of it elsewhere."""
        failed, end = [first], time.monotonic() + ENDING
        while time.monotonic() < end and not any(_of_disk(each) for each in failed):
            with suppress(queue.Empty):
                said = self._said.get(timeout=0.1)
                failed += [said] if isinstance(said, Exception) or said[1] == "fault" else []
        cause = next((each for each in failed if _of_disk(each)), first)
        return cause if isinstance(cause, Exception) else NotProven(f"broker {cause[0]}: {failed_operation(cause[2])}")


def _joined(report: ProbeReport) -> list[float]:
    """Seconds in which a broker was in sync again, each time that it says so."""
    return [each["seconds"] for each in report.values("joined")]


def _of_disk(said: Said | Exception) -> bool:
    return not isinstance(said, Exception) and said[2]["errno"] in DISK_ERRORS


class KafkaAcceptance(Acceptance):
    """Three claims, each with a broker."""

    claims = BROKERS
    report = MappingProxyType({"replica": BROKERS, "segments": BROKERS, "discarded": 1, "done": 1})
    not_shown = (
        "a power cut of all nodes: Kafka acknowledges before anything is synced, and loses what was in memory alone",
        "a node that fails: pods are killed, their nodes run on",
    )

    def __init__(self, api: KubeApi, plan: AcceptancePlan, say: Callable[[str], None], timeouts: Timeouts | None = None) -> None:
        super().__init__(api, plan, say, timeouts)
        self.listening = Listening(self.timeouts.log)
        self.figures: dict[int, dict[str, Any]] = {}  # by broker, of its writer while all brokers run
        self.heard: dict[int, float] = {}  # by broker, when its pod has said something
        self.acknowledged: dict[int, float] = {}  # by partition, when more of it was acknowledged
        self.all_run = True
        self.joined: list[float] = []  # seconds in which brokers were in sync again
        self.failover = 0.0  # seconds without a leader
        self.found: dict[int, dict[str, list[Any]]] = {}  # by broker, what it says of what it has kept

    def write_and_kill(self) -> None:
        """All brokers write; the one that the seed names is killed, joins again; all are killed."""
        after = self.plan.killed_after
        pods = self._start("load", range(BROKERS))
        self._listen(self._ready, self.timeouts.log * 2, "all brokers acknowledge records")
        self.say(
            f"kafka {self.engine['version']} runs on {BROKERS} volumes; a leader is killed {after:.1f} s after the first acknowledgements"
        )
        self._write_on(after, range(BROKERS))
        victim = random.Random(self.plan.seed).randrange(BROKERS)
        self.all_run, self.heard[victim] = False, time.monotonic()
        self.kill_leader(victim)
        self._listen(lambda: self._led_by_another(victim), FAILING_OVER, f"another broker leads partition {victim}")
        self.failover = self.acknowledged[victim] - self.heard[victim]
        self.say(
            f"broker {victim} killed, after {self.ledger.total} acknowledged records; another led its partition after {self.failover:.1f} s"
        )
        pods[victim] = self._start("rejoin", [victim])[0]
        again = pods[victim].report
        self._listen(lambda: again.last_word == "done", JOINING, f"broker {victim} is in sync again")
        self.say(f"broker {victim} in sync again after {max(_joined(again)):.1f} s")
        self._write_on(after, [partition for partition in range(BROKERS) if partition != (victim + 1) % BROKERS])
        for pod in pods:
            pod.kill()
        self._listen(self._after(1), 2, "")  # the last lines of their logs
        self.say(f"all killed while writing, after {self.ledger.total} acknowledged records")

    def kill_leader(self, broker: int) -> None:
        """End a broker while all write: its pod is deleted without grace."""
        self.runs[broker].pods[-1].kill()

    def recover(self) -> None:
        """All brokers are started on what is left, and say what is there."""
        pods = self._start("recover", range(BROKERS))
        for run in self.runs:
            run.check_same_volume()
        self._listen(lambda: all(pod.report.last_word == "done" for pod in pods), JOINING * 2, "all brokers are read")
        # Of the reports: what listening has not got to is said as well.
        self.joined = [seconds for pod in pods for seconds in _joined(pod.report)]
        for broker, pod in enumerate(pods):
            # What a broker has thrown away as it joined again, it has got from the others since.
            discarded = [lines for each in self.runs[broker].pods for lines in each.report.values("discarded")]
            self.found[broker] = {**self.all_said(pod), "discarded": discarded}

    def findings(self) -> list[KeptFinding]:
        """Of what consumers get, and of each broker's segments."""
        return kafka_findings(self.run, self.ledger, self.found)

    def measured(self) -> dict[str, Any]:
        """Figures that people know of brokers: of all partitions, and the slowest one's times."""
        slowest = max(self.figures.values(), key=lambda each: each["ackMs"].get("p99", 0), default={})
        return {
            "brokers": BROKERS,
            "volumes": [run.volume_said for run in self.runs],
            "nodes": [run.node for run in self.runs],
            "recordsPerSecond": round(sum(each["records"] / each["seconds"] for each in self.figures.values()), 1),
            "MBps": round(sum(each["bytes"] / 1e6 / each["seconds"] for each in self.figures.values()), 2),
            "ackMs": slowest.get("ackMs"),
            "failoverSeconds": round(self.failover, 1),
            "recoverySeconds": max(self.joined, default=None),
        }

    def _start(self, step: str, brokers: Sequence[int]) -> list[ProbePod]:
        """Start pods of these brokers, and tell all where they are."""
        pods = [
            self.runs[broker].make_step(step, f"--run={self.run}", f"--broker={broker}", "--address=$(POD_IP)", f"--hosts={PEERS}/hosts")
            for broker in brokers
        ]
        for broker, pod in zip(brokers, pods, strict=True):
            self.runs[broker].wait_for_start(pod)
        self._tell_hosts()
        for broker, pod in zip(brokers, pods, strict=True):
            self.listening.add(broker, pod)
        return pods

    def _tell_hosts(self) -> None:
        """Give each pod the addresses of all: an annotation, which the kubelet writes to a file."""
        running = [run.pods[-1] for run in self.runs]
        addresses = [pod.read()["status"]["podIP"] for pod in running]
        lines = "".join(f"{address} {name(broker)}\n" for broker, address in enumerate(addresses))
        for run, pod in zip(self.runs, running, strict=True):
            run.api.patch(objects.namespaced(pod.namespace, "pods", pod.name), {"metadata": {"annotations": {HOSTS: lines}}})

    def _listen(self, over: Callable[[], bool], seconds: float, what: str) -> None:
        for broker, word, value in self.listening.until(over, seconds, what):
            self.heard[broker] = time.monotonic()
            if word == "mount" and len(self.runs[broker].pods) == 1:
                self.runs[broker].look_at_file_system(value)
            elif word == "engine":
                self.engine = value
            elif word == "figures" and self.all_run:
                self.figures[broker] = value
            elif word == "acks":
                self.ledger.add(value)
                self.acknowledged.update(dict.fromkeys(map(int, value), self.heard[broker]))
            elif word == "done" and value == "load":
                raise NotProven(f"broker {broker} has written all that it was to write, and was not killed meanwhile")

    def _write_on(self, seconds: float, partitions: Sequence[int]) -> None:
        """Let them write for so long, and until more of each of these partitions is acknowledged:
        brokers that hang are not killed while writing.
        """
        self._listen(self._after(seconds), seconds + 1, "")
        now = time.monotonic()
        self._listen(
            lambda: all(self.acknowledged[each] > now for each in partitions), FAILING_OVER, "more of each partition is acknowledged"
        )

    def _ready(self) -> bool:
        return len(self.ledger.acknowledged) == BROKERS

    def _led_by_another(self, broker: int) -> bool:
        """Whether more of this broker's partition was acknowledged when it was gone."""
        return self.acknowledged[broker] > self.heard[broker] + GONE

    @staticmethod
    def _after(seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() >= end
