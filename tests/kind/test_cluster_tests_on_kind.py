"""The cluster tests, as `make test` runs them on an embedded cluster, on a real Kind cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from devkube import paths
from tests.kind.docker import Docker

pytestmark = [pytest.mark.kind, pytest.mark.cluster, pytest.mark.soak, pytest.mark.timeout(3600)]


# Faults of a tier and of runs that are killed; those of the machine, and of services, have an
# embedded cluster's disks and daemons.
FAULTS = ("test_canary_faults.py", "test_healing.py", "test_make_up_heals.py")


@pytest.mark.parametrize(
    ("where", "which"),
    [
        (["tests/integration"], "cluster and not alone and not faults and not package_index"),
        ([f"tests/integration/{name}" for name in FAULTS], "faults"),
    ],
    ids=["cluster", "faults"],
)
def test_cluster_tests_on_kind(where: list[str], which: str, real_docker: Docker) -> None:
    """Those that take an embedded cluster apart skip themselves.

    Those that install Python packages are left out: Docker's network here has no way out.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", *where, "-m", which]
    done = subprocess.run(command, cwd=paths.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert real_docker.client("ps", "--all", "--quiet") == "", "the throw-away cluster is gone"
