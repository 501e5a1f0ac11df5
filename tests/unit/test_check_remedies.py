"""What `check` says works is made with the code of `--fix`, and the error is gone afterwards."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, Finding, Numbered
from components.provisioners.lint.check import ClassReport, check_source
from components.provisioners.lint.fix import apply_remedy
from components.provisioners.lint.manifests import read_manifests
from components.provisioners.lint.mending import place_of
from components.provisioners.lint.nodes import Place
from components.provisioners.remedies import Advice, Either, Remedy

SEED = 20260
VALUES = [
    *(
        "",
        "true",
        "True",
        "yes",
        "false",
        "False",
        " true",
        "0",
        "1",
        "-1",
        "3000",
        "3000.0",
        "16,000",
        "16k",
        "250Mi",
        "1Gi",
        "100",
        "64000",
    ),
    *("1000000", "2147483648", "9223372036854775808", "many", "None", "Regional-PD", "zonal", "regional-pd", "xfs", "XFS", "btrfs", "a=b"),
    *(
        "Team=Data",
        "a=b,a=c",
        "a=b,C=d",
        "a=b=c",
        "gp3",
        "gp2",
        "io2",
        "st1",
        "pd-ssd",
        "PD-SSD",
        "hyperdisk-balanced",
        "hyperdisk-extreme",
    ),
    *(
        "dynamic",
        "alias/a",
        "projects/p/locations/l/keyRings/r/cryptoKeys/k",
        "/data",
        "data",
        "{{ .PVName }}",
        "claim={{ .Foo }}",
        "aws:a=b",
    ),
    *("writeback", "WriteThrough", "READ_ONLY_MANY", "projects/p/zones/europe-west1-b/storagePools/s", "a/b", "4096", "4 KiB"),
    *(3000, 1.5, True, False, None, ["a"], {"a": "b"}),
]
STRANGE_KEYS = [
    *("kmsKeyArn", "kms-key-id", "encryption", "Encrypt", "volumeType", "iopsPerGiB", "fileSystem", "reclaimPolicy", "volumeBindingMode"),
    *(
        "allowVolumeExpansion",
        "mountOptions",
        "allowedTopologies",
        "foo",
        "zone",
        "tags",
        "tagspecification_1",
        "throughputMbps",
        "diskType",
    ),
    *(
        "csi.storage.k8s.io/fsType",
        "CSI.storage.k8s.io/fstype",
        "csi.storage.k8s.io/pvc/name",
        "fsType",
        "replication",
        "label",
        "nodepath",
    ),
]
FIELDS: dict[str, list[Any]] = {
    "apiVersion": ["storage.k8s.io/v1beta1", "v1", 1, None],
    "reclaimPolicy": ["retain", "Recycle", "keep", 1, ["Retain"]],
    "volumeBindingMode": ["waitForFirstConsumer", "WaitForConsumer", "", "x"],
    "allowVolumeExpansion": ["true", "no", 1, {}],
    "mountOptions": ["noatime", "noatime,nodiratime", [1], [None], {"a": "b"}, ["ro"], [""], [" noatime", "ro"], ["nobarrier"]],
    "provisioner": ["", None, 1, "a b", " ebs.csi.aws.com "],
    "parameters": ["x", [], [{"type": "gp3"}]],
    "metadata": [
        None,
        "fast",
        {},
        {"name": "Fast_One"},
        {"name": 5},
        {"name": "a", "labels": {"a": 1, "b c": "d", "e": "f g"}},
        {"Name": "a"},
    ],
    "spec": [{}, "x"],
    "type": ["gp3"],
    "mountoptions": [["noatime"]],
    "name": ["fast"],
    "allowedTopologies": [
        "x",
        {"matchLabelExpressions": []},
        ["x"],
        [{"matchLabels": {"a": "b"}}],
        [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "In", "values": "eu-central-1a"}]}],
        [{"matchLabelExpressions": [{"key": "topology.gke.io/zone", "values": ["europe-west1-b", "eu-central-1a", "europe-west1-b"]}]}],
        [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["eu-central-1a", "us-east-1b", "x"]}]}],
        [{"matchLabelExpressions": [{"key": "a", "values": []}, {"values": ["b"]}, {"key": "c", "values": [1]}, 5]}],
        [{"matchLabelExpressions": [{"key": "a", "values": ["b"]}, {"key": "a", "values": ["c"]}]}] * 2,
    ],
}
SIZES = [Size.parse("5Gi"), Size.parse("2Ti")]


def faulty(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """As many classes of every provisioner, most of them with several faults."""
    chance = random.Random(seed)
    for _ in range(count):
        for provisioner in PROVISIONERS.values():
            keys = [key for key, codec in provisioner.codecs.items() if not isinstance(codec, Numbered)]
            keys += [f"{codec.prefix}_1" for codec in provisioner.codecs.values() if isinstance(codec, Numbered)]
            chosen = [*chance.sample(keys, min(len(keys), chance.randint(0, 4))), *chance.sample(STRANGE_KEYS, chance.randint(0, 2))]
            parameters = {key: chance.choice(VALUES) for key in chosen}
            document = {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": "a"},
                "provisioner": chance.choice(provisioner.drivers),
                "parameters": parameters,
                "reclaimPolicy": "Retain",
                "volumeBindingMode": "WaitForFirstConsumer",
            }
            if chance.random() < 0.4:
                field = chance.choice(list(FIELDS))
                document[field] = chance.choice(FIELDS[field])
            yield document


def reports(text: str, sizes: list[Size]) -> list[ClassReport]:
    return [check_source(source, sizes) for source in read_manifests(text).classes]


def errors_at(report: ClassReport, place: Place) -> list[Finding]:
    found = [each for each in report.findings if each.severity == "error" and not each.volume]
    return [each for each in found if place_of(report.manifest, each) == place]


def changes(remedy: Remedy) -> list[Remedy]:
    return [remedy.first, remedy.second] if isinstance(remedy, Either) else [remedy]


def left_of(report: ClassReport, finding: Finding, after: ClassReport) -> list[Finding]:
    """The errors at the same place afterwards; parts of a list move up when one goes."""
    place = place_of(report.manifest, finding)
    found = errors_at(after, place)
    in_list = any(isinstance(name, int) for name in place)
    return [each for each in found if (each.rule, each.value) == (finding.rule, finding.value)] if in_list else found


class Written(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """An edit where an alias leads would change more than its place, and isn't made."""
        return True


def written(document: dict[str, Any], *, flow: bool) -> str:
    return yaml.dump(document, Dumper=Written, default_flow_style=flow, sort_keys=False)


def check_all_remedies(document: dict[str, Any], sizes: list[Size], *, flow: bool) -> int:
    text = written(document, flow=flow)
    (report,) = reports(text, sizes)
    number = 0
    for finding in report.findings:
        remedy = report.remedy(finding)
        assert report.works(finding)
        if finding.volume or finding.severity != "error":
            continue  # the size of a claim is in no class
        assert not isinstance(remedy, Advice), (document, finding)
        for change in changes(remedy):
            mended = apply_remedy(text, report, finding, change)
            (after,) = reports(mended, sizes)
            left = left_of(report, finding, after)
            assert not left, (text, finding, change, mended, left)
            number += 1
    return number


@pytest.mark.faults
@pytest.mark.parametrize("flow", [False, True], ids=["block", "flow"])
def test_every_remedy_does_away_with_its_error(flow: bool, full: bool) -> None:
    number = 0
    for turn, document in enumerate(faulty(3000 if full else 60, SEED + flow)):
        number += check_all_remedies(document, SIZES[: turn % 3], flow=flow)
    assert number > 300
