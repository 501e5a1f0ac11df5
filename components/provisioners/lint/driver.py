"""What the driver of a class says of it: its own classes, and those that are translated for it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from components.provisioners.base import Provisioner
from components.provisioners.findings import Finding, RequestedVolume
from components.provisioners.lint.reading import read_class
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.migration import migrate
from components.provisioners.remedies import Add

# Of the rules for one class: a list of 100,000 wrong entries is wrong enough.
_MOST_FINDINGS = 200


def driver_findings(provisioner: Provisioner[Any], manifest: StorageClassManifest, volumes: Sequence[RequestedVolume]) -> list[Finding]:
    """All that the rules say of the class, by itself and with volumes of these sizes.

    Of a class that is translated for the driver they are about the class as it is written.
    """
    migration = migrate(manifest)
    if migration is None:
        return _of_its_own(provisioner, manifest, volumes)

    def fine(zones: Sequence[str]) -> bool:
        (key, _), *_ = migration.manifest.topologies
        found = _of_its_own(provisioner, replace(migration.manifest, topologies=[(key, zones)]), volumes)
        return not any(each.severity == "error" and each.path == "zones" for each in found)

    return migration.of_the_written(_of_its_own(provisioner, migration.manifest, volumes), fine)


def _of_its_own(provisioner: Provisioner[Any], manifest: StorageClassManifest, volumes: Sequence[RequestedVolume]) -> list[Finding]:
    parameters, findings = read_class(provisioner, manifest)
    fields = type(parameters).model_fields
    known = {(fields[name].alias or name).lower() for name in parameters.model_fields_set}
    misread = {finding.path.lower() for finding in findings} - known  # of which the rules would say that it isn't set
    bounded = islice(provisioner.findings(parameters, volumes), _MOST_FINDINGS)
    ruled = [finding for finding in bounded if not _of_misread(finding, misread)]
    return [*findings, *ruled, *provisioner.class_findings(manifest)]


def _of_misread(finding: Finding, misread: Collection[str]) -> bool:
    """Whether it is only that a parameter is missing, which is there and has a finding already."""
    if finding.volume:
        return False
    wanted = finding.remedy.with_ if isinstance(finding.remedy, Add) else {}
    return finding.path.lower() in misread or any(key.lower() in misread for key in wanted)
