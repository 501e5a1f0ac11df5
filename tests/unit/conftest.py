"""What all unit tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.unit.mocked_program import kubeconfig_without_a_cluster


@pytest.fixture(scope="module", autouse=True)
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A kubeconfig with the committed stacks' contexts and a cluster that doesn't answer, instead
    of the user's own.

    For one module at a time: tests of other folders run in between, in the same process.
    """
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig_without_a_cluster(tmp_path_factory.mktemp("kubeconfig")))
    yield
    if before is None:
        del os.environ["KUBECONFIG"]
    else:
        os.environ["KUBECONFIG"] = before
