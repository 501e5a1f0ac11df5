"""Kafka accepts a tier where there are three nodes: a broker on each, and one node is killed as by
a power cut while all write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kubernetes import client

from components.acceptance.on_kafka import KafkaAcceptance
from components.acceptance.plan import AcceptancePlan
from components.canary.driver import open_api
from components.canary.plan import ProofPlan
from components.canary.watch import Timeouts
from devkube import paths
from devkube.cluster import EmbeddedCluster
from devkube.cluster import embedded as embedded_module
from devkube.images import build_image, reference
from tests.faults.tier import NAMESPACE, Tiers
from tests.kubeconfig import client_of

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(embedded_module.lacking()), reason="; ".join(embedded_module.lacking())),
]

CONTEXT = "accepting-nodes"
BROKERS = 3


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedCluster]:
    """A cluster of three nodes, with the engine's images on each."""
    kubeconfig = tmp_path_factory.mktemp("nodes") / "kubeconfig"
    made = EmbeddedCluster(f"test-{paths.clone_identity()}-accepting", CONTEXT, kubeconfig, nodes=BROKERS)
    made.delete()
    try:
        made.start()
        for name in ("clients", "kafka"):
            made.load_image(build_image(name))
        yield made
    finally:
        made.delete()


@pytest.fixture(scope="module")
def spread(nodes: EmbeddedCluster) -> Iterator[Tiers]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(nodes.kubeconfig))
        api = client_of(nodes.kubeconfig, CONTEXT)
        made = Tiers(CONTEXT, nodes.folder(), client.CoreV1Api(api), client.StorageV1Api(api))
        made.make_namespace()
        yield made


class NodeKilled(KafkaAcceptance):
    """Its leader's whole node is killed. It comes back when another one has taken over."""

    nodes: EmbeddedCluster
    killed = ""

    def kill_leader(self, broker: int) -> None:
        """The pod would stay in the API for as long as nobody knows whether the node is gone."""
        self.killed = self.runs[broker].node
        self.nodes.kill_node(self.killed)
        super().kill_leader(broker)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_broker_on_each_node_and_one_node_is_killed(spread: Tiers, nodes: EmbeddedCluster, seed: int) -> None:
    with spread.storage_class("spread") as storage_class:
        proof = ProofPlan(
            CONTEXT, NAMESPACE, "faults", "streaming", "streaming", storage_class, reference("kafka"), "", 2**30, sizes_enforced=False
        )
        plan = AcceptancePlan(proof, "kafka", reference("clients"), seed)

        def say(line: str) -> None:
            spread.said.append(line)
            if "another led its partition" in line:
                nodes.start_node(run.killed)

        run = NodeKilled(open_api(CONTEXT), plan, say, Timeouts(log=180))
        run.nodes = nodes
        verdict: dict[str, Any] = run.accept()
    assert (verdict["verdict"], verdict["lost"]) == ("accepted", 0)
    assert verdict["acknowledged"] > 500
    assert len(set(verdict["nodes"])) == BROKERS, "a broker on each"
    assert run.killed in verdict["nodes"]
    assert nodes.running(), "all nodes are back"
