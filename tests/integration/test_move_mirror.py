"""`python -m ops move --live`: a real Kafka goes to another stack's brokers while a producer writes
to it, and every acknowledged record is there afterwards, once, in its order.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client
from kubernetes.stream import stream

from devkube import paths
from devkube.cluster import Access, EmbeddedCluster
from devkube.images import build_image, reference
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.integration.live_stacks import LiveStacks
from tests.integration.move_stacks import LEVEL, OURS, SOURCE, TARGET, bring_up_second, canary, forget
from tests.integration.page_consumers import CLIENT, HOSTS, PASSWORD, PROGRAMS, client_pod, engine_of, ready
from tests.integration.test_docs import files
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ARGUMENTS = ("move", "--from", "dev", "--to", "aws", "--service", "kafka", "--live")
GROUP = "readers"
Json = dict[str, Any]


def documents(namespace: str, brokers: int) -> list[Json]:
    """The page's Service and StatefulSet, with this machine's image, for so many brokers."""
    found = [each for file in files("consumers.md").values() for each in yaml.safe_load_all(file) if each["metadata"]["name"] == "kafka"]
    for each in found:
        each["metadata"]["namespace"] = namespace
        if each["kind"] == "StatefulSet":
            engine_of(each)
            each["spec"]["replicas"] = brokers
            environment = {one["name"]: one for one in each["spec"]["template"]["spec"]["containers"][0]["env"]}
            voters = ",".join(f"{number}@kafka-{number}.kafka:9093" for number in range(brokers))
            counts = {"KAFKA_DEFAULT_REPLICATION_FACTOR": str(brokers), "KAFKA_MIN_INSYNC_REPLICAS": str(min(2, brokers))}
            # The image's defaults for the topics of Kafka itself are for three brokers.
            own = {
                f"KAFKA_{name}": str(brokers) for name in ("OFFSETS_TOPIC_REPLICATION_FACTOR", "TRANSACTION_STATE_LOG_REPLICATION_FACTOR")
            }
            own["KAFKA_TRANSACTION_STATE_LOG_MIN_ISR"] = str(min(2, brokers))
            # Beside the page's a listener whose address nobody has; no Service names its port.
            gone = {
                "KAFKA_LISTENERS": "PLAINTEXT://:9092,GONE://:9094,CONTROLLER://:9093",
                "KAFKA_ADVERTISED_LISTENERS": "PLAINTEXT://$(POD_IP):9092,GONE://192.0.2.1:9094",
                "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,GONE:PLAINTEXT,CONTROLLER:PLAINTEXT",
            }
            # The new Kafka has another than the page's, of `kafka-storage.sh random-uuid`.
            cluster = {} if namespace == SOURCE else {"CLUSTER_ID": "kq3Zt0sVQ3eX1n8Jr5WbLA"}
            for name, value in {"KAFKA_CONTROLLER_QUORUM_VOTERS": voters, **counts, **own, **gone, **cluster}.items():
                environment[name] = {"name": name, "value": value}
            each["spec"]["template"]["spec"]["containers"][0]["env"] = list(environment.values())
    return found


@dataclass
class Stacks(LiveStacks):
    """Two stacks that are up, with a Kafka each, and a client of both beside the first."""

    arguments = ARGUMENTS
    brokers: int
    acknowledged: int = 0

    def start(self, namespace: str) -> None:
        for document in documents(namespace, self.brokers):
            if document["kind"] == "Service":
                self.core.create_namespaced_service(namespace, document)
            else:
                client.AppsV1Api(self.api).create_namespaced_stateful_set(namespace, document)

    def wait(self, namespace: str) -> None:
        """All brokers run, and know one another's addresses: the cluster has no DNS."""

        def run() -> bool:
            pods = {each.metadata.name: each for each in self.core.list_namespaced_pod(namespace).items}
            found = [pods.get(f"kafka-{number}") for number in range(self.brokers)]
            if not all(each and each.status.pod_ip and not each.metadata.deletion_timestamp for each in found):
                return False
            lines = "".join(f"{each.status.pod_ip} {each.metadata.name}.kafka\n" for each in found if each)
            for each in found:
                if each and (each.metadata.annotations or {}).get(HOSTS) != lines:
                    self.core.patch_namespaced_pod(each.metadata.name, namespace, {"metadata": {"annotations": {HOSTS: lines}}})
            return all(ready(each) for each in found) and (namespace != SOURCE or (CLIENT in pods and ready(pods[CLIENT])))

        eventually(run, f"the brokers of {namespace} run", 240)
        if CLIENT in {each.metadata.name for each in self.core.list_namespaced_pod(SOURCE).items}:
            eventually(lambda: self.count(namespace) == self.brokers, f"the brokers of {namespace} have found one another", 240)

    def count(self, namespace: str) -> int:
        """How many brokers there are, by themselves."""
        try:
            return int(self.ledger("brokers", namespace))
        except AssertionError:  # none answers yet
            return 0

    def bootstrap(self, namespace: str) -> str:
        addresses = [self.core.read_namespaced_pod(f"kafka-{number}", namespace).status.pod_ip for number in range(self.brokers)]
        return ",".join(f"{each}:9092" for each in addresses)

    def ledger(self, step: str, namespace: str, *more: str) -> Any:
        """What records.py says in its last line."""
        command = ["python3", "-IB", "/programs/records.py", step, self.bootstrap(namespace), *more]
        # Of its own: while `stream` opens one, its client can't be used by another thread.
        core = client.CoreV1Api(client.ApiClient(self.api.configuration))
        answer = stream(
            *(core.connect_get_namespaced_pod_exec, CLIENT, SOURCE),
            command=command,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        answer.run_forever(timeout=240)
        said = answer.read_stdout()
        assert answer.returncode == 0, said + answer.read_stderr()
        return json.loads(said.strip().splitlines()[-1])

    def write(self, seconds: float) -> None:
        """A producer; what it was told is kept."""
        said = self.ledger("write", SOURCE, str(self.acknowledged + 1), str(seconds))
        assert not said["problem"] and said["acknowledged"] == said["sent"], said
        self.acknowledged = said["acknowledged"]

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Producers, one after the other, all the while."""
        stop, failed = threading.Event(), []

        def load() -> None:
            try:
                while not stop.is_set():
                    self.write(4)
            except Exception as problem:
                failed.append(problem)

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
        assert not failed, failed

    def done(self, *arguments: str) -> str:
        """A move that ends well."""
        made = self.move(*arguments)
        assert made.returncode == 0, made.stdout + made.stderr
        return made.stdout

    def shell(self, line: str) -> None:
        """A command as it was printed, which has to end well."""
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.program.folder, env=self.program.variables, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def check_target(self) -> None:
        """Every acknowledged record is there, once, in its order, and nothing of the mirror is."""
        found = self.ledger("read", TARGET)
        assert found["records"] == found["last"] == self.acknowledged and not found["wrong"] and not found["unread"], found
        assert not [each for each in self.ledger("topics", TARGET) if "storage-tiers" in each]
        eventually(lambda: not self.left(), "nothing of the move is left", 30)


def brought_up(
    count: int, *, program_factory: Callable[..., Program], embedded: EmbeddedCluster, access: Access, api: client.ApiClient, folder: Path
) -> Iterator[Stacks]:
    for name in ("python", "clients", "kafka", "mirror"):
        embedded.load_image(build_image(name))
    first = program_factory(access=access)
    engine = {"kafka": {"retentionBytes": "128Mi", "segmentBytes": "64Mi", "partitions": 2}}
    kafka = {"tier": "streaming", "size": "1Gi", "replicas": count, "engine": engine}
    engines = {"client": reference("clients"), "mirror": reference("mirror")}
    first.configure(
        cluster={"context": access.context, "identifier": access.context},
        canary={**canary(first), "image": reference("python"), "engines": engines},
        services={"kafka": kafka},
    )
    first = Program(first.folder, {**first.variables, "XDG_STATE_HOME": str(folder / "state")}, "dev")
    second = bring_up_second(first, {"kafka": {**kafka, "tier": "other"}})
    made = Stacks(first, api, count)
    try:
        made.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "restricted"}}})
        made.core.create_namespaced_secret(SOURCE, {"metadata": {"name": "postgres"}, "stringData": {"password": PASSWORD}})
        programs = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
        made.core.create_namespaced_config_map(SOURCE, {"metadata": {"name": CLIENT}, "data": programs})
        made.core.create_namespaced_pod(SOURCE, client_pod())
        for namespace in (SOURCE, TARGET):
            made.start(namespace)
        for namespace in (SOURCE, TARGET):
            made.wait(namespace)
        yield made
    finally:
        made.clear()
        forget(first)
        for each in (second, first):
            each.pulumi("destroy", "--yes", "--skip-preview", "--stack", each.stack)
        remove_volumes(made.core)


@pytest.fixture
def stacks(
    *,
    program_factory: Callable[..., Program],
    embedded: EmbeddedCluster,
    access: Access,
    api: client.ApiClient,
    tmp_path: Path,
) -> Iterator[Stacks]:
    """A broker each."""
    yield from brought_up(1, program_factory=program_factory, embedded=embedded, access=access, api=api, folder=tmp_path)


def test_a_producer_writes_until_the_switch_and_every_record_is_there(stacks: Stacks) -> None:
    page = (paths.ROOT / "docs/migrate.md").read_text(encoding="utf-8")
    run = [" ".join(("python -m ops", *ARGUMENTS, *more)) for more in (["--plan"], [], ["--switch"])]
    shown = re.findall(r"^ *\$ (python -m ops move .*--service kafka --live.*)$", page, re.MULTILINE)
    assert shown == run, "what the page shows is what is run here"
    stacks.write(2)
    assert stacks.ledger("commit", SOURCE, GROUP, "700") == 700
    (plan,) = json.loads(stacks.done("--plan", "--json"))["moves"]
    assert 700 * 10 < plan["bytes"] < plan["targetBytes"] and plan["copies"] == 1, plan
    said = stacks.done("--plan")
    assert "Topics: ledger (1)" in said and f"at the switch: {GROUP}" in said and "Nothing was moved." in said
    refused = stacks.move("--switch")
    assert refused.returncode == 1 and "there is no mirror that has caught up" in refused.stderr
    with stacks.writing():
        verdict = json.loads(stacks.done("--json"))[0]
        assert (verdict["verdict"], verdict["topics"]["ledger"]["partitions"]) == ("following", 1)
        refused = stacks.move("--switch")
        assert refused.returncode == 1 and "still written to: ledger-0 grew" in refused.stderr, refused.stdout + refused.stderr
    assert 700 <= verdict["records"] < stacks.acknowledged, "the producers went on"
    said = stacks.done()  # once more: it goes on, and compares what is new
    assert "the target has caught up" in said and "starting the target's pod" not in said
    said = stacks.done("--switch")
    assert "everything is on stack aws" in said and stacks.bootstrap(TARGET) in said and GROUP in said
    assert stacks.ledger("next", TARGET, GROUP) == 701, "the group goes on where it stood"
    stacks.check_target()
    again = json.loads(stacks.done("--switch", "--json"))[0]
    assert (again["verdict"], again["done"], again["records"]) == ("proven", "before", stacks.acknowledged)
    assert again["groups"][GROUP]["ledger-0"][0] == 700


@pytest.mark.soak
@pytest.mark.parametrize("number", [2, 9], ids=["interrupted", "killed"])
def test_a_run_that_ends_early_goes_on(stacks: Stacks, number: int) -> None:
    """In each phase of both steps, one after the other."""
    stacks.write(2)
    stacks.ledger("commit", SOURCE, GROUP, "1500")
    with stacks.writing():
        for phase in ("starting the target's pod", "starting MirrorMaker", "catching up", "comparing"):
            end_in(stacks, phase, number)
            if phase == "starting the target's pod" and number == 2:
                eventually(lambda: not stacks.left(), "what was made is removed", 60)
        stacks.done()
    stacks.done()
    for phase in ("looking whether anything is still written to the source", "ending MirrorMaker", "setting the groups' offsets"):
        end_in(stacks, phase, number, "--switch")
    end_in(stacks, "removing MirrorMaker's topics and pod", number, "--switch")
    stacks.done("--switch")
    assert stacks.ledger("next", TARGET, GROUP) == 1501
    stacks.check_target()


def end_in(stacks: Stacks, phase: str, number: int, *step: str) -> None:
    """Run a step until it comes to a phase, and end it there; it may have ended meanwhile."""
    process = stacks.begin("--json", *step)
    try:
        wait_for(process, phase)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=180)[0]
    finally:
        process.kill()
    if number == 2:
        assert process.returncode in (0, 130) and "Traceback" not in said, said


@pytest.mark.soak
def test_pods_that_go_lose_and_double_nothing(stacks: Stacks) -> None:
    """The mirror's under load, and brokers of both sides, which come back at other addresses."""
    with stacks.writing():
        stacks.done()
        (pod,) = stacks.core.list_pod_for_all_namespaces(label_selector=OURS).items
        stacks.core.delete_namespaced_pod(pod.metadata.name, TARGET, grace_period_seconds=0)
        said = stacks.done()
        assert "starting the target's pod" in said
    for namespace in (SOURCE, TARGET):
        uid = stacks.core.read_namespaced_pod("kafka-0", namespace).metadata.uid
        stacks.core.delete_namespaced_pod("kafka-0", namespace, grace_period_seconds=5)
        eventually(lambda: another(stacks, namespace, uid), "its StatefulSet has made another", 60)  # noqa: B023 - called in this turn
        stacks.wait(namespace)
        stacks.done()
    stacks.done("--switch")
    stacks.check_target()


def another(stacks: Stacks, namespace: str, uid: str) -> bool:
    found = {each.metadata.name: each.metadata.uid for each in stacks.core.list_namespaced_pod(namespace).items}
    return found.get("kafka-0") not in (None, uid)


@pytest.mark.soak
def test_what_is_refused_names_a_command_that_mends_it(stacks: Stacks) -> None:
    """Addresses that nobody answers, records of the target's own, and a move that is called off."""
    stacks.write(2)
    stacks.ledger("write", TARGET, "1", "1")
    refused = stacks.move("--plan")
    assert refused.returncode == 1 and "hold records already: ledger." in refused.stderr
    stacks.shell(command_in(refused.stderr))
    assert stacks.move("--plan").returncode == 0
    # A listener that is advertised with an address of nobody's, and the only one that is known.
    stacks.core.patch_namespaced_service("kafka", SOURCE, {"spec": {"ports": [{"name": "clients", "port": 9092, "$patch": "delete"}]}})
    stacks.core.patch_namespaced_service("kafka", SOURCE, {"spec": {"ports": [{"name": "gone", "port": 9094}]}})
    refused = stacks.move()
    assert refused.returncode == 1 and "192.0.2.1:9094 (" in refused.stderr, refused.stdout + refused.stderr
    assert "`python -m ops move --from dev --to aws --service kafka`" in refused.stderr
    assert not stacks.left()
    stacks.core.patch_namespaced_service("kafka", SOURCE, {"spec": {"ports": [{"name": "clients", "port": 9092}]}})
    stacks.done()
    said = stacks.done("--cancel")
    assert "called off" in said and not stacks.left()
    assert stacks.move().returncode == 1, "what was copied is the target's now"
    stacks.shell(command_in(said))
    stacks.done()
    stacks.done("--switch")
    stacks.check_target()


def command_in(text: str) -> str:
    """The one command for kubectl."""
    (found,) = re.findall(r"kubectl [^`\n]*", text)
    return str(found)


def wait_for(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("{") and json.loads(line)["phase"] == phase:
            return
    pytest.fail(f"it doesn't come to {phase}: {said}")


@pytest.fixture
def three(
    *,
    program_factory: Callable[..., Program],
    embedded: EmbeddedCluster,
    access: Access,
    api: client.ApiClient,
    tmp_path: Path,
) -> Iterator[Stacks]:
    """The page's three brokers each."""
    yield from brought_up(3, program_factory=program_factory, embedded=embedded, access=access, api=api, folder=tmp_path)


@pytest.mark.soak
def test_three_brokers_to_three(three: Stacks) -> None:
    three.write(5)
    three.ledger("commit", SOURCE, GROUP, "3000")
    three.done()
    three.write(5)
    verdict = json.loads(three.done("--switch", "--json"))[0]
    assert (verdict["records"], verdict["copies"]) == (three.acknowledged, 3)
    assert three.ledger("next", TARGET, GROUP) == 3001
    three.check_target()
