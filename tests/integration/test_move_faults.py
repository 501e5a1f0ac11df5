"""Faults of storage, of the way, and of the pods under `python -m ops move`: each is named, the
source stays as it was, nothing is left behind, and the next run ends equal.
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import Access, EmbeddedCluster
from devkube.images import build_image
from ops.move.conversation import STALLED
from tests import kubeconfig
from tests.conftest import eventually
from tests.faults import media
from tests.faults.move_tree import show
from tests.faults.relay import Relay
from tests.integration.move_stacks import CLAIM, LEVEL, MIB, TARGET, Stacks, clear, flip, phases, wait_for_phase
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(900)]

LARGE = 12  # files of 24 MiB more than test_move.py's source has: the copy takes some seconds


def enlarge(source: Path) -> None:
    """Some seconds' worth of data more."""
    chance = random.Random(7)
    for number in range(LARGE):
        (source / f"pgdata/more-{number}").write_bytes(chance.randbytes(24 * MIB))


@contextmanager
def on(medium: type[media.Medium], point: Path, work: Path, **options: Any) -> Iterator[Any]:
    """A file system of its own where a claim's directory is."""
    point.rmdir()
    try:
        with medium(point, work, **options) as mounted:
            point.chmod(0o777)  # as the provisioner makes it
            yield mounted
    finally:
        point.mkdir(exist_ok=True)
        point.chmod(0o777)


class FewInodes(media.Loop):
    """ext4 with room for 2,048 names."""

    def make(self) -> None:
        with self.image.open("wb") as file:
            file.truncate(self.size)
        media.run("mkfs.ext4", "-q", "-F", "-N", "2048", self.image)


