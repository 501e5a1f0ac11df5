"""The provisioners that a stack can be built on, by the name that the setting `provisioner` has for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from components.provisioners.finding import Finding, Volume
from components.provisioners.forms import Numbered, form_of
from components.provisioners.shape import Provisioner, SnapshotClassFields, StorageClassFields, TierParameters

__all__ = [
    "PROVISIONERS",
    "Finding",
    "Provisioner",
    "SnapshotClassFields",
    "StorageClassFields",
    "TierParameters",
    "Volume",
    "class_name",
    "why_refused",
]


class _Provisioners(Mapping[str, Provisioner[Any]]):
    """One object for each class, made when it is first asked for: a stack has one provisioner, and need not load the others' models."""

    def __init__(self, classes: Mapping[str, tuple[str, str]]) -> None:
        self._classes = classes
        self._made: dict[str, Provisioner[Any]] = {}

    def __getitem__(self, name: str) -> Provisioner[Any]:
        if name not in self._made:
            module, provisioner = self._classes[name]
            self._made[name] = getattr(import_module(f"{__name__}.{module}"), provisioner)()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)


PROVISIONERS: Mapping[str, Provisioner[Any]] = _Provisioners(
    {"local-path": ("local_path", "LocalPath"), "ebs": ("ebs", "Ebs"), "gce-pd": ("gce_pd", "GcePd")}
)


def class_name(tier: str, provisioner: str) -> str:
    """The name of a tier's StorageClass, for example `database-local-path`."""
    return f"{tier}-{provisioner}"


def owners(key: str) -> list[str]:
    """The provisioners that have a setting of this name, whatever its case."""
    return [name for name, provisioner in PROVISIONERS.items() if _has(provisioner, key)]


def _has(provisioner: Provisioner[Any], key: str) -> bool:
    fields = provisioner.parameters_model.model_fields
    numbered = [form.prefix for field in fields.values() if isinstance(form := form_of(field), Numbered)]
    return key.lower() in {(field.alias or name).lower() for name, field in fields.items()} or key.startswith(tuple(numbered))


def why_refused(provisioner: str, key: str) -> str:
    """Why a tier on `provisioner` may not have the setting `key`: whose it is, and what would become of it; ``""`` for no reason."""
    whose = [name for name in owners(key) if name != provisioner]
    own = [field.alias or name for name, field in PROVISIONERS[provisioner].parameters_model.model_fields.items()]
    spelled = next((name for name in own if name.lower() == key.lower()), None)
    if spelled:
        return f"here it is spelled `{spelled}`"
    foreign = f"a parameter of {' and '.join(whose)}" if whose and provisioner not in owners(key) else ""
    return "; ".join(filter(None, (foreign, PROVISIONERS[provisioner].why_refused(key))))
