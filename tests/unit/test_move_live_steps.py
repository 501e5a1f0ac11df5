"""What a live move does where a step fails: both ends are mocks that write down what is asked."""

from __future__ import annotations

import json
import re
import shlex
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move import live_session
from ops.move.conversation import Broken
from ops.move.live import calling_off, switching
from ops.move.live import run as steps
from ops.move.live.calling_off import cancel
from ops.move.live.run import BEGUN, CLOSING, FOLLOWING, PROMOTED, PROMOTING, LiveMove
from ops.move.live.switching import switch
from ops.move.live.told import PostgresqlMove
from tests.unit.test_move_live import FACTS
from tests.unit.test_move_plan import Cluster, claim, pod, side


class Ends:
    """Source and target at once. `fails` names the step that fails, and how."""

    pod, container, user, image, path, port = "postgres-0", "postgres", "postgres", "postgres:17", "/pods/x", 5432

    def __init__(self, slot: str) -> None:
        self.done: list[str] = []
        self.fails: dict[str, BaseException] = {}
        self.always: dict[str, BaseException] = {}
        self.standby = True
        self.slot: dict[str, str] | None = None
        self._own = {slot: "physical"}
        self.name = "move-live"
        self.open = ["shop"]
        self.made_meanwhile: list[str] = []
        self.is_there = True  # the target's pod

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def step(*arguments: Any, **_: Any) -> Any:
            self.done.append(name)
            if name in self.fails:
                raise self.fails.pop(name)
            if name in self.always:
                raise self.always[name]
            if name in ("make_slot", "drop_slot"):
                self.slot = self._own if name == "make_slot" else None
            if name == "promote":
                self.standby = False
            if name == "close":
                self.open = [each for each in self.open if each not in arguments[0]] + self.made_meanwhile
                self.made_meanwhile = []
            if name == "reopen":
                self.open = sorted({*self.open, *arguments[0]})
            if name in ("start", "remove"):
                self.is_there = name == "start"
            answers = {
                "facts": {**FACTS, "slots": self.slot},
                "databases": list(self.open),
                "known": {"pod": "postgres-0"},
                "flushed": "0/1",
                "runs": self.is_there,
                "is_standby": self.standby,
                "close": list(self.open),
                "volume": {"others": [], "move": "", "writable": True, "begun": False, "freeBytes": 2**40, "machine": "x86_64"},
                "password": "",
                "has_amcheck": False,
                "sql": self._sql(arguments),
                "tunnel": [],
            }
            return answers.get(name)

        return step

    @staticmethod
    def _sql(arguments: tuple[Any, ...]) -> str:
        text = str(arguments[0]) if arguments else ""
        return "t" if ">=" in text else "1" if "count" in text else "0"


class Way:
    """A bridge that is open."""

    bytes = 7

    def __init__(self, *_: Any) -> None:
        pass

    def open(self, *_: Any) -> None:
        pass

    def check(self) -> None:
        pass

    def close(self) -> None:
        pass

    def explaining(self) -> Any:
        return nullcontext()


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[LiveMove, Ends, Cluster]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(steps, "Bridge", Way)
    cluster = Cluster({})
    other = {**claim(), "metadata": {**claim()["metadata"], "uid": "another"}}
    move = LiveMove(side(cluster), side(cluster, other), lambda *_: None)
    ends = Ends(move.slot)
    move._source = move._target = cast(Any, ends)
    return move, ends, cluster


def following(move: LiveMove) -> None:
    assert move.follow()["verdict"] == FOLLOWING
    assert move.state == FOLLOWING


@pytest.mark.parametrize("step", ["start", "make_slot", "copy", "verify", "start_standby"])
@pytest.mark.parametrize("problem", [Broken("it is gone"), KeyboardInterrupt()])
def test_before_it_follows_pod_and_slot_are_removed(made: tuple[LiveMove, Ends, Cluster], step: str, problem: BaseException) -> None:
    move, ends, _ = made
    ends.fails[step] = problem
    with pytest.raises(type(problem)):
        move.follow()
    assert ends.done[-2:] == ["remove", "drop_slot"]
    assert move.state == BEGUN
    following(move)


def test_what_could_not_be_removed_is_said(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    ends.fails["copy"] = Broken("it is gone")
    drop = iter([None, Broken("no way")])
    ends.drop_slot = lambda _: (_ for _ in ()).throw(found) if (found := next(drop)) else None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="it is gone") as caught:
        move.follow()
    assert f"replication slot {move.slot} of the source, which keeps its WAL (no way)" in caught.value.hint
    assert "--live --cancel removes it" in caught.value.hint


