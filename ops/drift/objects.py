"""What the comparison is of, and what it finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

Json: TypeAlias = Mapping[str, Any]

CLAIM = "PersistentVolumeClaim"
VOLUME = "PersistentVolume"


@dataclass(frozen=True)
class Name:
    """Which object: `namespace` is empty for one of the whole cluster."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Declared:
    """An object of the state: `fields` as the program declares them.

    One that is only read (`ours` false) is not the stack's to change.
    """

    name: Name
    api_version: str
    fields: Json
    ours: bool = True


@dataclass(frozen=True)
class Difference:
    """One thing that differs: `what` is a field's path or a fact, `todo` what a person does about
    it.
    """

    object: Name
    what: str
    declared: str
    found: str
    todo: str

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "object": {"kind": self.object.kind, "namespace": self.object.namespace, "name": self.object.name},
            "what": self.what,
            "declared": self.declared,
            "found": self.found,
            "todo": self.todo,
        }


@dataclass(frozen=True)
class LiveObjects:
    """What the cluster has.

    `objects` are those that the state names, `volumes` all there are, `claims` all in the
    namespaces of the stack's claims. `nodes` is None where they may not be read.
    """

    objects: Mapping[Name, Json]
    volumes: Mapping[str, Json]
    claims: Mapping[Name, Json]
    nodes: Sequence[Json] | None = None


def shown(value: object) -> str:
    """A value as the table has it."""
    if value is None:
        return "(none)"
    return value if isinstance(value, str) else json.dumps(value)
