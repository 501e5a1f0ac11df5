"""Classes of provisioners that Kubernetes once had built in, checked as CSI migration translates
them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.kube.quantity import Size
from components.provisioners.__main__ import main
from components.provisioners.base import FSTYPE
from components.provisioners.lint.check import check_class
from components.provisioners.lint.fix import fix
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.migration import PLUGINS, migrate
from components.provisioners.remedies import Replace
from tests.unit import test_check_remedies

EBS, GCE = "kubernetes.io/aws-ebs", "kubernetes.io/gce-pd"
BETA, ZONE = "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"
EBS_ZONE, GCE_ZONE = "topology.ebs.csi.aws.com/zone", "topology.gke.io/zone"
GOOD: dict[str, Any] = {"reclaim_policy": "Retain", "binding_mode": "WaitForFirstConsumer", "allow_volume_expansion": True}
ENCRYPTED = {"encrypted": "true"}


def report(provisioner: str, parameters: dict[str, Any], *sizes: str, **fields: Any) -> tuple[Replace, list[tuple[str, str, str]]]:
    """The class that replaces it, and (severity, where, what works) of every other finding."""
    found = check_class(StorageClassManifest("a", provisioner, parameters, **{**GOOD, **fields}), [Size.parse(size) for size in sizes])
    replaced = [each for each in found.findings if isinstance(each.remedy, Replace)]
    assert [(each.severity, found.where(each), found.value(each)) for each in replaced] == [
        ("warning", "provisioner", json.dumps(provisioner))
    ]
    assert found.provisioner and PLUGINS[provisioner].driver in found.provisioner.drivers
    assert PLUGINS[provisioner].driver in replaced[0].rule
    others = [each for each in found.findings if each not in replaced]
    remedy = replaced[0].remedy
    assert isinstance(remedy, Replace)
    return remedy, sorted((each.severity, found.where(each), found.works(each)) for each in others)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = {
    "EBS: as EKS once had it": (EBS, {"type": "gp2", "fsType": "ext4", **ENCRYPTED}, {}, [("warning", "parameters.type", "gp3")]),
    "EBS: a file system that there isn't": (EBS, {**ENCRYPTED, "fsType": "ext5"}, {}, [("error", "parameters.fsType", "ext4")]),
    "EBS: any case of fstype": (EBS, {**ENCRYPTED, "FSType": "XFS"}, {}, [("error", "parameters.FSType", "xfs")]),
    "EBS: the CSI driver's own key": (EBS, {**ENCRYPTED, FSTYPE: "xfs"}, {}, []),
    "EBS: a truth that the old plugin took": (EBS, {"encrypted": "True"}, {}, [("error", "parameters.encrypted", '"true"')]),
    "EBS: too few IOPS for its size are raised": (EBS, {**ENCRYPTED, "type": "io1", "iopsPerGB": "10"}, {}, []),
    "EBS: too many IOPS a GiB": (EBS, {**ENCRYPTED, "type": "io1", "iopsPerGB": "51"}, {}, [("error", "parameters.iopsPerGB", '"50"')]),
    "EBS: IOPS for gp2": (
        EBS,
        {**ENCRYPTED, "type": "gp2", "iopsPerGB": "10"},
        {},
        [("error", "parameters.iopsPerGB", "without `iopsPerGB`"), ("warning", "parameters.type", "gp3")],
    ),
    "EBS: an increase that is off": (
        EBS,
        {**ENCRYPTED, "type": "io1", "iopsPerGB": "50", "allowAutoIOPSPerGBIncrease": "false"},
        {},
        [("error", "parameters.allowAutoIOPSPerGBIncrease", "without `allowAutoIOPSPerGBIncrease`")],
    ),
    "EBS: an increase that is on": (
        EBS,
        {**ENCRYPTED, "type": "io1", "iopsPerGB": "50", "allowAutoIOPSPerGBIncrease": "true"},
        {},
        [],
    ),
    "EBS: an unknown key": (EBS, {**ENCRYPTED, "foo": "x"}, {}, [("error", "parameters.foo", "without `foo`")]),
    "EBS: a zone": (EBS, {**ENCRYPTED, "zone": "eu-west-1a"}, {}, []),
    "EBS: zones": (EBS, {**ENCRYPTED, "zones": "eu-west-1a,eu-west-1b"}, {}, []),
    "EBS: blanks after commas": (
        EBS,
        {**ENCRYPTED, "zones": "eu-west-1a, eu-west-1b"},
        {},
        [("error", "parameters.zones", "eu-west-1a,eu-west-1b")],
    ),
    "EBS: a zone twice": (EBS, {**ENCRYPTED, "Zones": "eu-west-1a,eu-west-1a"}, {}, []),
    "EBS: several in one": (
        EBS,
        {**ENCRYPTED, "zone": "eu-west-1a, eu-west-1b"},
        {},
        [("error", "parameters.zone", "zones: eu-west-1a,eu-west-1b")],
    ),
    "EBS: no zone": (EBS, {**ENCRYPTED, "zone": "europe-west1-b"}, {}, [("error", "parameters.zone", "eu-central-1a")]),
    "EBS: zone and zones": (
        EBS,
        {**ENCRYPTED, "zone": "eu-west-1a", "zones": "eu-west-1b"},
        {},
        [("error", "parameters.zones", "without `zones`")],
    ),
    "EBS: two keys for the file system": (
        EBS,
        {**ENCRYPTED, "fstype": "xfs", "fsType": "ext4"},
        {},
        [("error", "parameters.fsType", "without `fsType`")],
    ),
    "EBS: zones and topologies": (
        EBS,
        {**ENCRYPTED, "zone": "eu-west-1a"},
        {"topologies": [(ZONE, ["eu-west-1a"])]},
        [("error", "parameters.zone", "without `zone`")],
    ),
    "EBS: topologies of both labels": (EBS, ENCRYPTED, {"topologies": [(BETA, ["eu-west-1a"]), (ZONE, ["eu-west-1a"])]}, []),
    "EBS: a label that no node has": (
        EBS,
        ENCRYPTED,
        {"topologies": [("failure-domain.beta.kubernetes.io/region", ["eu-west-1"])]},
        [("error", "allowedTopologies", ZONE)],
    ),
    "GCE: as GKE once had it": (GCE, {"type": "pd-ssd", "fstype": "ext4"}, {}, []),
    "GCE: a bare fstype is none any more": (GCE, {"type": "pd-ssd", "fsType": "XFS"}, {}, [("error", "parameters.fsType", "xfs")]),
    "GCE: a type of EBS": (GCE, {"type": "gp2"}, {}, [("error", "parameters.type", "pd-balanced")]),
    "GCE: iopsPerGB is nothing here": (
        GCE,
        {"type": "pd-ssd", "iopsPerGB": "10"},
        {},
        [("error", "parameters.iopsPerGB", "without `iopsPerGB`")],
    ),
    "GCE: a zone": (GCE, {"type": "pd-ssd", "zone": "europe-west1-b", "replication-type": "none"}, {}, []),
    "GCE: a region's disk": (GCE, {"type": "pd-ssd", "zones": "europe-west1-b,europe-west1-c", "replication-type": "regional-pd"}, {}, []),
    "GCE: a label that GKE's driver wouldn't read": (GCE, {"type": "pd-ssd"}, {"topologies": [(ZONE, ["europe-west1-b"])]}, []),
}


@pytest.mark.parametrize("case", CASES)
def test_a_class(case: str) -> None:
    provisioner, parameters, fields, expected = CASES[case]
    assert report(provisioner, parameters, "5Gi" if provisioner == EBS else "200Gi", **fields)[1] == sorted(expected)


def test_what_is_no_string_is_an_error_at_its_key() -> None:
    _, found = report(GCE, {"type": "pd-ssd", "fstype": 4})
    assert set(found) == {("error", "parameters.fstype", "ext4")}


@pytest.mark.parametrize(
    ("provisioner", "parameters", "topologies", "expected"),
    [
        (
            EBS,
            {"type": "io1", "iopsPerGB": "50", "fsType": "xfs", "zones": "eu-west-1a, eu-west-1b"},
            [],
            Replace(
                "ebs.csi.aws.com",
                {"type": "io1", "iopsPerGB": "50", "allowAutoIOPSPerGBIncrease": "true", FSTYPE: "xfs"},
                [(EBS_ZONE, ["eu-west-1a", "eu-west-1b"])],
            ),
        ),
        (EBS, {}, [(BETA, ["eu-west-1a"])], Replace("ebs.csi.aws.com", {}, [(EBS_ZONE, ["eu-west-1a"])])),
        (
            GCE,
            {"type": "pd-ssd", "fstype": "ext4", "zone": "europe-west1-b"},
            [],
            Replace("pd.csi.storage.gke.io", {"type": "pd-ssd", FSTYPE: "ext4"}, [(GCE_ZONE, ["europe-west1-b"])]),
        ),
        (GCE, {}, [("x", ["a"])], Replace("pd.csi.storage.gke.io", {}, [("x", ["a"])])),
    ],
)
def test_the_class_that_replaces_it(provisioner: str, parameters: dict[str, Any], topologies: list[Any], expected: Replace) -> None:
    replaced, _ = report(provisioner, parameters, topologies=topologies)
    assert replaced == expected
    # Its words are a class: as good as the translated one, by the rules of its own driver.
    written = yaml.safe_load(f"{{{replaced.text}}}")
    expressions = [each for term in written.get("allowedTopologies", []) for each in term["matchLabelExpressions"]]
    again = StorageClassManifest(
        "a",
        written["provisioner"],
        written.get("parameters", {}),
        **GOOD,
        topologies=[(each["key"], each["values"]) for each in expressions],
    )
    translated = migrate(StorageClassManifest("a", provisioner, parameters, **GOOD, topologies=topologies))
    assert translated
    assert again.parameters == expected.parameters
    errors = [each for each in check_class(again, []).findings if each.severity == "error"]
    assert all(each.path == "allowedTopologies" for each in errors), errors


OLD = """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: old  # nobody remembers
provisioner: kubernetes.io/aws-ebs
parameters:
  type: io1
  iopsPerGB: "50"  # as many as there are
  fsType: xfs  # for Kafka
  zones: eu-west-1a, eu-west-1b
  encrypted: "True"
