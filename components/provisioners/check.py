"""Checks a StorageClass as it is written: reads its strings as the driver would, then applies the provisioner's rules."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from components.kube.quantity import Size
from components.provisioners import PROVISIONERS, owners
from components.provisioners.finding import Finding, Volume, error, shown, warning
from components.provisioners.forms import Form, Misread, Numbered, form_of
from components.provisioners.manifests import Manifest
from components.provisioners.shape import Provisioner, TierParameters

_RESERVED = "csi.storage.k8s.io/"
FSTYPE = f"{_RESERVED}fstype"
# Keys that external-provisioner keeps for itself (controller.go, removePrefixedParameters), and two that older ones had.
_SECRETS = re.compile(
    r"csi\.storage\.k8s\.io/(provisioner|controller-publish|node-stage|node-publish|controller-expand|node-expand)-secret-(name|namespace)"
    r"|csiProvisionerSecret(Name|Namespace)"
)
_FIELDS = ("volumeBindingMode", "allowVolumeExpansion", "reclaimPolicy", "mountOptions", "metadata.annotations.defaultVolumeType")


@dataclass(frozen=True)
class Report:
    """What was found in a class; `provisioner` is None for one that isn't known here, which isn't checked."""

    manifest: Manifest
    provisioner: Provisioner[Any] | None
    findings: Sequence[Finding]

    def count(self, severity: str) -> int:
        """How many findings of this severity there are."""
        return sum(finding.severity == severity for finding in self.findings)

    def where(self, finding: Finding) -> str:
        """Where in the manifest, or on the command line, the cause of a finding is."""
        if finding.volume:
            return finding.volume.path
        if finding.path in ("zones", "allowedTopologies"):
            return "allowedTopologies"
        return finding.path if finding.path in _FIELDS else f"parameters.{finding.path}"

    def value(self, finding: Finding) -> str:
        """The value as the manifest has it."""
        raw = next((value for key, value in self.manifest.parameters.items() if key.lower() == finding.path.lower()), finding.value)
        return raw if raw == "(missing)" else shown(finding.value if finding.volume or finding.path in _FIELDS else raw)

    def works(self, finding: Finding) -> str:
        """A value that works, as a manifest has it: parameters are strings."""
        if finding.volume or not self.where(finding).startswith("parameters."):
            return finding.works
        form, _ = _form(self.provisioner, finding.path) if self.provisioner else (None, "")
        works = form.of_setting(finding.works) if form else finding.works
        return json.dumps(works) if re.fullmatch("[0-9]+|true|false", finding.works) else works


def check(manifest: Manifest, sizes: Sequence[Size]) -> Report:
    """All that the provisioner's rules say of the class, by itself and with volumes of these sizes."""
    provisioner = next((each for each in PROVISIONERS.values() if manifest.provisioner in each.drivers), None)
    if provisioner is None:
        return Report(manifest, None, ())
    volumes = [Volume(f"--size {size.requested}", size.in_units_of(provisioner.size_unit)) for size in sizes]
    parameters, findings = read(provisioner, manifest)
    findings = [_with_what_works(provisioner, manifest, volumes, finding) for finding in findings]
    fields = type(parameters).model_fields
    known = {(fields[name].alias or name).lower() for name in parameters.model_fields_set}
    misread = {finding.path.lower() for finding in findings} - known  # of which the rules would say that it isn't set
    ruled = [finding for finding in provisioner.findings(parameters, volumes) if finding.volume or finding.path.lower() not in misread]
    return Report(manifest, provisioner, [*findings, *ruled, *provisioner.class_findings(manifest)])


def _form(provisioner: Provisioner[Any], key: str) -> tuple[Form[Any] | None, str]:
    """How the parameter is written, whatever the case of its key, and the field's example; None for one that has no form."""
    for name, field in provisioner.parameters_model.model_fields.items():
        form = form_of(field)
        if (field.alias or name).lower() == key.lower() and isinstance(form, Form):
            return form, str((field.examples or [""])[0])
    return None, ""


def _with_what_works(provisioner: Provisioner[Any], manifest: Manifest, volumes: Sequence[Volume], finding: Finding) -> Finding:
    """A finding about a string with one that the rules take too: what the text seems to mean, the field's example, or what they say."""
    form, example = _form(provisioner, finding.path)
    known = _Reader(provisioner, manifest).alias(finding.path) is not None and finding.path in manifest.parameters
    if form is None or not known or finding.works.startswith("without "):
        return finding
    for works in filter(None, (finding.works, form.of_setting(example))):
        tried = replace(manifest, parameters={**manifest.parameters, finding.path: works})
        parameters, misread = read(provisioner, tried)
        found = [*misread, *provisioner.findings(parameters, volumes)]
        own = [each for each in found if each.severity == "error" and not each.volume and each.path.lower() == finding.path.lower()]
        wrong = [each for each in own if not each.works.startswith("with ")]  # it works, with another parameter
        if not wrong:
            return replace(finding, works=works)
    return replace(finding, works=form.of_setting(wrong[0].works))


