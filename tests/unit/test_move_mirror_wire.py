"""Kafka's protocol, as far as a live move speaks it. The bytes are those of a broker 4.4.0."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from ops.move.mirror import wire
from ops.move.mirror.wire import Address, NoAnswer

CLIENT = "001273746f726167652d74696572732d6d6f7665"
METADATA = (
    f"00000021 0003 0007 00000001 {CLIENT} ffffffff 00",
    "000000cc 00000001 00000000 00000001 00000000 0009 3132372e302e302e31 0000bfc4 ffff 0016 395976306c476e3151356d4a7733483864326b585441 "
    "00000000 00000002 0000 0001 61 00 00000002 0000 00000000 00000000 00000000 00000001 00000000 00000001 00000000 00000000 "
    "0000 00000001 00000000 00000000 00000001 00000000 00000001 00000000 00000000 "
    "0000 0012 5f5f636f6e73756d65725f6f666673657473 01 00000001 "
    "0000 00000000 00000000 00000000 00000001 00000000 00000001 00000000 00000000",
)
GROUPS = (f"0000001c 0010 0002 00000001 {CLIENT}", "0000001b 00000001 00000000 0000 00000001 0001 67 0008 636f6e73756d6572")
OFFSETS = (
    f"0000007d 0002 0002 00000001 {CLIENT} ffffffff 00 00000003 0001 61 00000002 00000000 ffffffffffffffff 00000001 ffffffffffffffff "
    "0012 5f5f636f6e73756d65725f6f666673657473 00000001 00000000 ffffffffffffffff 0003 6e6978 00000001 00000000 ffffffffffffffff",
    "0000008c 00000001 00000000 00000003 0001 61 00000002 00000001 0000 ffffffffffffffff 0000000000000005 "
    "00000000 0000 ffffffffffffffff 0000000000000000 0012 5f5f636f6e73756d65725f6f666673657473 00000001 00000000 0000 ffffffffffffffff "
    "0000000000000005 0003 6e6978 00000001 00000000 0003 ffffffffffffffff ffffffffffffffff",
)
# By hand, after the schema: a directory that can't be read, and one with two partitions.
SIZES = (
    f"00000020 0023 0001 00000001 {CLIENT} ffffffff",
    "0000005d000000010000000000000002003800052f676f6e65000000000000000b2f646174612f6b61666b61000000010001610000000200000000000000000000000000000000000000000000000001000000000000004b000000000000000000",
)
ASKED = [("a", 0), ("a", 1), ("__consumer_offsets", 0), ("nix", 0)]


class Joined:
    """A connection as a port-forward is one, over a pair of sockets."""

    ended, reason, pending, wants_to_send = False, "", False, False

    def __init__(self) -> None:
        self.broker: threading.Thread | None = None
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)

    def fileno(self) -> int:
        return self.ours.fileno()

    def send(self) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.ours.sendall(data)

    def receive(self) -> bytes:
        try:
            data = self.ours.recv(7)  # in small pieces
        except BlockingIOError:
            return b""
        self.ended = not data
        return data


@pytest.fixture
def joined() -> Iterator[Joined]:
    made = Joined()
    yield made
    if made.broker:
        made.broker.join(10)
    made.ours.close()
    made.theirs.close()


def answering(joined: Joined, answer: bytes) -> list[bytes]:
    """A broker that gives this answer and closes; what it was asked comes into the list."""
    asked: list[bytes] = []

    def serve() -> None:
        asked.append(joined.theirs.recv(4096))
        joined.theirs.sendall(answer)
        joined.theirs.shutdown(socket.SHUT_RDWR)

    joined.broker = threading.Thread(target=serve, daemon=True)
    joined.broker.start()
    return asked


@pytest.mark.parametrize(
    ("recorded", "question", "answer"),
    [
        (
            METADATA,
            wire.metadata,
            wire.Metadata("9Yv0lGn1Q5mJw3H8d2kXTA", {0: Address("127.0.0.1", 49092)}, {"a": {0: 1, 1: 1}, "__consumer_offsets": {0: 1}}),
        ),
        (GROUPS, wire.groups, {"g": "consumer"}),
        (SIZES, wire.sizes, {("a", 0): 0, ("a", 1): 75}),
        # An error, here UNKNOWN_TOPIC_OR_PARTITION, is no offset.
        (
            OFFSETS,
            lambda connection: wire.offsets(connection, ASKED, wire.LATEST),
            {("a", 0): 0, ("a", 1): 5, ("__consumer_offsets", 0): 5},
        ),
    ],
)
def test_what_a_broker_was_asked_and_has_answered(
    joined: Joined, recorded: tuple[str, str], question: Callable[[Joined], object], answer: object
) -> None:
    asked = answering(joined, bytes.fromhex(recorded[1]))
    assert question(joined) == answer
    assert asked == [bytes.fromhex(recorded[0])]


def test_the_end_of_what_is_committed_is_asked_with_its_isolation_level(joined: Joined) -> None:
    asked = answering(joined, bytes.fromhex(OFFSETS[1]))
    wire.offsets(joined, ASKED, wire.LATEST, committed=True)
    assert asked[0] == bytes.fromhex(OFFSETS[0]).replace(b"\xff\xff\xff\xff\0\0\0\0\3", b"\xff\xff\xff\xff\1\0\0\0\3")


def test_the_end_of_what_is_written_is_asked_as_of_one_log(joined: Joined) -> None:
    asked = answering(joined, bytes.fromhex(OFFSETS[1]))
    wire.offsets(joined, ASKED, wire.LATEST, written=True)
    assert asked[0] == bytes.fromhex(OFFSETS[0]).replace(b"\xff\xff\xff\xff\0\0\0\0\3", b"\xff\xff\xff\xfe\0\0\0\0\3")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "it closes the connection"),
        (b"\0\0\0", "it closes the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "something else than Kafka"),
        (b"\x15\x03\x03\0\2\2\x50", "something else than Kafka"),  # an alert of TLS
        (bytes.fromhex(METADATA[1])[:-8].replace(b"\0\0\0\xcc", b"\0\0\0\xc4"), "something else than Kafka"),
        (bytes.fromhex(METADATA[1]).replace(b"\0\0\0\xcc", b"\0\0\0\xcd") + b"x", "more than Kafka"),
        (bytes.fromhex("00000004 00000002"), "something else than Kafka"),
    ],
)
def test_what_is_no_broker_is_told(joined: Joined, answer: bytes, says: str) -> None:
    answering(joined, answer)
    with pytest.raises(NoAnswer, match=says):
        wire.metadata(joined)


def test_who_says_nothing_is_not_waited_for(joined: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_ANSWER", 0.1)
    with pytest.raises(NoAnswer, match="hasn't answered"):
        wire.metadata(joined)
