"""`python -m ops move --live` where the way breaks, where an end is gone, between two clusters, and
with a PostgreSQL that is as others have it.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes import client
from kubernetes.stream import stream

from components.kube.portforward import PortForward
from devkube import paths
from devkube.cluster import Access, EmbeddedCluster
from devkube.images import build_image, reference
from ops.kube import open_api
from ops.move.live.calls import call
from tests import kubeconfig
from tests.conftest import eventually
from tests.faults.relay import Relay
from tests.integration import test_move_live as live
from tests.integration.move_stacks import LEVEL, MIB, OURS, SOURCE, TARGET, begin, directory_of
from tests.integration.page_consumers import PASSWORD, ready
from tests.integration.test_move_live import Stacks, check_target, fill, slots, wait_for
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(900)]
Json = dict[str, Any]
stacks = live.stacks


def to_the_end(stacks: Stacks) -> None:
    for step in ((), ("--switch",)):
        done = stacks.move(*step)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def relayed(stacks: Stacks, access: Access, tmp_path: Path) -> Iterator[tuple[Relay, Stacks]]:
    """The same stacks, with a way to the source that can be cut; that to the target is another."""
    document = yaml.safe_load(Path(str(access.kubeconfig)).read_text())
    server = urlsplit(document["clusters"][0]["cluster"]["server"])
    aws = Program(stacks.program.folder, stacks.program.variables, "aws")
    aws.configure(cluster={"context": "direct", "identifier": access.context})
    with Relay((str(server.hostname), int(server.port or 443))) as way:
        files = (
            kubeconfig.write(access, tmp_path / "relayed", access.context, server=f"https://127.0.0.1:{way.port}"),
            kubeconfig.write(access, tmp_path / "direct", "direct"),
        )
        variables = {**stacks.program.variables, "KUBECONFIG": os.pathsep.join(map(str, files))}
        yield way, dataclasses.replace(stacks, program=dataclasses.replace(stacks.program, variables=variables))
    aws.configure(cluster={"context": access.context, "identifier": access.context})


def size(folder: Path) -> int:
    """Of all files below it that stay for so long."""
    found = 0
    for each in folder.rglob("*"):
        with suppress(FileNotFoundError):
            found += each.stat().st_size
    return found


@pytest.mark.parametrize("how", ["cut", "fall_silent"])
def test_a_connection_to_the_source_that_drops_in_mid_copy_is_named(relayed: tuple[Relay, Stacks], how: str) -> None:
    way, behind = relayed
    behind.sql(SOURCE, "CREATE DATABASE shop")
    behind.write(1).join(30)
    fill(behind)
    process = behind.begin("--json")
    try:
        wait_for(process, "copying")
        target = directory_of(behind.core, TARGET)
        eventually(lambda: size(target / "pgdata") > 20 * MIB, "it copies", 30)
        began = time.monotonic()
        getattr(way, how)()
        said = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert process.returncode == 1 and "Traceback" not in said, said
    assert "its connection to the source ended: " in said, said
    if how == "fall_silent":
        assert "no sign of life for 40 s" in said, (said, time.monotonic() - began)
        assert "--live --cancel removes it" in said, said
        assert slots(behind), "nothing could remove it"
    way.open()
    done = behind.move("--cancel")
    assert done.returncode == 0, done.stdout + done.stderr
    assert slots(behind) == "" and not behind.left()
    assert not [each for each in directory_of(behind.core, TARGET).iterdir() if each.name != "lost+found"]
    to_the_end(behind)
    check_target(behind)


def test_what_is_silent_for_a_minute_is_alive(embedded: EmbeddedCluster, access: Access, core: client.CoreV1Api) -> None:
    """The API server, kubelet and container runtime answer pings: a long check says nothing."""
    del embedded  # its image is the canary's, which is there
    server = ["python3", "-m", "http.server", "8000", "--bind", "127.0.0.1"]
    container = {"name": "c", "image": reference("python"), "command": server}
    pod = {"metadata": {"name": "silent"}, "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]}}
    core.create_namespaced_pod("default", pod)
    path = "/api/v1/namespaces/default/pods/silent"
    try:
        eventually(lambda: ready(core.read_namespaced_pod("silent", "default")), "it runs", 60)
        with ThreadPoolExecutor() as pool:
            sleep = ["python3", "-c", "import time; time.sleep(60); print('awake')"]
            said = pool.submit(call, open_api(access.context, str(access.kubeconfig)), path, "c", sleep, longest=90)
            forward = PortForward(open_api(access.context, str(access.kubeconfig)), path, 8000)
            end = time.monotonic() + 60
            while time.monotonic() < end:
                forward.keep_alive()
                assert forward.receive() == b"" and not forward.ended, forward.reason
                time.sleep(0.2)
            forward.write(b"GET / HTTP/1.0\r\n\r\n")
            eventually(lambda: forward.receive().startswith(b"HTTP/1.0 200"), "it answers", 20)
            assert said.result() == "awake\n"
    finally:
        core.delete_namespaced_pod("silent", "default", grace_period_seconds=0)


def test_a_source_that_cannot_be_reached_in_the_switch_is_opened_once_it_can(relayed: tuple[Relay, Stacks]) -> None:
    way, behind = relayed
    behind.sql(SOURCE, "CREATE DATABASE shop")
    behind.write(1).join(30)
    assert behind.move().returncode == 0
    process = behind.begin("--switch", "--json")
    try:
        wait_for(process, "closing the source")
        way.close()
        time.sleep(8)
        way.open()
        said = process.communicate(timeout=300)[0]
    finally:
        process.kill()
    assert process.returncode == 1 and "The source is open." in said, said
    assert behind.sql(SOURCE, "SELECT 1", "postgres") == "1"
    assert behind.move("--switch").returncode == 0
    check_target(behind)


def test_called_off_with_both_pods_gone(stacks: Stacks) -> None:
    """What is at the target is removed, and what is left at the source is said."""
    stacks.sql(SOURCE, "CREATE DATABASE shop")
    assert stacks.move().returncode == 0
    apps = client.AppsV1Api(stacks.api)
    (pod,) = stacks.core.list_pod_for_all_namespaces(label_selector=OURS).items
    stacks.core.delete_namespaced_pod(pod.metadata.name, TARGET, grace_period_seconds=0)
    apps.patch_namespaced_stateful_set("postgres", SOURCE, {"spec": {"replicas": 0}})

    def gone() -> bool:
        names = [each.metadata.name for each in stacks.core.list_pod_for_all_namespaces().items]
        return "postgres-0" not in names and pod.metadata.name not in names

    eventually(gone, "both pods are gone", 60)
    assert (directory_of(stacks.core, TARGET) / "pgdata/PG_VERSION").exists()
    done = stacks.move("--cancel")
    assert done.returncode == 1, done.stdout
    assert "it isn't called off yet" in done.stderr and "replication slot storage_tiers_move_" in done.stderr
    assert not [each for each in directory_of(stacks.core, TARGET).iterdir() if each.name != "lost+found"]
    assert not stacks.left()
    apps.patch_namespaced_stateful_set("postgres", SOURCE, {"spec": {"replicas": 1}})
    stacks.wait(SOURCE)
    assert slots(stacks)
    run_printed(stacks, done.stderr)
    assert slots(stacks) == ""
    assert stacks.move("--cancel").returncode == 0
    assert "nothing to call off" in stacks.move("--cancel").stdout


def run_printed(stacks: Stacks, said: str) -> None:
    """Run the command for the source that was printed."""
    (command,) = re.findall(r"kubectl --context [^\n`]* exec postgres-0 [^\n`]*", said)
    done = subprocess.run(["bash", "-c", command], env=stacks.program.variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, (command, done.stdout + done.stderr)


USER, PORT = "Odd Admin", "5433"
ODD = ('Shop "ü" x', "a=b c", "it's")
PSQL = 'IFS= read -r PGPASSWORD </secret/password; export PGPASSWORD; psql -XAtq -h 127.0.0.1 -p 5433 -U "Odd Admin" "$@"'
FREE = "-c statement_timeout=0 -c default_transaction_read_only=off -c synchronous_commit=local"
SETTINGS = (
    *("listen_addresses=127.0.0.1", f"port={PORT}", "ssl=on", "ssl_cert_file=/secret/certificate", "ssl_key_file=/secret/key"),
    *("archive_mode=on", "archive_command=exit 0", "track_commit_timestamp=on", "max_prepared_transactions=5", "wal_level=logical"),
    *("max_connections=137", "max_wal_senders=3"),
)


def odd_stateful_set() -> Json:
    """Passwords and TLS on the loopback too, another superuser and port, a password in a file."""
    found = live.stateful_set()
    spec = found["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    container["command"][2] = f"""
