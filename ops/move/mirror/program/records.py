"""The committed records of one partition, in their order.

Beside the standard library it needs confluent-kafka, when something is read. Python 3.10 or newer.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from typing import Any, NamedTuple, Protocol

SILENCE = 120.0  # seconds in which brokers answer
BATCH = 2000  # records that are taken at once
_QUEUE = 16384  # KiB that wait in memory for each side, and a fetch beyond
_POLL = 0.2  # seconds
_APPEARING = 60.0  # seconds until a partition that was just made has a leader
_LARGE = 2**23  # bytes after which no more is looked at
# The library complains on stderr about each broken connection, and goes on.
QUIET = {"log_level": 2, "error_cb": lambda _: None}
# A transaction that was aborted is not there, as for any consumer that asks for committed records.
# Offsets that are no longer there are an error: never a jump to somewhere else.
_SETTINGS: dict[str, Any] = {
    "group.id": "storage-tiers-move",  # a name that the library asks for: no group is joined
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",
    "enable.partition.eof": True,
    "allow.auto.create.topics": False,
    "check.crcs": True,
    "max.poll.interval.ms": 86400000,  # one side may wait while the other is read
    "queued.max.messages.kbytes": _QUEUE,
    "fetch.wait.max.ms": 50,  # at a log's end
    "fetch.queue.backoff.ms": 10,  # while as much as that waits; by default a second
    **QUIET,
}


class MirrorFault(Exception):
    """It can't be read, in words."""


class Removed(Exception):
    """Retention has removed what was to be read next."""


class Record(NamedTuple):
    """A record. All of it counts but the offset. No key or value is another than an empty one."""

    offset: int
    timestamp: int  # milliseconds since 1970
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    @property
    def size(self) -> int:
        """About so many bytes of memory."""
        return 200 + len(self.key or b"") + len(self.value or b"") + sum(len(value or b"") for _, value in self.headers)


class Log(Protocol):
    """Reads one partition."""

    low: int  # the log's first offset
    end: int  # that behind its last committed record, when it was sought
    next: int  # where it goes on
    at_end: bool  # whether nothing more was there when it last looked

    def seek(self, begin: int) -> None:
        """Read from offset `begin` on, or from the log's first where that is later."""

    def some(self, seconds: float) -> list[Record]:
        """What comes next; nothing where nothing comes in so many seconds, or it is at its end."""


class PartitionReader:
    """A Log of brokers, without a consumer group. Raises MirrorFault and Removed."""

    def __init__(self, bootstrap: str, side: str) -> None:
        from confluent_kafka import Consumer  # noqa: PLC0415 - only where it is used

        self.low = self.next = self.end = 0
        self.at_end = False
        self._side = side
        self._consumer = Consumer({**_SETTINGS, "bootstrap.servers": bootstrap})
        self._where: Any = None
        self._silent = 0.0  # seconds
        self._is_assigned = False

    def of(self, topic: str, partition: int) -> PartitionReader:
        """This one, for another partition."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        self._where = TopicPartition(topic, partition)
        return self

    def seek(self, begin: int) -> None:
        """As Log has it."""
        from confluent_kafka import TopicPartition  # noqa: PLC0415

        self.low, self.end = self._ends()
        self.next = max(begin, self.low)
        self.at_end = self.next >= self.end
        self._where = TopicPartition(self._where.topic, self._where.partition, self.next)
        self._is_assigned = False  # until something is wanted
        self._silent = 0.0

    def _ends(self) -> tuple[int, int]:
        """The log's first offset, and that behind its last committed record.

        A topic that isn't there yet is waited for.
        """
        from confluent_kafka import KafkaException  # noqa: PLC0415

        end = time.monotonic() + _APPEARING
        while True:
            try:
                low, end = self._consumer.get_watermark_offsets(self._where, timeout=10)
                return low, end
            except KafkaException as problem:
                if time.monotonic() > end:
                    raise MirrorFault(f"{self._side}, {self._name}: {problem.args[0].str()}") from None
            time.sleep(_POLL)

    def some(self, seconds: float) -> list[Record]:
        """As Log has it."""
        if not self._is_assigned:
            self._consumer.assign([self._where])
            self._is_assigned = True
        began = time.monotonic()
        first = self._consumer.poll(seconds)
        messages = [] if first is None else [first, *self._consumer.consume(BATCH, 0)]
        found = []
        for each in messages:
            if each.error() is not None:
                self._look_at(each)
            elif each.partition() == self._where.partition and each.topic() == self._where.topic and each.offset() >= self.next:
                found.append(Record(each.offset(), each.timestamp()[1], each.key(), each.value(), tuple(each.headers() or ())))
                self.next, self.at_end = each.offset() + 1, False
        # A complaint about a connection is no sign of life.
        self._silent = 0.0 if found or self.at_end else self._silent + time.monotonic() - began
        if self._silent > SILENCE:
            raise MirrorFault(f"{self._side}, {self._name}: nothing comes from its broker for {SILENCE:.0f} s")
        return found

    def _look_at(self, message: Any) -> None:  # noqa: ANN401 - of a library without types
        from confluent_kafka import KafkaError  # noqa: PLC0415

        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            if message.partition() == self._where.partition and message.topic() == self._where.topic and message.offset() >= self.next:
                self.next, self.at_end = message.offset(), True
        elif error.code() in (KafkaError.OFFSET_OUT_OF_RANGE, KafkaError._AUTO_OFFSET_RESET):
            raise Removed(self._name)
        elif not error.retriable() and error.code() not in (KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE):
            raise MirrorFault(f"{self._side}, {self._name}: {error.str()}")

    @property
    def _name(self) -> str:
        return f"{self._where.topic}-{self._where.partition}"


class Stream:
    """A Log's records with a look ahead. `end` is the offset before which it ends; None has none.

    `patience` is for how many seconds it waits for more at the end of a log that may still grow.
    """

    def __init__(self, log: Log, begin: int, end: int | None, patience: float = 0) -> None:
        self.log = log
        self.begin = begin
        self.waiting: deque[Record] = deque()
        self._end = end
        self.patience = patience
        log.seek(begin)
        self._has_nothing = log.at_end  # as was just seen

    @property
    def removed(self) -> int:
        """How many records retention has removed where it begins, at most: each had an offset."""
        low = self.log.low if self._end is None else min(self.log.low, self._end)
        return max(0, low - self.begin)

    @property
    def _ended(self) -> bool:
        return self._end is not None and self.log.next >= self._end

    def again(self) -> None:
        """From the beginning."""
        self.waiting.clear()
        self.log.seek(self.begin)
        self._has_nothing = self.log.at_end

    def look(self, count: int = 1) -> list[Record]:
        """The next records: so many, or fewer where there are no more or they are large."""
        waited, size, seen = time.monotonic(), 0, 0
        while not self._ended:
            size += sum(each.size for each in islice(self.waiting, seen, None))
            seen = len(self.waiting)
            if seen >= count or size > _LARGE or (self._has_nothing and self._end is None and not self.patience):
                break
            self._has_nothing = False
            came = self.log.some(_POLL)
            self.waiting += [each for each in came if self._end is None or each.offset < self._end]
            if came:
                waited = time.monotonic()
            elif self.log.at_end and time.monotonic() - waited >= self.patience:
                if self._end is None:
                    break
                if time.monotonic() - waited > SILENCE:
                    raise MirrorFault(f"the log ends at offset {self.log.next}, before {self._end}: is a transaction open?")
        return list(islice(self.waiting, count))

    def drop(self, count: int) -> None:
        """The next ones are done with."""
        for _ in range(count):
            self.waiting.popleft()
