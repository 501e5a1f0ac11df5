"""What all unit tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml

from tests.unit.mocked_program import dev_config


@pytest.fixture(scope="session", autouse=True)
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A kubeconfig with the dev stack's context and a cluster that doesn't answer, instead of the user's own."""
    file = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    context = yaml.safe_load(dev_config()["storage-tiers:cluster"])["context"]
    file.write_text(
        yaml.safe_dump(
            {
                "contexts": [{"name": context, "context": {"cluster": "none", "user": "nobody"}}],
                "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [{"name": "nobody", "user": {}}],
            }
        )
    )
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(file)
    yield
    if before is None:
        del os.environ["KUBECONFIG"]
    else:
        os.environ["KUBECONFIG"] = before
