"""Faults in real storage under the real canary, on the real cluster: each gets its own verdict, and
healthy storage is never refused.

`make test` runs a few of each kind, `make soak` (pytest --full) all of them, with their full
counts.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from components.canary import run
from components.canary.run import Proof
from components.canary.volumes import RESERVED_FOR_NOBODY
from components.canary.watch import Timeouts
from components.kube.ownership import BOUND_BY_CONTROLLER
from devkube.cluster import Access, Cluster, NodeFolder
from devkube.cluster import layout as layouts
from devkube.cluster.daemons import Daemon
from devkube.cluster.embedded import EmbeddedCluster
from tests.conftest import eventually
from tests.faults import damage, media
from tests.faults.damage import Damage
from tests.faults.tier import Tiers, copy_tree, read, seeded, sentence_of
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults]

soak = pytest.mark.soak
changes_files = pytest.mark.usefixtures("files")
MIB = 2**20


# --- data that comes back otherwise than it was written -------------------------------------------


@pytest.mark.parametrize(
    ("profile", "harm", "expected"),
    [
        pytest.param("database", damage.bit_in_a_page, "table.pages: damaged (flipped bits): checksum does not fit at byte", marks=soak),
        pytest.param("database", damage.bit_in_an_entry, "wal.entries: damaged (flipped bits)", marks=soak),
        pytest.param("database", damage.bit_in_a_text, "notes.txt: damaged (flipped bits)", marks=soak),
        pytest.param("streaming", damage.bit_in_an_entry, "segment.entries: damaged (flipped bits)", marks=soak),
        pytest.param("streaming", damage.bit_in_a_block, "stream.blocks: damaged (flipped bits)", marks=soak),
        pytest.param("database", damage.truncate, "wal.entries: truncated:", marks=soak),
        pytest.param("streaming", damage.truncate, "segment.entries: truncated:"),
        pytest.param("streaming", damage.lose_an_entry, "segment.entries: missing entries: entry "),
        pytest.param("streaming", damage.repeat_an_entry, "segment.entries: extra entries: entry ", marks=soak),
        pytest.param("streaming", damage.swap_entries, "segment.entries: wrong order:"),
        pytest.param("streaming", damage.turn_back_the_clock, "segment.entries: timestamps go backwards: at entry ", marks=soak),
        pytest.param("database", damage.lose_a_file, "wal.entries: missing entries: the file is gone", marks=soak),
        pytest.param("database", damage.empty_volume, "mounted, but empty: nothing of what was written is there", marks=soak),
    ],
)
@changes_files
def test_damaged_data_gets_its_own_verdict(tiers: Tiers, plain: str, profile: str, harm: Damage, expected: str) -> None:
    with tiers.at_work(tiers.canary(profile, plain)) as canary:
        canary.write()
        harm(tiers.folder_of(canary), seeded(f"{profile} {harm.__name__}"))
        assert f"the volume did not keep what it acknowledged: {expected}" in sentence_of(lambda: read(canary))


@soak
@pytest.mark.parametrize("number", range(10))
@changes_files
def test_a_flipped_bit_is_found_wherever_it_is(tiers: Tiers, plain: str, number: int) -> None:
    chance = seeded(f"bit {number}")
    with tiers.at_work(tiers.canary("database", plain)) as canary:
        canary.write()
        path = chance.choice(sorted(path for path in tiers.folder_of(canary).iterdir() if path.name != "owner.json"))
        damage.flip_one_bit(path, chance)
        assert f"{path.name}: " in sentence_of(lambda: read(canary))


@soak
def test_acknowledged_entries_that_are_lost_after_the_kill_are_missed(tiers: Tiers, plain: str, embedded: EmbeddedCluster) -> None:
    del embedded  # whose mounts are this machine's: that the writer has ended is seen by them
    with tiers.at_work(tiers.canary("database", plain)) as canary:
        canary.write()
        canary.read_back_and_kill()
        wait_until_unmounted(canary.pods[-1].uid)
        path = tiers.folder_of(canary) / "killed-1.entries"
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        sentence = sentence_of(canary.read_what_was_acknowledged)
        assert "the volume did not keep what it acknowledged: killed-1.entries: truncated: " in sentence


def wait_until_unmounted(pod: str) -> None:
    """Wait until the pod with this UID, which Kubernetes has forgotten, writes no more on the node
    either.
    """
    eventually(lambda: not [mount for mount in media.mounts() if f"/pods/{pod}/" in mount[4]], "the killed pod's volumes are unmounted", 60)


@changes_files
def test_data_of_an_earlier_run_put_back_is_stale(tiers: Tiers, plain: str, tmp_path: Path) -> None:
    with tiers.at_work(tiers.canary("streaming", plain)) as earlier:
        earlier.write()
        copy_tree(tiers.folder_of(earlier), tmp_path / "earlier")
    with tiers.at_work(tiers.canary("streaming", plain)) as canary:
        canary.write()
        tiers.put_back(tmp_path / "earlier", canary)
        sentence = sentence_of(lambda: read(canary))
        assert "stale data of an earlier run" in sentence
        assert earlier.run in sentence


@soak
@changes_files
def test_one_stale_file_is_told_from_the_rest(tiers: Tiers, plain: str, tmp_path: Path) -> None:
    with tiers.at_work(tiers.canary("streaming", plain)) as earlier:
        earlier.write()
        copy_tree(tiers.folder_of(earlier), tmp_path / "earlier")
    with tiers.at_work(tiers.canary("streaming", plain)) as canary:
        canary.write()
        (tiers.folder_of(canary) / "segment.entries").write_bytes((tmp_path / "earlier/segment.entries").read_bytes())
        assert "segment.entries: stale data of an earlier run: 102 entries are of run" in sentence_of(lambda: read(canary))


@soak
@changes_files
def test_the_data_of_another_tier_is_a_wrong_volume(tiers: Tiers, plain: str, tmp_path: Path) -> None:
    with tiers.at_work(tiers.canary("database", plain)) as other:
        other.write()
        copy_tree(tiers.folder_of(other), tmp_path / "other")
    with tiers.at_work(tiers.canary("streaming", plain)) as canary:
        canary.write()
        tiers.put_back(tmp_path / "other", canary)
        assert "wrong volume: it holds the data of tier database of stack faults" in sentence_of(lambda: read(canary))


@changes_files
def test_a_deleted_directory_fails_the_mount(tiers: Tiers, plain: str, node: str) -> None:
    with tiers.at_work(tiers.canary("streaming", plain)) as canary:
        canary.write()
        shutil.rmtree(tiers.root_of(canary))
        sentence = sentence_of(lambda: read(canary))
        assert sentence.startswith(f"the pod does not start on node {node}: ")
        assert "does not exist" in sentence


@soak
@changes_files
def test_a_host_path_volume_that_comes_back_empty_is_found(tiers: Tiers) -> None:
    """Without the annotation `defaultVolumeType: local` a lost directory is made anew without a
    word.
    """
    with tiers.storage_class("host-path", kind="hostPath") as name, tiers.at_work(tiers.canary("streaming", name)) as canary:
        root = None
        sentence = sentence_of(canary.write)
        if not sentence:
            root = tiers.root_of(canary)
            shutil.rmtree(root)
            sentence = sentence_of(lambda: read(canary))
        assert "mounted, but empty" in sentence


# --- volumes that can't be written ----------------------------------------------------------------


@soak
@pytest.mark.parametrize("profile", ["streaming", "database"])
def test_a_full_volume(tiers: Tiers, medium: Callable[..., Any], profile: str) -> None:
    with medium(media.Memory, size=8 * MIB) as (_, name), tiers.at_work(tiers.canary(profile, name)) as canary:
        assert sentence_of(canary.write).startswith("the volume is full: No space left on device (ENOSPC)")


@soak
def test_a_full_ext4_volume(tiers: Tiers, medium: Callable[..., Any]) -> None:
    with medium(media.Loop, kind="ext4", size=64 * MIB) as (_, name), tiers.at_work(tiers.canary("streaming", name)) as canary:
        assert sentence_of(canary.write).startswith("the volume is full: No space left on device (ENOSPC)")


def in_the_middle(tiers: Tiers, canary: Proof, file: str, size: int, fault: Callable[[], object]) -> str:
    """What the canary says when `fault` happens while its writing pod has just written `size` bytes
    of `file`.
    """
    sentences: list[str] = []
    writing = threading.Thread(target=lambda: sentences.append(sentence_of(canary.write)))
    writing.start()
    eventually(lambda: bool(canary.volume) and grown(tiers.folder_of(canary) / file, size), f"{file} has {size} bytes", 30)
    fault()
    writing.join(120)
    return sentences[0]


def grown(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size >= size
    except OSError:
        return False


def test_a_volume_that_turns_read_only(tiers: Tiers, medium: Callable[..., Any]) -> None:
    with medium(media.Loop, kind="ext4", size=256 * MIB) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        canary.write()
        disk.remount("ro")
        sentence = sentence_of(lambda: read(canary))
        wait_until_unmounted(canary.pods[-1].uid)
        disk.remount()  # else its data can't be removed
        assert sentence.startswith("the volume is read-only: Read-only file system (EROFS)")


@soak
@pytest.mark.parametrize(("kind", "fault"), [("ext4", "shut_down"), ("ext4", "turn_read_only"), ("xfs", "shut_down")])
def test_a_device_that_fails_while_it_is_written(tiers: Tiers, medium: Callable[..., Any], kind: str, fault: str) -> None:
    """A sync that fails says EIO; the write after an error that ext4 has seen, EROFS.

    Which of them comes first is chance.
    """
    with medium(media.Loop, kind=kind, size=320 * MIB) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        sentence = in_the_middle(tiers, canary, "table.pages", 1, getattr(disk, fault))
        disk.remount()
        assert sentence.startswith(
            ("the volume's device fails: Input/output error (EIO)", "the volume is read-only: Read-only file system (EROFS)")
        )


# --- volumes that are somebody else's -------------------------------------------------------------


def test_a_volume_that_any_claim_would_get_is_left_as_it_is(tiers: Tiers, plain: str, core: client.CoreV1Api, node: str) -> None:
    """Somebody's data, whose volume was made free: the canary neither takes it nor, where it gets
    it all the same, touches it.
    """
    folder = tiers.volumes / "somebodys"
    folder.mkdir(mode=0o777)
    (folder / "PG_VERSION").write_text("17")
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}]
    spec = {
        "capacity": {"storage": "2Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": plain,
        "persistentVolumeReclaimPolicy": "Retain",
        "local": {"path": f"{tiers.folder.in_node}/{folder.name}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
    }
    provisioned = {"pv.kubernetes.io/provisioned-by": "rancher.io/local-path"}
    core.create_persistent_volume({"metadata": {"name": "somebodys", "annotations": provisioned}, "spec": spec})

    def is_in(phase: str) -> bool:
        return bool(core.read_persistent_volume("somebodys").status.phase == phase)

    try:
        eventually(lambda: is_in("Available"), "the volume is Available", 30)
        canary = tiers.canary("database", plain)
        assert sentence_of(canary.prove).startswith(f"volume somebodys of class {plain} is Available to any claim")
        assert canary.claim is None
        core.patch_persistent_volume("somebodys", RESERVED_FOR_NOBODY)  # as the hint says
        eventually(lambda: is_in("Released"), "the volume is Released", 30)
        core.patch_persistent_volume("somebodys", {"spec": {"claimRef": None}})
        eventually(lambda: is_in("Available"), "the volume is Available", 30)
        canary.make_claim()  # as if it had become free just now
        try:
            assert sentence_of(canary.write).startswith("volume somebodys was there before the canary's claim")
        finally:
            canary.clean_up(wait=True)
        eventually(lambda: is_in("Released"), "the volume is Released", 30)
        kept = core.read_persistent_volume("somebodys")
        assert kept.metadata.annotations.keys() >= {BOUND_BY_CONTROLLER}, "which tells it from one that was made for the claim"
        assert kept.spec.persistent_volume_reclaim_policy == "Retain"
        assert not kept.metadata.labels
        assert {path.name: path.read_text() for path in folder.iterdir()} == {"PG_VERSION": "17"}
    finally:
        core.delete_persistent_volume("somebodys")


# --- a cluster that can't do it -------------------------------------------------------------------


@contextmanager
def without_provisioner(cluster: Cluster, api: client.ApiClient) -> Iterator[None]:
    """The cluster makes no volumes meanwhile. On Kind the provisioner is a Deployment."""
    if isinstance(cluster, EmbeddedCluster):
        layout = layouts.load(cluster.identity)
        assert layout
        Daemon("local-path-provisioner", [], layout.logs, layout.run / "pids").stop()
        try:
            yield
        finally:
            cluster.start()
        return
    apps, core, (name, namespace) = client.AppsV1Api(api), client.CoreV1Api(api), ("local-path-provisioner", "local-path-storage")
    apps.patch_namespaced_deployment_scale(name, namespace, {"spec": {"replicas": 0}})
    try:
        eventually(lambda: not core.list_namespaced_pod(namespace).items, "the provisioner has ended", 60)
        yield
    finally:
        apps.patch_namespaced_deployment_scale(name, namespace, {"spec": {"replicas": 1}})
        eventually(lambda: apps.read_namespaced_deployment(name, namespace).status.ready_replicas == 1, "the provisioner is back", 60)


def test_a_provisioner_that_is_down(tiers: Tiers, plain: str, cluster: Cluster, api: client.ApiClient) -> None:
    with without_provisioner(cluster, api), tiers.at_work(tiers.canary("database", plain)) as canary:
        sentence = sentence_of(canary.write)
    assert sentence.startswith("rancher.io/local-path has made no volume for class plain in 10 s")
    assert "is it running?" in sentence or "waiting for a volume" in sentence.lower()


@soak
def test_an_image_that_can_not_be_pulled(tiers: Tiers, plain: str) -> None:
    image = "storage-tiers.invalid/no-such-image:1"
    with tiers.at_work(tiers.canary("database", plain, image=image)) as canary:
        assert sentence_of(canary.write).startswith(f"the image {image} can't be pulled (")


def test_a_node_that_can_not_take_the_pod(tiers: Tiers, plain: str, core: client.CoreV1Api, node: str) -> None:
    with cordoned(core, node), tiers.at_work(tiers.canary("database", plain)) as canary:
        assert sentence_of(canary.write).startswith("no node can take the pod: 0/1 nodes are available: 1 node(s) were unschedulable")


@soak
def test_a_tainted_node(tiers: Tiers, plain: str, core: client.CoreV1Api, node: str) -> None:
    core.patch_node(node, {"spec": {"taints": [{"key": "for-others", "effect": "NoSchedule"}]}})
    try:
        with tiers.at_work(tiers.canary("database", plain)) as canary:
            assert "untolerated taint" in sentence_of(canary.write)
    finally:
        core.patch_node(node, {"spec": {"taints": None}})


@contextmanager
def cordoned(core: client.CoreV1Api, node: str) -> Iterator[None]:
    """The node takes no new pods meanwhile."""
    core.patch_node(node, {"spec": {"unschedulable": True}})
    try:
        yield
    finally:
        core.patch_node(node, {"spec": {"unschedulable": None}})


# --- writers that are killed ----------------------------------------------------------------------


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed(
    tiers: Tiers, plain: str, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = seeded("kills")
    kills = 20 if full else 3
    with tiers.at_work(tiers.canary("streaming", plain)) as canary:
        canary.write()
        for number in range(1, kills + 1):
            moment = chance.randrange(1, 600)
            monkeypatch.setattr(run, "ACKNOWLEDGED", (moment, moment))
            canary.read_back_and_kill(f"killed-{number}.entries")
            assert len(canary.acknowledged[f"killed-{number}.entries"]) >= moment
        canary.read_what_was_acknowledged()
        assert canary.judge()["verdict"] == "proven"


@soak
@changes_files
def test_a_writing_pod_that_somebody_kills(tiers: Tiers, plain: str) -> None:
    with tiers.at_work(tiers.canary("database", plain)) as canary:

        def kill() -> None:
            canary.pods[-1].kill()

        sentence = in_the_middle(tiers, canary, "wal.entries", 1, kill)
        assert sentence.endswith("was deleted by somebody while the canary ran")


# --- power cuts, and disks that lie about them ----------------------------------------------------


@pytest.mark.parametrize("kind", ["ext4", pytest.param("xfs", marks=soak)])
def test_a_real_file_system_keeps_what_it_acknowledged_over_power_cuts(tiers: Tiers, medium: Callable[..., Any], kind: str) -> None:
    with medium(media.Loop, kind=kind, size=320 * MIB) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        canary.write()
        disk.cut()
        canary.read_back_and_kill()
        disk.cut()
        canary.read_what_was_acknowledged()
        assert canary.judge()["fileSystem"]["type"] == kind


@soak
def test_an_honest_disk_keeps_what_it_acknowledged_over_power_cuts(tiers: Tiers, medium: Callable[..., Any]) -> None:
    """The same disk as the lying ones below, but for the lie: what they are found guilty of is the
    lie, not the disk's own faults.
    """
    with medium(media.LaggingDisk, lag=0) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        canary.write()
        disk.cut()
        canary.read_back_and_kill()
        disk.cut()
        canary.read_what_was_acknowledged()
        assert canary.judge()["verdict"] == "proven"


LAG = 4.0  # seconds


def test_a_disk_that_acknowledges_too_early_loses_entries_in_a_power_cut(tiers: Tiers, medium: Callable[..., Any]) -> None:
    with medium(media.LaggingDisk, lag=LAG) as (disk, name), tiers.at_work(tiers.canary("streaming", name)) as canary:
        canary.write()
        time.sleep(LAG + 1)  # what was written comes to the medium in the end
        canary.read_back_and_kill()
        disk.cut()
        sentence = sentence_of(canary.read_what_was_acknowledged)
        assert "the volume did not keep what it acknowledged: killed-1.entries: missing entries" in sentence


@soak
def test_a_disk_that_never_writes_loses_everything_in_a_power_cut(tiers: Tiers, medium: Callable[..., Any], node: str) -> None:
    with medium(media.LaggingDisk, lag=float("inf")) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        canary.write()
        disk.cut()
        sentence = sentence_of(lambda: read(canary))
        assert sentence.startswith(f"the pod does not start on node {node}: ")
        assert "does not exist" in sentence


def test_the_canary_can_not_see_a_lie_about_sync_without_a_power_cut(tiers: Tiers, medium: Callable[..., Any]) -> None:
    """Another pod on the same node reads what the node's memory holds. docs/proof.md says so."""
    with medium(media.LaggingDisk, lag=float("inf")) as (disk, name), tiers.at_work(tiers.canary("database", name)) as canary:
        canary.write()
        read(canary)
        assert canary.judge()["verdict"] == "proven"
        assert not list((disk.work / "medium").iterdir()), "and nothing of it has ever come to the medium"


