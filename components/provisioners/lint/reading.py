"""Reads the strings of a StorageClass as its driver would, into the typed parameters of a tier."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from components.provisioners import of_driver, owners
from components.provisioners.base import FSTYPE, RESERVED_PREFIX, Provisioner, TierParameters
from components.provisioners.codecs import Codec, Misread, Numbered
from components.provisioners.findings import Finding, error, warning
from components.provisioners.lint.fields import MISPLACED
from components.provisioners.lint.near_misses import meant_by
from components.provisioners.lint.values import text_of
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.migration import PLUGINS
from components.provisioners.remedies import Drop, Move, Remedy, Rename, Set

# Keys that external-provisioner keeps for itself (controller.go, removePrefixedParameters), and two
# that older ones had.
_SECRETS = re.compile(
    r"csi\.storage\.k8s\.io/((provisioner|controller-(publish|expand|modify)|node-(stage|publish|expand))-)?secret-(name|namespace)"
    r"|csiProvisionerSecret(Name|Namespace)"
)


def provisioner_of(manifest: StorageClassManifest) -> Provisioner[Any] | None:
    """The provisioner whose driver the class names, or is migrated to; None for an unknown one."""
    driver = PLUGINS[manifest.provisioner].driver if manifest.provisioner in PLUGINS else manifest.provisioner
    return of_driver(driver)


def read_class(provisioner: Provisioner[Any], manifest: StorageClassManifest) -> tuple[TierParameters, list[Finding]]:
    """The class as typed parameters, and what the driver refuses, ignores or misreads on the way.

    Parameters with such a finding are left out.
    The remedy of a finding is as the class has it: a string.
    """
    reader = _Reader(provisioner, manifest)
    for key, value in manifest.parameters.items():
        reader.parameter(key, value)
    model = provisioner.parameters_model
    if "mount_options" in model.model_fields:
        reader.values["mountOptions"] = list(manifest.mount_options)
    if provisioner.topology_keys:
        reader.values["zones"] = list(dict.fromkeys(reader.zones(manifest.topologies)))
    while True:
        try:
            return model.model_validate(reader.values), reader.findings
        except ValidationError as problems:
            for problem in problems.errors(include_url=False):
                reader.invalid(str(problem["loc"][0]))


def key_of(provisioner: Provisioner[Any], key: str) -> str | None:
    """The parameter that the driver takes `key` for; None for one that it doesn't know.

    Some drivers put keys into lower case, but never the prefixes of tags, nor reserved keys.
    """
    keys = keys_of(provisioner)
    if key.startswith(keys.prefixes):
        return key
    exact = key.lower().startswith(RESERVED_PREFIX) or not provisioner.keys_in_any_case
    return key if key in keys.codecs else None if exact else keys.lower.get(key.lower())


class Keys(NamedTuple):
    """The keys of a driver's parameters.

    `prefixes` are those of numbered ones; `codecs` are how the single ones are written, and `lower`
    these by their lower case. `fields` are the settings, and `settings` these by their lower case.
    """

    prefixes: tuple[str, ...]
    codecs: Mapping[str, Codec[Any]]
    lower: Mapping[str, str]
    fields: Mapping[str, FieldInfo]
    settings: Mapping[str, str]


@cache
def keys_of(provisioner: Provisioner[Any]) -> Keys:
    """The keys of the parameters of the provisioner's driver."""
    codecs = {key: codec for key, codec in provisioner.codecs.items() if isinstance(codec, Codec)}
    prefixes = tuple(codec.prefix for codec in provisioner.codecs.values() if isinstance(codec, Numbered))
    fields = {field.alias or name: field for name, field in provisioner.parameters_model.model_fields.items()}
    return Keys(prefixes, codecs, {key.lower(): key for key in codecs}, fields, {key.lower(): key for key in fields})


