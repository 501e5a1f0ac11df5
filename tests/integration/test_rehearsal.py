"""`make rehearse` of every committed cloud stack: the whole way from `pulumi up` to adoption, on a
cluster of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.settings import load
from dev.rehearsal.cluster import drivers, node_labels
from devkube import paths
from devkube.cluster import csi, embedded
from devkube.cluster.layout import home_of, run_of
from devkube.engine import Engine
from ops.stack_file import raw_config

lacks = "; ".join(embedded.lacking())
STACKS = {"aws": ("ebs", "topology.kubernetes.io/zone"), "gcp": ("gce-pd", "topology.gke.io/zone")}
# What is shown where the volumes are real disks.
ON_DISKS = {
    stack: (
        f"4 nodes, in {', '.join(zones)}, and one more in {zones[0]}",
        *(f"zone {zone}" for zone in zones),  # of each canary
        f"kafka in {', '.join(zones)}",
        "then `No space left on device`; the data is whole, and freed space is written again",
        "services.postgres.size: 6Gi, services.kafka.size: 5Gi",
        "✓ a snapshot of data-postgres-0 in use, restored into a new claim",
        "✓ growth: until the file systems have it",
        *more,
        f"goes to the other node of {zones[0]}",
        "detached and attached again, every byte equal",
        "2 Released volumes, 2 by the handles of their disks",
        "no loop device, mount or file is left",
        "keys (KMS)",
    )
    for stack, zones, more in (
        ("aws", [f"eu-central-1{zone}" for zone in "abc"], ["✓ attributes of data-postgres-0 changed in use"]),
        ("gcp", [f"europe-west1-{zone}" for zone in "bcd"], []),  # its types of disks have no attributes to change
    )
}


def rehearse(stack: str, folder: Path = paths.ROOT) -> subprocess.CompletedProcess[str]:
    """It ends by itself, or is told to after 14 minutes: killed, it would leave its cluster."""
    command = [sys.executable, "-m", "dev.start", "rehearse", "--stack", stack]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "KUBE"))}
    child = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        output, errors = child.communicate(timeout=840)
    except subprocess.TimeoutExpired:
        child.terminate()
        output, errors = child.communicate(timeout=120)
    return subprocess.CompletedProcess(command, child.returncode, output, errors)


def status() -> str:
    return subprocess.run(["git", "status", "--porcelain"], cwd=paths.ROOT, check=True, capture_output=True, text=True).stdout


@pytest.mark.cluster
@pytest.mark.timeout(3600)  # the first run builds the driver and the sidecars
@pytest.mark.skipif(bool(lacks), reason=f"a rehearsal needs an embedded cluster: {lacks}")
# aws goes through all that gcp does, and a change of attributes. What is gcp's own is tested by
# itself in `make test`: its driver (devkube/tests/test_embedded_csi.py), what its settings make
# (tests/unit/test_cloud_stacks.py) and its cluster (tests/unit/test_rehearsal_cluster.py).
@pytest.mark.parametrize("stack", ["aws", pytest.param("gcp", marks=pytest.mark.soak)])
def test_a_cloud_stack_comes_up_is_proven_and_keeps_its_data(stack: str, engine: Engine) -> None:
    before = status()
    if not csi.lacking():
        csi.prepare()  # by itself it takes longer than a rehearsal may
    done = rehearse(stack)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    provisioner, key = STACKS[stack]
    for expected in (
        "protect: true until its refusal has been seen",
        f"classes database-{provisioner}, streaming-{provisioner}",
        "4 volumes bound and written",
        "✓ a destroy is refused: the stack is protected",
        "✓ a destroy is refused: pods use the claims",
        "4 volumes, every byte equal",
        *((f"the node is labelled {key}=", "attaching and detaching, other nodes and zones") if csi.lacking() else ON_DISKS[stack]),
    ):
        assert expected in output
    assert output.count("✓ a second up changes nothing") == 2
    assert output.count("proven") >= 2
    assert "not proven" not in output
    assert status() == before, "the git tree stays as it is"
    identity = f"rehearse-{paths.clone_identity()}"
    assert not home_of(identity).exists()
    assert not run_of(identity).exists()
    assert csi.attached(home_of(identity)) == []


def test_a_stack_without_a_driver_to_stand_in_for() -> None:
    done = rehearse("dev")
    assert done.returncode == 1
    assert done.stderr == "error: stack dev is on local-path: there is no driver to stand in for.\n`make up` is the real thing.\n"


@pytest.mark.parametrize("stack", STACKS)
def test_what_the_cluster_must_look_like_comes_from_the_stack_alone(stack: str) -> None:
    settings = load(raw_config(paths.ROOT / f"Pulumi.{stack}.yaml"), stack)
    assert drivers(settings) == ({"aws": "ebs.csi.aws.com", "gcp": "pd.csi.storage.gke.io"}[stack],)
    assert list(node_labels(settings)) == [STACKS[stack][1]]
