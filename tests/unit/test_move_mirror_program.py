"""What runs in a mirror's pod: the comparison, places of groups, and the keeper of Kafka Connect.

Logs are in memory here, with gaps as transactions leave them; brokers are in
tests/integration/test_mirror_pod.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ops.move.mirror import properties
from ops.move.mirror.program import compare, keeper, records, worker
from ops.move.mirror.program.again import changed
from ops.move.mirror.program.brokers import Brokers, reaches
from ops.move.mirror.program.compacted import CompactedComparison
from ops.move.mirror.program.compare import Compared, Marks, PartitionComparison, Span
from ops.move.mirror.program.places import translate, translate_compacted
from ops.move.mirror.program.records import MirrorFault, Record
from tests.conftest import eventually


class Memory:
    """A log of records, and of offsets that hold none. `grows` comes once its end was seen."""

    def __init__(self, held: Sequence[Record], *, low: int = 0, end: int | None = None, grows: Sequence[Record] = ()) -> None:
        self._held, self.low = list(held), low
        self._end = end
        self._grows = list(grows)
        self.next = self.end = 0
        self.at_end = False

    def seek(self, begin: int) -> None:
        self.end = self._end if self._end is not None else max((each.offset + 1 for each in self._held), default=self.low)
        self.next, self.at_end = max(begin, self.low), False

    def some(self, seconds: float) -> list[Record]:
        found = [each for each in self._held if each.offset >= self.next][:3]
        if found:
            self.next, self.at_end = found[-1].offset + 1, False
            return found
        if self.at_end and self._grows:
            self._held += self._grows
            self._grows.clear()
            return self.some(seconds)
        end = self._end if self._end is not None else max((each.offset + 1 for each in self._held), default=0)
        self.next, self.at_end = max(self.next, end), True
        return []


def record(offset: int, number: int | None = None, **other: Any) -> Record:
    """The record that a topic has had as its `number`th: its offset, unless that is another."""
    number = offset if number is None else number
    made = Record(offset, 1_000 + number, b"\x00k%d" % number, b"v\xff%d\n\t" % number, (("h", b"\x00\xfe"), ("none", None)))
    return made._replace(**other)


def log(*numbers: int, shift: int = 0, **how: Any) -> Memory:
    return Memory([record(number + shift, number) for number in numbers], **how)


def compared(source: Memory, target: Memory, *, to: int, begin: tuple[int, int] = (0, 0), expires: int = 0, **how: Any) -> Compared:
    return PartitionComparison(source, target, Span(begin[0], to, begin[1], expires), how.pop("patience", 0), lambda _: None, **how).run()


def test_the_same_records_are_the_same() -> None:
    found = compared(log(*range(10)), log(*range(10)), to=10, last=True)
    assert found == Compared(records=10, source_to=10, target_to=10, runs=[(0, 0), (10, 10)], last=(9, 9))


def test_what_the_target_has_not_got_yet_is_waited_for() -> None:
    target = log(0, 1, grows=[record(2), record(3)])
    assert compared(log(0, 1, 2, 3), target, to=4, patience=5).records == 4


def test_a_span_ends_where_it_was_said_and_goes_on_from_there() -> None:
    first = compared(log(*range(10)), log(*range(10), shift=5), to=4)
    assert (first.records, first.source_to, first.target_to, first.difference) == (4, 4, 9, "")
    more = compared(log(*range(10)), log(*range(10), shift=5), to=10, begin=(first.source_to, first.target_to), last=True)
    assert (more.records, more.source_to, more.target_to, more.difference) == (6, 10, 15, "")


def test_a_log_that_was_cut_and_grew_again_is_named() -> None:
    """Its end is past what was compared, and what follows is the same on both sides."""
    source, target = log(*range(10)), log(*range(10), shift=5)
    last = compared(source, target, to=8).last
    assert last == (7, 12)
    assert changed(source, target, last) == ""
    cut = Memory([*(record(number) for number in range(6)), *(record(number, number + 50) for number in range(6, 20))])
    assert compared(cut, Memory([record(13, 58), record(14, 59)]), to=10, begin=(8, 13)).difference == "", "alone it isn't noticed"
    assert changed(cut, target, last).startswith("source offset 7 and target offset 12 were the same when they were compared")
    assert "were the same" in changed(source, log(*range(50, 60), shift=-40), last), "or the target's"
    ended = Memory([record(number) for number in range(7)] + [record(9, 60)])
    assert "were the same" in changed(ended, target, last), "there is no record any more"
    assert changed(log(0, 1, 2), target, last).startswith("source offset 7, which was compared, is gone: the log ends at 3")


def test_what_retention_has_removed_is_not_compared_again() -> None:
    assert changed(log(*range(8, 12), low=8), log(*range(10)), (7, 7)) == ""
    assert changed(log(*range(10)), log(low=9, end=9), (7, 7)) == ""


def test_offsets_without_records_are_no_difference_and_each_makes_a_run() -> None:
    source = Memory([record(0), record(1), record(3, 2), record(4, 3)], end=6)  # a transaction's end at 2 and 5
    target = Memory([record(0), record(2, 1), record(3, 2), record(4, 3)], end=5)
    found = compared(source, target, to=6, last=True)
    assert found.difference == ""
    assert found.runs == [(0, 0), (1, 2), (3, 3), (6, 5)]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"value": b"other"}, "value differs"),
        ({"value": None}, "value differs"),
        ({"key": b""}, "key differs"),
        ({"headers": (("h", b"\x00\xfe"), ("none", b""))}, "headers differs"),
        ({"timestamp": 5, "key": None}, "timestamp, key differ"),
    ],
)
def test_a_record_that_is_another_is_named_with_what_differs(changed: dict[str, Any], named: str) -> None:
    target = Memory([record(7), record(8, 1, **changed), record(9, 2)])
    found = compared(log(0, 1, 2), Memory([record(0), *(each._replace(offset=each.offset) for each in target._held[1:])]), to=3)
    assert found.difference == f"source offset 1, target offset 8: {named}"
    assert (found.records, found.source_to) == (1, 1)


def test_nothing_and_empty_are_two() -> None:
    source, target = Memory([record(0, key=None, value=None)]), Memory([record(0, key=None, value=b"")])
    assert compared(source, target, to=1).difference == "source offset 0, target offset 0: value differs"


def test_headers_in_another_order_are_others() -> None:
    target = Memory([record(0, headers=(("none", None), ("h", b"\x00\xfe")))])
    assert "headers differs" in compared(log(0), target, to=1).difference


def test_a_missing_record_is_named() -> None:
    found = compared(log(0, 1, 2, 3, 4), Memory([record(0), record(1), record(2, 4)]), to=5)
    assert found.difference == "source offset 2, target offset 2: missing: the target lacks 2 records here"


def test_a_missing_end_is_named() -> None:
    found = compared(log(0, 1, 2), log(0), to=3)
    assert found.difference == "source offset 1 and what follows is missing: the target has nothing from its offset 1 on"


def test_a_doubled_record_is_named() -> None:
    found = compared(log(0, 1, 2, 3), Memory([record(0), record(1), record(2, 1), record(3, 2), record(4, 3)]), to=4)
    assert found.difference == "source offset 2, target offset 2: doubled: an earlier record comes again"


def test_a_doubled_end_is_named_where_nothing_more_may_come() -> None:
    source, target = log(0, 1), Memory([record(0), record(1), record(2, 1)])
    assert compared(source, target, to=2).difference == ""  # it may be one that comes next
    assert "target offset 2, behind the source's last record, doubled" in compared(source, target, to=2, last=True).difference


def test_a_record_of_somebody_else_at_the_end_is_named() -> None:
    found = compared(log(0, 1), log(0, 1, 9), to=2, last=True)
    assert found.difference == "target offset 9, behind the source's last record, the source has no such record"


def test_one_more_in_between_is_named() -> None:
    found = compared(log(0, 1, 2), Memory([record(0), record(1, 99), record(2, 1), record(3, 2)]), to=3)
    assert found.difference == "source offset 1, target offset 1: the target has 1 more here, which the source has not"


def test_twins_elsewhere_do_not_hide_what_is_different() -> None:
    source = [record(number, number % 5) for number in range(40)]
    found = compared(Memory(source), Memory([*source[:17], *source[18:]]), to=40)
    assert found.difference == "source offset 17, target offset 18: missing: the target lacks 1 record here"
    changed = [*source[:17], source[17]._replace(value=b"x"), *source[18:]]
    assert compared(Memory(source), Memory(changed), to=40).difference == "source offset 17, target offset 17: value differs"


def test_another_order_is_named() -> None:
    found = compared(log(0, 1, 2), Memory([record(0), record(1, 2), record(2, 1)]), to=3)
    assert found.difference == "source offset 1, target offset 1: another order: the source's record is at the target's offset 2"


# --- retention -----------------------------------------------------------------------------------


def test_what_the_source_has_removed_meanwhile_is_left_out_at_the_target() -> None:
    found = compared(log(*range(5, 20), low=5), log(*range(20), shift=2), to=20, begin=(2, 4), last=True)
    assert (found.difference, found.records, found.target_only) == ("", 15, 3)
    assert found.runs[0] == (5, 7)


def test_a_topic_whose_beginning_was_gone_before_the_move() -> None:
    found = compared(log(*range(5, 20), low=5), Memory([record(number - 5, number) for number in range(5, 20)]), to=20, last=True)
    assert (found.difference, found.records, found.target_only) == ("", 15, 0)


def test_records_alike_at_the_front_are_told_apart_by_what_follows() -> None:
    same = [record(number, 1) for number in range(8)]
    source = Memory([*same[5:], record(8), record(9)], low=5)
    found = compared(source, Memory([*same, record(8), record(9)]), to=10, begin=(3, 3), last=True)
    assert (found.difference, found.target_only) == ("", 2)


def test_all_that_the_source_has_removed_meanwhile() -> None:
    found = compared(log(low=10, end=10), log(*range(10)), to=10, begin=(4, 4), last=True)
    assert (found.difference, found.target_only, found.target_to) == ("", 6, 10)


def test_what_was_compared_before_it_was_removed_is_not_there_again() -> None:
    found = compared(log(low=10, end=10), log(*range(11)), to=10, begin=(10, 10), last=True)
    assert found.difference == "target offset 10, behind the source's last record, the source has no such record"


def test_no_more_may_be_at_the_front_than_retention_has_removed() -> None:
    """A log that begins behind 0, of which nothing was removed since: no record is retention's."""
    target = Memory([record(0, 99), *(record(number - 4, number) for number in range(5, 20))])
    found = compared(log(*range(5, 20), low=5), target, to=20, begin=(5, 0), last=True)
    assert "1 more here, which the source has not" in found.difference
    twice = Memory([record(0, 99), record(1, 98), *(record(number - 4, number) for number in range(6, 20))])
    found = compared(log(*range(6, 20), low=6), twice, to=20, begin=(5, 0), last=True)
    assert found.difference.startswith("target offset 2: 2 records before it are there alone, and retention has removed at most 1")
    # The target's log begins where the comparison goes on: the record that lacks was never there.
    target = Memory([record(number, number + 1) for number in range(4, 9)], low=4)
    found = compared(log(*range(10)), target, to=10, begin=(4, 4), expires=2**62, last=True)
    assert "missing: the target lacks 1 record here" in found.difference


