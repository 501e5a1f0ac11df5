"""`python -m ops move --live`: a real PostgreSQL goes to another stack's volume while a client
writes to it, and every acknowledged transaction is there afterwards.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
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
from tests.integration.page_consumers import CLIENT, PASSWORD, PROGRAMS, client_pod, engine_of, ready
from tests.integration.test_docs import files
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ARGUMENTS = ("move", "--from", "dev", "--to", "aws", "--service", "postgres", "--live")
Json = dict[str, Any]


def stateful_set() -> Json:
    """The page's, with this machine's image, and the official image's trust in its own loopback."""
    documents = [each for file in files("consumers.md").values() for each in yaml.safe_load_all(file)]
    found = engine_of(next(each for each in documents if each["kind"] == "StatefulSet" and each["metadata"]["name"] == "postgres"))
    command = found["spec"]["template"]["spec"]["containers"][0]["command"]
    command[2] = command[2].replace("--auth=scram-sha-256", "--auth=trust")
    return dict(found)


@dataclass
class Stacks(LiveStacks):
    """Two stacks that are up; PostgreSQL and a client of it run on the first."""

    arguments = ARGUMENTS
    acknowledged: int = 0
    document: Callable[[], Json] = stateful_set

    def start(self, namespace: str) -> None:
        """As a person does on a new stack, with the page's StatefulSet."""
        document = self.document()
        document["metadata"]["namespace"] = namespace
        client.AppsV1Api(self.api).create_namespaced_stateful_set(namespace, document)
        self.wait(namespace)

    def wait(self, namespace: str) -> None:
        def runs() -> bool:
            found = {each.metadata.name: each for each in self.core.list_namespaced_pod(namespace).items}
            return all(name in found and ready(found[name]) for name in wanted)

        wanted = ["postgres-0", *([CLIENT] if namespace == SOURCE else [])]
        eventually(runs, "PostgreSQL runs", 60)
        eventually(lambda: self.sql(namespace, "SELECT 1") == "1", "PostgreSQL answers", 60)

    def ledger(self, step: str, namespace: str, *more: str) -> Any:
        """What transactions.py says in its last line."""
        address = self.core.read_namespaced_pod("postgres-0", namespace).status.pod_ip
        command = ["python3", "-IB", "/programs/transactions.py", step, address, "/secret/password", *more]
        answer = stream(
            *(self.core.connect_get_namespaced_pod_exec, CLIENT, SOURCE),
            command=command,
            stdout=True,
            stderr=False,
            tty=False,
            _preload_content=False,
        )
        answer.run_forever(timeout=150)
        said = answer.read_all()
        return json.loads(said.strip().splitlines()[-1])

    def write(self, seconds: float) -> threading.Thread:
        """A client that commits until the server ends it; what it was told is kept."""

        def load() -> None:
            self.acknowledged = self.ledger("write", SOURCE, str(self.acknowledged + 1), str(seconds))

        thread = threading.Thread(target=load, daemon=True)
        thread.start()
        return thread

    def sql(self, namespace: str, text: str, database: str = "template1") -> str:
        command = ["psql", "-XAtq", "-h", "/tmp", "-U", "postgres", "-d", database, "-c", text]
        made = stream(
            self.core.connect_get_namespaced_pod_exec, "postgres-0", namespace, command=command, stdout=True, stderr=True, tty=False
        )
        return str(made).strip()


