"""Two stacks for tests of `python -m ops move`: what is put into the one's volume, and a move
between both that runs."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client

from devkube import paths
from tests.conftest import eventually
from tests.integration.consumer_pods import ConsumerPods
from tests.program import Program

MIB = 2**20
CLAIM = "data-postgres-0"
SOURCE, TARGET = "data", "other"
ARGUMENTS = ("move", "--from", "dev", "--to", "aws", "--service", "postgres")
LEVEL = "pod-security.kubernetes.io/enforce"
OURS = "app.kubernetes.io/managed-by=storage-tiers-move"


@dataclass
class Stacks:
    """Two stacks that are up, with one claim each that is bound, and its directory here."""

    program: Program
    core: client.CoreV1Api
    busybox: str
    source: Path
    target: Path

    def move(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.program.ops(*ARGUMENTS, *arguments)

    def shell(self, line: str) -> str:
        """A line of a page, which has to end well."""
        variables = {**self.program.variables, "PATH": f"{paths.SCRIPTS}{os.pathsep}{self.program.variables['PATH']}"}
        done = subprocess.run(["bash", "-c", line], cwd=self.program.folder, env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, running, with its progress as JSON lines on stderr."""
        return begin(self.program, *ARGUMENTS, "--json", *arguments)

    def pods(self) -> list[Any]:
        found: list[Any] = self.core.list_pod_for_all_namespaces(label_selector=OURS).items
        return found

    def users(self, namespace: str) -> ConsumerPods:
        return ConsumerPods(self.core, self.busybox, namespace)


@dataclass
class StatefulSets:
    """One named `postgres` in a namespace, on the stack's claim: whom a person stops and starts."""

    apps: client.AppsV1Api
    core: client.CoreV1Api
    image: str

    def make(self, namespace: str, *, replicas: int) -> None:
        container = {
            "name": "postgres",
            "image": self.image,
            "command": ["sh", "-c", "while :; do sleep 1; done"],
            "volumeMounts": [{"name": "data", "mountPath": "/data"}],
        }
        spec = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0, "containers": [container]}
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}  # the stack's is there
        labels = {"app": "postgres"}
        self.apps.create_namespaced_stateful_set(
            namespace,
            {
                "metadata": {"name": "postgres"},
                "spec": {
                    "replicas": replicas,
                    "serviceName": "postgres",
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": spec},
                    "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
                },
            },
        )

    def wait_for(self, namespace: str, pods: int) -> None:
        def there() -> bool:
            found = self.core.list_namespaced_pod(namespace, label_selector="app=postgres").items
            return len(found) == pods and all(each.status.phase == "Running" for each in found)

        eventually(there, f"{pods} pods of postgres run in {namespace}", 90)

    def remove(self) -> None:
        for namespace in (SOURCE, TARGET):
            self.apps.delete_collection_namespaced_stateful_set(namespace)
        for namespace in (SOURCE, TARGET):
            self.wait_for(namespace, 0)


def begin(program: Program, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """`python -m ops` in the program's folder, running, in a session of its own."""
    return subprocess.Popen(
        [str(paths.SCRIPTS / "python"), "-m", "ops", *arguments],
        cwd=program.folder,
        env=program.variables,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )


def bring_up_second(first: Program, services: dict[str, Any], **settings: Any) -> Program:
    """Both come up: the first, and beside it stack aws, with its own namespace and class.

    `settings` are others of its own.
    """
    second = Program(first.folder, first.variables, "aws")
    document = yaml.safe_load(first.stack_file.read_text())
    document["config"] |= {
        "storage-tiers:namespace": {"name": TARGET},
        "storage-tiers:tiers": {"other": {"kind": "database"}},
        "storage-tiers:services": services,
        **{f"storage-tiers:{name}": value for name, value in settings.items()},
    }
    second.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))
    second.pulumi("stack", "init", "aws")
    for each in (first, second):
        each.up("--stack", each.stack)
    return second


def canary(program: Program) -> dict[str, Any]:
    found = yaml.safe_load(program.stack_file.read_text())["config"]["storage-tiers:canary"]
    return {**found, "enabled": False}


def directory_of(core: client.CoreV1Api, namespace: str) -> Path:
    volume = core.read_persistent_volume(core.read_namespaced_persistent_volume_claim(CLAIM, namespace).spec.volume_name)
    return Path((volume.spec.local or volume.spec.host_path).path)


def clear(folder: Path) -> None:
    subprocess.run(["find", str(folder), "-mindepth", "1", "-delete"], check=True)


def forget(program: Program) -> None:
    """No move is known any more: a stack isn't destroyed while one out of it isn't proven."""
    state = Path(program.variables["XDG_STATE_HOME"])
    if state.exists():
        clear(state)


def fill(folder: Path, chance: random.Random) -> None:
    """Every kind of thing, with owners, modes and times of its own."""
    pgdata = folder / "pgdata"
    (pgdata / "base/1").mkdir(parents=True)
    for number in range(200):
        (pgdata / "base/1" / str(number)).write_bytes(chance.randbytes(chance.randrange(20_000)))
    for number in range(6):
        (pgdata / f"large-{number}").write_bytes(chance.randbytes(12 * MIB))
    with (pgdata / "sparse").open("wb") as sparse:
        sparse.seek(1024 * MIB)
        sparse.write(b"end")
    os.link(pgdata / "large-0", pgdata / "base/linked")
    (pgdata / "loop").symlink_to("loop")
    (pgdata / "odd\nname ü").write_text("x")
    (pgdata / b"not-\xff-utf8".decode(errors="surrogateescape")).write_text("y")
    os.setxattr(pgdata / "large-1", "user.note", b"kept")
    os.mkfifo(pgdata / "fifo", 0o640)
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    os.chdir(pgdata)  # its path may be too long for a socket's
    listening.bind("socket")
    os.chdir(here)
    listening.close()
    (pgdata / "large-2").chmod(0o2751)
    for path in sorted(folder.rglob("*"), reverse=True):
        os.chown(path, 999, 998, follow_symlinks=False)
        os.utime(path, ns=(1, chance.randrange(10**18)), follow_symlinks=False)
    (pgdata / "large-2").chmod(0o2751)
    pgdata.chmod(0o700)


def phases(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stderr
    for line in process.stderr:
        if line.startswith("{"):
            yield json.loads(line)


def wait_for_phase(process: subprocess.Popen[str], wanted: str) -> None:
    assert any(each["phase"] == wanted for each in phases(process)), f"it comes to {wanted}"


def flip(path: Path, offset: int) -> None:
    """A bit that nobody has asked for, and no other sign of it."""
    seen = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
