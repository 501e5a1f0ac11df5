"""What the API server refuses of a class's metadata: its name, labels and annotations.

Sources: Kubernetes 1.34, apimachinery's pkg/api/validation/objectmeta.go and pkg/util/validation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.provisioners.findings import Finding
from components.provisioners.lint.values import NAME_PART, NO_FIELD, SUBDOMAIN, is_scalar, near, qualified, text_of, wrong
from components.provisioners.remedies import Drop, Rename, Set

_METADATA = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)


def metadata_findings(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Every field of the metadata that the API server refuses, or doesn't know."""
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        remedy = Set({"name": _as_name(metadata) if isinstance(metadata, str) else "fast"})
        yield wrong(("metadata",), metadata, "a mapping with the name of the class: the API server refuses the class", remedy)
        return
    metadata = metadata or {}
    for key in metadata:
        if key not in _METADATA:
            meant = near(key, [name for name in _METADATA if name not in metadata])
            yield wrong(("metadata", key), metadata[key], NO_FIELD.format("metadata"), Rename(meant) if meant else Drop(key))
    yield from _name(metadata)
    for field in ("labels", "annotations"):
        yield from _texts_by_key(metadata.get(field), field)


def _name(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    name, place = metadata.get("name"), ("metadata", "name")
    if name in (None, ""):
        if not metadata.get("generateName"):
            yield wrong(place, "(missing)", "a class has a name: the API server refuses it", Set("fast"))
    elif not isinstance(name, str):
        yield wrong(place, name, "a text, in quotes: the API server refuses the class", Set(_as_name(text_of(name)), meant=is_scalar(name)))
    elif len(name) > 253 or not SUBDOMAIN.fullmatch(name):
        rule = "at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends: the API server refuses the class"
        yield wrong(place, name, rule, Set(_as_name(name)))


def _as_name(text: str) -> str:
    """The nearest name that a class can have."""
    parts = (re.sub("[^a-z0-9]+", "-", part).strip("-") for part in text.lower().split("."))
    return ".".join(filter(None, parts))[:253].strip("-.") or "fast"


def _texts_by_key(value: object, field: str) -> Iterator[Finding]:
    """Labels or annotations."""
    if value is not None and not isinstance(value, dict):
        yield wrong(("metadata", field), value, "a mapping of texts: the API server refuses the class", Drop(field))
    for key, text in (value or {}).items() if isinstance(value, dict) else ():
        place = ("metadata", field, key)
        if not qualified(key if field == "labels" else key.lower()):
            rule = (
                "a key is a name of at most 63 letters, digits, `-`, `_` and `.`, perhaps after a domain and `/`: the API server refuses it"
            )
            yield wrong(place, key, rule, Drop(key))
        elif text is not None and not isinstance(text, str):
            rule = "a text, in quotes: the API server refuses the class"
            yield wrong(place, text, rule, Set(text_of(text), meant=True) if is_scalar(text) else Drop(key))
        elif field == "labels" and text and (len(text) > 63 or not NAME_PART.fullmatch(text)):
            rule = "a label's value is at most 63 letters, digits, `-`, `_` and `.`: the API server refuses the class"
            yield wrong(place, text, rule, Set(re.sub("[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")))