[ -s "$PGDATA/PG_VERSION" ] || {{
  initdb --username="$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256 --encoding=UTF8 --no-locale
  echo 'hostssl all,replication all 127.0.0.1/32 scram-sha-256' > "$PGDATA/pg_hba.conf"
}}
exec postgres -c unix_socket_directories=/tmp {" ".join(f"-c '{each}'" for each in SETTINGS)}
"""
    container["env"] = [
        {"name": "PGDATA", "value": "/data/below/pgdata"},
        {"name": "POSTGRES_USER", "value": USER},
        {"name": "POSTGRES_PASSWORD_FILE", "value": "/secret/password"},
    ]
    container["volumeMounts"].append({"name": "secret", "mountPath": "/secret"})
    spec["volumes"] = [{"name": "secret", "secret": {"secretName": "odd", "defaultMode": 0o440}}]
    beside = {"name": "beside", "image": container["image"], "stdin": True}
    beside["command"] = ["sh", "-c", "trap 'exit 0' TERM; read -r _"]
    spec["containers"].append({**beside, "securityContext": container["securityContext"]})
    return found


def odd_sql(stacks: Stacks, namespace: str, *statements: str, database: str = "template1", free: bool = True) -> str:
    given = [part for each in statements for part in ("-c", each)]
    name = database.replace("\\", "\\\\").replace("'", "\\'")
    options = f"dbname='{name}'" + (f" options='{FREE}'" if free else "")
    command = ["sh", "-c", PSQL, "sh", "-d", options, *given]
    made = stream(
        stacks.core.connect_get_namespaced_pod_exec,
        *("postgres-0", namespace),
        container="postgres",
        command=command,
        stdout=True,
        stderr=True,
        tty=False,
    )
    return str(made).strip()


@pytest.fixture
def odd(stacks: Stacks, tmp_path: Path) -> Stacks:
    """Instead of the page's PostgreSQL one that has everything odd."""
    key = ["-newkey", "rsa:2048", "-nodes", "-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate"), "-subj", "/CN=x"]
    subprocess.run(["openssl", "req", "-x509", *key], check=True, capture_output=True)
    secret = {"password": f"{PASSWORD}:\\ü\n", **{name: (tmp_path / name).read_text() for name in ("key", "certificate")}}
    apps = client.AppsV1Api(stacks.api)
    apps.delete_namespaced_stateful_set("postgres", SOURCE, propagation_policy="Foreground")
    eventually(lambda: "postgres-0" not in [each.metadata.name for each in stacks.core.list_namespaced_pod(SOURCE).items], "it is gone", 60)
    live_folder = directory_of(stacks.core, SOURCE)
    subprocess.run(["find", str(live_folder), "-mindepth", "1", "-delete"], check=True)
    for namespace in (SOURCE, TARGET):
        stacks.core.create_namespaced_secret(namespace, {"metadata": {"name": "odd"}, "stringData": secret})
    start_odd(stacks, SOURCE)
    return stacks


