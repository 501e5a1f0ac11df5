"""Waiting until the target has what the source has, and comparing both, record by record."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

from ops.errors import UserError
from ops.move.conversation import Broken
from ops.move.kept import KeptMove
from ops.move.mirror.brokers import Kafka, Partition
from ops.move.mirror.pairs import ComparedPartitions
from ops.move.mirror.pod import ANY_AGE, PATIENCE, MirrorPod, Span, Topic
from ops.move.mirror.retaining import losses

_STALLED = 180  # seconds without progress after which a mirror doesn't catch up
_SYNCED = 90  # seconds in which MirrorMaker has brought a topic's settings: it looks each 30
_UNREAD = 30  # seconds after which it is asked whether there is anything to mirror at all
_SETTLED = 5  # seconds in which nothing came: what is there is compared then
_LAST = 10  # seconds without a record of a target to which nothing more is written
_POLL = 1.0
_ALIVE = 10.0  # seconds between two looks whether the mirror runs
Told = Callable[[str, str], None]
Asked = dict[str, tuple[bool, dict[int, Span]]]  # of each topic whether it is compacted, and what is compared


class MirrorComparison:
    """Of the topics of a move. What was compared is kept: nothing is read twice.

    But for topics that are compacted: their records go by and by, and they are compared whole.
    """

    def __init__(self, title: str, kept: KeptMove, *, source: Kafka, target: Kafka, pod: MirrorPod, tell: Told) -> None:
        self._title, self._source, self._target, self._pod, self._tell = title, source, target, pod, tell
        self.compared = ComparedPartitions(kept)

    def begin(self, partitions: Iterable[Partition]) -> None:
        """Nothing is mirrored yet."""
        self.compared.begin(self._source.starts(partitions).items())

    def catch_up(self, ends: Mapping[Partition, int], check: Callable[[], None]) -> None:
        """Wait until the target has all before these offsets of the source, and compare it.

        `check` raises where the mirror doesn't run. Raises UserError where both differ, Broken,
        also where the target doesn't catch up, and ApiError.
        """
        check = _now_and_then(check)
        self._wait(ends, check)
        self._compare(ends, check, last=False)

    def finish(self, ends: Mapping[Partition, int]) -> None:
        """Compare what is left, once the mirror was stopped: the target may not have more.

        Raises as catch_up does.
        """
        self._compare(ends, lambda: None, last=True)

    def translated(self, wanted: Mapping[Partition, Iterable[int]]) -> dict[Partition, dict[int, int]]:
        """The target's offsets for these of the source, each of which a group has committed.

        Raises Broken and ApiError.
        """
        topics = self._pod.topics(self._source.bootstrap)
        found: dict[Partition, dict[int, int]] = {}
        for name in sorted({topic for topic, _ in wanted}):
            offsets = {number: sorted(set(each)) for (topic, number), each in wanted.items() if topic == name}
            marks = {number: self.compared.of((name, number)).marks for number in offsets}
            compacted = topics[name].compacted
            said = self._pod.translate(self._source.bootstrap, self._target.bootstrap, name, compacted, marks, offsets)
            found |= {(name, number): each for number, each in said.items()}
        return found

    def _wait(self, ends: Mapping[Partition, int], check: Callable[[], None]) -> None:
        """Until all partitions are at the target, and what MirrorMaker has read stands still.

        Markers of transactions have offsets as well, so a mirror that has everything may seem to be
        a little behind: only a comparison is sure. And where it has read nothing at all, there may
        be nothing but aborted transactions.
        """
        least, since, checked, asked = -1, time.monotonic(), False, False
        while True:
            topics = self._target.topics()
            lacking = [f"{topic}-{number}" for topic, number in ends if number not in topics.get(topic, {})]
            read = self._pod.mirrored()
            behind = sum(max(0, end - max(read.get(each, 0), self.compared.of(each).source)) for each, end in ends.items())
            self._tell("catching up", f"{len(lacking)} partitions to make" if lacking else f"{behind} records behind" if behind else "")
            if not (lacking or checked):  # before all is copied to where it doesn't stay
                self._check_settings({topic for topic, _ in ends}, check)
                checked, since = True, time.monotonic()
            if least < 0 or behind + len(lacking) < least:  # one that begins again and again says less and more by turns
                least, since = behind + len(lacking), time.monotonic()
            still = time.monotonic() - since
            if not lacking and (not behind or (still > _SETTLED and read)):
                return
            if not (lacking or read or asked) and still > _UNREAD:
                left = {each: (self.compared.of(each).source, end) for each, end in ends.items() if end > self.compared.of(each).source}
                nothing, asked = self._pod.empty(self._source.bootstrap, left), True
                ends = {each: end for each, end in ends.items() if each not in nothing}
                continue
            check()
            if still > _STALLED:
                what = f"it hasn't made {', '.join(lacking[:10])}" if lacking else f"{behind} records behind"
                raise Broken(f"MirrorMaker doesn't catch up: {what}, and nothing has changed in {_STALLED} s", passing=True)
            time.sleep(_POLL)

    def _check_settings(self, names: Iterable[str], check: Callable[[], None]) -> None:
        """No topic of the target loses by its settings what it got; they may come in a while."""
        end = time.monotonic() + _SYNCED
        while found := list(losses(self._pod.topics(self._source.bootstrap), self._pod.topics(self._target.bootstrap), names)):
            if time.monotonic() >= end:
                raise self._loses(found)
            check()
            self._tell("waiting for the topics' settings", found[0])
            time.sleep(_POLL)

    def _loses(self, found: Sequence[str]) -> UserError:
        return UserError(
            f"{self._title}: settings at stack {self._target.stack} would lose or alter what is mirrored: {'; '.join(found[:10])}.",
            "MirrorMaker brings the settings that a topic has of its own, not the brokers' defaults. Give the target's brokers the "
            "source's: `kafka-configs.sh --bootstrap-server … --alter --entity-type brokers --entity-default --add-config "
            "log.retention.ms=…` (log.retention.bytes, log.cleanup.policy, log.message.timestamp.type). Then run the same command again.",
        )

    def _check_not_anew(self, topic: str, numbers: Iterable[int], ids: Sequence[str]) -> None:
        """What was compared is still of these topics, of the source and of the target."""
        for number in numbers:
            known = self.compared.of((topic, number))
            for side, before, now in zip(("source", "target"), known.ids, ids, strict=False):
                if before and now and before != now:
                    raise UserError(
                        f"{self._title}: topic {topic} was deleted and made anew at the {side}, after it was compared.",
                        "Begin anew: --live --cancel, then delete the target's topics, then --live.",
                    )
            known.ids = list(ids)

    def _compare(self, ends: Mapping[Partition, int], check: Callable[[], None], *, last: bool) -> None:
        topics, there = (self._pod.topics(each.bootstrap) for each in (self._source, self._target))
        names = sorted({topic for topic, _ in ends})
        losing = list(losses(topics, there, names)) if last else []
        if losing:
            raise self._loses(losing)
        asked: Asked = {}
        for name in names:
            if name not in topics:
                raise UserError(f"{self._title}: topic {name} was deleted at the source meanwhile.", "Run the same command again.")
            if name not in there:
                raise UserError(f"{self._title}: topic {name} was deleted at the target.", "Run the same command again: it is made anew.")
            compacted = topics[name].compacted
            its = {number: end for (topic, number), end in ends.items() if topic == name}
            self._check_not_anew(name, its, (topics[name].id, there[name].id))
            spans = {number: self._span((name, number), end, there[name], anew=compacted) for number, end in its.items()}
            # Where there is nothing new, nothing is read.
            new = {number: each for number, each in spans.items() if last or compacted or each.source_from < each.source_to}
            if new:
                asked[name] = compacted, new
        # What is compared of a topic is kept. At the end, when clients wait, all are asked at once.
        for batch in [asked] if last else [{name: each} for name, each in asked.items()]:
            if batch:
                self._compare_topics(batch, check, last=last)

    def _span(self, partition: Partition, end: int, there: Topic, *, anew: bool) -> Span:
        known = self.compared.of(partition)
        if end < known.source:
            raise UserError(
                f"{self._title}: topic {partition[0]} was made anew at the source: partition {partition[1]} ends at {end}, and was "
                f"compared up to {known.source}.",
                "Begin anew: --live --cancel, then --live.",
            )
        expires = int(time.time() * 1000) - there.retention if there.retention >= 0 else 0
        if there.retention_bytes >= 0:
            expires = ANY_AGE
        return Span(0, end, 0, expires) if anew else Span(known.source, end, known.target, expires, known.last)

    def _compare_topics(self, asked: Asked, check: Callable[[], None], *, last: bool) -> None:
        def hear(line: str) -> None:
            self._tell("comparing", line)

        self._tell("comparing", f"topic {', '.join(asked)}" if len(asked) == 1 else f"{len(asked)} topics")
        ways, patience = (self._source.bootstrap, self._target.bootstrap), _LAST if last else PATIENCE
        found = self._pod.compare_topics(*ways, asked, hear, check, last=last, patience=patience)
        different, short = [], []
        for topic, (compacted, spans) in asked.items():
            for number, span in spans.items():
                one, pairs = found[topic][number], self.compared.of((topic, number))
                pairs.add(one, anew=compacted)
                if one.difference:
                    different.append(f"topic {topic}, partition {number}: {one.difference}")
                elif pairs.source < span.source_to and not one.is_gone:
                    short.append(f"{topic}-{number}")
        self.compared.save()
        if different:
            raise Differs(f"{self._title}: source and target differ. {'; '.join(different)}")
        if short:
            raise Broken(f"the comparison has ended before the end of {', '.join(short)}", passing=True)

    def figures(self, topics: Container[str]) -> dict[str, Any]:
        """What was compared of these topics, by topic."""
        found: dict[str, dict[str, int]] = {}
        for partition in (each for each in self.compared if each[0] in topics):
            pairs = self.compared.of(partition)
            one = found.setdefault(partition[0], {"partitions": 0, "records": 0, "targetOnly": 0, "sourceOnly": 0})
            one["partitions"] += 1
            one["records"] += pairs.records
            one["targetOnly"] += pairs.target_only
            one["sourceOnly"] += pairs.source_only
        return {"topics": found, "records": sum(each["records"] for each in found.values())}


class Differs(UserError):
    """Both have something else: nothing is proven."""

    def __init__(self, text: str) -> None:
        super().__init__(
            text,
            "The move isn't proven, and the source is as it was. Did somebody write to the target? To begin anew: --live --cancel, then "
            "delete the target's topics, then --live.",
        )


def _now_and_then(check: Callable[[], None]) -> Callable[[], None]:
    last = 0.0

    def called() -> None:
        nonlocal last
        if time.monotonic() - last > _ALIVE:
            check()
            last = time.monotonic()

    return called
