"""What works instead of a setting that a rule objects to: a typed change, and its sentence.

`sentence` is the only place where a change becomes words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple


class Set(NamedTuple):
    """Another value for the setting, or for one entry of its list.

    `value` is typed as the settings have it: 3000, True, ["a", "b"], {"team": "data"}.
    `with_` are other settings, by key, which this value needs beside it.
    `meant` says that what is written can mean nothing else: it is a matter of its form alone.
    """

    value: object
    with_: Mapping[str, object] = MappingProxyType({})
    meant: bool = False


class Add(NamedTuple):
    """The setting stays as it is, and gets other settings beside it: `with_`, by key."""

    with_: Mapping[str, object]


class Rename(NamedTuple):
    """The value belongs under another key, `to`.

    `value` is the value under that key where it isn't the setting's own.
    `without` is the old key, where the sentence has to say that it goes.
    """

    to: str
    value: object = None
    without: str = ""


class Drop(NamedTuple):
    """`key` goes: the setting itself, another one that excludes it, or one entry of its list.

    `with_` are other settings, by key, which are needed then.
    `ignored` says that it has no effect as it is, so that nothing else changes.
    `line` is that of the one that goes, where it is there twice.
    """

    key: str
    with_: Mapping[str, object] = MappingProxyType({})
    ignored: bool = False
    line: int = 0


class Move(NamedTuple):
    """The value belongs elsewhere in a manifest: `to` is its way from the top, below a mapping.

    `value` is the value there where it isn't the present one.
    """

    to: tuple[str, ...]
    value: object = None


class Either(NamedTuple):
    """One of two changes: each works by itself."""

    first: Set | Add | Rename | Drop
    second: Set | Add | Rename | Drop


class Replace(NamedTuple):
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


class Together(NamedTuple):
    """Several changes, which work together alone."""

    parts: tuple[Set | Add | Rename | Drop, ...]


class Advice(NamedTuple):
    """What to do, in words, where no single change does."""

    text: str


Remedy = Set | Add | Rename | Drop | Move | Either | Together | Replace | Advice


def sentence(remedy: Remedy, value: object, written: Callable[[object], str] | None = None) -> str:
    """The remedy as a user reads it; `value` is what the setting has now.

    `written` is how a value is written where that isn't as in a stack file.
    """
    written = written or as_yaml
    match remedy:
        case Set():
            words = _joined(written(remedy.value), _with(remedy.with_, written))
        case Add():
            words = _with(remedy.with_, written)
        case Rename():
            renamed = f"{remedy.to}: {written(value if remedy.value is None else remedy.value)}"
            words = _joined(renamed, _without(remedy.without) if remedy.without else "")
        case Drop():
            which = f" in line {remedy.line}" if remedy.line else ""
            words = _joined(_without(remedy.key) + which, _with(remedy.with_, written))
        case Move():
            moved = f"`{remedy.to[-1]}: {written(value if remedy.value is None else remedy.value)}`"
            where = f"below `{'.'.join(remedy.to[:-1])}`" if remedy.to[1:] else "at the top of the class, beside `parameters`"
            words = f"{moved} {where}"
        case Either():
            words = f"{sentence(remedy.first, value, written)}, or {sentence(remedy.second, value, written)}"
        case Together():
            words = _joined(*(sentence(each, value, written) for each in remedy.parts))
        case Replace() | Advice():
            words = remedy.text
    return words


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


def _with(others: Mapping[str, object], written: Callable[[object], str]) -> str:
    named = " and ".join(f"`{key}: {written(value)}`" for key, value in others.items())
    return f"with {named}" if named else ""


def _without(key: str) -> str:
    return f"without `{key}`"
