"""Rules for tags, which the driver puts on volumes and snapshots.

Sources: the driver's pkg/driver/validation.go and docs/tagging.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.provisioners.ebs.limits import LONGEST_TAG_KEY, LONGEST_TAG_VALUE, MOST_TAGS
from components.provisioners.ebs.parameters import AUTO_MODE_DRIVER, DRIVER
from components.provisioners.findings import Finding, error, warning
from components.provisioners.remedies import Advice, Drop, Set

VOLUME_FIELDS = ("PVCNamespace", "PVCName", "PVName")
SNAPSHOT_FIELDS = ("VolumeSnapshotNamespace", "VolumeSnapshotName", "VolumeSnapshotContentName")

_EXAMPLE = "team=data"
# What driver and EC2 keep for themselves: EC2 its prefix in any case.
_RESERVED_TAGS = ("CSIVolumeName", "CSIVolumeSnapshotName")
_RESERVED_PREFIXES = ("kubernetes.io", "aws:", f"{DRIVER}/", f"{AUTO_MODE_DRIVER}/")


def tags(written: Mapping[str, str], prefix: str, fields: Sequence[str]) -> Iterator[Finding]:
    """Tags, each `key=value`; `fields` are those that `{{ .Field }}` may name in a value.

    A tag may have any characters: EC2 takes all, and the driver's own check lets all pass.
    """
    seen: dict[str, str] = {}
    for name, text in written.items():
        path = f"{prefix}{name}"
        key, equals, value = text.partition("=")
        yield from _tag(path, text, key, value if equals else None, fields)
        if equals and key in seen:
            rule = f"the tag {key} is in {seen[key]} as well, and which one the driver takes is left to chance"
            yield error(path, text, rule, Drop(name))
        seen[key] = name
    if len(written) > MOST_TAGS:
        rule = f"at most {MOST_TAGS} tags: EC2 takes 50, and the driver adds two of its own"
        yield error(f"{prefix}{list(written)[-1]}", f"{len(written)} tags", rule, Advice(f"{MOST_TAGS} tags"))


def _tag(path: str, text: str, key: str, value: str | None, fields: Sequence[str]) -> Iterator[Finding]:
    if value is None or not key:
        yield error(path, text, "a tag is `key=value`, with a key: the driver refuses the class", Set(_EXAMPLE))
        return
    prefixes = (each for each in _RESERVED_PREFIXES if (key.lower() if each == "aws:" else key).startswith(each))
    reserved = next(prefixes, key if key in _RESERVED_TAGS else None)
    if reserved:
        works = f"my-{key.replace('/', '-')}={value}"
        yield error(path, text, f"`{reserved}` is reserved: the driver or EC2 refuses the tag", Set(works))
    if "{{" in key and "}}" in key:
        rule = "only the value of a tag is a template: the key stays as it is written, with its braces"
        yield warning(path, text, rule, Set(_EXAMPLE))
    always = value
    if "{{" in value:
        from components.provisioners.ebs.tag_templates import template_faults, text_of  # noqa: PLC0415 - 2 % of a check

        faults = list(template_faults(value, fields))
        for fault in faults:
            yield error(path, text, f"{fault}: the driver refuses the class", Set(f"{key}={{{{ .{fields[1]} }}}}"))
        always = "" if faults else text_of(value)
    if len(key.encode()) > LONGEST_TAG_KEY or len(always.encode()) > LONGEST_TAG_VALUE:
        rule = f"a tag's key has at most {LONGEST_TAG_KEY} bytes, its value at most {LONGEST_TAG_VALUE}: the driver refuses the class"
        yield error(path, text, rule, Set(_EXAMPLE))
