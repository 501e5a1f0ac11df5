"""What Kafka's brokers have kept against the ledger; the pure parts of what runs beside them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from components.acceptance import on_kafka
from components.acceptance.judging import KeptFault
from components.acceptance.judging_kafka import kafka_findings
from components.acceptance.ledger import Ledger
from components.acceptance.scripts import common, kafka, kafka_broker
from components.canary.words import NotProven

RUN = "00112233445566778899aabbccddeeff"
ACKNOWLEDGED = {0: 30, 1: 40, 2: 20}
Said = dict[int, dict[str, list[Any]]]


def blocks(partition: int, numbers: Sequence[int], run: str = RUN) -> list[list[Any]]:
    return list(common.blocks((number, common.content(run, partition, number)) for number in numbers))


def healthy() -> Said:
    """Each partition has two records more than were acknowledged."""
    kept = {partition: blocks(partition, range(1, last + 3)) for partition, last in ACKNOWLEDGED.items()}
    return {
        broker: {
            "rows": [{"partition": broker, "blocks": kept[broker]}],
            "replica": [{"partition": partition, "blocks": kept[partition]} for partition in kept],
            "segments": [{"partition": partition, "status": 0, "said": [], "files": 2} for partition in kept],
            "discarded": [[]],
        }
        for broker in range(3)
    }


def found(said: Said) -> list[str]:
    return [str(each) for each in kafka_findings(RUN, Ledger(dict(ACKNOWLEDGED)), said)]


def test_nothing_is_wrong_where_more_is_there_than_was_acknowledged() -> None:
    assert found(healthy()) == []


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (range(1, 36), "acknowledged, and lost: 5 records of partition 1 (36-40)"),
        ([*range(1, 41), 40, 39], "doubled: 2 records of partition 1 (39-40)"),
        ([1, 2, 4, 3, *range(5, 41)], "in another order: 1 records of partition 1 (3)"),
        ([*range(1, 41), 43], "missing before later ones: 2 records of partition 1 (41-42)"),
    ],
)
def test_what_a_consumer_gets_is_counted(numbers: Sequence[int], expected: str) -> None:
    said = healthy()
    said[1]["rows"] = [{"partition": 1, "blocks": blocks(1, numbers)}]
    assert found(said) == [expected]


def test_records_of_another_run_are_damage() -> None:
    said = healthy()
    said[0]["rows"] = [{"partition": 0, "blocks": blocks(0, range(1, 31), run="ff" * 16)}]
    assert found(said) == ["damaged: among records 1-30 of partition 0 is one of another content"]


def test_a_partition_that_no_consumer_gets_is_damage_and_no_loss() -> None:
    said = healthy()
    del said[0]["rows"]
    said[0]["unreadable"] = [{"partition": 0, "message": "partition 0: Bad message"}]
    assert found(said) == ["damaged: partition 0 can't be read: partition 0: Bad message"]


def test_a_record_that_nobody_wrote_is_damage() -> None:
    said = healthy()
    said[0]["rows"][0]["blocks"] = [*blocks(0, range(1, 31)), *common.blocks([kafka.row("something else")])]
    assert found(said) == ["damaged: partition 0 has records that nobody wrote"]


def test_a_replica_that_lacks_records_is_named_though_consumers_get_all() -> None:
    said = healthy()
    said[2]["replica"][1] = {"partition": 1, "blocks": blocks(1, range(1, 31))}
    assert found(said) == ["a replica lacks records: 10 of partition 1 on broker 2 (31-40)"]


def test_what_kafkas_own_tool_and_log_say_is_passed_on() -> None:
    said = healthy()
    said[0]["segments"][2] = {"partition": 2, "status": 0, "said": ["baseOffset: 3 isvalid: false"], "files": 1}
    said[1]["discarded"] = [["Found invalid messages in log segment /volume/kafka/accept-0/0.log at byte offset 71"]]
    assert found(said) == [
        "a log segment is damaged: partition 2 on broker 0: baseOffset: 3 isvalid: false",
        "a broker has thrown records away: broker 1: Found invalid messages in log segment /volume/kafka/accept-0/0.log at byte offset 71",
    ]


def test_empty_volumes_are_one_finding() -> None:
    said: Said = {broker: {"rows": [{"partition": broker, "blocks": []}]} for broker in range(3)}
    assert [each.fault for each in kafka_findings(RUN, Ledger(dict(ACKNOWLEDGED)), said)] == [KeptFault.EMPTY]


def test_a_broker_waits_for_the_others_and_for_its_own_new_address(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    assert not kafka_broker.known(hosts, 1, "10.0.0.2")
    hosts.write_text("")
    assert not kafka_broker.known(hosts, 1, "10.0.0.2")
    hosts.write_text("10.0.0.1 broker-0\n10.0.0.2 broker-1\n10.0.0.3 broker-2\n")
    assert kafka_broker.known(hosts, 1, "10.0.0.2")
    assert not kafka_broker.known(hosts, 1, "10.0.0.9"), "the file is still that of the pod before"


def test_listeners_take_an_address_of_ipv6_in_brackets(tmp_path: Path) -> None:
    broker = kafka_broker.KafkaBroker(tmp_path, tmp_path, run=RUN, broker=2, address="fd00::7", hosts=tmp_path, libraries="", held=0)
    settings = broker.settings()
    assert settings["listeners"] == "PLAINTEXT://[fd00::7]:9092,CONTROLLER://[fd00::7]:9093"
    assert settings["node.id"] == "3"
    assert settings["controller.quorum.voters"] == "1@broker-0:9093,2@broker-1:9093,3@broker-2:9093"
    assert broker.client()["bootstrap.servers"] == "[fd00::7]:9092"


def test_a_log_directory_is_formatted_for_one_cluster(tmp_path: Path) -> None:
    made = []
    for number in range(2):
        root = tmp_path / str(number)
        root.mkdir()
        kafka_broker.KafkaBroker(root, root, run="0123456789abcdef", broker=number, address="::1", hosts=root, libraries="", held=0).make()
        made.append(dict(line.split("=") for line in (root / "kafka/meta.properties").read_text().splitlines()))
    assert [each["node.id"] for each in made] == ["1", "2"]
    assert made[0]["cluster.id"] == made[1]["cluster.id"]
    assert made[0]["directory.id"] != made[1]["directory.id"]
    assert all(len(each["cluster.id"]) == 22 for each in made), "a UUID in base64, as Kafka reads it"


def metadata(*partitions: tuple[int, list[int]]) -> Any:
    found = {number: SimpleNamespace(leader=leader, isrs=isrs) for number, (leader, isrs) in enumerate(partitions)}
    return SimpleNamespace(brokers={1: None, 2: None, 3: None}, topics={"accept": SimpleNamespace(partitions=found)})


def test_all_is_in_sync_when_every_replica_is() -> None:
    assert kafka_broker.in_sync(metadata((1, [1, 2, 3]), (2, [1, 2, 3]), (3, [1, 2, 3])))
    assert not kafka_broker.in_sync(metadata((1, [1, 2, 3]), (2, [1, 2]), (3, [1, 2, 3])))
    assert not kafka_broker.in_sync(metadata((1, [1, 2, 3]), (-1, [1, 2, 3]), (3, [1, 2, 3])))
    assert not kafka_broker.in_sync(SimpleNamespace(brokers={}, topics={}))


def test_records_are_read_from_the_dump_of_a_segment() -> None:
    line = "| offset: 7 CreateTime: 1764201000000 keySize: -1 valueSize: 131 sequence: 7 headerKeys: [] payload: 8 0f3a"
    match = kafka.PAYLOAD.search(line)
    assert match and match.groups() == ("8", "0f3a")
    assert kafka.PAYLOAD.search("| offset: 9 CreateTime: 1 keySize: -1 valueSize: 3 headerKeys: [] payload: end") is None
    assert kafka.INVALID.search("Found 12 invalid bytes at the end of 00000000000000000000.log")
    assert kafka.INVALID.search("baseOffset: 0 lastOffset: 3 count: 4 isvalid: true") is None


def test_each_partition_gets_what_the_tool_says_of_its_own_segments() -> None:
    found = {partition: kafka.Dumped(1) for partition in range(3)}
    record = "| offset: 0 CreateTime: 1 keySize: -1 valueSize: 6 sequence: 0 headerKeys: [] payload: {}"
    lines = [
        "Dumping /volume/kafka/accept-1/00000000000000000000.log",
        record.format("1 0f3a"),
        record.format("2 77aa"),
        "Dumping /volume/kafka/accept-2/00000000000000004533.log",
        record.format("1 5c5c"),
        "baseOffset: 0 lastOffset: 3 count: 4 isvalid: false",
    ]
    kafka.read_dump((f"{line}\n" for line in lines), found)
    assert [each.rows for each in found.values()] == [[], [(1, "0f3a"), (2, "77aa")], [(1, "5c5c")]]
    assert [each.complaints for each in found.values()] == [[], [], [lines[-1]]]


def test_what_the_tool_says_before_any_segment_is_said_of_all() -> None:
    found = {partition: kafka.Dumped(1) for partition in range(3)}
    kafka.read_dump(['Exception in thread "main" java.lang.OutOfMemoryError\n'], found)
    assert all(each.complaints for each in found.values())


def test_the_figures_are_of_the_first_records() -> None:
    writer = kafka.Producing(cast(Any, SimpleNamespace(broker=2)))
    writer.began = 10.0
    for number in (1, kafka.MEASURING, kafka.MEASURING + 1):
        writer.told(number, 100, 10.0)(None, None)
    assert writer.partition == 0
    assert writer.acknowledged == kafka.MEASURING + 1
    assert (writer.figures()["records"], writer.figures()["bytes"]) == (2, 200)


def test_a_broker_that_waits_for_the_others_gives_a_sign_of_life(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kafka, "SIGN", 0.3)
    end = time.monotonic() + 1.5

    def look() -> None:
        if time.monotonic() > end:
            raise common.EngineFault("ended", "Kafka has ended with status 1")

    with pytest.raises(common.EngineFault):
        kafka.stay(cast(Any, SimpleNamespace(look=look)))
    assert capsys.readouterr().err.splitlines()[:2] == ["Kafka runs on"] * 2


def test_a_disk_fault_is_the_cause_whatever_the_engine_says_after_it() -> None:
    log = common.EngineLog(kafka_broker.TROUBLE)
    lines = [
        b"ERROR LogDirFailureChannel: Error while appending records to accept-0 in dir /volume/kafka\n",
        b"java.nio.file.FileSystemException: /volume/kafka/accept-0: No space left on device\n",
        b"\tat java.base/sun.nio.fs.UnixException.translateToIOException(UnixException.java:100)\n",
        b"FATAL BrokerServer: Shutdown broker because all log dirs in /volume/kafka have failed\n",
    ]
    log.pass_on(lines)
    fault = log.explained(common.EngineFault("ended", "Kafka has ended with status 1"))
    assert fault.code == "ENOSPC"
    assert str(fault) == "Kafka has ended with status 1: java.nio.file.FileSystemException: /volume/kafka/accept-0: No space left on device"


def test_what_kept_an_engine_from_starting_is_told_and_not_only_that_something_has() -> None:
    log = common.EngineLog(kafka_broker.TROUBLE)
    lines = [
        b"ERROR Kafka$: Exiting Kafka due to fatal exception\n",
        b"java.lang.RuntimeException: No readable meta.properties files found.\n",
        b"\tat org.apache.kafka.metadata.properties.MetaPropertiesEnsemble.verify(MetaPropertiesEnsemble.java:493)\n",
        b"\tat org.apache.kafka.common.errors.ApiException.<init>(ApiException.java:30)\n",
    ]
    log.pass_on(lines)
    fault = log.explained(common.EngineFault("ended", "Kafka has ended with status 1"))
    assert str(fault) == "Kafka has ended with status 1: java.lang.RuntimeException: No readable meta.properties files found."


def fault(errno: str, message: str) -> dict[str, str]:
    return {"errno": errno, "path": "", "message": message}


def test_the_broker_whose_disk_has_failed_is_named_though_another_one_says_first_what_came_of_it() -> None:
    listening = on_kafka.Listening(1)
    for said in (
        (0, "fault", fault("delivery", "record 7 of partition 1: not enough replicas")),
        NotProven("the pod of broker 2 ended by itself"),
        (1, "acks", {"2": 9}),
        (1, "fault", fault("ENOSPC", "No space left on device")),
    ):
        listening._said.put(said)
    with pytest.raises(NotProven, match=r"^broker 1: the volume is full: "):
        list(listening.until(lambda: False, 30, ""))


def test_without_a_fault_of_a_disk_the_first_one_is_the_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_kafka, "ENDING", 0.2)
    listening = on_kafka.Listening(1)
    listening._said.put((0, "fault", fault("delivery", "record 7: timed out")))
    listening._said.put(NotProven("the pod of broker 2 ended by itself"))
    with pytest.raises(NotProven, match=r"^broker 0: .*record 7: timed out"):
        list(listening.until(lambda: False, 30, ""))
