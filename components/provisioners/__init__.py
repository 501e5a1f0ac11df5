"""The provisioners that a stack can be built on, by the setting `provisioner`.

A new one is a package beside this file and a line in PROVISIONERS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from components.provisioners.base import (
    ATTRIBUTES_API,
    SNAPSHOT_API,
    Provisioner,
    SnapshotClassFields,
    StorageClassFields,
    TierParameters,
)
from components.provisioners.codecs import Numbered, codec_of
from components.provisioners.findings import Finding, RequestedVolume, shown

__all__ = [
    "ATTRIBUTES_API",
    "PROVISIONERS",
    "SNAPSHOT_API",
    "Finding",
    "Numbered",
    "Provisioner",
    "RequestedVolume",
    "SnapshotClassFields",
    "StorageClassFields",
    "TierParameters",
    "class_name",
    "codec_of",
    "of_driver",
    "owners",
    "shown",
    "why_refused",
]


class _Registry(Mapping[str, Provisioner[Any]]):
    """One object for each provisioner, made when it is first asked for.

    A stack has one provisioner, and doesn't load the others' packages; nor does a check of one's
    classes, so the drivers are in the registry too.
    """

    def __init__(self, classes: Mapping[str, tuple[str, str, Sequence[str]]]) -> None:
        self._classes = classes
        self._made: dict[str, Provisioner[Any]] = {}

    def __getitem__(self, name: str) -> Provisioner[Any]:
        if name not in self._made:
            package, provisioner, _ = self._classes[name]
            self._made[name] = getattr(import_module(f"{__name__}.{package}"), provisioner)()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    def __iter__(self) -> Iterator[str]:
        return iter(self._classes)

    def __len__(self) -> int:
        return len(self._classes)

    def of_driver(self, driver: str) -> Provisioner[Any] | None:
        return next((self[name] for name, (_, _, drivers) in self._classes.items() if driver in drivers), None)


# The setting `provisioner`: the package, the class, and its `drivers`.
PROVISIONERS = _Registry(
    {
        "local-path": ("local_path", "LocalPath", ("rancher.io/local-path",)),
        "ebs": ("ebs", "Ebs", ("ebs.csi.aws.com", "ebs.csi.eks.amazonaws.com")),
        "gce-pd": ("gce_pd", "GcePd", ("pd.csi.storage.gke.io",)),
    }
)


def of_driver(driver: str) -> Provisioner[Any] | None:
    """The provisioner that a StorageClass names as `provisioner`; None for one not known here."""
    return PROVISIONERS.of_driver(driver)


def class_name(tier: str, provisioner: str) -> str:
    """The name of a tier's StorageClass, for example `database-local-path`."""
    return f"{tier}-{provisioner}"


def owners(key: str) -> list[str]:
    """The provisioners that have a setting of this name, whatever its case."""
    return [name for name, provisioner in PROVISIONERS.items() if _has(provisioner, key)]


def _has(provisioner: Provisioner[Any], key: str) -> bool:
    fields = provisioner.parameters_model.model_fields
    numbered = [codec.prefix for codec in provisioner.codecs.values() if isinstance(codec, Numbered)]
    return key.lower() in {(field.alias or name).lower() for name, field in fields.items()} or key.startswith(tuple(numbered))


def why_refused(provisioner: str, key: str) -> str:
    """Why a tier on `provisioner` may not have the setting `key`; ``""`` for no particular reason.

    Says whose setting it is, and what would become of it.
    """
    whose = [name for name in owners(key) if name != provisioner]
    own = [field.alias or name for name, field in PROVISIONERS[provisioner].parameters_model.model_fields.items()]
    spelled = next((name for name in own if name.lower() == key.lower()), None)
    if spelled:
        return f"here it is spelled `{spelled}`"
    foreign = f"a parameter of {' and '.join(whose)}" if whose and provisioner not in owners(key) else ""
    return "; ".join(filter(None, (foreign, PROVISIONERS[provisioner].why_refused(key))))
