"""What keeps a live move from beginning, what is on the volume, and what is said."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ops.move.conversation import Broken
from ops.move.kept import KeptMove, unproven_from
from ops.move.live import checks, sql
from ops.move.live.pod import volume
from ops.move.live.source import Source
from ops.move.live.target import manifest
from tests.unit.test_move_plan import Cluster, pod, side

GIB = 2**30
FACTS: dict[str, Any] = {
    "version": 170002,
    "standby": False,
    "superuser": True,
    "walLevel": "replica",
    "senders": 10,
    "slots": None,
    "lost": [],
    "freeSlots": 10,
    "slotKeep": "1GB",
    "tablespaces": [],
    "subscriptions": 0,
    "bytes": GIB,
    "walBytes": 0,
    "port": 5432,
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
        ({"version": 130009}, "is of version 13: a live move takes 14 or newer"),
        ({"standby": True}, "move from its primary"),
        ({"superuser": False}, "user postgres is no superuser"),
        ({"walLevel": "minimal"}, "wal_level = minimal"),
        ({"senders": 1}, "has 1 free of max_wal_senders, and 2 are needed"),
        ({"freeSlots": 0}, "no free replication slot"),
        ({"tablespaces": ["fast"]}, r"tablespaces of its own \(fast\)"),
        ({"listens": ""}, "listens on its socket alone"),
        ({"listens": "10.0.0.7"}, r"listens on 10\.0\.0\.7"),
    ],
)
def test_what_has_to_be_otherwise_is_said(facts: dict[str, Any], says: str) -> None:
    (problem,) = checks.of_source(source(), {**FACTS, **facts}, "mine")
    assert re.search(says, problem), problem


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
    assert sql.arguments(["SELECT 1"])[:2] == ["-c", "SELECT 1"]
    assert sql.answer(f"1\n2\n{sql.END}\n") == "1\n2"
    assert sql.answer(f"{sql.END}\n") == ""
    for said in ("", "1\n"):
        with pytest.raises(Broken, match="lost on the way"):
            sql.answer(said)


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


def test_a_strangers_file_keeps_a_move_from_beginning(tmp_path: Path) -> None:
    (tmp_path / DATA).mkdir()
    with pytest.raises(ValueError, match="isn't empty: pgdata"):
        volume.begin(tmp_path, tmp_path / DATA, "m")
    assert not (tmp_path / volume.MARKER).exists()


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
    assert run("variables") == f"{tmp_path}\nme\n{found.st_uid}:{found.st_gid}\n"
    assert run("password") == "of a file"


def test_a_volume_is_not_pruned_before_its_live_move_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept = KeptMove("m")
    kept.save(state="following", live=True, source={"uid": "u", "stack": "dev"}, target={"stack": "aws"})
    assert unproven_from("u") == "python -m ops move --from dev --to aws --live"
    kept.forget()
    assert unproven_from("u") == ""


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
