"""What keeps a live move from beginning, what is on the volume, and what is said."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.errors import UserError
from ops.move.conversation import Broken
from ops.move.kept import KeptMove
from ops.move.live import catching_up, checks, sql
from ops.move.live.manifest import manifest
from ops.move.live.pod import volume
from ops.move.live.source import Source
from ops.move.live.target import Target
from ops.move.records import unproven_from
from tests.unit.test_move_plan import Cluster, pod, side

GIB = 2**30
FACTS: dict[str, Any] = {
    "version": 170002,
    "standby": False,
    "walLevel": "replica",
    "senders": 10,
    "slots": None,
    "lost": [],
    "freeSlots": 10,
    "slotKeep": "1GB",
    "tablespaces": [],
    "subscriptions": 0,
    "unlogged": [],
    "prepared": 0,
    "archives": False,
    "dataDirectory": "/data/pgdata",
    "built": "PostgreSQL 17.2 on x86_64-pc-linux-gnu",
    "bytes": GIB,
    "walBytes": 0,
    "listens": "*",
    "settings": {},
}


def source(cluster: Cluster | None = None) -> Source:
    mount = {"name": "data", "mountPath": "/data"}
    return Source(side(cluster or Cluster({})), "/pods/x", "x", "postgres", "postgres:17", mount, "/data/pgdata", "postgres", (999, 998))


def test_a_postgresql_that_can_be_moved_has_no_problem() -> None:
    assert list(checks.of_source(source(), FACTS, "mine")) == []


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"standby": True}, "move from its primary"),
        ({"walLevel": "minimal"}, "wal_level = minimal"),
        ({"senders": 1}, "has 1 free of max_wal_senders, and 2 are needed"),
        ({"freeSlots": 0}, "no free replication slot"),
        ({"tablespaces": ["fast"]}, r"tablespaces of its own \(fast\)"),
        ({"unlogged": ["shop"]}, "unlogged tables, in shop.*SET LOGGED"),
        ({"dataDirectory": "/other"}, "has its data in /other, and not where PGDATA says: /data/pgdata"),
        ({"listens": ""}, "listens on its socket alone"),
        ({"listens": "10.0.0.7"}, r"listens on 10\.0\.0\.7"),
    ],
)
def test_what_has_to_be_otherwise_is_said(facts: dict[str, Any], says: str) -> None:
    (problem,) = checks.of_source(source(), {**FACTS, **facts}, "mine")
    assert re.search(says, problem), problem


@pytest.mark.parametrize(
    ("answered", "says"),
    [("120009|t", "is of version 12: a live move takes 14 or newer"), ("170002|f", "user postgres is no superuser")],
)
def test_an_old_version_and_another_user_are_asked_nothing_that_they_do_not_know(
    answered: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "sql", lambda _, text: answered if text == sql.WHO else pytest.fail(text))
    with pytest.raises(UserError, match=says):
        source().facts()


def test_the_moves_own_slot_takes_no_other() -> None:
    assert list(checks.of_source(source(), {**FACTS, "freeSlots": 0, "slots": {"mine": "physical"}}, "mine")) == []


def test_a_target_that_is_used_or_too_small_is_refused() -> None:
    found = list(checks.of_target(side(Cluster({"pods": [pod("other")]})), {**FACTS, "bytes": 6 * GIB}, "m"))
    assert len(found) == 2
    assert "is used by pod other" in found[0]
    assert "has 6.00 GiB, and the source needs 6.60 GiB" in found[1]


def test_missing_rights_are_all_named() -> None:
    cluster = Cluster({})
    cluster.denied = {"create pods/portforward", "create pods/exec"}
    (said,) = checks.lacking(side(cluster), writes=False)
    assert said.endswith("create pods/exec, create pods/portforward")


def test_what_does_not_come_along_is_told() -> None:
    told = list(checks.warnings({**FACTS, "slots": {"cdc": "logical", "standby": "physical"}, "slotKeep": "-1", "subscriptions": 2}))
    assert told[0].startswith("Logical replication slots don't come along: cdc.")
    assert "2 subscriptions" in told[1]
    assert "may fill its volume" in told[2]


def test_the_pod_is_restricted_and_has_the_sources_own_image_and_user() -> None:
    made = manifest(side(Cluster({})), source(), "m", "r")
    spec = made["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (999, 998)
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
    engine = spec["containers"][0]
    assert engine["image"] == "postgres:17"
    assert engine["env"] == [{"name": "PGDATA", "value": "/data/pgdata"}]
    assert "password" not in str(made).replace("volume.py", "").lower()


def test_names_and_strings_are_quoted() -> None:
    assert sql.literal("o'clock") == "'o''clock'"
    assert "ARRAY['a''b', 'c']::text[]" in sql.reopen(["a'b", "c"])
    assert "CONNECTIONS true" in sql.reopen(["a"])
    assert "ARRAY[]::text[]" in sql.reopen([])


def test_an_answer_without_its_end_is_none() -> None:
    assert sql.script(["SELECT 1"]) == f"SELECT 1;\n\\echo {sql.END}\n\\q\n".encode()
    assert sql.answer(f"1\n2\n{sql.END}\n") == "1\n2"
    assert sql.answer(f"{sql.END}\n") == ""
    for said in ("", "1\n"):
        with pytest.raises(Broken, match="lost on the way"):
            sql.answer(said)


def test_thousands_of_databases_are_no_part_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is run in a pod is in the request's address, of which servers take a few KiB."""
    seen: list[bytes] = []

    def call(_api: Any, _pod: str, _container: str, command: list[str], *, stdin: bytes, longest: float) -> str:
        assert sum(map(len, command)) < 4096
        seen.append(stdin)
        return f"[]\n{sql.END}\n"

    monkeypatch.setattr("ops.move.live.source.call", call)
    names = [f"tenant-{number:05}" for number in range(5000)]
    assert source().close(names) == []
    assert b"'tenant-00000', " in seen[0] and b"'tenant-04999']" in seen[0]


