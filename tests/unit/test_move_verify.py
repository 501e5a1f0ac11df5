"""`move --verify`, at any time: a move is found again by what was kept of it, whatever became of
its source.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from components.kube.api import KubeApi
from ops.errors import UserError
from ops.move import planning, remembered
from ops.move.ends import FolderEnd
from ops.move.kept import KeptMove, move_id
from ops.move.planning import StackAndApi
from ops.move.proving import Different
from ops.move.run import VolumeMove
from tests.unit.test_move_plan import DEV, Cluster, claim

STOP = threading.Event()


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("os.geteuid", lambda: 0, raising=False)


def known(source: str, target: str, state: str = "proven", **more: Any) -> None:
    """A move from one claim to another, each by its UID."""
    KeptMove(move_id(source, target)).save(
        state=state,
        source={"stack": "dev", "claim": "data-postgres-0", "uid": source},
        target={"stack": "aws", "uid": target},
        verdict={"provenAt": more.pop("at", "2026-01-01T00:00:00+00:00")},
        **more,
    )


def found(source: str | None = "dev", service: str | None = None, ordinal: int | None = None) -> list[VolumeMove]:
    """Of the stack `aws`, with the dev stack's settings."""
    names = ("postgres-0", "kafka-0", "kafka-1", "kafka-2")
    cluster = Cluster({f"data-{each}": claim(f"data-{each}") for each in names})
    target = StackAndApi(cast(KubeApi, cluster), DEV)
    return remembered.moves(source, target, None, None, service=service, ordinal=ordinal, stop=STOP)[0]


def test_a_move_is_found_by_its_target_where_its_source_is_gone() -> None:
    known("gone", "uid-of-data-postgres-0")
    (move,) = found(service="postgres")
    assert (move.title, move.id) == ("postgres-0", move_id("gone", "uid-of-data-postgres-0"))
    assert move.source.title == "dev data-postgres-0"
    assert not move.source.exists()
    with pytest.raises(UserError, match="by what was kept of it alone"):
        move.source.run("look")
    assert planning.problems([(None, None)], [move], verify=True) == {}


def test_of_two_moves_to_one_claim_it_is_the_one_that_was_proven_last() -> None:
    known("first", "uid-of-data-kafka-1")
    known("begun since", "uid-of-data-kafka-1", "begun", at="2026-03-01T00:00:00+00:00")
    known("last", "uid-of-data-kafka-1", at="2026-02-01T00:00:00+00:00")
    assert [each.source.uid for each in found(service="kafka", ordinal=1)] == ["last"]


def test_one_that_is_not_finished_is_said_and_not_left_out() -> None:
    known("a", "uid-of-data-kafka-0", "begun")
    (move,) = found(service="kafka", ordinal=0)
    with pytest.raises(UserError, match="this move isn't finished, so there is nothing to verify"):
        move.verify()


def test_a_claim_that_no_move_is_about_is_named_and_not_left_out() -> None:
    """It was made anew, empty, or wasn't moved."""
    known("a", "uid-of-data-postgres-0")
    known("b", "the claim that kafka-1 had before")
    with pytest.raises(UserError, match=r"^kafka-0, kafka-1, kafka-2: no move from dev to the claims that are there now") as refused:
        found()
    assert refused.value.hint.endswith(": --service postgres")
    known("c", "uid-of-data-kafka-2")
    with pytest.raises(UserError, match=r"^kafka-0, kafka-1: no move") as refused:
        found(service="kafka")
    assert refused.value.hint.endswith(": --service kafka --ordinal 2")


def test_what_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    known("a", "uid-of-data-postgres-0")
    (tmp_path / "state/storage-tiers/moves" / move_id("a", "uid-of-data-postgres-0") / "move.json").write_text("{")
    with pytest.raises(UserError, match="can't be read"):
        found(service="postgres")


@pytest.mark.parametrize("how", [{"source": "other"}, {"service": "kafka"}])
def test_where_there_is_none_that_is_said(how: dict[str, Any]) -> None:
    known("a", "uid-of-data-postgres-0")
    known("b", "uid-of-data-kafka-0", live=True)  # it has no manifest of files
    with pytest.raises(UserError, match=r"no move from \w+ to dev is known on this machine") as refused:
        found(**how)
    assert refused.value.hint


@pytest.mark.skipif(sys.platform != "linux", reason="files are moved whole on Linux alone")
def test_a_backup_is_verified_without_its_stack(tmp_path: Path) -> None:
    source, backup = tmp_path / "data-postgres-0", tmp_path / "backup"
    source.mkdir()
    (source / "file").write_bytes(os.urandom(10_000))
    moving = VolumeMove("postgres-0", FolderEnd(source), FolderEnd(backup / "data-postgres-0"), STOP)
    moving.source.described = {"stack": "dev", "claim": "data-postgres-0", "uid": moving.source.uid}
    moving.move()
    shutil.rmtree(source)
    moves, sides = remembered.moves("dev", None, None, backup, service="postgres", ordinal=0, stop=STOP)
    assert (sides, [each.verify()["verdict"] for each in moves]) == ([(None, None)], ["proven"])
    with pytest.raises(UserError, match=f"no move from dev to {backup} is known"):
        remembered.moves("dev", None, None, backup, service="kafka", ordinal=None, stop=STOP)
    (backup / "data-postgres-0/file").write_bytes(os.urandom(10_000))
    with pytest.raises(Different, match="is no longer what was moved") as different:
        moves[0].verify()
    assert different.value.hint.startswith("A service that has run on it since is reason enough.")


def test_what_came_from_a_folder_is_found_by_that_folder(tmp_path: Path) -> None:
    folder, uid = tmp_path / "backup/data-postgres-0", "uid-of-data-postgres-0"
    KeptMove(move_id(str(folder), uid)).save(
        state="proven", source={"folder": str(folder)}, target={"stack": "aws", "uid": uid}, verdict={"provenAt": "2026"}
    )
    target = StackAndApi(cast(KubeApi, Cluster({f"data-{each}": claim(f"data-{each}") for each in ("postgres-0",)})), DEV)
    (move,), _ = remembered.moves(None, target, tmp_path / "backup", None, service="postgres", ordinal=None, stop=STOP)
    assert (move.source.title, move.id) == (str(folder), move_id(str(folder), uid))
