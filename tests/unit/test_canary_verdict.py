"""Every fault by its own name: the writer's real report against what a real reader finds in real
files that were tampered with.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components import settings
from components.canary import probe, verdict
from components.canary.limits import LIMITED_FIGURES, FigureLimit
from components.canary.profiles import PROFILES as TABLE
from components.canary.verdict import Fault

RUN, OTHER_RUN = "0123456789abcdef", "fedcba9876543210"
OWNER = "tier database of stack dev in namespace data-canary"
PROFILES = ("database", "streaming")


def run_probe(root: Path, profile: str, *steps: str, run: str = RUN, owner: str = OWNER) -> tuple[int, list[tuple[str, Any]]]:
    """Run the probe as a pod does, on a folder; its exit status and its report."""
    command = [sys.executable, "-IB", probe.__file__, *steps, f"--root={root}", f"--run={run}", f"--profile={profile}", f"--owner={owner}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    lines = [line.partition(" ") for line in done.stdout.splitlines()]
    return done.returncode, [(word, json.loads(rest)) for word, _, rest in lines]


def of(report: list[tuple[str, Any]], word: str) -> list[Any]:
    return [value for said, value in report if said == word]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[dict[str, Any]]]]:
    """A volume of each profile, and the manifest of it. Tests work on copies."""
    made = {}
    for profile in PROFILES:
        root = tmp_path_factory.mktemp(profile)
        status, report = run_probe(root, profile, "write")
        assert status == 0
        made[profile] = (root, of(report, "file"))
    return made


def test_nothing_is_written_beside_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "PG_VERSION").write_text("17")
    status, report = run_probe(tmp_path, "database", "write")
    assert status == 3
    assert [word for word, _ in report] == ["mount"]
    assert [path.name for path in tmp_path.iterdir()] == ["PG_VERSION"]


def test_but_beside_lost_and_found(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    assert run_probe(tmp_path, "streaming", "write")[0] == 0


Written = dict[str, tuple[Path, list[dict[str, Any]]]]


@pytest.fixture
def volume(written: Written, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a profile's volume."""
    return lambda profile: Path(shutil.copytree(written[profile][0], tmp_path / profile))


def findings(root: Path, profile: str, written: Written, **options: str) -> list[verdict.DataFault]:
    """What a comparison says of the volume as it is now."""
    status, report = run_probe(root, profile, "verify", **options)
    assert status == 0, report
    return verdict.compare(of(report, "folder")[0], {"owner": OWNER, "run": RUN}, written[profile][1], of(report, "file"))


@pytest.mark.parametrize("profile", PROFILES)
def test_what_was_written_is_intact(profile: str, volume: Callable[[str], Path], written: Written) -> None:
    assert findings(volume(profile), profile, written) == []


def entries_of(content: bytes) -> list[bytes]:
    """The entries of a file of entries, cut apart."""
    found = []
    while content:
        length = probe.HEADER.size + probe.HEADER.unpack_from(content)[4]
        found.append(content[:length])
        content = content[length:]
    return found


