"""Kafka on three nodes of a cluster of this test's own: a broker on each, and one node killed while
all write.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client

from components.acceptance.on_kafka import KafkaAcceptance
from components.acceptance.plan import AcceptancePlan
from components.canary.driver import open_api
from components.canary.plan import ProofPlan
from components.canary.watch import Timeouts
from devkube import paths
from devkube.cluster import EmbeddedCluster, embedded
from devkube.images import build_image, reference
from tests.faults.tier import NAMESPACE, Tiers
from tests.kubeconfig import client_of

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.soak,
    pytest.mark.skipif(bool(embedded.lacking()), reason="; ".join(embedded.lacking())),
]

NODES = 3


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    kubeconfig = tmp_path_factory.mktemp("three") / "kubeconfig"
    made = EmbeddedCluster(f"test-{paths.clone_identity()}-brokers", "context-brokers", kubeconfig, nodes=NODES)
    made.delete()
    try:
        made.start()
        for name in ("clients", "kafka"):
            made.load_image(build_image(name))
        yield made
    finally:
        made.delete()


@pytest.fixture
def tiers(three: EmbeddedCluster, monkeypatch: pytest.MonkeyPatch) -> Tiers:
    monkeypatch.setenv("KUBECONFIG", str(three.kubeconfig))
    api = client_of(three.kubeconfig, three.context)
    made = Tiers(three.context, three.volumes, client.CoreV1Api(api), client.StorageV1Api(api))
    made.make_namespace()
    return made


class OnNodes(KafkaAcceptance):
    """Kills the leader's node, and starts it again when another broker leads."""

    cluster: EmbeddedCluster

    def kill_leader(self, broker: int) -> None:
        self.cluster.kill_node(self.runs[broker].node)
        super().kill_leader(broker)

    def say_and_start(self, line: str) -> None:
        if line.startswith("broker ") and " killed, after " in line:
            self.cluster.start_node(self.runs[int(line.split()[1])].node)


def test_what_is_acknowledged_outlives_a_node(three: EmbeddedCluster, tiers: Tiers) -> None:
    with tiers.storage_class("brokers") as storage_class:
        proof = ProofPlan(three.context, NAMESPACE, "faults", "streaming", "streaming", storage_class, reference("kafka"), "", 2**30, False)
        plan = AcceptancePlan(proof, "kafka", reference("clients"), seed=4)
        timeouts = Timeouts(scheduling=120, provisioning=60, image=60, mount=120, log=180)
        run = OnNodes(open_api(three.context), plan, tiers.said.append, timeouts)
        run.cluster = three
        run.say = run.say_and_start
        verdict = run.accept()
    assert len(set(verdict["nodes"])) == NODES, "a broker on each"
    assert (verdict["verdict"], verdict["lost"]) == ("accepted", 0)
    assert verdict["failoverSeconds"] > 0
