"""A real PostgreSQL and a real Kafka on claims of a tier, killed while they write: what they have
acknowledged is there, and each fault of a volume gets its own name.

`make test` has one healthy run and two faults, `make soak` (pytest --full) the rest.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from kubernetes import client

from components.acceptance.acceptance import Acceptance, NotAccepted
from components.acceptance.engine_run import EngineRun
from components.acceptance.engines import ACCEPTANCES
from components.acceptance.judging import KeptFault
from components.acceptance.of_settings import ENGINES
from components.acceptance.plan import AcceptancePlan
from components.acceptance.scripts import common
from components.canary.driver import open_api
from components.canary.limits import FigureLimit
from components.canary.manifests import RUN
from components.canary.plan import ProofPlan
from components.canary.watch import Timeouts
from components.canary.words import NotProven
from devkube.cluster import EmbeddedCluster
from devkube.images import build_image, reference
from tests.conftest import eventually
from tests.faults import media
from tests.faults.tier import NAMESPACE, Tiers, seeded

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

soak = pytest.mark.soak
KIB, MIB = 2**10, 2**20
PAGE = 8 * KIB
LEAST_ROW = 160  # bytes: 24 of its header, its key, and 128 characters at least
TIMEOUTS = Timeouts(scheduling=30, provisioning=30, image=60, mount=60, log=120)
Accepting: TypeAlias = Callable[..., Acceptance]
Harm = Callable[[Path, Acceptance, random.Random], None]  # is given the first volume's root


@pytest.fixture(scope="module")
def accepting(tiers: Tiers, embedded: EmbeddedCluster, core: client.CoreV1Api, plain: str) -> Iterator[Accepting]:
    """Makes an acceptance with a seed; afterwards nothing of any is left."""
    for name in ("clients", "postgresql", "kafka"):
        embedded.load_image(build_image(name))
    made: list[Acceptance] = []

    def make(
        seed: int, storage_class: str = plain, say: Callable[[str], None] = tiers.said.append, engine: str = "postgresql"
    ) -> Acceptance:
        proof = ProofPlan(tiers.context, NAMESPACE, "faults", "database", "database", storage_class, reference(engine), "", 2**31, False)
        plan = AcceptancePlan(proof, engine, reference("clients"), seed)
        made.append(ACCEPTANCES[engine](open_api(tiers.context), plan, say, TIMEOUTS))
        return made[-1]

    yield make
    runs = {run.run for each in made for run in each.runs}

    def left() -> list[str]:
        found = [*core.list_namespaced_pod(NAMESPACE).items, *core.list_namespaced_persistent_volume_claim(NAMESPACE).items]
        found += core.list_namespaced_config_map(NAMESPACE).items
        names = [each.metadata.name for each in found if (each.metadata.labels or {}).get(RUN) in runs]
        return names + [each.metadata.name for each in core.list_persistent_volume().items if each.spec.claim_ref.namespace == NAMESPACE]

    eventually(lambda: not left(), "pods, claims, volumes, and the ConfigMaps that belong to the claims are gone", 60)


def volume_of(run: EngineRun) -> Path:
    """The volume's directory on this machine, once no process of the killed pod writes to it."""
    killed = run.pods[-1].uid
    eventually(
        lambda: not [mount for mount in media.mounts() if f"/pods/{killed}/" in mount[4]], "the killed pod's volumes are unmounted", 60
    )
    assert run.volume
    return Path(run.volume["spec"]["local"]["path"])


@contextmanager
def on_its_claims(run: Acceptance) -> Iterator[Acceptance]:
    """An acceptance with claims and scripts, for steps one by one; cleaned up afterwards."""
    run.runs[0].prepare()
    try:
        for each in run.runs:
            each.make_claim()
            each.make_scripts()
        yield run
    finally:
        for each in run.runs:
            each.clean_up(wait=True)


