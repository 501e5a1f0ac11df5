"""Sets of snapshots: whole or not at all, ours alone, never the last one, never over data."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from components.kube.errors import ApiError
from ops.commands.snapshot import snapshot
from ops.errors import UserError
from ops.machine import Machine
from ops.snapshots import removing, restoring, taking
from ops.snapshots.freezing import Freeze, NotLetGo
from ops.snapshots.listing import as_json, table, why_not
from ops.snapshots.refusals import refuse_without_class, refuse_without_driver, services_of, sets_of
from ops.snapshots.removing import remove, surplus
from ops.snapshots.restoring import restore
from ops.snapshots.sets import SetPart, SnapshotSet, find_sets, read_sets, set_called
from ops.snapshots.taking import Take, bound
from ops.snapshots.targets import FROM, plan
from ops.volumes.stack_volumes import StackVolumes
from ops.volumes.volume import retain
from tests.unit.snapshot_cluster import CLAIMS, CONTENTS, PODS, SNAPSHOTS, VOLUMES, SnapshotCluster, settings, stack
from tests.unit.test_stack_volumes import OWN, RecordedApi
from tests.unit.test_stack_volumes import stack as dev_stack
from tests.unit.volume_objects import claim, stamp

NOON = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)
NAME = "kafka-20261127-120000"


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "CUT", 0.5)
    monkeypatch.setattr(taking, "ERROR", 0.1)
    monkeypatch.setattr(taking, "LASTING", 1)
    monkeypatch.setattr(removing, "GONE", 0.5)
    monkeypatch.setattr(removing, "MADE", 5)
    monkeypatch.setattr(restoring, "MADE", 0.5)
    monkeypatch.setattr(restoring, "GONE", 2)


def take(volumes: StackVolumes, taken: datetime = NOON, freeze: Freeze | None = None) -> SnapshotSet:
    return Take(volumes, "kafka", taken, freeze or Freeze(), ready=0.5).take(volumes.look())


def lose(cluster: SnapshotCluster, ordinal: int) -> None:
    del cluster.objects[f"{CLAIMS}/data-kafka-{ordinal}"]


def test_a_set_is_all_of_a_service_and_says_whose_it_is() -> None:
    cluster = SnapshotCluster()
    found = take(stack(cluster))
    assert (found.name, found.count, found.complete, found.size) == (NAME, 3, True, 3 * 4 * 2**30)
    made = cluster.in_(SNAPSHOTS)
    assert sorted(made) == [f"{NAME}-{ordinal}" for ordinal in range(3)]
    one = made[f"{NAME}-1"]
    assert one["spec"] == {"volumeSnapshotClassName": "streaming-ebs", "source": {"persistentVolumeClaimName": "data-kafka-1"}}
    assert stamp(ordinal=1, stack="aws").items() <= one["metadata"]["labels"].items()


def test_all_are_asked_for_before_any_is_waited_for() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    waited: list[int] = []
    seen, items = volumes.look(), cluster.items

    def counted(path: str) -> list[dict[str, Any]]:
        waited.append(len(cluster.in_(SNAPSHOTS)))
        return items(path)

    cluster.items = counted  # type: ignore[method-assign]
    Take(volumes, "kafka", NOON, Freeze()).take(seen)
    assert set(waited) == {3}


def test_one_that_fails_takes_the_others_of_this_run_with_it_and_nothing_else() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    take(volumes, NOON - timedelta(days=1))
    cluster.add(SNAPSHOTS, {"metadata": {"name": "own"}, "spec": {}})
    before = set(cluster.in_(SNAPSHOTS))
    cluster.failing[f"{NAME}-2"] = "SnapshotLimitExceeded"
    with pytest.raises(UserError) as failed:
        take(volumes)
    assert str(failed.value).startswith(f"set {NAME}: {NAME}-2 has failed: SnapshotLimitExceeded\n")
    assert set(cluster.in_(SNAPSHOTS)) == before
    assert len(cluster.in_(CONTENTS)) == len(before), "nor is a copy left in the cloud"


def test_a_set_of_the_same_moment_that_another_run_makes_is_left_alone() -> None:
    cluster = SnapshotCluster()
    take(stack(cluster))
    with pytest.raises(UserError, match="no snapshot of data-kafka-0 could be asked for: 409 Conflict"):
        take(stack(cluster))
    assert len(cluster.in_(SNAPSHOTS)) == 3


@pytest.mark.parametrize("what", ["ApiError", "Ctrl-C"])
def test_what_ends_it_in_the_middle_leaves_nothing(what: str) -> None:
    cluster = SnapshotCluster()
    problem: Any = ApiError("gone", 503) if what == "ApiError" else KeyboardInterrupt()
    cluster.status[f"{NAME}-1"] = problem
    with pytest.raises((UserError, KeyboardInterrupt)):
        take(stack(cluster))
    assert not cluster.in_(SNAPSHOTS)
    assert not cluster.in_(CONTENTS)


def test_one_that_is_taken_and_only_not_ready_in_time_stays() -> None:
    cluster = SnapshotCluster()
    cluster.slow.add(f"{NAME}-0")
    with pytest.raises(UserError, match="is taken, and is not ready after") as late:
        take(stack(cluster))
    assert "It stays." in late.value.hint
    found = find_sets(cluster, "data", "aws")[0]
    assert (found.complete, found.lacks) == (False, f"is taken, and still being copied ({NAME}-0)")


def test_what_is_taken_stays_when_after_fails() -> None:
    cluster = SnapshotCluster()
    with pytest.raises(NotLetGo) as failed:
        take(stack(cluster), freeze=Freeze("true", "exit 4"))
    assert "--after failed: `exit 4` ended with exit status 4." in failed.value.message
    assert f"Set {NAME} is taken whole, and stays." in failed.value.message
    assert "Run it by hand: exit 4\n`python -m ops snapshot list --stack aws`" in failed.value.hint
    assert find_sets(cluster, "data", "aws")[0].complete


def test_after_fails_and_the_set_is_not_sound_both_are_told() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    seen = volumes.look()
    lose(cluster, 1)
    cluster.bound(1)
    with pytest.raises(UserError) as failed:
        Take(volumes, "kafka", NOON, Freeze("true", "exit 4")).take(seen)
    assert "data-kafka-1 was deleted and made anew meanwhile.\n--after failed: `exit 4`" in failed.value.message
    assert "Run it by hand: exit 4" in failed.value.hint and "Nothing of the set is left." in failed.value.hint
    assert not cluster.in_(SNAPSHOTS)


def interrupt_when(cluster: SnapshotCluster, *, cut: int) -> None:
    """Ctrl-C at the first look at three snapshots of which as many are taken."""
    items = cluster.items
    came: list[bool] = []

    def looked(path: str) -> list[dict[str, Any]]:
        found = items(path)
        if "volumesnapshots" in path and sum("creationTime" in each["status"] for each in found) == cut and not came:
            came.append(True)
            raise KeyboardInterrupt
        return found

    cluster.items = looked  # type: ignore[method-assign]


@pytest.mark.parametrize("checked", [False, True])
def test_ctrl_c_leaves_a_set_that_is_taken_and_only_being_copied(capsys: pytest.CaptureFixture[str], *, checked: bool) -> None:
    cluster = SnapshotCluster()
    cluster.slow.add(f"{NAME}-0")
    volumes = stack(cluster)
    seen = volumes.look()
    if checked:
        look = volumes.look

        def looked() -> Any:
            interrupt_when(cluster, cut=3)
            return look()

        volumes.look = looked  # type: ignore[method-assign]
    else:
        interrupt_when(cluster, cut=3)
    with pytest.raises(KeyboardInterrupt):
        Take(volumes, "kafka", NOON, Freeze()).take(seen)
    assert f"Set {NAME} is taken whole, and stays. `python -m ops snapshot list --stack aws`" in capsys.readouterr().out
    (found,) = find_sets(cluster, "data", "aws")
    assert found.lacks == f"is taken, and still being copied ({NAME}-0)"
    assert why_not(found, volumes.settings) == f"it {found.lacks}"


def test_ctrl_c_before_all_are_taken_leaves_none() -> None:
    cluster = SnapshotCluster()
    cluster.failing[f"{NAME}-1"] = ""
    interrupt_when(cluster, cut=2)
    with pytest.raises(KeyboardInterrupt):
        take(stack(cluster))
    assert not cluster.in_(SNAPSHOTS) and not cluster.in_(CONTENTS)


def test_ctrl_c_leaves_no_set_of_a_claim_that_was_made_anew() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    seen = volumes.look()
    lose(cluster, 1)
    cluster.bound(1)
    interrupt_when(cluster, cut=3)
    with pytest.raises(KeyboardInterrupt):
        Take(volumes, "kafka", NOON, Freeze()).take(seen)
    assert not cluster.in_(SNAPSHOTS)


def test_the_list_tells_taken_from_not_taken() -> None:
    waiting = SnapshotSet("kafka", NOON, 2, [part(0, ready=False, cut=True), part(1, ready=False)])
    assert waiting.lacks == f"is not taken yet ({NAME}-1)"


def test_a_claim_that_is_made_anew_meanwhile_makes_no_set() -> None:
    """Its volume is empty, and --keep would delete a good set for it."""
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    seen = volumes.look()
    lose(cluster, 1)
    cluster.bound(1)
    with pytest.raises(UserError, match="data-kafka-1 was deleted and made anew meanwhile"):
        Take(volumes, "kafka", NOON, Freeze()).take(seen)
    assert not cluster.in_(SNAPSHOTS)


def test_what_is_taken_stays_when_the_api_is_away_afterwards() -> None:
    cluster = SnapshotCluster()
    cluster.slow.add(f"{NAME}-0")
    volumes = stack(cluster)
    items, look, over = cluster.items, volumes.look, []

    def looked() -> Any:
        over.append(True)
        return look()

    def asked(path: str) -> list[dict[str, Any]]:
        if len(over) > 1 and "volumesnapshots" in path:
            raise ApiError("connection refused")
        return items(path)

    volumes.look = looked  # type: ignore[method-assign]
    cluster.items = asked  # type: ignore[method-assign]
    with pytest.raises(UserError, match="is taken, and whether it is ready can't be asked: connection refused"):
        take(volumes)
    assert len(cluster.in_(SNAPSHOTS)) == 3


def test_an_error_that_passes_while_a_snapshot_is_copied_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "LASTING", 60)
    cluster = SnapshotCluster()
    cluster.slow.add(f"{NAME}-0")
    control, ends = cluster.control, time.monotonic() + 1

    def controlled() -> None:
        control()
        found = cluster.in_(SNAPSHOTS).get(f"{NAME}-0")
        if found and time.monotonic() < ends:
            found["status"]["error"] = {"message": "RequestLimitExceeded"}
        elif found:
            found["status"]["readyToUse"] = True

    cluster.control = controlled  # type: ignore[method-assign]
    volumes = stack(cluster)
    assert Take(volumes, "kafka", NOON, Freeze(), ready=10).take(volumes.look()).complete


def test_one_that_the_driver_never_takes_is_removed() -> None:
    cluster = SnapshotCluster()
    cluster.failing[f"{NAME}-1"] = ""
    with pytest.raises(UserError, match="the driver has not taken kafka-20261127-120000-1"):
        take(stack(cluster))
    assert not cluster.in_(SNAPSHOTS)


def test_a_claim_without_a_volume_leaves_no_set() -> None:
    cluster = SnapshotCluster()
    lose(cluster, 1)
    del cluster.objects[f"{CLAIMS}/data-kafka-2"]["spec"]["volumeName"]
    volumes = stack(cluster)
    with pytest.raises(UserError, match="no set of kafka can be taken: claim data-kafka-1 isn't there; claim data-kafka-2 has no volume"):
        bound(volumes, "kafka", volumes.look())


def part(ordinal: int = 0, **more: Any) -> SetPart:
    given: dict[str, Any] = {"name": f"{NAME}-{ordinal}", "uid": f"u{ordinal}", "ordinal": ordinal, "tier": "streaming", "run": "r"}
    return SetPart(**{**given, "ready": True, **more})


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["kafka", "postgres"])), max_size=8), st.integers(-1, 4), st.integers(0, 8))
def test_only_older_complete_sets_of_the_service_go_and_the_new_one_never(kinds: list[tuple[bool, str]], keep: int, clock: int) -> None:
    """`clock` is how many days the clock of who has taken the new one is behind the others'."""
    new = SnapshotSet("kafka", NOON - timedelta(days=clock), 1, [part()])
    sets = [SnapshotSet(service, NOON - timedelta(days=days), 1, [part(ready=good)]) for days, (good, service) in enumerate(kinds, 1)]
    doomed = surplus([new, *sets], new, keep)
    older = [each for each in sets if each.complete and each.service == "kafka" and each.taken < new.taken]
    assert set(map(id, doomed)) <= set(map(id, older))
    assert len(older) - len(doomed) == min(len(older), max(keep, 1) - 1)
    kept = [each for each in older if each not in doomed]
    assert all(old.taken < young.taken for old in doomed for young in kept)