@pytest.fixture
def stacks(
    *,
    program_factory: Callable[..., Program],
    embedded: EmbeddedCluster,
    access: Access,
    api: client.ApiClient,
    tmp_path: Path,
) -> Iterator[Stacks]:
    for name in ("python", "clients", "postgresql"):
        embedded.load_image(build_image(name))
    first = program_factory(access=access)
    postgres = {"tier": "database", "size": "1Gi", "engine": {"postgresql": {"maxWalSize": "128Mi", "maxSlotWalKeepSize": "256Mi"}}}
    first.configure(
        cluster={"context": access.context, "identifier": access.context},
        canary={**canary(first), "image": reference("python")},
        services={"postgres": postgres},
    )
    first = Program(first.folder, {**first.variables, "XDG_STATE_HOME": str(tmp_path / "state")}, "dev")
    second = bring_up_second(first, {"postgres": {**postgres, "tier": "other", "size": "2Gi"}})
    made = Stacks(first, api)
    try:
        made.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "restricted"}}})
        for namespace in (SOURCE, TARGET):
            made.core.create_namespaced_secret(namespace, {"metadata": {"name": "postgres"}, "stringData": {"password": PASSWORD}})
        programs = {path.name: path.read_text(encoding="utf-8") for path in PROGRAMS.glob("*.py")}
        made.core.create_namespaced_config_map(SOURCE, {"metadata": {"name": CLIENT}, "data": programs})
        made.core.create_namespaced_pod(SOURCE, client_pod())
        made.start(SOURCE)
        yield made
    finally:
        made.clear()
        forget(first)
        for each in (second, first):
            each.pulumi("destroy", "--yes", "--skip-preview", "--stack", each.stack)
        remove_volumes(made.core)


def slots(stacks: Stacks) -> str:
    return stacks.sql(SOURCE, "SELECT slot_name FROM pg_replication_slots")


def check_target(stacks: Stacks) -> None:
    """PostgreSQL starts on the target as a person starts it; every acknowledged row is there."""
    stacks.start(TARGET)
    found = stacks.ledger("read", TARGET)
    assert found["rows"] == found["last"] and not found["wrong"], found
    # One more may have been committed whose acknowledgement the end of the session has cut off.
    assert stacks.acknowledged <= found["last"] <= stacks.acknowledged + 1, (found, stacks.acknowledged)
    assert stacks.sql(TARGET, "SHOW primary_conninfo") == ""
    assert stacks.sql(TARGET, "SELECT count(*) FROM pg_database WHERE datname = 'shop' AND datallowconn") == "1"