def test_a_connection_string_takes_any_value() -> None:
    assert sql.conninfo(user="o'brien \\ x", dbname="a=b") == "user='o\\'brien \\\\ x' dbname='a=b'"


def test_another_architecture_is_refused_before_anything_is_copied() -> None:
    found = {"others": [], "move": "", "writable": True, "begun": False, "freeBytes": 2**40, "machine": "aarch64"}
    with pytest.raises(UserError, match="architecture aarch64, and the source's PostgreSQL is built for x86_64"):
        checks.check_volume(found, side(Cluster({})), FACTS, "m")
    for machine, built in (("aarch64", "on aarch64-unknown-linux-gnu"), ("ppc64le", "on powerpc64le-unknown-linux-gnu")):
        checks.check_volume({**found, "machine": machine}, side(Cluster({})), {**FACTS, "built": built}, "m")


class Standby(Target):
    """Answers as a standby does that isn't promoted in time."""

    def sql(self, *statements: str, database: str = "template1") -> str:
        return "f" if "pg_promote" in statements[0] else "t"


def test_a_promotion_that_does_not_come_is_none() -> None:
    with pytest.raises(Broken, match="hasn't been promoted"):
        Standby(side(Cluster({})), source(), "m", "r").promote()


def test_whether_postgresql_runs_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Target(side(Cluster({})), source(), "m", "r")

    def fails(passing: bool) -> None:
        def call(*_: Any, **__: Any) -> str:
            raise Broken("no", passing=passing)

        monkeypatch.setattr("ops.move.live.target.call", call)

    fails(passing=False)
    assert not made.answers()
    fails(passing=True)
    with pytest.raises(Broken):
        made.answers()


