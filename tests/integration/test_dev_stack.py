"""The dev stack on the real engine and the real cluster: what it makes, that it stays, that
changing it loses nothing.

The tests run in the order of the file, on one stack: up, consumers, a changed class, refused and
allowed destroys.
"""

from __future__ import annotations

import hashlib
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.stream import stream

from devkube.cluster import Access
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.program import Program

pytestmark = pytest.mark.cluster

NAMESPACE = "data"
CLAIMS = {
    "data-postgres-0": ("database-local-path", "5Gi"),
    "data-kafka-0": ("streaming-local-path", "3380Mi"),
    "data-kafka-1": ("streaming-local-path", "3380Mi"),
    "data-kafka-2": ("streaming-local-path", "3380Mi"),
}
CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
PODS = [name.removeprefix("data-") for name in CLAIMS]


@pytest.fixture(scope="module")
def program(program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api) -> Iterator[Program]:
    """The program of this project, configured for the throw-away cluster, not yet up.

    It is destroyed afterwards, where only a part of the tests has run.
    """
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context})
    yield program
    program.destroy()
    remove_volumes(core)


def claims(core: client.CoreV1Api) -> dict[str, Any]:
    return {claim.metadata.name: claim for claim in core.list_namespaced_persistent_volume_claim(NAMESPACE).items}


def run_in(core: client.CoreV1Api, pod: str, script: str) -> str:
    """Run a shell script in a pod and return what it printed."""
    command = ["sh", "-ec", script]
    output: str = stream(
        core.connect_get_namespaced_pod_exec, pod, NAMESPACE, command=command, stdout=True, stderr=True, stdin=False, tty=False
    )
    return output.strip()


class TestUp:
    def test_preview_from_nothing_plans_everything(self, program: Program) -> None:
        made = [step["urn"].split("::")[-2].split("$")[-1] for step in program.preview_steps() if step["op"] == "create"]
        assert made.count("kubernetes:storage.k8s.io/v1:StorageClass") == 2
        assert made.count("kubernetes:core/v1:PersistentVolumeClaim") == 4
        assert made.count("kubernetes:core/v1:Namespace") == 2  # the services' and the canary's

    def test_up_makes_two_classes_and_four_pending_claims(
        self, program: Program, core: client.CoreV1Api, storage: client.StorageV1Api
    ) -> None:
        program.up()
        found = claims(core)
        assert set(found) == set(CLAIMS)
        for name, (storage_class, size) in CLAIMS.items():
            claim = found[name]
            assert claim.spec.storage_class_name == storage_class
            assert claim.spec.resources.requests == {"storage": size}
            assert claim.spec.access_modes == ["ReadWriteOnce"]
            assert claim.status.phase == "Pending"
            assert claim.metadata.labels["app.kubernetes.io/part-of"] == "storage-tiers"
            assert claim.metadata.labels["app.kubernetes.io/instance"] == "dev"
            assert claim.metadata.annotations["pulumi.com/skipAwait"] == "true"
        for name in ("database-local-path", "streaming-local-path"):
            made = storage.read_storage_class(name)
            assert made.provisioner == "rancher.io/local-path"
            assert made.reclaim_policy == "Retain"
            assert made.volume_binding_mode == "WaitForFirstConsumer"
            assert made.allow_volume_expansion is False
            assert made.metadata.annotations["defaultVolumeType"] == "local"
            assert made.metadata.annotations["storageclass.kubernetes.io/is-default-class"] == "false"
            assert made.metadata.annotations["kubernetes.io/description"]

    def test_outputs_are_the_documented_ones(self, program: Program) -> None:
        outputs = program.outputs()
        assert set(outputs) == {"provisioner", "cluster", "namespace", "storageClasses", "claims", "allocation", "canary"}
        assert outputs["storageClasses"] == {"database": "database-local-path", "streaming": "streaming-local-path"}
        assert [claim["name"] for claim in outputs["claims"]["kafka"]] == ["data-kafka-0", "data-kafka-1", "data-kafka-2"]
        assert outputs["claims"]["kafka"][0] == {
            "name": "data-kafka-0",
            "namespace": "data",
            "storageClass": "streaming-local-path",
            "accessMode": "ReadWriteOnce",
            "requested": "3.3Gi",
            "provisioned": "3380Mi",
        }
        gib, mib = 2**30, 2**20
        assert outputs["allocation"]["total"]["provisionedBytes"] == 5 * gib + 3 * 3380 * mib
        assert outputs["allocation"]["services"]["kafka"]["share"] == pytest.approx(10140 / 15260, abs=1e-4)

    def test_a_second_up_and_a_refresh_change_nothing(self, program: Program) -> None:
        program.up("--expect-no-changes")
        program.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        program.up("--refresh", "--expect-no-changes")

    def test_the_stack_file_keeps_its_bytes(self, program: Program) -> None:
        before = program.stack_file.read_bytes()
        program.up()
        assert program.stack_file.read_bytes() == before


