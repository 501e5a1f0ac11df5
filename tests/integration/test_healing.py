"""Runs that are killed: engine, plugin, canary or cluster, at any point.

One heal and one up later all is as it should be.

The tests run in the order of the file, on one stack. A claim of it is bound and holds data before
anything is killed.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
from kubernetes import client
from rich import box
from rich.console import Console
from rich.table import Table

from devkube.cluster import Access, EmbeddedCluster, NodeFolder
from devkube.cluster import layout as layouts
from devkube.cluster.daemons import Daemon
from devkube.engine import Engine
from devkube.versions import LANGUAGE
from tests.clean_up import remove_volumes
from tests.conftest import TOLD, eventually
from tests.faults.kills import ENDED, PARTS, Run, WhenNotNoted, processes_of, resources, stack_file, timed
from tests.faults.tier import here
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.timeout(3600)]

NAMESPACE = "data"
SEED = 20260  # of what is chosen for `make test` from the full set
POSTGRES = {"tier": "database", "size": "1Gi"}
SMALL = {"services": {"postgres": POSTGRES}, "tiers": {"database": {}, "streaming": {}}}
# Another definition of both classes, which replaces them, and three claims more.
PATTERN = {"pathPattern": "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"}
LARGE = {
    "services": {"postgres": POSTGRES, "kafka": {"tier": "streaming", "size": "1Gi", "replicas": 3}},
    "tiers": {"database": PATTERN, "streaming": PATTERN},
}


@dataclass(frozen=True)
class Kill:
    """A line of the table that is printed at the end."""

    during: str
    when: str
    what: str
    healing: str
    seconds: float


@dataclass
class Stack:
    """The stack, its cluster, and the data that was written to its claim."""

    program: Program
    core: client.CoreV1Api
    storage: client.StorageV1Api
    folder: NodeFolder  # with the volumes
    hashes: dict[Path, str] = field(default_factory=dict)  # by the folder of the volume
    kills: list[Kill] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def configure(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.program.configure(**settings)

    @property
    def claims(self) -> set[str]:
        services = self.settings["services"]
        return {f"data-{name}-{ordinal}" for name, used in services.items() for ordinal in range(used.get("replicas", 1))}

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program.folder / ".venv/bin/python", "-m", "ops", *arguments],
            cwd=self.program.folder,
            env=self.program.variables,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def heal(self, *arguments: str) -> str:
        """`python -m ops heal`; what it said."""
        done = self.ops("heal", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def converges(self, during: str, when: str, what: str) -> str:
        """One heal and one up: everything is there, nothing is left over, and no byte is lost.

        Gives what healing said.
        """
        began = time.monotonic()
        said = self.heal()
        self.program.up("--refresh")
        seconds = time.monotonic() - began
        self.kills.append(Kill(during, when, what, "; ".join(said.splitlines()) or "nothing to do", seconds))
        self.is_whole()
        return said

    def is_whole(self) -> None:
        self.program.up("--refresh", "--expect-no-changes")
        live = {claim.metadata.name: claim for claim in self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items}
        assert set(live) == self.claims
        assert not any(claim.metadata.deletion_timestamp for claim in live.values())
        known = [each["id"] for each in resources(self.program) if each["type"] == "kubernetes:core/v1:PersistentVolumeClaim"]
        assert sorted(known) == sorted(f"{NAMESPACE}/{name}" for name in self.claims)
        assert not self.program.state()["deployment"].get("pending_operations")
        assert not [path for path in (self.program.folder / "state/.pulumi/locks").rglob("*") if path.is_file()]
        eventually(lambda: not processes_of(self.program.folder), "nothing of the killed run runs any more", 20)
        self.is_intact()

    def is_intact(self) -> None:
        for folder, wanted in self.hashes.items():
            assert hashlib.sha256((folder / "payload").read_bytes()).hexdigest() == wanted, f"the data in {folder}"

    def put_right(self) -> None:
        """After a test that has failed, wherever that was: the others are about something else."""
        for process in processes_of(self.program.folder):
            with suppress(psutil.Error):
                process.kill()
        if lost_state(self.program).exists():
            lost_state(self.program).replace(stack_file(self.program))
        self.heal()

    def uids(self) -> dict[str, str]:
        return {claim.metadata.name: claim.metadata.uid for claim in self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items}

    def write(self, image: str) -> None:
        """Bind the claim of postgres by a pod that writes random bytes to it.

        The pod is removed again.
        """
        content = secrets.token_hex(4096)
        accounts = {"field_selector": "metadata.name=default"}  # a new namespace gets it a moment later, and no pod before that
        eventually(lambda: bool(self.core.list_namespaced_service_account(NAMESPACE, **accounts).items), "the service account is there")
        self.core.create_namespaced_pod(NAMESPACE, writer(image, content))
        eventually(lambda: self.core.read_namespaced_pod("writer", NAMESPACE).status.phase == "Succeeded", "the writer has written")
        self.core.delete_namespaced_pod("writer", NAMESPACE)
        eventually(lambda: not self.core.list_namespaced_pod(NAMESPACE).items, "the writer is gone")
        claim = self.core.read_namespaced_persistent_volume_claim("data-postgres-0", NAMESPACE)
        folder = here(self.folder, self.core.read_persistent_volume(claim.spec.volume_name).spec.local.path)
        self.hashes[folder] = hashlib.sha256(f"{content}\n".encode()).hexdigest()
        self.is_intact()


def writer(image: str, content: str) -> dict[str, object]:
    return {
        "metadata": {"name": "writer"},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data-postgres-0"}}],
            "containers": [
                {
                    "name": "writer",
                    "image": image,
                    "command": ["sh", "-ec", f"echo {content} > /data/payload; sync /data/payload"],
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def stack(
    program_factory: Callable[..., Program], access: Access, api: client.ApiClient, folder: NodeFolder, busybox: str
) -> Iterator[Stack]:
    """The program with `python -m ops` beside it, up, its claim bound and written to."""
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    core = client.CoreV1Api(api)
    made = Stack(program, core, client.StorageV1Api(api), folder)
    made.configure(SMALL)
    program.up()
    made.write(busybox)
    yield made
    made.heal("--before-destroy")
    program.destroy()
    remove_volumes(core)


@pytest.fixture(autouse=True)
def alone(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        stack.put_right()


def lost_state(program: Program) -> Path:
    """Where a state is that a test hides."""
    return stack_file(program).with_suffix(".lost")


def as_table(kills: list[Kill]) -> str:
    table = Table("During", "Killed", "When", "Healing", box=box.SIMPLE_HEAD, title="Killed runs: each was up again, with all data intact")
    table.add_column("Seconds", justify="right")
    for kill in kills:
        table.add_row(kill.during, kill.what, kill.when, kill.healing, f"{kill.seconds:.1f}")
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(table)
    return console.export_text()


def chosen(full: bool, all_of_them: int, few: int) -> list[int]:
    """Which of the points of a full test: all, or a few of them that are the same at every run."""
    return list(range(all_of_them)) if full else sorted(random.Random(SEED).sample(range(all_of_them), few))


def killed(start: Callable[[], Run], seconds: float, part: str) -> tuple[float, str]:
    """Start a run and kill a part of it after so many seconds.

    One that is faster than what was measured, and so has ended before, is done again and killed
    earlier. Gives the seconds and the part.
    """
    for _ in range(10):
        if start().kill_after(seconds, part) != ENDED:
            return seconds, part
        seconds *= 0.7
    pytest.fail(f"ten runs have ended before their {part} was killed")


class TestUp:
    def test_nothing_was_wrong(self, stack: Stack) -> None:
        assert stack.heal() == ""

    def test_killed_at_points_spread_over_an_up(self, stack: Stack, full: bool) -> None:
        stack.configure(LARGE)
        length = timed(stack.program.up)
        before = stack.uids()["data-postgres-0"]

        def up() -> Run:
            stack.configure(SMALL if stack.settings is LARGE else LARGE)
            return Run(stack.program, "up")

        for point in chosen(full, 20, 4):
            seconds, part = killed(up, length * (point + 0.5) / 20, PARTS[point % len(PARTS)])
            stack.converges("up", f"after {seconds:.1f} s of {length:.1f}", part)
            assert stack.uids()["data-postgres-0"] == before

    @pytest.mark.parametrize("part", ["engine", "kubernetes plugin"])
    def test_killed_when_the_cluster_has_a_claim_and_the_state_has_not(self, stack: Stack, part: str, full: bool) -> None:
        """The hard moment: a plain `pulumi up` after it fails, with "already exists" or a quota
        that counts it twice.
        """
        hit: list[str] = []
        for _ in range(10):
            stack.configure(SMALL)
            stack.program.up()
            before = stack.uids()
            moment = WhenNotNoted(stack.program, stack.core.list_namespaced_persistent_volume_claim, NAMESPACE)
            stack.configure(LARGE)
            claim = moment.kill(Run(stack.program, "up"), part)
            if claim is None:
                stack.heal()
                continue
            uid = stack.uids()[claim]
            if not hit:
                plain = stack.program.run("up", "--yes", "--skip-preview", "--refresh")
                assert plain.returncode != 0
                # The API server counts a claim before it looks whether there is one: then the quota
                # is what refuses the next one. An engine that was killed while it wrote its state
                # leaves one that can't be read.
                words = ("lock", "already exists", "exceeded quota", "failed to load checkpoint")
                assert any(each in plain.stderr + plain.stdout for each in words), plain.stderr + plain.stdout
            said = stack.converges("up", f"{claim} made, not noted", part)
            assert f"PersistentVolumeClaim {claim} in namespace {NAMESPACE}" in said
            assert stack.uids()[claim] == uid, "taken in, not made anew"
            assert stack.uids()["data-postgres-0"] == before["data-postgres-0"]
            hit.append(claim)
            if len(hit) == (3 if full else 1):
                break
        assert hit, "in ten runs the moment was never met"


class TestLostEntries:
    """Objects that are in the cluster and not in the state, as a plugin that dies leaves them."""

    def forget(self, stack: Stack, *names: str) -> None:
        exported = stack.program.state()
        # A tier's quota is named after the tier as well, and stays: its child does.
        named = [each for each in exported["deployment"]["resources"] if each["urn"].rpartition("::")[2] in names]
        gone = {each["urn"] for each in named if each["type"] != "storage-tiers:index:TierQuota"}
        kept = [each for each in exported["deployment"]["resources"] if each["urn"] not in gone]
        for each in kept:
            each["dependencies"] = [urn for urn in each.get("dependencies") or [] if urn not in gone]
            each["propertyDependencies"] = {}
        exported["deployment"]["resources"] = kept
        done = subprocess.run(
            ["pulumi", "stack", "import", "--non-interactive"],
            cwd=stack.program.folder,
            env=stack.program.variables,
            input=json.dumps(exported),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

    @pytest.mark.parametrize("names", [("data-postgres-0",), ("database",), ("data-kafka-0", "data-kafka-2", "streaming")])
    def test_are_taken_in(self, stack: Stack, names: tuple[str, ...]) -> None:
        stack.configure(LARGE)
        stack.program.up()
        before = stack.uids()
        self.forget(stack, *names)
        assert "Taken into the state" in stack.heal()
        assert stack.program.preview_steps() == [], "nothing is planned for what was taken in"
        assert stack.uids() == before
        stack.is_whole()

    def test_a_lost_state_needs_a_persons_word(self, stack: Stack) -> None:
        stack.configure(LARGE)
        before = stack.uids()
        stack_file(stack.program).rename(lost_state(stack.program))
        stack.program.pulumi("stack", "select", "--create", stack.program.stack)
        done = stack.ops("heal")
        assert done.returncode == 1
        assert "knows nothing of the cluster: that state was lost, or the objects are another person's stack" in done.stderr
        assert "`python -m ops heal --stack dev --take-over`" in done.stderr
        assert resources(stack.program) == []
        assert "Taken into the state" in stack.heal("--take-over")
        assert stack.program.preview_steps() == []
        assert stack.uids() == before
        lost_state(stack.program).unlink()
        assert [each["urn"].rpartition("::")[2] for each in resources(stack.program)].count("destroy-guard") == 2, "component and command"
        stack.is_whole()


class TestDestroy:
    def test_killed_at_points_spread_over_a_destroy(self, stack: Stack, busybox: str, full: bool) -> None:
        stack.configure(SMALL)
        stack.program.up()
        length = timed(stack.program.destroy)
        stack.program.up()
        stack.is_intact()

        def destroy() -> Run:
            stack.program.up()
            stack.write(busybox)
            return Run(stack.program, "destroy")

        for point in chosen(full, 10, 2):
            seconds, part = killed(destroy, length * (point + 0.5) / 10, PARTS[point % len(PARTS)])
            stack.converges("destroy", f"after {seconds:.1f} s of {length:.1f}", part)

    @pytest.mark.parametrize("kind", ["Namespace", "StorageClass"])
    def test_the_up_after_it_is_killed_when_the_cluster_has_more_than_the_state(self, stack: Stack, kind: str) -> None:
        """From nothing: what is killed with the provider's first objects has hardly a state."""
        for _ in range(10):
            stack.program.destroy()
            moment = WhenNotNoted(stack.program, stack.core.list_namespace if kind == "Namespace" else stack.storage.list_storage_class)
            name = moment.kill(Run(stack.program, "up"), "engine")
            said = stack.converges("up from nothing", f"{kind} {name} made, not noted" if name else "not", "engine" if name else ENDED)
            if name:
                assert f"{kind} {name}" in said
                return
        pytest.fail("in ten runs the moment was never met")

    def test_a_killed_up_is_destroyed_under_guard(self, stack: Stack) -> None:
        """The guard is made last: an up that was killed before has none, and a namespace may hold
        what isn't the stack's.
        """
        stack.configure(SMALL)
        stack.program.up()
        TestLostEntries().forget(stack, "destroy-guard")
        stack.core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "somebodys-notes"}})
        stack.heal("--before-destroy")
        done = stack.program.run("destroy", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "somebodys-notes" in done.stdout + done.stderr
        stack.core.delete_namespaced_config_map("somebodys-notes", NAMESPACE)
        stack.is_whole()


STRANGERS = {
    "StorageClass streaming-local-path (without labels)": "give the tier another name under `tiers`",
    "PersistentVolumeClaim data-kafka-1 in namespace data (labelled app=kafka)": "give the service another name under `services`",
    "PersistentVolumeClaim data-kafka-2 in namespace data (of stack prod)": "give the service another name under `services`",
}


class TestStrangers:
    def test_objects_of_the_same_name_are_refused_by_name(self, stack: Stack) -> None:
        stack.configure({**SMALL, "tiers": {"database": {}}})
        stack.program.up()
        labels = {"app.kubernetes.io/part-of": "storage-tiers", "app.kubernetes.io/instance": "prod"}
        for name, marked in (("data-kafka-1", {"app": "kafka"}), ("data-kafka-2", labels)):
            stack.core.create_namespaced_persistent_volume_claim(NAMESPACE, claim(name, marked))
        stack.storage.create_storage_class({"metadata": {"name": "streaming-local-path"}, "provisioner": "example.com/none"})
        before = stack.uids()
        stack.configure(LARGE)
        try:
            done = stack.ops("heal")
            assert done.returncode == 1
            assert "they are not the stack's:" in done.stderr
            for line, way in STRANGERS.items():
                assert f"\n  {line}\n" in done.stderr
                assert way in done.stderr
            assert "Nothing was changed." in done.stderr
            assert len(done.stderr.splitlines()) == 5
            assert stack.uids() == before
        finally:
            stack.storage.delete_storage_class("streaming-local-path")
            for name in ("data-kafka-1", "data-kafka-2"):
                stack.core.delete_namespaced_persistent_volume_claim(name, NAMESPACE)
        stack.program.up()
        stack.is_whole()


def claim(name: str, labels: dict[str, str]) -> dict[str, object]:
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Mi"}}},
    }