def findings_after(run: Acceptance, harm: Harm) -> list[KeptFault]:
    """What a run finds on a volume that is harmed between its kill and its recovery."""
    with on_its_claims(run):
        run.write_and_kill()
        folders = [volume_of(each) for each in run.runs]
        harm(folders[0], run, seeded(harm.__name__))
        run.recover()
        with pytest.raises(NotAccepted) as caught:
            run.judge()
    assert "the engine did not keep what it acknowledged: " in caught.value.sentence
    return [each.fault for each in caught.value.findings]


# --- the faults -----------------------------------------------------------------------------------


def lose_the_end_of_the_wal(volume: Path, run: Acceptance, chance: random.Random) -> None:
    """The last 320 KiB are zeros, as on a disk that had not written them."""
    segments = sorted(path for path in (volume / "pgdata/pg_wal").iterdir() if len(path.name) == 24)
    content = b"".join(path.read_bytes() for path in segments)
    end = len(content.rstrip(b"\0"))
    content = content[: end - 320 * KIB].ljust(len(content), b"\0")
    offset = 0
    for path in segments:
        size = path.stat().st_size
        path.write_bytes(content[offset : offset + size])
        offset += size


def flip_a_byte_of_the_table(volume: Path, run: Acceptance, chance: random.Random) -> None:
    """In a page that recovery doesn't write anew: it was full before the checkpoint.

    One with room for another row may have got it since, in memory alone.
    """
    (redo,) = struct.unpack_from("<Q", (volume / "pgdata/global/pg_control").read_bytes(), 40)  # as in pg_control.h
    clients = range(run.plan.clients)
    rows = [common.content(run.run, client, number).encode() for number in range(1, 20) for client in clients]
    files = (path for path in sorted((volume / "pgdata/base").glob("*/*")) if path.is_file())
    path, content = next((path, content) for path in files if rows[0] in (content := path.read_bytes()))

    def is_full(place: int) -> bool:
        # As in bufpage.h: a WAL position's halves, three fields, where the room begins and ends.
        high, low, _, _, begin, end = struct.unpack_from("<IIHHHH", content, place // PAGE * PAGE)
        return bool(high << 32 | low < redo and end - begin < LEAST_ROW)

    places = {row: content.find(row) for row in rows}
    row = next((row for row in rows if places[row] >= 0 and is_full(places[row])), b"")
    assert row, "a page was full before the checkpoint"
    flip(path, places[row] + chance.randrange(len(row)))


def flip_a_byte_of_the_catalog(volume: Path, run: Acceptance, chance: random.Random) -> None:
    """In a file of another database, which initdb has written and nobody reads."""
    path = next(path for path in sorted((volume / "pgdata/base/1").glob("2???")) if path.stat().st_size >= 2 * PAGE)
    flip(path, PAGE + chance.randrange(PAGE // 2, PAGE))


def flip_a_byte_of_a_segment(volume: Path, run: Acceptance, chance: random.Random) -> None:
    """In the middle of the first segment, which was closed while it was written to."""
    segment = min((volume / "kafka/accept-0").glob("*.log"))
    flip(segment, segment.stat().st_size // 2)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


# --- what is found --------------------------------------------------------------------------------


def test_a_healthy_tier_is_accepted(accepting: Accepting) -> None:
    run = accepting(1)
    verdict = run.accept()
    assert (verdict["verdict"], verdict["lost"], verdict["engine"]) == ("accepted", 0, "postgresql")
    assert verdict["acknowledged"] > 50
    assert verdict["transactionsPerSecond"] > 0
    assert 0 < verdict["commitMs"]["p50"] <= verdict["commitMs"]["p99"] <= verdict["commitMs"]["p999"]
    assert verdict["walBytes"] > 0
    assert verdict["recoverySeconds"] > 0
    assert verdict["settings"]["fsync"] == "on"
    assert verdict["settings"]["data_checksums"] == "on"
    assert len(set(verdict["pods"])) == 2
    assert verdict["imageID"]


def test_transactions_that_the_end_of_the_wal_had_are_missed(accepting: Accepting) -> None:
    faults = findings_after(accepting(2), lose_the_end_of_the_wal)
    assert faults[0] is KeptFault.LOST
    assert KeptFault.CHECKSUM not in faults, "page checksums don't find it"


def test_a_flipped_byte_in_a_table_is_found(accepting: Accepting) -> None:
    faults = findings_after(accepting(6), flip_a_byte_of_the_table)
    assert faults[0] is KeptFault.DAMAGED
    assert KeptFault.CHECKSUM in faults


@soak
def test_a_flipped_byte_that_nobody_reads_is_found(accepting: Accepting) -> None:
    assert findings_after(accepting(4), flip_a_byte_of_the_catalog)[0] is KeptFault.CHECKSUM


@soak
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda disk: fill(disk.point), "the volume is full: "),
        (lambda disk: disk.turn_read_only(), "the volume is read-only: "),
        (lambda disk: disk.shut_down(), "the volume's device fails: "),
    ],
    ids=["full", "read-only", "gone"],
)
def test_a_disk_that_fails_in_mid_load_is_named(
    accepting: Accepting, medium: Callable[..., Any], harm: Callable[[Any], None], named: str, engine: str
) -> None:
    with medium(media.Loop, kind="ext4", size=400 * MIB) as (disk, storage_class):

        def say(line: str) -> None:
            if "is killed" in line:
                harm(disk)

        with on_its_claims(accepting(2, storage_class, say, engine)) as run:
            with pytest.raises(NotProven) as caught:
                run.write_and_kill()
            for each in run.runs:
                each.pods[-1].kill()
                volume_of(each)
            disk.remount()  # its volumes can be removed again
    assert named in caught.value.sentence


def fill(folder: Path) -> None:
    """Write until there is no room."""
    with suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MIB))


