"""The rules for GCE PD against the driver's own reading of parameters.

The driver's version is that of tests/oracles/gce-pd/go.mod: with another one there, this test names
what the driver reads differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest

from components.provisioners.base import FSTYPE
from components.provisioners.findings import Finding
from components.provisioners.lint.check import check_class
from components.provisioners.manifest import StorageClassManifest
from tests.oracles import ask
from tests.oracles.gce_pd_classes import IOPS, KEYS, THROUGHPUT, made_up

pytestmark = [pytest.mark.engine, pytest.mark.faults]

Answer = Mapping[str, Any]
HIGHLY_AVAILABLE = "hyperdisk-balanced-high-availability"

# What the driver leaves to the API, each by its name: the keys, and a part of the rule's words.
CLOUDS_OWN = {
    "disk types": (r"type|hyperdisk-type|pd-type", r"the disk types are|a disk type that begins with"),
    "IOPS and throughput of each type": (rf"{IOPS}|{THROUGHPUT}", r"the API refuses"),
    "types in two zones": (r"replication-type", r"the API refuses"),
    "names of Cloud KMS keys": (r"disk-encryption-kms-key", r"without a version"),
    "types with confidential mode": (r"enable-confidential-storage", r"for Hyperdisk Balanced alone"),
}
# What other code of the driver refuses, later than this: the function, the keys, the words.
LATER = {
    "createSingleDeviceDisk": (r"replication-type", r"none or regional-pd: the driver refuses"),
    "createVolumeInternal": (r"availability-class", r"invalid availability class for zonal disk"),
    "pickZonesFromTopology": (r"zones", r"the driver finds no second"),
    "validateStoragePools": (r"storage-pools", r"pools are for|pools have no|one pool for each zone"),
    "validateStoragePoolZones": (r"zones", r"are among those of its pools"),
    "validateMultiZoneProvisioning": (r"enable-multi-zone-provisioning", r"the driver refuses the class"),
    "SelectDisk": (r"disk-type-preference", r"an empty text"),
    "NodeStageVolume": (re.escape(FSTYPE), r"its pod never starts"),
}


def passed_on(parameters: Mapping[str, str]) -> dict[str, str] | None:
    """What the driver gets from its sidecar, or None where that refuses the class.

    Source: external-provisioner 6.4, pkg/controller/controller.go (Provision and
    removePrefixedParameters).
    """
    prefix = "csi.storage.k8s.io/"
    known = r"fstype|((provisioner|controller-(publish|expand|modify)|node-(stage|publish|expand))-)?secret-(name|namespace)"
    own = [key.removeprefix(prefix) for key in parameters if key.startswith(prefix)]
    file_systems = [key for key in parameters if key.lower() == "fstype" or key == FSTYPE]
    if len(file_systems) > 1 or not all(re.fullmatch(known, key) for key in own):
        return None
    return {key: value for key, value in parameters.items() if not key.startswith(prefix)}


_SUFFIXES = {name: Fraction(1000) ** power for power, name in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)}
_SUFFIXES |= {f"{name}i": Fraction(1024) ** power for power, name in enumerate("KMGTPE", 1)}


def meant(quantity: str) -> Fraction:
    """The number that a quantity says, which the driver takes."""
    found = re.fullmatch(r"([+-]?[0-9.]+)(?:[eE]([+-]?[0-9]+)|([A-Za-z]*))", quantity)
    assert found, quantity
    scale = Fraction(10) ** int(found[2]) if found[2] else _SUFFIXES[found[3] or ""]
    return Fraction(found[1].rstrip(".")) * scale


@dataclass(frozen=True)
class Made:
    """What the driver makes of a class: a disk, or what a dynamic one becomes, and a cache."""

    disks: Sequence[Answer]
    cache: Answer

    def taken(self, key: str, value: str) -> bool:  # noqa: PLR0911 - a key, a case
        """Whether the driver takes the value as it is meant; `key` is in lower case."""
        match key:
            case "type":
                return value == "" or value.lower() in ("dynamic", *self._each("DiskType"))
            case "replication-type":
                return value == "" or {_place(disk) for disk in self.disks} == {value.lower()}
            case "labels":
                pairs = {tuple(part.strip() for part in pair.split("=")) for pair in value.split(",") if pair}
                return len({key for key, *_ in pairs}) == len(pairs)
            case "provisioned-iops-on-create":
                return meant(value) >= 0 and self._each("ProvisionedIOPSOnCreate") == {meant(value)}
            case "provisioned-throughput-on-create":
                return self._each("ProvisionedThroughputOnCreate") == {meant(value) / 2**20}
            case "availability-class":
                return value.lower() == "none" or self._each("ForceAttach") == {True}
            case "storage-pools":
                return all(disk["StoragePools"] for disk in self.disks)
            case "data-cache-size":
                return bool(self.cache["DataCacheMode"]) and int(self.cache["DataCacheSize"]) == meant(value) / 2**30
            case "data-cache-mode":
                return bool(self.cache["DataCacheSize"])
            case "access-mode":  # which the driver uses nowhere
                return value in ("", "READ_WRITE_SINGLE")
            case "use-allowed-disk-topology":
                return value.lower() in ("true", "false")
            case "hyperdisk-type" | "pd-type":
                return value == "" or value.lower() in self._each("DiskType")
        return True

    def _each(self, field: str) -> set[Any]:
        return {disk[field] for disk in self.disks}


def changed(written: Mapping[str, str], answer: Answer) -> Iterator[str]:
    """The keys whose value the driver takes for another one, or leaves out, in lower case."""
    made = Made(answer["Becomes"] or [answer["Disk"]], answer["Cache"])
    for key, value in written.items():
        ignored = value and key != key.lower() and key.lower() in ("hyperdisk-type", "pd-type", "disk-type-preference")
        if ignored or not made.taken(key.lower(), value):
            yield key.lower()


def _place(disk: Answer) -> str:
    return "regional-pd" if disk["DiskType"] == HIGHLY_AVAILABLE else str(disk["ReplicationType"])


def findings(parameters: Mapping[str, str]) -> Sequence[Finding]:
    zones = sorted(
        set(re.findall("/zones/([^/]+)/", next((value for key, value in parameters.items() if key.lower() == "storage-pools"), "")))
    )
    topologies = [("topology.gke.io/zone", zones)] if zones else []
    manifest = StorageClassManifest(
        "a", "pd.csi.storage.gke.io", parameters, "Retain", "WaitForFirstConsumer", allow_volume_expansion=True, topologies=topologies
    )
    return check_class(manifest, []).findings


def differences(parameters: Mapping[str, str], answer: Answer | None) -> Iterator[str]:
    """How the findings here differ from the driver's answer; it is None where the sidecar refuses.

    Of a key that is there twice the driver takes one, now this and now that: an error here.
    """
    found = findings(parameters)
    errors = [each for each in found if each.severity == "error"]
    if answer is None or answer["Error"] or len({key.lower() for key in parameters}) < len(parameters):
        if not errors:
            yield f"refused, and no error here: {answer and answer['Error']}"
        return
    others = set(changed(passed_on(parameters) or {}, answer))
    for each in errors:
        named = [*CLOUDS_OWN.values(), *LATER.values()]
        by_name = any(re.fullmatch(keys, each.path, re.IGNORECASE) and re.search(words, each.rule) for keys, words in named)
        if each.path.lower() not in others and not by_name:
            yield f"taken as it is, and an error here: {each.path}: {each.rule}"
    for key in sorted(others - {each.path.lower() for each in found}):
        yield f"taken for something else, and no finding here: {key}"


def test_the_rules_say_what_the_driver_does(full: bool) -> None:
    classes = made_up(12, 50_000 if full else 2_000)
    passed = [passed_on(each) for each in classes]
    answers = iter(ask("gce-pd", [each for each in passed if each is not None]))
    told = [None if each is None else next(answers) for each in passed]
    differing = [(parameters, what) for parameters, answer in zip(classes, told, strict=True) for what in differences(parameters, answer)]
    assert not differing, "\n".join(f"{what}: {parameters}" for parameters, what in differing[:20])
    refused = sum(answer is None or bool(answer["Error"]) for answer in told)
    assert min(refused, len(told) - refused) > len(told) // 4
    assert {key.lower() for each in classes for key in each} >= set(KEYS)