DAEMONS = [
    "kube-apiserver",
    "kubelet",
    "everything",
    *(pytest.param(name, marks=pytest.mark.soak) for name in ("containerd", "local-path-provisioner", "etcd")),
]


class TestCluster:
    @pytest.mark.parametrize("daemon", DAEMONS)
    def test_killed_during_up(self, daemon: str, stack: Stack, embedded: EmbeddedCluster, engine: Engine) -> None:
        """What the cluster's start puts right: the up that was under way ends, well or with an
        error, and the next one converges.

        With the official language host the error may be a traceback of the SDK's own.
        """
        before = stack.uids()["data-postgres-0"]
        stack.configure(SMALL if stack.settings is LARGE else LARGE)
        run = Run(stack.program, "up")
        time.sleep(2.0)
        layout = layouts.load(embedded.identity)
        assert layout
        names = [path.stem for path in (layout.run / "pids").glob("*.json")] if daemon == "everything" else [daemon]
        for name in names:
            process = Daemon(name, [], layout.logs, layout.run / "pids").process()
            assert process
            process.kill()
        said = run.end()
        assert "Traceback" not in said or not engine.is_stand_in(LANGUAGE)
        embedded.start()
        stack.converges("up", "after 2.0 s", f"{daemon} of the cluster")
        assert stack.uids()["data-postgres-0"] == before


