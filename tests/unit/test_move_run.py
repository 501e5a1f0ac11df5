"""A whole move between two folders of this machine: the same steps as between claims, by the same
program.
"""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from ops.errors import UserError
from ops.move.conversation import Broken, _explained, _Party
from ops.move.ends import End, FolderEnd
from ops.move.kept import Entry, read
from ops.move.planning import planned
from ops.move.process import Process
from ops.move.proving import Different
from ops.move.records import readable_records
from ops.move.run import VolumeMove
from ops.move.session import describe, each_of


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    folder = tmp_path / "source"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_bytes(os.urandom(3_000_000))
    os.link(folder / "inner/file", folder / "linked")
    (folder / "link").symlink_to("nowhere")
    return folder


def a_move(source: Path, target: Path) -> VolumeMove:
    return VolumeMove("postgres-0", FolderEnd(source), FolderEnd(target), threading.Event())


def test_it_is_proven_once_and_can_be_verified(source: Path, tmp_path: Path) -> None:
    moving = a_move(source, tmp_path / "target")
    verdict = moving.move()
    assert (verdict["verdict"], verdict["files"], verdict["bytes"]) == ("proven", 1, 3_000_000)
    assert (tmp_path / "target/inner/file").read_bytes() == (source / "inner/file").read_bytes()
    assert (tmp_path / "target/linked").stat().st_ino == (tmp_path / "target/inner/file").stat().st_ino
    assert sorted(each.name for each in (tmp_path / "target").iterdir()) == ["inner", "link", "linked"], "no marker is left"
    assert read(tmp_path / "target.manifest.jsonl") == read(moving.kept.manifest)
    assert moving.move()["done"] == "before"
    plan = planned(moving)
    assert (plan["done"], plan["provenAt"], plan["problem"]) == ("before", verdict["provenAt"], ""), "a plan says what the move does"
    assert moving.verify()["verifiedAt"]


def test_a_backup_that_was_taken_away_is_made_again(source: Path, tmp_path: Path) -> None:
    """The same folder for every backup: that there was one once is no backup."""
    a_move(source, tmp_path / "backup").move()
    (tmp_path / "backup").rename(tmp_path / "older")
    (source / "new").write_text("new")
    verdict = a_move(source, tmp_path / "backup").move()
    assert "done" not in verdict
    assert (tmp_path / "backup/new").read_text() == "new"
    assert "/new" in {f"/{each['path']}" for each in read(tmp_path / "backup.manifest.jsonl")}
    assert a_move(source, tmp_path / "backup").verify()["files"] == verdict["files"] == 2


def test_what_was_changed_since_is_named(source: Path, tmp_path: Path) -> None:
    moving = a_move(source, tmp_path / "target")
    moving.move()
    with (tmp_path / "target/inner/file").open("r+b") as file:
        file.write(b"other")
    with pytest.raises(Different, match="is no longer what was moved") as caught:
        moving.verify()
    assert "inner/file" in caught.value.message


def test_a_backup_that_is_no_longer_what_it_was_is_not_restored(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "backup").move()
    path = tmp_path / "backup/inner/file"
    seen = path.stat()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    with pytest.raises(Different, match=r"isn't what was put into it:\n.*its contents are others"):
        a_move(tmp_path / "backup", tmp_path / "back").move()


def test_of_a_folder_without_its_manifest_it_is_said_that_it_may_not_be_whole(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "backup").move()
    (tmp_path / "backup/linked").unlink()
    (tmp_path / "backup.manifest.jsonl").unlink()
    moving = a_move(tmp_path / "backup", tmp_path / "back")
    said = planned(moving)["caveat"]
    assert f"nothing says that folder {tmp_path / 'backup'} is whole: there is no {tmp_path / 'backup.manifest.jsonl'}" in said
    assert moving.move()["caveat"] == moving.verify()["caveat"] == said


def test_of_a_folder_with_its_manifest_nothing_is_said(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "backup").move()
    moving = a_move(tmp_path / "backup", tmp_path / "back")
    assert "caveat" not in planned(moving)
    assert "caveat" not in moving.move()


