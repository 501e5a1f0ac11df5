"""Checks a StorageClass as it is written: reads its strings, then applies the rules."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from components.kube.quantity import Size
from components.provisioners.base import Provisioner
from components.provisioners.findings import Finding, RequestedVolume, shown
from components.provisioners.lint.driver import driver_findings
from components.provisioners.lint.fields import too_large
from components.provisioners.lint.manifests import ClassSource
from components.provisioners.lint.mending import FIELDS, place_of, placed
from components.provisioners.lint.nodes import Place, plain
from components.provisioners.lint.reading import provisioner_of
from components.provisioners.lint.suggestions import Suggestions
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Remedy, Set, as_yaml, sentence

_LONGEST_VALUE = 200  # characters; a message shows fewer


@dataclass(frozen=True)
class ClassReport:
    """What was found in a class.

    `provisioner` is None for one that isn't known here; its parameters aren't checked then.
    `volumes` have the sizes that the class was checked with.
    `source` is where the class is written, if it was read from a text.
    """

    manifest: StorageClassManifest
    provisioner: Provisioner[Any] | None
    findings: Sequence[Finding]
    volumes: Sequence[RequestedVolume] = ()
    source: ClassSource | None = None

    def count(self, severity: str) -> int:
        """How many findings of this severity there are: `error` or `warning`."""
        return sum(finding.severity == severity for finding in self.findings)

    def where(self, finding: Finding) -> str:
        """Where in the manifest, or on the command line, the cause of a finding is."""
        if finding.volume:
            return finding.volume.path
        place = place_of(self.manifest, finding)
        return f"parameters.{finding.path}" if place[:1] == ("parameters",) and not finding.place else path_text(place)

    def line(self, finding: Finding) -> int:
        """The line of the cause of a finding in its file; 0 for one that is in none."""
        return self.source.line(place_of(self.manifest, finding)) if self.source and not finding.volume else 0

    def value(self, finding: Finding) -> str:
        """The value as the manifest has it."""
        place = place_of(self.manifest, finding)
        raw = finding.value
        if place[:1] == ("parameters",) and len(place) == 2 and not finding.place:
            raw = self.manifest.parameters.get(str(place[1]), raw)
        return str(raw) if raw == "(missing)" else shown(raw[:_LONGEST_VALUE] if isinstance(raw, str) else raw)

    def remedy(self, finding: Finding) -> Remedy:
        """What works, with values as the class has them: those of parameters are strings."""
        return self.suggestions.remedy(finding) if self.suggestions else finding.remedy

    @cached_property
    def suggestions(self) -> Suggestions | None:
        """What works, tried by the rules of the driver; None where these aren't known."""
        return Suggestions(self.provisioner, self.manifest, self.volumes) if self.provisioner else None

    def works(self, finding: Finding) -> str:
        """What works, in words; a value of a parameter is the string that the class needs.

        What YAML would read as a number, or as true or false, has quotes.
        """
        return self.words(finding, self.remedy(finding))

    def words(self, finding: Finding, remedy: Remedy) -> str:
        """A remedy of a finding in words."""
        if finding.volume or finding.place or finding.path in FIELDS or not self.where(finding).startswith("parameters."):
            return sentence(remedy, finding.value)
        number = isinstance(finding.remedy, Set) and isinstance(finding.remedy.value, int)
        if number and isinstance(remedy, Set) and isinstance(remedy.value, str) and not remedy.with_:
            return json.dumps(remedy.value)
        return sentence(remedy, self.manifest.parameters.get(finding.path, finding.value), _in_class)


def path_text(place: Place) -> str:
    """A place in words, such as `allowedTopologies[0].matchLabelExpressions`."""
    return "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in place).removeprefix(".")


def check_class(manifest: StorageClassManifest, sizes: Sequence[Size]) -> ClassReport:
    """All that the rules of its driver say of the class, with volumes of these sizes too."""
    provisioner = provisioner_of(manifest)
    if provisioner is None:
        return ClassReport(manifest, None, ())
    volumes = [RequestedVolume(f"--size {size.requested}", size.in_units_of(provisioner.size_unit)) for size in sizes]
    return ClassReport(manifest, provisioner, driver_findings(provisioner, manifest, volumes), volumes)


def check_source(source: ClassSource, sizes: Sequence[Size]) -> ClassReport:
    """The same for a class as it is in a text, and what the API server refuses of it."""
    if too_large(source.manifest.parameters):  # which are refused, whatever they are
        return ClassReport(source.manifest, provisioner_of(source.manifest), source.findings, source=source)
    report = check_class(source.manifest, sizes)
    refused = {finding.place for finding in source.findings}
    ruled = (each for finding in report.findings for each in placed(source.manifest, finding))
    rest = [each for each in ruled if each.volume or place_of(source.manifest, each) not in refused]
    return replace(report, findings=[*source.findings, *rest], source=source)


def _in_class(value: object) -> str:
    """A parameter's value as YAML needs it: what isn't read as that text has quotes."""
    text = value if isinstance(value, str) else as_yaml(value)
    return text if plain(text) == text else json.dumps(text, ensure_ascii=False)
