"""What brokers say of their topics and groups, and what is asked of them. Needs confluent-kafka."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .records import QUIET, MirrorFault

_WAITING = 60  # seconds for an answer
_REACHING = 5  # seconds for a connection
_ANSWERING = 15  # seconds for the one answer of an address that was reached


def reaches(addresses: Sequence[Sequence[Any]], cluster: str = "") -> list[str]:
    """Of each address (host, port) why it can't be reached from here; empty where it can.

    In another network the same name may lead to another Kafka: it has to be of this cluster.
    """

    def one(address: Sequence[Any]) -> str:
        try:
            socket.create_connection((address[0], int(address[1])), _REACHING).close()
        except OSError as problem:
            return problem.strerror or str(problem) or type(problem).__name__
        if not cluster:
            return ""
        try:
            found = Brokers(f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}", "no answer").cluster()
        except MirrorFault as problem:
            return str(problem)
        return "" if found == cluster else f"from there it leads to another Kafka, of cluster {found}"

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, addresses))


class Brokers:
    """One side. Raises MirrorFault."""

    def __init__(self, bootstrap: str, side: str) -> None:
        from confluent_kafka.admin import AdminClient  # noqa: PLC0415

        self._side = side
        self._admin: Any = AdminClient({**QUIET, "bootstrap.servers": bootstrap, "socket.connection.setup.timeout.ms": 10000})

    def cluster(self) -> str:
        """The ID of its cluster."""
        return str(self._ask(lambda: self._admin.list_topics(timeout=_ANSWERING)).cluster_id)

    def topics(self) -> dict[str, Any]:
        """By name: partitions, replicas, settings that were set for it alone, some that count."""
        from confluent_kafka import TopicCollection  # noqa: PLC0415
        from confluent_kafka.admin import ConfigResource, ConfigSource  # noqa: PLC0415

        listed = self._ask(lambda: self._admin.list_topics(timeout=_WAITING)).topics
        resources = {name: ConfigResource(ConfigResource.Type.TOPIC, name) for name in listed}
        answers = self._admin.describe_configs(list(resources.values()), request_timeout=_WAITING) if resources else {}
        described = self._admin.describe_topics(TopicCollection(list(listed)), request_timeout=_WAITING) if listed else {}
        found = {}
        for name, topic in listed.items():
            values = self._ask(answers[resources[name]].result)
            policy = values["cleanup.policy"].value.split(",")
            deletes = "delete" in policy
            set_here = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
            found[name] = {
                "partitions": len(topic.partitions),
                "replication": max((len(each.replicas) for each in topic.partitions.values()), default=1),
                "compacted": "compact" in policy,
                "retention": int(values["retention.ms"].value) if deletes else -1,
                "retention_bytes": int(values["retention.bytes"].value) if deletes else -1,
                "stamped": values["message.timestamp.type"].value == "LogAppendTime",
                "id": _id(self._ask(described[name].result).topic_id),
                "configs": {each.name: each.value for each in values.values() if _number(each.source) == set_here},
            }
        return found

    def offsets(self, topics: Sequence[str]) -> list[list[Any]]:
        """Of each partition: topic, partition, first offset, that of the last committed record + 1,
        and the same where transactions that still run count as well.
        """
        from confluent_kafka import IsolationLevel, TopicPartition  # noqa: PLC0415
        from confluent_kafka.admin import OffsetSpec  # noqa: PLC0415

        listed = self._ask(lambda: self._admin.list_topics(timeout=_WAITING)).topics
        gone = [name for name in topics if name not in listed]
        if gone:
            raise MirrorFault(f"{self._side}: there is no topic {', '.join(gone)}")
        places = [TopicPartition(name, number) for name in topics for number in listed[name].partitions]
        found: dict[tuple[str, int], list[int]] = {(each.topic, each.partition): [] for each in places}
        questions = (
            (OffsetSpec.earliest(), IsolationLevel.READ_UNCOMMITTED),
            (OffsetSpec.latest(), IsolationLevel.READ_COMMITTED),
            (OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED),
        )
        for spec, isolation in questions if places else ():
            answers = self._admin.list_offsets(dict.fromkeys(places, spec), isolation_level=isolation, request_timeout=_WAITING)
            for place, answer in answers.items():
                found[place.topic, place.partition].append(self._ask(answer.result).offset)
        return [[*place, *values] for place, values in sorted(found.items())]

    def groups(self) -> dict[str, Any]:
        """By name: its committed offsets, and whether it has members."""
        from confluent_kafka import ConsumerGroupTopicPartitions  # noqa: PLC0415

        listed = self._ask(self._admin.list_consumer_groups(request_timeout=_WAITING).result)
        for problem in listed.errors:
            raise MirrorFault(f"{self._side}: {problem}")
        names = [each.group_id for each in listed.valid]
        described = self._admin.describe_consumer_groups(names, request_timeout=_WAITING) if names else {}
        found = {}
        for name in names:
            asked = self._admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=_WAITING)
            committed = self._ask(asked[name].result).topic_partitions
            found[name] = {
                "offsets": [[each.topic, each.partition, each.offset] for each in committed if each.offset >= 0],
                "members": len(self._ask(described[name].result).members),
            }
        return found

    def set_group(self, group: str, offsets: Sequence[tuple[str, int, int]]) -> None:
        """A group without members goes on from these offsets."""
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition  # noqa: PLC0415

        places = [TopicPartition(topic, partition, offset) for topic, partition, offset in offsets]
        asked = self._admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, places)], request_timeout=_WAITING)
        for each in self._ask(asked[group].result).topic_partitions:
            if each.error is not None:
                raise MirrorFault(f"{self._side}, group {group}, {each.topic}-{each.partition}: {each.error.str()}")

    def delete_topics(self, names: Sequence[str]) -> None:
        """They may be gone already."""
        from confluent_kafka import KafkaError, KafkaException  # noqa: PLC0415

        listed = self._ask(lambda: self._admin.list_topics(timeout=_WAITING)).topics
        there = [name for name in names if name in listed]
        answers = self._admin.delete_topics(there, operation_timeout=30, request_timeout=_WAITING) if there else {}
        for name, answer in answers.items():
            try:
                answer.result()
            except KafkaException as problem:
                if problem.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                    raise MirrorFault(f"{self._side}, topic {name}: {problem.args[0].str()}") from None

    def _ask(self, question: Callable[[], Any]) -> Any:  # noqa: ANN401 - of a library without types
        from confluent_kafka import KafkaException  # noqa: PLC0415

        try:
            return question()
        except KafkaException as problem:
            raise MirrorFault(f"{self._side}: {problem.args[0].str()}") from None


def _id(topic: Any) -> str:  # noqa: ANN401 - a UUID of the library
    text = str(topic or "")
    return "" if set(text) <= {"A", "="} else text  # all zero: its brokers know of none


def _number(source: Any) -> int:  # noqa: ANN401 - an enum's member in some versions
    return int(getattr(source, "value", source))
