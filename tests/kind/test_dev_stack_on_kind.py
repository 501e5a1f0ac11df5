"""A dev stack on a real Kind cluster, put through what happens to one: `make up`, consumers, the
node and Docker killed, the cluster deleted.

The tests run in the order of the file; the data that the second one writes is the same until the
last.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

from devkube.cluster import KindCluster
from devkube.images import build_image, reference
from tests.clone import Clone
from tests.conftest import eventually
from tests.integration.consumer_pods import ConsumerPods
from tests.kind.docker import Docker

pytestmark = [pytest.mark.kind, pytest.mark.cluster, pytest.mark.timeout(900)]

CLAIMS = ["data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"]


class StackOnKind:
    """A clone, its Kind cluster, and the pods of its consumers."""

    def __init__(self, folder: Path) -> None:
        self.clone = Clone(folder, lend_environment=True)
        self.kubeconfig = folder / ".dev/kubeconfig"
        self.cluster = KindCluster(self.clone.identity, "storage-tiers-dev", self.kubeconfig)
        self.hashes: dict[str, str] = {}

    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(config.new_client_from_config(str(self.kubeconfig)))

    def consumers(self) -> ConsumerPods:
        return ConsumerPods(self.core(), reference("busybox"), hashes=self.hashes)

    def bound(self) -> dict[str, str]:
        return {each.metadata.name: each.spec.volume_name for each in self.core().list_namespaced_persistent_volume_claim("data").items}

    def intact(self) -> None:
        """Every consumer runs again, and reads what was written through its claim."""
        consumers = self.consumers()
        eventually(lambda: self._answer(consumers), "the consumers' pods answer")
        assert consumers.read(CLAIMS) == self.hashes

    def comes_back(self, before: dict[str, str]) -> None:
        """`make up` brings it back, each claim with the volume that it had before, and its data."""
        self.clone.works("make", "up")
        assert self.bound() == before
        self.intact()

    def _answer(self, consumers: ConsumerPods) -> bool:
        """Whether each pod can be asked: right after a restart some still count as ready."""
        try:
            return all(consumers.run(claim, "echo here").strip() == "here" for claim in CLAIMS)
        except ApiException:
            return False


def containers(docker: Docker) -> list[str]:
    return docker.client("ps", "--all", "--format", "{{.Names}}").split()


@pytest.fixture(scope="module")
def stack(real_docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackOnKind]:
    made = StackOnKind(tmp_path_factory.mktemp("on-kind") / "clone")
    yield made
    made.clone.run(made.clone.python, "-m", "dev", "purge", "--yes", "--unseen")


def test_terminal_is_closed_while_the_cluster_is_made(stack: StackOnKind, real_docker: Docker) -> None:
    run = stack.clone.start("make", "up")
    eventually(lambda: bool(containers(real_docker)), "there is a node", 120)
    time.sleep(3)  # kind sets it up
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    assert containers(real_docker) == [stack.cluster.node]


def test_make_up(stack: StackOnKind, real_docker: Docker) -> None:
    """From half a cluster, which the test above has left."""
    said = stack.clone.works("make", "up")
    assert containers(real_docker) == [stack.cluster.node]
    canary = json.loads(stack.clone.shell("pulumi stack output canary --json"))
    assert {tier: found["verdict"] for tier, found in canary.items()} == {"database": "proven", "streaming": "proven"}
    assert "streaming-local-path" in said
    assert set(stack.bound()) == set(CLAIMS)
    assert "28 unchanged" in stack.clone.works("make", "up")


def test_consumers_write_and_read(stack: StackOnKind) -> None:
    stack.cluster.load_image(build_image("busybox"))
    consumers = stack.consumers()
    consumers.start(CLAIMS)
    consumers.write(CLAIMS)
    stack.intact()
    volumes = stack.bound()
    assert {folder.name.split("_")[0] for folder in stack.cluster.volumes.iterdir()} == set(volumes.values())
    stack.clone.works("make", "volumes")  # labels them, which are bound by now
    drift = stack.clone.run("make", "drift")
    assert drift.returncode == 0, drift.stdout + drift.stderr


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_cloud_stack_is_rehearsed_on_kind(stack: StackOnKind, real_docker: Docker) -> None:
    """On a Kind cluster of its own, beside the clone's, which it leaves as it was."""
    before = stack.bound()
    said = stack.clone.works("make", "rehearse", "STACK=aws")
    assert "kind" in said.lower(), said
    assert "everything is removed" in said, said
    assert containers(real_docker) == [stack.cluster.node]
    assert stack.bound() == before
    stack.intact()


def test_down_and_up(stack: StackOnKind, real_docker: Docker) -> None:
    before = stack.bound()
    stack.clone.works("make", "down")
    assert not stack.cluster.running()
    real_docker.kill()
    real_docker.start()
    assert not stack.cluster.running(), "down lasts"
    stack.comes_back(before)


def test_node_is_killed(stack: StackOnKind, real_docker: Docker) -> None:
    before = stack.bound()
    real_docker.client("kill", stack.cluster.node)
    eventually(lambda: not stack.cluster.running(), "the node's container has ended", 30)
    stack.comes_back(before)


def test_docker_is_killed(stack: StackOnKind, real_docker: Docker) -> None:
    before = stack.bound()
    real_docker.kill()
    done = stack.clone.run("make", "up")
    assert done.returncode != 0
    assert "Docker" in done.stderr and "Traceback" not in done.stderr
    real_docker.start()
    stack.comes_back(before)


def test_kind_delete_cluster(stack: StackOnKind, real_docker: Docker) -> None:
    before = stack.bound()
    stack.clone.works("kind", "delete", "cluster", "--name", stack.cluster.identity)
    assert containers(real_docker) == []
    said = stack.clone.works("make", "up", "ADOPT=1")
    assert "Adopted" in said
    for tier in ("database", "streaming"):
        assert f"{tier}-local-path: this is not the cluster that it was proven on, so it is proven again." in said
    assert stack.bound() == before
    stack.cluster.load_image(build_image("busybox"))
    stack.consumers().start(CLAIMS)
    stack.intact()


def test_purge(stack: StackOnKind, real_docker: Docker) -> None:
    stack.clone.works(stack.clone.python, "-m", "dev", "purge", "--yes")
    assert containers(real_docker) == []
    assert not stack.cluster.home.exists()
    assert not stack.kubeconfig.exists()