def test_a_client_writes_until_the_switch_and_everything_is_there(stacks: Stacks) -> None:
    page = (paths.ROOT / "docs/migrate.md").read_text(encoding="utf-8")
    run = [" ".join(("python -m ops", *ARGUMENTS, *more)) for more in (["--plan"], [], ["--switch"])]
    assert re.findall(r"^ *\$ (python -m ops move .*--service postgres --live.*)$", page, re.MULTILINE) == run, (
        "what the page shows is what is run here"
    )
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    stacks.sql(SOURCE, "CREATE EXTENSION amcheck", "shop")
    done = stacks.move("--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing was moved." in done.stdout and "in pod postgres-0" in done.stdout
    refused = stacks.move("--switch")
    assert refused.returncode == 1 and "there is no standby that follows" in refused.stderr
    writing = stacks.write(90)
    done = stacks.move("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)[0]
    assert (verdict["verdict"], verdict["amcheck"]) == ("following", ["shop"])
    assert writing.is_alive(), "the client goes on"
    assert slots(stacks) == verdict["slot"]
    done = stacks.move()  # once more: it goes on
    assert done.returncode == 0, done.stdout + done.stderr
    assert "copying" not in done.stdout and "a standby has caught up" in done.stdout
    assert writing.is_alive()
    done = stacks.move("--switch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "promoted" in done.stdout and "ALLOW_CONNECTIONS true" in done.stdout
    writing.join(30)
    assert stacks.acknowledged > 100
    assert "not currently accepting connections" in stacks.sql(SOURCE, "SELECT 1", "postgres")
    assert slots(stacks) == ""
    eventually(lambda: not stacks.left(), "nothing of the move is left", 30)
    check_target(stacks)
    again = json.loads(stacks.move("--switch", "--json").stdout)[0]
    assert (again["verdict"], again["done"]) == ("proven", "before")


@pytest.mark.soak
@pytest.mark.parametrize("phase", ["starting the target's pod", "copying", "verifying every file (SHA-256)", "catching up"])
@pytest.mark.parametrize("number", [2, 9], ids=["interrupted", "killed"])
def test_a_run_that_ends_early_leaves_nothing_or_goes_on(stacks: Stacks, phase: str, number: int) -> None:
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    fill(stacks)
    writing = stacks.write(60)
    process = stacks.begin("--json")
    try:
        wait_for(process, phase)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    if number == 2:
        assert process.returncode == 130, said
        assert "Traceback" not in said
        assert slots(stacks) == "", "a slot would fill the disk"
        eventually(lambda: not stacks.left(), "its pod is gone", 60)
    for step in ((), ("--switch",)):
        done = stacks.move(*step)
        assert done.returncode == 0, done.stdout + done.stderr
    writing.join(90)
    assert slots(stacks) == "" and not stacks.left()
    check_target(stacks)


@pytest.mark.soak
@pytest.mark.parametrize("number", [2, 9], ids=["interrupted", "killed"])
def test_a_switch_that_ends_early_opens_the_source_or_goes_on(stacks: Stacks, number: int) -> None:
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    writing = stacks.write(60)
    assert stacks.move().returncode == 0
    process = stacks.begin("--switch", "--json")
    try:
        wait_for(process, "closing the source")
        time.sleep(0.3)
        os.killpg(process.pid, number)
        said = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    writing.join(90)
    if number == 2 and process.returncode == 130 and "goes on, `" in said:
        assert stacks.sql(SOURCE, "SELECT 1", "postgres") == "1", "the source is open again"
    done = stacks.move("--switch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert slots(stacks) == "" and not stacks.left()
    check_target(stacks)


@pytest.mark.soak
def test_called_off_restarted_and_without_its_slot(stacks: Stacks) -> None:
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    assert stacks.move().returncode == 0
    done = stacks.move("--cancel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert slots(stacks) == "" and not stacks.left()
    writing = stacks.write(5)
    assert stacks.move().returncode == 0
    writing.join(30)
    # The source's pod is made anew: slot and standby are there still.
    stacks.core.delete_namespaced_pod("postgres-0", SOURCE)
    time.sleep(3)
    stacks.wait(SOURCE)
    done = stacks.move()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "copying" not in done.stdout
    stacks.sql(SOURCE, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    done = stacks.move("--switch")
    assert done.returncode == 1 and "is gone from the source" in done.stderr
    assert stacks.sql(SOURCE, "SELECT 1", "postgres") == "1", "the source is open"
    done = stacks.move()
    assert done.returncode == 0 and "copying" in done.stdout, done.stdout + done.stderr
    assert stacks.move("--switch").returncode == 0
    check_target(stacks)


@pytest.mark.soak
def test_a_pod_that_dies_in_mid_copy_is_named(stacks: Stacks) -> None:
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    stacks.write(1).join(30)
    fill(stacks)
    process = stacks.begin("--json")
    try:
        wait_for(process, "copying")
        (pod,) = stacks.core.list_pod_for_all_namespaces(label_selector=OURS).items
        stacks.core.delete_namespaced_pod(pod.metadata.name, TARGET, grace_period_seconds=0)
        said = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 1 and "begins anew" in said, said
    assert slots(stacks) == ""
    for step in ((), ("--switch",)):
        done = stacks.move(*step)
        assert done.returncode == 0, done.stdout + done.stderr
    check_target(stacks)


def fill(stacks: Stacks) -> None:
    """So much that copying takes a moment."""
    stacks.sql(SOURCE, "CREATE TABLE filling AS SELECT n, md5(n::text) || repeat('x', 500) AS t FROM generate_series(1, 400000) n", "shop")


def wait_for(process: subprocess.Popen[str], phase: str) -> None:
    assert process.stdout
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("{") and json.loads(line)["phase"] == phase:
            return
    pytest.fail(f"it doesn't come to {phase}: {said}")
