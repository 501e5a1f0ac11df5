"""A live move of one Kafka, step by step, until its mirror has caught up. switching.py goes on.

Nothing is written to the source. MirrorMaker runs in a pod at the target, and goes on when the
command has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from components.canary.signals import undisturbed
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.kept import PROVEN, KeptMove, move_id
from ops.move.mirror import brokers, checks
from ops.move.mirror.brokers import Kafka, Partition
from ops.move.mirror.comparing import MirrorComparison
from ops.move.mirror.pod import MirrorPod
from ops.move.mirror.properties import internal_topics, settings
from ops.move.mirror.topics import copies, mirrored, not_mirrored

# The states: the pod may be there; MirrorMaker has begun to copy; it has caught up, and what it has
# copied was compared; everything is there, and what is left is to clear up; it is being called off.
BEGUN, MIRRORING, FOLLOWING, ENDING, CANCELLING = "begun", "mirroring", "following", "ending", "cancelling"
Told = Callable[[str, str], None]  # a step, and how far it is


class MirrorMove:
    """From the brokers of one service to those of another stack. `tell` hears what is done."""

    def __init__(self, sources: Sequence[ClaimSide], targets: Sequence[ClaimSide], cold: str, tell: Told) -> None:
        """`cold` is the command that moves the same without --live."""
        self.title = sources[0].service
        self.sources, self.targets, self.cold, self.tell = sources, targets, cold, tell
        self.id = move_id("\n".join(each.uid for each in sources), "\n".join([*(each.uid for each in targets), "live"]))
        self.kept = KeptMove(self.id)
        self.pod = MirrorPod(targets[0], self.id, uuid4().hex[:12], targets[0].settings.canary.engines.mirror)
        self._source: Kafka | None = None
        self._target: Kafka | None = None

    @property
    def state(self) -> str:
        """How far it is by what is kept on this machine; empty where nothing is."""
        return self.kept.state

    @property
    def source(self) -> Kafka:
        """The source's brokers, asked once. Raises UserError and ApiError."""
        if self._source is None:
            self._source = brokers.look(self.sources[0].settings.stack, brokers.find(self.sources))
        return self._source

    @property
    def target(self) -> Kafka:
        """The target's."""
        if self._target is None:
            self._target = brokers.look(self.targets[0].settings.stack, brokers.find(self.targets))
        return self._target

    @property
    def comparison(self) -> MirrorComparison:
        """Of what both have, as far as it is."""
        return MirrorComparison(self.title, self.kept, source=self.source, target=self.target, pod=self.pod, tell=self.tell)

    def problems(self) -> list[str]:
        """All that keeps it from beginning, before anything is made. Raises ApiError."""
        found = [*checks.lacking(self.sources[0], at_target=False), *checks.lacking(self.targets[0], at_target=True)]
        if found:
            return found
        try:
            found += checks.of_both(self.source, self.target)
            if self.state in ("", BEGUN):
                found += checks.of_target(self.source, self.target)
            self.pod.try_out()
        except (UserError, Broken) as problem:
            found.append(str(problem).replace("\n", " "))
        return found

    # --- a mirror that follows ------------------------------------------------------------------

    def follow(self) -> dict[str, Any]:
        """Begin to mirror, or go on, until all that the source has now is there and was compared.

        Raises UserError, Broken and ApiError. Before MirrorMaker has begun what was made is
        removed; from then on it goes on by itself.
        """
        with self.kept.alone():
            if self.state == ENDING:
                raise UserError(f"{self.title}: its switch has begun.", "Run it with --live --switch to end it.")
            if self.state == PROVEN:
                return {**self.kept.record()["verdict"], "done": "before"}
            self.check_not_cancelled()
            try:
                self._check_nobody_elses()
                if self.state in ("", BEGUN):
                    self._begin()
                self.mirror()
                self.comparison.catch_up(self.source.committed_ends(self.partitions()), self.check)
                self.kept.save(state=FOLLOWING)
                return self.report()
            except BaseException as problem:
                with undisturbed():
                    left = self._remove_pod() if self.state == BEGUN else ""
                if left:
                    raise UserError(f"{self.title}: {problem or 'interrupted'}", left) from problem
                raise

    def check_not_cancelled(self) -> None:
        """Raises UserError where it is being called off: MirrorMaker may have lost where it was."""
        if self.state == CANCELLING:
            raise UserError(f"{self.title}: it is being called off.", "Run it with --live --cancel to end that.")

    def _begin(self) -> None:
        source, target = self.source, self.target
        self.kept.save(state=BEGUN, live=True, source=_described(self.sources, source), target=_described(self.targets, target))
        self.tell("removing what a run before has left", "")
        self.pod.remove()
        self._start()
        self.choose(source, target)
        found = list(checks.of_target(source, target))  # as late as can be: what comes from here on is the mirror's
        if found:
            raise UserError("\n".join(found))
        # Where one was begun elsewhere, and its record is lost, they would say that all was copied.
        self.pod.delete_topics(target.bootstrap, internal_topics(self.id))
        self.comparison.begin(self.partitions())
        self.kept.save(state=MIRRORING, copies=copies(source.topics(), len(target.brokers)))

    def mirror(self) -> None:
        """MirrorMaker runs in the target's pod, between the addresses of now."""
        source, target = self.source, self.target
        lost = set(internal_topics(self.id)) - set(target.topics()) if self.state == FOLLOWING else set()
        if lost:
            raise UserError(
                f"{self.title}: MirrorMaker's own topics are gone at the target: {', '.join(sorted(lost))}. It would copy all again.",
                "Begin anew: --live --cancel, then delete the target's topics, then --live.",
            )
        self.has_pod()
        self.choose(source, target)
        record = self.kept.record()
        way = [source.bootstrap, target.bootstrap]
        if record.get("way", way) != way:  # brokers' pods were made anew, with other addresses
            self.pod.stop_mirror()
        self.kept.save(way=way)
        self.tell("starting MirrorMaker", f"from {source.bootstrap} to {target.bootstrap}")
        self.pod.mirror(settings(source.bootstrap, target.bootstrap, record["copies"], self.id))

    def _start(self) -> None:
        self.tell("starting the target's pod", self.targets[0].settings.canary.engines.mirror)
        self.pod.start()

    def has_pod(self) -> None:
        """The target's pod runs, made again where it doesn't."""
        if not self.pod.runs():
            self.pod.remove()
            self._start()

    def choose(self, *sides: Kafka) -> None:
        """Of each side the listener that is reached from the pod. Raises UserError."""
        side = self.targets[0]
        where = f"{self.title}: a pod of namespace {side.settings.namespace.name} of context {side.api.context!r}"
        for kafka in sides:
            brokers.choose(kafka, where, self.pod.reaches, self.cold)

    def partitions(self) -> list[Partition]:
        """What is mirrored, by what the source has now. Raises Broken."""
        topics = self.source.topics()
        return [(name, number) for name in mirrored(topics) for number in sorted(topics[name])]

    def check(self) -> None:
        """Raises Broken where the mirror doesn't run."""
        fault = self.pod.fault()
        if fault:
            raise Broken(f"MirrorMaker doesn't run: {fault}", passing=True)

    def _check_nobody_elses(self) -> None:
        """What isn't known here may be another machine's."""
        if self.state or not self.pod.exists():
            return
        side = self.targets[0]
        where = f"kubectl --context {side.api.context} -n {side.settings.namespace.name}"
        raise UserError(
            f"{self.title}: this move was begun on another machine, or its record here is lost: pod {self.pod.name} is there.",
            f"Go on where it was begun. If nobody will: `{where} delete pod,configmap {self.pod.name} --ignore-not-found`.",
        )

    def _remove_pod(self) -> str:
        try:
            self.pod.remove()
        except (UserError, Broken, ApiError) as problem:
            return f"Pod {self.pod.name} is left ({problem}). The same command with --live --cancel removes it."
        return ""

    def report(self) -> dict[str, Any]:
        """What is known of the mirror, for people and programs."""
        record = self.kept.record()
        topics = self.source.topics()
        compared = self.comparison
        return {
            "verdict": FOLLOWING,
            "move": self.id,
            "volume": self.title,
            "source": record["source"],
            "target": record["target"],
            "copies": record["copies"],
            "notMirrored": not_mirrored(topics),
            "deletedAtSource": sorted({topic for topic, _ in compared.compared} - set(topics)),
            **compared.figures(topics),
        }


def _described(sides: Sequence[ClaimSide], kafka: Kafka) -> Mapping[str, Any]:
    settings = sides[0].settings
    return {
        "stack": settings.stack,
        "context": settings.cluster.context,
        "namespace": settings.namespace.name,
        "service": sides[0].service,
        "cluster": kafka.cluster,
        "claims": [{"claim": each.name, "uid": each.uid, "storageClass": each.storage_class} for each in sides],
    }