def ended(process: subprocess.Popen[str], seconds: float = 180) -> tuple[dict[str, Any], str]:
    """The verdict of a run that was begun, which isn't proven, and what it said beside it."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    finally:
        process.kill()
    assert process.returncode == 1, stdout + stderr
    assert "Traceback" not in stderr
    (verdict,) = json.loads(stdout)
    assert verdict["verdict"] == "not-proven"
    return verdict, stderr


@contextmanager
def begun(stacks: Stacks) -> Iterator[subprocess.Popen[str]]:
    """A run of the move. Where the block fails, it is interrupted and cleans up."""
    process = stacks.begin()
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired, ValueError):
                process.communicate(timeout=60)
            process.kill()


def fill_up(file: Path) -> None:
    """Take all the room that there is, what is reserved for root as well."""
    with file.open("wb") as hog:
        end, piece = 0, 2**30
        while piece >= 2**12:
            try:
                os.posix_fallocate(hog.fileno(), end, piece)
                end += piece
            except OSError:
                os.ftruncate(hog.fileno(), end)
                piece //= 2


def wait_for_second(process: subprocess.Popen[str], phase: str) -> None:
    """The target was written and let go of: another pod is about to read it."""
    seen: list[str] = []
    for each in phases(process):
        seen.append(each["phase"])
        if each["phase"] == phase and "copying" in seen:
            return
    pytest.fail(f"it doesn't come to {phase} after copying: {seen}")


def equal_in_the_end(stacks: Stacks) -> None:
    done = stacks.move()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "proven" in done.stdout
    assert show(stacks.target) == show(stacks.source)


def test_a_target_that_is_too_small_is_said_before_anything_is_copied(stacks: Stacks, tmp_path: Path) -> None:
    with on(media.Loop, stacks.target, tmp_path / "work", kind="ext4", size=64 * MIB):
        for arguments in (["--plan"], []):
            done = stacks.move(*arguments)
            assert done.returncode == 1, done.stdout
            assert f"the target, aws {CLAIM}, is too small: the source uses " in " ".join(done.stderr.split())
            assert [each.name for each in stacks.target.iterdir()] == ["lost+found"]
    equal_in_the_end(stacks)


def test_a_target_with_too_few_inodes_is_said_before_anything_is_copied(stacks: Stacks, tmp_path: Path) -> None:
    many(stacks.source, 3000)
    with on(FewInodes, stacks.target, tmp_path / "work", kind="ext4", size=512 * MIB):
        done = stacks.move()
        assert done.returncode == 1, done.stdout
        assert "has too few inodes: the source has 32" in done.stderr
        assert [each.name for each in stacks.target.iterdir()] == ["lost+found"]


def many(source: Path, number: int) -> None:
    """Small files in a folder that is copied last."""
    folder = source / "pgdata/zz"
    folder.mkdir()
    for each in range(number):
        (folder / str(each)).write_bytes(b"x" * 100)


def test_a_target_that_gets_full_in_mid_copy_is_named_and_goes_on_with_room(stacks: Stacks, tmp_path: Path) -> None:
    enlarge(stacks.source)
    with on(media.Loop, stacks.target, tmp_path / "work", kind="ext4", size=768 * MIB):
        before = show(stacks.source)
        with begun(stacks) as process:
            wait_for_phase(process, "copying")
            hog = stacks.target / "lost+found/hog"  # somebody else's, where a move looks at nothing
            fill_up(hog)
            verdict, _ = ended(process)
        assert "the target has no room left" in verdict["reason"]
        assert "pgdata/" in verdict["reason"] or ".storage-tiers-move: " in verdict["reason"], f"the path: {verdict}"
        assert "goes on" in verdict["hint"]
        hog.unlink()
        equal_in_the_end(stacks)
        assert show(stacks.source) == before


def test_a_target_that_has_no_inodes_left_in_mid_copy_is_named(stacks: Stacks, tmp_path: Path) -> None:
    enlarge(stacks.source)
    many(stacks.source, 1500)
    with on(FewInodes, stacks.target, tmp_path / "work", kind="ext4", size=768 * MIB):
        with begun(stacks) as process:
            wait_for_phase(process, "copying")
            hog = stacks.target / "lost+found/hog"
            hog.mkdir()
            with suppress(OSError):
                for number in range(2048):
                    (hog / str(number)).touch()
            verdict, _ = ended(process)
        assert "pgdata/" in verdict["reason"] or ".storage-tiers-move: " in verdict["reason"], f"the path: {verdict}"
        assert "the target has no room left" in verdict["reason"], verdict
        clear(hog)
        hog.rmdir()
        equal_in_the_end(stacks)


def test_a_target_that_never_answers_ends_the_move_and_goes_on_when_it_does(stacks: Stacks, tmp_path: Path) -> None:
    """A frozen file system: writes and syncs wait in the kernel, where nothing can kill them."""
    enlarge(stacks.source)
    with on(media.Loop, stacks.target, tmp_path / "work", kind="ext4", size=768 * MIB):
        with begun(stacks) as process:
            wait_for_phase(process, "copying")
            eventually(lambda: any(stacks.target.glob("pgdata/.storage-tiers-move.*")), "it copies the large files", 30)
            media.run("fsfreeze", "--freeze", stacks.target)
            try:
                verdict, _ = ended(process, 480)
                assert f"nothing has gone on for {STALLED:.0f} s: pod " in verdict["reason"]
                assert f"-target (claim {CLAIM}) " in verdict["reason"], "which claim's"
                assert "its storage does not answer" in verdict["reason"], verdict
                assert "-source" not in verdict["reason"], "that one only waits for the other"
                assert "it goes on where this stopped" in verdict["hint"]
                again = stacks.move()
                assert again.returncode == 1, again.stdout
                assert "does not go: move-" in again.stderr, "its pod can't end yet"
            finally:
                media.run("fsfreeze", "--unfreeze", stacks.target)
        eventually(lambda: not stacks.pods(), "its pods are gone", 120)
        equal_in_the_end(stacks)


def test_a_byte_that_flips_before_it_is_read_back_is_named(stacks: Stacks) -> None:
    with begun(stacks) as process:
        wait_for_second(process, "starting")
        flip(stacks.target / "pgdata/large-3", 7 * MIB)
        verdict, _ = ended(process)
    assert "isn't what the source is" in verdict["reason"]
    assert "pgdata/large-3: its contents are others" in verdict["reason"]
    assert verdict["reason"].count("pgdata/") == 1, "and nothing else"
    assert "Don't use the target" in verdict["hint"]
    assert "The same command sends again what differs" in verdict["hint"]
    kept = (stacks.target / "pgdata/large-4").stat().st_ino
    sent = (stacks.target / "pgdata/large-3").stat().st_ino
    equal_in_the_end(stacks)
    assert (stacks.target / "pgdata/large-4").stat().st_ino == kept, "the others are as they were sent"
    assert (stacks.target / "pgdata/large-3").stat().st_ino != sent


def test_a_target_that_lies_about_sync_is_found_out_after_a_power_cut(stacks: Stacks, tmp_path: Path) -> None:
    clear(stacks.source)
    chance = random.Random(3)
    (stacks.source / "store").mkdir()
    for number in range(20):  # what this file system in user space can have
        (stacks.source / f"store/{number}").write_bytes(chance.randbytes(300_000))
    for path in (*stacks.source.rglob("*"), stacks.source):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    with on(media.LaggingDisk, stacks.target, tmp_path / "work", lag=float("inf")) as disk:
        with begun(stacks) as process:
            wait_for_second(process, "starting")
            disk.cut()
            verdict, _ = ended(process)
        assert "isn't what the source is" in verdict["reason"]
        assert "store" in verdict["reason"]
        assert "its storage doesn't keep what it is given" in verdict["hint"]


@pytest.fixture
def relay(stacks: Stacks, access: Access, tmp_path: Path) -> Iterator[tuple[Relay, Stacks]]:
    """The same stacks, by a way that can be cut."""
    document = yaml.safe_load(Path(str(access.kubeconfig)).read_text())
    entry = next(each["context"] for each in document["contexts"] if each["name"] == access.context)
    server = urlsplit(next(each["cluster"]["server"] for each in document["clusters"] if each["name"] == entry["cluster"]))
    enlarge(stacks.source)
    with Relay((str(server.hostname), int(server.port or 443))) as way:
        file = kubeconfig.write(access, tmp_path / "kubeconfig", access.context, server=f"https://127.0.0.1:{way.port}")
        program = dataclasses.replace(stacks.program, variables={**stacks.program.variables, "KUBECONFIG": str(file)})
        yield way, dataclasses.replace(stacks, program=program)


@pytest.mark.parametrize("how", ["cut", "close", "fall_silent"])
def test_a_connection_that_drops_is_named_and_the_move_goes_on(relay: tuple[Relay, Stacks], how: str) -> None:
    way, behind = relay
    with begun(behind) as process:
        wait_for_phase(process, "copying")
        eventually(lambda: any(behind.target.glob("pgdata/.storage-tiers-move.*")), "it copies the large files", 30)
        getattr(way, how)()
        verdict, _ = ended(process)
    said = {
        "cut": "is gone: ",
        "close": "is gone: ",
        "fall_silent": "has given no sign of life for 30 s",
    }[how]
    assert said in verdict["reason"], verdict
    assert f"move-{verdict['move']}-" in verdict["reason"], "which pod's"
    assert "Run the same command again: it goes on where this stopped." in verdict["hint"]
    way.open()
    if how == "cut":
        eventually(lambda: not behind.pods(), "its pods are removed at once", 30)
    equal_in_the_end(behind)


@pytest.mark.parametrize("role", ["source", "target"])
def test_a_pod_whose_processes_are_killed_on_its_node_is_named(stacks: Stacks, role: str) -> None:
    """As the kernel does where memory is short, or a node's person by hand."""
    enlarge(stacks.source)
    with begun(stacks) as process:
        wait_for_phase(process, "copying")
        (pod,) = [each.metadata.name for each in stacks.pods() if each.metadata.name.endswith(f"-{role}")]
        kill_in(pod)
        verdict, _ = ended(process)
    assert pod in verdict["reason"], verdict
    assert "it goes on where this stopped" in verdict["hint"]
    equal_in_the_end(stacks)