LINE = 16 * 1024  # characters in one command


@dataclass(frozen=True)
class Consumers:
    """The consumers' stack, and the hash of what was written through each pod."""

    program: Program
    hashes: dict[str, str]


@pytest.fixture(scope="module")
def consumers(
    program: Program, program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api, busybox: str
) -> Iterator[Consumers]:
    """StatefulSets in a stack of their own, with known data on every claim; removed afterwards."""
    # One state for both stacks, as a user has it: the consumers find the claims through a
    # StackReference.
    shared = program_factory(Path(__file__).parent / "consumers", access=access, state=program.variables["PULUMI_BACKEND_URL"])
    for key, value in {"context": access.context, "image": busybox, "tiers": "organization/storage-tiers/dev"}.items():
        shared.pulumi("config", "set", key, value)
    shared.up()
    hashes = {}
    for pod in PODS:
        content = secrets.token_hex(64 * 1024)
        lines = "\n".join(content[i : i + LINE] for i in range(0, len(content), LINE))
        for number, line in enumerate(lines.split("\n")):
            run_in(core, pod, f"echo {line} {'>>' if number else '>'} /data/payload; sync /data/payload")
        hashes[pod] = hashlib.sha256((lines + "\n").encode()).hexdigest()
    yield Consumers(shared, hashes)
    if core.list_namespaced_pod(NAMESPACE, label_selector="app.kubernetes.io/part-of=consumers").items:
        shared.destroy()


def intact(core: client.CoreV1Api, consumers: Consumers) -> bool:
    return all(run_in(core, pod, "sha256sum < /data/payload").split()[0] == sha for pod, sha in consumers.hashes.items())


class TestConsumers:
    def test_all_four_claims_bind_to_volumes_of_their_class(self, core: client.CoreV1Api, consumers: Consumers) -> None:
        for name, claim in claims(core).items():
            assert claim.status.phase == "Bound"
            volume = core.read_persistent_volume(claim.spec.volume_name)
            assert volume.spec.storage_class_name == CLAIMS[name][0]
            assert volume.spec.persistent_volume_reclaim_policy == "Retain"
            assert volume.spec.claim_ref.uid == claim.metadata.uid
            assert volume.spec.local is not None, "defaultVolumeType: local makes a local volume, not a hostPath"

    def test_data_survives_the_pods(self, core: client.CoreV1Api, consumers: Consumers) -> None:
        assert intact(core, consumers)
        before = {pod: core.read_namespaced_pod(pod, NAMESPACE).metadata.uid for pod in PODS}
        for pod in PODS:
            core.delete_namespaced_pod(pod, NAMESPACE)
        wait_for_new_pods(core, before)
        assert intact(core, consumers)

    def test_up_changes_nothing_under_consumers(self, program: Program, consumers: Consumers) -> None:
        program.up("--refresh", "--expect-no-changes")


def wait_for_new_pods(core: client.CoreV1Api, before: dict[str, str]) -> None:
    def ready() -> bool:
        found = {pod.metadata.name: pod for pod in core.list_namespaced_pod(NAMESPACE).items}
        return all(
            name in found
            and found[name].metadata.uid != uid
            and any(condition.type == "Ready" and condition.status == "True" for condition in found[name].status.conditions or [])
            for name, uid in before.items()
        )

    eventually(ready, "every pod is replaced and ready")


CLASS_CHANGES = {
    "parameters": None,  # by a setting
    "reclaimPolicy": ('"Retain"', '"Delete"'),
    "volumeBindingMode": ('"WaitForFirstConsumer"', '"Immediate"'),
}


class TestChangingAClass:
    # One way for all three: `make test` goes it with the field that the canary has to refuse, and
    # test_healing.py there with other parameters.
    @pytest.mark.parametrize(
        "field", [*(pytest.param(each, marks=pytest.mark.soak) for each in ("parameters", "reclaimPolicy")), "volumeBindingMode"]
    )
    def test_the_class_is_replaced_and_no_claim_is_touched(
        self, field: str, program: Program, core: client.CoreV1Api, storage: client.StorageV1Api, consumers: Consumers
    ) -> None:
        before = {name: claim.metadata.uid for name, claim in claims(core).items()}
        class_before = storage.read_storage_class("database-local-path").metadata.uid
        pods_before = {pod: core.read_namespaced_pod(pod, NAMESPACE).metadata.uid for pod in PODS}
        source = program.folder / "components" / "storage_tier.py"
        original_source, original_settings = source.read_text(), program.stack_file.read_text()
        change = CLASS_CHANGES[field]
        if change is None:
            program.configure(tiers={"database": {"pathPattern": "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"}, "streaming": {}})
        else:
            assert original_source.count(change[0]) == 1, f"{change[0]} is written once in {source.name}"
            source.write_text(original_source.replace(*change))
        steps = program.preview_steps()
        touched = {(step["op"], step["urn"].split("::")[-2].split("$")[-1]) for step in steps}
        assert ("replace", CLASS) in touched
        # Of all other things only the class's canary is run again.
        assert not [op for op, kind in touched if kind not in (CLASS, "command:local:Command") and op != "update"], touched
        done = program.run("up", "--yes", "--skip-preview")
        if field == "volumeBindingMode":  # local-path makes no volume before it knows the node, which the canary finds out
            output = done.stdout + done.stderr
            assert "tier database (database-local-path) is not proven: rancher.io/local-path has made no volume" in output
        else:
            assert done.returncode == 0, done.stdout + done.stderr
        assert storage.read_storage_class("database-local-path").metadata.uid != class_before
        assert {name: claim.metadata.uid for name, claim in claims(core).items()} == before
        assert all(claim.status.phase == "Bound" for claim in claims(core).values())
        source.write_text(original_source)
        program.stack_file.write_text(original_settings)
        program.up()
        assert {name: claim.metadata.uid for name, claim in claims(core).items()} == before
        assert {pod: core.read_namespaced_pod(pod, NAMESPACE).metadata.uid for pod in PODS} == pods_before
        assert intact(core, consumers)


