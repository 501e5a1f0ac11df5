"""Rules for labels and resource tags of disks and snapshots, as the driver has them
(pkg/convert/convert.go).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from components.provisioners.findings import Finding, error, warning
from components.provisioners.gce_pd.limits import LONGEST_LABEL, MOST_LABELS, MOST_TAGS
from components.provisioners.remedies import Set

_LETTERS = "lower-case letters, digits, `_`, `-`"
_EXAMPLE_LABEL = ("team", "data")
_GOOGLES = "goog"
_EXAMPLE_TAG = "my-project/environment/production"
_TAG_PARENT = re.compile(r"[1-9][0-9]{0,31}|[a-z][a-z0-9-]{4,28}[a-z0-9]")
_TAG_KEY = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.-]{0,61}[a-zA-Z0-9])?")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.@%=+:*#&()\[\]{}\- \t\n\f\r]{0,61}[a-zA-Z0-9])?")


def labels(written: Mapping[str, str], path: str) -> Iterator[Finding]:
    """Labels; lower case means that of any script (`\\p{Ll}`)."""
    if len(written) > MOST_LABELS:
        rule = f"at most {MOST_LABELS} labels: the driver refuses the class"
        kept = dict(_mended(key, value) for key, value in islice(written.items(), MOST_LABELS))
        yield error(path, f"{len(written)} labels", rule, Set(kept))
        return  # what else is wrong with so many is told when there are fewer
    mended = Set(dict(_mended(key, value) for key, value in written.items()))
    renamed = Set({f"my-{key}" if key.startswith(_GOOGLES) else key: value for key, value in written.items()})
    for key, value in written.items():
        text = f"{key}={value}"
        if not _is_key(key):
            rule = f"a label's key is {_LETTERS}, begins with a letter, at most {LONGEST_LABEL} long: the driver refuses it"
            yield error(path, text, rule, mended)
        if not _is_label(value, 0):
            rule = f"a label's value is {_LETTERS}, at most {LONGEST_LABEL} long: the driver refuses it"
            yield error(path, text, rule, mended)
        if key.startswith(_GOOGLES):
            yield warning(path, text, f"labels that begin with `{_GOOGLES}` are Google's own", renamed)


def _mended(key: str, value: str) -> tuple[str, str]:
    """The label in lower case, where that is all it wants; else an example."""
    if _is_key(key) and _is_label(value, 0):
        return key, value
    lower = re.sub("^[^a-z]+", "", key.lower()), value.lower()
    return lower if _is_key(lower[0]) and _is_label(lower[1], 0) else _EXAMPLE_LABEL


def _is_key(text: str) -> bool:
    return _is_label(text, 1) and unicodedata.category(text[0]) == "Ll"


def _is_label(text: str, least: int) -> bool:
    allowed = all(each in "0123456789_-" or unicodedata.category(each) == "Ll" for each in text)
    return least <= len(text) <= LONGEST_LABEL and allowed


def resource_tags(written: Sequence[str], path: str) -> Iterator[Finding]:
    """Resource tags: each `parent/key/value`, and each key once."""
    keys = {tag: _key_of(tag) for tag in written}
    good = list({key: tag for tag, key in reversed(keys.items()) if key}.values())[::-1][:MOST_TAGS]
    works = Set(good or _EXAMPLE_TAG)
    seen: set[str] = set()
    for tag in written:
        key = keys[tag]
        if key is None:
            rule = (
                "`parent/key/value`: an organization's number or a project's id, then a key and a value of at most 63 characters, which "
                "begin and end with a letter or digit: the driver refuses the class"
            )
            yield error(path, tag, rule, works)
            continue
        if key in seen:
            yield error(path, tag, f"{key} is there twice: the driver refuses the class", works)
        seen.add(key)
    if len(seen) > MOST_TAGS:
        rule = f"at most {MOST_TAGS} tags: the driver refuses the class"
        yield error(path, f"{len(seen)} tags", rule, works)


def _key_of(tag: str) -> str | None:
    """The `parent/key` of a tag; None for a text that is none."""
    parts = [part.strip() for part in tag.split("/")]
    patterns = (_TAG_PARENT, _TAG_KEY, _TAG_VALUE)
    if len(parts) != 3 or not all(pattern.fullmatch(part) for pattern, part in zip(patterns, parts, strict=True)):
        return None
    return "/".join(parts[:2])
