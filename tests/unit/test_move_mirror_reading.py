"""How a partition is read: what the brokers' client library says, and what becomes of it.

The library is in the pods alone; here is one of a few lines.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from ops.move.mirror.program import records
from ops.move.mirror.program.records import MirrorFault, PartitionReader, Removed, Stream


class TopicPartition(NamedTuple):
    topic: str
    partition: int
    offset: int = 0


class KafkaError:
    _PARTITION_EOF, _AUTO_OFFSET_RESET, _TRANSPORT, _ALL_BROKERS_DOWN, _RESOLVE = -191, -140, -195, -187, -193
    OFFSET_OUT_OF_RANGE, TOPIC_AUTHORIZATION_FAILED = 1, 29

    def __init__(self, code: int, *, passing: bool = False) -> None:
        self._code, self._passing = code, passing

    def code(self) -> int:
        return self._code

    def retriable(self) -> bool:
        return self._passing

    def str(self) -> str:
        return f"error {self._code}"


class KafkaException(Exception):
    pass


class Message:
    def __init__(self, offset: int, *, partition: int = 0, error: KafkaError | None = None) -> None:
        self._offset, self._partition, self._error = offset, partition, error

    def error(self) -> KafkaError | None:
        return self._error

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return self._partition

    def topic(self) -> str:
        return "orders"

    def timestamp(self) -> tuple[int, int]:
        return (1, 7)

    def key(self) -> bytes | None:
        return None

    def value(self) -> bytes:
        return b"v"

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return None


class Consumer:
    """Gives what was laid out for it."""

    lows: deque[int | KafkaError]
    coming: deque[Message | None]
    assigned: tuple[TopicPartition, ...] = ()

    def __init__(self, settings: dict[str, Any]) -> None:
        assert settings["isolation.level"] == "read_committed"
        assert settings["auto.offset.reset"] == "error"

    def get_watermark_offsets(self, _where: TopicPartition, timeout: float) -> tuple[int, int]:
        low = type(self).lows.popleft() if len(type(self).lows) > 1 else type(self).lows[0]
        if isinstance(low, KafkaError):
            raise KafkaException(low)
        return low, 100

    def assign(self, places: list[TopicPartition]) -> None:
        type(self).assigned = tuple(places)

    def poll(self, _seconds: float) -> Message | None:
        return type(self).coming.popleft() if type(self).coming else None

    def consume(self, count: int, _seconds: float) -> list[Message]:
        found: list[Message] = []
        while type(self).coming and type(self).coming[0] is not None and len(found) < count:
            each = type(self).coming.popleft()
            assert each
            found.append(each)
        return found


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Consumer]]:
    module = ModuleType("confluent_kafka")
    Consumer.lows, Consumer.coming, Consumer.assigned = deque([0]), deque(), ()
    for each in (Consumer, KafkaError, KafkaException, TopicPartition):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "confluent_kafka", module)
    yield Consumer


def reading(begin: int = 0) -> PartitionReader:
    reader = PartitionReader("a:1", "source").of("orders", 0)
    reader.seek(begin)
    return reader


def end(offset: int) -> Message:
    return Message(offset, error=KafkaError(KafkaError._PARTITION_EOF))


def test_records_come_in_their_order_until_the_end(library: type[Consumer]) -> None:
    library.coming = deque([Message(3), Message(5), end(7), None, Message(8)])
    reader = reading(3)
    assert [each.offset for each in reader.some(0.1)] == [3, 5]
    assert library.assigned[0].offset == 3
    assert (reader.next, reader.at_end) == (7, True)
    assert reader.some(0.1) == []
    assert reader.at_end
    assert [(each.offset, each.timestamp, each.key, each.value, each.headers) for each in reader.some(0.1)] == [(8, 7, None, b"v", ())]
    assert not reader.at_end


def test_an_empty_rest_is_seen_at_once(library: type[Consumer]) -> None:
    assert not reading(99).at_end
    assert reading(100).at_end
    assert Stream(reading(100), 100, None).look() == []
    assert Stream(reading(100), 100, 100).look() == []


def test_what_still_comes_of_another_partition_or_place_is_left_out(library: type[Consumer]) -> None:
    library.coming = deque([Message(4, partition=1), Message(2), end(2), Message(6)])
    reader = reading(5)
    assert [each.offset for each in reader.some(0.1)] == [6]
    assert not reader.at_end


def test_it_begins_where_the_log_does(library: type[Consumer]) -> None:
    library.lows = deque([40])
    reader = reading(3)
    assert (reader.low, reader.next) == (40, 40)
    assert not library.assigned  # before something is wanted
    reader.some(0.1)
    assert library.assigned[0].offset == 40


@pytest.mark.parametrize("code", [KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET])
def test_what_retention_has_removed_is_told(library: type[Consumer], code: int) -> None:
    library.coming = deque([Message(0, error=KafkaError(code))])
    with pytest.raises(Removed):
        reading().some(0.1)


def test_a_broken_connection_is_waited_out_and_then_told(library: type[Consumer], monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reading()
    library.coming = deque([Message(0, error=KafkaError(KafkaError._TRANSPORT)), None, Message(0), None])
    assert [len(reader.some(0.1)) for _ in range(3)] == [0, 0, 1]
    monkeypatch.setattr(records, "SILENCE", -1.0)
    with pytest.raises(MirrorFault, match="source, orders-0: nothing comes from its broker"):
        reader.some(0.1)


def test_a_refusal_is_told(library: type[Consumer]) -> None:
    library.coming = deque([Message(0, error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))])
    with pytest.raises(MirrorFault, match="source, orders-0: error 29"):
        reading().some(0.1)


def test_a_topic_that_was_just_made_is_waited_for(library: type[Consumer], monkeypatch: pytest.MonkeyPatch) -> None:
    library.lows = deque([KafkaError(3), KafkaError(3), 0])
    assert reading().low == 0
    monkeypatch.setattr(records, "_APPEARING", 0.0)
    library.lows = deque([KafkaError(3)])
    with pytest.raises(MirrorFault, match="source, orders-0: error 3"):
        reading()
