"""Wrong stack files as a person meets them: real previews by the real engine, each with its exact message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client

from devkube.cluster import Access
from tests.program import Program

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a size in GB": (
        {"services": {"postgres": {"tier": "database", "size": "5GB"}}},
        [
            'services.postgres.size: "5GB": a size is a positive number and one of the units Mi, Gi and Ti (powers of 1024), '
            "without a space, sign or exponent. Works: 5Gi"
        ],
    ),
    "no such tier": (
        {"services": {"kafka": {"tier": "streeming", "size": "1Gi"}}},
        ['services.kafka.tier: "streeming": no such tier; this stack has: database, streaming. Works: streaming'],
    ),
    "a replica count of the wrong type, and a name that Kubernetes refuses": (
        {"services": {"Kafka": {"tier": "streaming", "size": "1Gi", "replicas": "three"}}},
        [
            'services.Kafka: "Kafka": a name is lower-case letters, digits and hyphens, begins with a letter, ends with a letter or digit, '
            "at most 52 long, because its claims are `data-<service>-<ordinal>` and its pods carry labels with the name. Works: kafka",
            'services.Kafka.replicas: "three": a whole number from 1 to 1000, one claim each. Works: 3',
        ],
    ),
    "YAML's accidents": (
        {"cluster": {"context": "dev", "identifier": 2024}, "namespace": {"create": "no"}},
        [
            "cluster.identifier: 2024: a name of your own for this cluster; another one means another cluster, on which everything is made "
            'anew; YAML reads it as a number, so it needs quotes. Works: "2024"',
            'namespace.create: "no": true: the stack makes the namespace; false: it is there already; without quotes. Works: false',
        ],
    ),
    "missing keys": (
        {"services": None, "tiers": None},
        [
            "tiers: (missing): a mapping from each tier's name to its parameters, with at least one tier. "
            "Works: {database: {}, streaming: {}}",
            "services: (missing): a mapping from each service's name to its `tier` and `size`; `{}` for none. "
            "Works: {postgres: {tier: database, size: 5Gi}}",
        ],
    ),
    "a parameter of another driver": (
        {"tiers": {"database": {"type": "gp3"}, "streaming": {}}},
        [
            'tiers.database.type: "gp3": unknown key; known here: kind, nodePath, pathPattern; a parameter of ebs and gce-pd; '
            "local-path ignores parameters that it doesn't know, without a word. Works: without `type`"
        ],
    ),
    "a tier whose name says no kind": (
        {"tiers": {"database": {}, "streaming": {}, "kafka": {}}},
        [
            "tiers.kafka.kind: (missing): what the tier is for: database or streaming; only the tiers `database` and `streaming` have it "
            "by their name. Works: database"
        ],
    ),
}


def refused(program: Program, *command: str) -> list[str]:
    """Run a pulumi command that must be refused by the settings, and return the problems that it names, a line each."""
    lines = program.refused(*command)
    assert in_state(program) <= {"pulumi:pulumi:Stack"}
    return lines


def in_state(program: Program) -> set[str]:
    return {resource["type"] for resource in program.state()["deployment"].get("resources", [])}


@pytest.mark.engine
@pytest.mark.parametrize("case", CASES)
def test_a_preview_says_exactly_what_is_wrong(case: str, program_factory: Callable[..., Program]) -> None:
    changes, problems = CASES[case]
    program = program_factory()
    program.configure(**changes)
    assert refused(program, "preview") == problems


@pytest.mark.engine
def test_names_never_collide(program_factory: Callable[..., Program]) -> None:
    """The engine refuses two resources of one URN; the names here are those that the program itself uses, and each other's."""
    names = ["cluster", "namespace", "canary", "destroy-guard", "data", "kafka", "kafka-0", "data-kafka-0", "dev"]
    program = program_factory()
    program.configure(
        tiers={name: {"kind": "database"} for name in names},
        services={name: {"tier": name, "size": "1Gi", "replicas": 2} for name in names},
        protect=None,
    )
    program.pulumi("preview")


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    """A kubeconfig with two contexts, on a cluster that doesn't answer; with a token, or the plugin would ask for a user name."""
    file = tmp_path / "kubeconfig"
    contexts = [{"name": name, "context": {"cluster": "c", "user": "u"}} for name in ("kind-dev", "production")]
    clusters = [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}]
    file.write_text(yaml.safe_dump({"contexts": contexts, "clusters": clusters, "users": [{"name": "u", "user": {"token": "none"}}]}))
    return file


