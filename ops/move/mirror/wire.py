"""As much of Kafka's protocol as it takes to ask a broker who it is, what it has, and who reads it.

The versions asked for are those before "flexible" encodings that brokers of Kafka 2.1 to 4.4 answer
(KIP-896 keeps what clients of 2.1 speak). Sizes are big-endian; a text has two bytes of length
(https://kafka.apache.org/protocol.html).
"""

from __future__ import annotations

import select
import struct
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

LIST_OFFSETS, METADATA, LIST_GROUPS, LOG_DIRS = (2, 2), (3, 7), (16, 2), (35, 1)  # API key and version
CLIENT = "storage-tiers-move"
LATEST, EARLIEST = -1, -2  # timestamps of ListOffsets that stand for the log's end and start
# In place of a replica's number (ListOffsetsRequest.json): a client, and whoever looks at one log.
_CONSUMER, _DEBUGGING = -1, -2
_LONGEST = 2**26  # bytes of an answer: whatever says more is no broker
_ANSWER = 10.0  # seconds


class NoAnswer(Exception):
    """A port doesn't answer as a Kafka broker does to whoever gives no password."""


class BrokerConnection(Protocol):
    """What brings bytes to a port and back, as components.kube.portforward.PortForward."""

    ended: bool
    reason: str

    def fileno(self) -> int:
        """To wait for."""

    @property
    def pending(self) -> bool:
        """Whether there is something that `fileno` doesn't show."""

    @property
    def wants_to_send(self) -> bool:
        """Whether bytes wait."""

    def send(self) -> None:
        """Send what waits."""

    def write(self, data: bytes) -> None:
        """Send these."""

    def receive(self) -> bytes:
        """What has come."""


