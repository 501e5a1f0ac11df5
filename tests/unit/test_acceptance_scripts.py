"""The pure parts of what runs in an acceptance's pods."""

from __future__ import annotations

import ast
import errno
import io
import json
import sys
from pathlib import Path

import pytest

from components.acceptance.manifests import SCRIPTS
from components.acceptance.scripts import common, interpreter, postgresql
from components.canary.words import failed_operation
from devkube.images.engines import CLIENT_REQUIREMENTS
from tests.unit.mocked_program import ROOT

MAPS = """\
7f1-7f2 r--p 00000000 08:01 11   /usr/lib/x86_64-linux-gnu/libffi.so.8.1.2
7f2-7f3 r-xp 00001000 08:01 11   /usr/lib/x86_64-linux-gnu/libffi.so.8.1.2
7f3-7f4 rw-p 00000000 00:00 0
7f4-7f5 r--p 00000000 08:01 12   /a folder/lib.so
7f5-7f6 r--p 00000000 08:01 13   /usr/lib/gone.so (deleted)
7ff-800 r-xp 00000000 00:00 0    [vdso]
"""


def test_mapped_files_are_named_once() -> None:
    assert interpreter.mapped_files(MAPS) == ["/usr/lib/x86_64-linux-gnu/libffi.so.8.1.2", "/a folder/lib.so"]


@pytest.mark.parametrize(
    ("name", "loader"),
    [
        ("/lib64/ld-linux-x86-64.so.2", True),
        ("/lib/ld-linux-aarch64.so.1", True),
        ("/lib/ld-musl-x86_64.so.1", True),
        ("/usr/lib/libc.so.6", False),
        ("/usr/lib/libldap.so.2", False),
    ],
)
def test_the_loader_is_told_from_libraries(name: str, loader: bool) -> None:
    assert interpreter.is_loader(name) is loader


def test_a_library_gets_the_names_by_which_it_is_asked_for() -> None:
    assert interpreter.library_names("libffi.so.8.1.2") == ["libffi.so.8", "libffi.so.8.1"]
    assert interpreter.library_names("libc.so.6") == []
    assert interpreter.library_names("libexample-1.4.so") == []


def test_content_is_of_one_run_client_and_number_alone() -> None:
    made = [common.content(*each) for each in (("00ff", 1, 2), ("00fe", 1, 2), ("00ff", 2, 2), ("00ff", 1, 3), ("00ff", 12, 2))]
    assert len(set(made)) == len(made)
    assert made[0] == common.content("00ff", 1, 2)
    assert all(128 <= len(each) <= 640 for each in made)


def test_blocks_end_at_their_multiples_and_at_gaps() -> None:
    numbers = [*range(1, 503), 504, 504]
    made = [[first, last] for first, last, _ in common.blocks((number, "x") for number in numbers)]
    assert made == [[1, 500], [501, 502], [504, 504], [504, 504]]
    assert list(common.blocks([])) == []


def test_ranges_keep_the_order() -> None:
    assert common.parts([1, 2, 3, 7, 5, 6]) == [[1, 3], [7, 7], [5, 6]]


def test_latencies_are_in_milliseconds() -> None:
    found = common.latencies(number / 1000 for number in range(1, 1001))
    assert found == {"p50": 501.0, "p95": 951.0, "p99": 991.0, "p999": 1000.0, "max": 1000.0}
    assert common.latencies([]) == {}


def test_the_slots_output_is_read() -> None:
    found = postgresql.INSERT.match("table public.ledger: INSERT: client[integer]:3 n[bigint]:41 payload[text]:'0f'")
    assert found and found.groups() == ("3", "41")
    assert postgresql.INSERT.match("table public.counted: UPDATE: client[integer]:3 n[bigint]:41") is None


@pytest.mark.parametrize("name", ["interpreter.py", "start.py", "common.py", "kafka.py", "kafka_broker.py", "postgresql.py"])
def test_a_script_needs_no_other_package_than_its_client(name: str) -> None:
    tree = ast.parse((ROOT / "components/acceptance/scripts" / name).read_text(encoding="utf-8"))
    named = [each.module or "" for each in ast.walk(tree) if isinstance(each, ast.ImportFrom) and not each.level]
    named += [alias.name for each in ast.walk(tree) if isinstance(each, ast.Import) for alias in each.names]
    assert {name.partition(".")[0] for name in named} - set(sys.stdlib_module_names) <= {"psycopg", "confluent_kafka"}


def test_pip_installs_the_same_client_in_a_pod_as_in_the_image_of_the_dev_cluster() -> None:
    assert (SCRIPTS / "requirements.txt").read_text() == CLIENT_REQUIREMENTS.read_text()


@pytest.mark.parametrize(
    ("code", "log", "named"),
    [
        ("start", b"2026-11-26 [7] PANIC:  could not write to file: No space left on device\n", "ENOSPC"),
        ("connection", b"2026-11-26 [7] PANIC:  could not fdatasync file: Read-only file system\n", "EROFS"),
        ("connection", b"2026-11-26 [7] PANIC:  could not fdatasync file: Input/output error\n", "EIO"),
        ("start", b"x [7] PANIC:  could not locate a valid checkpoint record\nx [8] FATAL:  the database system is starting up\n", "start"),
        ("53100", b"2026-11-26 [7] FATAL:  role does not exist\n", "53100"),
    ],
)
def test_what_postgresql_can_only_say_to_its_log_names_the_fault(tmp_path: Path, code: str, log: bytes, named: str) -> None:
    server = postgresql.PostgresServer(tmp_path, tmp_path, 0)
    server.log.pass_on(io.BytesIO(log))
    problem = server.explained(common.EngineFault(code, "it has ended"))
    assert problem.code == named
    assert ("PANIC" in str(problem)) is (code != "53100")


@pytest.mark.parametrize(
    ("problem", "sentence"),
    [
        (
            OSError(errno.EROFS, "Read-only file system", "/volume/accept.lock"),
            "the volume is read-only: Read-only file system (EROFS) at ",
        ),
        (OSError(errno.ENOSPC, "No space left on device", "/volume/kafka"), "the volume is full: No space left on device (ENOSPC) at "),
    ],
)
def test_what_a_script_meets_on_the_volume_itself_is_named(problem: OSError, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    common.say_fault(problem)
    word, _, said = capsys.readouterr().out.partition(" ")
    assert word == "fault"
    assert failed_operation(json.loads(said)) == f"{sentence}{problem.filename}"