def test_of_a_source_that_was_emptied_meanwhile_nothing_is_known_before_more_comes() -> None:
    """Groups would go on from a place before what they have read."""
    found = compared(log(low=10, end=10), log(*range(10)), to=10, begin=(4, 4))
    assert (found.is_gone, found.source_to, found.target_to, found.runs, found.difference) == (True, 4, 4, [], "")
    more = compared(log(10, 11, low=10), log(*range(12)), to=12, begin=(found.source_to, found.target_to), last=True)
    assert (more.difference, more.target_only, more.runs) == ("", 6, [(10, 10), (12, 12)])
    target = log(*range(11))  # one more than the source has ever had
    found = compared(log(low=10, end=10), target, to=10, begin=(4, 4), last=True)
    assert found.difference == "target offset 10, behind the source's last record, the source has no such record"


def test_what_the_target_has_lost_of_what_was_compared_is_named() -> None:
    """A broker that has lost its volume begins again at 0, and the source has nothing new."""
    found = compared(log(*range(10)), log(), to=10, begin=(10, 10), last=True)
    assert found.difference == "the target's log ends at offset 0: what was compared up to its offset 10 is lost there"
    assert compared(log(*range(10)), log(*range(10)), to=10, begin=(10, 10), last=True).difference == ""


def test_without_retention_no_record_may_be_left_out() -> None:
    assert "missing" in compared(log(*range(10)), log(*range(3, 10)), to=10).difference
    assert "more here" in compared(log(*range(3, 10)), log(*range(10)), to=10).difference


