"""What a live move of Kafka does step by step, and where a step fails: brokers and pod are mocks
that write down what is asked.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from components.kube.api import KubeApi
from ops.errors import UserError
from ops.move import live_session
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.kept import PROVEN
from ops.move.mirror import comparing, switching
from ops.move.mirror.brokers import Broker, Kafka, Listener
from ops.move.mirror.pod import ANY_AGE, Compared, Group, Span, Topic
from ops.move.mirror.properties import internal_topics
from ops.move.mirror.run import BEGUN, ENDING, FOLLOWING, MIRRORING, MirrorMove
from ops.move.mirror.switching import cancel, switch
from ops.move.mirror.told import KafkaMove
from ops.move.mirror.wire import Address
from ops.move.records import unproven_from
from ops.settings import load_settings
from tests.unit.test_move_plan import DEV, Cluster, claim

COMMAND = "python -m ops move --from dev --to dev --service kafka --live"


class FakeKafka(Kafka):
    """A Kafka by its topics: the offsets of each partition's start and end."""

    def __init__(self, side: ClaimSide, host: str) -> None:
        broker = Broker(side, "kafka-0", "/kafka-0", (9092,))
        super().__init__("dev", [broker], host, [Listener((Address(host, 9092),), {"/kafka-0": 9092})], [])
        self.logs: dict[tuple[str, int], tuple[int, int]] = {}
        self.open: dict[tuple[str, int], int] = {}  # where a transaction begins
        self.lacking: dict[tuple[str, int], int] = {}  # records that not all replicas have
        self.bytes: dict[tuple[str, int], list[int]] = {}

    def topics(self) -> Mapping[str, Mapping[int, int]]:
        found: dict[str, dict[int, int]] = {}
        for topic, number in self.logs:
            found.setdefault(topic, {})[number] = 1
        return found

    def sizes(self) -> dict[tuple[str, int], list[int]]:
        return self.bytes

    def groups(self) -> dict[str, str]:
        return {"g": "consumer", "s": "share"}

    def starts(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {each: self.logs[each][0] for each in partitions}

    def ends(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {each: self.logs[each][1] for each in partitions}

    def written_ends(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {each: self.logs[each][1] + self.lacking.get(each, 0) for each in partitions}

    def committed_ends(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {each: self.open.get(each, self.logs[each][1]) for each in partitions}


class Pod:
    """The mirror's pod. `fails` names the call that fails, and how; `on` what happens at a call."""

    name = "move-mirror"

    def __init__(self, source: FakeKafka, target: FakeKafka) -> None:
        self.source, self.target = source, target
        self.done: list[str] = []
        self.asked: list[tuple[str, Any]] = []
        self.fails: dict[str, BaseException] = {}
        self.on: dict[str, Callable[[], None]] = {}
        self.running = self.there = False
        self.difference = ""
        self.unreached = ""
        self.fault_is = ""
        self.compacted = False
        self.at_source = {"g": Group({("a", 0): 7, ("gone", 0): 1}, 0), "none": Group({}, 3)}
        self.at_target: dict[str, Group] = {}

    def _do(self, name: str, asked: Any = None) -> None:
        self.done.append(name)
        self.asked.append((name, asked))
        if name in self.on:
            self.on[name]()
        if name in self.fails:
            raise self.fails.pop(name)

    def runs(self) -> bool:
        return self.there

    def exists(self) -> bool:
        return self.there

    def start(self) -> None:
        self._do("start")
        self.there = True

    def remove(self) -> None:
        self._do("remove")
        self.there = self.running = False

    def try_out(self) -> None:
        self._do("try_out")

    def mirror(self, properties: str) -> None:
        self._do("mirror", properties)
        self.running = True
        worker = json.loads(properties)["worker"]
        own = [(worker[f"{each}.storage.topic"], 0) for each in ("config", "offset", "status")]
        for each in [*self.source.logs, *own]:
            self.target.logs.setdefault(each, (0, 0))

    def stop_mirror(self) -> None:
        self._do("stop_mirror")
        self.running = False

    def fault(self) -> str:
        return self.fault_is

    def mirrored(self) -> dict[tuple[str, int], int]:
        return {each: end for each, (_, end) in self.source.logs.items()} if self.running else {}

    def reaches(self, addresses: Any, cluster: str) -> dict[Any, str]:
        return dict.fromkeys(addresses, self.unreached)

    def topics(self, bootstrap: str) -> dict[str, Topic]:
        kafka = self.source if bootstrap == self.source.bootstrap else self.target
        return {name: Topic(len(each), 1, self.compacted, 1000, -1, {}) for name, each in kafka.topics().items()}

    def groups(self, bootstrap: str) -> dict[str, Group]:
        return self.at_source if bootstrap == self.source.bootstrap else self.at_target

    def set_group(self, bootstrap: str, group: str, offsets: Any) -> None:
        self._do("set_group", (group, offsets))

    def delete_topics(self, bootstrap: str, names: Any) -> None:
        self._do("delete_topics", names)
        for each in [each for each in self.target.logs if each[0] in names]:
            del self.target.logs[each]

    def compare_topics(self, source: str, target: str, topics: Any, *_: Any, **how: Any) -> Any:
        return {name: self._compared(name, spans, last=how["last"]) for name, (_, spans) in topics.items()}

    def _compared(self, topic: str, spans: Mapping[int, Span], *, last: bool) -> dict[int, Compared]:
        self._do("compare", (topic, dict(spans), last))
        return {
            number: Compared(
                span.source_to - span.source_from, span.source_to, span.source_to + 1, [(span.source_from, 1)], 0, 0, self.difference
            )
            for number, span in spans.items()
        }

    def translate(self, source: str, target: str, topic: str, *more: Any) -> Any:
        _, marks, wanted = more
        self._do("translate", (topic, marks, wanted))
        return {number: {offset: offset + 100 for offset in each} for number, each in wanted.items()}

    def spans(self) -> list[Any]:
        return [asked for name, asked in self.asked if name == "compare"]


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MirrorMove, Pod]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(switching, "_STILL", 0.01)
    monkeypatch.setattr(comparing, "_POLL", 0.01)
    monkeypatch.setattr(comparing, "_STALLED", 0.2)
    monkeypatch.setattr(comparing, "_SYNCED", 0.1)
    cluster = cast(KubeApi, Cluster({}))
    sources, targets = (
        [ClaimSide(cluster, DEV, "kafka", 0, {**claim("data-kafka-0"), "metadata": {**claim()["metadata"], "uid": uid}})]
        for uid in ("u1", "u2")
    )
    move = MirrorMove(sources, targets, "python -m ops move", lambda *_: None)
    source, target = FakeKafka(sources[0], "old"), FakeKafka(targets[0], "new")
    source.logs = {("a", 0): (0, 10), ("a", 1): (5, 5), ("__consumer_offsets", 0): (0, 3), ("my.heartbeats", 0): (0, 1)}
    move._source, move._target = source, target
    pod = Pod(source, target)
    move.pod = cast(Any, pod)
    return move, pod


def following(move: MirrorMove) -> dict[str, Any]:
    verdict = move.follow()
    assert (verdict["verdict"], move.state) == (FOLLOWING, FOLLOWING)
    return verdict


def test_a_whole_move(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    assert move.problems() == []
    verdict = following(move)
    assert verdict["topics"] == {"a": {"partitions": 2, "records": 10, "targetOnly": 0, "sourceOnly": 0}}
    assert list(verdict["notMirrored"]) == ["my.heartbeats"]
    assert pod.running, "it goes on by itself"
    assert (again := unproven_from("u1")) and again.command == "python -m ops move --from dev --to dev --service kafka --live"
    pod.source.logs["a", 0] = (0, 12)
    verdict = switch(move)
    assert (verdict["verdict"], verdict["records"], verdict["bootstrap"]) == (PROVEN, 12, "new:9092")
    assert verdict["groups"] == {"g": {"a-0": [7, 107]}}
    assert verdict["offsetsNotSet"] == {"g": ["gone-0"]}
    first, more, last = ([(span.source_from, span.source_to, span.target_from) for span in each[1].values()] for each in pod.spans())
    assert first == [(0, 10, 0)] and more == [(10, 12, 11)], "nothing is read twice"
    assert last == [(12, 12, 13), (5, 5, 0)] and pod.spans()[-1][2], "at the end neither side may have more"
    assert pod.done[-3:] == ["stop_mirror", "delete_topics", "remove"]
    assert pod.asked[-2][1] == internal_topics(move.id)
    assert unproven_from("u1") is None
    assert switch(move)["done"] == move.follow()["done"] == "before"
    lines = "\n".join(KafkaMove(move).said("switch", verdict, COMMAND))
    assert "12 records: compared one by one" in lines and "  new:9092" in lines and "gone-0" in lines


def test_what_does_not_fit_onto_the_claims_is_refused_before_anything_is_made(made: tuple[MirrorMove, Pod]) -> None:
    """What comes along, as often as it is copied, with what is there already."""
    move, pod = made
    room = 6 * 2**30
    pod.source.bytes = {("a", 0): [room // 2, room // 2 + 5], ("a", 1): [room // 2], ("__consumer_offsets", 0): [room]}
    assert move.problems() == [], "where no sizes are enforced a volume has the room of its node's disk"
    side = pod.target.brokers[0].side
    enforced = replace(side, settings=load_settings("aws"))
    pod.target.brokers = [replace(pod.target.brokers[0], side=enforced)]
    (problem,) = move.problems()
    assert (
        "are too small: what comes along has 6.00 GiB, with 1 of each partition 6.00 GiB" in problem
        and "`services.kafka.size` in Pulumi." in problem
    )
    pod.source.bytes = {("a", 0): [room // 2], ("a", 1): [1]}
    assert move.problems() == []
    pod.target.bytes = {("other", 0): [room // 2]}
    assert "of which 3.00 GiB are used" in "".join(move.problems())
    with pytest.raises(UserError, match="are too small"):
        move.follow()
    assert pod.done[-1] == "remove" and "mirror" not in pod.done


def test_a_plan_says_how_much_comes_along_and_how_long_it_takes(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    told = KafkaMove(move)
    assert told.problems() == []
    assert "How large they are the brokers don't tell; the claims of the new ones have 6.00 GiB in all" in "\n".join(told.foreseen())
    pod.source.bytes = {("a", 0): [50 * 10**6, 10], ("a", 1): [50 * 10**6], ("my.heartbeats", 0): [10**9]}
    assert told.problems() == []
    said = "\n".join(told.foreseen())
    assert "95.4 MiB for each copy (1 of each partition), to claims of 6.00 GiB in all; copied and compared in about 14" in said
    planned = told.planned()
    assert (planned["bytes"], planned["copies"], planned["targetBytes"], planned["seconds"]) == (10**8, 1, 6 * 2**30, 14.0)


def test_retention_at_the_target_is_told_to_the_comparison(made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    move, pod = made
    monkeypatch.setattr(time, "time", lambda: 5.0)
    following(move)
    assert pod.spans()[0][1][0].expires == 4000
    topic = Topic(2, 1, False, -1, 100, {})
    monkeypatch.setattr(pod, "topics", lambda _: {"a": topic})
    pod.source.logs["a", 0] = (0, 12)
    following(move)
    assert pod.spans()[1][1][0].expires == ANY_AGE


def test_what_the_source_has_removed_all_of_is_compared_with_what_comes_next(
    made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, pod = made
    compare = pod.compare_topics
    gone = Compared(source_to=0, target_to=0, is_gone=True)
    with monkeypatch.context() as patch:
        patch.setattr(pod, "compare_topics", lambda *asked, **how: {"a": {**compare(*asked, **how)["a"], 0: gone}})
        following(move)
    following(move)
    assert pod.spans()[-1][1][0].source_from == 0


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({"retention": 500}, "retention.ms is 500 there, and 1000 at the source"),
        ({"retention_bytes": 9}, "retention.bytes is 9 there, and -1 at the source"),
        ({"compacted": True}, "cleanup.policy compacts there"),
        ({"stamped": True}, "message.timestamp.type is LogAppendTime there"),
        ({"partitions": 3}, "it has 3 partitions there, and 2 at the source"),
    ],
)
def test_a_target_that_would_lose_what_is_mirrored_is_refused(
    made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch, there: dict[str, Any], says: str
) -> None:
    """MirrorMaker doesn't bring the defaults of a source's brokers."""
    move, pod = made
    known = pod.topics

    def topics(bootstrap: str) -> dict[str, Topic]:
        return {name: replace(each, **(there if bootstrap == "new:9092" else {})) for name, each in known(bootstrap).items()}

    with monkeypatch.context() as patch:
        patch.setattr(pod, "topics", topics)
        with pytest.raises(UserError, match=f"topic a: {re.escape(says)}") as caught:
            move.follow()
        assert "log.retention.ms" in caught.value.hint and not pod.spans(), "before it is compared"
    following(move)
    # Somebody has made it so since: the mirror is stopped by then.
    pod.on["stop_mirror"] = lambda: monkeypatch.setattr(pod, "topics", topics)
    with pytest.raises(UserError, match=re.escape(says)):
        switch(move)
    assert move.state == FOLLOWING


def test_settings_of_a_topic_may_come_in_a_while(made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    move, pod = made
    known, asked = pod.topics, iter(range(99))

    def topics(bootstrap: str) -> dict[str, Topic]:
        less = bootstrap == "new:9092" and next(asked) < 2
        return {name: replace(each, retention=5 if less else 1000) for name, each in known(bootstrap).items()}

    monkeypatch.setattr(pod, "topics", topics)
    following(move)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_topic_that_was_made_anew_and_grew_past_what_was_compared_is_named(
    made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    """By its offsets it is the one that was compared: what the new one begins with isn't there."""
    move, pod = made
    known, ids = pod.topics, {"old:9092": "a", "new:9092": "b"}
    monkeypatch.setattr(pod, "topics", lambda way: {name: replace(each, id=ids[way]) for name, each in known(way).items()})
    following(move)
    following(move)
    ids["old:9092" if side == "source" else "new:9092"] = "c"
    pod.source.logs["a", 0] = (0, 99)
    for step in (MirrorMove.follow, switch):
        with pytest.raises(UserError, match=f"topic a was deleted and made anew at the {side}"):
            step(move)
    assert move.state == FOLLOWING


def test_a_mirror_that_says_more_and_less_by_turns_does_not_catch_up(made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that ends and is started again and again."""
    move, pod = made
    turns = iter(range(10_000))
    monkeypatch.setattr(pod, "mirrored", lambda: {("a", 0): 4} if next(turns) % 2 else {})
    with pytest.raises(Broken, match="doesn't catch up"):
        move.follow()


def test_a_source_of_aborted_transactions_alone_has_nothing_to_mirror(
    made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, pod = made
    monkeypatch.setattr(comparing, "_UNREAD", 0)
    monkeypatch.setattr(pod, "mirrored", dict)
    asked: list[Any] = []

    def empty(bootstrap: str, spans: dict[tuple[str, int], tuple[int, int]]) -> set[tuple[str, int]]:
        asked.append((bootstrap, spans))
        return set(spans)

    monkeypatch.setattr(pod, "empty", empty, raising=False)
    following(move)
    assert asked == [("old:9092", {("a", 0): (0, 10)})]


def test_a_mirror_that_reads_nothing_of_what_is_there_does_not_catch_up(
    made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, pod = made
    monkeypatch.setattr(comparing, "_UNREAD", 0)
    monkeypatch.setattr(pod, "mirrored", dict)
    monkeypatch.setattr(pod, "empty", lambda *_: set(), raising=False)
    with pytest.raises(Broken, match="doesn't catch up"):
        move.follow()


def test_compacted_topics_are_compared_whole_each_time(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    pod.compacted = True
    following(move)
    assert following(move)["records"] == 15
    assert [(each[1][0].source_from, each[1][1].source_from) for each in pod.spans()] == [(0, 0), (0, 0)]


@pytest.mark.parametrize("step", ["start"])
@pytest.mark.parametrize("problem", [Broken("it is gone"), KeyboardInterrupt()])
def test_before_the_mirror_has_begun_its_pod_is_removed(made: tuple[MirrorMove, Pod], step: str, problem: BaseException) -> None:
    move, pod = made
    pod.fails[step] = problem
    with pytest.raises(type(problem)):
        move.follow()
    assert pod.done[-1] == "remove" and move.state == BEGUN
    assert "begins anew" in KafkaMove(move).after(COMMAND)
    following(move)


@pytest.mark.parametrize("step", ["mirror", "compare"])
@pytest.mark.parametrize("problem", [Broken("it is gone"), KeyboardInterrupt()])
def test_a_mirror_that_has_begun_stays_and_goes_on(made: tuple[MirrorMove, Pod], step: str, problem: BaseException) -> None:
    move, pod = made
    pod.fails[step] = problem
    with pytest.raises(type(problem)):
        move.follow()
    assert pod.there and move.state == MIRRORING
    assert f"`{COMMAND}` goes on" in KafkaMove(move).after(COMMAND)
    pod.target.logs["a", 0] = (0, 4)  # its own by now
    following(move)
    assert pod.done.count("start") == 1


def test_addresses_that_are_not_reached_end_it_with_the_cold_way(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    pod.unreached = "timed out"
    with pytest.raises(UserError, match=r"old:9092 \(timed out\)") as caught:
        move.follow()
    assert "`python -m ops move`" in caught.value.hint
    assert not pod.there and "mirror" not in pod.done


def test_a_target_with_records_of_its_own_is_refused_with_what_deletes_them(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    pod.target.logs["a", 0] = (3, 4)
    (problem,) = move.problems()
    assert "hold records already: a." in problem and "--delete --topic 'a'" in problem
    with pytest.raises(UserError, match="hold records already"):
        move.follow()
    assert "mirror" not in pod.done and not pod.there
    pod.target.logs = {("a", number): (3, 3) for number in range(3)}
    (problem,) = move.problems()
    assert "more partitions" in problem


def test_the_last_record_that_was_compared_is_compared_again(made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    move, pod = made
    plain = pod._compared

    def with_last(topic: str, spans: Mapping[int, Span], *, last: bool) -> dict[int, Compared]:
        found = plain(topic, spans, last=last)
        return {number: replace(each, last=(9, 10)) if number == 0 and not last else each for number, each in found.items()}

    monkeypatch.setattr(pod, "_compared", with_last)
    following(move)
    switch(move)
    assert [each[1][0].last for each in pod.spans()] == [None, (9, 10)]


def test_a_topic_whose_name_collides_is_told_in_the_plan(made: tuple[MirrorMove, Pod]) -> None:
    """Kafka makes no topic whose name differs from another's by . and _ alone."""
    move, pod = made
    move.source.logs["x.y", 0] = (0, 1)  # type: ignore[attr-defined]
    move.target.logs["x_y", 0] = (0, 0)  # type: ignore[attr-defined]
    (found,) = move.problems()
    assert found.startswith("topic x.y can't be made at stack dev: Kafka takes no names that differ by . and _ alone, and x_y is there.")
    assert "--delete --topic 'x_y'" in found
    assert "start" not in pod.done
    move.target.logs["x.y", 0] = (0, 0)  # type: ignore[attr-defined]
    assert move.problems() == []  # it is there already, as old brokers let it be


def test_offsets_beyond_the_end_of_the_source_are_told(made: tuple[MirrorMove, Pod], capsys: pytest.CaptureFixture[str]) -> None:
    move, pod = made
    following(move)
    pod.at_source["lost"] = Group({("a", 0): 12, ("a", 1): 5}, 0)
    verdict = switch(move)
    assert verdict["offsetsBeyondEnd"] == {"lost": {"a-0": [12, 10]}}
    live_session.run([KafkaMove(move)], "switch", COMMAND, as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["offsetsBeyondEnd"] == {"lost": {"a-0": [12, 10]}}
    said = "\n".join(KafkaMove(move).said("switch", verdict, COMMAND))
    assert "Group lost: offsets are beyond the source's end, and were set to the target's end: a-0 (offset 12, end 10)." in said
    assert "may have lost records" in said


def test_a_difference_is_named_and_nothing_is_proven(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    pod.difference = "another value"
    with pytest.raises(UserError, match="topic a, partition 0: another value"):
        move.follow()
    assert move.state == MIRRORING
    with pytest.raises(UserError, match="no mirror that has caught up"):
        switch(move)


def test_a_mirror_that_does_not_run_or_stands_still_is_told(made: tuple[MirrorMove, Pod], monkeypatch: pytest.MonkeyPatch) -> None:
    move, pod = made
    monkeypatch.setattr(pod, "mirrored", dict)
    with pytest.raises(Broken, match="doesn't catch up: 10 records behind"):
        move.follow()
    pod.fault_is = "task 0 has failed"
    with pytest.raises(Broken, match="task 0 has failed"):
        move.follow()


@pytest.mark.parametrize("when", ["mirror", "stop_mirror", "set_group"])
def test_a_source_that_still_grows_is_named_whenever_it_is(made: tuple[MirrorMove, Pod], when: str) -> None:
    move, pod = made
    following(move)
    grown = iter(range(11, 99))
    where = ("a", 0)
    if when == "mirror":  # all the time
        known = pod.source.ends
        pod.source.ends = lambda partitions: {**known(partitions), where: next(grown)}  # type: ignore[method-assign]
    else:
        pod.on[when] = lambda: pod.source.logs.update({where: (0, next(grown))})
    with pytest.raises(UserError, match="still written to: a-0 grew"):
        switch(move)
    assert move.state == FOLLOWING and pod.done.count("delete_topics") == 1, "the one before it began"
    pod.on.clear()
    if when == "mirror":
        pod.source.ends = known  # type: ignore[method-assign]
    assert switch(move)["verdict"] == PROVEN


def test_open_transactions_and_members_are_refused(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    pod.source.open["a", 0] = 8
    with pytest.raises(UserError, match="transactions are open at the source: a-0 from offset 8 on"):
        switch(move)
    pod.source.open.clear()
    pod.source.lacking["a", 0] = 2
    with pytest.raises(UserError, match=r"not all of its replicas have yet, so that nobody can read them: a-0\."):
        switch(move)
    pod.source.lacking.clear()
    pod.at_source["g"] = Group({("a", 0): 7}, 2)
    with pytest.raises(UserError, match="groups of the source have members still: g"):
        switch(move)
    pod.at_source["g"] = Group({("a", 0): 7}, 0)
    pod.at_target["g"] = Group({}, 1)
    with pytest.raises(UserError, match="groups of the target have members already: g"):
        switch(move)
    pod.at_target.clear()
    assert switch(move)["verdict"] == PROVEN


@pytest.mark.parametrize("step", ["stop_mirror", "translate", "set_group"])
def test_until_the_groups_are_set_a_switch_can_be_run_again(made: tuple[MirrorMove, Pod], step: str) -> None:
    move, pod = made
    following(move)
    pod.fails[step] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        switch(move)
    assert move.state == FOLLOWING and f"`{COMMAND} --switch`" in KafkaMove(move).after(COMMAND)
    assert switch(move)["verdict"] == PROVEN


@pytest.mark.parametrize("step", ["delete_topics", "remove"])
def test_once_its_topics_go_no_mirror_is_started_again(made: tuple[MirrorMove, Pod], step: str) -> None:
    move, pod = made
    following(move)
    pod.fails[step] = Broken("it is gone")
    with pytest.raises(Broken):
        switch(move)
    assert move.state == (ENDING if step == "delete_topics" else PROVEN)
    if move.state == ENDING:
        for other in (cancel, MirrorMove.follow):
            with pytest.raises(UserError, match="--switch to end it"):
                other(move)
    pod.there = False  # somebody has deleted it
    before = pod.done.count("mirror")
    assert switch(move)["verdict"] == PROVEN
    assert pod.done.count("mirror") == before


def test_brokers_with_other_addresses_get_another_mirror(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    pod.done.clear()
    following(move)
    assert "stop_mirror" not in pod.done
    object.__setattr__(pod.source.listener, "addresses", (Address("moved", 9092),))
    following(move)
    assert pod.done[-3:-1] == ["stop_mirror", "mirror"] or pod.done[-2:] == ["stop_mirror", "mirror"]


def test_called_off_what_was_copied_is_told(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    assert not cancel(move)["found"]
    following(move)
    pod.there = False
    said = cancel(move)
    assert said["topics"] == ["a"] and "--delete --topic 'a'" in said["delete"]
    assert pod.done[-4:] == ["start", "stop_mirror", "delete_topics", "remove"]
    assert move.state == "" and not (move.kept.folder / "compared.json").exists()
    assert "called off" in "\n".join(KafkaMove(move).said("cancel", said, COMMAND))


def test_what_another_machine_has_begun_is_left_alone(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    pod.there = True
    with pytest.raises(UserError, match="begun on another machine"):
        move.follow()
    assert pod.done == []


def test_a_topic_that_was_made_anew_is_named(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    pod.source.logs["a", 0] = (0, 3)
    with pytest.raises(UserError, match="topic a was made anew at the source: partition 0 ends at 3"):
        move.follow()


def test_the_plan_says_what_comes_and_what_stays(made: tuple[MirrorMove, Pod], capsys: pytest.CaptureFixture[str]) -> None:
    move, pod = made
    assert live_session.plan([KafkaMove(move)], as_json=False)
    said = capsys.readouterr().out
    assert "1 broker to 1; 1 topic, 2 partitions, at most 10 records" in said
    assert "Topics: a (2)" in said and "at the switch: g" in said
    assert "Topic my.heartbeats doesn't come along" in said and "Share groups don't come along: s." in said
    assert "Nothing was moved." in said
    assert live_session.plan([KafkaMove(move)], as_json=True)
    pod.fails["try_out"] = Broken("it isn't admitted")
    assert not live_session.plan([KafkaMove(move)], as_json=False)


def test_what_the_source_lacks_of_rights_is_listed_first(made: tuple[MirrorMove, Pod]) -> None:
    move, _ = made
    cast(Any, move.sources[0].api).denied = {"list services"}
    assert [each.endswith("list services") for each in move.problems()] == [True, True]


def test_one_that_cannot_be_called_off_says_how_it_is_by_hand(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    pod.fails["delete_topics"] = Broken("no broker answers")
    with pytest.raises(UserError, match="isn't called off yet: no broker answers") as caught:
        cancel(move)
    assert f"delete pod,configmap {pod.name}" in caught.value.hint and str(move.kept.folder) in caught.value.hint
    # Some of MirrorMaker's topics may be gone: another would copy everything again.
    assert "--cancel` goes on" in KafkaMove(move).after(COMMAND)
    for step in (MirrorMove.follow, switch):
        with pytest.raises(UserError, match="is being called off"):
            step(move)
    assert cancel(move)["topics"] == ["a"]


def test_a_mirror_that_has_lost_where_it_was_is_not_started(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    before = pod.done.count("mirror")
    pod.delete_topics("new:9092", internal_topics(move.id)[1:2])
    for step in (MirrorMove.follow, switch):
        with pytest.raises(UserError, match=r"own topics are gone at the target: .*-offsets\. It would copy all again"):
            step(move)
    assert pod.done.count("mirror") == before
    assert cancel(move)["found"]


def test_a_group_that_reads_on_while_the_offsets_are_set_is_named(made: tuple[MirrorMove, Pod]) -> None:
    """It was there and gone again between two looks."""
    move, pod = made
    following(move)
    pod.on["set_group"] = lambda: pod.at_source.update(g=Group({("a", 0): 9}, 0))
    with pytest.raises(UserError, match="groups of the source have read on meanwhile: g"):
        switch(move)
    assert move.state == FOLLOWING
    assert switch(move)["groups"] == {"g": {"a-0": [9, 109]}}


def test_a_topic_that_was_deleted_at_the_source_is_told_and_not_counted(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    pod.source.logs = {("b", 0): (0, 1), ("my.heartbeats", 0): (0, 1)}
    verdict = switch(move)
    assert list(verdict["topics"]) == ["b"] and verdict["deletedAtSource"] == ["a"]
    said = "\n".join(KafkaMove(move).said("switch", verdict, COMMAND))
    assert "at the target still: a." in said and "Topic my.heartbeats hasn't come along" in said


def test_what_a_lost_move_has_left_at_the_target_goes_before_the_mirror_begins(made: tuple[MirrorMove, Pod]) -> None:
    move, pod = made
    following(move)
    assert pod.done.index("delete_topics") < pod.done.index("mirror")
    assert pod.done.count("delete_topics") == 1
