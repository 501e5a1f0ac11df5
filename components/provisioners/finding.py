"""What the rules of a provisioner say about a class: findings, and the volumes whose sizes they are checked at.

Nothing here knows of Pulumi or Kubernetes: the same rules check the settings of a stack and manifests of classes that exist already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from components.kube.quantity import GI, Size


@dataclass(frozen=True)
class Volume:
    """A size that is asked of a class, and where it is written: `services.kafka.size`, or `--size 5Gi` of the check command."""

    path: str
    size: Size

    @property
    def gib(self) -> int:
        """The size that a cloud makes, in whole GiB."""
        return self.size.in_units_of(GI).provisioned_bytes // GI


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a class.

    An `error` is what driver or cloud would refuse, or do otherwise than it is written; a `warning` works, but hardly as it is meant.
    `path` is a key of the tier's settings (`iops`, `attributes.fast.iops`); it doesn't count where `volume` is the one at fault.
    `works` is a value that works there.
    """

    severity: Literal["error", "warning"]
    path: str
    value: object
    rule: str
    works: str
    volume: Volume | None = None


def shown(value: object) -> str:
    """A value as a message shows it: as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"


def error(path: str, value: object, rule: str, works: object) -> Finding:
    """A finding about a setting that can't stay as it is."""
    return Finding("error", path, value, rule, str(works))


def warning(path: str, value: object, rule: str, works: object) -> Finding:
    """A finding about a setting that works, but hardly as it is meant."""
    return Finding("warning", path, value, rule, str(works))


def wrong_size(volume: Volume, rule: str, works: str) -> Finding:
    """A finding about the size of a volume."""
    return Finding("error", "", volume.size.requested, rule, works, volume)
