"""What MirrorMaker is told: settings of a worker of Kafka Connect, and of its one connector.

MirrorMaker's own program (dedicated mode) isn't used: it makes a topic `heartbeats` even where it
was told not to, and shows the state of its tasks nowhere (docs/decisions/0024-kafka-live-moves.md).
The settings are Kafka's own: https://kafka.apache.org/43/configuration/mirrormaker-configs/ and
https://kafka.apache.org/43/configuration/kafka-connect-configs/.
"""

from __future__ import annotations

import json

_LARGEST = 2**26  # bytes of a record, before it is compressed
_COPIED = "org.apache.kafka.connect.converters.ByteArrayConverter"


def internal_topics(move: str) -> tuple[str, ...]:
    """The topics that a mirror makes for itself at the target."""
    return tuple(f"__storage-tiers-move-{move}-{what}" for what in ("configs", "offsets", "status"))


def left_out(topic: str) -> str:
    """Why a topic isn't mirrored; empty where it is."""
    if topic.startswith(("__", ".")):
        return "it is internal to Kafka or a tool, by its name's beginning"
    if (topic.startswith("mm2") and topic.endswith(".internal")) or topic.endswith(".checkpoints.internal"):
        return "it is internal to MirrorMaker"
    if topic.endswith("heartbeats"):
        return "MirrorMaker takes it for one of its own heartbeats, and would rename it"
    return ""


def settings(source: str, target: str, replication: int, move: str) -> str:
    """For MirrorPod.mirror. `source` and `target` are `host:port,…`, `replication` is how many
    replicas a new topic gets at the target.
    """
    configs, offsets, status = internal_topics(move)
    worker = {
        "bootstrap.servers": target,
        "group.id": f"storage-tiers-move-{move}",
        # What is read is written as it is.
        "key.converter": _COPIED,
        "value.converter": _COPIED,
        "header.converter": _COPIED,
        "config.storage.topic": configs,
        "offset.storage.topic": offsets,
        "status.storage.topic": status,
        "offset.storage.partitions": "5",
        "status.storage.partitions": "1",
        "config.storage.replication.factor": str(replication),
        "offset.storage.replication.factor": str(replication),
        "status.storage.replication.factor": str(replication),
        # Records and how far they were read are written in one transaction: a killed worker goes on
        # from there, and nothing comes twice.
        "exactly.once.source.support": "enabled",
        "listeners": "http://127.0.0.1:8083",  # for this pod alone
        "plugin.discovery": "service_load",
        "producer.compression.type": "zstd",  # or what producers had compressed would take many times the room
        # By default a record of more than 1 MiB is refused before it is compressed. What the target
        # takes is for its own max.message.bytes to say.
        "producer.max.request.size": str(_LARGEST),
        "producer.buffer.memory": str(_LARGEST),
    }
    connector = {
        "connector.class": "org.apache.kafka.connect.mirror.MirrorSourceConnector",
        "tasks.max": "2",
        "source.cluster.alias": f"move-{move}",
        "target.cluster.alias": "target",
        "source.cluster.bootstrap.servers": source,
        "target.cluster.bootstrap.servers": target,
        "topics": ".*",
        "topics.exclude": r"__.*, mm2.*\.internal, .*\.checkpoints\.internal, .*heartbeats",
        "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",  # the same names
        "replication.factor": str(replication),
        # Nothing is written to the source.
        "emit.offset-syncs.enabled": "false",
        "heartbeats.replication.enabled": "false",
        "sync.topic.acls.enabled": "false",
        "refresh.topics.interval.seconds": "10",  # new topics and partitions come along soon
        "sync.topic.configs.interval.seconds": "30",
        "exactly.once.support": "required",
        "transaction.boundary": "interval",
        "transaction.boundary.interval.ms": "1000",  # of every poll one would be slow
        "source.consumer.isolation.level": "read_committed",  # an aborted record is none
        "source.consumer.auto.offset.reset": "earliest",
        "source.consumer.allow.auto.create.topics": "false",  # a topic that was deleted there stays deleted
        # By default it fetches 50 MiB of each broker for each task, and as much again ahead.
        "source.consumer.fetch.max.bytes": str(2**24),
    }
    return json.dumps({"worker": worker, "connector": connector})
