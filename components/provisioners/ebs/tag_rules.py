"""Rules for tags, which the driver puts on volumes and snapshots.

Sources: the driver's pkg/driver/validation.go and docs/tagging.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.provisioners.ebs.limits import LONGEST_TAG_KEY, LONGEST_TAG_VALUE, MOST_TAGS
from components.provisioners.ebs.parameters import AUTO_MODE_DRIVER, DRIVER
from components.provisioners.findings import Finding, error
from components.provisioners.remedies import Advice, Drop, Set

VOLUME_FIELDS = ("PVCNamespace", "PVCName", "PVName")
SNAPSHOT_FIELDS = ("VolumeSnapshotNamespace", "VolumeSnapshotName", "VolumeSnapshotContentName")

_EXAMPLE = "team=data"
_TAG_TEXT = re.compile(r"[\w .:/=+\-@]*")
# What driver and EC2 keep for themselves.
_RESERVED_TAGS = ("CSIVolumeName", "CSIVolumeSnapshotName")
_RESERVED_PREFIXES = ("kubernetes.io", "aws:", f"{DRIVER}/", f"{AUTO_MODE_DRIVER}/")


def tags(written: Mapping[str, str], prefix: str, fields: Sequence[str]) -> Iterator[Finding]:
    """Tags, each `key=value`; `fields` are those that `{{ .Field }}` may name in a value.

    The driver's own check of letters lets everything pass: its expression isn't anchored.
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
    reserved = next((each for each in _RESERVED_PREFIXES if key.startswith(each)), key if key in _RESERVED_TAGS else None)
    if reserved:
        works = f"my-{key.replace('/', '-')}={value}"
        yield error(path, text, f"`{reserved}` is reserved: the driver or EC2 refuses the tag", Set(works))
    yield from _letters(path, text, key, value, fields)
    for field in _fields_of(value):
        if field not in fields:
            known = ", ".join(f".{each}" for each in fields)
            yield error(path, text, f"no such field .{field}; there are {known}", Set(_template(fields)))


def _letters(path: str, text: str, key: str, value: str, fields: Sequence[str]) -> Iterator[Finding]:
    """The text of a tag outside its templates."""
    literal = re.sub(r"\{\{.*?\}\}", "", value)
    if len(key) > LONGEST_TAG_KEY or len(literal) > LONGEST_TAG_VALUE:
        rule = f"a tag's key has at most {LONGEST_TAG_KEY} characters, its value at most {LONGEST_TAG_VALUE}"
        yield error(path, text, rule, Set(_EXAMPLE))
    if "{{" in literal or "}}" in literal:
        yield error(path, text, "an open template: the driver refuses the class", Set(_template(fields)))
    elif not _TAG_TEXT.fullmatch(key) or not _TAG_TEXT.fullmatch(literal):
        yield error(path, text, "a tag has letters, digits, spaces and `_ . : / = + - @`: EC2 refuses others", Set(_EXAMPLE))


def _fields_of(value: str) -> Iterable[str]:
    """The fields that the templates in a tag's value name, each once."""
    templates = re.findall(r"\{\{(.*?)\}\}", value)
    return dict.fromkeys(name for each in templates for name in re.findall(r"(?<![\w\"])\.([A-Za-z]\w*)", each))


def _template(fields: Sequence[str]) -> str:
    return f"claim={{{{ .{fields[1]} }}}}"