def test_a_standby_of_a_busy_source_has_caught_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source writes 10 MiB while either is asked, and the standby has it at once."""
    written = 0

    def ask(text: str) -> str:
        nonlocal written
        written += 10 * 2**20
        if "wal_receiver" in text:
            return "1"
        if "pg_wal_lsn_diff" in text:
            known = re.search(r"'0/([0-9A-F]+)'", text)
            assert known
            return str(int(known[1], 16) - written)
        return f"0/{written:X}"

    monkeypatch.setattr(catching_up, "_STALLED", 0)
    end = SimpleNamespace(sql=ask, start_standby=lambda *_: None, is_standby=lambda: True, log=lambda: "")
    catching_up.catch_up(cast(Any, end), cast(Any, end), {}, cast(Any, SimpleNamespace(check=lambda: None)), lambda *_: None)


@pytest.mark.parametrize(
    ("replayed", "written", "size", "distance"),
    [
        ("000000010000000000000003", "00000001000000000000000A", 2**24, 7 * 2**24),
        ("0000000100000000000000FF", "000000010000000100000000", 2**24, 2**24),
        ("000000010000000000000003", "000000010000000100000000", 2**30, 2**30),
        ("000000010000000000000003", "000000010000000000000003", 2**24, 0),
    ],
)
def test_how_much_is_between_two_files_of_the_log(replayed: str, written: str, size: int, distance: int) -> None:
    assert catching_up.distance(replayed, written, size) == distance


def test_a_standby_that_replays_for_long_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catching_up, "_SHOWN", 0)
    replayed: list[str | Broken] = ["000000010000000000000003", "", Broken("no answer"), "000000010000000000000009"]

    def look() -> str:
        found = replayed.pop(0)
        if isinstance(found, Broken):
            raise found
        return found

    def start(_: object, check: Callable[[], None]) -> None:
        while replayed:
            check()

    said: list[tuple[str, str]] = []
    source = SimpleNamespace(wal_file=lambda: ("00000001000000000000000A", 2**24))
    target = SimpleNamespace(start_standby=start, replayed=look, is_standby=lambda: False)
    bridge = SimpleNamespace(check=lambda: None)
    catching_up.catch_up(cast(Any, source), cast(Any, target), {}, cast(Any, bridge), lambda *told: said.append(told))
    behind = [f"replays WAL, {each} behind" for each in ("112.0 MiB", "16.0 MiB")]
    assert said == [("starting the standby", each) for each in ("", *behind)]


DATA = "pgdata"


def test_only_what_the_move_has_written_is_removed(tmp_path: Path) -> None:
    data = tmp_path / DATA
    (tmp_path / "lost+found").mkdir()
    assert volume.look(tmp_path, data, "m")["others"] == []
    volume.begin(tmp_path, data, "m")
    data.mkdir()
    (data / "PG_VERSION").write_text("17")
    assert volume.look(tmp_path, data, "m")["begun"] is True
    with pytest.raises(ValueError, match="isn't empty: pgdata"):
        volume.begin(tmp_path, data, "another")
    assert (data / "PG_VERSION").exists()
    volume.begin(tmp_path, data, "m")
    assert not data.exists()
    with pytest.raises(ValueError, match="another move's"):
        volume.finish(tmp_path, "another")
    volume.finish(tmp_path, "m")
    assert [each.name for each in tmp_path.iterdir()] == ["lost+found"]


def test_what_is_called_off_leaves_the_volume_empty_for_another_move(tmp_path: Path) -> None:
    data = tmp_path / "below/pgdata"
    volume.begin(tmp_path, data, "m")
    data.mkdir()
    (data / "PG_VERSION").write_text("17")
    assert volume.main("clear", str(tmp_path), str(data), "m") == 0
    assert not list(tmp_path.iterdir())
    volume.begin(tmp_path, data, "another")


def test_a_strangers_file_keeps_a_move_from_beginning(tmp_path: Path) -> None:
    (tmp_path / DATA).mkdir()
    with pytest.raises(ValueError, match="isn't empty: pgdata"):
        volume.begin(tmp_path, tmp_path / DATA, "m")
    assert not (tmp_path / volume.MARKER).exists()


def test_what_was_lost_on_the_way_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("source", "target"):
        monkeypatch.setattr(f"ops.move.live.{module}.call", lambda *_, **__: "")
    for ask in (source().password, lambda: Target(side(Cluster({})), source(), "m", "r").volume("look")):
        with pytest.raises(Broken, match="lost on the way"):
            ask()


def test_a_password_is_kept_for_one_user_alone(tmp_path: Path) -> None:
    for text, kept in (("a:b\\c", "*:*:*:*:a\\:b\\\\c\n"), ("", "")):
        volume.password(text, tmp_path)
        file = tmp_path / volume.PASSFILE
        assert file.read_text() == kept
        assert file.stat().st_mode & 0o777 == 0o600


def test_the_shell_of_the_source_gives_what_the_images_variables_say(tmp_path: Path) -> None:
    script = Path(volume.__file__).with_name("source.sh").read_text()
    (tmp_path / "password").write_text("of a file\n")
    given = str(tmp_path / "password")
    variables = {"PATH": "/usr/bin:/bin", "PGDATA": str(tmp_path), "POSTGRES_USER": "me", "POSTGRES_PASSWORD_FILE": given}

    def run(*arguments: str) -> str:
        command = ["sh", "-c", script, "source.sh", *arguments]
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=True).stdout

    found = tmp_path.stat()
    assert run("variables") == f"{tmp_path}\nme\n{found.st_uid}:{found.st_gid}\n\n"
    (tmp_path / "postmaster.pid").write_text(f"1\n{tmp_path}\n1700000000\n5433\n/tmp\n*\n")
    assert run("variables").splitlines()[3] == "5433"
    assert run("password") == "of a file\n"


def test_a_volume_is_not_pruned_before_its_live_move_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = KeptMove("m")
    kept.save(state="following", live=True, source={"uid": "u", "stack": "dev"}, target={"stack": "aws"})
    assert (again := unproven_from("u")) and again.command == "python -m ops move --from dev --to aws --live"
    kept.forget()
    assert unproven_from("u") is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--from", "dev", "--to", "aws", "--switch"], "--switch is a step of a live move"),
        (["--from", "dev", "--to-folder", "x", "--live"], "a folder runs nothing"),
        (["--from", "dev", "--to", "aws", "--live", "--plan", "--switch"], "can't be given with --switch and --plan"),
        (["--from", "dev", "--to", "aws", "--live", "--verify"], "can't be given with --verify"),
    ],
)
def test_what_cannot_be_asked_for(arguments: list[str], says: str) -> None:
    done = subprocess.run([sys.executable, "-m", "ops", "move", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert says in done.stderr