def command(volumes: StackVolumes, *arguments: str) -> Result:
    class OfTest(Machine):
        @contextmanager
        def volumes(self, *_: Any, **__: Any) -> Iterator[StackVolumes]:
            yield volumes

    return CliRunner().invoke(snapshot, list(arguments), obj=object.__new__(OfTest))


def test_every_service_gets_its_set_before_any_old_one_goes() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster, services={name: {"tier": "streaming", "size": "4Gi"} for name in ("kafka", "log")})
    cluster.bound(0, "log")
    old = take(volumes, NOON - timedelta(days=1000))
    cluster.stuck.add(old.parts[0].name)
    ended = command(volumes, "--stack", "aws", "--keep", "1")
    assert isinstance(ended.exception, UserError)
    assert f"set {old.name} is told to go, and {old.parts[0].name} is not gone yet." in str(ended.exception)
    assert [each.service for each in find_sets(cluster, "data", "aws") if each.complete].count("log") == 1


def two_services(cluster: SnapshotCluster) -> StackVolumes:
    cluster.bound(0, "log")
    return stack(
        cluster,
        services={
            "kafka": {"tier": "streaming", "size": "4Gi", "replicas": 3},
            "log": {"tier": "streaming", "size": "4Gi"},
            "last": {"tier": "streaming", "size": "4Gi"},
        },
    )


