"""A pathPattern of local-path against Go's own execution of it, for several claims."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest

from components.provisioners.findings import Finding
from components.provisioners.go_template import TemplateError
from components.provisioners.lint.check import check_class
from components.provisioners.local_path.path_pattern import read_pattern
from components.provisioners.manifest import StorageClassManifest
from tests.oracles import ask

pytestmark = [pytest.mark.engine, pytest.mark.faults]

VOLUME = "pvc-00000000-0000-0000-0000-000000000000"
CLAIMS: tuple[dict[str, Any], ...] = (
    {"namespace": "data", "name": "data-postgres-0", "labels": {"team": "a"}, "annotations": {"x": "y"}, "uid": "1-1"},
    {"namespace": "default", "name": "web", "uid": "1-2"},
    {"namespace": "x1", "name": "a.b", "uid": "1-3"},
)
# Pieces of patterns; an action is in braces.
_RIGHT = "{{ .PVC.Namespace }}/{{ .PVC.Name }}/"
_BEGINNINGS = (
    _RIGHT,
    _RIGHT,
    _RIGHT,
    "{{.PVC.Namespace}}/{{.PVC.Name}}/",
    "{{- $.PVC.Namespace }}/{{ .PVC.Name -}} /",
    "",
    "/",
    "./",
    "prod/",
)
_FIELDS = """
    .PVC.Namespace|.PVC.Name|.PVName|.PVName|$.PVName|.PVC.Labels.team|.PVC.Annotations.x|.PVC.UID|.PVC.Nam|.Name|.PVC|.|$
    .PVC.Name.First|.pvname|.PVC.Labels|.PVC.Labels.a.b|.PVC.CreationTimestamp|.PVC.OwnerReferences|.PVC.Finalizers.x
    .PVC.Generation|(.PVC).Name|index .PVC.Labels "team"|printf "%s/%s" .PVC.Namespace .PVC.Name|upper .PVName||- .PVName -
    len .PVName|`a`
"""
_BLOCKS = (
    *("{{ if .PVC.Labels.team }}a{{ end }}", "{{ if .PVName }}b{{ else }}/{{ end }}", "{{ with .PVC.Labels }}c{{ end }}"),
    *("{{ range .PVC.Labels }}d{{ end }}", "{{ define `x` }}y{{ end }}", "{{/* x */}}", "{{", "}}", "{{ .PVName", "{{ end }}"),
)
_TEXTS = ("/", "/", "-", "_", "a", "data", "default", "web", "..", ".", " ", "/../", "//", "é", "*", "[a]")
_PIECES = (*(f"{{{{ {field.strip(' ')} }}}}" for line in _FIELDS.strip().splitlines() for field in line.split("|")), *_BLOCKS, *_TEXTS)


def made_up(seed: int, number: int) -> Iterator[str]:
    """Seeded patterns: right beginnings and others, then any pieces."""
    chance = random.Random(seed)
    for _ in range(number):
        yield chance.choice(_BEGINNINGS) + "".join(chance.choice(_PIECES) for _ in range(chance.choice((0, 1, 1, 2, 3, 4))))


def findings(pattern: str) -> Sequence[Finding]:
    manifest = StorageClassManifest(
        "a", "rancher.io/local-path", {"pathPattern": pattern}, "Retain", "WaitForFirstConsumer", annotations={"defaultVolumeType": "local"}
    )
    return check_class(manifest, []).findings


def differences(pattern: str, told: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """How the findings here differ from what Go made for each of the claims."""
    found = findings(pattern)
    errors = [each for each in found if each.severity == "error"]
    doubted = any("no telling" in each.rule or "written here alone" in each.rule for each in found)
    if not any(answer["Taken"] for answer in told) and not errors and not doubted:
        yield f"refused, and no error here: {told[0]['Error'] or told[0]['Path']}"
    if all(answer["Taken"] for answer in told) and errors and not any("`..` leads out" in each.rule for each in errors):
        yield f"taken, and an error here: {errors[0].rule}"
    if any(not answer["Taken"] for answer in told) and not found:
        yield f"refused for some, and no finding here: {[answer['Error'] or answer['Path'] for answer in told]}"
    if all(answer["Taken"] for answer in told):
        try:
            read = read_pattern(pattern)
        except TemplateError:
            return
        for claim, answer in zip(CLAIMS, told, strict=True):
            made = "/".join(part for part in answer["Path"].split("/") if part)
            globs = read.globs(claim["namespace"], claim["name"])
            if not any(fnmatchcase(made, each) for each in globs):
                yield f"{made} isn't found again by {globs}"


def test_a_pattern_is_read_as_the_provisioner_reads_it(full: bool) -> None:
    patterns = list(dict.fromkeys(made_up(12, 30_000 if full else 2_000)))
    asked = [{"Pattern": pattern, "PVName": VOLUME, "PVC": claim} for pattern in patterns for claim in CLAIMS]
    answers = ask("path-pattern", asked)
    told = [answers[at : at + len(CLAIMS)] for at in range(0, len(answers), len(CLAIMS))]
    differing = [(pattern, what) for pattern, each in zip(patterns, told, strict=True) for what in differences(pattern, each)]
    assert not differing, "\n".join(f"{what}: {pattern!r}" for pattern, what in differing[:20])
    taken = sum(all(answer["Taken"] for answer in each) for each in told)
    assert min(taken, len(told) - taken) > len(told) // 10
