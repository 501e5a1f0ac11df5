"""Two stacks in a cluster of their own, with a claim of the one for each of the other, for
bench.move.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.__main__ import variables
from components.kube.api import KubeApi
from components.kube.ownership import claim_name
from components.settings import Settings, load
from devkube import paths
from devkube.cluster import EmbeddedCluster
from devkube.engine import ensure_engine
from devkube.images import build_image, reference
from devkube.toolchain.build import build
from ops.kube import open_api
from ops.move.pods import MovePod, claim_path
from ops.stack_file import raw_config
from tests.program import Program

CONTEXT = "storage-tiers-bench-move"
SERVICE = "postgres"
IMAGE = "copying"
LARGE, SMALL = 8 * 2**20, 16 * 2**10  # bytes of a file
SMALL_FILES = 500


@dataclass
class Stacks:
    """Two stacks that are up in one cluster, with as many bound claims each."""

    program: Program
    api: KubeApi
    kubectl: list[str]
    settings: dict[str, Settings]

    def claim(self, stack: str, ordinal: int) -> dict[str, Any]:
        """A claim, as the API has it."""
        return self.api.get(claim_path(self.settings[stack].namespace.name, claim_name(SERVICE, ordinal)))

    def folder(self, stack: str, ordinal: int) -> Path:
        """Where its volume is on this machine."""
        volume = self.api.get(f"/api/v1/persistentvolumes/{self.claim(stack, ordinal)['spec']['volumeName']}")
        return Path((volume["spec"].get("local") or volume["spec"]["hostPath"])["path"])

    @contextmanager
    def pods(self, count: int) -> Iterator[list[tuple[list[str], list[str]]]]:
        """For each volume the commands that run something beside the source and the target."""
        made: list[MovePod] = []
        try:
            for ordinal in range(count):
                for stack in self.settings:
                    role, claim = f"bench-{stack}", self.claim(stack, ordinal)
                    made.append(
                        MovePod.start(self.api, self.settings[stack], str(ordinal), role, claim, run="bench", writes=stack == "aws")
                    )
            ways = [[*self.kubectl, "exec", "-i", "-n", each.pod.namespace, each.pod.name, "--"] for each in made]
            yield list(zip(ways[::2], ways[1::2], strict=True))
        finally:
            for each in made:
                each.remove()

    def empty_target(self, count: int) -> None:
        """Remove what was copied, and let the disk be done with it."""
        state = Path(self.program.variables["XDG_STATE_HOME"])
        for folder in [state, *(self.folder("aws", ordinal) for ordinal in range(count))]:
            subprocess.run(["find", folder, "-mindepth", "1", "-delete"], check=True)
        os.sync()


def fill(folder: Path, size: int, chance: random.Random) -> None:
    """Large files and small ones, of nothing that can be compressed."""
    for number in range(SMALL_FILES):
        (folder / f"small-{number}").write_bytes(chance.randbytes(SMALL))
    left = size - SMALL_FILES * SMALL
    for number in range((left + LARGE - 1) // LARGE):
        (folder / f"large-{number}").write_bytes(chance.randbytes(min(LARGE, left - number * LARGE)))
    os.sync()


@contextmanager
def up(folder: Path, volumes: int) -> Iterator[Stacks]:
    """Both stacks in a cluster of their own, which is deleted afterwards."""
    kubeconfig = folder / "kubeconfig"
    cluster = EmbeddedCluster(f"bench-move-{paths.clone_identity()}", CONTEXT, kubeconfig)
    cluster.delete()
    try:
        cluster.start()
        for image in ("busybox", IMAGE):
            cluster.load_image(build_image(image))
        state = folder / "moves"
        state.mkdir()
        environment = {**variables(ensure_engine(), str(kubeconfig)), "XDG_STATE_HOME": str(state)}
        (folder / "program").mkdir()
        first = Program.copy(paths.ROOT, folder / "program", environment, "dev")
        service = {SERVICE: {"tier": "database", "size": "4Gi", "replicas": volumes}}
        canary = {"enabled": False, "image": reference(IMAGE)}
        first.configure(cluster={"context": CONTEXT, "identifier": CONTEXT}, canary=canary, services=service)
        second = Program(first.folder, first.variables, "aws")
        document = yaml.safe_load(first.stack_file.read_text())
        document["config"]["storage-tiers:namespace"] = {"name": "other"}
        document["config"]["storage-tiers:tiers"] = {"other": {"kind": "database"}}
        document["config"]["storage-tiers:services"] = {SERVICE: {**service[SERVICE], "tier": "other"}}
        second.stack_file.write_text(yaml.safe_dump(document, sort_keys=False))
        second.pulumi("stack", "init", "aws")
        api = open_api(CONTEXT, str(kubeconfig))
        settings = {}
        for each in (first, second):
            each.up("--stack", each.stack)
            settings[each.stack] = load(raw_config(each.stack_file), each.stack)
            name = settings[each.stack].namespace.name
            api.patch(f"/api/v1/namespaces/{name}", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})
        kubectl = [str(build("node") / "kubectl"), f"--kubeconfig={kubeconfig}", f"--context={CONTEXT}"]
        made = Stacks(first, api, kubectl, settings)
        with made.pods(volumes):  # for which their volumes are made
            pass
        yield made
    finally:
        cluster.delete()
