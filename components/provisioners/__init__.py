"""The provisioners that a stack can be built on, by the name that the setting `provisioner` has for them."""

from __future__ import annotations

from typing import Any

from components.provisioners.local_path import LocalPath
from components.provisioners.shape import Provisioner, StorageClassFields, TierParameters

__all__ = ["PROVISIONERS", "Provisioner", "StorageClassFields", "TierParameters"]

PROVISIONERS: dict[str, Provisioner[Any]] = {provisioner.name: provisioner for provisioner in (LocalPath(),)}
