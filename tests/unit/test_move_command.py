"""`python -m ops move` as it is called: what it prints, as JSON too, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from click.testing import CliRunner, Result

from components.kube.api import KubeApi
from ops.commands import move as command
from ops.move import planning
from ops.move.kept import PROVEN, KeptMove, move_id
from ops.move.planning import StackAndApi
from ops.move.run import VolumeMove
from tests.unit.test_move_plan import DEV, Cluster, claim, pod

NAMES = ("postgres-0", "kafka-0", "kafka-1", "kafka-2")
KNOWN = {"usedBytes": 2**30, "files": 7, "freeBytes": 2**31, "seconds": 43.0, "measured": False, "problem": ""}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """The source's cluster; a pod uses what `used` names."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    stacks = {name: Cluster({f"data-{each}": _claim(f"data-{each}", name) for each in NAMES}) for name in ("dev", "aws")}
    monkeypatch.setattr(command, "_stack", lambda name: StackAndApi(cast(KubeApi, stacks[name]), DEV) if name else None)
    monkeypatch.setattr(planning, "planned", lambda each: {**planning._known(each), **KNOWN})
    return stacks["dev"]


def _claim(name: str, stack: str) -> dict[str, Any]:
    found = claim(name)
    return {**found, "metadata": {**found["metadata"], "uid": f"{stack} {name}"}}


def use(source: Cluster, name: str) -> None:
    user = pod("reader")
    user["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = name
    source.found["pods"] = [user]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command.move, ["--from", "dev", "--to", "aws", *arguments])


def moved(*names: str) -> None:
    """Moves that are proven."""
    for name in names:
        kept = KeptMove(move_id(f"dev data-{name}", f"aws data-{name}"))
        verdict = {
            "verdict": PROVEN,
            "volume": name,
            "bytes": 1,
            "files": 1,
            "copySeconds": 1.0,
            "MBps": 1.0,
            "provenAt": "2026-01-01T10:00:00+00:00",
            "manifest": str(kept.manifest),
        }
        kept.save(state=PROVEN, source={"uid": f"dev data-{name}"}, target={"uid": f"aws data-{name}"}, verdict=verdict)


def test_a_plan_has_claims_bytes_room_and_time_also_of_what_cannot_begin(source: Cluster) -> None:
    use(source, "data-kafka-1")
    done = run("--plan", "--json")
    assert done.exit_code == 1
    said = json.loads(done.stdout)
    rows = {each["volume"]: each for each in said["moves"]}
    assert list(rows) == list(NAMES)
    assert rows["kafka-0"]["source"]["claim"] == "data-kafka-0" and rows["kafka-0"]["usedBytes"] == 2**30
    assert rows["kafka-1"]["usedBytes"] is None
    assert len(said["problems"]) == 1 and "claim data-kafka-1 of stack dev is used by pod reader" in said["problems"][0]
    done = run("--plan")
    assert done.exit_code == 1
    assert "Nothing was moved" not in done.stdout
    source.found["pods"] = []
    done = run("--plan")
    assert done.exit_code == 0
    text = " ".join(done.stdout.split())
    assert "kafka-1 data/data-kafka-1 data/data-kafka-1 1.00 GiB 7 2.00 GiB 43 s at 50 MB/s" in text
    assert "database-local-path" in text
    assert text.endswith("Nothing was moved. Without --plan it is.")


def test_what_is_refused_is_json_for_programs(source: Cluster) -> None:
    use(source, "data-kafka-1")
    done = run("--json")
    assert done.exit_code == 1
    found = {each["volume"]: each for each in json.loads(done.stdout)}
    assert {each["verdict"] for each in found.values()} == {"not-proven"}
    assert "used by pod reader" in found["kafka-1"]["reason"]
    assert found["kafka-0"]["reason"] == "kafka-0: nothing was done, because of others."
    assert len(found["kafka-1"]["problems"]) == 1
    assert "nothing was moved:" in str(done.exception)


def test_of_what_was_done_before_a_refusal_takes_nothing_back(source: Cluster) -> None:
    moved("kafka-0")
    use(source, "data-kafka-1")
    found = {each["volume"]: each for each in json.loads(run("--json").stdout)}
    assert (found["kafka-0"]["verdict"], found["kafka-0"]["done"]) == (PROVEN, "before")
    assert found["kafka-2"]["verdict"] == "not-proven"


def test_a_move_that_was_done_before_says_so_and_ends_well(source: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    moved(*NAMES)
    monkeypatch.setattr(VolumeMove, "_move", lambda _: pytest.fail("nothing is done"))
    done = run()
    assert done.exit_code == 0, done.exception
    assert "postgres-0 was moved before (2026-01-01T10:00:00+00:00), and nothing was done" in done.stdout
    assert "Nothing was done now." in done.stdout
    assert "pulumi destroy --stack dev" in done.stdout
