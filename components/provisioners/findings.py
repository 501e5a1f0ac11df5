"""What the rules of a provisioner say about a class, and the volumes whose sizes they look at.

Nothing here knows of Pulumi or of a cluster.
The same rules check the settings of a stack and StorageClasses that exist already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from components.kube.quantity import GI, Size
from components.provisioners.remedies import Remedy, Set, sentence


@dataclass(frozen=True)
class RequestedVolume:
    """A size that is asked of a class.

    `path` is where it is written: `services.kafka.size`, or `--size 5Gi` of the check command.
    """

    path: str
    size: Size

    @cached_property
    def gib(self) -> int:
        """The size that a cloud makes, in whole GiB."""
        return self.size.in_units_of(GI).provisioned_bytes // GI


class Finding(NamedTuple):
    """One thing that is wrong with a class.

    An `error` is what driver or cloud would refuse, or do otherwise than it is written.
    A `warning` works, but hardly as it is meant.
    `path` is a key of the tier's settings: `iops`, `attributes.fast.iops`.
    `volume` is the one whose size is at fault, where it is the size; `path` is empty then.
    `rule` says in words what the value breaks, `remedy` what works.
    `place` is for a field of a manifest, which is no setting: its way from the top, such as
    ("metadata", "name") or ("mountOptions", 0).
    """

    severity: Literal["error", "warning"]
    path: str
    value: object
    rule: str
    remedy: Remedy
    volume: RequestedVolume | None = None
    place: tuple[str | int, ...] = ()

    @property
    def works(self) -> str:
        """The remedy in words: a value that works, or what else to do."""
        return sentence(self.remedy, self.value)


def error(path: str, value: object, rule: str, remedy: Remedy) -> Finding:
    """A finding about a setting that can't stay as it is."""
    return Finding("error", path, value, rule, remedy)


def warning(path: str, value: object, rule: str, remedy: Remedy) -> Finding:
    """A finding about a setting that works, but hardly as it is meant."""
    return Finding("warning", path, value, rule, remedy)


def wrong_size(volume: RequestedVolume, rule: str, works: str) -> Finding:
    """An error about the size of a volume; `works` is a size, such as `4Gi`."""
    return Finding("error", "", volume.size.requested, rule, Set(works), volume)


def poor_size(volume: RequestedVolume, rule: str, works: str) -> Finding:
    """A warning about the size of a volume; `works` is a size, such as `6Gi`."""
    return Finding("warning", "", volume.size.requested, rule, Set(works), volume)


def shown(value: object) -> str:
    """A value as a message shows it: as JSON, cut at 80 characters."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:79]}…"
