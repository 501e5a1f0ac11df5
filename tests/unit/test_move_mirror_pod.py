"""A mirror's pod as the driver has it: its manifest, and what is asked of its program, which is run
as the pod runs it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ops.errors import UserError
from ops.move import pods
from ops.move.conversation import Broken
from ops.move.mirror import pod as driver
from ops.move.mirror.manifest import COMPARE, files, manifest
from ops.move.mirror.pod import Group, MirrorPod, Span
from ops.move.mirror.program import main
from tests.unit.test_move_plan import Cluster, side

Answers = Mapping[str, object]


def test_the_pod_is_restricted_and_goes_on_by_itself() -> None:
    made = manifest(side(Cluster({})), "m", "r", "kafka:4")
    spec = made["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in [*spec["initContainers"], *spec["containers"]]:
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mirroring, comparing = spec["containers"]
    assert (mirroring["image"], comparing["name"]) == ("kafka:4", COMPARE)
    assert spec["restartPolicy"] == "Always"
    assert not [each for each in spec["volumes"] if "persistentVolumeClaim" in each]


def test_all_that_the_program_imports_is_in_the_pod(tmp_path: Path) -> None:
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, text in files().items():
        (folder / name).write_text(text)
    line = json.dumps({"addresses": [["127.0.0.1", 1]], "cluster": "c"})
    done = ask([sys.executable, "-IB", str(folder / "main.py"), "reaches"], line)
    assert json.loads(done.stdout) == {"answer": ["Connection refused"]}, done.stderr
    assert {"keeper.py", "stay.py", "interpreter.py", "requirements.txt", "log4j2.properties"} <= files().keys()


def ask(command: Sequence[str], line: str) -> subprocess.CompletedProcess[str]:
    """Run it with a line on stdin, which stays open, as the driver's does."""
    reading, writing = os.pipe()
    os.write(writing, line.encode() + b"\n")
    try:
        return subprocess.run(command, stdin=reading, capture_output=True, text=True, timeout=30)
    finally:
        os.close(writing)
        os.close(reading)


def test_a_program_for_which_nobody_waits_ends() -> None:
    code = """
import sys, time
sys.path.insert(0, sys.argv.pop(1))
from program import main
main.QUESTIONS["x"] = lambda _: time.sleep(60)
main.main()
"""
    folder = str(Path(main.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code, folder, "x"], input="{}\n", capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert not done.stdout


class Asked:
    """In place of the pod: keeps what it is asked, and answers."""

    def __init__(self, answers: Answers) -> None:
        self.answers, self.asked = answers, dict[str, Any]()

    def __call__(self, _api: object, path: str, container: str, command: Sequence[str], *, stdin: bytes, **how: Any) -> str:
        assert path.endswith("/pods/move-m-mirror") and container == COMPARE
        question = command[-1]
        self.asked[question] = json.loads(stdin)
        how.get("hear", lambda _: None)("orders-0: 5 records")
        return json.dumps(self.answers[question])


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], tuple[MirrorPod, Asked]]:
    def make(answers: Answers) -> tuple[MirrorPod, Asked]:
        asked = Asked(answers)
        monkeypatch.setattr(driver, "call", asked)
        return MirrorPod(side(Cluster({})), "m", "r", "kafka:4"), asked

    return make


def test_questions_and_answers_have_the_programs_form(answering: Callable[[Answers], tuple[MirrorPod, Asked]]) -> None:
    compared = {"records": 3, "source_to": 9, "target_to": 7, "runs": [[0, 0]], "target_only": 0, "source_only": 0, "difference": ""}
    compared["last"] = [8, 6]
    pod, asked = answering(
        {
            "offsets": {"answer": [["a", 0, 1, 5, 8], ["a", 1, 0, 2, 2]]},
            "groups": {"answer": {"g": {"offsets": [["a", 0, 3]], "members": 2}}},
            "mirrored": {"answer": [["a", 0, 4]]},
            "compare": {"answer": {"a": {"1": compared}}},
            "translate": {"answer": {"1": [[3, 4]]}},
            "set-group": {"answer": None},
        }
    )
    assert pod.offsets("s:1", ["a"]) == {("a", 0): (1, 5), ("a", 1): (0, 2)}
    assert pod.unfinished("s:1", ["a"]) == {("a", 0): 3}
    assert pod.groups("s:1") == {"g": Group({("a", 0): 3}, 2)}
    assert pod.mirrored() == {("a", 0): 4}
    heard: list[str] = []
    found = pod.compare("s:1", "t:1", "a", False, {1: Span(0, 9, 0, 0, (4, 3))}, heard.append, lambda: None, last=True)
    assert found[1].runs == [(0, 0)] and found[1].source_to == 9 and found[1].last == (8, 6)
    assert heard == ["orders-0: 5 records"]
    assert asked.asked["compare"]["topics"] == {"a": {"compacted": False, "spans": {"1": [0, 9, 0, 0, [4, 3]]}}}
    assert asked.asked["compare"]["last"] is True
    assert pod.translate("s:1", "t:1", "a", False, {1: [(0, 0)]}, {1: [3]}) == {1: {3: 4}}
    pod.set_group("t:1", "g", {("a", 0): 3})
    assert asked.asked["set-group"]["offsets"] == [["a", 0, 3]]


def test_what_cannot_be_answered_is_told(answering: Callable[[Answers], tuple[MirrorPod, Asked]]) -> None:
    pod, _ = answering({"topics": {"failed": "s:1: no broker answers"}})
    with pytest.raises(Broken, match=r"^s:1: no broker answers$"):
        pod.topics("s:1")


def test_every_question_is_known_to_the_program() -> None:
    source = Path(driver.__file__).read_text()
    for name in main.QUESTIONS:
        assert f'"{name}"' in source, name


def test_a_client_that_cannot_be_got_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = MirrorPod(side(Cluster({})), "m", "r", "kafka:4")
    said = ["Looking in indexes", 'fault {"errno":"pip","message":"ERROR: no way to a package index"}']
    monkeypatch.setattr(pod.side.api, "lines", lambda path, _: iter(said if path.endswith("/log?container=tools") else []), raising=False)
    monkeypatch.setattr(pods, "start", lambda *_, look, **__: look(first(lastState={"terminated": {"exitCode": 1}})))
    with pytest.raises(
        UserError, match=r"could not be had from the image \S+: ERROR: no way to a package index\.?\n.*canary\.engines\.client"
    ):
        pod.start()


def first(**state: object) -> dict[str, Any]:
    """A pod whose first container is in this state."""
    return {"status": {"initContainerStatuses": [{"name": "tools", **state}]}}