def test_a_live_lock_is_never_released(stack: Stack) -> None:
    stack.configure(SMALL if stack.settings is LARGE else LARGE)
    run = Run(stack.program, "up")
    locks = stack.program.folder / "state/.pulumi/locks"
    eventually(lambda: any(path.is_file() for path in locks.rglob("*")), "the run has its lock", 30)
    done = stack.ops("heal")
    assert done.returncode == 1
    assert f"stack dev is locked: process {run.process.pid} (`pulumi`, started by " in done.stderr
    assert f"`kill -INT {run.process.pid}`" in done.stderr
    run.end()
    assert run.process.returncode == 0, "the run was not disturbed"
    stack.is_whole()


@pytest.mark.parametrize("left", ["", '{"user.cache_control":""'], ids=["empty", "cut off"])
def test_a_kill_while_the_state_was_written(left: str, stack: Stack) -> None:
    """The file backend writes the attributes of a file in place, and a kill can come in between."""
    attributes = stack_file(stack.program).with_name(stack_file(stack.program).name + ".attrs")
    assert attributes.is_file()
    attributes.write_text(left)
    broken = stack.program.run("stack", "export")
    assert broken.returncode != 0
    assert "failed to load checkpoint" in broken.stderr
    stack.converges("writing the state", "the attributes are " + ("cut off" if left else "empty"), "engine")


def test_all_of_it_in_a_table(stack: Stack, record_property: Callable[[str, object], None]) -> None:
    """The last one of the file: what was killed, and what came of it, is printed at the end of all
    tests.
    """
    assert stack.kills
    record_property(TOLD, as_table(stack.kills))
    stack.is_intact()
