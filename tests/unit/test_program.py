"""The whole program on Pulumi's mocks: every object that it declares, field by field."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.kube.quantity import bytes_of
from components.settings import SettingsError
from tests.unit.mocked_program import (
    CLAIM,
    CLASS,
    COMMAND,
    CONFIG_MAP,
    NAMESPACE,
    PROVEN,
    PROVIDER,
    QUOTA,
    Registered,
    Run,
    dev_config,
    run,
)


@pytest.fixture(scope="module")
def dev() -> Run:
    return run(dev_config())


def labels(name: str, component: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": "dev",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/part-of": "storage-tiers",
        "app.kubernetes.io/managed-by": "pulumi",
    }


@pytest.mark.parametrize(("tier", "says"), [("database", "PostgreSQL"), ("streaming", "Kafka")])
def test_a_class_has_every_field(dev: Run, tier: str, says: str) -> None:
    assert set(dev.of(CLASS)) == {"database-local-path", "streaming-local-path"}
    declared = dict(dev.of(CLASS)[f"{tier}-local-path"].inputs)
    metadata = declared.pop("metadata")
    description = metadata["annotations"].pop("kubernetes.io/description")
    assert says in description
    assert "one node's disk" in description
    assert metadata == {
        "name": f"{tier}-local-path",
        "labels": labels("storage-tiers", tier),
        "annotations": {"defaultVolumeType": "local", "storageclass.kubernetes.io/is-default-class": "false"},
    }
    assert declared == {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "provisioner": "rancher.io/local-path",
        "parameters": {},
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "WaitForFirstConsumer",
        "allowVolumeExpansion": False,
        "mountOptions": [],
        "allowedTopologies": [],
    }


def test_a_class_is_replaced_when_an_immutable_field_changes(dev: Run) -> None:
    for declared in dev.of(CLASS).values():
        assert set(declared.request.replaceOnChanges) == {"parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"}
        assert declared.request.deleteBeforeReplace


def test_a_claim_has_every_field(dev: Run) -> None:
    assert set(dev.of(CLAIM)) == {"data-postgres-0", "data-kafka-0", "data-kafka-1", "data-kafka-2"}
    declared = dev.of(CLAIM)["data-kafka-1"].inputs
    assert declared["metadata"]["annotations"].pop("kubernetes.io/description").startswith("Volume 1 of kafka, tier streaming.")
    assert declared == {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": "data-kafka-1",
            "namespace": "data",
            "labels": labels("kafka", "streaming"),
            "annotations": {"storage-tiers/requested": "3.3Gi", "pulumi.com/skipAwait": "true"},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "storageClassName": "streaming-local-path",
            "resources": {"requests": {"storage": "3380Mi"}},
        },
    }


def test_claims_come_after_class_and_namespace_but_take_no_value_from_them(dev: Run) -> None:
    for name, declared in dev.of(CLAIM).items():
        tier = "database" if "postgres" in name else "streaming"
        behind = " ".join(declared.request.dependencies)
        assert f"{CLASS}::{tier}" in behind
        assert f"{NAMESPACE}::namespace" in behind
        # A value from another resource would show here, and replacing that resource would replace
        # the claim.
        assert not [urns for urns in declared.request.propertyDependencies.values() if urns.urns]


class TestQuota:
    @staticmethod
    def hard(made: Run) -> dict[str, tuple[str, str]]:
        """Bytes and number of claims by class."""
        found = {}
        for name, quota in made.of(QUOTA).items():
            of_class = f"{name}.storageclass.storage.k8s.io"
            hard = quota.inputs["spec"]["hard"]
            assert set(hard) == {f"{of_class}/requests.storage", f"{of_class}/persistentvolumeclaims"}
            found[name] = (hard[f"{of_class}/requests.storage"], hard[f"{of_class}/persistentvolumeclaims"])
        return found

    def test_each_tier_has_one_with_every_field(self, dev: Run) -> None:
        declared = dict(dev.of(QUOTA)["streaming-local-path"].inputs)
        assert declared["metadata"] == {
            "name": "streaming-local-path",
            "namespace": "data",
            "labels": labels("storage-tiers", "streaming"),
            "annotations": {"kubernetes.io/description": "What the services of stack dev are allocated on tier streaming."},
        }
        assert set(declared) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(declared["spec"]) == {"hard"}

    def test_it_is_the_allocation_as_the_api_server_writes_it(self, dev: Run) -> None:
        assert self.hard(dev) == {"database-local-path": ("5Gi", "1"), "streaming-local-path": ("10140Mi", "3")}
        for name, (size, _) in self.hard(dev).items():
            assert bytes_of(size) == dev.outputs["allocation"]["tiers"][name.removesuffix("-local-path")]["provisionedBytes"]

    def test_a_tier_without_services_may_not_be_used(self) -> None:
        made = run(dev_config(services={"postgres": {"tier": "database", "size": "5Gi"}}))
        assert self.hard(made) == {"database-local-path": ("5Gi", "1"), "streaming-local-path": ("0", "0")}

    def test_it_has_room_for_the_restores_that_settings_ask_for_and_for_no_more(self) -> None:
        services = {
            "postgres": {"tier": "database", "size": "5Gi"},
            "kafka": {"tier": "streaming", "size": "3.3Gi", "replicas": 3, "restores": 2},
            "logs": {"tier": "streaming", "size": "1Gi", "restores": 0},
        }
        made = run(dev_config(services=services))
        assert self.hard(made) == {"database-local-path": ("5Gi", "1"), "streaming-local-path": (f"{9 * 3380 + 1024}Mi", "10")}
        assert made.outputs["allocation"]["tiers"]["streaming"]["provisionedBytes"] == (3 * 3380 + 1024) * 2**20

    def test_claims_come_after_the_quota_of_their_tier(self, dev: Run) -> None:
        for name, declared in dev.of(CLAIM).items():
            tier = "database" if "postgres" in name else "streaming"
            assert f"{QUOTA}::quota-{tier}" in " ".join(declared.request.dependencies)
            assert not [urns for urns in declared.request.propertyDependencies.values() if urns.urns]

    def test_quotas_come_after_the_namespace(self, dev: Run) -> None:
        for declared in dev.of(QUOTA).values():
            assert f"{NAMESPACE}::namespace" in " ".join(declared.request.dependencies)


def test_one_explicit_provider_for_all_kubernetes_objects_without_a_kubeconfig_in_the_state(dev: Run) -> None:
    (provider,) = dev.of(PROVIDER).values()
    cluster = {"context": "storage-tiers-dev", "clusterIdentifier": "storage-tiers-dev"}
    assert provider.inputs == {**cluster, "kubeconfig": "", "enableServerSideApply": "false"}
    for type_ in (CLASS, CLAIM, NAMESPACE, QUOTA):
        for declared in dev.of(type_).values():
            assert f"{PROVIDER}::cluster" in declared.request.provider


def guard_of(made: Run) -> Registered:
    return made.of(COMMAND)["destroy-guard"]


def test_the_guard_is_the_first_to_be_deleted_and_runs_only_then(dev: Run) -> None:
    guard = guard_of(dev)
    assert guard.inputs == {
        "interpreter": [
            "components/run_python",
            "components/destroy_guard/check.py",
            "--context=storage-tiers-dev",
            "--namespace=data",
            "--instance=dev",
            "--namespace-is-ours",
            "--canary-namespace=data-canary",
        ],
        "delete": "destroy",
        "triggers": ["storage-tiers-dev", "data"],
        "logging": "stderr",
        "addPreviousOutputInEnv": False,
    }
    behind = " ".join(guard.request.dependencies)
    for type_ in (CLASS, CLAIM, NAMESPACE, CONFIG_MAP, COMMAND, QUOTA):
        for declared in dev.of(type_).values():
            assert f"{type_}::{declared.name}" in behind or declared is guard


class TestCanary:
    def test_one_command_a_tier_with_nothing_of_this_machine_in_it(self, dev: Run) -> None:
        canary = dev.of(COMMAND)["canary-streaming"]
        probe = next(iter(dev.of(CONFIG_MAP)))
        triggers = canary.inputs.pop("triggers")
        assert canary.inputs == {
            "interpreter": [
                "components/run_python",
                "-m",
                "components.canary.driver",
                "--context=storage-tiers-dev",
                "--namespace=data-canary",
                "--instance=dev",
                "--tier=streaming",
                "--profile=streaming",
                "--storage-class=streaming-local-path",
                "--image=storage-tiers.local/python:1",
                f"--probe={probe}",
                "--size=1073741824",
            ],
            "create": "prove",
            "logging": "stderr",
            "addPreviousOutputInEnv": False,
        }
        assert triggers[0] == "storage-tiers-dev"
        assert triggers[2:] == [probe, 1]

    def test_it_is_run_again_when_its_class_or_the_number_changes_and_for_no_other_tier(self, dev: Run) -> None:
        def triggers(**changes: Any) -> dict[str, list[Any]]:
            made = run(dev_config(**changes)).of(COMMAND)
            return {name: made[f"canary-{name}"].inputs["triggers"] for name in ("database", "streaming")}

        before = triggers()
        assert triggers() == before
        assert triggers(services={}) == before
        changed = triggers(tiers={"database": {"nodePath": "/fast"}, "streaming": {}})
        assert changed["database"] != before["database"]
        assert changed["streaming"] == before["streaming"]
        assert all(list_[-1] == 2 for list_ in triggers(canary={"run": 2}).values())
        assert all(one[0] == "other" for one in triggers(cluster={"context": "storage-tiers-dev", "identifier": "other"}).values())

    def test_claims_come_after_the_proof_of_their_tier_alone(self, dev: Run) -> None:
        for name, declared in dev.of(CLAIM).items():
            behind = " ".join(declared.request.dependencies)
            mine, other = ("database", "streaming") if "postgres" in name else ("streaming", "database")
            assert f"{COMMAND}::canary-{mine}" in behind
            assert f"{COMMAND}::canary-{other}" not in behind

    def test_the_proof_comes_after_class_namespace_probe_and_sweeper(self, dev: Run) -> None:
        behind = " ".join(dev.of(COMMAND)["canary-database"].request.dependencies)
        for expected in (f"{CLASS}::database", f"{NAMESPACE}::canary", f"{CONFIG_MAP}::canary-probe", f"{COMMAND}::canary-sweep"):
            assert expected in behind

    def test_the_sweeper_only_deletes_and_does_so_before_the_namespace_goes(self, dev: Run) -> None:
        sweeper = dev.of(COMMAND)["canary-sweep"]
        assert sweeper.inputs["delete"] == "sweep"
        assert "create" not in sweeper.inputs
        assert f"{NAMESPACE}::canary" in " ".join(sweeper.request.dependencies)

    def test_its_namespace_is_restricted(self, dev: Run) -> None:
        declared = dev.of(NAMESPACE)["data-canary"].inputs["metadata"]["labels"]
        assert declared["pod-security.kubernetes.io/enforce"] == "restricted"
        assert declared["app.kubernetes.io/instance"] == "dev"

    def test_settings_reach_it(self) -> None:
        limits = {"database": {"syncP99Ms": 10.5}, "streaming": {"writeMBps": 80}}
        made = run(dev_config(canary={"image": "here/python:3", "namespace": "proofs", "limits": limits}))
        arguments = made.of(COMMAND)["canary-database"].inputs["interpreter"]
        assert {"--image=here/python:3", "--namespace=proofs", "--limit=syncP99Ms=10.5"} <= set(arguments)
        assert set(made.of(NAMESPACE)) == {"data", "proofs"}
        assert made.of(CONFIG_MAP)[next(iter(made.of(CONFIG_MAP)))].inputs["metadata"]["namespace"] == "proofs"

    def test_an_engine_is_part_of_the_proof_where_the_settings_say_so(self, dev: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(PROVEN, "run", "of the proof")
        limits = {"database": {"commitP99Ms": 200, "syncP99Ms": 10}, "streaming": {"recoverySeconds": 60}}
        made = run(dev_config(canary={"engine": True, "limits": limits, "engines": {"postgresql": "here/pg:1", "client": "here/py:1"}}))
        accepted = made.of(COMMAND)["acceptance-database"]
        assert accepted.inputs == {
            "interpreter": [
                "components/run_python",
                "-m",
                "components.acceptance.driver",
                "--context=storage-tiers-dev",
                "--namespace=data-canary",
                "--instance=dev",
                "--tier=database",
                "--profile=database",
                "--storage-class=database-local-path",
                "--engine=postgresql",
                "--image=here/pg:1",
                "--client-image=here/py:1",
                "--size=2147483648",
                "--limit=commitP99Ms=200.0",
            ],
            "create": "accept",
            "triggers": ["of the proof"],
            "logging": "stderr",
            "addPreviousOutputInEnv": False,
        }
        assert {"--engine=kafka", "--limit=recoverySeconds=60.0"} <= set(made.of(COMMAND)["acceptance-streaming"].inputs["interpreter"])
        assert f"{COMMAND}::canary-database" in " ".join(accepted.request.dependencies)
        assert "--limit=syncP99Ms=10.0" in made.of(COMMAND)["canary-database"].inputs["interpreter"]
        assert not [each for each in made.of(COMMAND)["canary-database"].inputs["interpreter"] if "commit" in each]
        for name, declared in made.of(CLAIM).items():
            mine = "database" if "postgres" in name else "streaming"
            assert f"{COMMAND}::acceptance-{mine}" in " ".join(declared.request.dependencies)
        assert not [name for name in dev.of(COMMAND) if "acceptance" in name]

    def test_disabled_there_is_nothing_of_it_and_the_output_says_so(self) -> None:
        made = run(dev_config(canary={"enabled": False}))
        assert set(made.of(COMMAND)) == {"destroy-guard"}
        assert set(made.of(NAMESPACE)) == {"data"}
        assert not made.of(CONFIG_MAP)
        assert {tier: verdict["verdict"] for tier, verdict in made.outputs["canary"].items()} == {
            "database": "disabled",
            "streaming": "disabled",
        }
        assert "--canary-namespace=data-canary" not in guard_of(made).inputs["interpreter"]

    def test_a_tier_of_another_name_is_written_to_as_its_kind_is(self) -> None:
        made = run(dev_config(tiers={"cache": {"kind": "database"}, "kafka": {"kind": "streaming"}}, services={}))
        assert "--profile=database" in made.of(COMMAND)["canary-cache"].inputs["interpreter"]
        assert "--profile=streaming" in made.of(COMMAND)["canary-kafka"].inputs["interpreter"]

    def test_the_kind_that_a_tier_has_by_its_name_may_be_said(self) -> None:
        tiers = json.loads(dev_config()["storage-tiers:tiers"])
        said = run(dev_config(tiers={name: {"kind": name, **parameters} for name, parameters in tiers.items()}))
        declared = [{(each.type, each.name): each.inputs for each in made.registered} for made in (run(dev_config()), said)]
        assert declared[0] == declared[1]

    def test_another_kind_is_another_proof_of_the_same_class(self, dev: Run) -> None:
        changed = run(dev_config(tiers={"database": {"kind": "streaming"}, "streaming": {}}))
        before, after = (made.of(COMMAND)["canary-database"].inputs for made in (dev, changed))
        assert before["triggers"] == after["triggers"]
        assert [argument for argument in after["interpreter"] if argument not in before["interpreter"]] == ["--profile=streaming"]
        assert changed.of(CLASS)["database-local-path"].inputs["parameters"] == {}


@pytest.mark.parametrize("protect", [True, False])
def test_protect_covers_claims_namespace_and_guard(protect: bool) -> None:
    made = run(dev_config(protect=protect))
    kept = [*made.of(CLAIM).values(), made.of(NAMESPACE)["data"], guard_of(made)]
    assert {declared.request.protect for declared in kept} == {protect}


def test_a_namespace_that_is_there_already_is_read_under_its_own_name_and_not_made() -> None:
    made = run(dev_config(namespace={"name": "elsewhere", "create": False}))
    assert set(made.of(NAMESPACE)) == {"elsewhere-canary"}
    assert made.read == [(NAMESPACE, "elsewhere")]
    guard = guard_of(made)
    assert "--namespace-is-ours" not in guard.inputs["interpreter"]
    assert {claim.inputs["metadata"]["namespace"] for claim in made.of(CLAIM).values()} == {"elsewhere"}


def test_outputs_are_exactly_the_documented_ones(dev: Run) -> None:
    assert set(dev.outputs) == {"provisioner", "cluster", "namespace", "storageClasses", "claims", "allocation", "canary"}
    assert dev.outputs["provisioner"] == "local-path"
    assert dev.outputs["cluster"] == {"context": "storage-tiers-dev", "identifier": "storage-tiers-dev"}
    assert dev.outputs["namespace"] == "data"
    assert dev.outputs["storageClasses"] == {"database": "database-local-path", "streaming": "streaming-local-path"}
    assert dev.outputs["claims"]["postgres"] == [
        {
            "name": "data-postgres-0",
            "namespace": "data",
            "storageClass": "database-local-path",
            "accessMode": "ReadWriteOnce",
            "requested": "5Gi",
            "provisioned": "5Gi",
        }
    ]
    assert [claim["name"] for claim in dev.outputs["claims"]["kafka"]] == ["data-kafka-0", "data-kafka-1", "data-kafka-2"]
    assert set(dev.outputs["allocation"]) == {"services", "tiers", "total"}


def test_no_services_is_a_stack_of_classes_alone() -> None:
    made = run(dev_config(services={}))
    assert set(made.of(CLASS)) == {"database-local-path", "streaming-local-path"}
    assert not made.of(CLAIM)
    assert made.outputs["claims"] == {}


def test_settings_of_a_tier_and_a_service_reach_their_objects() -> None:
    pattern = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/data"
    made = run(
        dev_config(
            tiers={"cache": {"kind": "streaming", "nodePath": "/fast", "pathPattern": pattern}},
            services={"redis": {"tier": "cache", "size": "1Gi", "accessMode": "ReadWriteOncePod"}},
        ),
        stack="other",
    )
    assert made.of(CLASS)["cache-local-path"].inputs["parameters"] == {"nodePath": "/fast", "pathPattern": pattern}
    assert "Kafka" in made.of(CLASS)["cache-local-path"].inputs["metadata"]["annotations"]["kubernetes.io/description"]
    claim = made.of(CLAIM)["data-redis-0"].inputs
    assert "Kafka" in claim["metadata"]["annotations"]["kubernetes.io/description"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOncePod"]
    assert claim["metadata"]["labels"]["app.kubernetes.io/instance"] == "other"


def test_wrong_settings_stop_the_program_before_the_first_resource() -> None:
    with pytest.raises(SettingsError, match=r"services\.kafka\.tier"):
        run(dev_config(services={"kafka": {"tier": "streeming", "size": "1Gi"}}))