def change_entries(name: str, change: Callable[[list[bytes]], list[bytes]]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        path = folder / name
        path.write_bytes(b"".join(change(entries_of(path.read_bytes()))))

    return tamper


def change_bytes(name: str, change: Callable[[bytearray], object]) -> Callable[[Path], None]:
    def tamper(folder: Path) -> None:
        path = folder / name
        content = bytearray(path.read_bytes())
        change(content)
        path.write_bytes(content)

    return tamper


def flip(at: int, bit: int = 3) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[at] ^= 1 << bit

    return change


def zero(begin: int, end: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        content[begin:end] = bytes(len(content[begin:end]))

    return change


def swap_pages(one: int, other: int) -> Callable[[bytearray], None]:
    def change(content: bytearray) -> None:
        first, second = slice(one * probe.PAGE, (one + 1) * probe.PAGE), slice(other * probe.PAGE, (other + 1) * probe.PAGE)
        content[first], content[second] = content[second], content[first]

    return change


def earlier_clock(number: int, run: str = RUN) -> bytes:
    """An entry with a checksum that fits, written before all others."""
    make = probe.Maker(run)
    make.clock._offset -= 3600 * 10**9
    return make.entry(number, 500)[0]


def another(number: int) -> bytes:
    """An entry of the same number and another content, with a checksum that fits."""
    return probe.Maker(RUN).entry(number, 500)[0]


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


def empty(folder: Path) -> None:
    shutil.rmtree(folder)


def emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def mark(**content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / probe.OWNER).write_text(json.dumps({"owner": OWNER, "run": RUN, **content}))


def stale_page(folder: Path) -> None:
    with (folder / "table.pages").open("r+b") as file:
        file.seek(7 * probe.PAGE)
        file.write(probe.Maker(OTHER_RUN).entry(7, probe.PAGE)[0])


D, S = "database", "streaming"
CASES: dict[str, tuple[str, Callable[[Path], object], Fault, str]] = {
    "the folder is gone": (D, empty, Fault.EMPTY, "nothing of what was written is there"),
    "the folder is empty": (S, emptied, Fault.EMPTY, "nothing of what was written is there"),
    "another tier's volume": (S, mark(owner="tier x"), Fault.WRONG_VOLUME, "it holds the data of tier x"),
    "an earlier run's mark": (D, mark(run=OTHER_RUN), Fault.STALE, f"owner.json: * it names run {OTHER_RUN}"),
    "an earlier run's page": (D, stale_page, Fault.STALE, f"table.pages: * 1 entries are of run {OTHER_RUN}"),
    "an earlier run's entry": (
        S,
        change_entries("segment.entries", lambda all_: [*all_[:9], earlier_clock(9, OTHER_RUN), *all_[10:]]),
        Fault.STALE,
        "segment.entries",
    ),
    "the mark is gone": (D, remove(probe.OWNER), Fault.MISSING, "owner.json"),
    "a file is gone": (D, remove("notes.txt"), Fault.MISSING, "notes.txt: * the file is gone"),
    "an unknown file": (S, lambda folder: (folder / "x").write_text("?"), Fault.EXTRA, "x: * no such file was written"),
    "a bit in a page's payload": (D, change_bytes("table.pages", flip(5 * probe.PAGE + 4000)), Fault.DAMAGED, "(entry 5)"),
    "a bit in a page's header": (D, change_bytes("table.pages", flip(5 * probe.PAGE + 18)), Fault.DAMAGED, "(entry 5)"),
    "a bit in a commit": (D, change_bytes("wal.entries", flip(100)), Fault.DAMAGED, "wal.entries"),
    "a bit in a length": (S, change_bytes("segment.entries", flip(34)), Fault.DAMAGED, "segment.entries"),
    "a bit in the text file": (D, change_bytes("notes.txt", flip(60)), Fault.DAMAGED, "notes.txt"),
    "a bit in the binary file": (D, change_bytes("picture.entries", flip(70_000)), Fault.DAMAGED, "picture.entries"),
    "a bit in the log file": (D, change_bytes("service.log", flip(-1)), Fault.TRUNCATED, "service.log"),  # the newline itself
    "a bit in the last block": (S, change_bytes("stream.blocks", flip(-1)), Fault.DAMAGED, f"(entry {probe.BLOCKS - 1})"),
    "a bit in a magic": (S, change_bytes("segment.entries", flip(0)), Fault.DAMAGED, "byte 0"),
    "zeros in a page": (D, change_bytes("table.pages", zero(probe.PAGE, 2 * probe.PAGE)), Fault.MISSING, "zeros where data was written"),
    "zeros at the end": (
        S,
        lambda folder: change_bytes(
            "segment.entries", zero(len(b"".join(entries_of((folder / "segment.entries").read_bytes())[:100])), 10**9)
        )(folder),
        Fault.MISSING,
        "zeros where data was written",
    ),
    "cut in a page": (D, cut("table.pages", 100 * probe.PAGE + 17), Fault.TRUNCATED, "100 of 1280 entries"),
    "cut between pages": (D, cut("table.pages", 100 * probe.PAGE), Fault.TRUNCATED, "100 of 1280 entries"),
    "cut in an entry": (S, cut("segment.entries", 100_003), Fault.TRUNCATED, "of 102 entries"),
    "cut to nothing": (S, cut("segment.entries", 0), Fault.TRUNCATED, "0 of 102 entries"),
    "cut in a line": (D, cut("service.log", 1000), Fault.TRUNCATED, "of 200 entries"),
    "cut stream": (S, cut("stream.blocks", probe.BLOCK * 3), Fault.TRUNCATED, "3 of 128 entries"),
    "the last entry is lost": (S, change_entries("segment.entries", lambda all_: all_[:-1]), Fault.TRUNCATED, "101 of 102 entries"),
    "an entry is lost": (S, change_entries("segment.entries", lambda all_: all_[:40] + all_[41:]), Fault.MISSING, "entry 40 of 102"),
    "ten are lost": (
        S,
        change_entries("segment.entries", lambda all_: all_[:40] + all_[50:]),
        Fault.MISSING,
        "40, 41, 42, 43, 44 and 5 more",
    ),
    "an entry is there twice": (S, change_entries("segment.entries", lambda all_: [*all_, all_[-1]]), Fault.EXTRA, "entry 101"),
    "an entry that nobody wrote": (S, change_entries("segment.entries", lambda all_: [*all_, another(102)]), Fault.EXTRA, "entry 102"),
    "two entries are swapped": (
        S,
        change_entries("segment.entries", lambda all_: [*all_[:5], all_[6], all_[5], *all_[7:]]),
        Fault.ORDER,
        "entry 5 after a later one",
    ),
    "two pages are swapped": (D, change_bytes("table.pages", swap_pages(10, 20)), Fault.ORDER, "after a later one"),
    "a page in another's place": (
        D,
        change_bytes("table.pages", lambda content: content.__setitem__(slice(0, probe.PAGE), content[probe.PAGE : 2 * probe.PAGE])),
        Fault.MISSING,
        "entry 0 of 1280",
    ),
    "a timestamp goes back": (
        S,
        change_entries("segment.entries", lambda all_: [*all_[:50], earlier_clock(50), *all_[51:]]),
        Fault.TIMESTAMPS,
        "entry 50",
    ),
    "another content with a checksum that fits": (
        D,
        change_entries("wal.entries", lambda all_: [*all_[:-1], another(199)]),
        Fault.DAMAGED,
        "entry 199 hold something else",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_gets_its_own_verdict(case: str, volume: Callable[[str], Path], written: Written) -> None:
    profile, tamper, fault, words = CASES[case]
    root = volume(profile)
    tamper(root / probe.FOLDER)
    worst = verdict.most_telling(findings(root, profile, written))
    assert worst is not None
    assert worst.fault is fault, worst
    for part in words.split(" * "):
        assert part in str(worst)


def test_two_faults_are_both_found_and_the_most_telling_is_named(volume: Callable[[str], Path], written: Written) -> None:
    root = volume("database")
    change_bytes("wal.entries", flip(100))(root / probe.FOLDER)
    cut("service.log", 1000)(root / probe.FOLDER)
    found = findings(root, "database", written)
    assert {finding.fault for finding in found} == {Fault.DAMAGED, Fault.TRUNCATED}
    worst = verdict.most_telling(found)
    assert worst and worst.fault is Fault.TRUNCATED


class TestProfiles:
    def test_database_is_a_table_of_10_mib_in_pages_of_8_kib_and_a_log_of_commits(self, written: Written) -> None:
        root, files = written["database"]
        assert (root / probe.FOLDER / "table.pages").stat().st_size == 10 * 2**20
        by_name = {file["name"]: file for file in files}
        assert set(by_name) == {"table.pages", "wal.entries", "notes.txt", "picture.entries", "service.log"}
        assert [entry[0] for entry in by_name["table.pages"]["entries"]] == list(range(1280))
        times = [entry[1] for entry in by_name["table.pages"]["entries"]]
        assert times != sorted(times), "pages are written at random"
        assert len(by_name["wal.entries"]["entries"]) == probe.COMMITS
        (root / probe.FOLDER / "notes.txt").read_text(encoding="utf-8")

    def test_streaming_is_exactly_102_entries_in_sequence_and_a_stream_of_1_mib_blocks(self, written: Written) -> None:
        root, files = written["streaming"]
        by_name = {file["name"]: file for file in files}
        entries = by_name["segment.entries"]["entries"]
        assert [entry[0] for entry in entries] == list(range(102))
        assert [entry[1] for entry in entries] == sorted(entry[1] for entry in entries)
        assert (root / probe.FOLDER / "stream.blocks").stat().st_size == by_name["stream.blocks"]["size"] == probe.BLOCKS * 2**20

    @pytest.mark.parametrize("profile", PROFILES)
    def test_the_table_is_what_the_probe_writes(self, profile: str, tmp_path: Path) -> None:
        _, report = run_probe(tmp_path, profile, "write")
        files, table = of(report, "file"), TABLE[profile]
        assert [file["name"] for file in files] == [file.name for file in table.files]
        assert table.is_complete(files)
        assert not table.is_complete(files[:-1])
        assert not table.is_complete([*files[:-1], {**files[-1], "entries": files[-1]["entries"][:-1]}])
        workloads = of(report, "figures")[0]
        assert set(workloads) == {file.workload for file in table.files if file.workload}
        assert table.file_of(table.throughput).size == workloads[table.throughput]["bytes"]
        assert set(table.figures(workloads)) == {"writeMBps", "writeIOPS", "syncMs", "workloads"}

    @pytest.mark.parametrize("profile", PROFILES)
    def test_figures(self, profile: str, tmp_path: Path) -> None:
        _, report = run_probe(tmp_path, profile, "write")
        for figures in of(report, "figures")[0].values():
            assert figures["bytes"] > 0
            assert figures["seconds"] > 0
            assert figures["MBps"] == pytest.approx(figures["bytes"] / figures["seconds"] / 1e6, rel=0.01)
            assert figures["syncMs"]["p50"] <= figures["syncMs"]["p95"] <= figures["syncMs"]["p99"] <= figures["syncMs"]["max"]

    def test_no_two_runs_write_the_same(self, tmp_path: Path, written: Written) -> None:
        _, report = run_probe(tmp_path, "streaming", "write")
        one, other = ({entry[2] for file in files for entry in file["entries"]} for files in (of(report, "file"), written["streaming"][1]))
        assert not one & other


class TestProbe:
    def test_says_what_failed_and_ends_with_3(self, tmp_path: Path) -> None:
        status, report = run_probe(tmp_path / "missing", "database", "write")
        assert status == 3
        assert report[-1][0] == "fault"
        assert report[-1][1]["errno"] == "ENOENT"

    def test_runs_with_the_oldest_syntax_it_promises(self) -> None:
        compile(Path(probe.__file__).read_text(encoding="utf-8"), "probe.py", "exec", dont_inherit=True)
        import ast

        ast.parse(Path(probe.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))

    def test_percentiles_are_nearest_rank(self) -> None:
        assert probe.percentiles([number / 1000 for number in range(1, 101)]) == {"p50": 50, "p95": 95, "p99": 99, "max": 100}
        assert probe.percentiles([0.002]) == {"p50": 2, "p95": 2, "p99": 2, "max": 2}
        assert probe.percentiles([]) == {}

    def test_its_clock_never_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = probe.Clock()
        before = clock.microseconds()
        monkeypatch.setattr("time.time_ns", lambda: 0)
        assert clock.microseconds() >= before


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    root = tmp_path_factory.mktemp("killed")
    (root / probe.FOLDER).mkdir()
    command = [sys.executable, "-IB", probe.__file__, "stream", f"--root={root}", f"--run={RUN}", "--profile=database", "--owner=x"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    acknowledged = []
    for line in process.stdout:
        word, _, rest = line.partition(" ")
        if word == "ack" and rest.endswith("\n"):
            acknowledged.append(json.loads(rest))
            if len(acknowledged) == 30:
                process.kill()
    process.wait()
    return root / probe.FOLDER / "killed.entries", acknowledged


class TestKilledStream:
    """The stream of a writer that was killed for real, and what may be missing from it."""

    def compare(self, content: bytes, acknowledged: list[Any], tmp_path: Path) -> list[verdict.DataFault]:
        path = tmp_path / "killed.entries"
        path.write_bytes(content)
        return verdict.compare_stream("killed.entries", acknowledged, probe.Reader(RUN).file(path))

    def test_all_that_was_acknowledged_is_there(self, killed: tuple[Path, list[Any]], tmp_path: Path) -> None:
        assert len(killed[1]) >= 30
        assert self.compare(killed[0].read_bytes(), killed[1], tmp_path) == []

    def test_the_end_may_be_torn_or_longer(self, killed: tuple[Path, list[Any]], tmp_path: Path) -> None:
        content, acknowledged = killed[0].read_bytes(), killed[1]
        one_more = another(len(entries_of(content)))
        for end in (one_more, one_more[:100], one_more[:20], one_more[:3], bytes(100)):
            assert self.compare(content + end, acknowledged, tmp_path) == [], len(end)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (lambda all_: all_[:20], Fault.MISSING),
            (lambda all_: [*all_[:20], all_[20][:50]], Fault.TRUNCATED),
            (lambda all_: [*all_[:10], *all_[11:]], Fault.MISSING),
            (lambda all_: [*all_[:10], all_[11], all_[10], *all_[12:]], Fault.ORDER),
            (lambda all_: [*all_[:10], another(10), *all_[11:]], Fault.TIMESTAMPS),  # written after its successors
            (lambda all_: [*all_[:10], bytes([all_[10][0] ^ 1]) + all_[10][1:], *all_[11:]], Fault.DAMAGED),
            (lambda all_: [*all_[:20], bytes(5000)], Fault.MISSING),
        ],
    )
    def test_a_loss_among_the_acknowledged_is_found(
        self, change: Callable[[list[bytes]], list[bytes]], fault: Fault, killed: tuple[Path, list[Any]], tmp_path: Path
    ) -> None:
        content = b"".join(change(entries_of(killed[0].read_bytes())))
        worst = verdict.most_telling(self.compare(content, killed[1], tmp_path))
        assert worst is not None
        assert worst.fault is fault, worst

    def test_a_lost_file(self, killed: tuple[Path, list[Any]]) -> None:
        (finding,) = verdict.compare_stream("killed.entries", killed[1], None)
        assert finding.fault is Fault.MISSING


FIGURES = {"syncMs": {"p50": 1.0, "p95": 2.0, "p99": 9.5}, "writeMBps": 90.0, "writeIOPS": 500.0}


def too_slow(**limits: float) -> list[str]:
    """How the figures break these limits."""
    given = [FigureLimit.parse(f"{name}={number}") for name, number in limits.items()]
    return [limit.broken(FIGURES) for limit in given if not limit.is_kept(FIGURES)]


class TestLimits:
    def test_kept(self) -> None:
        assert too_slow(syncP50Ms=1, syncP95Ms=2, syncP99Ms=9.5, writeMBps=90, writeIOPS=500) == []

    def test_broken(self) -> None:
        assert too_slow(syncP99Ms=9, writeMBps=100, writeIOPS=1) == [
            "syncP99Ms is 9.5, the limit is at most 9",
            "writeMBps is 90, the limit is at least 100",
        ]

    def test_their_names_and_descriptions_are_those_of_the_settings(self) -> None:
        fields = settings.CanaryLimits.model_fields.values()
        expected = {field.alias: (field.description, field.examples) for field in fields}
        assert {name: (figure.description, [figure.example]) for name, figure in LIMITED_FIGURES.items()} == expected


@pytest.mark.parametrize("share", [0.94, 0.715, 0.703])  # xfs, ext4 with a million inodes, ext4 with one for each KiB
def test_a_file_system_may_keep_some_of_its_claim_for_itself(share: float) -> None:
    assert not verdict.too_small(int(2**30 * share), 2**30)


def test_a_file_system_of_half_its_claim_is_too_small() -> None:
    assert verdict.too_small(2**29, 2**30)


def test_little_free_space_is_a_sentence() -> None:
    assert verdict.free_space_warning(10 * 2**30, 10 * 2**30) is None
    assert (
        verdict.free_space_warning(2**30, 5 * 2**30) == "1.00 GiB are free where the tier's volumes are, and 5.00 GiB are provisioned on it"
    )