def test_what_the_target_does_not_keep_is_named_and_sent_again_by_the_next_run(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its size, times and mode are as they were sent: nothing but its contents tells."""
    odd = os.fsencode(source) + b"/not-\xff-utf8"
    for path in (Path(os.fsdecode(odd)), source / "other"):
        path.write_bytes(b"some")
    target = tmp_path / "target"
    moving = a_move(source, target)
    read_back = moving._read_back

    def flipped() -> list[Entry]:
        for path in (target / "inner/file", Path(os.fsdecode(os.fsencode(target) + b"/not-\xff-utf8"))):
            seen = path.stat()
            with path.open("r+b") as file:
                file.write(b"flip")
            os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        return read_back()

    monkeypatch.setattr(moving, "_read_back", flipped)
    with pytest.raises(Different, match="its contents are others") as caught:
        moving.move()
    assert len(caught.value.differences) == 2
    assert "The same command sends again what differs" in caught.value.hint
    kept, sent = ((target / each).stat().st_ino for each in ("other", "inner/file"))
    verdict = a_move(source, target).move()
    assert (verdict["verdict"], verdict["resumed"]) == ("proven", True)
    assert (target / "inner/file").read_bytes() == (source / "inner/file").read_bytes()
    assert (target / "other").stat().st_ino == kept, "what was whole isn't sent again"
    assert (target / "inner/file").stat().st_ino != sent
    assert (target / "inner/file").samefile(target / "linked")


def test_where_it_cannot_be_noted_at_the_target_what_differs_is_said_all_the_same(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    moving = a_move(source, target)
    read_back = moving._read_back

    def lost() -> list[Entry]:
        (target / ".storage-tiers-move").unlink()
        (target / "link").unlink()
        return read_back()

    monkeypatch.setattr(moving, "_read_back", lost)
    with pytest.raises(Different, match="link: is missing on the target") as caught:
        moving.move()
    assert "remove there what differs: that couldn't be noted there (the target isn't this move's any more)" in caught.value.hint


def test_a_target_that_is_not_empty_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target/mine").write_text("mine")
    with pytest.raises(UserError, match=f"the target, {tmp_path / 'target'}, isn't empty: it has 1 entries.") as refused:
        a_move(source, tmp_path / "target").move()
    said = f"{refused.value.message} {refused.value.hint}"
    assert planned(a_move(source, tmp_path / "target"))["problem"] == said, "a plan says what the move does"
    assert [each.name for each in (tmp_path / "target").iterdir()] == ["mine"]
    assert not list(readable_records()), "nothing has begun: no destroy waits for it"


def test_a_run_that_is_cut_at_its_very_end_is_finished_by_the_next(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: End) -> None:
        raise KeyboardInterrupt

    moving = a_move(source, tmp_path / "target")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(FolderEnd, "close", lambda end: cut(end) if moving.kept.compared and end is moving.target else None)
        moving.move()
    assert not (tmp_path / "target/.storage-tiers-move").exists(), "the marker is gone already"
    assert moving.kept.verdict is None
    assert a_move(source, tmp_path / "target").move()["verdict"] == "proven"
    assert moving.kept.verdict


def test_nothing_is_verified_that_was_not_moved(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="isn't finished"):
        a_move(source, tmp_path / "target").verify()


def test_a_plan_says_how_much_and_how_long(source: Path, tmp_path: Path) -> None:
    plan = planned(a_move(source, tmp_path / "target"))
    assert plan["usedBytes"] >= 3_000_000
    assert plan["freeBytes"] > 0
    assert not plan["problem"]
    assert not plan["measured"]


def test_of_what_is_in_lost_and_found_it_is_said_that_it_stays_there(source: Path, tmp_path: Path) -> None:
    """What fsck has saved may be somebody's data."""
    (source / "lost+found").mkdir()
    assert "lost+found" not in planned(a_move(source, tmp_path / "target"))["caveat"]
    (source / "lost+found/#12").write_text("saved")
    (source / "lost+found/#13").write_text("saved")
    moving = a_move(source, tmp_path / "target")
    said = planned(moving)["caveat"]
    assert said.startswith("postgres-0: ")
    assert said.endswith(
        "lost+found of the source has 2 entries, which aren't moved: what a check of the file system has found stays there."
    )
    assert moving.move()["caveat"] == said
    assert not (tmp_path / "target/lost+found").exists()


def test_a_plan_of_what_is_done_says_so_and_looks_at_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service may run on the target by now: that isn't `not empty`, and no pod goes there."""
    moving = a_move(source, tmp_path / "target")
    verdict = moving.move()
    (tmp_path / "target/inner/file").write_bytes(b"the service's own")
    monkeypatch.setattr(VolumeMove, "sizes", lambda *_, **__: pytest.fail("nothing is looked at"))
    plan = planned(a_move(source, tmp_path / "target"))
    assert (plan["done"], plan["provenAt"], plan["problem"]) == ("before", verdict["provenAt"], "")
    assert plan["usedBytes"] == 3_000_000


def test_of_a_target_that_got_full_it_is_said_what_to_do(source: Path, tmp_path: Path) -> None:
    def full(_: VolumeMove) -> None:
        raise Broken("a: the target has no room left: No space left on device", [{"event": "failed", "kind": "full", "path": "a"}])

    _, (failed,) = each_of([a_move(source, tmp_path / "target")], full, 1, threading.Event(), lambda: None)
    assert "the target has no room left" in failed.reason
    assert "Make room on the target, or make it larger, and run the same command again: it goes on" in failed.hint


def test_one_that_fails_does_not_end_the_others(source: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").touch()
    both = [a_move(source, tmp_path / "full"), a_move(source, tmp_path / "empty")]
    looks: list[int] = []
    done, failed = each_of(both, VolumeMove.move, 2, threading.Event(), lambda: looks.append(1))
    assert [verdict["verdict"] for _, verdict in done] == ["proven"]
    assert ["isn't empty" in each.reason for each in failed] == [True]
    assert looks


def test_an_unfinished_target_is_no_source(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: VolumeMove) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VolumeMove, "_read_back", cut)
        a_move(source, tmp_path / "half").move()
    assert (tmp_path / "half/.storage-tiers-move").exists()
    with pytest.raises(UserError, match="holds only a part of what another move"):
        a_move(tmp_path / "half", tmp_path / "third").move()
    assert "holds only a part" in planned(a_move(tmp_path / "half", tmp_path / "third"))["problem"]
    assert not list((tmp_path / "third").iterdir())


def test_both_ends_are_checked_before_the_copy_and_before_the_verdict(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[tuple[str, bool]] = []

    def check(end: FolderEnd, move: str, *, writes: bool) -> None:
        checked.append((end.folder.name, writes))
        if len(checked) == 4:
            raise UserError("it came into use")

    monkeypatch.setattr(FolderEnd, "check", check)
    moving = a_move(source, tmp_path / "target")
    with pytest.raises(UserError, match="came into use"):
        moving.move()
    assert checked == [("source", False), ("target", True)] * 2
    assert not moving.kept.compared
    assert moving.kept.verdict is None
    assert moving.move()["verdict"] == "proven", "it goes on"


def test_a_target_that_somebody_writes_to_after_it_was_read_back_is_not_proven(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same bytes and time: that a file was touched at all is enough."""
    moving = a_move(source, tmp_path / "target")

    def read_back() -> list[Entry]:
        found = VolumeMove._read_back(moving)
        path = tmp_path / "target/inner/file"
        seen = path.stat()
        path.write_bytes(path.read_bytes())
        os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(moving, "_read_back", read_back)
        with pytest.raises(Different, match=r"changed after it was read back:\n.*inner/file: another ctimeNs than before"):
            moving.move()
    assert not moving.kept.compared
    assert moving.move()["verdict"] == "proven", "it goes on"


def test_a_folder_that_no_longer_holds_what_was_moved_is_filled_anew(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "target").move()
    shutil.rmtree(tmp_path / "target")
    assert a_move(source, tmp_path / "target").done is None
    verdict = a_move(source, tmp_path / "target").move()
    assert "done" not in verdict
    assert (tmp_path / "target/inner/file").read_bytes() == (source / "inner/file").read_bytes()


def test_a_folder_that_another_move_has_filled_since_does_not_count_as_moved(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "target").move()
    shutil.rmtree(tmp_path / "target")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch()
    a_move(tmp_path / "other", tmp_path / "target").move()
    with pytest.raises(UserError, match="isn't empty"):
        a_move(source, tmp_path / "target").move()


def test_a_folder_that_went_after_the_comparison_is_not_proven(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(_: VolumeMove) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(VolumeMove, "_finish", cut)
        a_move(source, tmp_path / "target").move()
    shutil.rmtree(tmp_path / "target")
    assert a_move(source, tmp_path / "target").move()["verdict"] == "proven"
    assert (tmp_path / "target/inner/file").exists()


def test_what_is_new_at_the_source_is_not_blamed_on_the_target(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_back(move: VolumeMove) -> object:
        (source / "late").write_text("late")
        return real(move)

    real = VolumeMove._read_back
    monkeypatch.setattr(VolumeMove, "_read_back", read_back)
    with pytest.raises(Different, match=r"changed while it was read:\n(.*\n)?  late is new"):
        a_move(source, tmp_path / "target").move()


def test_the_manifest_beside_a_folder_is_for_its_owner_alone(source: Path, tmp_path: Path) -> None:
    a_move(source, tmp_path / "target").move()
    assert (tmp_path / "target.manifest.jsonl").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_than_so_many_are_moved_at_a_time(source: Path, tmp_path: Path, parallel: int) -> None:
    lock, all_there = threading.Lock(), threading.Event()
    running: list[int] = [0]
    most: list[int] = []

    def step(_: VolumeMove) -> None:
        with lock:
            running[0] += 1
            most.append(running[0])
        if running[0] == parallel:
            all_there.set()
        assert all_there.wait(30), f"{parallel} at a time"
        with lock:
            running[0] -= 1

    moves = [a_move(source, tmp_path / str(number)) for number in range(8)]
    done, failed = each_of(moves, step, parallel, threading.Event(), lambda: None)
    assert (len(done), failed, max(most)) == (8, [], parallel)


def test_of_many_files_that_failed_all_are_in_json(source: Path, tmp_path: Path) -> None:
    moving = a_move(source, tmp_path / "target")
    failures = [{"kind": "unreadable", "path": str(number), "reason": "Input/output error"} for number in range(30)]

    def fails(_: VolumeMove) -> None:
        party = _Party(cast(Process, SimpleNamespace(name="pod x", status=1)), 0.0, failures=failures)
        raise _explained([party], [party])

    _, (failed,) = each_of([moving], fails, 1, threading.Event(), lambda: None)
    assert failed.reason.endswith("9: Input/output error; and 20 more")
    assert failed.hint == "The source is as it was. Once that is put right, run the same command again: it goes on."
    assert describe(failed)["problems"] == [f"{number}: Input/output error" for number in range(30)]


def test_a_fault_of_this_machine_is_one_failure_among_moves(source: Path, tmp_path: Path) -> None:
    def step(move: VolumeMove) -> str:
        if move.target.uid.endswith("full"):
            raise OSError(28, "No space left on device", "/state")
        return "proven"

    both = [a_move(source, tmp_path / "full"), a_move(source, tmp_path / "empty")]
    done, failed = each_of(both, step, 2, threading.Event(), lambda: None)
    assert [verdict for _, verdict in done] == ["proven"]
    assert "No space left on device" in failed[0].reason


def test_what_a_volume_lets_anybody_read_is_not_anybodys_on_this_machine(source: Path, tmp_path: Path) -> None:
    source.chmod(0o777)
    a_move(source, tmp_path / "backup/data-postgres-0").move()
    assert (tmp_path / "backup/data-postgres-0").stat().st_mode & 0o777 == 0o777
    assert (tmp_path / "backup").stat().st_mode & 0o777 == 0o700