def test_one_that_follows_goes_on_and_stays_where_a_run_is_cut(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    ends.done.clear()
    following(move)
    assert "copy" not in ends.done
    ends.fails["start_standby"] = KeyboardInterrupt()
    ends.done.clear()
    with pytest.raises(KeyboardInterrupt):
        move.follow()
    assert not {"remove", "drop_slot"} & set(ends.done)
    assert move.state == FOLLOWING


def test_a_standby_whose_slot_is_gone_begins_anew_and_is_never_promoted(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    ends.slot = None
    with pytest.raises(UserError, match="is gone from the source"):
        switch(move)
    assert "close" not in ends.done
    ends.done.clear()
    following(move)
    assert "copy" in ends.done


def test_a_claim_that_came_into_use_gets_no_second_postgresql(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, cluster = made
    cluster.found = {"pods": [pod("stranger")]}
    with pytest.raises(UserError, match="is used by pod stranger"):
        move.follow()
    assert "start" not in ends.done


@pytest.mark.parametrize("step", ["close", "flushed"])
@pytest.mark.parametrize("problem", [Broken("it is gone"), KeyboardInterrupt()])
def test_until_the_promotion_a_failure_opens_the_source_again(
    made: tuple[LiveMove, Ends, Cluster], step: str, problem: BaseException
) -> None:
    move, ends, _ = made
    following(move)
    ends.fails[step] = problem
    with pytest.raises(type(problem)):
        switch(move)
    assert ends.done[-1] == "reopen"
    assert "promote" not in ends.done
    assert move.state == FOLLOWING
    assert switch(move)["verdict"] == "proven"


def test_opening_the_source_again_is_tried_until_what_was_in_its_way_has_passed(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    ends.fails |= {"flushed": Broken("the network is gone"), "reopen": Broken("the network is gone")}
    with pytest.raises(Broken):
        switch(move)
    assert ends.done[-2:] == ["reopen", "reopen"]
    assert (move.state, ends.open) == (FOLLOWING, ["shop"])


def test_a_source_that_cannot_be_opened_again_is_said_with_the_commands(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(switching, "_LAST", 0)
    ends.fails["flushed"] = Broken("it is gone")
    ends.always["reopen"] = Broken("no way")
    with pytest.raises(UserError, match="couldn't be opened again: no way") as caught:
        switch(move)
    assert 'ALTER DATABASE "shop" ALLOW_CONNECTIONS true' in caught.value.hint
    assert move.state == CLOSING
    ends.always.clear()
    assert cancel(move)
    assert ends.open == ["shop"]


def test_a_database_that_is_made_while_they_are_closed_is_closed_as_well(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    ends.made_meanwhile = ["new"]
    assert switch(move)["databases"] == ["new", "shop"]
    assert ends.open == []


def test_databases_that_do_not_stay_closed_are_no_switch(made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(ends, "close", lambda found: found, raising=False)
    with pytest.raises(Broken, match="don't stay closed: shop"):
        switch(move)
    assert ends.done[-1] == "reopen"
    assert "promote" not in ends.done


def test_once_the_promotion_was_asked_for_there_is_only_forward(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    ends.fails["promote"] = Broken("it is gone")
    with pytest.raises(Broken):
        switch(move)
    assert move.state == PROMOTING
    assert "reopen" not in ends.done
    with pytest.raises(UserError, match="was promoted already"):
        cancel(move)
    ends.fails["flushed"] = Broken("it is gone")
    with pytest.raises(Broken):
        switch(move)
    assert "reopen" not in ends.done, "the promotion may come at any moment"
    with pytest.raises(UserError, match="its switch has begun"):
        move.follow()
    verdict = switch(move)
    assert (verdict["verdict"], verdict["databases"]) == ("proven", ["shop"])
    assert [each for each in ends.done if each in ("make_its_own", "stop", "drop_slot", "remove")][-3:] == ["drop_slot", "stop", "remove"]
    assert switch(move)["done"] == "before"


@pytest.mark.parametrize("came", [True, False])
def test_a_promotion_of_which_no_answer_came_is_told_without_its_pause(made: tuple[LiveMove, Ends, Cluster], *, came: bool) -> None:
    move, ends, _ = made
    following(move)
    ends.fails["promote"] = Broken("the network is gone")
    with pytest.raises(Broken):
        switch(move)
    ends.standby = not came
    verdict = switch(move)
    assert (verdict["verdict"], verdict["lsn"]) == ("proven", "0/1")
    said = " ".join(PostgresqlMove(move).said("switch", {**verdict, "version": 170002}, "move"))
    assert ("s after the source was closed" in said) is not came


def test_a_full_disk_of_this_machine_opens_the_source_again(made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    move, ends, _ = made
    following(move)
    save = move.kept.save

    def full(**changes: Any) -> None:
        if changes.get("state") == PROMOTING:
            raise OSError(28, "No space left on device")
        save(**changes)

    monkeypatch.setattr(move.kept, "save", full)
    with pytest.raises(OSError, match="No space"):
        switch(move)
    assert ends.open == ["shop"]
    assert "promote" not in ends.done


def test_what_the_api_refuses_in_a_switch_is_told_with_what_is_so_then(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(live_session, "raise_on_hangup", lambda: None)
    ends.fails["flushed"] = ApiError("the API answered 500", 500, "no")
    with pytest.raises(UserError, match="answered") as caught:
        live_session.run([PostgresqlMove(move)], "switch", "move", as_json=True)
    assert "The source is open." in caught.value.hint


class Done:
    """A move that comes to its end; of it, what a session asks."""

    title = "kafka"

    def do(self, step: str) -> dict[str, Any]:
        return {"verdict": "proven", "volume": self.title, "step": step}


def test_programs_get_the_verdicts_before_a_failure_and_the_failure(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(live_session, "raise_on_hangup", lambda: None)
    ends.fails["flushed"] = ApiError("the API answered 500", 500, "no")
    found = cast(list[live_session.Live], [Done(), PostgresqlMove(move), Done()])
    with pytest.raises(UserError, match="answered") as caught:
        live_session.run(found, "switch", "move", as_json=True)
    first, failed = json.loads(capsys.readouterr().out)
    assert first == {"verdict": "proven", "volume": "kafka", "step": "switch"}
    assert (failed["verdict"], failed["volume"], failed["move"]) == ("failed", move.title, move.id)
    assert (failed["reason"], failed["hint"]) == (caught.value.message, caught.value.hint)


def test_one_that_somebody_else_has_promoted_is_refused(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    ends.standby = False
    for step in (move.follow, lambda: switch(move)):
        with pytest.raises(UserError, match="promoted by somebody else"):
            step()
    assert move.state == FOLLOWING
    assert PROMOTED not in move.kept.record().values()


def test_nothing_is_called_off_twice(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    assert not cancel(move)
    following(move)
    assert cancel(move)
    assert ends.done[-2:] == ["remove", "drop_slot"]
    assert not cancel(move)


def test_what_another_machine_has_begun_is_left_alone(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    ends.slot = {move.slot: "physical"}
    with pytest.raises(UserError, match="begun on another machine") as caught:
        move.follow()
    assert f"pg_drop_replication_slot('{move.slot}')" in caught.value.hint
    assert ends.done == ["facts"]


def test_what_a_standby_would_lack_is_looked_for_before_the_source_is_closed(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(ends, "facts", lambda: {**FACTS, "slots": ends.slot, "unlogged": ["shop"]}, raising=False)
    with pytest.raises(UserError, match="unlogged tables, in shop"):
        switch(move)
    assert "close" not in ends.done


def test_a_slot_that_is_gone_once_the_promotion_was_asked_for_is_made_again(made: tuple[LiveMove, Ends, Cluster]) -> None:
    """Neither way would be left: the source is closed, and the move can't be called off."""
    move, ends, _ = made
    following(move)
    ends.fails["promote"] = Broken("it is gone")
    with pytest.raises(Broken):
        switch(move)
    ends.slot = None
    ends.done.clear()
    assert switch(move)["verdict"] == "proven"
    assert ends.done.index("make_slot") < ends.done.index("start_standby")


def lose_source(move: LiveMove, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pod is gone; what is known of it is what was kept."""

    def find(_: Any) -> Any:
        raise UserError("a live move takes one running pod", "move without --live")

    def remembered(_: Any, known: Any) -> Any:
        assert known == {"pod": "postgres-0"}
        return ends

    move._source, move.facts = None, {}
    monkeypatch.setattr(steps, "find", find)
    monkeypatch.setattr(steps, "remembered", remembered)


def test_without_the_sources_pod_the_target_is_emptied_and_the_rest_is_said(
    made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    move, ends, _ = made
    following(move)
    move.kept.save(state=CLOSING, databases=['odd "name"'])
    lose_source(move, ends, monkeypatch)
    ends.done.clear()
    with pytest.raises(UserError, match="isn't called off yet") as caught:
        cancel(move)
    assert ends.done == ["runs", "stop", "volume", "remove"], "the source isn't asked"
    said = caught.value.message
    assert 'ALTER DATABASE "odd ""name""" ALLOW_CONNECTIONS true' in said
    assert f"pg_drop_replication_slot('\"'\"'{move.slot}'\"'\"')" in said
    for step in (move.follow, lambda: switch(move)):
        with pytest.raises(UserError, match=r"calling it off has begun|no standby that follows"):
            step()
    move._source = cast(Any, ends)
    assert cancel(move)
    assert {"reopen", "drop_slot"} <= set(ends.done)
    assert not move.state


def test_a_source_that_was_stopped_meanwhile_is_said_with_what_helps(
    made: tuple[LiveMove, Ends, Cluster],
) -> None:
    move, _, _ = made
    for state, says in (
        ("", "move without --live"),
        (FOLLOWING, "Start it again, or .*--live --cancel"),
        (PROMOTING, "--live --switch then"),
    ):
        move.kept.save(state=state)
        move._source = None
        with pytest.raises(UserError, match="takes one running pod") as caught:
            switch(move) if state else move.source
        assert re.search(says, caught.value.hint), caught.value.hint


def test_a_copy_whose_pod_is_lost_is_removed_when_the_move_is_called_off(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, cluster = made
    following(move)
    ends.is_there = False
    cluster.found = {"pods": [pod("stranger")]}
    with pytest.raises(UserError, match=r"the copy on claim data-postgres-0 .*is used by pod stranger"):
        cancel(move)
    assert ends.slot is None, "what can be removed is"
    cluster.found = {}
    ends.done.clear()
    assert cancel(move)
    assert ends.done[:5] == ["runs", "remove", "start", "stop", "volume"]


def test_a_copy_that_a_killed_run_has_begun_ends_with_its_pod_before_it_is_removed(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, _ = made
    following(move)
    move.kept.save(state=BEGUN)
    ends.done.clear()
    assert cancel(move)
    assert ends.done[:4] == ["remove", "start", "stop", "volume"]


def test_a_promoted_target_is_handed_over_without_the_source(made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    move, ends, _ = made
    following(move)
    ends.fails["make_its_own"] = Broken("it is gone")
    with pytest.raises(Broken):
        switch(move)
    assert move.state == PROMOTED
    lose_source(move, ends, monkeypatch)
    ends.is_there = False
    ends.done.clear()
    verdict = switch(move)
    assert verdict["verdict"] == "proven"
    assert f"replication slot {move.slot} of the source" in verdict["left"][0]
    assert not {"facts", "promote", "drop_slot", "close"} & set(ends.done)


def test_a_claim_that_came_into_use_beside_the_moves_pod_gets_no_second_postgresql(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, ends, cluster = made
    following(move)
    cluster.found = {"pods": [pod("stranger")]}
    ends.done.clear()
    for step in (move.follow, lambda: switch(move)):
        with pytest.raises(UserError, match="is used by pod stranger"):
            step()
    assert "start_standby" not in ends.done


def test_a_standby_whose_slot_is_lost_is_never_promoted(made: tuple[LiveMove, Ends, Cluster], monkeypatch: pytest.MonkeyPatch) -> None:
    move, ends, _ = made
    following(move)
    monkeypatch.setattr(ends, "facts", lambda: {**FACTS, "slots": ends.slot, "lost": [move.slot]}, raising=False)
    with pytest.raises(UserError, match="or lost: the standby may lack WAL"):
        switch(move)
    assert "close" not in ends.done


def test_the_commands_for_the_source_are_words_of_a_shell_whatever_the_names_are(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, _, _ = made
    move.kept.save(databases=["o'clock", 'a "b" $c'])
    words = shlex.split(calling_off.way_back(move)[0])
    assert words[-4:] == [
        *("-c", 'ALTER DATABASE "o\'clock" ALLOW_CONNECTIONS true'),
        *("-c", 'ALTER DATABASE "a ""b"" $c" ALLOW_CONNECTIONS true'),
    ]


def test_what_keeps_it_from_beginning_is_json_for_programs(
    made: tuple[LiveMove, Ends, Cluster], capsys: pytest.CaptureFixture[str]
) -> None:
    move, ends, cluster = made
    cluster.denied = {"create pods/portforward"}
    with pytest.raises(UserError, match="nothing was moved"):
        live_session.run([PostgresqlMove(move)], "follow", "command", as_json=True)
    (verdict,) = json.loads(capsys.readouterr().out)
    assert (verdict["verdict"], verdict["move"]) == ("failed", move.id)
    assert "create pods/portforward" in verdict["reason"]
    assert not ends.done


def test_a_plan_has_bytes_room_and_time(made: tuple[LiveMove, Ends, Cluster]) -> None:
    move, _, _ = made
    told = PostgresqlMove(move)
    assert told.planned()["seconds"] is None, "nobody was asked yet"
    move.facts = FACTS
    known = told.planned()
    assert (known["bytes"], known["targetBytes"]) == (FACTS["bytes"], 6 * 2**30)
    assert known["seconds"] == round(10 + 2 * FACTS["bytes"] / 50e6, 1)
    said = list(told.foreseen())
    assert said[1].startswith("  To claim data/data-postgres-0, database-local-path, 6.00 GiB; copied and verified in about ")
