"""The canary as a part of `pulumi up`, on the real engine and cluster: what it lets pass, when it
runs, and that it leaves nothing.

The tests run in the order of the file, on one stack. What the canary finds in faulty storage is in
test_canary_faults.py.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from kubernetes import client

from components.canary.manifests import CLAIM_UID, canary_labels
from components.kube import labels
from devkube.cluster import Access, Cluster, EmbeddedCluster
from tests.conftest import eventually
from tests.program import Program, home_in

pytestmark = pytest.mark.cluster

NAMESPACE, CANARY = "data", "data-canary"
IMAGE = "storage-tiers.local/python:1"
COMMAND = "command:local:Command"


@pytest.fixture(scope="module")
def program(program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api) -> Iterator[Program]:
    """The program of this project, configured for the throw-away cluster, not yet up.

    One tier's services are ReadWriteOncePod. It is destroyed afterwards.
    """
    program = program_factory(access=access)
    services = yaml.safe_load(program.stack_file.read_text())["config"]["storage-tiers:services"]
    services["kafka"]["accessMode"] = "ReadWriteOncePod"
    program.configure(cluster={"context": access.context, "identifier": access.context}, services=services)
    yield program
    program.run("destroy", "--yes", "--skip-preview")


def claims(core: client.CoreV1Api) -> dict[str, str]:
    """The UIDs of the services' claims."""
    return {claim.metadata.name: claim.metadata.uid for claim in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}


def leftovers(core: client.CoreV1Api, cluster: Cluster) -> list[str]:
    """What of the canary's momentary things is there: pods, claims, volumes, directories."""
    found = [f"pod/{each.metadata.name}" for each in core.list_namespaced_pod(CANARY).items]
    found += [f"claim/{each.metadata.name}" for each in core.list_namespaced_persistent_volume_claim(CANARY).items]
    found += [f"volume/{each.metadata.name}" for each in core.list_persistent_volume().items if each.spec.claim_ref.namespace == CANARY]
    if isinstance(cluster, EmbeddedCluster):
        found += [str(folder) for folder in cluster.volumes.glob(f"pvc-*{CANARY}*")]  # a pathPattern leaves folders above a volume
    return found


def proven(program: Program) -> dict[str, Any]:
    """The stack output `canary`."""
    canary: dict[str, Any] = program.outputs()["canary"]
    return canary


