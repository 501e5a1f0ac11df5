"""`python -m ops move` with the real engines' own data directories: from local-path to a cloud's
disks, and back to local-path, all volumes side by side. Nothing that was acknowledged is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from devkube import paths
from devkube.cluster import EmbeddedCluster, csi, embedded
from devkube.images import build_image, reference
from tests.conftest import eventually
from tests.faults.move_tree import show
from tests.integration.move_stacks import LEVEL, OURS
from tests.integration.page_consumers import Consumers
from tests.kubeconfig import client_of
from tests.program import Program

_LACKING = [*embedded.lacking(), *csi.lacking()]
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.faults,
    pytest.mark.soak,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(_LACKING), reason="; ".join(_LACKING)),
]

CONTEXT = "storage-tiers-engines"
VOLUMES = ["kafka-0", "kafka-1", "kafka-2", "postgres-0"]
CLOUDS: dict[csi.Flavour, tuple[str, str]] = {"ebs": ("aws", "gp3"), "gce": ("gcp", "pd-balanced")}


@dataclass
class Stacks:
    """The dev stack, a cloud's, and another one on local-path, up on one cluster: a namespace each,
    named as the stack is, but for dev's, which is `data`.
    """

    program: Program
    api: client.ApiClient
    cloud: str

    @property
    def core(self) -> client.CoreV1Api:
        return client.CoreV1Api(self.api)

    def scale(self, namespace: str, *, kafka: int, postgres: int) -> None:
        """As a person does before a move, and after it."""
        sets = client.AppsV1Api(self.api)
        for name, replicas in (("kafka", kafka), ("postgres", postgres)):
            sets.patch_namespaced_stateful_set_scale(name, namespace, {"spec": {"replicas": replicas}})

    def left(self) -> list[str]:
        """What a move has made and not removed."""
        found = [
            *self.core.list_pod_for_all_namespaces(label_selector=OURS).items,
            *self.core.list_config_map_for_all_namespaces(label_selector=OURS).items,
        ]
        return [each.metadata.name for each in found]

    def pictures(self, namespace: str) -> dict[str, Any]:
        """All that is in a namespace's volumes on local-path, which are folders of this machine."""
        found = {}
        for claim in self.core.list_namespaced_persistent_volume_claim(namespace).items:
            volume = self.core.read_persistent_volume(claim.spec.volume_name)
            found[claim.metadata.name] = show((volume.spec.local or volume.spec.host_path).path)
        return found


@pytest.fixture(params=list(CLOUDS))
def stacks(request: pytest.FixtureRequest, program_factory: Callable[..., Program], tmp_path: Path) -> Iterator[Stacks]:
    flavour = request.param
    cloud, kind = CLOUDS[flavour]
    csi.prepare()
    cluster = EmbeddedCluster(f"eng-{paths.clone_identity()}", CONTEXT, tmp_path / "kubeconfig", driver=flavour)
    cluster.delete()
    try:
        access = cluster.start()
        for image in ("python", "clients", "postgresql", "kafka"):
            cluster.load_image(build_image(image))
        dev = program_factory(access=access)
        dev = Program(dev.folder, {**dev.variables, "XDG_STATE_HOME": str(tmp_path / "state")}, "dev")
        canary = {"enabled": False, "image": reference("python")}
        dev.configure(cluster={"context": CONTEXT, "identifier": CONTEXT}, canary=canary)
        on_disks = Program(dev.folder, dev.variables, cloud)
        back = Program(dev.folder, dev.variables, "home")
        back.stack_file.write_text(dev.stack_file.read_text())
        for other in (on_disks, back):
            other.pulumi("stack", "init", other.stack)
        tier = {"type": kind, "mountOptions": ["noatime"], "zones": list(csi.ZONES[flavour])[:1]}
        on_disks.configure(
            cluster={"context": CONTEXT, "identifier": CONTEXT},
            namespace={"name": cloud},
            tiers={
                "database": {**tier, "csi.storage.k8s.io/fstype": "ext4"},
                "streaming": {**tier, "csi.storage.k8s.io/fstype": "xfs"},
            },
            canary=canary,
            protect=False,
        )
        services = yaml.safe_load(dev.stack_file.read_text())["config"]["storage-tiers:services"]
        back.configure(
            namespace={"name": "home"},
            tiers={"rows": {"kind": "database"}, "logs": {"kind": "streaming"}},  # classes of its own
            services={name: {**each, "tier": {"database": "rows", "streaming": "logs"}[each["tier"]]} for name, each in services.items()},
        )
        api = client_of(access.kubeconfig, access.context)
        for each in (dev, on_disks, back):
            each.up("--stack", each.stack)
        for namespace in ("data", cloud, "home"):
            client.CoreV1Api(api).patch_namespace(namespace, {"metadata": {"labels": {LEVEL: "baseline"}}})
        yield Stacks(dev, api, cloud)
    finally:
        cluster.delete()


def move(stacks: Stacks, source: str, target: str) -> None:
    """All four volumes side by side, with a verdict each."""
    done = stacks.program.ops("move", "--from", source, "--to", target, "--parallel", "4", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = json.loads(done.stdout)
    assert [(each["volume"], each["verdict"]) for each in sorted(verdicts, key=lambda each: each["volume"])] == [
        (volume, "proven") for volume in VOLUMES
    ]
    assert all(each["bytes"] > 0 and each["files"] > 0 for each in verdicts)
    said = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    ends = next(number for number, each in enumerate(said) if each["phase"] == "proven")
    assert {each["volume"] for each in said[:ends]} == set(VOLUMES), "none waits for another's end"
    eventually(lambda: not stacks.left(), "nothing of the move is left", 60)


def test_the_engines_start_on_the_copies_and_nothing_is_lost(stacks: Stacks) -> None:
    """From local-path to disks and back, with loads on each, killed in the midst of one."""
    consumers = Consumers(stacks.api)
    consumers.make()
    consumers.kill_during(["postgres-0"], consumers.commit)
    consumers.kill_during(["kafka-1"], consumers.send)
    ways = [("dev", "data", stacks.cloud, stacks.cloud), (stacks.cloud, stacks.cloud, "home", "home")]
    for source, namespace, target, new_namespace in ways:
        consumers.commit()
        consumers.send()
        refused = stacks.program.ops("move", "--from", source, "--to", target)
        assert refused.returncode == 1
        assert "is used by StatefulSet kafka, pod kafka-0" in refused.stderr
        assert "is used by StatefulSet postgres, pod postgres-0" in refused.stderr
        stacks.scale(namespace, kafka=0, postgres=0)
        pods = {"kafka-0", "kafka-1", "kafka-2", "postgres-0"}
        eventually(lambda: not pods & names(stacks.core, namespace), "no engine runs")  # noqa: B023 - called in this turn
        before = stacks.pictures(namespace) if namespace == "data" else {}
        move(stacks, source, target)
        if before:
            assert stacks.pictures(namespace) == before, "the source is as it was"
        moved = Consumers(stacks.api, new_namespace)
        moved.acknowledged, moved.sent = dict(consumers.acknowledged), consumers.sent
        moved.make()
        moved.check()
        moved.commit()
        moved.send()
        moved.check()
        # The way back is open all the time: the old engines start on what they have left.
        stacks.scale(namespace, kafka=3, postgres=1)
        consumers.wait_until_all_run()
        consumers.check()
        consumers.remove()
        consumers = moved


def names(core: client.CoreV1Api, namespace: str) -> set[str]:
    return {each.metadata.name for each in core.list_namespaced_pod(namespace).items}
