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
FOREIGN = (paths.ROOT / "tests" / "policy" / "foreign" / "__main__.py").read_text(encoding="utf-8")
CONFIG = {
    "claims-on-allowed-tiers": {"classes": ["good"]},
    "claims-within-allocation": {"limits": {"good": "10Gi"}},
    "production-is-protected": {"stacks": ["te*"]},
}

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


def preview(project: Project, *options: str, succeeds: bool = False) -> list[dict[str, str]]:
    """Preview the foreign program with the pack.

    Returns the violations, as the engine's events have them.
    """
    (project.folder / "__main__.py").write_text(FOREIGN)
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


def test_rules_without_their_config_do_not_apply(project: Project) -> None:
    broken = {event["policyName"] for event in preview(project)}
    assert "production-is-protected" in broken, f"stack {STACK} has classes on a cloud provisioner"
    assert broken == set(VIOLATIONS) - {"claims-on-allowed-tiers", "claims-within-allocation"}


def test_a_wrong_config_is_refused_by_its_schema(project: Project, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"claims-on-allowed-tiers": {"classes": "good"}}))
    (project.folder / "__main__.py").write_text(FOREIGN)
    done = project.pulumi(
        "preview", "--policy-pack", str(PACK), "--policy-pack-config", str(tmp_path / "config.json"), succeeds=False,
        KUBECONFIG=str(project.folder / "none"),
    )  # fmt: skip
    assert "claims-on-allowed-tiers" in done.stdout + done.stderr and "classes" in done.stdout + done.stderr
