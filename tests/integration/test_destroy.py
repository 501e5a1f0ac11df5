"""A destroy that something stands in the way of can always pass in the end, by the way that its
refusal names, and takes no reference to data along.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from kubernetes import client
from kubernetes.client import ApiException

from devkube.cluster import Access
from devkube.images import reference
from tests import kubeconfig
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.integration.consumer_pods import ConsumerPods
from tests.program import Program

pytestmark = pytest.mark.cluster

DESTROY = ("destroy", "--yes", "--skip-preview")


@pytest.fixture
def program(program_factory: Callable[..., Program], access: Access) -> Program:
    """The dev stack's program, without its canary."""
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    return program


@contextmanager
def controller(core: client.CoreV1Api, name: str, namespaces: Callable[[], list[str]]) -> Iterator[None]:
    """Puts a ConfigMap into each of the namespaces, and again where it is deleted."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(0.2):
            for namespace in namespaces():
                try:
                    core.create_namespaced_config_map(namespace, {"metadata": {"name": name}, "data": {"root.pem": "…"}})
                except ApiException as refused:
                    assert refused.status in (403, 404, 409), refused  # the namespace is going or gone, or has it

    running = threading.Thread(target=keep)
    running.start()
    try:
        yield
    finally:
        ended.set()
        running.join()
        for each in core.list_config_map_for_all_namespaces(field_selector=f"metadata.name={name}").items:
            core.delete_namespaced_config_map(name, each.metadata.namespace)


def has(core: client.CoreV1Api, namespace: str, name: str) -> bool:
    return bool(core.list_namespaced_config_map(namespace, field_selector=f"metadata.name={name}").items)


def all_but_kubernetes_own(core: client.CoreV1Api) -> list[str]:
    names = [each.metadata.name for each in core.list_namespace().items]
    return [name for name in names if not name.startswith("kube-")]


def test_what_a_controller_puts_into_every_namespace_is_no_obstacle(program: Program, core: client.CoreV1Api) -> None:
    program.configure(canary={"enabled": True, "namespace": "proofs", "image": reference("python")})
    program.up()
    with controller(core, "mesh-ca-root-cert", lambda: all_but_kubernetes_own(core)):
        eventually(lambda: has(core, "data", "mesh-ca-root-cert") and has(core, "proofs", "mesh-ca-root-cert"), "it is in both")
        program.destroy()
        assert {"data", "proofs"}.isdisjoint(all_but_kubernetes_own(core))


def test_what_comes_back_in_the_stacks_namespaces_alone_needs_the_two_settings_that_are_named(
    program: Program, core: client.CoreV1Api
) -> None:
    program.configure(canary={"enabled": True, "namespace": "proofs", "image": reference("python")})
    program.up()
    with controller(core, "notes", lambda: ["data", "proofs"]):
        eventually(lambda: has(core, "data", "notes") and has(core, "proofs", "notes"), "it is in both")
        done = program.run(*DESTROY)
        said = done.stdout + done.stderr
        assert done.returncode != 0
        assert "set `create: false` under storage-tiers:namespace" in said
        assert "set `enabled: false` under storage-tiers:canary" in said
        assert "both settings are needed" in said
        program.configure(namespace={"name": "data", "create": False}, canary={"enabled": False})
        program.up()
        program.destroy()
        assert has(core, "data", "notes"), "what is somebody's is left alone"
    core.delete_namespace("data")
    eventually(lambda: "data" not in all_but_kubernetes_own(core), "the namespace is gone")


def test_a_volume_that_is_being_deleted_goes_with_its_claim_and_its_data_is_found(
    program: Program, core: client.CoreV1Api, busybox: str
) -> None:
    program.up()
    pods, claim = ConsumerPods(core, busybox), "data-kafka-0"
    pods.start([claim])
    pods.write([claim])
    pods.stop()
    volume = core.read_namespaced_persistent_volume_claim(claim, "data").spec.volume_name
    core.delete_persistent_volume(volume)
    assert core.read_persistent_volume(volume).metadata.deletion_timestamp, "it goes with its claim"
    assert f"the volume {volume} of claim data/{claim} is being deleted" in program.pulumi("preview")
    said = program.destroy()
    assert f"Volume {volume} is being deleted: its data is declared again as kept-kafka-0-" in said
    (kept,) = core.list_persistent_volume().items
    assert kept.status.phase == "Released"
    assert f"(data/{claim}): {kept.metadata.name}" in program.ops("volumes", "adopt").stdout
    program.up()
    eventually(lambda: core.read_namespaced_persistent_volume_claim(claim, "data").spec.volume_name == kept.metadata.name, "its own", 60)
    pods.start([claim])
    assert pods.read([claim]) == {claim: pods.hashes[claim]}
    pods.stop()
    program.destroy()
    remove_volumes(core)


class TestARenamedContext:
    @pytest.fixture
    def stuck(self, program: Program, core: client.CoreV1Api, access: Access, tmp_path: Path) -> Program:
        """Renamed, and back after an `up` that failed: the state has the name that nobody has."""
        program.up()
        renamed = replace(
            program, variables={**program.variables, "KUBECONFIG": str(kubeconfig.write(access, tmp_path / "new", "renamed"))}
        )
        before = program.stack_file.read_text()
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "x", "resources": {"requests": {"storage": "1Gi"}}}
        core.create_namespaced_persistent_volume_claim("data", {"metadata": {"name": "data-log-0"}, "spec": spec})
        services = yaml.safe_load(before)["config"]["storage-tiers:services"]
        log = {"tier": "streaming", "size": "1Gi"}
        program.configure(cluster={"context": "renamed", "identifier": access.context}, services={**services, "log": log})
        assert renamed.run("up", "--yes", "--skip-preview").returncode != 0
        core.delete_namespaced_persistent_volume_claim("data-log-0", "data")
        program.stack_file.write_text(before)
        done = program.run(*DESTROY)
        assert done.returncode != 0
        assert 'context "renamed" does not exist' in done.stdout + done.stderr
        return program

    def test_a_heal_writes_the_one_of_the_settings(self, stuck: Program, access: Access) -> None:
        healed = stuck.ops("heal", "--before-destroy")
        assert healed.returncode == 0, healed.stderr
        assert "The state names the context 'renamed', which the kubeconfig doesn't have" in healed.stdout
        assert access.context in healed.stdout
        stuck.destroy()

    def test_a_destroy_that_runs_the_program_takes_the_one_of_the_settings(self, stuck: Program) -> None:
        stuck.pulumi(*DESTROY, "--run-program")