def start_odd(stacks: Stacks, namespace: str) -> None:
    document = odd_stateful_set()
    document["metadata"]["namespace"] = namespace
    client.AppsV1Api(stacks.api).create_namespaced_stateful_set(namespace, document)

    def answers() -> bool:
        try:
            return odd_sql(stacks, namespace, "SELECT 1") == "1"
        except client.ApiException:
            return False

    eventually(answers, "PostgreSQL answers", 90)


def test_a_postgresql_with_passwords_tls_and_names_of_its_own(odd: Stacks) -> None:
    odd_sql(odd, SOURCE, *(f"CREATE DATABASE {quoted(each)}" for each in (*ODD, "shut")), "CREATE DATABASE model IS_TEMPLATE true")
    odd_sql(odd, SOURCE, "ALTER DATABASE shut ALLOW_CONNECTIONS false")
    for each in ODD:
        odd_sql(odd, SOURCE, "CREATE EXTENSION amcheck", "CREATE TABLE t (n int PRIMARY KEY)", "INSERT INTO t VALUES (1)", database=each)
    odd_sql(odd, SOURCE, "CREATE UNLOGGED TABLE u AS SELECT 1 AS n", database=ODD[0])
    done = odd.move("--plan")
    assert done.returncode == 1 and f"unlogged tables, in {ODD[0]}" in done.stderr, done.stdout + done.stderr
    odd_sql(odd, SOURCE, "ALTER TABLE u SET LOGGED", database=ODD[0])
    odd_sql(odd, SOURCE, "SELECT pg_create_logical_replication_slot('cdc', 'pgoutput')", database=ODD[0])
    prepared = odd_sql(odd, SOURCE, "BEGIN", "INSERT INTO t VALUES (2)", "PREPARE TRANSACTION 'pending'", database=ODD[1])
    assert prepared == "", prepared
    for name, value in (("statement_timeout", "50ms"), ("default_transaction_read_only", "on"), ("recovery_target_time", "2020-01-01")):
        odd_sql(odd, SOURCE, f"ALTER SYSTEM SET {name} = '{value}'", "SELECT pg_reload_conf()")
    done = odd.move("--plan")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "cdc" in said and "1 prepared transactions" in said and "isn't archived" in said
    done = odd.move("--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(json.loads(done.stdout)[0]["amcheck"]) == sorted(ODD)
    check_password_is_nowhere(odd, done.stdout + done.stderr)
    odd_sql(odd, SOURCE, "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()")  # no commit ends
    check_that_one_who_holds_a_database_keeps_the_source_open(odd)
    odd_sql(odd, SOURCE, "CREATE TABLE slow (n int)", database="postgres")
    beginning = begin_slowly(odd)
    done = odd.move("--switch")
    assert done.returncode == 0, done.stdout + done.stderr
    beginning.run_forever(timeout=30)
    acknowledged = len(beginning.read_stdout().split())
    assert acknowledged > 0
    assert "not currently accepting connections" in odd_sql(odd, SOURCE, "SELECT 1", database="postgres")
    run_printed(odd, done.stdout)
    opened = "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE NOT datallowconn"
    assert odd_sql(odd, SOURCE, opened) == "shut,template0"
    start_odd(odd, TARGET)
    assert odd_sql(odd, TARGET, opened) == "shut,template0"
    assert odd_sql(odd, TARGET, "SELECT datname FROM pg_database WHERE datistemplate AND datname = 'model'") == "model"
    for each in ODD:
        assert odd_sql(odd, TARGET, "SELECT count(*) FROM t WHERE pg_xact_commit_timestamp(xmin) < now()", database=each) == "1"
    assert odd_sql(odd, TARGET, "SELECT n FROM u", database=ODD[0]) == "1"
    assert int(odd_sql(odd, TARGET, "SELECT count(*) FROM slow", database="postgres")) in (acknowledged, acknowledged + 1)
    odd_sql(odd, TARGET, "COMMIT PREPARED 'pending'", database=ODD[1])
    assert odd_sql(odd, TARGET, "SELECT count(*) FROM t", database=ODD[1]) == "2"
    assert odd_sql(odd, TARGET, "SHOW statement_timeout", free=False) == "50ms", "ALTER SYSTEM comes along"


def begin_slowly(odd: Stacks) -> Any:
    """A client whose sessions are beginning nearly all the time: nobody else sees them then."""
    psql = PSQL.replace('"$@"', f"-d \"dbname=postgres options='{FREE} -c post_auth_delay=2'\" -c 'INSERT INTO slow VALUES (1)'")
    return stream(
        odd.core.connect_get_namespaced_pod_exec,
        *("postgres-0", SOURCE),
        container="postgres",
        command=["sh", "-c", f"{psql.replace('psql ', 'while psql ', 1)}; do echo acknowledged; done"],
        stdout=True,
        stderr=False,
        tty=False,
        _preload_content=False,
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def check_password_is_nowhere(odd: Stacks, said: str) -> None:
    (pod,) = odd.core.list_pod_for_all_namespaces(label_selector=OURS).items
    kept = "".join(file.read_text() for file in Path(odd.program.variables["XDG_STATE_HOME"]).rglob("*") if file.is_file())
    folder = directory_of(odd.core, TARGET) / "below/pgdata"
    for text in (said, str(pod), kept, (folder / "postgresql.auto.conf").read_text()):
        assert PASSWORD not in text


def check_that_one_who_holds_a_database_keeps_the_source_open(odd: Stacks) -> None:
    """The statement that closes it doesn't wait for longer than the switch does."""
    held = stream(
        odd.core.connect_get_namespaced_pod_exec,
        *("postgres-0", SOURCE),
        container="postgres",
        command=["sh", "-c", PSQL, "sh", "-d", f"dbname=postgres options='{FREE}'"],
        stdin=True,
        stdout=True,
        stderr=True,
        tty=False,
        _preload_content=False,
    )
    held.write_stdin(f'BEGIN; GRANT CONNECT ON DATABASE postgres TO "{USER}";\nSELECT 17;\n')
    eventually(lambda: "17" in held.read_stdout(timeout=1), "it holds the database", 20)
    done = odd.move("--switch")
    assert done.returncode == 1 and "lock timeout" in done.stderr and "The source is open." in done.stderr, done.stdout + done.stderr
    held.write_stdin("ROLLBACK;\nSELECT 18;\n")
    eventually(lambda: "18" in held.read_stdout(timeout=1), "it lets go of it", 20)
    held.close()
    assert odd_sql(odd, SOURCE, "SELECT 1", database="postgres") == "1"


def test_between_two_clusters_the_replication_goes_through_this_machine(stacks: Stacks, access: Access, tmp_path: Path) -> None:
    context = "storage-tiers-second"
    other = EmbeddedCluster(f"lv2-{paths.clone_identity()}", context, tmp_path / "second")
    other.delete()
    try:
        second = other.start()
        for name in ("python", "postgresql"):
            other.load_image(build_image(name))
        files = os.pathsep.join(str(each.kubeconfig) for each in (access, second))
        far = Program(stacks.program.folder, {**stacks.program.variables, "KUBECONFIG": files}, "far")
        document = yaml.safe_load((far.folder / "Pulumi.aws.yaml").read_text())
        document["config"]["storage-tiers:cluster"] = {"context": context, "identifier": context}
        far.stack_file.write_text(yaml.safe_dump(document))
        far.pulumi("stack", "init", "far")
        far.up("--stack", "far")
        there = Stacks(far, kubeconfig.client_of(second.kubeconfig, second.context))
        there.core.patch_namespace(TARGET, {"metadata": {"labels": {LEVEL: "restricted"}}})
        there.core.create_namespaced_secret(TARGET, {"metadata": {"name": "postgres"}, "stringData": {"password": PASSWORD}})
        stacks.sql(SOURCE, "CREATE DATABASE shop")
        writing = stacks.write(90)
        way = ("move", "--from", "dev", "--to", "far", "--service", "postgres", "--live")
        process = begin(far, *way, "--json", stderr=subprocess.STDOUT)
        wait_for(process, "copying")
        os.killpg(process.pid, 9)
        process.communicate(timeout=30)
        for step in ((), ("--switch",)):
            done = far.ops(*way, *step)
            assert done.returncode == 0, done.stdout + done.stderr
        assert f"--context {context} -n {TARGET} scale statefulset" in done.stdout
        writing.join(30)
        assert stacks.acknowledged > 50
        assert slots(stacks) == "" and not there.left()
        there.start(TARGET)
        found = there.sql(TARGET, "SELECT count(*), max(n) FROM ledger", "postgres").split("|")
        assert found[0] == found[1] and stacks.acknowledged <= int(found[1]) <= stacks.acknowledged + 1, found
    finally:
        other.delete()