def test_no_claim_is_made_on_a_tier_that_is_not_proven(program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    program.configure(canary={"image": IMAGE, "limits": {"streaming": {"writeMBps": 1_000_000}}})
    done = program.run("up", "--yes", "--skip-preview")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "tier streaming (streaming-local-path) is not proven: it keeps data, but writeMBps is" in output
    assert "the limit is at least 1e+06" in output
    assert "canary.limits.streaming" in output
    assert "Traceback" not in output
    assert not [name for name in claims(core) if "kafka" in name]
    assert leftovers(core, cluster) == []


def test_an_image_that_can_not_be_pulled_stops_both_tiers(program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    before = claims(core)
    program.configure(canary={"image": "storage-tiers.local/nothing:1"})
    done = program.run("up", "--yes", "--skip-preview")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "is not proven: the image storage-tiers.local/nothing:1 can't be pulled" in output
    assert "pulumi config set --path canary.image" in output
    assert "Warning Failed pod/canary-" in output, "the events that matter"
    assert not [name for name in claims(core) if "kafka" in name]
    assert {name: uid for name, uid in claims(core).items() if name in before} == before
    assert leftovers(core, cluster) == []


def test_both_tiers_are_proven_and_then_get_their_claims(program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    program.configure(canary={"image": IMAGE})
    program.up()
    verdicts = proven(program)
    assert set(verdicts) == {"database", "streaming"}
    for tier, verdict in verdicts.items():
        assert verdict["verdict"] == "proven"
        assert verdict["storageClass"] == f"{tier}-local-path"
        assert len(set(verdict["pods"])) == 3
        assert verdict["volume"]["uid"]
        assert verdict["acknowledgedBeforeKill"] >= 20
        assert verdict["node"]
        assert 0 < verdict["secondsToBound"] <= verdict["secondsToRunning"]
        assert verdict["writeMBps"] > 0
        assert verdict["writeIOPS"] > 0
        assert 0 < verdict["syncMs"]["p50"] <= verdict["syncMs"]["p95"] <= verdict["syncMs"]["p99"]
        assert 0 < verdict["fileSystem"]["freeBytes"] < verdict["fileSystem"]["bytes"]
    assert verdicts["streaming"]["workloads"]["entries"]["writes"] == 102
    assert verdicts["database"]["workloads"]["pages"]["bytes"] == 10 * 2**20
    assert set(claims(core)) == {"data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"}
    assert leftovers(core, cluster) == []


def test_its_namespace_is_restricted(core: client.CoreV1Api) -> None:
    assert core.read_namespace(CANARY).metadata.labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_it_does_not_run_again_without_a_change(program: Program) -> None:
    before = proven(program)
    program.up("--expect-no-changes")
    program.up("--refresh", "--expect-no-changes")
    assert proven(program) == before


def test_up_from_a_second_clone_changes_nothing(program: Program, tmp_path: Path) -> None:
    shutil.copytree(program.folder, tmp_path / "second", symlinks=True, ignore=shutil.ignore_patterns("state", "pulumi-home"))
    second = Program(tmp_path / "second", {**program.variables, "PULUMI_HOME": home_in(tmp_path / "home")}, program.stack)
    second.pulumi("stack", "select", program.stack)
    second.up("--expect-no-changes")


def test_another_run_proves_again_and_keeps_every_claim(program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    claims_before, proven_before = claims(core), proven(program)
    program.pulumi("config", "set", "--path", "canary.run", "2")
    steps = program.preview_steps()
    assert {step["urn"].split("::")[-2].split("$")[-1] for step in steps} == {COMMAND}
    assert {step["op"] for step in steps} <= {"replace", "create-replacement", "delete-replaced"}
    arguments = {step["urn"].split("::")[-1]: step["newState"]["inputs"]["interpreter"] for step in steps if step["op"] == "replace"}
    modes = {name: "--access-mode=ReadWriteOncePod" in each for name, each in arguments.items()}
    assert modes == {"canary-database": False, "canary-streaming": True}, "of the services that all have it"
    program.up()
    verdicts = proven(program)
    for tier, verdict in verdicts.items():
        assert verdict["run"] != proven_before[tier]["run"]
        assert verdict["previous"]["provenAt"] == proven_before[tier]["provenAt"]
        assert verdict["previous"]["syncMs"] == proven_before[tier]["syncMs"]
    assert claims(core) == claims_before
    assert leftovers(core, cluster) == []


def start_run(program: Program, core: client.CoreV1Api, run: int) -> tuple[subprocess.Popen[str], psutil.Process]:
    """Start `pulumi up` with another `canary.run`.

    Returns it, and the database tier's driver at work (a pod of it is there).
    """
    program.pulumi("config", "set", "--path", "canary.run", str(run))
    command = ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"]
    # A session of its own, as a terminal would make one: a signal reaches engine, plugins and
    # drivers.
    process = subprocess.Popen(
        command,
        cwd=program.folder,
        env=program.variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )

    def volumes() -> list[Any]:
        return [each for each in core.list_persistent_volume().items if each.spec.claim_ref.namespace == CANARY]

    eventually(lambda: len(volumes()) == 2, "both canaries have a volume", 60)
    drivers = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):  # it has ended in between
            command = child.cmdline()
            if "components.canary.driver" in command and "--tier=database" in command:
                drivers.append(child)
    assert len(drivers) == 1
    return process, drivers[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_interrupted(number: signal.Signals, program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    process, _ = start_run(program, core, 3 + int(number == signal.SIGTERM))
    os.killpg(process.pid, number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode != 0, output
    eventually(lambda: leftovers(core, cluster) == [], "everything of the canary is gone", 60)
    program.run("cancel", "--yes")


def test_what_a_killed_driver_left_is_swept_by_the_next_run(program: Program, core: client.CoreV1Api, cluster: Cluster) -> None:
    # A stranger's: the canary's labels, but another namespace; nothing of it may be touched.
    stranger = stranger_volume(core)
    process, driver = start_run(program, core, 5)
    driver.kill()
    output, _ = process.communicate(timeout=90)
    assert process.returncode != 0, output
    left = leftovers(core, cluster)
    assert [each for each in left if each.startswith("claim/canary-database")], left
    output = program.up()
    assert "removing what an earlier run has left" in output
    assert leftovers(core, cluster) == []
    after = core.read_persistent_volume(stranger)
    assert after.metadata.deletion_timestamp is None
    assert after.spec.persistent_volume_reclaim_policy == "Retain"
    core.delete_persistent_volume(stranger)


def stranger_volume(core: client.CoreV1Api) -> str:
    """A volume with everything of a canary's but the namespace that its claim is in."""
    uid = "11111111-1111-1111-1111-111111111111"
    manifest = {
        "metadata": {"name": "stranger", "labels": {**canary_labels("dev", "database"), CLAIM_UID: uid}},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "database-local-path",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": "/nonexistent"},
            "claimRef": {"namespace": "elsewhere", "name": "canary-database-1", "uid": uid},
        },
    }
    core.create_persistent_volume(manifest)
    return "stranger"


def test_destroy_spares_what_is_somebody_elses_and_sweeps_what_is_its_own(
    program: Program, core: client.CoreV1Api, cluster: Cluster
) -> None:
    process, driver = start_run(program, core, 6)
    driver.kill()
    process.communicate(timeout=90)
    core.create_namespaced_config_map(CANARY, {"metadata": {"name": "somebodys-notes"}})
    done = program.run("destroy", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert f"Namespace {CANARY} is deleted with the stack, and holds objects that are not the stack's" in done.stdout + done.stderr
    assert "configmap/somebodys-notes" in done.stdout + done.stderr
    assert "canary-database" not in (done.stdout + done.stderr).partition("not the stack's")[2].partition("Delete what")[0]
    assert set(claims(core)) == {"data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"}
    core.delete_namespaced_config_map("somebodys-notes", CANARY)
    program.destroy()
    eventually(lambda: CANARY not in [each.metadata.name for each in core.list_namespace().items], "the namespace is gone")
    assert leftovers(core, cluster) == []


def test_disabled_means_claims_without_proof(program: Program, core: client.CoreV1Api) -> None:
    program.configure(canary={"enabled": False})
    program.up()
    assert {verdict["verdict"] for verdict in proven(program).values()} == {"disabled"}
    assert CANARY not in [each.metadata.name for each in core.list_namespace().items]
    before = claims(core)
    assert len(before) == 4
    program.configure(canary={"image": IMAGE, "namespace": "proofs"})
    started = time.monotonic()
    program.up()
    print(f"both tiers proven in {time.monotonic() - started:.0f} s")
    assert {verdict["verdict"] for verdict in proven(program).values()} == {"proven"}
    assert core.read_namespace("proofs").metadata.labels.items() >= labels.of_stack("dev").items()
    assert claims(core) == before
    program.configure(canary={"enabled": False})
    program.up()
    assert "proofs" not in [each.metadata.name for each in core.list_namespace().items]
    assert claims(core) == before