# --- healthy storage ------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["database", "streaming"])
def test_a_healthy_tier_is_never_refused(tiers: Tiers, plain: str, full: bool, profile: str, tmp_path: Path) -> None:
    seconds = []
    with loaded(tmp_path):
        for _ in range(15 if full else 1):
            canary = tiers.canary(profile, plain, timeouts=Timeouts())
            began = time.monotonic()
            verdict = canary.prove()
            assert verdict["verdict"] == "proven"
            seconds.append(time.monotonic() - began)
    print(f"{profile}: {len(seconds)} runs on a loaded machine, {min(seconds):.1f} to {max(seconds):.1f} s each")


_BURN = "while True: pass"
_WRITE = """
import os, sys
while True:
    with open(sys.argv[1], "wb") as file:
        for _ in range(64):
            file.write(bytes(2**20)); file.flush(); os.fsync(file.fileno())
"""


@contextmanager
def loaded(folder: Path) -> Iterator[None]:
    """Every processor has two more processes that never rest, and the disk a writer that syncs all
    the time.
    """
    commands = [[sys.executable, "-c", _BURN]] * (2 * (os.cpu_count() or 1))
    commands.append([sys.executable, "-c", _WRITE, str(folder / "noise")])
    processes = [subprocess.Popen(command) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()


# --- through a whole `pulumi up` ------------------------------------------------------------------


@pytest.fixture
def program(program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api) -> Iterator[Program]:
    """The project's program with its tiers' volumes in folders of the claims' namespaces."""
    program = program_factory(access=access)
    pattern = {"pathPattern": "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"}
    program.configure(
        cluster={"context": access.context, "identifier": access.context},
        namespace={"name": "faulty", "create": True},
        tiers={"database": pattern, "streaming": pattern},
    )
    yield program
    program.destroy()
    eventually(lambda: not volumes(core), "no volume is left")


def volumes(core: client.CoreV1Api) -> set[str]:
    return {volume.metadata.name for volume in core.list_persistent_volume().items}


def claims(core: client.CoreV1Api) -> list[str]:
    return [claim.metadata.name for claim in core.list_namespaced_persistent_volume_claim("faulty").items]


def test_no_claim_is_made_on_a_full_tier(program: Program, embedded: EmbeddedCluster, core: client.CoreV1Api, tmp_path: Path) -> None:
    with media.Memory(embedded.volumes / "faulty-canary", tmp_path / "work", 8 * MIB):
        done = program.run("up", "--yes", "--skip-preview")
        shown = done.stdout + done.stderr
        assert done.returncode != 0, shown
        assert "(streaming-local-path) is not proven: the volume is full: No space left on device (ENOSPC)" in shown
        assert "Traceback" not in shown
        assert claims(core) == []
    # The same stack with room on its disk: nothing stands in the way of the next `up`.
    program.up()
    assert claims(core) == ["data-kafka-0", "data-kafka-1", "data-kafka-2", "data-postgres-0"]
    assert {tier["verdict"] for tier in program.outputs()["canary"].values()} == {"proven"}


@changes_files
def test_no_claim_is_made_on_a_tier_that_flips_bits(program: Program, folder: NodeFolder, core: client.CoreV1Api, node: str) -> None:
    """The node takes no second pod until the bit is flipped, so it happens between the two pods,
    whatever the timing.
    """
    chance = random.Random("a bit in pulumi up")
    results: list[subprocess.CompletedProcess[str]] = []
    up = threading.Thread(target=lambda: results.append(program.run("up", "--yes", "--skip-preview")))
    up.start()
    eventually(lambda: bool(on_node(core, "canary-database", "write")), "the writing pod is on the node")
    with cordoned(core, node):
        eventually(lambda: bool(waiting(core, "canary-database", "read")), "the reading pod waits for a node")
        (flipped,) = (folder.here / "faulty-canary").rglob("table.pages")
        damage.flip_one_bit(flipped, chance)
    up.join(180)
    shown = results[0].stdout + results[0].stderr
    assert results[0].returncode != 0, shown
    expected = "(database-local-path) is not proven: the volume did not keep what it acknowledged: table.pages: damaged (flipped bits)"
    assert expected in shown
    assert "Traceback" not in shown
    assert "data-postgres-0" not in claims(core)


def on_node(core: client.CoreV1Api, tier: str, role: str) -> list[str]:
    return [name for name, node in pods(core, tier, role) if node]


def waiting(core: client.CoreV1Api, tier: str, role: str) -> list[str]:
    return [name for name, node in pods(core, tier, role) if not node]


def pods(core: client.CoreV1Api, tier: str, role: str) -> list[tuple[str, str]]:
    found = [(each.metadata.name, each.spec.node_name) for each in core.list_namespaced_pod("faulty-canary").items]
    return [(name, node) for name, node in found if name.startswith(f"{tier}-") and name.endswith(f"-{role}")]
