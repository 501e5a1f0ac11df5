"""A set of snapshots as a way back: taken of brokers' volumes in use, and restored after their
claims were lost. On real disks, behind Kubernetes' own snapshotter.
"""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from components.kube.api import KubeApi
from components.provisioners import SNAPSHOT_API
from dev.rehearsal.consumers import Consumers
from devkube import paths
from devkube.cluster import EmbeddedCluster, csi, embedded
from devkube.cluster import layout as layouts
from devkube.cluster.daemons import Daemon
from devkube.images import build_image, reference
from devkube.toolchain.build import build
from ops.kube import open_api
from tests.conftest import eventually
from tests.program import Program

_LACKING = [*embedded.lacking(), *csi.lacking()]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(3600),  # the first run builds the driver and the sidecars
    pytest.mark.skipif(bool(_LACKING), reason="; ".join(_LACKING)),
]

CONTEXT = "storage-tiers-snapshots"
SNAPSHOTS = f"/apis/{SNAPSHOT_API}/namespaces/data/volumesnapshots"
CONTENTS = f"/apis/{SNAPSHOT_API}/volumesnapshotcontents"
CLAIMS = "/api/v1/namespaces/data/persistentvolumeclaims"
ZONES = csi.ZONES["ebs"]


@dataclass
class Stack:
    """The aws stack's brokers, on disks; each test leaves them running."""

    program: Program
    api: KubeApi
    kubectl: list[str]
    consumers: Consumers
    snapshotter: list[psutil.Process]

    @contextmanager
    def nothing_is_taken(self) -> Iterator[None]:
        """The driver isn't asked for snapshots meanwhile."""
        for process in self.snapshotter:
            process.suspend()
        try:
            yield
        finally:
            for process in self.snapshotter:
                process.resume()

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`ops snapshot` of the brokers, beside this."""
        command = [str(paths.SCRIPTS / "python"), "-m", "ops", "snapshot", "--service", "kafka", *arguments, "--stack", "aws"]
        folder, variables = self.program.folder, self.program.variables
        return subprocess.Popen(command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def ops(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.program.ops(*arguments, "--stack", "aws")

    def done(self, *arguments: str) -> str:
        ended = self.ops(*arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def refused(self, *arguments: str) -> str:
        ended = self.ops(*arguments)
        assert ended.returncode == 1, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def take(self, *arguments: str) -> str:
        """Take a set, and return its name."""
        said = self.done("snapshot", "--service", "kafka", *arguments)
        return said.split("--from-snapshot ")[1].split()[0]

    def sets(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.done("snapshot", "list", "--json"))["sets"]
        return found

    def handles(self) -> list[str]:
        """The disks that the brokers' claims are bound to."""
        return [handle for claim, handle in self.consumers.volumes().items() if "kafka" in claim]

    def names(self, path: str) -> list[str]:
        return sorted(each["metadata"]["name"] for each in self.api.items(path))

    def ask(self, *arguments: str) -> None:
        subprocess.run([*self.kubectl, "--namespace=data", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture(scope="module")
def stack(program_factory: Callable[..., Program], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    csi.prepare()
    kubeconfig = tmp_path_factory.mktemp("disks") / "kubeconfig"
    cluster = EmbeddedCluster(f"snap-{paths.clone_identity()}", CONTEXT, kubeconfig, provisioners=(), driver="ebs")
    cluster.delete()
    try:
        access = cluster.start()
        for image in ("python", "busybox"):
            cluster.load_image(build_image(image))
        program = program_factory(access=access, stack="aws")
        tier = {"type": "gp3", "csi.storage.k8s.io/fstype": "xfs", "mountOptions": ["noatime"], "zones": list(ZONES)[:1]}
        program.configure(
            cluster={"context": CONTEXT, "identifier": CONTEXT},
            tiers={"streaming": {**tier, "snapshots": {}}, "database": {**tier, "csi.storage.k8s.io/fstype": "ext4"}},
            services={
                "kafka": {"tier": "streaming", "size": "1Gi", "replicas": 3, "accessMode": "ReadWriteOncePod"},
                "postgres": {"tier": "database", "size": "1Gi"},
            },
            # What a canary proves is proven elsewhere; its image is the restore's.
            canary={"enabled": False, "image": reference("python")},
            protect=False,
        )
        program.up()
        api = open_api(access.context, str(kubeconfig))
        kubectl = [str(build("node") / "kubectl"), f"--kubeconfig={kubeconfig}", f"--context={CONTEXT}"]
        claims = json.loads(program.pulumi("stack", "output", "--json"))["claims"]
        consumers = Consumers(api, kubectl, "data", {"kafka": claims["kafka"]})
        consumers.start()
        layout = layouts.load(cluster.identity)
        assert layout
        snapshotter = Daemon("csi-snapshotter", [], layout.logs, layout.run / "pids").process()
        assert snapshotter
        yield Stack(program, api, kubectl, consumers, [snapshotter, *snapshotter.children(recursive=True)])
    finally:
        cluster.delete()


def test_a_service_comes_back_as_it_was_when_the_set_was_taken(stack: Stack, tmp_path: Path) -> None:
    first_data = stack.consumers.write()
    first = stack.take()
    assert [(each["set"], each["volumes"], each["ready"], each["restorable"]) for each in stack.sets()] == [(first, 3, True, True)]
    assert len(stack.names(SNAPSHOTS)) == 3
    assert first in stack.done("snapshot", "list")

    # Another one of somebody's own: it is never counted, and never deleted.
    source = {"persistentVolumeClaimName": "data-kafka-0"}
    own = {"volumeSnapshotClassName": "streaming-ebs", "source": source}
    stack.api.create(SNAPSHOTS, {"apiVersion": SNAPSHOT_API, "kind": "VolumeSnapshot", "metadata": {"name": "own"}, "spec": own})

    second_data = stack.consumers.write()
    assert second_data != first_data
    log = tmp_path / "log"
    hold = [f"echo {word} $SERVICE >> {shlex.quote(str(log))}" for word in ("held", "released")]
    second = stack.take("--keep", "1", "--before", hold[0], "--after", hold[1])
    assert log.read_text() == "held kafka\nreleased kafka\n"
    assert [each["set"] for each in stack.sets()] == [second]
    assert stack.names(SNAPSHOTS) == [*(f"{second}-{ordinal}" for ordinal in range(3)), "own"]
    assert len(stack.names(CONTENTS)) == 4, "the disks' copies of the deleted set are gone too, although the class retains"

    third_data = stack.consumers.write()
    before = stack.handles()
    said = stack.refused("volumes", "adopt", "--from-snapshot", second)
    assert f"set {second} can't be restored; nothing was made" in said and "nothing is restored over data" in said
    assert stack.consumers.read() == third_data
    assert not [name for name in stack.names(CLAIMS) if name.startswith("restore-")]

    stack.consumers.stop()
    stack.ask("delete", "pvc", *(f"data-kafka-{ordinal}" for ordinal in range(3)))
    said = stack.done("volumes", "adopt", "--from-snapshot", second)
    assert said.count("data/data-kafka-") == 3 and "Next: `pulumi up`" in said
    again = stack.done("volumes", "adopt", "--from-snapshot", second)
    assert "restoring" not in again, "a second time nothing is made"
    stack.program.up("--refresh")
    stack.consumers.start()
    assert stack.consumers.read() == second_data
    after = stack.handles()
    assert len({*before, *after}) == 6
    phases = {each["spec"]["csi"]["volumeHandle"]: each["status"]["phase"] for each in stack.api.items("/api/v1/persistentvolumes")}
    assert [phases[handle] for handle in before] == ["Released"] * 3, "what was there before is kept"
    assert not [name for name in stack.names(CLAIMS) if name.startswith("restore-")]
    stack.program.up("--expect-no-changes")


def test_what_is_not_possible_is_said_with_what_is(stack: Stack) -> None:
    said = stack.refused("snapshot")
    assert "tiers.database has no `snapshots`" in said
    assert "`pulumi config set --stack aws --path tiers.database.snapshots.deletionPolicy Retain`, then `pulumi up`" in said
    said = stack.refused("volumes", "adopt", "--from-snapshot", "kafka-20200101-000000")
    assert "stack aws has no set of snapshots kafka-20200101-000000" in said


def test_a_set_in_which_one_fails_is_none(stack: Stack) -> None:
    before = stack.names(SNAPSHOTS)
    said = stack.refused("snapshot", "--service", "kafka", "--before", "exit 3", "--after", "true")
    assert "--before failed: `exit 3` ended with exit status 3" in said
    assert stack.names(SNAPSHOTS) == before


def test_a_set_that_is_taken_stays_when_after_fails(stack: Stack) -> None:
    before = {each["set"] for each in stack.sets()}
    said = stack.refused("snapshot", "--service", "kafka", "--before", "true", "--after", "exit 4")
    assert "--after failed: `exit 4` ended with exit status 4. Set kafka-" in said
    (name,) = {each["set"] for each in stack.sets()} - before
    assert f"Set {name} is taken whole, and stays." in said and "Run it by hand: exit 4" in said
    eventually(lambda: all(each["restorable"] for each in stack.sets()), "it can be restored", 30)


def test_ctrl_c_lets_go_what_was_held_and_leaves_no_snapshot(stack: Stack, tmp_path: Path) -> None:
    before = stack.names(SNAPSHOTS), stack.names(CONTENTS)
    log = tmp_path / "log"
    with stack.nothing_is_taken():
        child = stack.start("--before", "true", "--after", f"echo released >> {shlex.quote(str(log))}")
        eventually(lambda: stack.names(SNAPSHOTS) != before[0], "a snapshot is asked for", 30)
        child.send_signal(signal.SIGINT)
        eventually(lambda: any("deletionTimestamp" in each["metadata"] for each in stack.api.items(SNAPSHOTS)), "it is removed", 30)
    output, errors = child.communicate(timeout=90)
    assert child.returncode == 130, output + errors
    assert "Interrupted" in errors
    assert log.read_text() == "released\n"
    assert (stack.names(SNAPSHOTS), stack.names(CONTENTS)) == before


def test_ctrl_c_leaves_a_set_that_is_taken(stack: Stack, tmp_path: Path) -> None:
    """The command stands still while the driver takes all, and wakes up to Ctrl-C."""
    before = {each["set"] for each in stack.sets()}
    log = tmp_path / "log"
    with stack.nothing_is_taken():
        count = len(stack.names(SNAPSHOTS))
        child = stack.start("--before", "true", "--after", f"echo released >> {shlex.quote(str(log))}")
        eventually(lambda: len(stack.names(SNAPSHOTS)) == count + 3, "three snapshots are asked for", 30)
        child.send_signal(signal.SIGSTOP)
    eventually(lambda: all((each.get("status") or {}).get("readyToUse") for each in stack.api.items(SNAPSHOTS)), "all are taken", 60)
    child.send_signal(signal.SIGINT)
    child.send_signal(signal.SIGCONT)
    output, errors = child.communicate(timeout=90)
    assert child.returncode == 130, output + errors
    (found,) = [each for each in stack.sets() if each["set"] not in before]
    assert f"Set {found['set']} is taken whole, and stays." in output
    assert found["restorable"] and found["volumes"] == 3
    assert log.read_text() == "released\n"


def test_a_destroy_that_would_take_the_snapshots_along_is_refused(stack: Stack) -> None:
    stack.consumers.stop()
    there = stack.names(SNAPSHOTS)
    ended = stack.program.run("destroy", "--yes", "--skip-preview")
    assert ended.returncode != 0
    assert f"volumesnapshot/{there[0]}" in ended.stdout + ended.stderr
    assert stack.names(SNAPSHOTS) == there
