"""What may be deleted: only what is proven to be the stack's, and nobody uses."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.canary.manifests import canary_labels
from ops.commands.volumes import not_being_moved
from ops.errors import UserError
from ops.move.kept import KeptMove
from ops.volumes.prune import by_name_alone, candidates, chosen, parse_age, why_kept
from ops.volumes.volume import Volume
from tests.unit.test_matching import any_volume
from tests.unit.volume_objects import reserved, settings, stamp, volume

MOVE = (
    ("aws", "python -m ops move --from dev --to aws"),
    (
        "/backup/data-kafka-1",
        f"sudo -E {shlex.quote(sys.executable)} -m ops move --from dev --to-folder /backup",
    ),
)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def test_a_released_stamped_volume_may_go() -> None:
    assert candidates([volume(marks=stamp())], settings())
    assert candidates([volume(marks=stamp(service="gone", ordinal=7))], settings()), "also of a service that is no more"


@pytest.mark.parametrize(
    ("kept", "reason"),
    [
        (volume(phase="Bound", marks=stamp()), "is in use: it is bound to data/data-kafka-1"),
        (volume(marks=stamp(stack="other")), "is labelled for stack other: prune it with that stack (`--stack other`)"),
        (volume(), "carries no stamp of stack dev: nothing proves that its data is this stack's"),
        (
            volume(marks={"app.kubernetes.io/part-of": "storage-tiers", "app.kubernetes.io/instance": "dev"}),
            "carries no stamp of stack dev",
        ),
        (volume(marks=canary_labels("dev", "streaming")), "is a canary's, which deletes it itself"),
        (reserved(marks=stamp()), "is reserved for data/data-kafka-1"),
        (volume(last=None, phase="Available", marks=stamp()), "is in phase Available; only a Released one is pruned"),
    ],
)
def test_kept(kept: Volume, reason: str) -> None:
    assert why_kept(kept, settings(), [kept]).startswith(reason)
    assert not candidates([kept], settings())
    with pytest.raises(UserError) as refused:
        chosen([kept], settings(), ["pv1"], None, NOW)
    assert str(refused.value).startswith(f"these volumes are not pruned, and so none is:\n  pv1 {reason}")


@pytest.mark.parametrize("path", ["/volumes/pv1", "/volumes/pv1/inside", "/volumes"])
def test_kept_because_another_volume_has_its_data_there(path: str) -> None:
    mine, other = volume("pv1", marks=stamp()), volume("pv2", phase="Bound", local={"path": path})
    assert why_kept(mine, settings(), [mine, other]) == "has its data in /volumes/pv1, which volume pv2 names too"


def test_one_name_that_may_not_go_keeps_all() -> None:
    there = [volume("pv1", marks=stamp()), volume("pv2", phase="Bound", marks=stamp(ordinal=2))]
    assert [each.name for each in chosen(there, settings(), ["pv1", "pv1"], None, NOW)] == ["pv1"]
    with pytest.raises(UserError, match=r"pv2 is in use.*\n  pv9: there is no such volume"):
        chosen(there, settings(), ["pv1", "pv2", "pv9"], None, NOW)


def test_by_age_since_it_was_released() -> None:
    old = replace(volume("pv1", marks=stamp()), created=NOW - timedelta(days=90), since=NOW - timedelta(days=31))
    recent = replace(volume("pv2", marks=stamp()), created=NOW - timedelta(days=90), since=NOW - timedelta(days=29))
    unknown = volume("pv3", marks=stamp())
    assert chosen([old, recent, unknown], settings(), [], parse_age("30d"), NOW) == [old]


def test_what_doesnt_say_when_it_was_released_goes_by_its_name_alone() -> None:
    unknown = replace(volume("pv1", marks=stamp()), created=NOW - timedelta(days=90))
    assert chosen([unknown], settings(), [], parse_age("30d"), NOW) == []
    assert chosen([unknown], settings(), ["pv1"], None, NOW) == [unknown]
    assert by_name_alone(unknown, settings()) == "doesn't say since when it has been Released"


def test_what_another_namespace_has_used_goes_by_its_name_alone() -> None:
    theirs = replace(volume("pv1", last="elsewhere/data-kafka-1", marks=stamp()), since=NOW - timedelta(days=90))
    assert chosen([theirs], settings(), [], parse_age("30d"), NOW) == []
    assert chosen([theirs], settings(), ["pv1"], None, NOW) == [theirs]
    assert by_name_alone(theirs, settings()) == "was last the volume of elsewhere/data-kafka-1, and the stack's namespace is data"


@pytest.mark.parametrize("choice", ["pv1", "/volumes/pv1"])
def test_what_the_settings_name_is_kept(choice: str) -> None:
    old = replace(volume("pv1", marks=stamp()), since=NOW - timedelta(days=90))
    named = settings(adopt={"kafka": {"1": choice}})
    assert why_kept(old, named, [old]) == "is what the setting adopt.kafka.1 names: remove that setting first"
    assert chosen([old], named, [], parse_age("30d"), NOW) == []


@pytest.mark.parametrize(("text", "span"), [("45m", timedelta(minutes=45)), ("12h", timedelta(hours=12)), ("2w", timedelta(days=14))])
def test_ages(text: str, span: timedelta) -> None:
    assert parse_age(text) == span


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "30D", "1y"])
def test_other_ages_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="an age is a whole number"):
        parse_age(text)


@given(st.integers(0, 8).flatmap(lambda count: st.tuples(*(any_volume(number) for number in range(count)))))
def test_whatever_is_pruned_is_this_stacks_and_nobodys(volumes: tuple[Volume, ...]) -> None:
    for each in candidates(volumes, settings()):
        assert each.stamp
        assert each.stamp.stack == "dev"
        assert each.phase in ("Released", "Failed")
        assert not any(other.name != each.name and other.location.path == each.location.path for other in volumes)


@pytest.mark.parametrize(("target", "command"), MOVE)
def test_what_a_move_copies_is_kept_until_the_move_is_proven(
    target: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    moved, other = volume("pv1", marks=stamp()), volume("pv2", marks=stamp(ordinal=2))
    assert moved.claim
    kept = KeptMove("a1")
    kept.save(
        state="begun", source={"stack": "dev", "uid": moved.claim.uid}, target={"folder": target} if "/" in target else {"stack": target}
    )
    with pytest.raises(UserError) as refused:
        not_being_moved([moved, other], named=True)
    assert refused.value.message.endswith(f"so none is:\n  pv1 is what a move copies that isn't proven yet: `{command}`")
    assert "(`python -m ops volumes adopt --stack dev`, `pulumi up --stack dev`)" in refused.value.hint
    assert not_being_moved([moved, other], named=False) == [other]
    assert "Kept: pv1 is what a move copies" in capsys.readouterr().out
    kept.save(state="proven")
    assert not_being_moved([moved, other], named=True) == [moved, other]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes files in another user's home")
def test_what_root_keeps_of_a_move_is_the_home_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`sudo -E` keeps HOME: without sudo, a prune has to see which volumes are being moved."""
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1234, 1235)
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    kept = KeptMove("a1")
    with kept.alone():
        kept.save(state="begun")
    assert {(each.stat().st_uid, each.stat().st_gid) for each in home.rglob("*")} == {(1234, 1235)}
    with kept.alone():
        kept.save(state="proven")
    assert {each.stat().st_uid for each in home.rglob("*")} == {1234}
    assert tmp_path.stat().st_uid == 0


def test_nothing_is_pruned_while_what_is_kept_of_a_move_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be about that very volume: after a move by root, or a disk that was full."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    record = tmp_path / "storage-tiers/moves/a1/move.json"
    record.parent.mkdir(parents=True)
    record.write_text("{")
    with pytest.raises(UserError, match=f"^{record} can't be read by this user") as refused:
        not_being_moved([volume("pv1", marks=stamp())], named=False)
    assert "sudo chown -R " in refused.value.hint and str(record.parent) in refused.value.hint
    shutil.rmtree(record.parent)
    (tmp_path / "storage-tiers/moves/a2").mkdir()  # a run that ended before it kept anything
    assert not_being_moved([volume("pv1", marks=stamp())], named=False)
