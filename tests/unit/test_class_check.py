"""`python -m components.provisioners check`: StorageClasses of any origin, read as the driver reads
them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, RequestedVolume, of_driver
from components.provisioners.__main__ import main
from components.provisioners.base import FSTYPE
from components.provisioners.codecs import Count, GiB, Int32, MiB, Misread, parse_quantity
from components.provisioners.ebs.parameters import EXAMPLE_KEY
from components.provisioners.gce_pd.parameters import EXAMPLE_KEY as CLOUD_KEY
from components.provisioners.gce_pd.parameters import EXAMPLE_POOL
from components.provisioners.lint.check import check_class
from components.provisioners.lint.manifests import ManifestError, read_manifests
from components.provisioners.lint.reading import read_class
from components.provisioners.manifest import StorageClassManifest
from tests.unit import test_ebs, test_gce_pd
from tests.unit.mocked_program import ROOT

GOOD: dict[str, Any] = {"reclaim_policy": "Retain", "binding_mode": "WaitForFirstConsumer", "allow_volume_expansion": True}
DRIVERS = {"ebs": "ebs.csi.aws.com", "gce-pd": "pd.csi.storage.gke.io", "local-path": "rancher.io/local-path"}


def found(provisioner: str, parameters: dict[str, Any], *sizes: str, **fields: Any) -> list[tuple[str, str, str]]:
    """(severity, where, what works) of a class that is good but for what is given."""
    default = {**GOOD, "annotations": {"defaultVolumeType": "local"}}
    if provisioner == "local-path":
        default["allow_volume_expansion"] = False
    manifest = StorageClassManifest("a", DRIVERS.get(provisioner, provisioner), parameters, **{**default, **fields})
    report = check_class(manifest, [Size.parse(size) for size in sizes])
    assert all(each.rule for each in report.findings)
    return sorted((each.severity, report.where(each), report.works(each)) for each in report.findings)


UNSAFE_PATTERN = "{{ .PVC.Namespace }}-{{ .PVC.Name }}"
SAFE_PATTERN = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVName }}"
ENCRYPTED = {"encrypted": "true"}
NOT_ENCRYPTED = ("warning", "parameters.encrypted", '"true"')
CONFIDENTIAL = f'"true", with `disk-encryption-kms-key: {CLOUD_KEY}`, with `type: hyperdisk-balanced`'
SLOW = ("warning", "parameters.type", "pd-balanced")

HYPERDISK = {"type": "hyperdisk-balanced"}

RAW: dict[str, tuple[str, dict[str, Any], list[tuple[str, str, str]]]] = {
    # EBS: the strings as the driver parses them
    "ebs: nothing but the driver's defaults": ("ebs", {}, [NOT_ENCRYPTED]),
    "ebs: good": ("ebs", {"type": "gp3", **ENCRYPTED, FSTYPE: "xfs", "tagSpecification_1": "a=b"}, []),
    "ebs: any case of a key": ("ebs", {"TYPE": "gp3", "Encrypted": "true", "IOPS": "3000", "kmskeyid": EXAMPLE_KEY}, []),
    "ebs: True": ("ebs", {"encrypted": "True"}, [("error", "parameters.encrypted", '"true"')]),
    "ebs: yes": ("ebs", {"encrypted": "yes"}, [("error", "parameters.encrypted", '"true"')]),
    "ebs: False": ("ebs", {"encrypted": "False"}, [("warning", "parameters.encrypted", '"false"')]),
    "ebs: no": (
        "ebs",
        {**ENCRYPTED, "allowAutoIOPSPerGBIncrease": "No"},
        [("warning", "parameters.allowAutoIOPSPerGBIncrease", '"false"')],
    ),
    "ebs: neither": ("ebs", {"encrypted": "maybe"}, [("error", "parameters.encrypted", '"false"')]),
    "ebs: True with a key": ("ebs", {"encrypted": "True", "kmskeyid": EXAMPLE_KEY}, [("warning", "parameters.encrypted", '"true"')]),
    "ebs: False with a key": ("ebs", {"encrypted": "False", "kmsKeyId": EXAMPLE_KEY}, [("error", "parameters.encrypted", '"true"')]),
    "ebs: many digits": ("ebs", {**ENCRYPTED, "iops": "0" * 40 + "3000"}, []),
    "ebs: past 64 bits": ("ebs", {**ENCRYPTED, "iops": "9" * 40}, [("error", "parameters.iops", '"3000"')]),
    "ebs: an empty number": ("ebs", {**ENCRYPTED, "iops": ""}, [("error", "parameters.iops", '"3000"')]),
    "ebs: a reserved key in another case": (
        "ebs",
        {**ENCRYPTED, "CSI.storage.k8s.io/fstype": "xfs"},
        [("error", "parameters.CSI.storage.k8s.io/fstype", f"{FSTYPE}: xfs")],
    ),
    "ebs: both keys, one empty": (
        "ebs",
        {**ENCRYPTED, "fsType": "", FSTYPE: "xfs"},
        [("error", "parameters.fsType", "without `fsType`")],
    ),
    "ebs: both keys empty": ("ebs", {**ENCRYPTED, "fstype": "", FSTYPE: ""}, [("error", "parameters.fstype", "without `fstype`")]),
    "ebs: a tag's template": (
        "ebs",
        {**ENCRYPTED, "tagSpecification_1": "id={{ .PVCName | lower }}"},
        [("error", "parameters.tagSpecification_1", "id={{ .PVCName }}")],
    ),
    "ebs: a space": ("ebs", {"encrypted": " true"}, [("error", "parameters.encrypted", '"true"')]),
    "ebs: an empty truth": ("ebs", {"encrypted": ""}, [NOT_ENCRYPTED]),
    "ebs: empty texts are as good as none": ("ebs", {**ENCRYPTED, "type": "", "kmsKeyId": "", FSTYPE: "", "blockSize": ""}, []),
    "ebs: a fraction": ("ebs", {**ENCRYPTED, "iops": "3000.0"}, [("error", "parameters.iops", '"3000"')]),
    "ebs: a unit": ("ebs", {**ENCRYPTED, "throughput": "250Mi"}, [("error", "parameters.throughput", '"250"')]),
    "ebs: a thousands separator": ("ebs", {**ENCRYPTED, "iops": "16,000"}, [("error", "parameters.iops", '"16000"')]),
    "ebs: 32 bits": ("ebs", {**ENCRYPTED, "iops": "2147483647"}, [("error", "parameters.iops", '"80000"')]),
    "ebs: more than 32 bits": ("ebs", {**ENCRYPTED, "iops": "2147483648"}, [("error", "parameters.iops", '"3000"')]),
    "ebs: a sign": ("ebs", {**ENCRYPTED, "iops": "+3000"}, []),
    "ebs: no string": ("ebs", {"encrypted": True}, [("error", "parameters.encrypted", '"true"')]),
    "ebs: a number that is no string": ("ebs", {**ENCRYPTED, "iops": 3000}, [("error", "parameters.iops", '"3000"')]),
    "ebs: a number that is no string, and too high": (
        "ebs",
        {**ENCRYPTED, "iops": 80001},
        [("error", "parameters.iops", '"3000"'), ("error", "parameters.iops", '"80000"')],
    ),
    "ebs: unknown": ("ebs", {**ENCRYPTED, "foo": "x"}, [("error", "parameters.foo", "without `foo`")]),
    "ebs: a typing mistake": ("ebs", {**ENCRYPTED, "iopsPerGi": "50"}, [("error", "parameters.iopsPerGi", 'iopsPerGB: "50"')]),
    "ebs: of gce-pd": (
        "ebs",
        {**ENCRYPTED, "replication-type": "none"},
        [("error", "parameters.replication-type", "without `replication-type`")],
    ),
    "ebs: of local-path": ("ebs", {**ENCRYPTED, "nodePath": "/a"}, [("error", "parameters.nodePath", "without `nodePath`")]),
    "ebs: two cases of one key": (
        "ebs",
        {**ENCRYPTED, "iops": "3000", "IOPS": "4000"},
        [("error", "parameters.IOPS", "without `IOPS`")],
    ),
    "ebs: the tags' prefix in another case": (
        "ebs",
        {**ENCRYPTED, "tagspecification_1": "a=b"},
        [("error", "parameters.tagspecification_1", "tagSpecification_1: a=b")],
    ),
    "ebs: a bare fstype": ("ebs", {**ENCRYPTED, "fsType": "xfs"}, [("warning", "parameters.fstype", f"{FSTYPE}: xfs")]),
    "ebs: both keys": (
        "ebs",
        {**ENCRYPTED, "fstype": "xfs", FSTYPE: "xfs"},
        [("error", "parameters.fstype", f"{FSTYPE}: xfs, without `fstype`")],
    ),
    "ebs: the reserved key in another case": (
        "ebs",
        {**ENCRYPTED, "csi.storage.k8s.io/fsType": "xfs"},
        [("error", "parameters.csi.storage.k8s.io/fsType", f"{FSTYPE}: xfs")],
    ),
    "ebs: what the provisioner injects": (
        "ebs",
        {**ENCRYPTED, "csi.storage.k8s.io/pvc/name": "x"},
        [("error", "parameters.csi.storage.k8s.io/pvc/name", "without `csi.storage.k8s.io/pvc/name`")],
    ),
    "ebs: a secret": (
        "ebs",
        {**ENCRYPTED, "csi.storage.k8s.io/node-stage-secret-name": "x"},
        [("warning", "parameters.csi.storage.k8s.io/node-stage-secret-name", "without `csi.storage.k8s.io/node-stage-secret-name`")],
    ),
    # GCE PD
    "gce-pd: nothing but the driver's defaults": ("gce-pd", {}, [SLOW]),
    "gce-pd: the type in any case": ("gce-pd", {"Type": "PD-SSD", "Replication-Type": "Regional-PD"}, []),
    "gce-pd: a bare fstype": ("gce-pd", {"type": "pd-ssd", "fstype": "ext4"}, [("error", "parameters.fstype", f"{FSTYPE}: ext4")]),
    "gce-pd: throughput in bytes": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "250"},
        [("error", "parameters.provisioned-throughput-on-create", "250Mi")],
    ),
    "gce-pd: throughput in Mi": ("gce-pd", {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "250Mi"}, []),
    "gce-pd: throughput in Gi": ("gce-pd", {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "1Gi"}, []),
    "gce-pd: throughput below": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "100Mi"},
        [("error", "parameters.provisioned-throughput-on-create", '"140Mi"')],
    ),
    "gce-pd: throughput, negative": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "-250Mi"},
        [("error", "parameters.provisioned-throughput-on-create", '"140Mi"')],
    ),
    "gce-pd: iops as a quantity": ("gce-pd", {"type": "hyperdisk-balanced", "provisioned-iops-on-create": "3k"}, []),
    "gce-pd: iops, no quantity": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "provisioned-iops-on-create": "many"},
        [("error", "parameters.provisioned-iops-on-create", '"3000"')],
    ),
    "gce-pd: True": ("gce-pd", {"type": "pd-ssd", "enable-confidential-storage": "False"}, []),
    "gce-pd: yes": (
        "gce-pd",
        {"type": "pd-ssd", "enable-confidential-storage": "yes"},
        [("error", "parameters.enable-confidential-storage", CONFIDENTIAL)],
    ),
    "gce-pd: labels": ("gce-pd", {"type": "pd-ssd", "labels": "team=data, env = test"}, []),
    "gce-pd: labels with two equals signs": (
        "gce-pd",
        {"type": "pd-ssd", "labels": "team=data=x"},
        [("error", "parameters.labels", "team=data,env=production")],
    ),
    "gce-pd: a label twice": (
        "gce-pd",
        {"type": "pd-ssd", "labels": "a=b,a=c,d=e"},
        [("error", "parameters.labels", "a=c,d=e")],
    ),
    "gce-pd: an empty availability": (
        "gce-pd",
        {"type": "pd-ssd", "availability-class": ""},
        [("error", "parameters.availability-class", "none")],
    ),
    "gce-pd: the README's spelling": (
        "gce-pd",
        {"type": "pd-ssd", "use-allowed-disk-topologies": "true"},
        [("error", "parameters.use-allowed-disk-topologies", 'use-allowed-disk-topology: "true"')],
    ),
    "gce-pd: a key that is looked up in lower case": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "enable-confidential-storage": "true", "Disk-Encryption-KMS-Key": CLOUD_KEY},
        [("error", "parameters.Disk-Encryption-KMS-Key", f"disk-encryption-kms-key: {CLOUD_KEY}")],
    ),
    "gce-pd: an old secret": (
        "gce-pd",
        {"type": "pd-ssd", "csiProvisionerSecretName": "x"},
        [("warning", "parameters.csiProvisionerSecretName", "without `csiProvisionerSecretName`")],
    ),
    "gce-pd: a reserved key in another case": (
        "gce-pd",
        {"type": "pd-ssd", "CSI.storage.k8s.io/fstype": "xfs"},
        [("error", "parameters.CSI.storage.k8s.io/fstype", f"{FSTYPE}: xfs")],
    ),
    "gce-pd: secrets of newer sidecars": (
        "gce-pd",
        {"type": "pd-ssd", "csi.storage.k8s.io/secret-name": "x", "csi.storage.k8s.io/controller-modify-secret-name": "x"},
        [
            ("warning", f"parameters.csi.storage.k8s.io/{key}", f"without `csi.storage.k8s.io/{key}`")
            for key in ("controller-modify-secret-name", "secret-name")
        ],
    ),
    **{
        f"gce-pd: an empty {key}": ("gce-pd", {"type": "pd-ssd", key: ""}, [("error", f"parameters.{key}", works)])
        for key, works in {
            "data-cache-mode": "writethrough, with `data-cache-size: 100Gi`",
            "hyperdisk-type": "without `hyperdisk-type`",
            "enable-confidential-storage": '"false"',
        }.items()
    },
    "gce-pd: empty pools": (
        "gce-pd",
        {"type": "hyperdisk-balanced", "storage-pools": ""},
        [("error", "parameters.storage-pools", EXAMPLE_POOL)],
    ),
    "gce-pd: empty texts are as good as none": (
        "gce-pd",
        {"type": "pd-ssd", "replication-type": "", "labels": "", "resource-tags": "", "disk-encryption-kms-key": "", FSTYPE: ""},
        [],
    ),
    "gce-pd: a throughput that is rounded": (
        "gce-pd",
        {**HYPERDISK, "provisioned-throughput-on-create": "250M"},
        [("warning", "parameters.provisioned-throughput-on-create", "239Mi")],
    ),
    "gce-pd: iops that are rounded": (
        "gce-pd",
        {**HYPERDISK, "provisioned-iops-on-create": "3.0005k"},
        [("warning", "parameters.provisioned-iops-on-create", '"3001"')],
    ),
    "gce-pd: more than 64 bits": (
        "gce-pd",
        {**HYPERDISK, "provisioned-iops-on-create": "9223372036854775807"},
        [("error", "parameters.provisioned-iops-on-create", '"3000"')],
    ),
    "gce-pd: a cache in bytes": (
        "gce-pd",
        {"type": "pd-ssd", "data-cache-size": "100", "data-cache-mode": "writethrough"},
        [("error", "parameters.data-cache-size", "100Gi")],
    ),
    "gce-pd: a cache without its size": (
        "gce-pd",
        {"type": "pd-ssd", "data-cache-mode": "writethrough"},
        [("error", "parameters.data-cache-mode", "with `data-cache-size: 100Gi`")],
    ),
    "gce-pd: a cache whose size is looked up in lower case": (
        "gce-pd",
        {"type": "pd-ssd", "Data-Cache-Size": "100Gi"},
        [
            ("error", "parameters.Data-Cache-Size", "data-cache-size: 100Gi"),
            ("warning", "parameters.data-cache-size", "without `data-cache-size`"),
        ],
    ),
    "gce-pd: a truth that is ignored": (
        "gce-pd",
        {"type": "pd-ssd", "use-allowed-disk-topology": "yes"},
        [("error", "parameters.use-allowed-disk-topology", '"true"')],
    ),
    "gce-pd: the type of a dynamic class in another case": (
        "gce-pd",
        {"Type": "dynamic"},
        [("warning", "parameters.type", "hyperdisk-balanced")],
    ),
    "gce-pd: what needs that type in lower case": (
        "gce-pd",
        {"Type": "dynamic", "pd-type": "pd-ssd"},
        [("error", "parameters.Type", "type: dynamic"), ("warning", "parameters.type", "hyperdisk-balanced")],
    ),
    "gce-pd: of ebs": ("gce-pd", {"type": "gp3"}, [("error", "parameters.type", "pd-balanced")]),
    # local-path
    "local-path: nothing": ("local-path", {}, []),
    "local-path: its own": ("local-path", {"nodePath": "/data"}, []),
    "local-path: a relative path": ("local-path", {"nodePath": "data"}, [("error", "parameters.nodePath", "/var/local-path-provisioner")]),
    "local-path: another path pattern": (
        "local-path",
        {"pathPattern": UNSAFE_PATTERN},
        [("error", "parameters.pathPattern", SAFE_PATTERN)],
    ),
    "local-path: another path pattern, opted out": (
        "local-path",
        {"pathPattern": UNSAFE_PATTERN, "allowUnsafePathPattern": "true"},
        [
            ("warning", "parameters.allowUnsafePathPattern", "without `allowUnsafePathPattern`"),
            ("warning", "parameters.pathPattern", SAFE_PATTERN),
        ],
    ),
    "local-path: no template, opted out": (
        "local-path",
        {"pathPattern": "{{ .PVName", "allowUnsafePathPattern": "true"},
        [
            ("error", "parameters.pathPattern", SAFE_PATTERN),
            ("warning", "parameters.allowUnsafePathPattern", "without `allowUnsafePathPattern`"),
        ],
    ),
    **{
        f"local-path: {pattern}": ("local-path", {"pathPattern": pattern}, [])
        for pattern in (
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/",
            "{{.PVC.Namespace}}/{{.PVC.Name}}/{{.PVName}}",
            "{{- .PVC.Namespace -}} / {{- $.PVC.Name }}/a//b",
            "{{/* a note */}}{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVC.Labels.team }}",
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ if .PVC.Labels.team }}a{{ else }}b{{ end }}",
        )
    },
    **{
        f"local-path: {pattern}": ("local-path", {"pathPattern": pattern}, [("error", "parameters.pathPattern", SAFE_PATTERN)])
        for pattern in (
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}",
            "{{ .PVC.Name }}/{{ .PVC.Namespace }}/",
            "/{{ .PVC.Namespace }}/{{ .PVC.Name }}/",
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ .PVC.Nam }}",
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ upper .PVName }}",
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/{{ if .PVName }}a",
            "{{ .PVC.Namespace }}/{{ .PVC.Name }}/../{{ .PVName }}",
            "{{ .PVC.Namespace }}-{{ .PVC.Name }}/x/{{ printf `%s` .PVName }}",
            "",
        )
    },
    **{
        f"local-path: {pattern}": ("local-path", {"pathPattern": pattern}, [("warning", "parameters.pathPattern", SAFE_PATTERN)])
        for pattern in (
            "prod/{{ .PVC.Name }}/",
            '{{ printf "%s/%s/" .PVC.Namespace .PVC.Name }}',
            "{{ if .PVName }}{{ .PVC.Namespace }}{{ end }}/a/",
        )
    },
    "local-path: a path with a slash at its end": ("local-path", {"nodePath": "/data//x/"}, [("error", "parameters.nodePath", "/data/x")]),
    "local-path: another case": ("local-path", {"nodepath": "/data"}, [("error", "parameters.nodepath", "nodePath: /data")]),
    "local-path: leftovers": (
        "local-path",
        {"iopsPerGB": "50", FSTYPE: "xfs", "tagSpecification_1": "a=b"},
        [("error", f"parameters.{key}", f"without `{key}`") for key in (FSTYPE, "iopsPerGB", "tagSpecification_1")],
    ),
    "local-path: of newer releases": (
        "local-path",
        {"permPattern": "0700"},
        [("warning", "parameters.permPattern", "without `permPattern`")],
    ),
}


@pytest.mark.parametrize("case", RAW)
def test_a_string_is_read_as_the_driver_reads_it(case: str) -> None:
    provisioner, parameters, expected = RAW[case]
    assert found(provisioner, parameters) == expected


# One misread or refused parameter beside others, a size, and what works in its place.
SUGGESTED: list[tuple[str, dict[str, Any], str, object, str, str]] = [
    ("ebs", ENCRYPTED, "iops", "16k", "5Gi", "3000"),
    ("ebs", ENCRYPTED, "throughput", "abc", "5Gi", "125"),
    ("ebs", ENCRYPTED, "throughput", "1GiB", "5Gi", "125"),
    ("gce-pd", HYPERDISK, "provisioned-throughput-on-create", "250 MiB/s", "6Gi", "250Mi"),
    ("gce-pd", HYPERDISK, "provisioned-throughput-on-create", "10", "6Gi", "250Mi"),
    ("gce-pd", HYPERDISK, "provisioned-throughput-on-create", "1 GB/s", "10Gi", "1Gi"),
    ("gce-pd", HYPERDISK, "provisioned-throughput-on-create", "250.5 MiB/s", "10Gi", "250Mi"),
    ("gce-pd", HYPERDISK, "provisioned-iops-on-create", "3,500 IOPS", "10Gi", "3500"),
    ("gce-pd", HYPERDISK, "provisioned-iops-on-create", "4K", "10Gi", "4k"),
    ("gce-pd", HYPERDISK, "provisioned-iops-on-create", "9223372036854775808", "10Gi", "3000"),
    ("gce-pd", HYPERDISK, "provisioned-throughput-on-create", 250, "6Gi", "250Mi"),
    ("gce-pd", {"type": "hyperdisk-throughput"}, "provisioned-throughput-on-create", "many", "2Ti", "180Mi"),
    ("gce-pd", {"type": "pd-ssd"}, "data-cache-size", "100 GB", "6Gi", "100Gi"),
    ("gce-pd", {"type": "pd-ssd"}, "data-cache-size", "0", "6Gi", "100Gi"),
    ("gce-pd", {"type": "pd-ssd"}, "labels", "Team=data", "6Gi", "team=data"),
    ("gce-pd", {"type": "pd-ssd"}, "labels", {"team": "data"}, "6Gi", "team=data,env=production"),
]


@pytest.mark.parametrize("case", SUGGESTED)
def test_what_works_is_a_string_that_the_driver_takes(case: tuple[str, dict[str, Any], str, object, str, str]) -> None:
    provisioner, others, key, value, size, works = case
    suggested = {each for severity, where, each in found(provisioner, {**others, key: value}, size) if where == f"parameters.{key}"}
    assert works in {yaml.safe_load(each) if each.startswith('"') else each for each in suggested}
    again = found(provisioner, {**others, key: works}, size)
    assert [each for each in again if each[:2] == ("error", f"parameters.{key}")] == []


FIELDS: dict[str, tuple[str, dict[str, Any], list[tuple[str, str, str]]]] = {
    "ebs: nothing but Kubernetes' defaults": (
        "ebs",
        {"reclaim_policy": "Delete", "binding_mode": "Immediate", "allow_volume_expansion": False},
        [
            ("warning", "allowVolumeExpansion", "true"),
            ("warning", "reclaimPolicy", "Retain"),
            ("warning", "volumeBindingMode", "WaitForFirstConsumer"),
        ],
    ),
    "ebs: its zones": ("ebs", {"topologies": [("topology.kubernetes.io/zone", ["eu-central-1a"])]}, []),
    "ebs: its own key for zones": ("ebs", {"topologies": [("topology.ebs.csi.aws.com/zone", ["eu-central-1a"])]}, []),
    "ebs: ids of zones": ("ebs", {"topologies": [("topology.k8s.aws/zone-id", ["euc1-az1"])]}, []),
    "ebs: a zone that is none": (
        "ebs",
        {"topologies": [("topology.kubernetes.io/zone", ["europe-west1-b"])]},
        [("error", "allowedTopologies", "eu-central-1a")],
    ),
    "ebs: Google's key": (
        "ebs",
        {"topologies": [("topology.gke.io/zone", ["europe-west1-b"])]},
        [("error", "allowedTopologies", "topology.kubernetes.io/zone")],
    ),
    "gce-pd: its zones": ("gce-pd", {"topologies": [("topology.gke.io/zone", ["europe-west1-b"])]}, []),
    "gce-pd: Kubernetes' key": (
        "gce-pd",
        {"topologies": [("topology.kubernetes.io/zone", ["europe-west1-b"])]},
        [("error", "allowedTopologies", "topology.gke.io/zone")],
    ),
    "gce-pd: mount options": ("gce-pd", {"mount_options": ["nobarrier"]}, [("warning", "mountOptions", "without `nobarrier`")]),
    "local-path: what it can't": (
        "local-path",
        {"allow_volume_expansion": True, "binding_mode": "Immediate", "mount_options": ["noatime"], "annotations": {}},
        [
            ("error", "allowVolumeExpansion", "false"),
            ("error", "mountOptions", "without `mountOptions`"),
            ("warning", "metadata.annotations.defaultVolumeType", "local"),
            ("warning", "volumeBindingMode", "WaitForFirstConsumer"),  # right for a shared file system
        ],
    ),
    "local-path: a type of volume in another case": ("local-path", {"annotations": {"defaultVolumeType": "Local"}}, []),
    "local-path: no type of volume": (
        "local-path",
        {"annotations": {"defaultVolumeType": "localPath"}},
        [("error", "metadata.annotations.defaultVolumeType", "local")],
    ),
    "gce-pd: an AI zone": ("gce-pd", {"topologies": [("topology.gke.io/zone", ["us-central1-ai1a", "us-central1-b"])]}, []),
}


@pytest.mark.parametrize("case", FIELDS)
def test_the_fields_of_a_class(case: str) -> None:
    provisioner, fields, expected = FIELDS[case]
    parameters = {"ebs": ENCRYPTED, "gce-pd": {"type": "pd-ssd"}, "local-path": {}}[provisioner]
    assert found(provisioner, parameters, **fields) == expected


def test_auto_mode_is_checked_like_ebs_and_wants_its_own_nodes() -> None:
    driver = "ebs.csi.eks.amazonaws.com"
    assert found(driver, {"encrypted": "True"}, topologies=[("eks.amazonaws.com/compute-type", ["auto"])]) == [
        ("error", "parameters.encrypted", '"true"')
    ]
    assert found(driver, ENCRYPTED) == [("warning", "allowedTopologies", "eks.amazonaws.com/compute-type: [auto]")]


def test_sizes_are_rounded_as_the_cloud_rounds_them_and_each_is_checked() -> None:
    wanted = {**ENCRYPTED, "iops": "4000"}
    assert found("ebs", wanted, "8Gi", "7.1Gi") == []
    assert found("ebs", wanted, "5Gi", "7Gi") == [("error", "parameters.iops", '"3000"')] * 2
    assert found("ebs", {**ENCRYPTED, "type": "st1"}, "3.3Gi") == [("error", "--size 3.3Gi", "125Gi")]


def test_each_driver_leads_to_its_provisioner() -> None:
    """The registry has them too, so that only the one that a class names is loaded."""
    assert {driver: of_driver(driver) for each in PROVISIONERS.values() for driver in each.drivers} == {
        driver: each for each in PROVISIONERS.values() for driver in each.drivers
    }
    assert of_driver("example.com/other") is None


def test_a_check_loads_no_provisioner_but_that_of_the_class() -> None:
    script = (
        "import sys; from components.provisioners import of_driver; of_driver('pd.csi.storage.gke.io'); "
        "sys.exit(any(f'components.provisioners.{name}' in sys.modules for name in ('ebs', 'local_path')))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_a_provisioner_that_is_not_known_is_not_checked() -> None:
    report = check_class(StorageClassManifest("a", "nfs.csi.k8s.io", {"encrypted": "True"}), [])
    assert report.provisioner is None
    assert not report.findings


@pytest.mark.parametrize(("name", "sets"), [("ebs", test_ebs.parameter_sets), ("gce-pd", test_gce_pd.parameter_sets)])
def test_what_the_settings_write_is_read_back_with_the_same_findings(name: str, sets: Any) -> None:
    """The same rules: a class that the settings compile has, as a manifest, the findings that the
    settings have.
    """
    provisioner = PROVISIONERS[name]

    @settings(max_examples=300, deadline=None)
    @given(sets(), st.sampled_from(["1Gi", "5Gi", "6Gi", "125Gi", "2Ti"]))
    def same(wanted: dict[str, Any], size: str) -> None:
        parameters = provisioner.parameters_model.model_validate({key: value for key, value in wanted.items() if value not in ("", {})})
        expected = list(
            provisioner.findings(parameters, [RequestedVolume(f"--size {size}", Size.parse(size).in_units_of(provisioner.size_unit))])
        )
        manifest = StorageClassManifest("a", provisioner.driver, dict(provisioner.storage_class(parameters).parameters), **GOOD)
        again, misread = read_class(provisioner, manifest)
        if misread:  # what no string can say: more than 32 bits, a `=` in a label
            assert any(each.severity == "error" for each in expected)
            return
        assert again == parameters
        assert list(check_class(manifest, [Size.parse(size)]).findings) == expected

    same()


class TestForms:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("3000", 3000),
            ("3k", 3000),
            ("3e3", 3000),
            ("1Ki", 1024),
            ("0.5Mi", 2**19),
            (".5k", 500),
            ("5.", 5),
            ("-1", -1),
            ("1m", None),
            ("2E", 2 * 10**18),
        ],
    )
    def test_a_quantity(self, text: str, number: int | None) -> None:
        assert parse_quantity(text) == number or number is None

    @pytest.mark.parametrize("text", ["", "k", "1 k", "1kb", "1KI", "0x1", "1e", "1" * 65, "one", "1Mi ", "--1", "١"])
    def test_no_quantity(self, text: str) -> None:
        with pytest.raises(Misread):
            parse_quantity(text)

    @given(st.integers(0, 10**9))
    def test_numbers_are_read_back(self, number: int) -> None:
        assert Int32().read(Int32().write(number)) == number
        assert Count().read(Count().write(number)) == number
        assert MiB().read(MiB().write(number)) == number
        assert GiB().read(GiB().write(number)) == number

    @settings(deadline=None)
    @given(st.text(max_size=20))
    def test_any_text_is_read_or_misread(self, text: str) -> None:
        for name, provisioner in PROVISIONERS.items():
            for field, field_info in provisioner.parameters_model.model_fields.items():
                key = field_info.alias or field
                check_class(StorageClassManifest("a", DRIVERS[name], {key: text}), [Size.parse("5Gi")])


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELD_NAMES = ["metadata", "parameters", "allowedTopologies", "mountOptions", "reclaimPolicy", "volumeBindingMode", "allowVolumeExpansion"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["ebs.csi.aws.com", "pd.csi.storage.gke.io", "rancher.io/local-path", ""]),
    st.dictionaries(st.sampled_from(FIELD_NAMES), anything, max_size=3),
    st.dictionaries(st.sampled_from(["type", "IOPS", FSTYPE, "labels", "nodePath", "tagSpecification_1", "x"]), anything, max_size=3),
)
def test_any_document_is_checked_or_refused_in_words(provisioner: str, fields: dict[str, Any], parameters: dict[str, Any]) -> None:
    document = {"kind": "StorageClass", "provisioner": provisioner, "parameters": parameters, **fields}
    status, output = run("-", "--size", "5Gi", text=yaml.safe_dump(document))
    assert status in (0, 1, 2), output
    assert output


CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "gp3", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "ebs.csi.aws.com",
    "parameters": {"type": "gp3", "encrypted": "true"},
    "reclaimPolicy": "Retain",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
    "mountOptions": ["noatime"],
    "allowedTopologies": [{"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["eu-central-1a"]}]}],
}
OTHER = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
MANIFEST = StorageClassManifest(
    "gp3",
    "ebs.csi.aws.com",
    {"type": "gp3", "encrypted": "true"},
    "Retain",
    "WaitForFirstConsumer",
    True,
    ["noatime"],
    [("topology.kubernetes.io/zone", ["eu-central-1a"])],
    {"storageclass.kubernetes.io/is-default-class": "true"},
)


class TestManifests:
    @pytest.mark.parametrize(
        ("text", "classes", "others"),
        [
            (yaml.safe_dump(CLASS), 1, []),
            (json.dumps(CLASS), 1, []),
            (yaml.safe_dump_all([CLASS, OTHER, None, CLASS]), 2, ["ConfigMap settings"]),
            (yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [CLASS, OTHER]}), 1, ["ConfigMap settings"]),
            (yaml.safe_dump({"kind": "StorageClassList", "items": [{key: value for key, value in CLASS.items() if key != "kind"}]}), 1, []),
            ("kind: List\nitems: []\n", 0, []),
            ("", 0, []),
        ],
    )
    def test_one_many_and_lists(self, text: str, classes: int, others: list[str]) -> None:
        read = read_manifests(text)
        assert ([each.manifest for each in read.classes], read.others) == ([MANIFEST] * classes, others)
        assert not any(each.findings for each in read.classes)

    @pytest.mark.parametrize(
        "text",
        [
            "a: [",
            "a",
            "- a",
            "{}",
            "kind: 1",
            "kind: List\nitems: [1]",
        ],
    )
    def test_what_is_no_manifest_is_refused(self, text: str) -> None:
        with pytest.raises(ManifestError):
            read_manifests(text)

    def test_kubernetes_defaults(self) -> None:
        manifest = read_manifests("kind: StorageClass\nprovisioner: ebs.csi.aws.com\n").classes[0].manifest
        assert (manifest.reclaim_policy, manifest.binding_mode, manifest.allow_volume_expansion) == ("Delete", "Immediate", False)


def run(*arguments: str, text: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(main, ["check", *arguments], input=text, catch_exceptions=False)
    return result.exit_code, result.output


class TestCommand:
    def test_nothing_to_object_to(self) -> None:
        status, output = run("-", "--size", "5Gi", text=yaml.safe_dump(CLASS))
        assert (status, output) == (0, "gp3 (ebs.csi.aws.com): nothing to object to\n")

    def test_without_sizes_it_says_so(self) -> None:
        assert "--size" in run("-", text=yaml.safe_dump(CLASS))[1]

    def test_an_error_has_its_place_value_rule_and_what_works(self, tmp_path: Path) -> None:
        file = tmp_path / "class.yaml"
        file.write_text(yaml.safe_dump_all([{**CLASS, "parameters": {"encrypted": "True", "iops": "4000"}}, OTHER]))
        status, output = run(str(file), "--size", "5Gi", "--size", "20Gi")
        assert status == 1
        words = " ".join(output.split())
        assert "gp3 (ebs.csi.aws.com): 2 errors" in words
        for expected in (
            "parameters.encrypted",
            '"True"',
            "only the exact text",
            '"3000"',
            "500 IOPS a GiB",
            "checked: ConfigMap settings",
        ):
            assert expected in words

    def test_warnings_alone_are_no_failure(self) -> None:
        status, output = run("-", text=yaml.safe_dump({**CLASS, "reclaimPolicy": "Delete"}))
        assert status == 0
        assert "1 warning" in output

    def test_as_json(self) -> None:
        status, output = run(
            "-", "--json", "--size", "5Gi", text=yaml.safe_dump_all([{**CLASS, "parameters": {"encrypted": "yes"}}, OTHER])
        )
        assert status == 1
        assert json.loads(output) == {
            "status": 1,
            "classes": [
                {
                    "file": "-",
                    "line": 1,
                    "name": "gp3",
                    "provisioner": "ebs.csi.aws.com",
                    "checked": True,
                    "findings": [
                        {
                            "severity": "error",
                            "line": 16,
                            "path": "parameters.encrypted",
                            "value": '"yes"',
                            "rule": "only the exact text `true` is true to the driver: it reads this as false, without a word",
                            "works": '"true"',
                        }
                    ],
                }
            ],
            "ignored": ["ConfigMap settings"],
            "unreadable": [],
            "errors": 1,
            "warnings": 0,
            "unchecked": 0,
        }

    @pytest.mark.parametrize(
        ("arguments", "text", "says"),
        [
            (["-", "--size", "5GB"], "", "5GB: a size is a positive number"),
            (["-"], "a: [", "not YAML"),
            (["-"], yaml.safe_dump(OTHER), "no StorageClass in it; there is ConfigMap settings"),
            (["-"], "", "no StorageClass in it"),
            (["/nowhere"], "", "No such file"),
            ([], "", "Missing argument 'FILE'"),
            (["-", "--sizes", "5Gi"], "", "No such option"),
        ],
    )
    def test_wrong_usage(self, arguments: list[str], text: str, says: str) -> None:
        status, output = run(*arguments, text=text)
        assert status == 2
        assert says in output

    def test_the_page_shows_what_the_command_prints(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        page = (ROOT / "docs" / "provisioners.md").read_text(encoding="utf-8")
        manifest = page.split("```yaml\n", 1)[1].split("```", 1)[0]
        line, _, expected = page.split("```console\n$ python -m components.provisioners check ", 1)[1].split("```", 1)[0].partition("\n")
        monkeypatch.chdir(tmp_path)
        Path("fast.yaml").write_text(manifest)
        status, output = run(*line.split())
        assert status == 1
        assert [each.rstrip() for each in output.splitlines()] == expected.splitlines()

    def test_it_needs_neither_pulumi_nor_a_cluster(self, tmp_path: Path) -> None:
        file = tmp_path / "class.yaml"
        file.write_text(yaml.safe_dump(CLASS))
        program = (
            "import runpy, sys\n"
            f"sys.argv = ['check', 'check', {str(file)!r}, '--size', '5Gi']\n"
            "try:\n    runpy.run_module('components.provisioners', run_name='__main__')\n"
            "finally:\n    print(sorted({'pulumi', 'pulumi_kubernetes', 'kubernetes'} & set(sys.modules)))\n"
        )
        environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
        result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines() == ["gp3 (ebs.csi.aws.com): nothing to object to", "[]"]
