"""What the product's tests share: a throw-away cluster of their own, and copies of the program to
run on it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kubernetes import client

from devkube import paths
from devkube.cluster import Access, Cluster, ClusterChoice, choose, start
from devkube.images import build_image, reference
from tests.kubeconfig import client_of
from tests.program import Program

CONTEXT = "storage-tiers-test"
# A property that a test records: a text for people, printed after all tests (of every process of
# them).
TOLD = "told at the end"

# Some machines tell Python to write no bytecode: then each of the many processes that tests start
# compiles the project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to tell at the end."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == TOLD and report.when == "call":
                terminalreporter.write_line(str(text))


def asked_cluster() -> ClusterChoice:
    """What the tests' cluster is to be: on Kind with the node image in KIND_IMAGE, which
    `make test KIND_IMAGE=…` sets."""
    return ClusterChoice(kind_image=os.environ.get("KIND_IMAGE", ""))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A throw-away cluster beside the user's, running: its own identity, so its own ports, sockets,
    bridge, cgroups and folders."""
    kubeconfig = tmp_path_factory.mktemp("cluster") / "kubeconfig"
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    cluster = choose(CONTEXT, "-".join(["test", paths.clone_identity(), *([worker] if worker else [])]), kubeconfig, asked_cluster())
    cluster.delete()  # what a test run that was killed has left
    try:
        cluster, _ = start(cluster)
        cluster.load_image(build_image("python"))  # the canary's, by the dev stack's settings
        yield cluster
    finally:
        cluster.delete()


@pytest.fixture(scope="session")
def access(cluster: Cluster) -> Access:
    """How to reach the throw-away cluster."""
    return cluster.start()


@pytest.fixture(scope="session")
def busybox(cluster: Cluster) -> str:
    """An image with a shell that the throw-away cluster has."""
    cluster.load_image(build_image("busybox"))
    return reference("busybox")


@pytest.fixture(scope="session")
def api(access: Access) -> client.ApiClient:
    """A client of the throw-away cluster."""
    return client_of(access.kubeconfig, access.context)


@pytest.fixture(scope="session")
def core(api: client.ApiClient) -> client.CoreV1Api:
    return client.CoreV1Api(api)


@pytest.fixture(scope="session")
def storage(api: client.ApiClient) -> client.StorageV1Api:
    return client.StorageV1Api(api)


@pytest.fixture(scope="session")
def program_factory(pulumi_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Program]:
    """Makes copies of this project's program (or of a program in tests/), each with a state of its
    own."""

    def make(source: Path = paths.ROOT, *, access: Access | None = None, stack: str = "dev", state: str | None = None) -> Program:
        folder = tmp_path_factory.mktemp("program")
        kubeconfig = str(access.kubeconfig) if access else str(folder / "no-kubeconfig")
        return Program.copy(source, folder, {**pulumi_variables, "KUBECONFIG": kubeconfig}, stack, state)

    return make


def eventually(check: Callable[[], bool], what: str, seconds: float = 120) -> None:
    """Wait until `check` holds; fails with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return
        time.sleep(0.2)
    pytest.fail(f"not within {seconds:.0f} s: {what}")


def project_files() -> list[Path]:
    """The project's files as a commit of the work tree would hold them, relative to its root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=paths.ROOT, check=True, capture_output=True, text=True
    )
    return [Path(name) for name in listed.stdout.split("\0") if name and (paths.ROOT / name).is_file()]
