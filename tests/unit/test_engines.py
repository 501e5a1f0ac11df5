"""Each engine's formula, in figures worked out by hand, and what file systems keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.engines import EngineBudget, kafka, own_share, postgresql
from components.kube.quantity import GI, MI

LATE = "as much again while a checkpoint is late"


def of_postgresql(
    max_wal_size: int = GI, slot_keep_size: int | None = None, has_slots: bool = False, segment_size: int = 16 * MI, data: int = 0
) -> EngineBudget:
    return postgresql.budget(
        max_wal_size=max_wal_size, slot_keep_size=slot_keep_size, has_slots=has_slots, segment_size=segment_size, data=data
    )


def of_kafka(
    *,
    brokers: int = 3,
    partitions: int = 12,
    replication_factor: int = 3,
    retention_bytes: int | None = 128 * MI,
    segment_bytes: int = 64 * MI,
    ingress: int | None = 100_000,
    retention_ms: int | None = 7 * 24 * 3600 * 1000,
) -> EngineBudget:
    return kafka.budget(
        brokers=brokers,
        partitions=partitions,
        replication_factor=replication_factor,
        retention_bytes=retention_bytes,
        segment_bytes=segment_bytes,
        ingress=ingress,
        retention_ms=retention_ms,
    )


class TestPostgresql:
    def test_max_wal_size_counts_twice_because_it_is_a_soft_limit(self) -> None:
        budget = of_postgresql()
        assert budget.parts == {"max_wal_size": GI, LATE: GI, "a WAL segment": 16 * MI}
        assert (budget.engine_bytes, budget.data, budget.unbounded) == (2 * GI + 16 * MI, 32 * MI, ())

    def test_slots_share_one_limit(self) -> None:
        budget = of_postgresql(slot_keep_size=GI, has_slots=True, data=2 * GI)
        assert budget.parts["max_slot_wal_keep_size"] == GI
        assert budget.needed_bytes == 5 * GI + 16 * MI

    def test_a_limit_for_slots_that_there_are_none_of_counts_for_nothing(self) -> None:
        assert of_postgresql(slot_keep_size=GI).parts == of_postgresql().parts

    def test_slots_without_a_limit_are_said(self) -> None:
        assert of_postgresql(has_slots=True).unbounded == ("maxSlotWalKeepSize",)

    @pytest.mark.parametrize(
        ("size", "segment", "counted"),
        [(100 * MI, 16 * MI, 112 * MI), (33 * MI, 16 * MI, 48 * MI), (64 * MI, 16 * MI, 64 * MI), (1536 * MI, GI, 2 * GI)],
    )
    def test_wal_exists_in_whole_segments(self, size: int, segment: int, counted: int) -> None:
        budget = of_postgresql(max_wal_size=size, segment_size=segment, slot_keep_size=size, has_slots=True)
        assert budget.parts == {"max_wal_size": counted, LATE: counted, "max_slot_wal_keep_size": counted, "a WAL segment": segment}

    def test_a_frozen_reader_that_tcp_ends_stayed_within_it(self) -> None:
        """176 MiB were measured with `max_slot_wal_keep_size = 64MB` and tcp_user_timeout."""
        assert of_postgresql(max_wal_size=64 * MI, slot_keep_size=64 * MI, has_slots=True).engine_bytes >= 176 * MI


class TestKafka:
    def test_the_terms(self) -> None:
        budget = of_kafka()
        assert budget.data == 12 * 128 * MI
        assert budget.parts["a segment of each partition"] == 12 * 64 * MI
        assert budget.parts["ingress of 360 s"] == 100_000 * 360
        assert budget.parts["the metadata log"] == 100 * MI
        # 36 full segments, 1 begun, 12 behind: 32 pages and 48 pages of entries, and a snapshot.
        assert budget.parts["indexes"] == (12 + 37) * (32 + 48 + 1) * 4096
        assert budget.unbounded == ()

    @pytest.mark.parametrize(
        ("brokers", "partitions", "copies", "here"),
        [(3, 12, 3, 12), (3, 12, 1, 4), (3, 10, 1, 4), (5, 7, 2, 3), (1, 6, 1, 6), (9, 1, 3, 1)],
    )
    def test_replicas_are_spread_over_the_brokers(self, brokers: int, partitions: int, copies: int, here: int) -> None:
        budget = of_kafka(brokers=brokers, partitions=partitions, replication_factor=copies, retention_bytes=10 * MI)
        assert budget.data == here * 10 * MI
        assert budget.parts["a segment of each partition"] == here * 64 * MI

    @pytest.mark.parametrize(("brokers", "copies", "received"), [(3, 3, 100_000), (3, 1, 33_334), (3, 2, 66_667), (1, 1, 100_000)])
    def test_ingress_is_of_the_cluster_and_copied(self, brokers: int, copies: int, received: int) -> None:
        budget = of_kafka(brokers=brokers, replication_factor=copies)
        assert budget.parts["ingress of 360 s"] == received * 360

    @pytest.mark.parametrize(
        ("size", "milliseconds", "ingress", "data"),
        [
            (None, 3_600_000, 1000, 3_600_000),
            (None, 1, 1500, 2),
            (MI, 1000, 10**9, 12 * MI),
            (GI, 1000, 10**6, 10**6),
            (MI, None, 10**6, 12 * MI),
            (0, 1000, 10**6, 0),
        ],
    )
    def test_the_nearer_of_size_and_time_bounds_what_is_kept(
        self, size: int | None, milliseconds: int | None, ingress: int, data: int
    ) -> None:
        budget = of_kafka(retention_bytes=size, retention_ms=milliseconds, ingress=ingress)
        assert (budget.data, budget.unbounded) == (data, ())

    @pytest.mark.parametrize(("milliseconds", "ingress"), [(None, 1000), (1000, None), (None, None)])
    def test_a_retention_without_a_limit_is_said(self, milliseconds: int | None, ingress: int | None) -> None:
        assert of_kafka(retention_bytes=None, retention_ms=milliseconds, ingress=ingress).unbounded == ("retentionBytes",)

    def test_ingress_that_is_not_said_is_said(self) -> None:
        assert of_kafka(ingress=None).unbounded == ("ingressBytesPerSecond",)


# Measured: a new file system of each size (in MiB), mounted, and what statfs(2) said was available.
MOUNTED = [
    ("ext4", 1024, 957.4),
    ("ext4", 2048, 1929.8),
    ("ext4", 5 * 1024, 4939.6),
    ("ext4", 16 * 1024, 15938.8),
    ("ext4", 33 * 1024, 32941.6),
    ("ext4", 65 * 1024, 64935.4),
    ("ext4", 129 * 1024, 128922.9),
    ("ext4", 500 * 1024, 502852.2),
    ("xfs", 1024, 921),
    ("xfs", 5 * 1024, 4988),
    ("xfs", 16 * 1024, 16174),
    ("xfs", 64 * 1024, 64983),
    ("xfs", 500 * 1024, 508150),
]


@pytest.mark.parametrize(("kind", "device", "available"), MOUNTED)
def test_a_file_system_keeps_no_more_than_the_rule_says_and_not_much_less(kind: str, device: int, available: float) -> None:
    kept, rule = (device - available) * MI, own_share(kind, device * MI)
    assert kept <= rule <= kept + 64 * MI + device * MI / 64


def test_a_folder_keeps_nothing_and_an_unknown_file_system_what_ext4_does() -> None:
    assert own_share(None, 5 * GI) == 0
    assert own_share("ext3", 5 * GI) == own_share("ext4", 5 * GI)


@given(st.sampled_from([None, "ext4", "xfs"]), st.integers(1, 2**50), st.integers(0, 2**40), st.integers(0, 2**40))
def test_the_figures_of_a_claim_add_up(kind: str | None, claim: int, engine: int, data: int) -> None:
    budget = EngineBudget("X", {"a": engine}, data)
    left = budget.left_for_data(claim, kind)
    assert own_share(kind, claim) + engine + left == claim
    assert budget.fits(claim, kind) == (left >= data)
