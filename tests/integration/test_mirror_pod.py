"""The pod of a live move of Kafka between two real brokers: it mirrors exactly once, also where
MirrorMaker is killed, and whatever is different at the target is named.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from components.acceptance.manifests import PYTHON
from components.canary import objects
from components.canary.manifests import CONTAINER
from components.settings import Settings, load
from devkube import paths
from devkube.cluster import Access, Cluster
from devkube.images import build_image, reference
from ops.kube import open_api
from ops.move.claims import ClaimSide
from ops.move.live.calls import call
from ops.move.mirror import properties
from ops.move.mirror.pod import ANY_AGE, Compared, MirrorPod, Span
from tests.conftest import TOLD, eventually
from tests.integration.move_stacks import LEVEL

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(900)]

NAMESPACE, MOVE = "mirrored", "0123456789ab"
PROGRAMS = Path(__file__).with_name("ledgers")
PORT = 9092
TOPICS = ("plain", "zipped", "committed", "compacted")
SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093
advertised.listeners=PLAINTEXT://$POD_IP:9092
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=/data/kafka
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.num.partitions=5
transaction.state.log.min.isr=1
log.cleaner.backoff.ms=1000
group.initial.rebalance.delay.ms=0
"""
START = """
echo "$SETTINGS" > /data/properties
java -Xmx128m -cp '/opt/kafka/libs/*' kafka.tools.StorageTool format -t "$CLUSTER" -c /data/properties
exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' kafka.Kafka /data/properties
"""
CONFINED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pod(name: str, container: dict[str, Any], volume: dict[str, Any]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app": "mirrored"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "fsGroup": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {"name": name, "securityContext": CONFINED, "volumeMounts": [{"name": "data", "mountPath": "/data"}], **container}
            ],
            "volumes": [{"name": "data", **volume}],
        },
    }


def broker(name: str) -> dict[str, Any]:
    variables = [
        {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "SETTINGS", "value": SETTINGS.replace("$POD_IP", "$(POD_IP)")},
        {"name": "CLUSTER", "value": f"{name:A<22}"},
    ]
    return pod(name, {"image": reference("kafka"), "command": ["sh", "-ec", START], "env": variables}, {"emptyDir": {}})


# PID 1 is the keeper, which has the same words in its command line.
KILL = """
import os, signal
for each in filter(str.isdigit, os.listdir("/proc")):
    if each != "1" and int(each) != os.getpid() and b"ConnectDistributed" in open(f"/proc/{each}/cmdline", "rb").read():
        os.kill(int(each), signal.SIGKILL)
        print("killed")
"""


class Ends:
    """Both brokers, a client of theirs, and the mirror's pod."""

    def __init__(self, core: client.CoreV1Api, mirror: MirrorPod) -> None:
        self.core, self.mirror = core, mirror
        self.source, self.target = (f"{self._address(name)}:{PORT}" for name in ("source", "target"))

    def _address(self, name: str) -> str:
        address: str = self.core.read_namespaced_pod(name, NAMESPACE).status.pod_ip
        return address

    def run(self, *arguments: str) -> Any:
        """What ledgers/mirrored.py says in its last line."""
        api = self.mirror.side.api.of_context(self.mirror.side.api.context)  # it may be run in another thread
        path = objects.namespaced(NAMESPACE, "pods", "client")
        said = call(api, path, "client", ["python3", "-IB", "/data/mirrored.py", *arguments], longest=300)
        return json.loads(said.strip().splitlines()[-1])

    def kill_connect(self) -> None:
        """As the kernel would: without a word."""
        assert call(self.mirror.side.api, self.mirror.path, CONTAINER, [*PYTHON, "-c", KILL]).split() == ["killed"]

    def compare(self, topic: str, expires: int = 0, **how: Any) -> dict[int, Compared]:
        """All of a topic from its beginning to its end by now."""
        ends = {number: end for (_, number), (_, end) in self.mirror.offsets(self.source, [topic]).items()}
        compacted = self.mirror.topics(self.source)[topic].compacted
        spans = {number: Span(0, end, 0, expires) for number, end in ends.items()}
        return self.mirror.compare(self.source, self.target, topic, compacted, spans, lambda _: None, lambda: None, **how)

    def begin(self) -> None:
        self.mirror.mirror(properties.settings(self.source, self.target, 1, MOVE))

    def end(self) -> None:
        """Nothing of a mirror is left, and no topic of the target."""
        self.mirror.stop_mirror()
        names = [name for name in self.mirror.topics(self.target) if not name.startswith("__") or MOVE in name]
        self.mirror.delete_topics(self.target, names)


