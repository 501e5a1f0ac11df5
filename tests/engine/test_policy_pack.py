"""The policy pack in the real engine, on a program that knows nothing of this project and breaks
every rule.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from devkube import paths
from devkube.tests.project import STACK, Project

pytestmark = pytest.mark.engine

PACK = paths.ROOT / "policy"
FOREIGN, INDIRECT = (
    (paths.ROOT / "tests" / "policy" / name / "__main__.py").read_text(encoding="utf-8") for name in ("foreign", "indirect")
)
CONFIG = {
    "claims-on-allowed-tiers": {"classes": ["good"]},
    "claims-within-allocation": {"limits": {"good": "10Gi"}},
    "production-is-protected": {"stacks": ["te*"]},
}

BETA_DEFAULT = "storageclass.beta.kubernetes.io/is-default-class"

VIOLATIONS = {
    "reclaim-policy-retain": ["StorageClass deletes: reclaimPolicy"],
    "wait-for-first-consumer": ["StorageClass immediate: volumeBindingMode"],
    "never-the-default-class": ["StorageClass default: metadata.annotations[storageclass.kubernetes.io/is-default-class]"],
    "known-provisioner": ["StorageClass in-tree: provisioner"],
    "encrypted-on-cloud": ["StorageClass open: parameters.encrypted"],
    "single-writer-access": ["PersistentVolumeClaim shop/shared: spec.accessModes"],
    "no-host-folders": ["PersistentVolume disk: spec.hostPath", "Pod shop/scratch: spec.volumes[scratch].hostPath"],
    "claims-on-allowed-tiers": ["PersistentVolumeClaim shop/elsewhere: spec.storageClassName"],
    "claims-within-allocation": ["StorageClass good: spec.resources.requests.storage"],
    "project-labels": [f"Namespace shop: metadata.labels[app.kubernetes.io/{name}]" for name in (
        "name", "instance", "component", "part-of", "managed-by"
    )],
    "production-is-protected": [
        "Namespace shop: the resource option protect", "PersistentVolumeClaim shop/unprotected: the resource option protect"
    ],
}  # fmt: skip


def preview(project: Project, *options: str, succeeds: bool = False, program: str = FOREIGN) -> list[dict[str, str]]:
    """Preview a program with the pack, the foreign one without another.

    Returns the violations, as the engine's events have them.
    """
    (project.folder / "__main__.py").write_text(program)
    log = project.folder / "events.json"
    arguments = ["--policy-pack", str(PACK), "--event-log", str(log), *options]
    variables = {"KUBECONFIG": str(project.folder / "none"), "PULUMI_DEBUG_COMMANDS": "true"}
    done = project.pulumi("preview", *arguments, succeeds=succeeds, **variables)
    assert "Traceback" not in done.stdout + done.stderr
    assert "can't be known during preview" not in done.stdout
    return [event["policyEvent"] for line in log.read_text().splitlines() if "policyEvent" in (event := json.loads(line))]


def test_every_rule_names_what_breaks_it_and_nothing_else(project: Project, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    found: dict[str, list[str]] = {}
    for event in preview(project, "--policy-pack-config", str(tmp_path / "config.json")):
        assert event["enforcementLevel"] == "mandatory"
        reason, message = event["message"].strip().split("\n")
        assert reason and re.search(r"\. Works: .+", message)
        found.setdefault(event["policyName"], []).append(message)
    assert {
        rule: sorted(message.split(": ")[0] + ": " + message.split(": ")[1] for message in messages) for rule, messages in found.items()
    } == {rule: sorted(messages) for rule, messages in VIOLATIONS.items()}
    [allocation] = found["claims-within-allocation"]
    assert '"14Gi"' in allocation and "StatefulSet shop/queue, claim template data" in allocation


def test_storage_in_patches_operators_objects_manifests_and_charts(project: Project, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    chart = project.folder / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: chart\nversion: 1.0.0\n")
    events = preview(project, "--policy-pack-config", str(tmp_path / "config.json"), program=INDIRECT)
    found = {(event["policyName"], ": ".join(event["message"].strip().split("\n")[1].split(": ")[:3])) for event in events}
    assert {each for each in found if each[0] != "project-labels"} == {
        (
            "never-the-default-class",
            'StorageClassPatch gp2: metadata.annotations[storageclass.beta.kubernetes.io/is-default-class]: "true"',
        ),
        ("claims-on-allowed-tiers", 'KafkaNodePool shop/others: spec.storage.volumes[0].class: "gp2"'),
        ("claims-on-allowed-tiers", 'Cluster shop/orders: spec.walStorage.storageClass: "gp2"'),
        ("claims-on-allowed-tiers", 'Release shop/chart: values.primary.persistence.storageClass: "gp2"'),
        ("single-writer-access", 'DaemonSet shop/cache, ephemeral volume scratch: spec.accessModes: "ReadWriteMany"'),
        ("claims-within-allocation", 'StorageClass good: spec.resources.requests.storage: "16Gi"'),
        ("storage-out-of-sight", f'Stack {STACK}: templates: "Release shop/chart"'),
    }
    assert {title.split(":")[0] for rule, title in found if rule == "project-labels"} == {"PersistentVolumeClaim shop/older"}
    assert {event["policyName"] for event in events if event["enforcementLevel"] == "advisory"} == {"storage-out-of-sight"}


def test_rules_without_their_config_do_not_apply(project: Project) -> None:
    broken = {event["policyName"] for event in preview(project)}
    assert "production-is-protected" in broken, f"stack {STACK} has classes on a cloud provisioner"
    assert broken == set(VIOLATIONS) - {"claims-on-allowed-tiers", "claims-within-allocation"}


@pytest.mark.parametrize(
    ("rule", "config", "named"),
    [
        ("claims-on-allowed-tiers", {"classes": "good"}, "classes"),
        ("claims-within-allocation", {"limits": {"good": "10 GB"}}, "limits.good"),
    ],
)
def test_a_wrong_config_is_refused_by_its_schema(project: Project, tmp_path: Path, rule: str, config: object, named: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({rule: config}))
    (project.folder / "__main__.py").write_text(FOREIGN)
    done = project.pulumi(
        "preview", "--policy-pack", str(PACK), "--policy-pack-config", str(tmp_path / "config.json"), succeeds=False,
        KUBECONFIG=str(project.folder / "none"),
    )  # fmt: skip
    assert rule in done.stdout + done.stderr and named in done.stdout + done.stderr
