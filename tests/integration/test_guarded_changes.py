"""Changes that would lose a claim, made for real: what is refused and what is not, and that a
refused one touches nothing.

The tests run in the order of the file, on one stack: never bound claims, then bound ones, then the
ways to do it right.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client
from kubernetes.client import ApiException

from devkube.cluster import Access
from tests import kubeconfig
from tests.clean_up import remove_volumes
from tests.conftest import eventually
from tests.integration.test_docs import commands, files, run
from tests.program import Program

pytestmark = pytest.mark.cluster

NAMESPACE = "data"
POSTGRES = {"tier": "database", "size": "5Gi"}
KAFKA = {"tier": "streaming", "size": "3.3Gi", "replicas": 3}
UP = ("up", "--yes", "--skip-preview")


@dataclass(frozen=True)
class StackInCluster:
    """The stack that is changed, and its cluster."""

    program: Program
    access: Access
    core: client.CoreV1Api
    storage: client.StorageV1Api

    def claims(self) -> dict[str, Any]:
        return {claim.metadata.name: claim for claim in self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items}

    def quotas(self) -> dict[str, list[str]]:
        """What each quota allows, without the long names of the resources."""
        return {
            quota.metadata.name: sorted(quota.spec.hard.values()) for quota in self.core.list_namespaced_resource_quota(NAMESPACE).items
        }

    def everything(self) -> dict[str, str]:
        """Every object that a stack has in the cluster, with its resourceVersion.

        Every write changes that version.
        """
        found = [
            *self.core.list_namespaced_persistent_volume_claim(NAMESPACE).items,
            *self.core.list_namespaced_resource_quota(NAMESPACE).items,
            *self.storage.list_storage_class().items,
            *self.core.list_persistent_volume().items,
        ]
        return {f"{each.metadata.uid} {each.metadata.name}": each.metadata.resource_version for each in found} | {
            name.metadata.name: name.metadata.uid for name in self.core.list_namespace().items
        }

    def state(self) -> dict[str, Any]:
        return {resource["urn"]: resource for resource in self.program.state()["deployment"]["resources"]}

    def delete(self, claim: str) -> None:
        self.core.delete_namespaced_persistent_volume_claim(claim, NAMESPACE)
        eventually(lambda: claim not in self.claims(), f"{claim} is gone")

    def with_kubeconfig(self, *files: Path | None) -> Program:
        """The same program and state with other kubeconfigs."""
        variables = {**self.program.variables, "KUBECONFIG": ":".join(map(str, files))}
        return Program(self.program.folder, variables, self.program.stack)


@pytest.fixture(scope="module")
def stack(
    program_factory: Callable[..., Program], access: Access, core: client.CoreV1Api, storage: client.StorageV1Api
) -> Iterator[StackInCluster]:
    """The dev stack without its canary, up on the throw-away cluster."""
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context}, canary={"enabled": False})
    program.up()
    yield StackInCluster(program, access, core, storage)
    program.destroy()
    remove_volumes(core)


@pytest.fixture
def settings(stack: StackInCluster) -> Iterator[Callable[..., None]]:
    """Changes settings of the stack for one test."""
    before = stack.program.stack_file.read_text()
    yield stack.program.configure
    stack.program.stack_file.write_text(before)


def bind(core: client.CoreV1Api, image: str, *names: str) -> None:
    """Let a pod use each claim once, so that it is bound."""
    for name in names:
        container = {"name": "user", "image": image, "command": ["sh", "-c", "echo kept > /data/kept; sync"]}
        core.create_namespaced_pod(
            NAMESPACE,
            {
                "metadata": {"name": name},
                "spec": {
                    "restartPolicy": "Never",
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{**container, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}],
                    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
                },
            },
        )
    for name in names:
        eventually(partial(has_ended, core, name), f"pod {name} has written")
        core.delete_namespaced_pod(name, NAMESPACE)


def has_ended(core: client.CoreV1Api, pod: str) -> bool:
    return bool(core.read_namespaced_pod(pod, NAMESPACE).status.phase == "Succeeded")


class TestNeverBound:
    """Nothing was ever written, so nothing can be lost."""

    def test_services_are_renamed_and_changed_in_one_up(self, stack: StackInCluster, settings: Callable[..., None]) -> None:
        before = {claim.metadata.uid for claim in stack.claims().values()}
        settings(services={"pg": POSTGRES, "kafka": {**KAFKA, "accessMode": "ReadWriteOncePod"}})
        # The old claims are counted until they are gone, which is last: the quota has room for
        # them.
        stack.program.up()
        after = stack.claims()
        assert set(after) == {"data-pg-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"}
        assert {claim.spec.access_modes[0] for name, claim in after.items() if "kafka" in name} == {"ReadWriteOncePod"}
        assert not before & {claim.metadata.uid for claim in after.values()}
        assert stack.quotas() == {"database-local-path": ["10Gi", "2"], "streaming-local-path": ["20280Mi", "6"]}
        stack.program.up()
        assert stack.quotas() == {"database-local-path": ["1", "5Gi"], "streaming-local-path": ["10140Mi", "3"]}
        stack.program.up("--expect-no-changes")

    def test_and_back(self, stack: StackInCluster) -> None:
        stack.program.up()
        stack.program.up()
        assert set(stack.claims()) == {"data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"}

    def test_another_size_takes_a_deleted_claim(self, stack: StackInCluster, settings: Callable[..., None]) -> None:
        settings(services={"postgres": {**POSTGRES, "size": "6Gi"}, "kafka": KAFKA})
        command = f"kubectl --context {stack.access.context} -n data delete pvc data-postgres-0"
        assert stack.program.refused("preview") == [
            'services.postgres.size: "6Gi": Kubernetes changes the size of a bound claim only, and data-postgres-0 waits for a first pod. '
            f"Works: 5Gi; or `{command}` (without data as yet), then `pulumi up --refresh`"
        ]
        stack.delete("data-postgres-0")
        stack.program.up("--refresh")
        assert stack.claims()["data-postgres-0"].spec.resources.requests == {"storage": "6Gi"}
        assert stack.quotas()["database-local-path"] == ["1", "6Gi"]
        stack.delete("data-postgres-0")

    def test_more_replicas_come_in_one_up_and_fewer_go(self, stack: StackInCluster, settings: Callable[..., None]) -> None:
        stack.program.up("--refresh")
        settings(services={"postgres": POSTGRES, "kafka": {**KAFKA, "replicas": 5}})
        stack.program.up()
        assert {"data-kafka-3", "data-kafka-4"} <= set(stack.claims())
        assert stack.quotas()["streaming-local-path"] == ["16900Mi", "5"]
        settings(services={"postgres": POSTGRES, "kafka": KAFKA})
        stack.program.up()
        assert "data-kafka-3" not in stack.claims()
        assert stack.quotas()["streaming-local-path"] == ["10140Mi", "3"]
        stack.program.up("--expect-no-changes")


class TestQuota:
    def test_no_refresh_shows_a_difference(self, stack: StackInCluster) -> None:
        stack.program.up()
        stack.program.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
        stack.program.up("--refresh", "--expect-no-changes")

    @staticmethod
    def claim(name: str, storage_class: str) -> dict[str, Any]:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}, "storageClassName": storage_class}
        return {"metadata": {"name": name}, "spec": spec}

    def test_it_refuses_a_foreign_claim_on_the_tier_by_its_name(self, stack: StackInCluster) -> None:
        with pytest.raises(ApiException) as refused:
            stack.core.create_namespaced_persistent_volume_claim(NAMESPACE, self.claim("foreign", "streaming-local-path"))
        assert refused.value.status == 403
        assert "exceeded quota: streaming-local-path" in refused.value.body
        assert "foreign" not in stack.claims()

    def test_it_does_not_count_other_classes_or_namespaces(self, stack: StackInCluster) -> None:
        core = stack.core
        core.create_namespaced_persistent_volume_claim(NAMESPACE, self.claim("foreign", "somebodys-class"))
        core.create_namespaced_persistent_volume_claim("default", self.claim("foreign", "streaming-local-path"))
        for namespace in (NAMESPACE, "default"):
            core.delete_namespaced_persistent_volume_claim("foreign", namespace)
        used = core.read_namespaced_resource_quota("streaming-local-path", NAMESPACE).status.used
        assert sorted(used.values()) == ["10140Mi", "3"]

    def test_a_namespace_of_somebody_else_has_it_while_the_stack_is_up(
        self, stack: StackInCluster, program_factory: Callable[..., Program]
    ) -> None:
        core, context = stack.core, stack.access.context
        core.create_namespace({"metadata": {"name": "theirs"}})
        other = program_factory(access=stack.access)
        other.configure(
            cluster={"context": context, "identifier": context},
            namespace={"name": "theirs", "create": False},
            tiers={"cache": {"kind": "database"}},
            services={"redis": {"tier": "cache", "size": "1Gi"}},
            canary={"enabled": False},
        )
        try:
            other.up()
            (quota,) = core.list_namespaced_resource_quota("theirs").items
            assert sorted(quota.spec.hard.values()) == ["1", "1Gi"]
            other.up("--refresh", "--expect-no-changes")
            other.destroy()
            assert core.list_namespaced_resource_quota("theirs").items == []
        finally:
            core.delete_namespace("theirs")


@pytest.fixture(scope="module")
def bound(stack: StackInCluster, busybox: str) -> None:
    """All claims of the stack, bound to volumes with data."""
    bind(stack.core, busybox, *stack.claims())
    assert {claim.status.phase for claim in stack.claims().values()} == {"Bound"}


def give_up(access: Access, *names: str) -> str:
    it, volumes = ("it", "the volume is") if len(names) == 1 else ("them", "the volumes are")
    command = f"kubectl --context {access.context} -n data delete pvc {' '.join(names)}"
    return f"or, to do without {it}, stop the pods, `{command}` ({volumes} retained: `python -m ops volumes`), then `pulumi up`"


BROKERS = "data-kafka-0, data-kafka-1, data-kafka-2"
ALL = f"{BROKERS}, data-postgres-0"
COPY = "a copy of the data (docs/changes.md)"
OTHER_CLUSTER = "or a stack of its own for another cluster (`pulumi stack init <name>`)"


def cases(access: Access) -> list[tuple[dict[str, Any], list[str]]]:
    """Changes of the settings, and all that is said about each."""
    postgres = "{tier: database, size: 5Gi, replicas: 1}"
    removed = "(missing): the claims of a service that is removed or renamed are deleted, and"
    return [
        (
            {"services": {"postgres": {**POSTGRES, "tier": "streaming"}, "kafka": {**KAFKA, "size": "1Gi", "replicas": 2}}},
            [
                "services.kafka.replicas: 2: the claims above that number are deleted, and data-kafka-2 holds data. "
                f"Works: 3; {give_up(access, 'data-kafka-2')}",
                f'services.kafka.size: "1Gi": a volume can\'t be made smaller, and {BROKERS} hold data of 3.3Gi. '
                f"Works: 3.3Gi; or a new service and {COPY}",
                'services.postgres.tier: "streaming": a claim can\'t change its class: it would be made anew, empty, and on '
                f"database-local-path data-postgres-0 holds data. Works: database; or a new service and {COPY}",
            ],
        ),
        (
            {"services": {"pg": POSTGRES, "kafka": {**KAFKA, "size": "4Gi", "accessMode": "ReadWriteOncePod"}}},
            [
                'services.kafka.accessMode: "ReadWriteOncePod": a claim can\'t change its access mode: it would be made anew, empty, and '
                f"{BROKERS} hold data. Works: ReadWriteOnce; or a new service and {COPY}",
                f'services.kafka.size: "4Gi": local-path can\'t make a volume larger, and {BROKERS} hold data of 3.3Gi. '
                f"Works: 3.3Gi; or a new service and {COPY}",
                f"services.postgres: {removed} data-postgres-0 holds data. Works: {postgres}; {give_up(access, 'data-postgres-0')}",
            ],
        ),
        (
            {"namespace": {"name": "elsewhere"}, "cluster": {"context": access.context, "identifier": "another"}},
            [
                'cluster.identifier: "another": another identifier is another cluster, on which everything is made anew, and '
                f"{ALL} hold data. Works: {access.context}; {OTHER_CLUSTER}",
                'namespace.name: "elsewhere": a claim can\'t change its namespace: it would be made anew, empty, and in data '
                f"{ALL} hold data. Works: data; or a new stack and {COPY}",
            ],
        ),
    ]


@pytest.mark.usefixtures("bound")
class TestBound:
    @pytest.mark.parametrize(("number", "command"), [(0, ("preview",)), (1, ("preview",)), (1, UP), (2, ("preview",)), (2, UP)])
    def test_what_would_lose_claims_is_refused_and_touches_nothing(
        self, number: int, command: tuple[str, ...], stack: StackInCluster, settings: Callable[..., None]
    ) -> None:
        changes, expected = cases(stack.access)[number]
        before, state = stack.everything(), stack.state()
        settings(**changes)
        assert stack.program.refused(*command) == expected
        assert stack.everything() == before
        assert stack.state() == state

    def test_the_same_settings_still_change_nothing(self, stack: StackInCluster) -> None:
        stack.program.up("--expect-no-changes")

    def test_a_preview_on_an_empty_state_says_what_it_always_said(
        self, stack: StackInCluster, program_factory: Callable[..., Program]
    ) -> None:
        other = program_factory(access=stack.access)
        other.stack_file.write_text(stack.program.stack_file.read_text())
        other.configure(services={"kafka": {**KAFKA, "replicas": 1}})
        assert {step["op"] for step in other.preview_steps()} == {"create"}

    def test_whoever_may_not_look_is_refused_as_well(self, stack: StackInCluster, settings: Callable[..., None], tmp_path: Path) -> None:
        token = kubeconfig.service_account(stack.core, "nobody")
        file = kubeconfig.write(stack.access, tmp_path / "nobody", stack.access.context, token=token)
        settings(services={"postgres": POSTGRES, "kafka": {**KAFKA, "replicas": 2}})
        (problem,) = stack.with_kubeconfig(file).refused("preview")
        assert problem.startswith(
            "services.kafka.replicas: 2: the claims above that number are deleted, and data-kafka-2 holds data, as far as can be told "
            "(the API answered 403). Works: 3; "
        )
        stack.core.delete_namespaced_service_account("nobody", "default")


class TestAnotherContext:
    def test_of_the_same_cluster_changes_no_object(self, stack: StackInCluster, settings: Callable[..., None], tmp_path: Path) -> None:
        before, context = stack.everything(), stack.access.context
        renamed = kubeconfig.write(stack.access, tmp_path / "renamed", "renamed")
        settings(cluster={"context": "renamed", "identifier": context})
        stack.with_kubeconfig(renamed).up()
        settings(cluster={"context": context, "identifier": context})
        stack.with_kubeconfig(renamed, stack.access.kubeconfig).up()
        assert stack.everything() == before

    def test_of_a_cluster_without_the_claims_is_refused(self, stack: StackInCluster, settings: Callable[..., None], tmp_path: Path) -> None:
        nowhere = kubeconfig.write(stack.access, tmp_path / "nowhere", "nowhere", server="https://127.0.0.1:1")
        settings(cluster={"context": "nowhere", "identifier": stack.access.context})
        assert stack.with_kubeconfig(nowhere, stack.access.kubeconfig).refused("preview") == [
            f'cluster.context: "nowhere": this cluster has none of the stack\'s claims, and in that of context {stack.access.context} '
            f"{ALL} hold data. Works: {stack.access.context}; {OTHER_CLUSTER}"
        ]


class TestDoingItRight:
    def test_a_claim_that_was_given_up_may_go_and_its_volume_stays(self, stack: StackInCluster, settings: Callable[..., None]) -> None:
        volume = stack.claims()["data-kafka-2"].spec.volume_name
        settings(services={"postgres": POSTGRES, "kafka": {**KAFKA, "replicas": 2}})
        stack.delete("data-kafka-2")
        stack.program.up()
        stack.program.up("--expect-no-changes")
        assert stack.quotas()["streaming-local-path"] == ["2", "6760Mi"]
        assert stack.core.read_persistent_volume(volume).status.phase == "Released"

    def test_data_is_copied_to_a_new_service_as_the_page_says(
        self, stack: StackInCluster, settings: Callable[..., None], busybox: str, tmp_path: Path
    ) -> None:
        assert busybox in files("changes.md")["copy.yaml"]
        settings(services={"postgres": POSTGRES, "pg": {**POSTGRES, "size": "6Gi"}, "kafka": {**KAFKA, "replicas": 2}})
        stack.program.up()
        (tmp_path / "copy.yaml").write_text(files("changes.md")["copy.yaml"])
        for command in commands("changes.md"):
            if command.line.startswith("kubectl"):
                run(command, tmp_path, stack.program.variables)
        settings(services={"pg": {**POSTGRES, "size": "6Gi"}, "kafka": {**KAFKA, "replicas": 2}})
        (problem,) = stack.program.refused("preview")
        assert problem.startswith("services.postgres: (missing): ")
        stack.delete("data-postgres-0")
        stack.program.up()
        assert set(stack.claims()) == {"data-pg-0", "data-kafka-0", "data-kafka-1"}
        stack.delete("data-pg-0")

    def test_claims_of_an_up_that_was_killed_are_guarded_too(
        self, stack: StackInCluster, settings: Callable[..., None], busybox: str, tmp_path: Path
    ) -> None:
        stack.program.up()
        before = stack.program.state()["deployment"]["resources"]
        settings(services={"postgres": POSTGRES, "kafka": {**KAFKA, "replicas": 4}})
        stack.program.up()
        # Outputs are the last thing that a run writes: without that, they are still those of the
        # run before.
        after = stack.program.state()
        outputs = {each["urn"]: each["outputs"] for each in before if each["type"] == "pulumi:pulumi:Stack"}
        for each in after["deployment"]["resources"]:
            each.update({"outputs": outputs[each["urn"]]} if each["urn"] in outputs else {})
        killed = tmp_path / "state.json"
        killed.write_text(json.dumps(after))
        stack.program.pulumi("stack", "import", "--file", str(killed))
        assert len(stack.program.outputs()["claims"]["kafka"]) == 3
        bind(stack.core, busybox, "data-kafka-3")
        settings(services={"postgres": POSTGRES, "kafka": KAFKA})
        assert stack.program.refused("preview") == [
            "services.kafka.replicas: 3: the claims above that number are deleted, and data-kafka-3 holds data. "
            f"Works: 4; {give_up(stack.access, 'data-kafka-3')}"
        ]
        stack.delete("data-kafka-3")
        stack.program.up("--refresh")