class TestDestroy:
    def test_is_refused_while_pods_use_a_claim(self, program: Program, core: client.CoreV1Api, consumers: Consumers) -> None:
        before = {name: claim.metadata.uid for name, claim in claims(core).items()}
        done = program.run("destroy", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "kafka-0" in done.stdout + done.stderr
        after = claims(core)
        assert {name: claim.metadata.uid for name, claim in after.items()} == before
        assert not any(claim.metadata.deletion_timestamp for claim in after.values())

    def test_is_refused_for_a_protected_stack(self, program: Program, core: client.CoreV1Api, consumers: Consumers) -> None:
        original = program.stack_file.read_text()
        program.configure(protect=True)
        program.up()
        done = program.run("destroy", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "protect" in done.stdout + done.stderr
        assert set(claims(core)) == set(CLAIMS)
        program.stack_file.write_text(original)
        program.up()

    def test_a_namespace_with_somebody_elses_objects_is_never_deleted(
        self, program: Program, core: client.CoreV1Api, consumers: Consumers
    ) -> None:
        consumers.program.destroy()
        core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "somebodys-notes"}, "data": {"keep": "me"}})
        done = program.run("destroy", "--yes", "--skip-preview")
        assert done.returncode != 0
        assert "somebodys-notes" in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert core.read_namespaced_config_map("somebodys-notes", NAMESPACE).data == {"keep": "me"}
        assert set(claims(core)) == set(CLAIMS)
        core.delete_namespaced_config_map("somebodys-notes", NAMESPACE)

    def test_retains_every_volume_and_its_data(
        self, program: Program, core: client.CoreV1Api, storage: client.StorageV1Api, consumers: Consumers
    ) -> None:
        program.destroy()
        assert NAMESPACE not in [found.metadata.name for found in core.list_namespace().items]
        assert not [
            found for found in storage.list_storage_class().items if found.metadata.name in {"database-local-path", "streaming-local-path"}
        ]
        volumes = core.list_persistent_volume().items
        assert len(volumes) == 4
        eventually(lambda: all(volume.status.phase == "Released" for volume in core.list_persistent_volume().items), "volumes are Released")
        if Path(volumes[0].spec.local.path).exists():  # the embedded node's folders are this machine's; Kind's are its container's
            kept = {
                volume.spec.claim_ref.name.removeprefix("data-"): hashlib.sha256(
                    Path(volume.spec.local.path, "payload").read_bytes()
                ).hexdigest()
                for volume in volumes
            }
            assert kept == consumers.hashes

    def test_up_after_destroy_makes_new_claims(self, program: Program, core: client.CoreV1Api) -> None:
        program.up()
        assert set(claims(core)) == set(CLAIMS)
        program.destroy()


class TestSettings:
    def test_every_problem_in_one_message_and_no_traceback(self, program_factory: Callable[..., Program]) -> None:
        broken = program_factory()
        broken.configure(services={"kafka": {"tier": "streeming", "size": "5GB", "replicas": 0}}, cluster={"context": "x"}, namspace={})
        started = time.monotonic()
        done = broken.run("preview")
        output = done.stdout + done.stderr
        assert done.returncode != 0
        for expected in ("services.kafka.tier", "services.kafka.size", "services.kafka.replicas", "cluster.identifier", "namspace", "5Gi"):
            assert expected in output, output
        assert "Traceback" not in output
        assert time.monotonic() - started < 120


def test_kubectl_commands_of_the_report_work(access: Access) -> None:
    for command in (["get", "storageclass"], ["get", "pvc", "-A"], ["get", "pv"]):
        subprocess.run(["kubectl", "--kubeconfig", str(access.kubeconfig), *command], check=True, capture_output=True)