class Address(NamedTuple):
    """Where clients are sent: what a listener advertises."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Metadata:
    """What a broker says of its cluster: its ID, each node's address on the listener that was
    asked, and the partitions of each topic with their number of copies.
    """

    cluster: str
    nodes: Mapping[int, Address]
    topics: Mapping[str, Mapping[int, int]]


def metadata(connection: BrokerConnection) -> Metadata:
    """Nodes and topics. Raises NoAnswer."""
    answer = _ask(connection, METADATA, _int32(-1) + b"\0")  # of all topics; none is made
    answer.int32()  # throttled so long
    nodes = {}
    for _ in range(answer.int32()):
        node, host, port, _rack = answer.int32(), answer.text(), answer.int32(), answer.text()
        nodes[node] = Address(host, port)
    cluster = answer.text()
    answer.int32()  # the controller
    topics = {}
    for _ in range(answer.int32()):
        answer.int16()
        name = answer.text()
        answer.raw(1)  # internal or not
        topics[name] = dict(_partition(answer) for _ in range(answer.int32()))
    answer.end()
    return Metadata(cluster, nodes, topics)


def _partition(answer: _Answer) -> tuple[int, int]:
    answer.int16()
    number = answer.int32()
    answer.raw(8)  # leader, and its epoch
    copies = answer.int32()
    answer.raw(4 * copies)
    for _ in range(2):  # in sync, and offline
        answer.raw(4 * answer.int32())
    return number, copies


def offsets(
    connection: BrokerConnection, partitions: Iterable[tuple[str, int]], when: int, *, committed: bool = False, written: bool = False
) -> dict[tuple[str, int], int]:
    """The offsets at LATEST or EARLIEST of the partitions whose leader this broker is.

    The latest is the high watermark; of what is `committed` it is where the first transaction
    begins that is open. Of what is `written` it is the end of this broker's log, whoever leads:
    records count that other replicas lack yet. Raises NoAnswer.
    """
    by_topic: dict[str, list[int]] = {}
    for topic, number in partitions:
        by_topic.setdefault(topic, []).append(number)
    asked = [_int32(_DEBUGGING if written else _CONSUMER), bytes([committed]), _int32(len(by_topic))]
    for topic, numbers in by_topic.items():
        asked += [_text(topic), _int32(len(numbers)), *(_int32(number) + struct.pack(">q", when) for number in numbers)]
    answer = _ask(connection, LIST_OFFSETS, b"".join(asked))
    answer.int32()
    found = {}
    for _ in range(answer.int32()):
        topic = answer.text()
        for _ in range(answer.int32()):
            number, error = answer.int32(), answer.int16()
            answer.int64()  # the record's time
            offset = answer.int64()
            if not error:  # of another broker's partition it is 6, NOT_LEADER_OR_FOLLOWER
                found[topic, number] = offset
    answer.end()
    return found


def groups(connection: BrokerConnection) -> dict[str, str]:
    """The groups that this broker coordinates, with their protocol: consumer, connect, share, …

    Raises NoAnswer.
    """
    answer = _ask(connection, LIST_GROUPS, b"")
    answer.int32()
    error = answer.int16()
    found = {answer.text(): answer.text() for _ in range(answer.int32())}
    answer.end()
    if error:
        raise NoAnswer(f"it doesn't tell its groups (Kafka's error {error})")
    return found


def sizes(connection: BrokerConnection) -> dict[tuple[str, int], int]:
    """The bytes of each partition's log at this broker, also of those that others lead.

    Empty where the broker doesn't tell, which takes the right to describe its cluster. Raises
    NoAnswer.
    """
    answer = _ask(connection, LOG_DIRS, _int32(-1))  # of all topics
    answer.int32()
    found: dict[tuple[str, int], int] = {}
    for _ in range(answer.int32()):
        answer.int16()  # why a directory can't be read: it then has no topics
        answer.text()
        for _ in range(answer.int32()):
            topic = answer.text()
            for _ in range(answer.int32()):
                number, size = answer.int32(), answer.int64()
                answer.raw(8 + 1)  # how far it lags, and whether it comes from another directory
                found[topic, number] = found.get((topic, number), 0) + size
    answer.end()
    return found


def _ask(connection: BrokerConnection, api: tuple[int, int], body: bytes) -> _Answer:
    number = 1
    head = struct.pack(">hhi", *api, number) + _text(CLIENT)
    connection.write(_int32(len(head) + len(body)) + head + body)
    end, come = time.monotonic() + _ANSWER, b""
    while len(come) < 4 or len(come) < 4 + _length(come):
        if connection.ended:
            raise NoAnswer(f"it closes the connection ({connection.reason or 'without a word'}): it may ask for TLS or a password")
        left = end - time.monotonic()
        if left <= 0:
            raise NoAnswer(f"it hasn't answered in {_ANSWER:.0f} s")
        writes = [connection] if connection.wants_to_send else []
        select.select([connection], writes, [], 0 if connection.pending else left)
        connection.send()
        come += connection.receive()
    answer = _Answer(come[4:])
    if answer.int32() != number:
        raise NoAnswer("it answers something else than Kafka does")
    return answer


def _length(come: bytes) -> int:
    length: int = struct.unpack_from(">i", come)[0]
    if not 4 <= length <= _LONGEST:
        raise NoAnswer("it answers something else than Kafka does")
    return length


class _Answer:
    """Bytes that are read from the front. All raise NoAnswer where they aren't what they should."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def raw(self, size: int) -> bytes:
        found = self._data[self._at : self._at + size]
        if size < 0 or len(found) < size:
            raise NoAnswer("it answers something else than Kafka does")
        self._at += size
        return found

    def int16(self) -> int:
        return int.from_bytes(self.raw(2), "big", signed=True)

    def int32(self) -> int:
        return int.from_bytes(self.raw(4), "big", signed=True)

    def int64(self) -> int:
        return int.from_bytes(self.raw(8), "big", signed=True)

    def text(self) -> str:
        """Empty for null."""
        size = self.int16()
        try:
            return self.raw(size).decode() if size >= 0 else ""
        except UnicodeDecodeError:
            raise NoAnswer("it answers something else than Kafka does") from None

    def end(self) -> None:
        if self._at != len(self._data):
            raise NoAnswer("it answers more than Kafka does")


def _int32(number: int) -> bytes:
    return struct.pack(">i", number)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">h", len(data)) + data
