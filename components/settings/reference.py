"""What README's settings table and Pulumi.yaml's descriptions say, made from the models.

`python -m components.settings` writes both files again after a change of the models; a test says
when they are behind.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from components.kube.quantity import Bytes
from components.provisioners import Numbered
from components.settings.models import StackConfig
from components.settings.problems import inner_model
from components.settings.section import More

_TYPES = {bool: "boolean", int: "integer", float: "number"}
_WIDTH = 120  # columns of Pulumi.yaml


@dataclass(frozen=True)
class Row:
    """One setting: its key, with free names as `<tier>`, its type as Pulumi's schema calls it, and
    what it means.
    """

    key: str
    type: str
    meaning: str


def rows(model: type[BaseModel] = StackConfig, below: str = "") -> Iterator[Row]:
    """Every setting of the model and below it, in its order."""
    for name, field in model.model_fields.items():
        key = f"{below}{field.alias or name}"
        more = next((each for each in field.metadata if isinstance(each, More)), More())
        yield Row(key, json_type(field), _meaning(field, more.text))
        inner = more.model or inner_model(field)
        if inner:
            entries = "[]" if get_origin(field.annotation) is list else f".{more.names}" if more.names else ""
            yield from rows(inner, f"{key}{entries}.")
        elif more.names:
            yield Row(f"{key}.{more.names}", "string", more.values)


def table() -> str:
    """README's table, with its head, as Markdown."""
    lines = [f"| `{row.key}` | {row.type} | {row.meaning} |" for row in rows()]
    return "\n".join(["| key | type | meaning |", "|---|---|---|", *lines, ""])


def descriptions() -> dict[str, str]:
    """Pulumi.yaml's description of each key: what it means, and what each key below it does, as
    plain text.
    """
    texts: dict[str, str] = {}
    for row in rows():
        key, _, rest = row.key.partition(".")
        meaning = re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", row.meaning)
        texts[key] = f"{texts[key]} `{rest}`: {meaning}." if rest else f"{meaning[:1].upper()}{meaning[1:]}."
    return texts


def in_readme(text: str) -> str:
    """README with the table as it should be."""
    return re.sub(r"(?m)^\| key \| type \| meaning \|\n(\|.*\n)+", lambda _: table(), text, count=1)


def in_pulumi_yaml(text: str) -> str:
    """Pulumi.yaml with the descriptions as they should be."""
    for key, description in descriptions().items():
        folded = textwrap.fill(description, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)
        found = re.search(rf"(?m)^  {key}:\n    type: .*\n(    description: (?:.|\n)*?)^    default:", text)
        if found:
            text = f"{text[: found.start(1)]}    description: >-\n{folded}\n{text[found.end(1) :]}"
    return text


def write(folder: Path) -> list[str]:
    """Write README.md and Pulumi.yaml of the project's folder again.

    Returns the names of those that changed.
    """
    changed = []
    for name, made in (("README.md", in_readme), ("Pulumi.yaml", in_pulumi_yaml)):
        file = folder / name
        before = file.read_text(encoding="utf-8")
        after = made(before)
        if after != before:
            file.write_text(after, encoding="utf-8", newline="\n")
            changed.append(name)
    return changed


def json_type(field: FieldInfo) -> str:
    """The type of a setting as Pulumi's schema calls it.

    Of one that is read from a text, such as a size, string.
    """
    if any(isinstance(each, Numbered) for each in field.metadata):
        return "string"
    if get_origin(field.annotation) is list:
        return "array"
    if inner_model(field) or get_origin(field.annotation) is dict:
        return "object"
    plain = {get_args(each)[0] if hasattr(each, "__metadata__") else each for each in (field.annotation, *get_args(field.annotation))}
    return next((name for kind, name in _TYPES.items() if kind in plain), "string")


def _meaning(field: FieldInfo, more: str) -> str:
    parts = [f"{field.title}: {field.description}" if field.title else field.description or ""]
    if field.is_required():
        parts.append("required")
    elif isinstance(field.default, bool | int | str) and field.default != "":
        parts.append(f"default `{_as_written(field.default)}`")
    return "; ".join(parts) + (f". {more}" if more else "")


def _as_written(value: Any) -> str:  # noqa: ANN401 - any default
    return str(value) if isinstance(value, str | Bytes) else json.dumps(value)
