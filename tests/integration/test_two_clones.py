"""Two clones of this project on one machine, both up: whatever is done to the one, the other
doesn't notice.

The tests run in the order of the file: the first clone is put through everything that a person can
do to it; the second one has data on every claim, in running pods, and is compared before and after.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import KindCluster, choose
from devkube.cluster import layout as layouts
from devkube.engine import Engine
from devkube.images import build_image, reference
from tests.clone import Clone
from tests.conftest import asked_cluster, eventually
from tests.kubeconfig import client_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

NAMESPACE = "data"
CLAIMS = ("data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2")


@dataclass(frozen=True)
class Notice:
    """What whoever uses a dev stack would notice a change of."""

    objects: dict[str, tuple[str, str]]  # of every claim, class and volume: UID and resourceVersion
    pods: dict[str, tuple[str, int]]  # UID and number of restarts
    data: dict[str, str]  # a hash of each volume's folder: names, rights, owners, times and contents


class DevStack:
    """A clone with its stack up and a pod on each of its claims.

    Each pod has written something there.
    """

    def __init__(self, folder: Path) -> None:
        self.clone = Clone(folder, lend_environment=True)
        self.kubeconfig = folder / ".dev" / "kubeconfig"
        self.cluster = choose("storage-tiers-dev", self.clone.identity, self.kubeconfig, asked_cluster())

    def up(self) -> None:
        self.clone.works("make", "up")
        self.core = client.CoreV1Api(self._api())
        self.storage = client.StorageV1Api(self._api())

    def _api(self) -> client.ApiClient:
        return client_of(self.kubeconfig, "storage-tiers-dev")

    def write(self) -> None:
        """Start a pod for each claim, which writes random bytes of this run to it, syncs, and goes
        on running.
        """
        self.cluster.load_image(build_image("busybox"))
        for claim in CLAIMS:
            self.core.create_namespaced_pod(NAMESPACE, pod(claim, secrets.token_hex(32)))
        self.wait_ready()

    def wait_ready(self) -> None:
        eventually(lambda: {*self.ready()} == {*CLAIMS}, f"a ready pod for each claim of {self.clone.folder}", 180)

    def ready(self) -> list[str]:
        return [
            found.metadata.name
            for found in self.core.list_namespaced_pod(NAMESPACE).items
            if any(condition.type == "Ready" and condition.status == "True" for condition in found.status.conditions or [])
        ]

    def notice(self) -> Notice:
        objects = [
            *(("claim", each) for each in self.core.list_persistent_volume_claim_for_all_namespaces().items),
            *(("class", each) for each in self.storage.list_storage_class().items),
            *(("volume", each) for each in self.core.list_persistent_volume().items),
        ]
        pods = self.core.list_namespaced_pod(NAMESPACE).items
        return Notice(
            {f"{kind} {each.metadata.name}": (each.metadata.uid, each.metadata.resource_version) for kind, each in objects},
            {each.metadata.name: (each.metadata.uid, each.status.container_statuses[0].restart_count) for each in pods},
            self.hashes(),
        )

    def uids(self) -> dict[str, str]:
        return {each.metadata.name: each.metadata.uid for each in self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items}

    def hashes(self) -> dict[str, str]:
        volumes = self.volumes
        return {folder.name: hash_of(folder) for folder in sorted(volumes.iterdir())}

    @property
    def volumes(self) -> Path:
        if isinstance(self.cluster, KindCluster):
            return self.cluster.volumes
        return layouts.home_of(self.clone.identity) / "volumes"


def pod(claim: str, content: str) -> dict[str, object]:
    write = f"[ -e /data/payload ] || {{ echo {content} > /data/payload; sync; }}; trap 'exit 0' TERM; touch /tmp/done; "
    return {
        "metadata": {"name": claim},
        "spec": {
            "terminationGracePeriodSeconds": 2,
            "automountServiceAccountToken": False,
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            "containers": [
                {
                    "name": "writer",
                    "image": reference("busybox"),
                    "command": ["sh", "-c", write + "while :; do sleep 1000 & wait; done"],
                    # Ready once it has written. A readiness probe would be run for ever, each time
                    # a process in the container: a tenth of a processor for each pod.
                    "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/done"]}, "periodSeconds": 1, "failureThreshold": 180},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
        },
    }


def hash_of(folder: Path) -> str:
    """Of everything below a folder that a change could show in.

    Times of access are not looked at.
    """
    digest = hashlib.sha256()
    for path in sorted([folder, *folder.rglob("*")]):
        status = path.lstat()
        about = [path.relative_to(folder).as_posix(), status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns]
        digest.update(json.dumps(about).encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def stacks(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevStack, DevStack]]:
    """Two dev stacks, brought up at the same time."""
    one, other = (DevStack(tmp_path_factory.mktemp(name) / "storage-tiers") for name in ("one", "other"))
    try:
        with ThreadPoolExecutor() as both:
            for started in [both.submit(stack.up) for stack in (one, other)]:
                started.result()
        for stack in (one, other):
            stack.write()
        yield one, other
    finally:
        purged = [stack.clone.run(stack.clone.python, "-m", "dev", "purge", "--yes") for stack in (one, other)]
        assert [each.returncode for each in purged] == [0, 0], [each.stderr for each in purged]


@pytest.fixture
def one(stacks: tuple[DevStack, DevStack]) -> DevStack:
    return stacks[0]


@pytest.fixture
def other(stacks: tuple[DevStack, DevStack]) -> Iterator[DevStack]:
    """The second stack; nothing about it has changed when the test is over."""
    stack = stacks[1]
    before = stack.notice()
    assert len(before.data) == len(CLAIMS) == len(set(before.data.values()))
    yield stack
    assert stack.notice() == before
    assert set(stack.ready()) == set(CLAIMS)


def test_each_has_a_cluster_of_its_own(one: DevStack, other: DevStack) -> None:
    servers = [yaml.safe_load(stack.kubeconfig.read_text())["clusters"][0]["cluster"]["server"] for stack in (one, other)]
    assert servers[0] != servers[1]
    assert not set(one.uids().values()) & set(other.uids().values())


def test_second_up_of_the_one(one: DevStack, other: DevStack) -> None:
    one.clone.works("make", "volumes")  # labels the volumes, which are bound by now, with what they hold
    before = one.notice()
    assert "unchanged" in one.clone.works("make", "up")
    assert one.notice() == before


def test_down_and_up_of_the_one(one: DevStack, other: DevStack) -> None:
    uids, data = one.uids(), one.hashes()
    one.clone.works("make", "down")
    assert not one.cluster.running()
    assert other.cluster.running()
    one.up()
    one.wait_ready()
    assert one.uids() == uids
    assert one.hashes() == data


def test_make_test_beside_a_running_stack(one: DevStack, other: DevStack) -> None:
    """In the very clone whose stack runs: the tests' cluster is a throw-away one beside it."""
    if (paths.ROOT / ".mypy_cache").exists():
        shutil.copytree(paths.ROOT / ".mypy_cache", one.clone.folder / ".mypy_cache")  # saves mypy half a minute
    before = one.notice()
    chosen = "tests/integration/test_dev_stack.py", "-k", "TestUp and (preview or makes)"
    output = one.clone.works(one.clone.python, "-m", "dev", "test", "--", *chosen)
    assert "passed" in output and "failed" not in output
    assert one.notice() == before
    assert set(one.ready()) == set(CLAIMS)
    assert not layouts.home_of(one.clone.identity.replace("dev-", "test-")).exists(), "the throw-away cluster is gone"


def test_destroy_of_the_one(one: DevStack, other: DevStack) -> None:
    done = one.clone.run("make", "destroy")
    assert done.returncode != 0, "its pods use the claims"
    for claim in CLAIMS:
        one.core.delete_namespaced_pod(claim, NAMESPACE)
    eventually(lambda: not one.core.list_namespaced_pod(NAMESPACE).items, "its pods are gone")
    data = one.hashes()
    one.clone.works("make", "destroy")
    assert one.hashes() == data


def test_purge_of_the_one(one: DevStack, other: DevStack) -> None:
    one.clone.works(one.clone.python, "-m", "dev", "purge", "--yes")
    assert not one.volumes.exists()
    assert other.cluster.running()
