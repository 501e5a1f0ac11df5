"""The cluster tests, as `make test` runs them on an embedded cluster, on a real Kind cluster."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from devkube import paths
from tests.kind.docker import Docker

pytestmark = [pytest.mark.kind, pytest.mark.cluster, pytest.mark.soak, pytest.mark.timeout(3600)]


def test_cluster_tests_on_kind(real_docker: Docker) -> None:
    """Those that take an embedded cluster apart skip themselves.

    Those that install Python packages are left out: Docker's network here has no way out.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "tests/integration", "-m", "cluster and not alone and not faults and not package_index"]
    done = subprocess.run(command, cwd=paths.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    assert real_docker.client("ps", "--all", "--quiet") == "", "the throw-away cluster is gone"
