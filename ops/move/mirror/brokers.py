"""The brokers of one side of a move: the pods on a service's claims, and what each listener of
theirs tells clients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from components.canary import objects
from components.kube import labels
from components.kube.api import Json
from components.kube.errors import ApiError
from components.kube.mounts import claims_mounted_by
from components.kube.portforward import PortForward
from ops.errors import UserError
from ops.move.claims import ClaimSide
from ops.move.conversation import Broken
from ops.move.mirror import wire
from ops.move.mirror.wire import Address, Metadata, NoAnswer

T = TypeVar("T")
Partition = tuple[str, int]  # a topic, and its number


@dataclass(frozen=True)
class Broker:
    """A pod on a claim. `path` is its own in the API, `ports` are those that it may listen on."""

    side: ClaimSide
    pod: str
    path: str
    ports: tuple[int, ...]


@dataclass(frozen=True)
class Listener:
    """What clients of one listener are told: the addresses of all brokers.

    `ports` are the pods' own, by the path of each.
    """

    addresses: tuple[Address, ...]
    ports: Mapping[str, int]

    @property
    def bootstrap(self) -> str:
        """As clients are given it."""
        return ",".join(map(str, self.addresses))


@dataclass
class Kafka:
    """The brokers of a stack's service, which are all of their cluster's.

    `silent` says of each port without a listener why. `listener` is the one that was chosen.
    """

    stack: str
    brokers: Sequence[Broker]
    cluster: str
    listeners: Sequence[Listener]
    silent: Sequence[str]
    listener: Listener = field(init=False)

    def __post_init__(self) -> None:
        self.listener = self.listeners[0]

    @property
    def bootstrap(self) -> str:
        """The chosen listener's."""
        return self.listener.bootstrap

    def topics(self) -> Mapping[str, Mapping[int, int]]:
        """Its topics now: the number of copies of each partition. Raises Broken."""
        return self._ask(self.brokers[0], wire.metadata).topics

    def groups(self) -> dict[str, str]:
        """Its groups now, with the protocol of each. Raises Broken."""
        found: dict[str, str] = {}
        for each in self.brokers:
            found |= self._ask(each, wire.groups)
        return found

    def starts(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The first offset of each. Raises Broken."""
        return self._offsets(list(partitions), when=wire.EARLIEST)

    def ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset behind the last of each that all replicas in sync have. Raises Broken."""
        return self._offsets(list(partitions), when=wire.LATEST)

    def committed_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The same, as far as no transaction is open: all before it can be read. Raises Broken."""
        return self._offsets(list(partitions), when=wire.LATEST, committed=True)

    def written_ends(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """The offset behind the last that any broker has, though other replicas lack it yet.

        With acks=1 a producer was told that it is there. Raises Broken.
        """
        wanted = list(partitions)
        found: dict[Partition, int] = {}
        for each in self.brokers:
            said = self._ask(each, partial(wire.offsets, partitions=wanted, when=wire.LATEST, written=True))
            found |= {one: max(end, found.get(one, 0)) for one, end in said.items()}
        return found

    def sizes(self) -> dict[Partition, list[int]]:
        """The bytes of each copy of a partition; none where brokers don't tell. Raises Broken."""
        found: dict[Partition, list[int]] = {}
        for each in self.brokers:
            for one, size in self._ask(each, wire.sizes).items():
                found.setdefault(one, []).append(size)
        return found

    def _offsets(self, partitions: list[Partition], **which: Any) -> dict[Partition, int]:  # noqa: ANN401 - as wire.offsets has them
        found: dict[Partition, int] = {}
        for each in self.brokers:  # each answers for what it leads
            left = [one for one in partitions if one not in found]
            if left:
                found |= self._ask(each, partial(wire.offsets, partitions=left, **which))
        missing = [f"{topic}-{number}" for topic, number in partitions if (topic, number) not in found]
        if missing:
            raise Broken(f"stack {self.stack}: partitions without a leader right now: {', '.join(missing[:10])}", passing=True)
        return found

    def _ask(self, broker: Broker, question: Callable[[PortForward], T]) -> T:
        try:
            return _through(broker, self.listener.ports[broker.path], question)
        except (NoAnswer, ApiError) as problem:
            raise Broken(f"broker {broker.pod} of stack {self.stack} doesn't answer: {problem}", passing=True) from None


def find(sides: Sequence[ClaimSide]) -> list[Broker]:
    """The one running pod on each claim.

    Raises UserError with all that are missing, and ApiError.
    """
    api, settings = sides[0].api, sides[0].settings
    namespace = settings.namespace.name
    pods, services = (api.items(objects.namespaced(namespace, each)) for each in ("pods", "services"))
    found, missing = [], []
    for side in sides:
        on_it = [each for each in pods if side.name in claims_mounted_by(each)]
        if len(on_it) == 1 and _is_ready(on_it[0]):
            name = on_it[0]["metadata"]["name"]
            found.append(Broker(side, name, objects.namespaced(namespace, "pods", name), _ports(on_it[0], services)))
        else:
            names = ", ".join(each["metadata"]["name"] for each in on_it)
            missing.append(f"{side.name} ({f'{names}: not ready' if len(on_it) == 1 else names or 'no pod'})")
    if missing:
        where = f"kubectl --context {api.context} -n {namespace}"
        raise UserError(
            f"stack {settings.stack}: a live move of Kafka takes a running broker on each claim; without one: {', '.join(missing)}.",
            f"Start them (docs/consumers.md), on the new stack empty. Where it is a StatefulSet that has 0 replicas: `{where} scale "
            f"statefulset {sides[0].service} --replicas={len(sides)}`. To move while all is stopped: without --live.",
        )
    silent = [each for each in found if not each.ports]
    if silent:
        raise UserError(
            f"stack {settings.stack}: on which port pod {silent[0].pod} listens isn't known: it names no containerPort, and no Service of "
            f"namespace {namespace} selects it.",
            "Name the ports in its container (`ports: [{containerPort: 9092}]`), or move without --live.",
        )
    return found


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and not pod["metadata"].get("deletionTimestamp")


def _ports(pod: Json, services: Iterable[Json]) -> tuple[int, ...]:
    """Those that its containers name, and those to which Services send."""
    named = [each for container in pod["spec"]["containers"] for each in container.get("ports") or []]
    found = {each["containerPort"] for each in named if _is_tcp(each)}
    numbers = {each["name"]: each["containerPort"] for each in named if each.get("name")}
    for service in services:
        selector = service["spec"].get("selector") or {}
        if selector and selector.items() <= labels.of(pod).items():
            for each in filter(_is_tcp, service["spec"].get("ports") or []):
                target = each.get("targetPort") or each["port"]
                found |= {target} if isinstance(target, int) else {numbers[name] for name in numbers if name == target}
    return tuple(sorted(found))


def _is_tcp(port: Json) -> bool:
    return str(port.get("protocol", "TCP")) == "TCP"


def look(stack: str, brokers: Sequence[Broker]) -> Kafka:
    """What the brokers say of themselves. Raises UserError and ApiError."""
    told: dict[str, dict[int, Metadata]] = {}
    silent = []
    for broker in brokers:
        told[broker.path] = {}
        for port in broker.ports:
            try:
                told[broker.path][port] = _through(broker, port, wire.metadata)
            except NoAnswer as problem:
                silent.append(f"port {port} of pod {broker.pod}: {problem}")
    answers = [each for by_port in told.values() for each in by_port.values()]
    if not answers or not all(told.values()):
        raise UserError(
            f"stack {stack}: brokers have no listener that answers without TLS and password:\n  " + "\n  ".join(silent),
            "A live move of Kafka takes one. Move without --live, or add a listener `PLAINTEXT` that only the cluster's pods reach.",
        )
    clusters = sorted({each.cluster for each in answers})
    nodes = {node for each in answers for node in each.nodes}
    if len(clusters) > 1 or len(nodes) != len(brokers):
        raise UserError(
            f"stack {stack}: the {len(brokers)} pods on its claims say they are {len(nodes)} brokers of cluster {', '.join(clusters)}.",
            "A live move is from all brokers of one cluster: each on a claim of the service, and started. Wait until all are.",
        )
    return Kafka(stack, brokers, clusters[0], list(_listeners(told)), silent)


def _listeners(told: Mapping[str, Mapping[int, Metadata]]) -> Iterator[Listener]:
    """Those that every broker has."""
    for first in next(iter(told.values())).values():
        ports = {path: port for path, by_port in told.items() for port, each in by_port.items() if each.nodes == first.nodes}
        if len(ports) == len(told):
            yield Listener(tuple(first.nodes[node] for node in sorted(first.nodes)), ports)


def _through(broker: Broker, port: int, question: Callable[[Any], T]) -> T:
    """An answer by a port-forward. Raises NoAnswer and ApiError."""
    forward = PortForward(broker.side.api, broker.path, port)
    try:
        return question(forward)
    finally:
        forward.close()


def choose(kafka: Kafka, of: str, reaches: Callable[[Sequence[tuple[str, int]], str], Mapping[tuple[str, int], str]], cold: str) -> None:
    """The first listener all of whose addresses are reached. Raises UserError.

    `of` says from where; `cold` is the command for a move while all is stopped. `reaches` gets the
    cluster's ID as well: an address may lead to another Kafka there.
    """
    unreached = []
    for listener in kafka.listeners:
        answers = reaches(listener.addresses, kafka.cluster)
        failed = [f"{address} ({answers[address]})" for address in listener.addresses if answers[address]]
        if not failed:
            kafka.listener = listener
            return
        unreached += failed
    raise UserError(
        f"{of} doesn't reach what the brokers of stack {kafka.stack} tell clients to connect to: {', '.join(unreached)}.",
        "MirrorMaker needs that way: a route, a DNS name that is known there too (advertised.listeners), or a NetworkPolicy that lets it "
        f"through. Without it, stop both Kafkas and move the volumes: `{cold}`",
    )