@soak
@pytest.mark.parametrize("engine", ENGINES)
def test_a_disk_that_acknowledges_before_it_has_written_is_found(accepting: Accepting, medium: Callable[..., Any], engine: str) -> None:
    with medium(media.LaggingDisk, lag=3) as (disk, storage_class):
        run = accepting(2, storage_class, engine=engine)
        assert KeptFault.LOST in findings_after(run, lambda *_: disk.cut())


@soak
def test_a_tier_that_is_too_slow_is_not_accepted(accepting: Accepting) -> None:
    run = accepting(2)
    run.plan = replace(run.plan, limits=(FigureLimit.parse("commitP99Ms=0.001"),))
    with pytest.raises(NotProven, match=r"it keeps data, but commitP99Ms is .*, the limit is at most 0\.001"):
        run.accept()


@soak
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(100, 120))
def test_no_healthy_run_is_refused(accepting: Accepting, seed: int, engine: str) -> None:
    assert accepting(seed, engine=engine).accept()["verdict"] == "accepted"


# --- Kafka ----------------------------------------------------------------------------------------


def test_a_healthy_tier_is_accepted_by_kafka(accepting: Accepting) -> None:
    verdict = accepting(1, engine="kafka").accept()
    assert (verdict["verdict"], verdict["lost"], verdict["engine"]) == ("accepted", 0, "kafka")
    assert verdict["acknowledged"] > 500
    assert verdict["recordsPerSecond"] > 0
    assert 0 < verdict["ackMs"]["p50"] <= verdict["ackMs"]["p99"]
    assert verdict["failoverSeconds"] > 0
    assert verdict["recoverySeconds"] > 0
    assert len({each["uid"] for each in verdict["volumes"]}) == 3
    assert len(set(verdict["pods"])) == 7


@soak
def test_a_flipped_byte_in_a_log_segment_is_found(accepting: Accepting) -> None:
    found = findings_after(accepting(3, engine="kafka"), flip_a_byte_of_a_segment)
    assert set(found) & {KeptFault.DISCARDED, KeptFault.SEGMENT, KeptFault.DAMAGED}
