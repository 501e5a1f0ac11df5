"""Rules for the fields of a class that are the same for every block storage driver."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from components.provisioners.findings import Finding, error, warning
from components.provisioners.manifest import WAIT, StorageClassManifest
from components.provisioners.remedies import Drop, Set

# Settings of a mount that lose what was acknowledged when a machine stops.
_UNSAFE_OPTIONS = ("nobarrier", "barrier=0", "data=writeback", "journal_async_commit")


def zones(names: Sequence[str], pattern: re.Pattern[str], cloud: str, example: str, path: str = "zones") -> Iterator[Finding]:
    """Zones are such as `pattern` has them, of one region, and each is there once.

    `pattern` has the group `region`.
    `cloud` and `example` are for the words of a finding at `path`.
    A class whose zones no node has stays without volumes, and says so only as an event of a claim.
    """
    for name in names:
        if not pattern.fullmatch(name):
            rule = f"a zone of {cloud}, such as {example}: no node has any other, and no volume would ever be made"
            yield error(path, name, rule, Set(example))
    found = regions(names, pattern)
    if len(found) > 1:
        first = min(found)
        works = ", ".join(name for name in names if (match := pattern.fullmatch(name)) and match["region"] == first)
        yield error(path, list(names), "a cluster's zones are of one region", Set(works))
    known = Counter(name for name in names if pattern.fullmatch(name))
    for name in (each for each, times in known.items() if times > 1):
        yield error(path, name, "listed twice: the API server refuses the class", Set(", ".join(known)))


def regions(names: Iterable[str], pattern: re.Pattern[str]) -> set[str]:
    """The regions of those names that are zones."""
    return {match["region"] for name in names if (match := pattern.fullmatch(name))}


def attribute_names(names: Iterable[str]) -> Iterator[Finding]:
    """The names of a tier's VolumeAttributesClasses, with which the names of the objects end."""
    for name in names:
        if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            rule = "a name is lower-case letters, digits and hyphens, because the class is named `<tier>-<provisioner>-<name>`"
            works = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "fast"
            yield error(f"attributes.{name}", name, rule, Set(works))


def mount_options(options: Sequence[str]) -> Iterator[Finding]:
    """Mount options, which nobody else checks until a pod's volume is mounted."""
    for option in options:
        if option in _UNSAFE_OPTIONS:
            rule = "with this option what was acknowledged can be lost when a machine stops"
            yield warning("mountOptions", option, rule, Drop(option))
        elif option == "ro":
            yield error("mountOptions", option, "the volumes are written to", Drop(option))
        elif not option or option != option.strip() or "," in option:
            works = option.strip() if re.fullmatch(r"\s*[\w=.-]+\s*", option) else "noatime"
            yield error("mountOptions", option, "one option each, as mount has it", Set(works))


def on_block_storage(manifest: StorageClassManifest) -> Iterator[Finding]:
    """The fields of an existing class whose volumes are disks of one zone."""
    if manifest.binding_mode != WAIT:
        rule = "the disk is made before its pod is placed, perhaps in a zone where the pod can't run"
        yield warning("volumeBindingMode", manifest.binding_mode, rule, Set(WAIT))
    if not manifest.allow_volume_expansion:
        rule = "volumes that are full can't be made larger, though the driver can"
        yield warning("allowVolumeExpansion", False, rule, Set(True))
    yield from deletes(manifest)


def deletes(manifest: StorageClassManifest) -> Iterator[Finding]:
    """The reclaim policy of an existing class, with which volumes may go together with claims."""
    if manifest.reclaim_policy == "Delete":
        rule = "deleting a claim deletes its volume, and the data with it"
        yield warning("reclaimPolicy", "Delete", rule, Set("Retain"))
