"""Wrong settings of cloud stacks: the rules of a provisioner reach the user with config path,
value, rule and a value that works.
"""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from components.provisioners import PROVISIONERS
from components.settings import SettingsError, load
from components.settings.program import load_from_pulumi
from tests.unit.mocked_program import stack_config
from tests.unit.test_cloud_stacks import tiers

KNOWN = {"aws": "tagSpecification_N, throughput, type", "gcp": "type, use-allowed-disk-topology, zones"}


def problems(stack: str, **changes: Any) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(stack_config(stack, **changes), stack)
    return [str(problem) for problem in refused.value.problems]


def one(stack: str, database: dict[str, Any], **services: Any) -> str:
    """The one problem of the stack with these settings for its database tier, and these sizes of
    services on it.
    """
    wanted = {name: {"tier": "database", "size": size} for name, size in services.items()}
    (problem,) = problems(stack, tiers=tiers(stack, **database), services=wanted)
    return problem


def test_a_figure_is_checked_at_every_size_of_the_tiers_services() -> None:
    wanted = {"postgres": "5Gi", "mysql": "7Gi", "large": "20Gi"}
    found = problems(
        "aws", tiers=tiers("aws", iops=4000), services={name: {"tier": "database", "size": size} for name, size in wanted.items()}
    )
    assert found == [
        "tiers.database.iops: 4000: at most 500 IOPS a GiB for gp3, so 3000 at 5Gi (services.postgres.size): the driver lowers it or EC2 "
        "refuses it. Works: 3000",
        "tiers.database.iops: 4000: at most 500 IOPS a GiB for gp3, so 3500 at 7Gi (services.mysql.size): the driver lowers it or EC2 "
        "refuses it. Works: 3000",
    ]


def test_a_size_that_the_type_has_not_is_a_problem_of_the_service() -> None:
    assert one("aws", {"type": "st1", "iops": None, "throughput": None}, postgres="3.3Gi") == (
        'services.postgres.size: "3.3Gi": a volume of type st1 has from 125Gi to 16Ti: EC2 refuses 4Gi. Works: 125Gi'
    )
    assert one("gcp", {"type": "hyperdisk-extreme"}, postgres="5Gi") == (
        'services.postgres.size: "5Gi": a volume of type hyperdisk-extreme has from 64Gi to 64Ti: the API refuses 5Gi. Works: 64Gi'
    )


@pytest.mark.parametrize(
    ("stack", "key", "value", "says"),
    [
        (
            "aws",
            "nodePath",
            "/data",
            "a parameter of local-path; the driver refuses a class with a parameter that it doesn't know. Works: without",
        ),
        (
            "aws",
            "replication-type",
            "none",
            "a parameter of gce-pd; the driver refuses a class with a parameter that it doesn't know. Works: ",
        ),
        ("aws", "labels", {"a": "b"}, "a parameter of gce-pd; the driver refuses a class with a parameter that it doesn't know. Works: "),
        ("aws", "IOPSPERGB", 50, "here it is spelled `iopsPerGB`. Works: "),
        ("aws", "fsType", "xfs", "here it is spelled `fstype`. Works: "),
        ("gcp", "iops", 3000, "a parameter of ebs; the driver refuses a class with a parameter that it doesn't know. Works: "),
        (
            "gcp",
            "tagSpecification_1",
            "a=b",
            "a parameter of ebs; the driver refuses a class with a parameter that it doesn't know. Works: ",
        ),
        ("gcp", "fstype", "xfs", "a parameter of ebs; `csi.storage.k8s.io/fstype`, in this case, is the only key for it"),
        ("gcp", "use-allowed-disk-topologies", True, "the driver's own README has this spelling, and the driver refuses it"),
        ("gcp", "pathPattern", "x", "a parameter of local-path; the driver refuses a class with a parameter that it doesn't know. Works: "),
    ],
)
def test_leftovers_of_another_provisioner_are_named(stack: str, key: str, value: object, says: str) -> None:
    found = one(stack, {key: value})
    assert found.startswith(f"tiers.database.{key}: {json.dumps(value)}: unknown key; known here: ")
    assert KNOWN[stack] in found
    assert says in found