def test_of_each_service_it_is_said_what_happened() -> None:
    cluster = SnapshotCluster()
    volumes = two_services(cluster)
    cluster.bound(0, "last")
    create = cluster.create

    def refused(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["metadata"]["name"].startswith("log-"):
            raise ApiError("the API answered 403", 403, "no more than 3")
        return create(path, body)

    cluster.create = refused  # type: ignore[method-assign]
    ended = command(volumes, "--stack", "aws", "--keep", "1")
    assert isinstance(ended.exception, UserError) and ended.exit_code != 0
    kafka, last = sorted(each.name for each in find_sets(cluster, "data", "aws") if each.complete)
    lines = ended.exception.message.splitlines()
    assert lines[0] == "1 of 3 services has no new set that can be restored:"
    assert lines[1] == f"  kafka: set {kafka} can be restored"
    assert lines[2].startswith("  log: set log-") and "no snapshot of data-log-0 could be asked for: no more than 3" in lines[2]
    assert lines[3] == "    Nothing of the set is left."
    assert lines[4] == f"  last: set {last} can be restored"
    assert ended.exception.hint == "--keep 1 has deleted nothing: it does once all new sets can be restored."


def test_nothing_more_is_held_where_something_was_not_let_go() -> None:
    cluster = SnapshotCluster()
    volumes = two_services(cluster)
    cluster.bound(0, "last")
    ended = command(volumes, "--stack", "aws", "--before", "true", "--after", "test $SERVICE = kafka")
    assert isinstance(ended.exception, UserError)
    lines = ended.exception.message.splitlines()
    assert lines[0] == "2 of 3 services have no new set that can be restored:"
    assert "--after failed: `test $SERVICE = kafka` ended with exit status 1. Set log-" in lines[2]
    assert lines[-1] == "  last: no set was begun"
    assert {each.service for each in find_sets(cluster, "data", "aws")} == {"kafka", "log"}


def test_ctrl_c_says_which_services_have_no_set() -> None:
    cluster = SnapshotCluster()
    volumes = two_services(cluster)
    cluster.bound(0, "last")
    create = cluster.create

    def interrupted(path: str, body: dict[str, Any]) -> dict[str, Any]:
        if body["metadata"]["name"].startswith("log-"):
            raise KeyboardInterrupt
        return create(path, body)

    cluster.create = interrupted  # type: ignore[method-assign]
    ended = command(volumes, "--stack", "aws")
    assert ended.exit_code == 1 and not isinstance(ended.exception, UserError)  # click's Abort; `ops` makes 130 of it
    (kafka,) = find_sets(cluster, "data", "aws")
    shown = ended.output.splitlines()
    assert f"  kafka: set {kafka.name} can be restored" in shown
    assert "  log: interrupted" in shown and "  last: no set was begun" in shown


def test_a_copy_that_somebody_else_names_too_is_not_deleted() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    old = take(volumes, NOON - timedelta(days=1000))
    copy = {"driver": "ebs.csi.aws.com", "volumeSnapshotRef": {"uid": "another"}}
    handle = cluster.in_(CONTENTS)[f"snapcontent-{old.parts[0].uid}"]["status"]["snapshotHandle"]
    cluster.add(CONTENTS, {"metadata": {"name": "by-hand"}, "spec": {**copy, "source": {"snapshotHandle": handle}}})
    arguments = ("--stack", "aws", "--service", "kafka", "--keep", "1")
    assert command(volumes, *arguments).exception is None
    assert old.name in [each.name for each in find_sets(cluster, "data", "aws")]
    del cluster.objects[f"{CONTENTS}/by-hand"]
    time.sleep(1.1)  # a set's name has the second
    assert command(volumes, *arguments).exception is None
    assert len(find_sets(cluster, "data", "aws")) == 1


def test_a_content_of_another_snapshot_keeps_its_policy() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    found = take(volumes)
    strange = cluster.in_(CONTENTS)[f"snapcontent-{found.parts[0].uid}"]
    strange["spec"]["volumeSnapshotRef"] = {"uid": "another"}
    remove(volumes, found.parts)
    assert strange["spec"]["deletionPolicy"] == "Retain"
    assert len(cluster.in_(CONTENTS)) == 1


def test_a_clock_that_is_behind_does_not_cost_the_new_set() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    later = take(volumes, datetime.now(UTC).replace(microsecond=0) + timedelta(days=2))
    ended = command(volumes, "--stack", "aws", "--service", "kafka", "--keep", "1")
    assert ended.exception is None, ended.output
    sets = find_sets(cluster, "data", "aws")
    assert len(sets) == 2 and sets[0].name == later.name and sets[1].complete


def test_what_is_deleted_goes_with_the_clouds_copy_although_the_class_retains() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    found = take(volumes)
    assert remove(volumes, found.parts) == []
    assert not cluster.in_(SNAPSHOTS) and not cluster.in_(CONTENTS)


def test_nothing_of_a_snapshot_comes_when_it_is_deleted_already() -> None:
    """A controller that is slow makes a content also for a snapshot that has gone meanwhile."""

    class SlowCluster(SnapshotCluster):
        def __init__(self) -> None:
            super().__init__()
            self.making: dict[str, int] = {}  # looks until it is made, by the snapshot's UID

        def control(self) -> None:
            for each in self.in_(SNAPSHOTS).values():
                self.making.setdefault(each["metadata"]["uid"], 6)
            for uid in self.making:
                self.making[uid] -= 1
                if self.making[uid] == 0:
                    of = {"deletionPolicy": "Retain", "volumeSnapshotRef": {"uid": uid}}
                    self.add(CONTENTS, {"metadata": {"name": f"snapcontent-{uid}"}, "spec": of})

    cluster = SlowCluster()
    made = cluster.add(SNAPSHOTS, {"metadata": {"name": f"{NAME}-0"}})
    part = SetPart(f"{NAME}-0", made["metadata"]["uid"], 0, "streaming", "run")
    assert remove(stack(cluster), [part]) == []
    for _ in range(10):
        cluster.control()
    assert not cluster.in_(SNAPSHOTS) and not cluster.in_(CONTENTS)


def test_a_snapshotter_that_has_forgotten_a_deleted_content_is_reminded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "FORGOTTEN", 0.2)

    class Forgetful(SnapshotCluster):
        def request(self, method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
            contents = dict(self.in_(CONTENTS))
            answer = super().request(method, path, body, **more)
            for name, content in contents.items():
                if f"{CONTENTS}/{name}" not in self.objects:  # it was deleted, and stays until something changes
                    content["metadata"]["deletionTimestamp"] = "now"
                    self.objects[f"{CONTENTS}/{name}"] = content
                elif removing.REMINDED in (content["metadata"].get("annotations") or {}):
                    del self.objects[f"{CONTENTS}/{name}"]
            return answer

    cluster = Forgetful()
    cluster.bound(0)
    volumes = stack(cluster)
    assert remove(volumes, take(volumes).parts) == []
    assert not cluster.in_(SNAPSHOTS) and not cluster.in_(CONTENTS)


@pytest.mark.parametrize(
    "change",
    [
        {"app.kubernetes.io/managed-by": "somebody"},
        {"app.kubernetes.io/instance": "dev"},
        {"storage-tiers/ordinal": "many"},
        {"storage-tiers/snapshot-set": "monday"},
        {"app.kubernetes.io/part-of": "other"},
    ],
)
def test_what_is_not_marked_as_ours_is_no_part_of_a_set(change: dict[str, str]) -> None:
    cluster = SnapshotCluster()
    take(stack(cluster))
    found = [*cluster.in_(SNAPSHOTS).values()]
    found[2]["metadata"]["labels"].update(change)
    (read,) = read_sets(found, "aws")
    assert (len(read.parts), read.complete, read.lacks) == (2, False, "has 2 of 3 snapshots")


def test_a_set_is_found_by_its_name() -> None:
    cluster = SnapshotCluster()
    sets = [take(stack(cluster))]
    assert set_called(sets, NAME, "aws") == sets[0]
    with pytest.raises(UserError, match="has no set of snapshots kafka-x"):
        set_called(sets, "kafka-x", "aws")


def test_the_list_says_what_can_be_restored() -> None:
    good = SnapshotSet("kafka", NOON, 3, [part(ordinal, size=2**30) for ordinal in range(3)])
    half = SnapshotSet("kafka", NOON, 3, [part(0), part(1, ready=False, error="full"), part(2)])
    gone = SnapshotSet("other", NOON, 1, [part()])
    assert why_not(good, settings()) == ""
    assert why_not(half, settings()) == f"it has failed ({NAME}-1: full)"
    assert why_not(gone, settings()) == "the settings have no service other"
    listed = as_json([good, half], settings(), NOON + timedelta(hours=3))["sets"]
    assert [(each["set"], each["ageSeconds"], each["sizeBytes"], each["restorable"]) for each in listed] == [
        (NAME, 10800, 3 * 2**30, True),
        (NAME, 10800, 0, False),
    ]
    console = Console(width=120)
    with console.capture() as caught:
        console.print(table([good, half], settings(), NOON + timedelta(hours=3)))
    shown = [line.split() for line in caught.get().splitlines() if NAME in line]
    assert shown[0] == [NAME, "3", "h", "3", "3.00", "GiB", "yes", "yes"]
    assert shown[1][:4] == [NAME, "3", "h", "3"] and "2 of 3" in " ".join(shown[1])


def ready_to_restore() -> tuple[SnapshotCluster, SnapshotSet]:
    cluster = SnapshotCluster()
    found = take(stack(cluster))
    for ordinal in range(3):
        lose(cluster, ordinal)
    return cluster, found


def test_each_claim_gets_a_volume_of_its_own_snapshot_and_old_ones_stay() -> None:
    cluster, found = ready_to_restore()
    assert [each.name for each in restore(stack(cluster), found)] == [f"data-kafka-{ordinal}" for ordinal in range(3)]
    volumes = cluster.in_(VOLUMES)
    for ordinal in range(3):
        assert volumes[f"pv{ordinal}"]["status"]["phase"] == "Released"
        made = volumes[f"pv-restore-{NAME}-{ordinal}"]
        assert made["spec"]["claimRef"] == {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": "data",
            "name": f"data-kafka-{ordinal}",
        }
        assert stamp(ordinal=ordinal, stack="aws").items() <= made["metadata"]["labels"].items()
        assert made["metadata"]["annotations"][FROM] == next(each.uid for each in found.parts if each.ordinal == ordinal)
    assert not cluster.in_(CLAIMS) and not cluster.in_(PODS)
    sent = len(cluster.sent)
    restore(stack(cluster), found)
    assert len(cluster.sent) == sent, "a second time nothing is left to do"
    volumes_then = stack(cluster)
    adoption = volumes_then.reserve()
    assert {each.name: given.name for each, given in adoption.gives.items() if each.service == "kafka"} == {
        f"data-kafka-{ordinal}": f"pv-restore-{NAME}-{ordinal}" for ordinal in range(3)
    }, "an ordinary adoption knows what is reserved"


def test_a_volume_is_no_smaller_than_claim_and_snapshot() -> None:
    cluster, found = ready_to_restore()
    target = plan(stack(cluster), found, stack(cluster).look())[0]
    assert target.size == 4 * 2**30
    grown = {"kafka": {"tier": "streaming", "size": "9Gi", "replicas": 3}}
    assert plan(stack(cluster, services=grown), found, stack(cluster).look())[0].size == 9 * 2**30
    small = {"kafka": {"tier": "streaming", "size": "1Gi", "replicas": 3}}
    assert plan(stack(cluster, services=small), found, stack(cluster).look())[0].size == 4 * 2**30


def test_the_pod_that_mounts_it_changes_nothing_of_the_data() -> None:
    cluster, found = ready_to_restore()
    made: list[Any] = []
    create = cluster.create

    def recorded(path: str, body: dict[str, Any]) -> dict[str, Any]:
        made.append(body)
        return create(path, body)

    cluster.create = recorded  # type: ignore[method-assign]
    restore(stack(cluster), found)
    pods = [each for each in made if each["kind"] == "Pod"]
    assert len(pods) == 3
    for pod in pods:
        assert "fsGroup" not in pod["spec"]["securityContext"]
        assert pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"]
        assert pod["spec"]["securityContext"]["runAsNonRoot"]


def refused(cluster: SnapshotCluster, found: SnapshotSet, **changes: Any) -> str:
    before = len(cluster.sent)
    with pytest.raises(UserError) as raised:
        restore(stack(cluster, **changes), found)
    assert len(cluster.sent) == before, "nothing was made"
    return str(raised.value)


def test_nothing_is_restored_over_data_or_over_what_is_somebody_elses() -> None:
    cluster, found = ready_to_restore()
    cluster.bound(1)
    said = refused(cluster, found)
    assert "kafka 1 (data/data-kafka-1): the claim is bound to pv1, and nothing is restored over data" in said
    lose(cluster, 1)
    strange = cluster.add(CLAIMS, cluster.claim("data-kafka-1"))
    strange["metadata"]["labels"] = {}
    assert "a claim of this name is there that isn't stack aws's" in refused(cluster, found)
    strange["metadata"]["labels"] = cluster.claim("x")["metadata"]["labels"]
    strange["metadata"]["deletionTimestamp"] = "now"
    assert "the claim is being deleted" in refused(cluster, found)
    lose(cluster, 1)
    assert "the setting adopt.kafka.1 names pv1" in refused(cluster, found, adopt={"kafka": {"1": "pv1"}})
    cluster.objects[f"{VOLUMES}/pv2"]["spec"]["claimRef"] = {"namespace": "data", "name": "data-kafka-2"}
    assert "pv2 is reserved for it already" in refused(cluster, found)


def test_no_part_of_a_set_and_no_set_beyond_the_replicas_is_restored() -> None:
    cluster, found = ready_to_restore()
    two = {"kafka": {"tier": "streaming", "size": "4Gi", "replicas": 2}}
    assert "has 3 volumes, and services.kafka.replicas is 2" in refused(cluster, found, services=two)
    half = SnapshotSet("kafka", NOON, 3, found.parts[:2])
    assert "has 2 of 3 snapshots: a service isn't restored from a part" in refused(cluster, half)


def test_a_claim_that_is_in_use_and_not_in_the_set_is_not_mixed_with_it() -> None:
    cluster, found = ready_to_restore()
    cluster.bound(3)
    four = {"kafka": {"tier": "streaming", "size": "4Gi", "replicas": 4}}
    said = refused(cluster, found, services=four)
    assert "kafka 3 (data/data-kafka-3): the claim is bound and not in the set" in said
    assert "`kubectl -n data delete pvc data-kafka-3`" in said
    lose(cluster, 3)
    assert len(restore(stack(cluster, services=four), found)) == 3


def test_no_claim_is_told_to_be_deleted_whose_volume_would_go_with_it() -> None:
    cluster, found = ready_to_restore()
    cluster.bound(1)
    assert "First" not in refused(cluster, found)
    cluster.objects[f"{VOLUMES}/pv1"]["spec"]["persistentVolumeReclaimPolicy"] = "Delete"
    assert f"First have its data outlive it: `{retain('pv1')}`. Then: Stop its pods" in refused(cluster, found)


def test_a_pod_of_somebodys_is_not_taken_for_ours() -> None:
    cluster, found = ready_to_restore()
    cluster.add(CLAIMS, cluster.claim(f"restore-{NAME}-1", "pv-of-somebody"))
    cluster.add(PODS, {"metadata": {"name": f"restore-{NAME}-1"}, "spec": {}})
    assert f"a pod data/restore-{NAME}-1 is there that this didn't make" in refused(cluster, found)
    assert cluster.in_(PODS)


@pytest.mark.parametrize("number", range(12))
def test_an_interrupted_restore_goes_on_where_it_stopped(number: int) -> None:
    """It is interrupted before each of its writes."""
    cluster, found = ready_to_restore()
    request, left = cluster.request, number

    def interrupted(method: str, *more: Any, **others: Any) -> Any:
        nonlocal left
        if method in ("POST", "PATCH"):
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return request(method, *more, **others)

    cluster.request = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        restore(stack(cluster), found)
    assert not cluster.in_(PODS)
    restore(stack(cluster), found)
    reserved = [each for each in cluster.in_(VOLUMES).values() if "uid" not in each["spec"]["claimRef"]]
    assert len(reserved) == 3
    assert len(cluster.in_(VOLUMES)) == 6, "none was made twice"
    assert not cluster.in_(CLAIMS) and not cluster.in_(PODS)


def test_one_that_was_used_since_is_not_taken_for_a_new_one() -> None:
    cluster, found = ready_to_restore()
    restore(stack(cluster), found)
    used = cluster.objects[f"{VOLUMES}/pv-restore-{NAME}-0"]
    used["spec"]["claimRef"]["uid"] = "of-a-claim-that-was"
    target = plan(stack(cluster), found, stack(cluster).look())[0]
    assert target.made is None


def test_a_full_quota_is_named_with_the_setting_that_makes_room() -> None:
    cluster, found = ready_to_restore()
    cluster.status[f"restore-{NAME}-0"] = ApiError("403", 403, "exceeded quota: streaming-ebs, requested: …")
    with pytest.raises(UserError, match=r"--path services\.kafka\.restores 1`, `pulumi up`, then again"):
        restore(stack(cluster), found)


def test_a_pod_that_can_not_mount_is_named_and_removed() -> None:
    cluster, found = ready_to_restore()
    cluster.failing[f"restore-{NAME}-2"] = ""
    with pytest.raises(UserError, match="these volumes were not made and mounted in") as late:
        restore(stack(cluster), found)
    assert f"claim data/restore-{NAME}-2" in str(late.value)
    assert not cluster.in_(PODS)


def test_giving_a_restore_up_takes_its_own_claims_alone_and_says_what_becomes_of_volumes() -> None:
    cluster, found = ready_to_restore()
    for other in ("other-set", "other-service"):
        cluster.add(CLAIMS, cluster.claim(f"restore-{other}"))
    marks = {"app.kubernetes.io/managed-by": "storage-tiers-snapshots"}
    cluster.objects[f"{CLAIMS}/restore-other-set"]["metadata"]["labels"] = {
        **marks,
        "app.kubernetes.io/name": "kafka",
        "storage-tiers/snapshot-set": "20261126-120000",
    }
    cluster.objects[f"{CLAIMS}/restore-other-service"]["metadata"]["labels"] = {
        **marks,
        "app.kubernetes.io/name": "log",
        "storage-tiers/snapshot-set": "20261127-120000",
    }
    cluster.failing[f"restore-{NAME}-2"] = ""
    with pytest.raises(UserError) as late:
        restore(stack(cluster), found)
    match = re.search(r"`kubectl -n data delete pvc -l ([^`]+)`", late.value.hint)
    assert match, late.value.hint
    chosen = cluster.items(f"{CLAIMS}?labelSelector={match[1]}")
    assert sorted(each["metadata"]["name"] for each in chosen) == [f"restore-{NAME}-{ordinal}" for ordinal in range(3)]
    assert "retained where its reclaim policy is Retain, and goes with that claim where it is Delete" in late.value.hint


def test_after_runs_whatever_happens(tmp_path: Any) -> None:
    log = tmp_path / "log"
    commands = Freeze(f"echo before $SERVICE >> {log}", f"echo after >> {log}", {"SERVICE": "kafka"})
    with pytest.raises(KeyboardInterrupt), commands:
        raise KeyboardInterrupt
    assert log.read_text() == "before kafka\nafter\n"
    with pytest.raises(UserError, match="ended with exit status 3"), Freeze("exit 3", f"echo again >> {log}"):
        pytest.fail("it goes on although nothing is held")
    assert log.read_text().endswith("again\n")
    with pytest.raises(UserError, match="Run it by hand: exit 4"), Freeze("true", "exit 4"):
        pass


_HELD = """
import signal, sys, time
from ops.snapshots.freezing import Freeze
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what runs the tests may ignore it
with Freeze(f"echo before >> {sys.argv[1]}", f"sleep 1; echo after >> {sys.argv[1]}"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no hangup")
def test_after_runs_when_the_terminal_is_closed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = subprocess.Popen([sys.executable, "-c", _HELD, str(log)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout and child.stdout.readline() == b"held\n"
    child.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    child.send_signal(signal.SIGHUP)  # from the shell and from the kernel
    child.communicate(timeout=30)
    assert log.read_text() == "before\nafter\n"


def test_a_command_that_hangs_is_ended_with_what_it_has_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr("ops.snapshots.freezing.SECONDS", 0.3)
    log = tmp_path / "log"
    with pytest.raises(UserError, match=r"has not ended in 0\.3 s"), Freeze("sleep 60 | cat", f"echo after >> {log}"):
        pytest.fail("it goes on")
    assert log.read_text() == "after\n"


def test_the_freeze_ends_when_all_are_taken_not_when_all_are_ready(tmp_path: Any) -> None:
    cluster, log = SnapshotCluster(), tmp_path / "log"
    cluster.slow.add(f"{NAME}-0")
    with pytest.raises(UserError, match="not ready after"):
        take(stack(cluster), freeze=Freeze("true", f"echo after >> {log}"))
    assert log.read_text() == "after\n"


def test_without_the_setting_the_class_or_the_crds_it_says_what_is_missing() -> None:
    cluster = SnapshotCluster()
    volumes = stack(cluster)
    refuse_without_class(volumes, ["kafka", "postgres"])
    cluster.objects = {path: each for path, each in cluster.objects.items() if "volumesnapshotclasses/streaming" not in path}
    with pytest.raises(UserError, match="the VolumeSnapshotClass streaming-ebs isn't in the cluster"):
        refuse_without_class(volumes, ["kafka"])
    cluster.request = lambda *_, **__: (_ for _ in ()).throw(ApiError("the API answered 404", 404))  # type: ignore[method-assign]
    with pytest.raises(UserError, match="the cluster has no snapshots"):
        refuse_without_class(volumes, ["kafka"])
    volumes.look = lambda: None  # type: ignore[method-assign, assignment, return-value]
    with pytest.raises(UserError, match="the cluster has no snapshots"):
        sets_of(volumes)


def test_a_tier_without_snapshots_is_named_with_its_setting() -> None:
    tier = {"type": "gp3", "encrypted": True}
    services = {"kafka": {"tier": "streaming", "size": "4Gi"}}
    volumes = stack(SnapshotCluster(), tiers={"streaming": tier, "database": tier}, services=services)
    with pytest.raises(UserError, match=r"`pulumi config set --stack aws --path tiers\.streaming\.snapshots\.deletionPolicy Retain`"):
        refuse_without_class(volumes, ["kafka"])


def test_services_are_all_or_those_that_are_named() -> None:
    volumes = stack(SnapshotCluster())
    assert services_of(volumes, ()) == ["postgres", "kafka"]
    assert services_of(volumes, ("kafka", "kafka")) == ["kafka"]
    with pytest.raises(UserError, match=r"--service zoo: stack aws has no such service\.\nIts services: postgres, kafka"):
        services_of(volumes, ("zoo",))


def test_local_path_has_none_and_the_commands_copy_what_is_there() -> None:
    volumes = dev_stack(RecordedApi(OWN, [claim("data-kafka-1", "pv1")]))
    with pytest.raises(UserError) as raised:
        refuse_without_driver(volumes, ["kafka"], volumes.look())
    assert str(raised.value).splitlines() == [
        "local-path has no snapshots: its volumes are folders of a node.",
        "Copy them while kafka is stopped. The copy comes back by the setting `adopt` (docs/snapshots.md):",
        "  kubectl -n data scale statefulset kafka --replicas=0",
        "  kubectl -n data wait --for=delete pod/kafka-0 pod/kafka-1 pod/kafka-2 --timeout=180s",
        "  sudo cp -a /volumes/pv1 /volumes/kafka-1-copy   # on node here",
    ]
    with pytest.raises(UserError) as raised:
        refuse_without_driver(volumes, ["kafka", "postgres"], volumes.look())
    assert str(raised.value).splitlines()[-1].startswith("For postgres: `python -m ops snapshot --service postgres")
