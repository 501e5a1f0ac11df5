"""What the tests on Kind share: Docker, and a clone whose dev cluster is Kind's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from devkube.engine import Engine
from tests.kind import docker
from tests.kind.docker import Docker
from tests.kind.machine import docker_and_kind


@pytest.fixture(scope="package")
def real_docker(engine: Engine) -> Iterator[Docker]:
    """Docker and kind on PATH for all that is run from now on; skips where that can't be."""
    missing = docker.lacking()
    if missing:
        pytest.skip(f"Docker and Kind from packages can't run here: {'; '.join(missing)}")
    with docker_and_kind() as made:
        yield made