@pytest.mark.parametrize(
    ("stack", "database", "says"),
    [
        (
            "aws",
            {"iops": "3000"},
            'tiers.database.iops: "3000": a whole number of IOPS (gp3, io1, io2); in quotes it is a text. Works: 3000',
        ),
        (
            "aws",
            {"encrypted": "True"},
            'tiers.database.encrypted: "True": true, the default: volumes are encrypted; without quotes. Works: true',
        ),
        (
            "aws",
            {"zones": "eu-central-1a"},
            'tiers.database.zones: "eu-central-1a": a list of the availability zones that volumes may be in; default: wherever pods run. '
            "Works: [eu-central-1a]",
        ),
        (
            "aws",
            {"mountOptions": ["noatime", 5]},
            "tiers.database.mountOptions[1]: 5: a list of mount options; default noatime; YAML reads it as a number, so it needs quotes. "
            "Works: [noatime]",
        ),
        (
            "aws",
            {"tagSpecification_1": 5},
            "tiers.database.tagSpecification_1: 5: a tag as `key=value`, under `tagSpecification_1`, `tagSpecification_2` and so on; YAML "
            "reads it as a number, so it needs quotes. Works: team=data",
        ),
        ("aws", {"iops": None, "kmsKeyId": ""}, None),
        (
            "aws",
            {"csi.storage.k8s.io/fstype": "XFS"},
            'tiers.database["csi.storage.k8s.io/fstype"]: "XFS": ext4, xfs, ext3, ext2, in lower case: with any other the volume is made, '
            "and its pod never starts. Works: xfs",
        ),
        (
            "gcp",
            {"csi.storage.k8s.io/fstype": 4},
            'tiers.database["csi.storage.k8s.io/fstype"]: 4: the file system: ext4 or xfs; default ext4, for a tier of kind streaming xfs; '
            'YAML reads it as a number, so it needs quotes. Works: "4"',
        ),
        (
            "aws",
            {"snapshots": True},
            "tiers.database.snapshots: true: a mapping, `{}` for the driver's defaults: a VolumeSnapshotClass for the tier. Works: {}",
        ),
        (
            "aws",
            {"snapshots": {"lockMod": "governance"}},
            'tiers.database.snapshots.lockMod: "governance": unknown key; known here: deletionPolicy, '
            "fastSnapshotRestoreAvailabilityZones, lockCoolOffPeriod, lockDuration, lockExpirationDate, lockMode, outpostArn, "
            "tagSpecification_N. Works: lockMode",
        ),
        (
            "aws",
            {"snapshots": {"deletionPolicy": "retain"}},
            'tiers.database.snapshots.deletionPolicy: "retain": Retain or Delete: whether a snapshot stays when its VolumeSnapshot is '
            "deleted. Works: Retain",
        ),
        (
            "aws",
            {"attributes": {"fast": {"iops": "6000"}}},
            'tiers.database.attributes.fast.iops: "6000": a whole number of IOPS; in quotes it is a text. Works: 6000',
        ),
        (
            "aws",
            {"attributes": {"fast": {"IOPS": 6000}}},
            "tiers.database.attributes.fast.IOPS: 6000: unknown key; known here: allowautoiopsincreaseonmodify, iops, iopspergb, "
            "tagDeletion_N, tagSpecification_N, throughput, type, volumeType. Works: iops",
        ),
        (
            "gcp",
            {"labels": {"team": 5}},
            "tiers.database.labels.team: 5: a mapping from label keys to values; YAML reads it as a number, so it needs quotes. "
            "Works: {team: data}",
        ),
        (
            "gcp",
            {"type": "hyperdisk-balanced", "provisioned-throughput-on-create": "250"},
            'tiers.database.provisioned-throughput-on-create: "250": a whole number of MiB/s (Hyperdisk); in quotes it is a '
            "text. Works: 250",
        ),
    ],
)
def test_a_wrong_value_has_its_whole_path(stack: str, database: dict[str, Any], says: str | None) -> None:
    found = one(stack, database)
    assert found == says if says else found.startswith('tiers.database.kmsKeyId: ""')


def test_every_problem_of_all_tiers_at_once() -> None:
    wrong = {"database": {"iops": 80001, "nodePath": "/x"}, "streaming": {"throughput": 124, "encrypted": False, "zones": ["x"]}}
    found = problems("aws", tiers=wrong, services={"kafka": {"tier": "streaming", "size": "65Ti"}})
    assert [line.split(": ")[0] for line in found] == [
        "tiers.database.nodePath",
        "tiers.streaming.throughput",
        "services.kafka.size",
        "tiers.streaming.zones",
    ]


def test_a_tier_that_has_no_kind_is_checked_as_well() -> None:
    found = problems("aws", tiers={"kafka": {"iops": 80001}}, services={"kafka": {"tier": "kafka", "size": "65Ti"}})
    assert [line.split(": ")[0] for line in found] == ["tiers.kafka.kind", "tiers.kafka.iops", "services.kafka.size"]


def test_warnings_are_kept_and_shown_in_pulumis_log(monkeypatch: pytest.MonkeyPatch) -> None:
    config = stack_config("aws", tiers=tiers("aws", encrypted=False))
    loaded = load(config, "aws")
    says = "tiers.database.encrypted: false: the volumes are not encrypted, unless the account encrypts by default. Works: true"
    assert list(map(str, loaded.warnings)) == [says]
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setattr(pulumi, "get_stack", lambda: "aws")
    monkeypatch.setattr(pulumi.runtime.config, "get_config_env", lambda: config)
    load_from_pulumi()
    assert said == [says]


def test_defaults_are_the_provisioners_for_each_tier() -> None:
    loaded = load(
        stack_config(
            "aws",
            tiers={"database": {}, "streaming": {"type": "st1"}, "cache": {"kind": "database"}, "log": {"kind": "streaming"}},
            services={},
        ),
        "aws",
    )
    made = {name: tier.parameters for name, tier in loaded.tiers.items()}
    assert {name: (each.type, each.csi_fstype, each.encrypted) for name, each in made.items()} == {  # type: ignore[attr-defined]
        "database": ("gp3", "ext4", True),
        "streaming": ("st1", "xfs", True),
        "cache": ("gp3", "ext4", True),
        "log": ("gp3", "xfs", True),
    }


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(("stack", "provisioner"), [("aws", "ebs"), ("gcp", "gce-pd")])
def test_whatever_is_written_it_is_taken_or_refused_in_words(stack: str, provisioner: str) -> None:
    fields = PROVISIONERS[provisioner].parameters_model.model_fields
    nested = {"fast": {"iops": 1, "type": "x"}, "lockMode": "x", "labels": {"a": 1}}
    keys = [field.alias or name for name, field in fields.items()] + ["tagSpecification_1", "nodePath", "x"]

    @hypothesis_settings(max_examples=300, deadline=None)
    @given(st.dictionaries(st.sampled_from(keys), anything | st.just(nested), max_size=4))
    def refused_in_words(written: dict[str, Any]) -> None:
        try:
            load(stack_config(stack, tiers={"database": written, "streaming": {}}), stack)
        except SettingsError as refused:
            assert all(problem.path and problem.rule and problem.works for problem in refused.problems)

    refused_in_words()
