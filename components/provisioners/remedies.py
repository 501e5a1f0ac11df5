"""What works instead of a setting that a rule objects to: a typed change, and its sentence.

`sentence` is the only place where a change becomes words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Set:
    """Another value for the setting, or for one entry of its list.

    `value` is typed as the settings have it: 3000, True, ["a", "b"], {"team": "data"}.
    `with_` are other settings, by key, which this value needs beside it.
    """

    value: object
    with_: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Add:
    """The setting stays as it is, and gets other settings beside it: `with_`, by key."""

    with_: Mapping[str, object]


@dataclass(frozen=True)
class Rename:
    """The value belongs under another key, `to`.

    `value` is the value under that key where it isn't the setting's own.
    `without` is the old key, where the sentence has to say that it goes.
    """

    to: str
    value: object = None
    without: str = ""


@dataclass(frozen=True)
class Drop:
    """`key` goes: the setting itself, another one that excludes it, or one entry of its list.

    `with_` are other settings, by key, which are needed then.
    """

    key: str
    with_: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Either:
    """One of two changes: each works by itself."""

    first: Set | Add | Rename | Drop
    second: Set | Add | Rename | Drop


@dataclass(frozen=True)
class Replace:
    """Another class in place of this one: its driver, all its parameters, its allowed topologies.

    `topologies` are keys, each with its values, in the order of those that are there.
    Where the class has none, they are one term.
    """

    provisioner: str
    parameters: Mapping[str, object]
    topologies: Sequence[tuple[str, Sequence[str]]] = ()

    @property
    def text(self) -> str:
        """The fields as YAML in flow style; what has to be a string is in quotes."""
        fields = [f"provisioner: {self.provisioner}"]
        if self.parameters:
            fields.append(f"parameters: {{{', '.join(f'{key}: {json.dumps(value)}' for key, value in self.parameters.items())}}}")
        zones = ", ".join(f"{{key: {key}, values: [{', '.join(values)}]}}" for key, values in self.topologies)
        return ", ".join([*fields, *([f"allowedTopologies: [{{matchLabelExpressions: [{zones}]}}]"] if zones else [])])


@dataclass(frozen=True)
class Advice:
    """What to do, in words, where no single change does."""

    text: str


Remedy = Set | Add | Rename | Drop | Either | Replace | Advice


def sentence(remedy: Remedy, value: object) -> str:
    """The remedy as a user reads it; `value` is what the setting has now."""
    match remedy:
        case Set():
            return _joined(as_yaml(remedy.value), _with(remedy.with_))
        case Add():
            return _with(remedy.with_)
        case Rename():
            renamed = f"{remedy.to}: {as_yaml(value if remedy.value is None else remedy.value)}"
            return _joined(renamed, _without(remedy.without) if remedy.without else "")
        case Drop():
            return _joined(_without(remedy.key), _with(remedy.with_))
        case Either():
            return f"{sentence(remedy.first, value)}, or {sentence(remedy.second, value)}"
        case Replace() | Advice():
            return remedy.text


def as_yaml(value: object) -> str:
    """A value as it is written in a stack file, in flow style: `true`, `[a, b]`, `{team: data}`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_yaml(each) for each in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {as_yaml(each)}' for key, each in value.items())}}}"
    return str(value)


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _with(others: Mapping[str, object]) -> str:
    named = " and ".join(f"`{key}: {as_yaml(value)}`" for key, value in others.items())
    return f"with {named}" if named else ""


def _without(key: str) -> str:
    return f"without `{key}`"