def settings_of(access: Access) -> Settings:
    raw = yaml.safe_load((paths.ROOT / "Pulumi.dev.yaml").read_text())["config"]
    raw |= {
        "storage-tiers:namespace": {"name": NAMESPACE},
        "storage-tiers:cluster": {"context": access.context, "identifier": access.context},
    }
    return load({key: value if isinstance(value, str) else json.dumps(value) for key, value in raw.items()}, "dev")


@pytest.fixture(scope="module")
def both(cluster: Cluster, access: Access, core: client.CoreV1Api) -> Iterator[Ends]:
    for image in ("clients", "kafka", "mirror"):
        cluster.load_image(build_image(image))
    core.create_namespace({"metadata": {"name": NAMESPACE, "labels": {LEVEL: "restricted"}}})
    try:
        data = {"mirrored.py": (PROGRAMS / "mirrored.py").read_text()}
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "client"}, "data": data})
        waiting = {"image": reference("clients"), "command": ["python3", "-c", "import time; time.sleep(86400)"]}
        for made in (broker("source"), broker("target"), pod("client", waiting, {"configMap": {"name": "client"}})):
            core.create_namespaced_pod(NAMESPACE, made)
        size = {"accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}
        core.create_namespaced_persistent_volume_claim(NAMESPACE, {"metadata": {"name": "data-kafka-0"}, "spec": size})
        pods = ("source", "target", "client")
        eventually(lambda: all(core.read_namespaced_pod(each, NAMESPACE).status.phase == "Running" for each in pods), "all run")
        api = open_api(access.context, str(access.kubeconfig))
        claim = api.get(objects.namespaced(NAMESPACE, "persistentvolumeclaims", "data-kafka-0"))
        mirror = MirrorPod(ClaimSide(api, settings_of(access), "kafka", 0, claim), MOVE, "run", reference("mirror"))
        mirror.try_out()
        assert not mirror.exists()
        mirror.start()
        assert mirror.runs()
        ends = Ends(core, mirror)
        ends.run("make", ends.source)
        yield ends
        mirror.remove()
        assert not mirror.exists()
    finally:
        core.delete_namespace(NAMESPACE)
        eventually(lambda: NAMESPACE not in [each.metadata.name for each in core.list_namespace().items], "the namespace is gone")


def test_a_mirror_is_whole_and_whatever_is_different_is_named(both: Ends, request: pytest.FixtureRequest) -> None:
    began = time.monotonic()
    mirror, source, target = both.mirror, both.source, both.target
    address = (source.partition(":")[0], PORT)
    nobody = (address[0], 1)
    assert mirror.reaches([address, nobody]) == {address: "", nobody: "Connection refused"}
    before = mirror.topics(source)
    assert before["compacted"].compacted and before["plain"].partitions == 2 and before["zipped"].configs == {"compression.type": "gzip"}
    both.begin()
    writing = both.run("write", source, "5")
    assert not writing["left"] and not writing["lost"]
    both.begin()  # does nothing to one that runs
    found = {topic: both.compare(topic) for topic in TOPICS}
    mirror.stop_mirror()
    mirror.stop_mirror()
    found = {topic: both.compare(topic, last=True, patience=5) for topic in TOPICS}
    assert not [each.difference for topic in found.values() for each in topic.values() if each.difference]
    assert sum(each.records for each in found["plain"].values()) == writing["sent"]
    assert found["zipped"][0].records == writing["sent"]
    assert 0 < sum(each.records for each in found["committed"].values()) < writing["sent"], "some were aborted"
    assert not [name for name in mirror.topics(source).keys() - before.keys() if not name.startswith("__")], "the source was not written to"
    assert not mirror.unfinished(source, TOPICS)
    spans = {place: (0, end) for place, (_, end) in mirror.offsets(source, ["aborted", "plain"]).items()}
    assert spans["aborted", 0] > (0, 0)
    assert mirror.empty(source, spans) == {("aborted", 0)}

    end = found["committed"][0].source_to
    for group, topic, offset in (("half", "committed", end // 2), ("all", "committed", end), ("none", "compacted", 0)):
        both.run("commit", source, group, topic, "0", str(offset))
    groups = mirror.groups(source)
    assert (groups["half"].offsets, groups["half"].members) == ({("committed", 0): end // 2}, 0)
    for group in ("half", "all", "none"):
        (((topic, number), offset),) = groups[group].offsets.items()
        marks = {each: one.runs for each, one in found[topic].items()}
        places = mirror.translate(source, target, topic, before[topic].compacted, marks, {number: [offset]})
        mirror.set_group(target, group, {(topic, number): places[number][offset]})
        ours, theirs = (both.run("follow", each, group, topic, str(number)) for each in (source, target))
        assert theirs["committed"] == places[number][offset]
        if topic != "compacted":
            assert (ours["first"], ours["left"]) == (theirs["first"], theirs["left"])
    assert both.run("follow", target, "all", "committed", "0")["left"] == 0

    both.run("trim", source, "zipped", "0", "100")
    left = both.compare("zipped", last=True, patience=5)[0]
    assert (left.difference, left.target_only, left.records) == ("", 100, writing["sent"] - 100)
    both.run("trim", target, "zipped", "0", str(found["zipped"][0].source_to // 2))
    assert "is missing" in both.compare("zipped", last=True, patience=5)[0].difference
    left = both.compare("zipped", expires=ANY_AGE, last=True, patience=5)[0]
    assert not left.difference and left.source_only and left.records + left.source_only == writing["sent"] - 100

    for how, words in (("dropped", "missing: the target lacks 1 record"), ("altered", "value differs"), ("doubled", "doubled: an earlier")):
        at = both.run("again", source, target, "plain", "1", how)["at"]
        wrong = both.compare("plain", last=True, patience=5)
        assert not wrong[0].difference and words in wrong[1].difference, (how, at, wrong)
    both.end()
    assert not [name for name in mirror.topics(target) if MOVE in name]
    request.node.user_properties.append((TOLD, f"{writing['sent']} records of each kind: {time.monotonic() - began:.0f} s"))


def test_a_mirror_that_is_killed_under_load_loses_and_doubles_nothing(both: Ends, request: pytest.FixtureRequest) -> None:
    mirror = both.mirror
    both.begin()
    said: list[Any] = []
    load = threading.Thread(target=lambda: said.append(both.run("write", both.source, "90")), daemon=True)
    load.start()
    for seconds in (15, 8, 20, 12):
        time.sleep(seconds)
        both.kill_connect()
    load.join()
    assert not said[0]["left"] and not said[0]["lost"]
    for topic in TOPICS:
        both.compare(topic)
    assert mirror.fault() == ""
    mirror.stop_mirror()
    found = {topic: both.compare(topic, last=True, patience=5) for topic in TOPICS}
    both.end()
    assert not {topic: parts for topic, parts in found.items() if any(each.difference for each in parts.values())}
    request.node.user_properties.append((TOLD, f"killed four times under {said[0]['sent']} records of each kind: none lost, none doubled"))