def read(provisioner: Provisioner[Any], manifest: Manifest) -> tuple[TierParameters, list[Finding]]:
    """The class as typed parameters, and what the driver refuses, ignores or misreads on the way: that is left out of them."""
    reader = _Reader(provisioner, manifest)
    for key, value in manifest.parameters.items():
        reader.parameter(key, value)
    model = provisioner.parameters_model
    if "mount_options" in model.model_fields:
        reader.values["mountOptions"] = list(manifest.mount_options)
    if provisioner.topology_keys:
        reader.values["zones"] = list(reader.zones(manifest.topologies))
    while True:
        try:
            return model.model_validate(reader.values), reader.findings
        except ValidationError as problems:
            for problem in problems.errors(include_url=False):
                reader.invalid(str(problem["loc"][0]))


class _Reader:
    """Goes through a class's parameters once and collects the typed values, by alias, and the findings."""

    def __init__(self, provisioner: Provisioner[Any], manifest: Manifest) -> None:
        self.provisioner = provisioner
        self.manifest = manifest
        self.values: dict[str, Any] = {}
        self.findings: list[Finding] = []
        self.spelled: dict[str, str] = {}
        self.forms: dict[str, Form[Any]] = {}
        self.prefixes: list[str] = []
        self.fields = {field.alias or name: field for name, field in provisioner.parameters_model.model_fields.items()}
        for alias, field in self.fields.items():
            form = form_of(field)
            if isinstance(form, Numbered):
                self.prefixes.append(form.prefix)
            elif form:
                self.forms[alias] = form

    def parameter(self, key: str, value: object) -> None:
        """One parameter, as it is written."""
        if not isinstance(value, str):
            rule = "a class's parameters are strings: the API server refuses the class"
            self.findings.append(error(key, value, rule, json.dumps(value, default=str)))
            value = json.dumps(value, default=str)
        alias = self.alias(key)
        if alias is None:
            self.findings.append(self._unknown(key, value))
        elif alias in self.spelled:
            rule = f"also there as `{self.spelled[alias]}`: which of them the driver takes is left to chance"
            self.findings.append(error(key, value, rule, f"without `{key}`"))
        elif alias == key and alias not in self.forms:
            self.values[key] = value  # one of the numbered
        else:
            self.spelled[alias] = key
            try:
                read = self.forms[alias].read(value)
            except Misread as problem:
                self.findings.append(error(key, value, problem.rule, problem.works))
            else:
                if read != "":
                    self.values[alias] = read

    def alias(self, key: str) -> str | None:
        """The parameter that the driver takes `key` for: it puts keys into lower case, but the prefixes of tags, and `csi.…` keys."""
        if any(key.startswith(prefix) for prefix in self.prefixes):
            return key
        exact = key.startswith(_RESERVED) or not self.provisioner.keys_in_any_case
        return next((alias for alias in self.forms if alias == key or (not exact and alias.lower() == key.lower())), None)

    def _unknown(self, key: str, value: object) -> Finding:
        if self.provisioner.topology_keys and _SECRETS.fullmatch(key):
            rule = "the driver needs no secret, and where this one is missing no volume is made"
            return warning(key, value, rule, f"without `{key}`")
        if self.provisioner.topology_keys and key.startswith(_RESERVED):
            rule = f"`{_RESERVED}…` is reserved, and the provisioner refuses a class with a key of it that it doesn't know"
            return error(key, value, rule, f"{FSTYPE}: {value}" if key.lower() == FSTYPE else f"without `{key}`")
        finding = self.provisioner.unknown(key, value)
        near = difflib.get_close_matches(key, self.forms, 1, 0.75)
        works = f"{near[0]}: {value}" if near and finding.works == f"without `{key}`" else finding.works
        whose = [name for name in owners(key) if name != self.provisioner.name]
        rule = f"a parameter of {' and '.join(whose)}; {finding.rule}" if whose else finding.rule
        return Finding(finding.severity, finding.path, finding.value, rule, works)

    def zones(self, topologies: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
        """The zones among the allowed topologies; a key that the driver's nodes don't have is a finding."""
        keys: Mapping[str, str] = self.provisioner.topology_keys
        zone_key = next(key for key, kind in keys.items() if kind == "zone")
        for key, values in topologies:
            if key not in keys:
                rule = f"the driver's nodes have no such label, so no volume would ever be made; for zones it reads {zone_key}"
                self.findings.append(error("allowedTopologies", key, rule, zone_key))
            elif keys[key] == "zone":
                yield from values

    def invalid(self, alias: str) -> None:
        """A value that the typed model refuses: its field says why."""
        field = self.fields[alias]
        finding = error(alias, self.values.pop(alias), field.description or "", (field.examples or [""])[0])
        self.findings.append(self.provisioner.misfit(finding, self.manifest))