class _Reader:
    """Goes through a class's parameters once: `values` are typed, by the key of the settings."""

    def __init__(self, provisioner: Provisioner[Any], manifest: StorageClassManifest) -> None:
        self.provisioner = provisioner
        self.manifest = manifest
        self.values: dict[str, Any] = {}
        self.findings: list[Finding] = []
        self.spelled: dict[str, str] = {}
        self.fields, self.codecs = keys_of(provisioner).fields, keys_of(provisioner).codecs

    def parameter(self, key: str, value: object) -> None:
        """One parameter, as it is written."""
        if key in MISPLACED:
            rule = "a field of the class, not a parameter: here no driver reads it, and some refuse the class"
            self.findings.append(Finding("error", "", value, rule, self._moved(key, value), place=("parameters", key)))
            return
        if not isinstance(value, str):
            text = text_of(value)
            rule = "a class's parameters are strings: the API server refuses the class"
            self.findings.append(error(key, value, rule, Set(text)))
            value = text
        alias = key_of(self.provisioner, key)
        if alias is None:
            self.findings.append(self._unknown(key, value))
        elif alias in self.spelled:
            rule = f"also there as `{self.spelled[alias]}`: which of them the driver takes is left to chance"
            self.findings.append(error(key, value, rule, Drop(key)))
        elif alias == key and alias not in self.codecs:
            self.values[key] = value  # one of the numbered
        else:
            self.spelled[alias] = key
            try:
                read = self.codecs[alias].read(value)
            except Misread as problem:
                finding = error(key, value, problem.rule, Set(problem.works))
                self.findings.append(self.provisioner.misfit(finding, self.manifest))
            else:
                if read != "":
                    self.values[alias] = read
                doubt = self.codecs[alias].doubt(value)
                if doubt is not None:
                    self.findings.append(warning(key, value, doubt.rule, Set(doubt.works)))

    def _unknown(self, key: str, value: object) -> Finding:
        if self.provisioner.topology_keys and _SECRETS.fullmatch(key):
            rule = "the driver needs no secret, and where this one is missing no volume is made"
            return warning(key, value, rule, Drop(key))
        if self.provisioner.topology_keys and key.startswith(RESERVED_PREFIX):
            rule = f"`{RESERVED_PREFIX}…` is reserved, and the provisioner refuses a class with a key of it that it doesn't know"
            return error(key, value, rule, Rename(FSTYPE) if key.lower() == FSTYPE else Drop(key))
        finding = self.provisioner.unknown(key, value)
        near = meant_by(key, self.codecs, self.provisioner.codecs, self.present) if isinstance(finding.remedy, Drop) else None
        remedy = Rename(near) if near else finding.remedy
        whose = [] if self.provisioner.name in (names := owners(key)) else names
        rule = f"a parameter of {' and '.join(whose)}; {finding.rule}" if whose else finding.rule
        return Finding(finding.severity, finding.path, finding.value, rule, remedy)

    @cached_property
    def present(self) -> set[str]:
        """The parameters that the class has, as the driver calls them."""
        return {name for key in self.manifest.parameters if (name := key_of(self.provisioner, key)) is not None}

    def _moved(self, key: str, value: object) -> Remedy:
        """A field of the class in its right place, unless it is there already."""
        manifest, text = self.manifest, str(value).strip()
        fields: dict[str, tuple[bool, object]] = {
            "reclaimPolicy": (manifest.reclaim_policy != "Delete", text),
            "volumeBindingMode": (manifest.binding_mode != "Immediate", text),
            "allowVolumeExpansion": (manifest.allow_volume_expansion, text.lower() in ("true", "yes", "on", "1")),
            "mountOptions": (bool(manifest.mount_options), value if isinstance(value, list) else re.split("[, ]+", text)),
            "allowedTopologies": (bool(manifest.topologies) or not isinstance(value, list), value),
        }
        taken, moved = fields[key]
        return Drop(key) if taken or moved in ("", [""]) else Move((key,), moved)

    def zones(self, topologies: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
        """The zones among the allowed topologies; a key that no node has is a finding.

        A zone may be in several terms, and under several keys: the driver takes any of them.
        """
        keys: Mapping[str, str] = self.provisioner.topology_keys
        zone_key = next(key for key, kind in keys.items() if kind == "zone")
        for key, values in topologies:
            if key not in keys:
                rule = f"the driver's nodes have no such label, so no volume would ever be made; for zones it reads {zone_key}"
                self.findings.append(error("allowedTopologies", key, rule, Set(zone_key)))
            elif keys[key] == "zone":
                yield from values

    def invalid(self, alias: str) -> None:
        """A value that the typed parameters refuse: its field says why."""
        field, codec = self.fields[alias], self.codecs.get(alias)
        example = str((field.examples or [""])[0])
        works = codec.of_example(example) if codec else example
        finding = error(alias, self.values.pop(alias), field.description or "", Set(works))
        self.findings.append(self.provisioner.misfit(finding, self.manifest))
