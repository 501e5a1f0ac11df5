"""Rules for the fields of a class that are the same for every block storage driver: zones and mount options."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from components.provisioners.finding import Finding, error, warning

# Settings of a mount that lose what was acknowledged when a machine stops.
_UNSAFE_OPTIONS = ("nobarrier", "barrier=0", "data=writeback", "journal_async_commit")


def zones(names: Sequence[str], pattern: re.Pattern[str], cloud: str, example: str, path: str = "zones") -> Iterator[Finding]:
    """Zones as `pattern` has them, with the group `region`, all of one region and each once.

    A class whose zones no node has stays without volumes, and says so only as an event of a Pending claim.
    """
    for name in names:
        if not pattern.fullmatch(name):
            rule = f"a zone of {cloud}, such as {example}: no node has any other, and no volume would ever be made"
            yield error(path, name, rule, example)
    found = regions(names, pattern)
    if len(found) > 1:
        works = ", ".join(name for name in names if (match := pattern.fullmatch(name)) and match["region"] == min(found))
        yield error(path, list(names), "a cluster's zones are of one region", works)
    for name in dict.fromkeys(each for each in names if names.count(each) > 1):
        yield error(path, name, "listed twice: the API server refuses the class", ", ".join(dict.fromkeys(names)))


def regions(names: Iterable[str], pattern: re.Pattern[str]) -> set[str]:
    """The regions of the zones that are such."""
    return {match["region"] for name in names if (match := pattern.fullmatch(name))}


def attribute_names(names: Iterable[str]) -> Iterator[Finding]:
    """Names of VolumeAttributesClasses, which end with them."""
    for name in names:
        if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
            rule = "a name is lower-case letters, digits and hyphens, because the class is named `<tier>-<provisioner>-<name>`"
            yield error(f"attributes.{name}", name, rule, re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")[:63] or "fast")


def mount_options(options: Sequence[str]) -> Iterator[Finding]:
    """Options of a mount are checked by nobody until the pod's volume is mounted."""
    for option in options:
        if option in _UNSAFE_OPTIONS:
            rule = "with this option what was acknowledged can be lost when a machine stops"
            yield warning("mountOptions", option, rule, f"without `{option}`")
        elif option == "ro":
            yield error("mountOptions", option, "the volumes are written to", "without `ro`")
        elif not option or option != option.strip() or "," in option:
            yield error("mountOptions", option, "one option each, as mount has it", "noatime")
