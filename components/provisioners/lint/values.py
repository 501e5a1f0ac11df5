"""What the modules on a class's fields share: what a value is, and how a wrong one is told."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches

from components.provisioners.findings import Finding
from components.provisioners.lint.nodes import Place
from components.provisioners.remedies import Remedy

NO_FIELD = "no field of {}: kubectl refuses it (`unknown field`), and other clients drop it without a word"
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def wrong(place: Place, value: object, rule: str, remedy: Remedy) -> Finding:
    """That the API server, or kubectl, refuses what is at a place."""
    return Finding("error", "", value, rule, remedy, place=place)


def near(key: str, names: Sequence[str]) -> str | None:
    """The one of `names` that was meant; None where none is like it."""
    folded = {re.sub("[-_ ]", "", name.lower()): name for name in names}
    found = get_close_matches(re.sub("[-_ ]", "", key.lower()), folded, 1, 0.85)
    return folded[found[0]] if found else None


def qualified(name: str) -> bool:
    """Whether it is a name as keys of labels and provisioners are, perhaps after a domain."""
    domain, slash, last = name.rpartition("/")
    return (
        len(last) <= 63
        and NAME_PART.fullmatch(last) is not None
        and (not slash or (len(domain) <= 253 and SUBDOMAIN.fullmatch(domain) is not None))
    )


def is_scalar(value: object) -> bool:
    """Whether it is a text, a number, or true or false."""
    return isinstance(value, str | int | float)


def text_of(value: object) -> str:
    """A value as a text: what was written, where it is a number, or true or false."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
