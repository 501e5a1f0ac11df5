"""`check --fix`: what keeps its meaning is mended in the text, and all else stays as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from components.provisioners.__main__ import main
from components.provisioners.lint.fix import fix
from components.provisioners.lint.manifests import read_manifests
from tests.unit import test_check_remedies as remedies

MANIFEST = """\
# what our databases have
apiVersion: storage.k8s.io/v1beta1   # of an old chart
kind: StorageClass
metadata:
  name: fast
  annotations:
    # nothing else is the default
    storageclass.kubernetes.io/is-default-class: true
provisioner: ebs.csi.aws.com
parameters:
  # a key of ours
  kmsKeyArn: 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
  encryption: "True"
  iops: 3000 # the least
  "throughput": "125Mi"
  foo: bar
  reclaimPolicy: Retain
allowVolumeExpansion: "true"
volumeBindingMode: waitForFirstConsumer

mountOptions: noatime,nodiratime
---
kind: ConfigMap
metadata: {name: other}
"""
MENDED = """\
# what our databases have
apiVersion: storage.k8s.io/v1   # of an old chart
kind: StorageClass
metadata:
  name: fast
  annotations:
    # nothing else is the default
    storageclass.kubernetes.io/is-default-class: "true"
provisioner: ebs.csi.aws.com
parameters:
  # a key of ours
  kmsKeyId: 'arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab'
  encrypted: "true"
  iops: "3000" # the least
  "throughput": "125"
  foo: bar
allowVolumeExpansion: true
volumeBindingMode: WaitForFirstConsumer

mountOptions: [noatime, nodiratime]
reclaimPolicy: Retain
---
kind: ConfigMap
metadata: {name: other}
"""


def run(*arguments: str, text: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["check", "--fix", *arguments], input=text, catch_exceptions=False)
    return result.exit_code, result.stdout, result.stderr


def test_comments_quotes_and_order_stay() -> None:
    status, mended, told = run("-", text=MANIFEST)
    assert mended == MENDED
    assert status == 1
    assert told.count("left to you") == 1
    assert "foo" in told.split("left to you")[1]
    for changed in ("apiVersion", "kmsKeyArn", "encryption", "iops", "throughput", "reclaimPolicy", "mountOptions", "volumeBindingMode"):
        assert f"{changed}: " in told.split("left to you")[0]


def test_what_is_mended_is_mended_once() -> None:
    assert run("-", text=MENDED)[1] == MENDED
    assert run("-", text=MENDED.replace("  foo: bar\n", ""))[0] == 0


def mended(parameters: str, head: str = "", driver: str = "ebs.csi.aws.com") -> str:
    """The class with these parameters after --fix."""
    lines = f"kind: StorageClass\napiVersion: storage.k8s.io/v1\nmetadata: {{name: a}}\nprovisioner: {driver}\n{head}"
    fixed = fix(f"{lines}parameters:\n{parameters}", []).text
    assert fixed.startswith(lines)
    return fixed.removeprefix(f"{lines}parameters:\n")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("  iops: '16,000'\n", "  iops: '16000'\n"),
        ("  encrypted: yes\n", '  encrypted: "true"\n'),
        ("  encrypted: no\n", '  encrypted: "false"\n'),
        ("  encrypted: |\n    True\n  type: gp3\n", '  encrypted: "true"\n  type: gp3\n'),
        ("  type: &t gp3\n  encrypted: 'True'\n", "  type: &t gp3\n  encrypted: 'true'\n"),
        ("  iops: '3000'\n  iops: '4000' # last\n", "  iops: '4000' # last\n"),
        ('  "encryption": "true"', '  "encrypted": "true"'),
        ("  encrypted: 'True'\r\n  type: gp3\r\n", "  encrypted: 'true'\r\n  type: gp3\r\n"),
    ],
)
def test_the_form_of_a_value_is_mended(written: str, expected: str) -> None:
    assert mended(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "  kmsKeyId: my-key\n",  # an example is nobody's key
        "  iops: '90000'\n",  # another figure
        "  foo: bar\n",
        "  type: gp4\n",
        "  tagSpecification_1: team\n",
        "  kmsKeyId: alias/a\n  encrypted: 'false'\n",  # either of the two
    ],
)
def test_what_would_change_the_meaning_is_left(written: str) -> None:
    assert mended(written) == written


def test_what_has_no_effect_goes() -> None:
    assert mended("  nodePath: /data\n  type: ssd\n", driver="rancher.io/local-path") == "  nodePath: /data\n"


def test_what_an_alias_stands_for_is_left_to_a_person() -> None:
    text = (
        "kind: List\napiVersion: v1\nitems:\n"
        "- {kind: StorageClass, apiVersion: storage.k8s.io/v1, metadata: {name: a}, provisioner: ebs.csi.aws.com,\n"
        "   parameters: &p {encrypted: 'True'}}\n"
        "- {kind: StorageClass, apiVersion: storage.k8s.io/v1, metadata: {name: b}, provisioner: ebs.csi.aws.com, parameters: *p}\n"
    )
    status, same, told = run("-", text=text)
    assert (status, same) == (1, text)
    assert told.count("left to you") == 2


def test_json_stays_json() -> None:
    document = {
        "kind": "StorageClass",
        "apiVersion": "storage.k8s.io/v1",
        "metadata": {"name": "a"},
        "provisioner": "ebs.csi.aws.com",
        "parameters": {"encryption": "True", "iops": 3000, "volumeBindingMode": "Immediate"},
    }
    fixed = fix(json.dumps(document, indent=2), []).text
    assert json.loads(fixed) == {**document, "parameters": {"encrypted": "true", "iops": "3000"}, "volumeBindingMode": "Immediate"}


def test_several_files_are_one_stream(tmp_path: Path) -> None:
    for name in "ab":
        Path(tmp_path, name).write_text(MANIFEST.replace("name: fast", f"name: {name}"))
    status, mended_text, _ = run(str(tmp_path / "a"), str(tmp_path / "b"))
    assert status == 1
    assert [each.manifest.name for each in read_manifests(mended_text).classes] == ["a", "b"]
    assert run(str(tmp_path / "a"), str(tmp_path / "missing"))[0] == 2


def test_it_is_either_for_people_or_for_programs() -> None:
    status, _, told = run("-", "--json", text=MANIFEST)
    assert status == 2
    assert "either --json or --fix" in told


@pytest.mark.faults
def test_any_faulty_class_is_mended_as_far_as_it_goes(full: bool) -> None:
    """What is mended stays a class, isn't mended again, and has no fault that it didn't have."""

    def errors(document: dict[str, Any], text: str) -> int:
        del document
        return sum(report.count("error") for report in remedies.reports(text, []))

    for number, document in enumerate(remedies.faulty(2000 if full else 40, remedies.SEED + 7)):
        text = remedies.written(document, flow=number % 2 == 1)
        fixed = fix(text, [])
        assert fix(fixed.text, []).text == fixed.text, text
        assert errors(document, fixed.text) <= errors(document, text), (text, fixed.text)
        assert bool(fixed.changes) == (fixed.text != text)
        again = yaml.safe_load(fixed.text)
        assert {key: value for key, value in again.items() if key in ("kind",)} == {"kind": "StorageClass"}
