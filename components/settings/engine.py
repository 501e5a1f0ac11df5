"""What a service's engine may write, by its own settings: `services.<name>.engine`.

The keys are the engine's own settings, in the settings' spelling. Nothing sets them in the engine:
whoever runs it does. Here they are held against the size of the claims (budgets.py).
"""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from components.engines import EngineBudget, kafka, postgresql
from components.kube.quantity import GI, MI, Bytes
from components.settings import engine_values
from components.settings.section import More, Section

UNLIMITED = -1


class PostgresqlEngine(Section):
    """PostgreSQL's settings that decide how much WAL a volume holds, and how much data is to be
    beside it.
    """

    wal_segment_size: Annotated[
        Bytes,
        BeforeValidator(engine_values.segment_size),
        Field(description="a power of two from 1Mi to 1Gi, as initdb's --wal-segsize", examples=["16Mi"]),
    ] = Bytes(16 * MI)
    max_wal_size: Annotated[
        Bytes | None,
        BeforeValidator(engine_values.wal_size),
        Field(description="at least twice walSegmentSize: the WAL from one checkpoint to the next", examples=["512Mi"]),
        More("It is a soft limit, so it counts twice. By default 64 segments, which are 1Gi"),
    ] = None
    max_slot_wal_keep_size: Annotated[
        Bytes | None,
        BeforeValidator(engine_values.slot_keep_size),
        Field(description="the WAL that replication slots may hold back, or -1 for no limit", examples=["1Gi"]),
        More("By default no limit: a reader that stops fills the volume. With one that freezes, it needs `tcp_user_timeout` to hold"),
    ] = None
    slots: Annotated[
        int | None,
        BeforeValidator(engine_values.slots),
        Field(description=f"how many replication slots there are, from 0 to {engine_values.MOST_SLOTS}", examples=["1"]),
        More("By default none, or one where maxSlotWalKeepSize is given"),
    ] = None
    data: Annotated[
        Bytes | None,
        BeforeValidator(engine_values.size),
        Field(description="the size of the databases, in bytes or with Mi, Gi or Ti", examples=["2Gi"]),
        More("By default that of a new cluster, 32Mi"),
    ] = None

    @property
    def has_slots(self) -> bool:
        """Whether anything may hold WAL back."""
        return self.slots > 0 if self.slots is not None else "max_slot_wal_keep_size" in self.model_fields_set

    def budget(self, replicas: int) -> EngineBudget:
        """What an instance writes to its volume, however many there are."""
        del replicas
        size = postgresql.DEFAULT_WAL_SEGMENTS * self.wal_segment_size if self.max_wal_size is None else self.max_wal_size
        return postgresql.budget(
            max_wal_size=size,
            slot_keep_size=self.max_slot_wal_keep_size,
            has_slots=self.has_slots,
            segment_size=self.wal_segment_size,
            data=self.data or 0,
        )


class KafkaEngine(Section):
    """Kafka's settings that decide how much a broker's volume holds."""

    partitions: Annotated[
        int,
        BeforeValidator(engine_values.count),
        Field(description="how many partitions all topics have together, without their copies, a whole number from 1", examples=["12"]),
    ] = 1
    replication_factor: Annotated[
        int,
        BeforeValidator(engine_values.count),
        Field(description="how many copies each partition has, from 1 to the number of brokers", examples=["3"]),
    ] = 1
    retention_bytes: Annotated[
        Bytes | None,
        BeforeValidator(engine_values.retention_bytes),
        Field(description="the size at which a partition's oldest segments are deleted, or -1 for no limit", examples=["128Mi"]),
        More("By default no limit but retentionMs"),
    ] = None
    segment_bytes: Annotated[
        Bytes,
        BeforeValidator(engine_values.segment_bytes),
        Field(description="the size of a partition's segments, from 1Mi to 2147483647 bytes", examples=["64Mi"]),
    ] = Bytes(GI)
    ingress_bytes_per_second: Annotated[
        Bytes | None,
        BeforeValidator(engine_values.size),
        Field(description="what producers send to all topics together, in bytes a second", examples=["100k"]),
        More("Without it, what comes in before old segments are deleted isn't counted"),
    ] = None
    retention_ms: Annotated[
        int,
        BeforeValidator(engine_values.milliseconds),
        Field(description="after how many milliseconds old segments are deleted, or -1 for no limit", examples=["14400000"]),
        More("The default is 7 days"),
    ] = 7 * 24 * 3600 * 1000

    def budget(self, replicas: int) -> EngineBudget:
        """What each of as many brokers as there are `replicas` writes to its volume."""
        return kafka.budget(
            brokers=replicas,
            partitions=self.partitions,
            replication_factor=self.replication_factor,
            retention_bytes=self.retention_bytes,
            segment_bytes=self.segment_bytes,
            ingress=self.ingress_bytes_per_second,
            retention_ms=None if self.retention_ms == UNLIMITED else self.retention_ms,
        )


class EngineSettings(Section):
    """Which engine a service runs; exactly one."""

    postgresql: Annotated[
        PostgresqlEngine | None,
        BeforeValidator(engine_values.mapping),
        Field(description="a mapping with PostgreSQL's settings; `{}` for its defaults", examples=["{maxWalSize: 512Mi}"]),
    ] = None
    kafka: Annotated[
        KafkaEngine | None,
        BeforeValidator(engine_values.mapping),
        Field(description="a mapping with Kafka's settings; `{}` for its defaults", examples=["{partitions: 12, retentionBytes: 128Mi}"]),
    ] = None

    @model_validator(mode="after")
    def _one_engine(self) -> "EngineSettings":
        engine_values.one_engine(self.postgresql is not None, self.kafka is not None)
        return self

    @property
    def chosen(self) -> tuple[str, PostgresqlEngine | KafkaEngine]:
        """The engine's key, and its settings."""
        if self.postgresql is not None:
            return "postgresql", self.postgresql
        assert self.kafka is not None  # _one_engine
        return "kafka", self.kafka
