"""Rules for labels and resource tags of disks and snapshots, as the driver has them
(pkg/convert).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from components.provisioners.findings import Finding, error, warning
from components.provisioners.gce_pd.limits import LONGEST_LABEL, MOST_LABELS, MOST_TAGS
from components.provisioners.remedies import Advice, Set

_LETTERS = "lower-case letters, digits, `_`, `-`"
_EXAMPLE_LABELS = {"team": "data"}
_EXAMPLE_TAG = "my-project/environment/production"
_TAG_PARENT = re.compile(r"[1-9][0-9]{0,31}|[a-z][a-z0-9-]{4,28}[a-z0-9]")
_TAG_KEY = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.-]{0,61}[a-zA-Z0-9])?")
_TAG_VALUE = re.compile(r"[a-zA-Z0-9]([0-9A-Za-z_.@%=+:*#&()\[\]{}\-\s]{0,61}[a-zA-Z0-9])?")


def labels(written: Mapping[str, str], path: str) -> Iterator[Finding]:
    """Labels; lower case means that of any script (`\\p{Ll}`)."""
    for key, value in written.items():
        text = f"{key}={value}"
        if not _is_label(key, 1) or not key[0].islower():
            rule = f"a label's key is {_LETTERS}, begins with a letter, at most {LONGEST_LABEL} long: the driver refuses it"
            yield error(path, text, rule, Set(_EXAMPLE_LABELS))
        if not _is_label(value, 0):
            rule = f"a label's value is {_LETTERS}, at most {LONGEST_LABEL} long: the driver refuses it"
            yield error(path, text, rule, Set(_EXAMPLE_LABELS))
        if key.startswith("goog"):
            yield warning(path, text, "labels that begin with `goog` are Google's own", Set({f"my-{key}": value}))
    if len(written) > MOST_LABELS:
        rule = f"at most {MOST_LABELS} labels: the driver refuses the class"
        yield error(path, f"{len(written)} labels", rule, Advice(f"{MOST_LABELS} labels"))


def _is_label(text: str, least: int) -> bool:
    allowed = all(each in "0123456789_-" or (each.isalpha() and each.islower()) for each in text)
    return least <= len(text) <= LONGEST_LABEL and allowed


def resource_tags(written: Sequence[str], path: str) -> Iterator[Finding]:
    """Resource tags: each `parent/key/value`, and each key once."""
    seen: set[str] = set()
    for tag in written:
        parts = [part.strip() for part in tag.split("/")]
        patterns = (_TAG_PARENT, _TAG_KEY, _TAG_VALUE)
        if len(parts) != 3 or not all(pattern.fullmatch(part) for pattern, part in zip(patterns, parts, strict=False)):
            rule = (
                "`parent/key/value`: an organization's number or a project's id, then a key and a value of at most 63 characters, which "
                "begin and end with a letter or digit: the driver refuses the class"
            )
            yield error(path, tag, rule, Set(_EXAMPLE_TAG))
            continue
        if "/".join(parts[:2]) in seen:
            yield error(path, tag, f"{parts[0]}/{parts[1]} is there twice: the driver refuses the class", Set(_EXAMPLE_TAG))
        seen.add("/".join(parts[:2]))
    if len(written) > MOST_TAGS:
        rule = f"at most {MOST_TAGS} tags: the driver refuses the class"
        yield error(path, f"{len(written)} tags", rule, Advice(f"{MOST_TAGS} tags"))
