"""Which pods are a service's brokers, what they tell clients, and which listener is taken."""

from __future__ import annotations

from typing import Any, cast

import pytest

from components.kube.api import KubeApi
from ops.errors import UserError
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.mirror import brokers, checks, wire
from ops.move.mirror.brokers import Broker, Kafka, Listener
from ops.move.mirror.wire import Address, Metadata, NoAnswer
from tests.unit.test_move_plan import DEV, Cluster, claim


def broker(number: int, *, ready: bool = True, ports: list[Any] | None = None) -> dict[str, Any]:
    container = {"name": "kafka", **({"ports": ports} if ports else {})}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": f"data-kafka-{number}"}}
    return {
        "metadata": {"name": f"kafka-{number}", "labels": {"app": "kafka"}},
        "spec": {"containers": [container], "volumes": [volume]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def service(*ports: dict[str, Any], **selector: str) -> dict[str, Any]:
    return {"metadata": {"name": "kafka"}, "spec": {"selector": selector, "ports": list(ports)}}


def sides(cluster: Cluster, count: int = 3) -> list[ClaimSide]:
    return [ClaimSide(cast(KubeApi, cluster), DEV, "kafka", each, claim(f"data-kafka-{each}")) for each in range(count)]


def test_ports_are_those_of_containers_and_of_services_that_select_the_pod() -> None:
    named = [{"name": "tcp", "containerPort": 9092}, {"containerPort": 9999, "protocol": "UDP"}]
    services = [
        service({"port": 80, "targetPort": "tcp"}, {"port": 9093}, {"port": 81, "targetPort": 9094}, app="kafka"),
        service({"port": 5432}, app="postgres"),
        service({"port": 5433}),
    ]
    found = brokers.find(sides(Cluster({"pods": [broker(0, ports=named)], "services": services}), 1))
    assert [(each.pod, each.ports) for each in found] == [("kafka-0", (9092, 9093, 9094))]


def test_all_claims_without_a_broker_are_told_with_what_starts_them() -> None:
    cluster = Cluster({"pods": [broker(0), broker(1, ready=False)], "services": [service({"port": 9092}, app="kafka")]})
    with pytest.raises(UserError) as caught:
        brokers.find(sides(cluster))
    assert "data-kafka-1 (kafka-1: not ready), data-kafka-2 (no pod)" in caught.value.message
    assert "scale statefulset kafka --replicas=3" in caught.value.hint


def test_a_pod_of_which_no_port_is_known_is_told() -> None:
    with pytest.raises(UserError, match="on which port pod kafka-0 listens isn't known"):
        brokers.find(sides(Cluster({"pods": [broker(0)], "services": []}), 1))


class Brokers:
    """Answers in place of port-forwards: by pod and port."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: dict[tuple[str, int], Any] = {}
        monkeypatch.setattr(brokers, "_through", self.through)

    def through(self, asked: Broker, port: int, question: Any) -> Any:
        del question
        found = self.said.get((asked.pod, port), NoAnswer("it closes the connection"))
        if isinstance(found, NoAnswer):
            raise found
        return found


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Brokers:
    return Brokers(monkeypatch)


def told(*hosts: str, cluster: str = "c", port: int = 9092) -> Metadata:
    return Metadata(cluster, {number: Address(host, port) for number, host in enumerate(hosts)}, {})


def two(*ports: int) -> list[Broker]:
    return [Broker(cast(ClaimSide, None), f"kafka-{each}", f"/kafka-{each}", ports) for each in range(2)]


def test_listeners_are_told_apart_by_what_they_advertise(said: Brokers) -> None:
    inside, outside = told("10.0.0.1", "10.0.0.2"), told("k0.example", "k1.example", port=443)
    for pod in ("kafka-0", "kafka-1"):
        said.said |= {(pod, 9092): inside, (pod, 9094): outside}
    found = brokers.look("dev", two(9092, 9093, 9094))
    assert [each.bootstrap for each in found.listeners] == ["10.0.0.1:9092,10.0.0.2:9092", "k0.example:443,k1.example:443"]
    assert found.listeners[1].ports == {"/kafka-0": 9094, "/kafka-1": 9094}
    assert found.silent == [f"port 9093 of pod {pod}: it closes the connection" for pod in ("kafka-0", "kafka-1")]

    def reaches(addresses: Any, cluster: str) -> dict[Any, str]:
        assert cluster == "c"
        return {each: "" if each.port == 443 else "timed out" for each in addresses}

    brokers.choose(found, "a pod", reaches, "python -m ops move")
    assert found.bootstrap == "k0.example:443,k1.example:443"


def test_addresses_that_are_not_reached_are_told_with_the_cold_way(said: Brokers) -> None:
    said.said |= {(pod, 9092): told("10.0.0.1", "10.0.0.2") for pod in ("kafka-0", "kafka-1")}
    found = brokers.look("dev", two(9092))
    with pytest.raises(UserError) as caught:
        brokers.choose(
            found,
            "kafka: a pod",
            lambda each, _: {one: "timed out" if one[0] == "10.0.0.2" else "" for one in each},
            "python -m ops move X",
        )
    assert "kafka: a pod doesn't reach" in caught.value.message and "10.0.0.2:9092 (timed out)" in caught.value.message
    assert "10.0.0.1" not in caught.value.message
    assert "`python -m ops move X`" in caught.value.hint


def test_a_broker_without_a_plain_listener_is_told(said: Brokers) -> None:
    said.said[("kafka-0", 9092)] = told("10.0.0.1", "10.0.0.2")
    with pytest.raises(UserError, match="port 9092 of pod kafka-1: it closes the connection"):
        brokers.look("dev", two(9092))


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (told("a", "b", "c"), told("a", "b", "c"), "2 pods on its claims say they are 3 brokers"),
        (told("a"), told("a"), "say they are 1 brokers"),
        (told("a", "b"), told("a", "b", cluster="d"), "of cluster c, d"),
    ],
)
def test_brokers_of_other_claims_and_of_two_clusters_are_refused(said: Brokers, first: Metadata, second: Metadata, says: str) -> None:
    said.said |= {("kafka-0", 9092): first, ("kafka-1", 9092): second}
    with pytest.raises(UserError, match=says):
        brokers.look("dev", two(9092))


def kafka(*hosts: str, cluster: str = "c") -> Kafka:
    made = [Broker(cast(ClaimSide, None), f"kafka-{each}", f"/kafka-{each}", (9092,)) for each in range(len(hosts))]
    listener = Listener(tuple(Address(each, 9092) for each in hosts), {each.path: 9092 for each in made})
    return Kafka("dev", made, cluster, [listener], [])


def test_offsets_come_from_whoever_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, list[Any]]] = []

    def through(broker: Broker, port: int, question: Any) -> Any:
        partitions = question.keywords["partitions"]
        asked.append((broker.pod, partitions))
        return {each: 7 for each in partitions if each[1] == int(broker.pod[-1])}

    monkeypatch.setattr(brokers, "_through", through)
    assert kafka("a", "b", "c").ends([("t", 0), ("t", 1)]) == {("t", 0): 7, ("t", 1): 7}
    assert asked == [("kafka-0", [("t", 0), ("t", 1)]), ("kafka-1", [("t", 1)])]
    with pytest.raises(Broken, match="without a leader right now: t-2"):
        kafka("a", "b").starts([("t", 0), ("t", 2)])


def test_what_is_written_is_what_any_broker_has(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = {"kafka-0": {("t", 0): 7}, "kafka-1": {("t", 0): 9, ("t", 1): 1}}

    def through(broker: Broker, port: int, question: Any) -> Any:
        assert question.keywords == {"partitions": [("t", 0), ("t", 1)], "when": wire.LATEST, "written": True}
        return ends[broker.pod]

    monkeypatch.setattr(brokers, "_through", through)
    assert kafka("a", "b").written_ends([("t", 0), ("t", 1)]) == {("t", 0): 9, ("t", 1): 1}


def test_one_kafka_is_not_mirrored_to_itself() -> None:
    assert not list(checks.of_both(kafka("a", "b"), kafka("c", "d", cluster="d")))
    (problem,) = checks.of_both(kafka("a", "b"), kafka("b", cluster="d"))  # it is the target's own, from its pod
    assert "(b:9092)" in problem
    (problem,) = checks.of_both(kafka("a", "b"), kafka("c", "d"))
    assert "have one cluster ID, c:" in problem and "CLUSTER_ID" in problem
    both = kafka("a", "b")
    both.listeners = [*kafka("localhost", "localhost").listeners, *both.listeners]  # one of its listeners is enough
    other = kafka("localhost", "localhost", cluster="d")
    assert not list(checks.of_both(both, other))


def test_an_address_is_written_as_clients_take_it() -> None:
    assert str(wire.Address("fd00::1", 9092)) == "[fd00::1]:9092"
