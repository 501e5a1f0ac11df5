"""The StatefulSets of docs/consumers.md with the real engines, on the stack's own claims: pods are
killed under load, all is removed, the volumes are adopted, and what was acknowledged is there.
"""

from __future__ import annotations

import pytest
from kubernetes import client

from tests.integration.page_consumers import Consumers
from tests.program import Program

pytestmark = [pytest.mark.cluster, pytest.mark.faults, pytest.mark.soak, pytest.mark.timeout(1500)]

CLAIMS = ["data-kafka-0", "data-kafka-1", "data-kafka-2", "data-postgres-0"]


def bound(core: client.CoreV1Api) -> dict[str, str]:
    """The volume that each claim is bound to."""
    return {each.metadata.name: each.spec.volume_name for each in core.list_namespaced_persistent_volume_claim("data").items}


def test_all_that_was_acknowledged_is_there_through_kills_destroy_and_adoption(
    page_stack: Program, api: client.ApiClient, core: client.CoreV1Api
) -> None:
    consumers = Consumers(api)
    consumers.make()
    held = bound(core)
    assert sorted(held) == CLAIMS, "the stack's claims, and no others"
    consumers.kill_during(["postgres-0"], consumers.commit)
    consumers.kill_during(["kafka-1"], consumers.send)
    consumers.commit()
    consumers.kill_during(["kafka-0", "kafka-1", "kafka-2"], lambda: consumers.send(all_killed=True))
    consumers.check()
    consumers.remove()
    page_stack.destroy()
    adopted = page_stack.ops("volumes", "adopt")
    assert adopted.returncode == 0, adopted.stdout + adopted.stderr
    page_stack.up("--refresh")
    consumers.make()
    assert bound(core) == held, "each claim has its own volume again"
    consumers.check()
    consumers.commit()
    consumers.send()
    consumers.check()
    consumers.remove()
