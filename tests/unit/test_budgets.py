"""Settings of engines: what is taken, what can't fit, and that every value that is said to work
does.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.allocation import allocation_of
from components.kube.quantity import GI, MI
from components.settings import Problem, Settings, SettingsError, load
from tests.unit.mocked_program import ROOT, dev_config, run, stack_config

SIZE_RULE = "a size is a Kubernetes quantity of whole bytes, such as 512Mi or 1Gi (powers of 1024), or a number of bytes"
UNITS_RULE = f"{SIZE_RULE}; PostgreSQL's own units are written otherwise here"
ALONE = "PostgreSQL takes a number alone for MB, here it is bytes"
KAFKA = {"partitions": 12, "replicationFactor": 3, "retentionBytes": "128Mi", "segmentBytes": "64Mi", "ingressBytesPerSecond": "100k"}


def service(engine: Any, size: str = "5Gi", tier: str = "database", replicas: int = 3) -> dict[str, Any]:
    return {"services": {"it": {"tier": tier, "size": size, "replicas": replicas, "engine": engine}}}


def loaded(engine: Any, size: str = "5Gi", stack: str = "dev", **more: Any) -> Settings:
    return load(stack_config(stack, **service(engine, size, **more)), stack)


def refused(engine: Any, size: str = "5Gi", stack: str = "dev", **more: Any) -> list[Problem]:
    with pytest.raises(SettingsError) as found:
        loaded(engine, size, stack, **more)
    return list(found.value.problems)


def postgresql(**settings: Any) -> dict[str, Any]:
    return {"postgresql": settings}


def kafka(**settings: Any) -> dict[str, Any]:
    return {"kafka": settings}


# A wrong value of an engine's setting, and what is said of it: the value, the rule, what works.
VALUES: dict[str, tuple[dict[str, Any], str]] = {
    "PostgreSQL's GB": (postgresql(maxWalSize="1GB"), f'postgresql.maxWalSize: "1GB": {UNITS_RULE}. Works: 1Gi'),
    "PostgreSQL's MB": (postgresql(maxWalSize="96MB"), f'postgresql.maxWalSize: "96MB": {UNITS_RULE}. Works: 96Mi'),
    "with a space": (postgresql(data="2 TB"), f'postgresql.data: "2 TB": {UNITS_RULE}. Works: 2Ti'),
    "a part of a GB": (postgresql(data="1.5GB"), f'postgresql.data: "1.5GB": {UNITS_RULE}. Works: 1536Mi'),
    "PostgreSQL's kB": (postgresql(data="1000kB"), f'postgresql.data: "1000kB": {UNITS_RULE}. Works: 1000Ki'),
    "GiB": (postgresql(data="2GiB"), f'postgresql.data: "2GiB": {UNITS_RULE}. Works: 2Gi'),
    "bytes with their unit": (kafka(segmentBytes="67108864B"), f'kafka.segmentBytes: "67108864B": {UNITS_RULE}. Works: 64Mi'),
    "a part of a byte": (
        postgresql(data="1073741824500m"),
        f'postgresql.data: "1073741824500m": {SIZE_RULE}; this is 1073741824.5 bytes. Works: 1025Mi',
    ),
    "no size": (postgresql(data="much"), f'postgresql.data: "much": {SIZE_RULE}. Works: 512Mi'),
    "a truth": (postgresql(data=True), f"postgresql.data: true: {SIZE_RULE}. Works: 512Mi"),
    "nothing after the colon": (postgresql(data=None), f"postgresql.data: null: {SIZE_RULE}. Works: 512Mi"),
    "below nothing": (postgresql(data="-1Gi"), f'postgresql.data: "-1Gi": {SIZE_RULE}. Works: 512Mi'),
    "no limit where there must be one": (postgresql(maxWalSize=-1), f"postgresql.maxWalSize: -1: {SIZE_RULE}. Works: 512Mi"),
    "more than 64 bits": (postgresql(data="9Ei"), 'postgresql.data: "9Ei": Kubernetes holds bytes in 64 bits. Works: 1Ti'),
    "MB without their unit": (
        postgresql(maxWalSize=1024),
        f"postgresql.maxWalSize: 1024: at least twice walSegmentSize, 32Mi; {ALONE}. Works: 1Gi",
    ),
    "MB of a slot without their unit": (
        postgresql(maxSlotWalKeepSize="512"),
        f'postgresql.maxSlotWalKeepSize: "512": 1Mi or more, or 0; {ALONE}. Works: 512Mi',
    ),
    "less than two segments": (
        postgresql(maxWalSize="100Mi", walSegmentSize="64Mi"),
        'postgresql.maxWalSize: "100Mi": at least twice walSegmentSize, 128Mi. Works: 128Mi',
    ),
    "more than PostgreSQL takes": (
        postgresql(maxWalSize="4Pi"),
        'postgresql.maxWalSize: "4Pi": PostgreSQL takes 2147483647Mi at most. Works: 1Gi',
    ),
    "a segment of MB without their unit": (
        postgresql(walSegmentSize=16),
        "postgresql.walSegmentSize: 16: a power of two from 1Mi to 1Gi, as initdb's --wal-segsize. Works: 16Mi",
    ),
    "a segment between two powers": (
        postgresql(walSegmentSize="100Mi"),
        'postgresql.walSegmentSize: "100Mi": a power of two from 1Mi to 1Gi, as initdb\'s --wal-segsize. Works: 64Mi',
    ),
    "a segment too large": (
        postgresql(walSegmentSize="2Gi"),
        'postgresql.walSegmentSize: "2Gi": a power of two from 1Mi to 1Gi, as initdb\'s --wal-segsize. Works: 1Gi',
    ),
    "slots in quotes": (postgresql(slots="2"), 'postgresql.slots: "2": a whole number; in quotes it is a text. Works: 2'),
    "slots below nothing": (
        postgresql(slots=-1),
        "postgresql.slots: -1: how many replication slots there are, from 0 to 262143. Works: 0",
    ),
    "a segment below Kafka's least": (
        kafka(segmentBytes=1000),
        "kafka.segmentBytes: 1000: the size of a partition's segments, from 1Mi to 2147483647 bytes. Works: 1Mi",
    ),
    "a segment above Kafka's largest": (
        kafka(segmentBytes="2Gi"),
        'kafka.segmentBytes: "2Gi": the size of a partition\'s segments, from 1Mi to 2147483647 bytes. Works: 2147483647',
    ),
    "no partitions": (
        kafka(partitions=0),
        "kafka.partitions: 0: how many partitions all topics have together, without their copies, a whole number from 1. Works: 1",
    ),
    "more copies than brokers": (
        kafka(replicationFactor=4),
        "kafka.replicationFactor: 4: no more copies than there are brokers, and `replicas` is 3. Works: 3",
    ),
    "a time as a word": (
        kafka(retentionMs="7d"),
        'kafka.retentionMs: "7d": after how many milliseconds old segments are deleted, or -1 for no limit. Works: 14400000',
    ),
    "a time below no limit": (
        kafka(retentionMs=-2),
        "kafka.retentionMs: -2: after how many milliseconds old segments are deleted, or -1 for no limit. Works: -1",
    ),
    "an unknown key": (
        postgresql(maxWalsize="1Gi"),
        'postgresql.maxWalsize: "1Gi": unknown key; known here: data, maxSlotWalKeepSize, maxWalSize, slots, walSegmentSize. '
        "Works: maxWalSize",
    ),
    "an engine's name that is nearly one": (
        {"postgres": {}},
        "postgres: {}: unknown key; known here: kafka, postgresql. Works: postgresql",
    ),
    "an engine with nothing after the colon": (
        {"kafka": None},
        "kafka: null: nothing after the colon; `{}` stands for the engine's defaults. Works: {}",
    ),
}


@pytest.mark.parametrize("case", VALUES)
def test_one_mistake_one_exact_message(case: str) -> None:
    engine, message = VALUES[case]
    assert [str(problem) for problem in refused(engine, "64Gi")] == [f"services.it.engine.{message}"]


@pytest.mark.parametrize("engine", [None, {}, "postgresql", {"mysql": {}}, [], {"postgresql": {}, "kafka": {}}])
def test_a_service_has_one_engine(engine: Any) -> None:
    (problem,) = refused(engine)
    assert problem.path == "services.it.engine"
    assert "`postgresql`" in problem.rule or "not both" in problem.rule
    if not isinstance(engine, dict) or len(engine) < 2:
        assert problem.works.startswith("{postgresql: {")


# Values that mean the same to a cluster or an engine, in every spelling.
SPELLINGS: list[tuple[Any, str, Any]] = [
    ("134217728", "retention_bytes", 128 * MI),
    (134217728, "retention_bytes", 128 * MI),
    ("128Mi", "retention_bytes", 128 * MI),
    ("131072Ki", "retention_bytes", 128 * MI),
    ("1e8", "retention_bytes", 10**8),
    (1e8, "retention_bytes", 10**8),
    ("100M", "retention_bytes", 10**8),
    (-1, "retention_bytes", None),
    ("-1", "retention_bytes", None),
    (0, "retention_bytes", 0),
]


@pytest.mark.parametrize(("written", "field", "bytes_"), SPELLINGS)
def test_every_spelling_of_a_quantity_and_no_limit(written: Any, field: str, bytes_: int | None) -> None:
    engine = loaded(kafka(retentionBytes=written), "64Gi").services["it"].engine
    assert engine is not None and getattr(engine.kafka, field) == bytes_


@pytest.mark.parametrize(
    ("engine", "has_slots"),
    [
        (postgresql(), False),
        (postgresql(slots=0, maxSlotWalKeepSize="1Gi"), False),
        (postgresql(maxSlotWalKeepSize="1Gi"), True),
        (postgresql(maxSlotWalKeepSize=-1), True),
        (postgresql(slots=2), True),
    ],
)
def test_a_limit_for_slots_means_that_there_is_one(engine: dict[str, Any], has_slots: bool) -> None:
    found = loaded(engine).services["it"].engine
    assert found is not None and found.postgresql is not None
    assert found.postgresql.has_slots is has_slots


def test_max_wal_size_is_64_segments_where_it_is_not_said() -> None:
    allocation = allocation_of(loaded(postgresql(walSegmentSize="64Mi"), "20Gi"))
    assert allocation["services"]["it"]["perClaim"]["engineBytes"] == 2 * 64 * 64 * MI + 64 * MI


class TestMisfits:
    def test_the_message_names_every_part_a_size_and_a_figure(self) -> None:
        (problem,) = refused(postgresql(maxWalSize="512Mi", maxSlotWalKeepSize="1Gi", data="3Gi"))
        assert str(problem) == (
            'services.it.size: "5Gi": PostgreSQL writes up to 5136Mi to each volume, which has 5Gi: max_wal_size 512Mi, as much again '
            "while a checkpoint is late 512Mi, a WAL segment 16Mi, max_slot_wal_keep_size 1Gi, data 3Gi. "
            "Works: 5136Mi or, at this size, 1008Mi for engine.postgresql.maxSlotWalKeepSize"
        )

    def test_of_kafka(self) -> None:
        (problem,) = refused(kafka(**{**KAFKA, "segmentBytes": "256Mi"}), "3.3Gi", tier="streaming")
        assert str(problem) == (
            'services.it.size: "3.3Gi": Kafka writes up to 4782Mi to each volume, which has 3380Mi: a segment of each partition 3Gi, '
            "ingress of 360 s 35Mi, indexes 39Mi, the metadata log 100Mi, data 1536Mi. "
            "Works: 4782Mi or, at this size, 11Mi for engine.kafka.retentionBytes"
        )

    def test_on_block_storage_the_file_system_has_its_share_and_sizes_are_the_drivers(self) -> None:
        (problem,) = refused(postgresql(maxWalSize="1Gi", data="6Gi"), "8Gi", "aws")
        assert "which has 8Gi, less 244Mi for ext4 itself: " in problem.rule
        assert problem.works == "9Gi or, at this size, 880Mi for engine.postgresql.maxWalSize"
        (problem,) = refused(postgresql(data="6Gi"), "8Gi", "aws", tier="streaming")
        assert "less 260Mi for xfs itself" in problem.rule

    def test_a_size_that_no_setting_spells_is_not_proposed(self) -> None:
        (problem,) = refused(postgresql(data="8000Pi"))
        assert problem.works == "3056Mi for engine.postgresql.data"

    def test_a_service_with_another_mistake_has_only_that_one(self) -> None:
        config = service(postgresql(maxWalSize="8Gi"), tier="databse")
        with pytest.raises(SettingsError) as found:
            load(dev_config(**config), "dev")
        assert [problem.path for problem in found.value.problems] == ["services.it.tier"]


class TestNoLimit:
    def test_an_unbounded_slot_is_said_with_what_it_does_and_a_limit(self) -> None:
        (warning,) = loaded(postgresql(slots=1)).warnings
        assert str(warning) == (
            "services.it.engine.postgresql.maxSlotWalKeepSize: (missing): no limit: from the moment a slot's reader stops, PostgreSQL "
            "keeps all WAL; a full volume stops it, and it starts again only when there is room. Works: 1512Mi"
        )

    def test_a_slot_that_is_unbounded_on_purpose(self) -> None:
        (warning,) = loaded(postgresql(maxSlotWalKeepSize=-1)).warnings
        assert warning.value == "-1"

    def test_an_unbounded_retention(self) -> None:
        (warning,) = loaded(kafka(), "3.3Gi", tier="streaming").warnings
        assert (warning.path, warning.works) == ("services.it.engine.kafka.retentionBytes", "2230Mi")
        assert not loaded(kafka(retentionBytes=warning.works, ingressBytesPerSecond=0), "3.3Gi", tier="streaming").warnings

    def test_time_bounds_a_retention_where_ingress_is_known(self) -> None:
        assert not loaded(kafka(ingressBytesPerSecond="1k"), "3.3Gi", tier="streaming").warnings

    def test_ingress_that_is_not_said(self) -> None:
        (warning,) = loaded(kafka(retentionBytes="1Gi"), "3.3Gi", tier="streaming").warnings
        assert warning.path == "services.it.engine.kafka.ingressBytesPerSecond"
        assert not loaded(kafka(retentionBytes="1Gi", ingressBytesPerSecond=warning.works), "3.3Gi", tier="streaming").warnings

    def test_with_limits_nothing_is_said(self) -> None:
        assert not loaded(postgresql(maxSlotWalKeepSize="1Gi")).warnings
        assert not loaded(kafka(**KAFKA), "3.3Gi", tier="streaming").warnings


sizes = st.integers(1, 40).map(lambda number: f"{number}Gi") | st.integers(64, 4000).map(lambda number: f"{number}Mi")
amounts = st.integers(33, 9000).map(lambda number: f"{number}Mi")
of_postgresql = st.fixed_dictionaries(
    {},
    optional={
        "walSegmentSize": st.sampled_from(["1Mi", "16Mi"]),
        "maxWalSize": amounts,
        "maxSlotWalKeepSize": amounts | st.just(-1),
        "slots": st.integers(0, 3),
        "data": amounts,
    },
).map(lambda made: {"postgresql": made})
of_kafka = st.fixed_dictionaries(
    {},
    optional={
        "partitions": st.integers(1, 60),
        "replicationFactor": st.integers(1, 3),
        "retentionBytes": amounts | st.just(-1),
        "segmentBytes": st.integers(1, 1024).map(lambda number: f"{number}Mi"),
        "ingressBytesPerSecond": st.integers(0, 10**7),
        "retentionMs": st.just(-1) | st.integers(0, 10**9),
    },
).map(lambda made: {"kafka": made})


@hypothesis_settings(deadline=None, max_examples=150)
@given(of_postgresql | of_kafka, sizes, st.sampled_from(["dev", "aws", "gcp"]), st.sampled_from(["database", "streaming"]))
def test_what_is_taken_fits_and_every_size_and_figure_that_is_said_to_fit_is_taken(
    engine: dict[str, Any], size: str, stack: str, tier: str
) -> None:
    try:
        settings = loaded(engine, size, stack, tier=tier)
    except SettingsError as found:
        (problem,) = found.problems
        assume("writes up to" in problem.rule)  # else the driver's own rules refuse the size
        proposed = re.fullmatch(r"([0-9]+[MGT]i)?(?: or, at this size, )?(?:(\S+) for engine\.(\w+)\.(\w+))?", problem.works)
        assert proposed and (proposed[1] or proposed[2]), problem.works
        if proposed[1]:
            loaded(engine, proposed[1], stack, tier=tier)
        if proposed[2]:
            ((name, made),) = engine.items()
            written = proposed[2] if not proposed[2].isdigit() else int(proposed[2])
            assert name == proposed[3]
            loaded({name: {**made, proposed[4]: written}}, size, stack, tier=tier)
        return
    each = allocation_of(settings)["services"]["it"]["perClaim"]
    budget = settings.services["it"].engine
    assert budget is not None
    assert (
        each["fileSystemBytes"] + each["engineBytes"] + each["dataBytes"]
        == each["claimBytes"]
        == settings.services["it"].size.provisioned_bytes
    )
    assert each["dataBytes"] >= budget.chosen[1].budget(3).data >= 0
    for warning in settings.warnings:
        if warning.path.startswith("services.it.engine.") and re.fullmatch("[0-9]+[A-Za-z]*", warning.works):
            ((name, made),) = engine.items()
            loaded({name: {**made, warning.path.rpartition(".")[2]: warning.works}}, size, stack, tier=tier)


def test_the_example_of_the_page_fits_and_leaves_what_the_page_says() -> None:
    page = (ROOT / "docs" / "sizing.md").read_text(encoding="utf-8")
    example = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    settings = load(dev_config(services=example["storage-tiers:services"]), "dev")
    left = {name: each["perClaim"]["dataBytes"] // MI for name, each in allocation_of(settings)["services"].items()}
    assert not settings.warnings
    assert left["postgres"] == 3056 and "\n3056\n" in page
    assert left["kafka"] // 12 == 205 and "\n205\n" in page
    (problem,) = refused(kafka(**{**KAFKA, "retentionBytes": "205Mi"}), "3.3Gi", tier="streaming")
    assert problem.works.endswith("204Mi for engine.kafka.retentionBytes")
    for hours, fits in ((7, True), (8, False)):
        made = kafka(**{**KAFKA, "retentionBytes": -1, "retentionMs": hours * 3_600_000})
        assert not loaded(made, "3.3Gi", tier="streaming").warnings if fits else refused(made, "3.3Gi", tier="streaming")


class TestProgram:
    def test_preview_ends_with_the_message_and_declares_nothing(self) -> None:
        with pytest.raises(SettingsError, match="PostgreSQL writes up to 9264Mi to each volume") as found:
            run(dev_config(**service(postgresql(maxWalSize="4Gi", maxSlotWalKeepSize="1Gi"))))
        assert "nothing was changed" in str(found.value)

    def test_the_allocation_says_what_is_left_for_data(self) -> None:
        services = json.loads(dev_config()["storage-tiers:services"])
        services["postgres"]["engine"] = postgresql(maxWalSize="512Mi", maxSlotWalKeepSize="1Gi")
        plain, made = run(dev_config()), run(dev_config(services=services))
        each = made.outputs["allocation"]["services"]["postgres"].pop("perClaim")
        assert each == {
            "engine": "postgresql",
            "claimBytes": 5 * GI,
            "fileSystemBytes": 0,
            "engineBytes": 2 * GI + 16 * MI,
            "dataBytes": 3 * GI - 16 * MI,
            "unbounded": [],
        }
        assert made.outputs["allocation"] == plain.outputs["allocation"]
        declared = [{(each.type, each.name): each.inputs for each in found.registered} for found in (plain, made)]
        assert declared[0] == declared[1]
