"""migration.py against k8s.io/csi-translation-lib: the same class comes out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from components.provisioners.manifest import StorageClassManifest
from components.provisioners.migration import PLUGINS, MigrationError, migrate, translate
from tests.oracles import ask

pytestmark = [pytest.mark.engine, pytest.mark.faults]

KEYS = (
    *(
        "type",
        "Type",
        "fstype",
        "fsType",
        "FSTYPE",
        "csi.storage.k8s.io/fstype",
        "zone",
        "Zone",
        "zones",
        "ZONES",
        "iopsPerGB",
        "iopspergb",
    ),
    *("allowAutoIOPSPerGBIncrease", "allowautoiopspergbincrease", "encrypted", "kmsKeyId", "replication-type", "iops", "unknown", "zone "),
)
VALUES = (
    "",
    "gp2",
    "pd-ssd",
    "ext4",
    "us-east-1a",
    "us-east-1a,us-east-1b",
    " us-east-1a, us-east-1b,",
    ",",
    "50",
    "true",
    "false",
    "none",
)
TOPOLOGY_KEYS = (
    *("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone", "topology.gke.io/zone", "topology.ebs.csi.aws.com/zone"),
    *("topology.kubernetes.io/region", "x"),
)


def made_up(number: int) -> list[StorageClassManifest]:
    """Seeded classes of both provisioners, some with topologies, some of several terms."""
    chance = random.Random(5)
    found = []
    for _ in range(number):
        parameters = {chance.choice(KEYS): chance.choice(VALUES) for _ in range(chance.randint(0, 5))}
        topologies = [
            (chance.choice(TOPOLOGY_KEYS), [chance.choice(VALUES) for _ in range(chance.randint(0, 2))])
            for _ in range(chance.choice((0, 0, 1, 3)))
        ]
        found.append(StorageClassManifest("a", chance.choice(list(PLUGINS)), parameters, topologies=topologies))
    return found


def as_written(manifest: StorageClassManifest, number: int) -> dict[str, Any]:
    """The class for Kubernetes: its topologies are in one term, or each in one of its own."""
    expressions = [{"key": key, "values": list(values)} for key, values in manifest.topologies]
    terms = [[each] for each in expressions] if number % 2 else [expressions] if expressions else []
    return {
        "metadata": {"name": manifest.name},
        "provisioner": manifest.provisioner,
        "parameters": dict(manifest.parameters),
        "allowedTopologies": [{"matchLabelExpressions": term} for term in terms],
    }


def ours(manifest: StorageClassManifest) -> dict[str, Any] | None:
    try:
        translated, topologies = translate(manifest.provisioner, manifest.parameters, manifest.topologies)
    except MigrationError:
        return None
    expressions = [{"key": key, "values": values} for key, values in topologies]
    return {"refused": "", "driver": PLUGINS[manifest.provisioner].driver, "parameters": translated, "expressions": expressions}


def without_increase(parameters: Mapping[str, object]) -> dict[str, object]:
    """The parameters without the one that may be there twice, once in each case: both are true."""
    return {key: value for key, value in parameters.items() if key.lower() != "allowautoiopspergbincrease"}


def test_the_same_class_comes_out(full: bool) -> None:
    manifests = made_up(20_000 if full else 500)
    told = ask("csi-translation", [as_written(manifest, number) for number, manifest in enumerate(manifests)])
    refused = left_to_chance = 0
    for manifest, results in zip(manifests, told, strict=True):
        migration = migrate(manifest)
        assert migration
        said = [each.rule for each in migration.findings if each.severity == "error"]
        chance = any("left to chance" in each for each in said)
        assert chance or len(results) == 1, manifest
        assert chance or ours(manifest) in [None if each["refused"] else each for each in results], (manifest, results)
        assert any("refuses" in each for each in said) is (results[0]["refused"] != ""), (manifest, results)
        refused += results[0]["refused"] != ""
        left_to_chance += len(results) > 1
        if not said:
            assert without_increase(migration.manifest.parameters) == without_increase(results[0]["parameters"])
            assert [(each["key"], each["values"]) for each in results[0]["expressions"]] == list(migration.manifest.topologies)
    assert min(refused, left_to_chance, len(manifests) - refused - left_to_chance) > len(manifests) // 50
