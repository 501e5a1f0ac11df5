"""What the tests on Kind share: Docker, and a clone whose dev cluster is Kind's."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from devkube.engine import Engine
from devkube.errors import MachineError
from tests.kind import docker, machine
from tests.kind.docker import Docker


@pytest.fixture(scope="package")
def real_docker(engine: Engine) -> Iterator[Docker]:
    """Docker and kind on PATH for all that is run from now on; skips where that can't be.

    Where no package can be had that is a fault on a CI runner alone.
    """
    missing = docker.lacking()
    if not missing and not os.environ.get("CI"):
        try:
            machine.made()
        except MachineError as problem:
            missing = [str(problem)]
    if missing:
        pytest.skip(f"Docker and Kind from packages can't run here: {'; '.join(missing)}")
    with machine.docker_and_kind() as made:
        yield made
