"""Classes of the provisioners that Kubernetes once had built in, as CSI migration translates them.

external-provisioner hands the driver such a class in translated form, under the CSI driver's name.
The translation is a matter of keys alone: what is wrong in a value then is what the driver says of
it.

Source: k8s.io/csi-translation-lib 0.34, plugins/aws_ebs.go, gce_pd.go and in_tree_volume.go.
tests/oracles holds this module against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from components.provisioners.base import FSTYPE
from components.provisioners.findings import Finding, error, warning
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Drop, Remedy, Rename, Replace, Set

# Keys of allowedTopologies that are translated into the driver's own.
_ZONE_LABELS = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone")
# For EBS, iopsPerGB brings this one along: the old plugin raised IOPS that were too few.
_INCREASE = "allowautoiopspergbincrease"


class MigrationError(ValueError):
    """A class that can't be translated: no volume is made of it."""


class _Plugin(NamedTuple):
    """A provisioner of old. `until` is the last release of Kubernetes that had it."""

    driver: str
    zone_key: str
    until: str


PLUGINS = {
    "kubernetes.io/aws-ebs": _Plugin("ebs.csi.aws.com", "topology.ebs.csi.aws.com/zone", "1.26"),
    "kubernetes.io/gce-pd": _Plugin("pd.csi.storage.gke.io", "topology.gke.io/zone", "1.27"),
}


class Migration(NamedTuple):
    """What becomes of a class.

    `manifest` is what the driver gets. `keys` are those of the written class, by the keys of the
    settings. `findings` are what is wrong with the class before the driver sees it.
    """

    written: StorageClassManifest
    manifest: StorageClassManifest
    keys: Mapping[str, str]
    findings: Sequence[Finding]

    def of_the_written(self, findings: Sequence[Finding], zones_are_fine: Callable[[Sequence[str]], bool]) -> list[Finding]:
        """Findings about the driver's class, as findings about the written one.

        `zones_are_fine` says whether the driver has nothing against a list of zones.
        """
        of_zones = [each for each in findings if each.path == "zones" and "zones" in self.keys]
        found = [each._replace(path=self.keys.get(each.path, each.path)) for each in findings if each not in of_zones]
        return [*self.findings, *found, *(self._of_zones(of_zones, zones_are_fine) if of_zones else ())]

    def _of_zones(self, findings: Sequence[Finding], zones_are_fine: Callable[[Sequence[str]], bool]) -> Iterator[Finding]:
        """Findings about single zones, each rule once: they are about the one text that has all."""
        key = self.keys["zones"]
        text = str(self.written.parameters[key])
        zones = _stripped(text.split(","))
        fine = zones_are_fine(zones) if zones else False
        for finding in {each.rule: each for each in reversed(findings)}.values():
            remedy: Remedy = Set(",".join(zones)) if fine else finding.remedy
            if isinstance(remedy, Set):
                remedy = remedy._replace(value=str(remedy.value).replace(", ", ","))
            if fine and key.lower() == "zone" and len(zones) > 1:
                remedy = Rename("zones", ",".join(zones))
            yield finding._replace(path=key, value=text, remedy=remedy, place=("parameters", key))


def translate(
    provisioner: str, parameters: Mapping[str, object], topologies: Sequence[tuple[str, Sequence[str]]]
) -> tuple[dict[str, object], list[tuple[str, list[str]]]]:
    """The parameters and topologies that the driver gets for those of a class.

    Of keys that become the same one, the last counts; Go takes them in any order.
    Raises MigrationError.
    """
    plugin = PLUGINS[provisioner]
    translated: dict[str, object] = {}
    generated: list[tuple[str, list[str]]] = []
    for key, value in parameters.items():
        match key.lower():
            case "fstype":
                translated[FSTYPE] = value
            case "zone":
                generated = [(plugin.zone_key, [str(value)])]
            case "zones":
                generated = [(plugin.zone_key, str(value).split(","))]
            case "iopspergb" if provisioner == "kubernetes.io/aws-ebs":
                translated |= {key: value, _INCREASE: "true"}
            case _:
                translated[key] = value
    if generated and topologies:
        raise MigrationError("the class has allowedTopologies as well: the provisioner refuses it")
    if generated:
        return translated, generated
    return translated, [(plugin.zone_key if key in _ZONE_LABELS else key, list(values)) for key, values in topologies]


def migrate(manifest: StorageClassManifest) -> Migration | None:
    """What becomes of the class; None for one that isn't translated."""
    plugin = PLUGINS.get(manifest.provisioner)
    if plugin is None:
        return None
    kept, findings = _without_doubles(manifest)
    zones = [key for key in kept if key.lower() in ("zone", "zones")]
    parameters = {key: str(value) if key in zones else value for key, value in kept.items()}
    topologies: Sequence[tuple[str, Sequence[str]]] = manifest.topologies
    try:
        translated, topologies = translate(manifest.provisioner, parameters, manifest.topologies)
    except MigrationError as problem:
        findings.extend(_of_key(key, parameters[key], str(problem)) for key in zones)
        parameters = {key: value for key, value in parameters.items() if key not in zones}
        translated, topologies = translate(manifest.provisioner, parameters, topologies)
    new = replace(manifest, provisioner=plugin.driver, parameters=translated, topologies=topologies)
    of_settings = {"fstype": FSTYPE, "zone": "zones", "zones": "zones"}
    keys = {of_settings[key.lower()]: key for key in parameters if key.lower() in of_settings}
    return Migration(manifest, new, keys, [_replaced(manifest, new, plugin), *findings])


def _of_key(key: str, value: object, rule: str) -> Finding:
    return error(key, value, rule, Drop(key))._replace(place=("parameters", key))


def _replaced(manifest: StorageClassManifest, new: StorageClassManifest, plugin: _Plugin) -> Finding:
    """That the class has another driver, and how it looks for that one."""
    rule = (
        f"Kubernetes had this provisioner up to {plugin.until}: CSI migration hands its volumes to {plugin.driver}, which has to be "
        "installed, with keys of its own. A class for that driver has another name, or takes this one's place"
    )
    parameters = {"allowAutoIOPSPerGBIncrease" if key == _INCREASE else key: value for key, value in new.parameters.items()}
    topologies = [(key, _stripped(values)) for key, values in new.topologies]
    return warning("provisioner", manifest.provisioner, rule, Replace(plugin.driver, parameters, topologies))


def _stripped(zones: Sequence[str]) -> list[str]:
    """Each zone once, without the blanks that the translation leaves around it."""
    return list(dict.fromkeys(filter(None, (zone.strip() for zone in zones))))


def _without_doubles(manifest: StorageClassManifest) -> tuple[dict[str, object], list[Finding]]:
    """The parameters without those that are translated into one that is there already.

    The translation goes through them in any order, so that any of them may count.
    """
    per_gib = manifest.provisioner == "kubernetes.io/aws-ebs" and any(key.lower() == "iopspergb" for key in manifest.parameters)
    kept: dict[str, object] = {}
    of: dict[str, str] = {}
    findings: list[Finding] = []
    for key, value in manifest.parameters.items():
        name = {"fstype": FSTYPE, "zone": "zones", "zones": "zones"}.get(key.lower(), key)
        if per_gib and key.lower() == _INCREASE:
            if value != "true":
                rule = "with iopsPerGB the translation sets it to true as well, and which of the two the driver takes is left to chance"
                findings.append(_of_key(key, value, rule))
            continue
        if name in of:
            rule = f"`{of[name]}` is translated into the same, and which of the two counts is left to chance"
            findings.append(_of_key(key, value, rule))
            continue
        of[name] = key
        kept[key] = value
    return kept, findings