reclaimPolicy: Retain
volumeBindingMode: WaitForFirstConsumer
allowVolumeExpansion: true
"""


def test_fix_prints_the_class_that_replaces_it() -> None:
    fixed = fix(OLD, [])
    assert fixed.text.startswith(
        """\
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: old  # nobody remembers
provisioner: ebs.csi.aws.com
parameters:
  type: io1
  iopsPerGB: "50"  # as many as there are
  csi.storage.k8s.io/fstype: xfs  # for Kafka
"""
    )
    document = yaml.safe_load(fixed.text)
    assert document["parameters"] == {
        "type": "io1",
        "iopsPerGB": "50",
        "allowAutoIOPSPerGBIncrease": "true",
        FSTYPE: "xfs",
        "encrypted": "true",
    }
    assert document["allowedTopologies"] == [{"matchLabelExpressions": [{"key": EBS_ZONE, "values": ["eu-west-1a", "eu-west-1b"]}]}]
    assert any("provisioner" in change and "ebs.csi.aws.com" in change for change in fixed.changes)
    assert [each.findings for each in fixed.reports] == [[]]


def test_fix_keeps_the_terms_of_topologies() -> None:
    expressions = [{"key": BETA, "values": ["europe-west1-b"]}], [{"key": GCE_ZONE, "values": ["europe-west1-c"]}]
    terms = [{"matchLabelExpressions": each} for each in expressions]
    document = {**yaml.safe_load(OLD), "provisioner": GCE, "parameters": {"type": "pd-ssd", "FSType": "ext4"}, "allowedTopologies": terms}
    new = yaml.safe_load(fix(yaml.safe_dump(document), []).text)
    assert new["provisioner"] == "pd.csi.storage.gke.io"
    assert new["parameters"] == {"type": "pd-ssd", FSTYPE: "ext4"}
    assert [each["matchLabelExpressions"][0]["key"] for each in new["allowedTopologies"]] == [GCE_ZONE, GCE_ZONE]


def faulty(number: int) -> Iterator[dict[str, Any]]:
    """Seeded classes of both provisioners, most of them with several faults."""
    chance = random.Random(3)
    keys = (
        *("fstype", "fsType", "FSType", FSTYPE, "zone", "zones", "Zones", "iopsPerGB", "allowAutoIOPSPerGBIncrease", "type", "encrypted"),
        *("allowautoiopspergbincrease", "kmsKeyId", "replication-type", "labels", "foo", "fstyp", "kmsKeyArn"),
    )
    values = (
        *(
            "",
            "true",
            "True",
            "gp2",
            "io1",
            "gp3",
            "pd-ssd",
            "ext4",
            "EXT4",
            "ntfs",
            "x",
            "50",
            "1000",
            "regional-pd",
            "none",
            "a=b",
            3000,
            True,
        ),
        *(
            "eu-west-1a",
            "eu-west-1a, eu-west-1b",
            "eu-west-1a,us-east-1b,us-east-1a",
            "europe-west1-b",
            "europe-west1-b,europe-west1-c ",
            ["a"],
        ),
    )
    for _ in range(number):
        document = {**yaml.safe_load(OLD), "provisioner": chance.choice(list(PLUGINS))}
        document["parameters"] = {chance.choice(keys): chance.choice(values) for _ in range(chance.randint(0, 5))}
        if chance.random() < 0.3:
            zones = chance.choice((["eu-west-1a"], ["europe-west1-b", "x"], ["eu-west-1a", "us-east-1b"]))
            key = chance.choice((BETA, ZONE, EBS_ZONE, GCE_ZONE, "x"))
            document["allowedTopologies"] = [{"matchLabelExpressions": [{"key": key, "values": zones}]}]
        yield document


@pytest.mark.faults
def test_every_remedy_does_away_with_its_error(full: bool) -> None:
    made = sum(
        test_check_remedies.check_all_remedies(document, [Size.parse("10Gi")][: turn % 2], flow=False)
        for turn, document in enumerate(faulty(3_000 if full else 100))
    )
    assert made > 100


@pytest.mark.parametrize("zone", ["eu-west-{}a", " x{}"])
def test_ever_so_many_zones_are_one_finding_of_each_kind(zone: str) -> None:
    zones = ",".join(zone.format(number) for number in range(15_000))
    _, found = report(EBS, {**ENCRYPTED, "zones": zones})
    assert [(severity, where) for severity, where, _ in found] == [("error", "parameters.zones")]


def test_other_provisioners_of_old_are_left_alone() -> None:
    assert migrate(StorageClassManifest("a", "kubernetes.io/azure-disk")) is None
    assert check_class(StorageClassManifest("a", "kubernetes.io/azure-disk"), []).provisioner is None


def test_the_command_names_the_driver_and_the_class() -> None:
    text = yaml.safe_dump(
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": "gp2"},
            "provisioner": EBS,
            "parameters": {"type": "gp2", "fsType": "ext4", "encrypted": "True"},
        },
        sort_keys=False,
    )
    done = CliRunner().invoke(main, ["check", "-", "--json"], input=text)
    assert done.exit_code == 1, done.output
    findings = json.loads(done.stdout)["classes"][0]["findings"]
    works = next(each["works"] for each in findings if each["path"] == "provisioner")
    assert works == f'provisioner: ebs.csi.aws.com, parameters: {{type: "gp2", {FSTYPE}: "ext4", encrypted: "True"}}'
    assert [each["path"] for each in findings if each["severity"] == "error"] == ["parameters.encrypted"]
