"""Two stacks that are up for tests of `ops move --live`, with an engine each and a client of it
beside the first."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import ClassVar

from kubernetes import client

from tests.conftest import eventually
from tests.integration.move_stacks import OURS, SOURCE, TARGET, begin
from tests.integration.page_consumers import CLIENT
from tests.program import Program


@dataclass
class LiveStacks:
    """What is the same for every engine. `arguments` are those of its move."""

    arguments: ClassVar[tuple[str, ...]]
    program: Program
    api: client.ApiClient

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    def move(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.program.ops(*self.arguments, *arguments)

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        return begin(self.program, *self.arguments, *arguments, stderr=subprocess.STDOUT)

    def clear(self) -> None:
        """Nothing is in the namespaces but what is the stacks'."""
        for namespace in (SOURCE, TARGET):
            client.AppsV1Api(self.api).delete_collection_namespaced_stateful_set(namespace)
            self.core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
            self.core.delete_collection_namespaced_service(namespace)
            self.core.delete_collection_namespaced_secret(namespace)
            self.core.delete_collection_namespaced_config_map(namespace, field_selector=f"metadata.name={CLIENT}")
            self.core.delete_collection_namespaced_config_map(namespace, label_selector=OURS)

        def gone() -> bool:
            return not any(self.core.list_namespaced_pod(each).items for each in (SOURCE, TARGET))

        eventually(gone, "their pods are gone", 60)

    def left(self) -> list[str]:
        """The pods and ConfigMaps of moves."""
        found = [
            *self.core.list_pod_for_all_namespaces(label_selector=OURS).items,
            *self.core.list_config_map_for_all_namespaces(label_selector=OURS).items,
        ]
        return [each.metadata.name for each in found]
