"""Reads and changes a stack file (Pulumi.<stack>.yaml) as Pulumi's engine reads it, so that both
see the same settings.

The engine's YAML is nearly that of version 1.2, PyYAML's is 1.1: there `on` and `yes` are truth
values, `1:30` is ninety, `2024-01-01` is a date, and of a key that is given twice the last one
counts without a word (docs/decisions/0013-yaml.md).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.kube.labels import PROJECT
from ops.errors import UserError


class _EngineLoader(yaml.SafeLoader):
    """SafeLoader with the engine's rules for plain words, numbers and doubled keys."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own name and form
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[-1] not in ("bool", "int", "float", "timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[str, int] = {}
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is already given in line {seen[key.value]}", problem_mark=key.start_mark
                )
            seen[key.value] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", "true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", "[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+.0123456789"),
):
    _EngineLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


class _EngineDumper(yaml.SafeDumper):
    """SafeDumper that puts into quotes what the engine would read as something else."""

    yaml_implicit_resolvers = _EngineLoader.yaml_implicit_resolvers


def change(path: Path, changes: Mapping[str, Any]) -> None:
    """Change settings in a stack file, `{"canary.image": …}` by their config paths.

    Its comments go: it is for copies.
    """
    document = yaml.load(path.read_text(encoding="utf-8-sig"), _EngineLoader)
    for setting, value in changes.items():
        first, *rest = setting.split(".")
        *parents, last = [_full_key(first), *rest]
        section = document["config"]
        for key in parents:
            section = section.setdefault(key, {})
        section[last] = value
    path.write_text(yaml.dump(document, Dumper=_EngineDumper, sort_keys=False, allow_unicode=True), encoding="utf-8")


def raw_config(path: Path) -> dict[str, str]:
    """The `config:` block of a stack file in the form in which Pulumi hands it to a program: full
    keys, every value as text.

    Raises UserError when the file is not YAML, or not a mapping.
    """
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), _EngineLoader) or {}
        config = document.get("config", {}) if isinstance(document, dict) else document
        config = {} if config is None else config
        if not isinstance(config, dict):
            raise yaml.MarkedYAMLError(problem="its settings are no mapping")
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as problem:
        what = getattr(problem, "problem", None) or str(problem).splitlines()[0]
        where = getattr(problem, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(
            f"{path.name}{line}: not a Pulumi stack file: {what}.", "It is YAML with a `config:` mapping; see README.md."
        ) from None
    return {_full_key(str(key)): value if isinstance(value, str) else json.dumps(_as_json(value)) for key, value in config.items()}


def _full_key(key: str) -> str:
    return key if ":" in key else f"{PROJECT}:{key}"


def _as_json(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
    """Whole numbers without a fraction, and keys as they are written: `3.0` becomes 3."""
    if isinstance(value, dict):
        return {_key(key): _as_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner) for inner in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return int(value)
    return value


def _key(key: object) -> str:
    return key if isinstance(key, str) else json.dumps(key)
