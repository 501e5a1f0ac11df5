"""`make up` after a run, or the whole cluster, was killed: as a person does it, in a clone of its
own, with the canary, under running pods.

The tests run in the order of the file.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import yaml

from devkube.cluster import EmbeddedCluster
from devkube.cluster import layout as layouts
from devkube.engine import Engine
from devkube.versions import LANGUAGE
from ops import stack_file
from tests.conftest import eventually
from tests.integration.test_two_clones import DevStack
from tests.secret_scan import leaks, secrets_of

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(1800)]

DRIVER = "components.canary.driver"


class Person:
    """Who runs make in the clone; everything that was printed is kept."""

    def __init__(self, folder: Path) -> None:
        self.stack = DevStack(folder)
        self.clone = self.stack.clone
        self.printed: list[str] = []

    def make(self, target: str) -> str:
        said = self.clone.works("make", target)
        self.printed.append(said)
        return said

    def canary_anew(self) -> None:
        """Raise the number that has the canary run again."""
        file = self.clone.folder / "Pulumi.dev.yaml"
        canary = yaml.safe_load(file.read_text())["config"]["storage-tiers:canary"]
        stack_file.change(file, {"canary.run": canary.get("run", 1) + 1})

    def killed_in_canary(self, what: str) -> None:
        """`make up` with a part of it killed while a canary runs."""
        self.canary_anew()
        run = self.clone.start("make", "up")
        eventually(lambda: bool(self.processes(DRIVER)), "a canary runs", 120)
        time.sleep(2)  # its writer has been started
        if what == "the canaries":
            targets = self.processes(DRIVER)
        elif what == "the engine":
            targets = self.processes("pulumi up")
        else:
            above = psutil.Process(run.pid)
            targets = [above, *above.children(recursive=True)]
        for target in targets:
            with suppress(psutil.Error):
                target.kill()
        assert run.stdout is not None
        run.wait(120)
        os.set_blocking(run.stdout.fileno(), False)
        self.printed.append(run.stdout.read() or "")
        assert run.returncode != 0

    def processes(self, words: str) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                folder, line = Path(process.cwd()), process.cmdline()  # asked once: it can end in between
                if not line or not folder.is_relative_to(self.clone.folder):
                    continue
                command = " ".join([Path(line[0]).name, *line[1:]])
                if command.startswith(words) or f" {words} " in command:
                    found.append(process)
        return found

    def data(self) -> dict[str, str]:
        """Hashes of the services' volumes.

        A canary that was killed leaves a volume until the next run.
        """
        return {name: value for name, value in self.stack.hashes().items() if "_data-canary_" not in name}

    def canary_objects(self) -> list[str]:
        core = self.stack.core
        return [
            *(pod.metadata.name for pod in core.list_namespaced_pod("data-canary").items),
            *(claim.metadata.name for claim in core.list_namespaced_persistent_volume_claim("data-canary").items),
            *(volume.metadata.name for volume in core.list_persistent_volume().items if volume.spec.claim_ref.namespace == "data-canary"),
        ]


@pytest.fixture(scope="module")
def person(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Person]:
    """The clone, up, with a pod on each claim that has written to it."""
    made = Person(tmp_path_factory.mktemp("heals") / "clone")
    try:
        made.stack.up()
        made.stack.write()
        yield made
    finally:
        made.clone.works(made.clone.python, "-m", "dev", "purge", "--yes")


def embedded_of(person: Person) -> EmbeddedCluster:
    """The clone's cluster, for tests that look at its daemons."""
    if not isinstance(person.stack.cluster, EmbeddedCluster):
        pytest.skip("the daemons of a Kind cluster, and their logs, are in its node")
    return person.stack.cluster


def check(person: Person) -> str:
    """One `make up`: proven, with the same claims and data, nothing left of the killed run, and
    quiet the next time.
    """
    before = person.stack.uids()
    data = person.data()
    said = person.make("up")
    assert said.count("proven") >= 2
    assert person.stack.uids() == before
    assert person.data() == data
    assert person.canary_objects() == []
    assert not person.processes(DRIVER)
    assert not person.processes("pulumi")
    return said


@pytest.mark.parametrize(
    "what",
    [
        pytest.param("the engine", marks=pytest.mark.soak),
        pytest.param("the canaries", marks=pytest.mark.soak),
        "make and all that it has started",
    ],
)
def test_killed_while_the_canary_runs(person: Person, what: str) -> None:
    person.killed_in_canary(what)
    said = check(person)
    if what != "the canaries":
        assert "Released the lock of a run on stack dev that was killed." in said


@pytest.mark.soak  # in `make test` test_machine_faults.py deletes a state, without pods on the claims
def test_a_lost_state_of_the_clones_own_cluster(person: Person) -> None:
    """Nobody but this clone can have made what its own dev cluster has: the state is made anew, and
    nothing in the cluster.
    """
    shutil.rmtree(person.clone.folder / ".dev" / "state")
    said = check(person)
    assert "Taken into the state, where a killed run had not noted them: " in said
    assert "PersistentVolumeClaim data-kafka-2 in namespace data" in said
    quiet = person.make("up")
    assert "Taken" not in quiet
    assert "Released" not in quiet


@pytest.mark.soak
def test_the_whole_cluster_is_killed_during_up(person: Person, engine: Engine) -> None:
    """With the official language host the error may be a traceback of the SDK's own."""
    cluster = embedded_of(person)
    before, data = person.stack.uids(), person.data()
    person.canary_anew()
    run = person.clone.start("make", "up")
    eventually(lambda: bool(person.processes(DRIVER)), "a canary runs", 120)
    for pid in cluster.processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    said, _ = run.communicate(timeout=600)
    assert run.returncode != 0
    assert "The dev cluster, or a part of it, has stopped during the run. Run the same command again" in said
    assert "Traceback" not in said or not engine.is_stand_in(LANGUAGE)
    assert person.make("up").count("proven") >= 2
    person.stack.wait_ready()
    assert person.stack.uids() == before
    assert person.data() == data


def test_no_secret_is_left_anywhere(person: Person) -> None:
    """Neither in the clone (state, history, settings), nor in the logs of the cluster's daemons,
    nor in what was printed.
    """
    layout = layouts.load(embedded_of(person).identity)
    assert layout
    kubeconfig = person.clone.folder / ".dev" / "kubeconfig"
    known = secrets_of(layout, kubeconfig)
    assert len(known) >= 8, "keys of the API server, etcd, the service accounts, the users"
    assert leaks(known, [kubeconfig]), "a search that finds nothing proves nothing"
    texts = {
        "what was printed": "\n".join(person.printed),
        "pulumi stack export": person.clone.shell("pulumi stack export --stack dev"),
        "pulumi stack output": person.clone.shell("pulumi stack output --json --show-secrets --stack dev"),
        "pulumi config": person.clone.shell("pulumi config --show-secrets --json --stack dev"),
    }
    files = [path for path in person.clone.folder.iterdir() if path.name not in (".venv", ".git", ".dev")]
    own = [path for path in (person.clone.folder / ".dev").iterdir() if path != kubeconfig]
    assert leaks(known, [*files, *own, layout.logs], texts) == []