@pytest.mark.engine
@pytest.mark.parametrize("command", [("preview",), ("up", "--yes", "--skip-preview")])
def test_a_context_that_does_not_exist(command: tuple[str, ...], kubeconfig: Path, program_factory: Callable[..., Program]) -> None:
    program = program_factory()
    program.variables["KUBECONFIG"] = str(kubeconfig)
    program.configure(cluster={"context": "kind-dve", "identifier": "a"})
    assert refused(program, *command) == [
        f'cluster.context: "kind-dve": no such context in the kubeconfig {kubeconfig}; there are: kind-dev, production. '
        "Works: kind-dev (`pulumi config set --path cluster.context kind-dev`)"
    ]
    program.pulumi("config", "set", "--path", "cluster.context", "kind-dev")  # what the message says
    program.pulumi("preview")


@pytest.mark.engine
def test_without_any_kubeconfig_a_preview_plans_and_an_up_is_refused(program_factory: Callable[..., Program]) -> None:
    program = program_factory()
    program.pulumi("preview")
    (problem,) = refused(program, "up", "--yes", "--skip-preview")
    assert problem.startswith('cluster.context: "storage-tiers-dev": no such context in the kubeconfig ')
    assert problem.endswith(
        "; there are: none. Works: the dev cluster: `make up`, then `. .dev/env`; or set KUBECONFIG to the file that has the context"
    )


@pytest.fixture
def cloud_node(core: client.CoreV1Api) -> Iterator[str]:
    """A node of AWS, as its controller manager would register it, in the throw-away cluster: no machine stands behind it."""
    name = "ip-10-0-0-1.eu-west-1.compute.internal"
    core.create_node({"metadata": {"name": name}, "spec": {"providerID": "aws:///eu-west-1a/i-0123456789abcdef0", "unschedulable": True}})
    yield name
    core.delete_node(name)


@pytest.mark.cluster
@pytest.mark.parametrize("command", [("preview",), ("up", "--yes", "--skip-preview")])
def test_local_path_on_the_nodes_of_a_cloud(
    command: tuple[str, ...], cloud_node: str, access: Access, program_factory: Callable[..., Program]
) -> None:
    program = program_factory(access=access)
    program.configure(cluster={"context": access.context, "identifier": access.context})
    assert refused(program, *command) == [
        f'cluster.context: "{access.context}": node {cloud_node} of this cluster belongs to AWS '
        "(providerID aws:///eu-west-1a/i-0123456789abcdef0), which replaces nodes together with their disks; local-path keeps all data on "
        "one node's own disk. Works: the context of a development cluster, such as storage-tiers-dev of `make up`"
    ]


@pytest.mark.cluster
def test_a_list_of_kubeconfigs_works_and_none_gets_into_the_state(
    access: Access, kubeconfig: Path, program_factory: Callable[..., Program], storage: client.StorageV1Api
) -> None:
    program = program_factory(access=access)
    program.variables["KUBECONFIG"] = f"{kubeconfig}:{access.kubeconfig}"
    program.configure(cluster={"context": access.context, "identifier": access.context}, services={}, canary={"enabled": False})
    program.up()
    assert [file for file in (kubeconfig, access.kubeconfig) if str(file) in str(program.state())] == []
    program.destroy()