def test_what_the_target_has_removed_is_left_out_where_it_has_expired() -> None:
    target = Memory([record(number, number) for number in range(4, 10)], low=4)
    found = compared(log(*range(10)), target, to=10, expires=1_004, last=True)
    assert (found.difference, found.records, found.source_only) == ("", 6, 4)
    target = Memory([record(number, number) for number in range(4, 10)], low=4)
    found = compared(log(*range(10)), target, to=10, expires=1_002, last=True)
    assert found.difference.startswith("source offset 2, of 1970-01-01 00:00:01 UTC, is missing: the target begins with offset 4. 2 such")


def test_a_difference_behind_the_front_is_named_in_spite_of_retention() -> None:
    changed = [record(number) for number in range(200)]
    changed[150] = record(150, value=b"")
    found = compared(log(*range(100, 200), low=100), Memory(changed), to=200, begin=(50, 50))
    assert found.difference == "source offset 150, target offset 150: value differs"


def test_an_open_transaction_is_named() -> None:
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(MirrorFault, match="the log ends at offset 2, before 5: is a transaction open"),
    ):
        patch.setattr(records, "SILENCE", 0.0)
        compared(log(0, 1), log(0, 1), to=5)


def test_marks_are_bounded_and_spread() -> None:
    marks = Marks()
    for number in range(100_000):
        marks.add(2 * number, number)
    assert compare.MARKS / 2 <= len(marks.kept) <= compare.MARKS
    gaps = {later[0] - earlier[0] for earlier, later in zip(marks.kept, marks.kept[1:], strict=False)}
    assert max(gaps) <= 2 * 100_000 / (compare.MARKS / 4)
    assert all(one == 2 * other for one, other in marks.kept)


