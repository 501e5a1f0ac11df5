"""Checks a StorageClass as it is written: reads its strings, then applies the rules."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.kube.quantity import Size
from components.provisioners.base import Provisioner
from components.provisioners.codecs import Codec
from components.provisioners.findings import Finding, RequestedVolume, shown
from components.provisioners.lint.reading import key_of, provisioner_of, read_class
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.migration import Migration, migrate
from components.provisioners.remedies import Add, Remedy, Rename, Set, as_yaml

# Paths of findings that are fields of the class; all others are parameters.
_FIELDS = (
    "provisioner",
    "volumeBindingMode",
    "allowVolumeExpansion",
    "reclaimPolicy",
    "mountOptions",
    "metadata.annotations.defaultVolumeType",
)


@dataclass(frozen=True)
class ClassReport:
    """What was found in a class.

    `provisioner` is None for one that isn't known here; the class isn't checked then.
    """

    manifest: StorageClassManifest
    provisioner: Provisioner[Any] | None
    findings: Sequence[Finding]

    def count(self, severity: str) -> int:
        """How many findings of this severity there are: `error` or `warning`."""
        return sum(finding.severity == severity for finding in self.findings)

    def where(self, finding: Finding) -> str:
        """Where in the manifest, or on the command line, the cause of a finding is."""
        if finding.volume:
            return finding.volume.path
        if finding.path == "allowedTopologies" or (finding.path == "zones" and "zones" not in self.manifest.parameters):
            return "allowedTopologies"
        return finding.path if finding.path in _FIELDS else f"parameters.{finding.path}"

    def value(self, finding: Finding) -> str:
        """The value as the manifest has it."""
        raw = next((value for key, value in self.manifest.parameters.items() if key.lower() == finding.path.lower()), finding.value)
        return raw if raw == "(missing)" else shown(finding.value if finding.volume or finding.path in _FIELDS else raw)

    def works(self, finding: Finding) -> str:
        """What works, in words; a value of a parameter is the string that the class needs.

        What YAML would read as a number, or as true or false, has quotes.
        """
        remedy = finding.remedy
        if finding.volume or not self.where(finding).startswith("parameters.") or not isinstance(remedy, Set) or remedy.with_:
            return finding.works
        text = _as_string(self.provisioner, finding.path, remedy.value)
        quoted = isinstance(remedy.value, int) or re.fullmatch("[0-9]+|true|false", text)
        return json.dumps(text) if quoted else text


def check_class(manifest: StorageClassManifest, sizes: Sequence[Size]) -> ClassReport:
    """All that the rules say of the class, by itself and with volumes of these sizes."""
    provisioner = provisioner_of(manifest)
    migration = migrate(manifest)
    if migration is not None:
        return _of_migrated(migration, sizes)
    if provisioner is None:
        return ClassReport(manifest, None, ())
    volumes = [RequestedVolume(f"--size {size.requested}", size.in_units_of(provisioner.size_unit)) for size in sizes]
    parameters, findings = read_class(provisioner, manifest)
    findings = [_with_remedy(provisioner, manifest, volumes, finding) for finding in findings]
    fields = type(parameters).model_fields
    known = {(fields[name].alias or name).lower() for name in parameters.model_fields_set}
    misread = {finding.path.lower() for finding in findings} - known  # of which the rules would say that it isn't set
    ruled = [finding for finding in provisioner.findings(parameters, volumes) if finding.volume or finding.path.lower() not in misread]
    return ClassReport(manifest, provisioner, [*findings, *ruled, *provisioner.class_findings(manifest)])


def _of_migrated(migration: Migration, sizes: Sequence[Size]) -> ClassReport:
    """What the driver says of a class that is translated for it, in terms of the written class."""
    report = check_class(migration.manifest, sizes)

    def fine(zones: Sequence[str]) -> bool:
        (key, _), *_ = migration.manifest.topologies
        again = check_class(replace(migration.manifest, topologies=[(key, zones)]), sizes)
        return not any(each.severity == "error" and each.path == "zones" for each in again.findings)

    return replace(report, manifest=migration.written, findings=migration.of_the_written(report.findings, fine))


def _codec(provisioner: Provisioner[Any] | None, key: str) -> Codec[Any] | None:
    """How the parameter is written, whatever the case of its key."""
    codecs = provisioner.codecs if provisioner else {}
    return next((codec for name, codec in codecs.items() if name.lower() == key.lower() and isinstance(codec, Codec)), None)


def _example(provisioner: Provisioner[Any], key: str) -> str:
    """An example of the parameter from the settings, whatever the case of its key."""
    fields = provisioner.parameters_model.model_fields
    return next(str((field.examples or [""])[0]) for name, field in fields.items() if (field.alias or name).lower() == key.lower())


def _as_string(provisioner: Provisioner[Any] | None, key: str, value: object) -> str:
    """A value as the class has it; a text is that already, or one entry of a list."""
    codec = _codec(provisioner, key)
    return codec.write(value) if codec and not isinstance(value, str) else as_yaml(value)


def _with_remedy(
    provisioner: Provisioner[Any], manifest: StorageClassManifest, volumes: Sequence[RequestedVolume], finding: Finding
) -> Finding:
    """A finding about a string, with one that the rules take as well.

    Tried are what the text seems to mean and the field's example; else it is what the rules say.
    """
    codec = _codec(provisioner, finding.path)
    known = key_of(provisioner, finding.path) is not None and finding.path in manifest.parameters
    if codec is None or not known or not isinstance(finding.remedy, Set):
        return finding
    refused: list[Finding] = []
    for works in filter(None, (as_yaml(finding.remedy.value), codec.of_example(_example(provisioner, finding.path)))):
        refused = list(_refused(provisioner, manifest, volumes, finding.path, works))
        if not refused:
            return replace(finding, remedy=Set(works))
    return replace(finding, remedy=_of_the_class(provisioner, refused[0])) if refused else finding


def _refused(
    provisioner: Provisioner[Any], manifest: StorageClassManifest, volumes: Sequence[RequestedVolume], key: str, text: str
) -> Sequence[Finding]:
    """The errors about `key` with this `text`, but those that another parameter would mend."""
    parameters, misread = read_class(provisioner, replace(manifest, parameters={**manifest.parameters, key: text}))
    found = [*misread, *provisioner.findings(parameters, volumes)]
    own = [each for each in found if each.severity == "error" and not each.volume and each.path.lower() == key.lower()]
    return [each for each in own if not isinstance(each.remedy, Add)]


def _of_the_class(provisioner: Provisioner[Any], finding: Finding) -> Remedy:
    """The remedy of a finding for another one: with its own value, as the class has it."""
    match finding.remedy:
        case Set() as remedy:
            return replace(remedy, value=_as_string(provisioner, finding.path, remedy.value))
        case Rename(value=None) as remedy:
            return replace(remedy, value=finding.value)
        case remedy:
            return remedy
