"""What all unit tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml

from tests.unit.mocked_program import stack_config


@pytest.fixture(scope="module", autouse=True)
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A kubeconfig with the committed stacks' contexts and a cluster that doesn't answer, instead
    of the user's own.

    For one module at a time: tests of other folders run in between, in the same process.
    """
    file = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    contexts = [yaml.safe_load(stack_config(stack)["storage-tiers:cluster"])["context"] for stack in ("dev", "aws", "gcp")]
    file.write_text(
        yaml.safe_dump(
            {
                "contexts": [{"name": name, "context": {"cluster": "none", "user": "nobody"}} for name in contexts],
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