# --- compacted topics ----------------------------------------------------------------------------


def entry(offset: int, key: str, value: str | None, timestamp: int = 7) -> Record:
    return Record(offset, timestamp, key.encode(), None if value is None else value.encode(), ())


def compacted(source: Memory, target: Memory, to: int, **how: Any) -> Compared:
    return CompactedComparison(source, target, Span(0, to, 0), 0, lambda _: None, **how).run()


def test_compaction_at_either_side_is_no_difference() -> None:
    source = Memory([entry(0, "a", "1"), entry(3, "b", "2"), entry(5, "a", "3"), entry(7, "c", None)])
    target = Memory([entry(1, "b", "1"), entry(2, "b", "2"), entry(4, "a", "3")])
    found = compacted(source, target, 8, last=True)
    assert (found.difference, found.records, found.source_to) == ("", 3, 8)


@pytest.mark.parametrize(
    ("target", "named"),
    [
        ([entry(0, "b", "2")], "source offset 5: the last record of its key is missing"),
        ([entry(0, "a", "1"), entry(1, "b", "2")], "source offset 5: the last record of its key is another one at the target, at offset 0"),
        ([entry(0, "a", "3"), entry(1, "b", "2"), entry(2, "a", "1")], "another one at the target, at offset 2"),
        ([entry(0, "a", "3"), entry(1, "b", "2"), entry(2, "z", "1")], "target offset 2: the source has no record of its key"),
    ],
)
def test_a_last_record_that_is_another_is_named(target: list[Record], named: str) -> None:
    source = Memory([entry(3, "b", "2"), entry(5, "a", "3")])
    assert named in compacted(source, Memory(target), 6, last=True).difference