def kill_in(pod: str) -> None:
    """Kill everything in a pod."""
    found = running(pod)
    assert found, f"nothing runs in {pod}"
    for process in found:
        with suppress(psutil.Error):
            process.kill()


def running(pod: str, program: str = "") -> list[psutil.Process]:
    """A pod's processes, or those of a program in it: each has the pod's name in HOSTNAME."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("HOSTNAME") == pod and program in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_a_source_whose_pod_ends_while_the_target_is_read_back_is_looked_at_by_another(stacks: Stacks) -> None:
    """A large target takes longer than an idle pod stays: five minutes."""
    enlarge(stacks.source)
    with begun(stacks) as process:
        wait_for_phase(process, "reading back")
        pods = {each.metadata.name.rpartition("-")[2]: each.metadata for each in stacks.pods()}
        source, reader = pods["source"], pods["back"].name
        eventually(lambda: bool(running(reader, "mover.py inspect")), "the target is read", 20)
        (reading,) = running(reader, "mover.py inspect")
        reading.suspend()  # for less than the 30 s after which it counts as dead
        try:
            (keeper,) = running(source.name, "keeper.py")
            keeper.terminate()
            eventually(
                lambda: stacks.core.read_namespaced_pod(source.name, source.namespace).status.phase == "Succeeded", "the pod has ended", 20
            )
        finally:
            reading.resume()
        stdout, said = process.communicate(timeout=180)
    assert process.returncode == 0, stdout + said
    assert json.loads(stdout)[0]["verdict"] == "proven"
    assert show(stacks.target) == show(stacks.source)


def test_between_two_clusters_the_stream_goes_through_this_machine(stacks: Stacks, access: Access, tmp_path: Path) -> None:
    context = "storage-tiers-second"
    other = EmbeddedCluster(f"mv2-{paths.clone_identity()}", context, tmp_path / "second")
    other.delete()
    try:
        second = other.start()
        other.load_image(build_image("python"))
        files = os.pathsep.join(str(each.kubeconfig) for each in (access, second))
        variables = {**stacks.program.variables, "KUBECONFIG": files}
        far = Program(stacks.program.folder, variables, "far")
        document = yaml.safe_load((far.folder / "Pulumi.aws.yaml").read_text())
        document["config"]["storage-tiers:cluster"] = {"context": context, "identifier": context}
        far.stack_file.write_text(yaml.safe_dump(document))
        far.pulumi("stack", "init", "far")
        far.up("--stack", "far")
        core = client.CoreV1Api(kubeconfig.client_of(second.kubeconfig, second.context))
        core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "baseline"}}})
        way = ("move", "--from", "dev", "--to", "far", "--service", "postgres", "--json")
        begun = subprocess.Popen(
            [str(paths.SCRIPTS / "python"), "-m", "ops", *way],
            cwd=far.folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_for_phase(begun, "copying")
        begun.send_signal(signal.SIGKILL)
        begun.communicate(timeout=30)
        done = far.ops(*way)
        assert done.returncode == 0, done.stdout + done.stderr
        (verdict,) = json.loads(done.stdout)
        assert (verdict["source"]["context"], verdict["target"]["context"]) == (access.context, context)
        claim = core.read_namespaced_persistent_volume_claim(CLAIM, TARGET)
        volume = core.read_persistent_volume(claim.spec.volume_name)
        assert show(Path((volume.spec.local or volume.spec.host_path).path)) == show(stacks.source)
        assert far.ops(*way, "--verify").returncode == 0
        selector = "app.kubernetes.io/managed-by=storage-tiers-move"
        eventually(lambda: not core.list_pod_for_all_namespaces(label_selector=selector).items, "no pod of it is left there", 60)
        far.pulumi("destroy", "--yes", "--skip-preview", "--stack", "far")
    finally:
        other.delete()