def test_a_key_that_was_removed_at_the_source_and_not_at_the_target_is_named() -> None:
    source, target = Memory([entry(3, "b", "2"), entry(5, "a", None)]), Memory([entry(0, "a", "1"), entry(1, "b", "2")])
    assert "source offset 5: the last record of its key is another one" in compacted(source, target, 6, last=True).difference
    target = Memory([entry(0, "a", "1"), entry(1, "b", "2")], grows=[entry(2, "a", None)])
    assert CompactedComparison(source, target, Span(0, 6, 0), 5, lambda _: None, last=True).run().difference == ""


def test_while_the_source_goes_on_a_newer_record_is_no_difference() -> None:
    source, target = Memory([entry(3, "b", "2"), entry(5, "a", "3")]), Memory([entry(1, "b", "2"), entry(9, "a", "4"), entry(10, "n", "1")])
    assert compacted(source, target, 6).difference == ""


# --- places --------------------------------------------------------------------------------------


def shifted(changes: int, length: int) -> tuple[list[Record], list[Record]]:
    """A source with a transaction of three records after the other, a target with one of five."""
    source = [record(number + number // 3, number) for number in range(length)]
    target = [record(number + number // changes, number) for number in range(length)]
    return source, target


@pytest.mark.parametrize("kept", [1, 4, 1000])
def test_a_place_is_before_the_same_record(kept: int) -> None:
    source, target = shifted(5, 100)
    ends = (source[-1].offset + 2, target[-1].offset + 2)
    found = compared(Memory(source, end=ends[0]), Memory(target, end=ends[1]), to=ends[0], last=True)
    marks = found.runs[::kept]
    wanted = range(ends[0] + 1)
    places = translate(Memory(source, end=ends[0]), Memory(target, end=ends[1]), marks, wanted, ends)
    for offset in wanted:
        following = next((other.offset for one, other in zip(source, target, strict=True) if one.offset >= offset), ends[1])
        assert places[offset] == following, offset


def test_a_place_in_what_retention_has_removed() -> None:
    source, target = shifted(5, 100)
    ends = (source[-1].offset + 2, target[-1].offset + 2)
    marks = [(source[0].offset, target[0].offset), (source[90].offset, target[90].offset)]
    left = Memory(source[40:], low=source[40].offset, end=ends[0])
    assert translate(left, Memory(target, end=ends[1]), marks, [5], ends) == {5: target[40].offset}


def test_places_of_a_compacted_partition_are_the_records_own() -> None:
    source = Memory([entry(0, "a", "1"), entry(3, "b", "2"), entry(5, "a", "3"), entry(7, "c", "1"), entry(9, "b", "4")])
    target = Memory([entry(0, "a", "1"), entry(1, "b", "1"), entry(2, "b", "2"), entry(6, "c", "1"), entry(8, "b", "4")])
    found = translate_compacted(source, target, [0, 1, 4, 6, 8, 10], (10, 9))
    assert found == {0: 0, 1: 2, 4: 6, 6: 6, 8: 8, 10: 9}


# --- MirrorMaker's worker ------------------------------------------------------------------------


def test_a_keeper_starts_again_and_ends_cleanly(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (open(sys.argv[1] + '/clean', 'w').close(), sys.exit(0)))\n"
        "open(sys.argv[1] + '/pid', 'w').write(str(os.getpid()))\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "keeper.py").write_text(Path(keeper.__file__).read_text().replace("AGAIN = 5.0", "AGAIN = 0.1"))
    command = [sys.executable, "-IB", str(tmp_path / "keeper.py"), str(tmp_path), str(tmp_path / "log"), sys.executable, str(program)]
    process = subprocess.Popen([*command, str(tmp_path)])

    def pid() -> int:
        file = tmp_path / "pid"
        return int(file.read_text() or 0) if file.exists() else 0

    def state() -> dict[str, Any]:
        found: dict[str, Any] = json.loads((tmp_path / "state.json").read_text())
        return found

    try:
        eventually(lambda: (tmp_path / "state.json").exists() and not state()["runs"], "it waits", 20)
        (tmp_path / "on").touch()
        eventually(lambda: bool(pid()), "it has started it", 20)
        first = pid()
        subprocess.run(["kill", "-9", str(first)], check=True)
        eventually(lambda: pid() not in (0, first) and state() == {**state(), "runs": True, "ended": -9}, "it has started it again", 20)
        (tmp_path / "on").unlink()
        eventually(lambda: (tmp_path / "clean").exists() and not state()["runs"], "it was ended cleanly", 20)
        (tmp_path / "clean").unlink()
        (tmp_path / "pid").unlink()
        (tmp_path / "on").touch()
        eventually(lambda: bool(pid()), "it has started it once more", 20)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert (tmp_path / "clean").exists()


class Connect(BaseHTTPRequestHandler):
    """The part of Connect's REST interface that is asked."""

    config: dict[str, str] | None = None
    tasks: tuple[dict[str, str], ...] = ({"state": "RUNNING"},)
    asked: tuple[str, ...] = ()

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _answer(self, code: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        kind = type(self)
        if kind.config is None:
            self._answer(404, {"message": "Connector mirror not found"})
        elif self.path.endswith("/config"):
            self._answer(200, kind.config)
        elif self.path.endswith("/offsets"):
            place = {"cluster": "move-x", "partition": 2, "topic": "orders"}
            self._answer(200, {"offsets": [{"partition": place, "offset": {"offset": 41}}]})
        else:
            self._answer(200, {"connector": {"state": "RUNNING"}, "tasks": kind.tasks})

    def do_PUT(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if sent.get("topics") == "wrong":
            self._answer(400, {"message": "topics: it is wrong"})
            return
        type(self).config = {**sent, "name": "mirror"}
        self._answer(201, {})

    def do_POST(self) -> None:
        type(self).asked += (self.path,)
        type(self).tasks = ({"state": "RUNNING"},)
        self._answer(202, {})


@pytest.fixture
def connect() -> Iterator[tuple[type[Connect], int]]:
    kind = type("Ours", (Connect,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield kind, server.server_port
    server.shutdown()
    server.server_close()


def kept(folder: Path, **state: Any) -> None:
    (folder / "state.json").write_text(json.dumps({"runs": True, "ended": None, "since": time.time(), **state}))


def test_a_worker_is_told_its_settings_once(tmp_path: Path, connect: tuple[type[Connect], int]) -> None:
    kind, port = connect
    kept(tmp_path)
    (tmp_path / "worker.properties").write_text("a=b\n")
    ours = worker.Worker(tmp_path, tmp_path / "log", port)
    ours.begin({"a": "b"}, {"topics": ".*"})
    assert (tmp_path / "on").exists() and kind.config == {"topics": ".*", "name": "mirror"}
    assert ours.fault() == ""
    assert ours.mirrored() == [["orders", 2, 42]]
    kind.tasks = (
        {"state": "FAILED", "trace": "x.ConnectException: no\n\tat a.b(C.java:1)\nCaused by: y.TooLarge: 3 bytes\n\t... 2 more\n"},
    )
    assert ours.fault() == "y.TooLarge: 3 bytes"
    ours.begin({"a": "b"}, {"topics": ".*"})
    assert kind.asked == ("/connectors/mirror/restart?includeTasks=true&onlyFailed=true",)
    assert ours.fault() == ""


def test_a_wrong_setting_is_told_at_once(tmp_path: Path, connect: tuple[type[Connect], int]) -> None:
    kept(tmp_path)
    (tmp_path / "worker.properties").write_text("a=b\n")
    with pytest.raises(MirrorFault, match="MirrorMaker refuses its settings: topics: it is wrong"):
        worker.Worker(tmp_path, tmp_path / "log", connect[1]).begin({"a": "b"}, {"topics": "wrong"})


def test_what_has_ended_is_told_with_its_last_complaint(tmp_path: Path) -> None:
    ours = worker.Worker(tmp_path, tmp_path / "log", 1)
    assert ours.fault() == "it was stopped"
    (tmp_path / "on").touch()
    (tmp_path / "log").write_text("2026 INFO it begins\n2026 ERROR no broker answers\n")
    kept(tmp_path, runs=False, ended=1)
    assert ours.fault() == "it has ended with 1: 2026 ERROR no broker answers"
    kept(tmp_path)
    assert ours.fault() == ""  # it is starting
    kept(tmp_path, since=0)
    assert "it doesn't answer" in ours.fault()


def test_new_settings_end_what_runs(tmp_path: Path, connect: tuple[type[Connect], int]) -> None:
    kept(tmp_path)
    (tmp_path / "on").touch()
    (tmp_path / "worker.properties").write_text("bootstrap.servers=before\n")
    told = threading.Timer(1, lambda: kept(tmp_path, runs=False))
    told.start()
    worker.Worker(tmp_path, tmp_path / "log", connect[1]).begin({"bootstrap.servers": "now"}, {"topics": ".*"})
    assert json.loads((tmp_path / "state.json").read_text())["runs"] is False
    assert (tmp_path / "worker.properties").read_text() == "bootstrap.servers=now\n"
    assert (tmp_path / "on").exists()


def test_addresses_that_nobody_answers_are_told() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Connect)
    try:
        found = reaches([("127.0.0.1", server.server_port), ("127.0.0.1", 1), ("no-such-name.invalid", 9092)])
    finally:
        server.server_close()
    assert found[:2] == ["", "Connection refused"]
    assert found[2]


def test_an_address_that_leads_to_another_kafka_is_not_the_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In another network the same name may be somebody else's, whose records would be mirrored."""
    asked = []
    monkeypatch.setattr(Brokers, "__init__", lambda _, bootstrap, side: asked.append(bootstrap))
    monkeypatch.setattr(Brokers, "cluster", lambda _: "theirs")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        address = ("127.0.0.1", server.server_port)
        assert reaches([address], "theirs") == reaches([address]) == [""]
        assert reaches([address], "ours") == ["from there it leads to another Kafka, of cluster theirs"]
    assert asked == [f"127.0.0.1:{server.server_port}"] * 2, "each address is asked alone"


# --- its settings --------------------------------------------------------------------------------


def test_settings_write_nothing_to_the_source_and_nothing_twice() -> None:
    found = json.loads(properties.settings("a:1,b:1", "c:1", 3, "abc"))
    connector = found["connector"]
    assert connector["source.cluster.bootstrap.servers"] == "a:1,b:1"
    assert found["worker"]["bootstrap.servers"] == "c:1"
    assert found["worker"]["exactly.once.source.support"] == "enabled"
    assert connector["exactly.once.support"] == "required"
    assert connector["source.consumer.isolation.level"] == "read_committed"
    assert connector["emit.offset-syncs.enabled"] == "false"
    assert found["connector"]["source.consumer.allow.auto.create.topics"] == "false", "the source makes no topic anew for it"
    assert {found["worker"][f"{each}.storage.topic"] for each in ("config", "offset", "status")} == set(properties.internal_topics("abc"))


@pytest.mark.parametrize(
    "topic", ["__consumer_offsets", ".hidden", "mm2-offsets.a.internal", "a.checkpoints.internal", "heartbeats", "of.heartbeats"]
)
def test_a_topic_that_is_not_mirrored_is_excluded_and_told(topic: str) -> None:
    assert properties.left_out(topic)


def test_any_other_topic_is_mirrored() -> None:
    assert not [name for name in ("orders", "a.b-c_d", "heartbeats.of", "x.internal", "internal", "mm2") if properties.left_out(name)]
