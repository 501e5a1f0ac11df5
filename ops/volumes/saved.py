"""The list that `python -m ops volumes --json` prints: its form, and how it is read back after a
cluster was lost.

The form is a contract (docs/recovery.md): what is there stays, `format` grows when something
changes its meaning.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from components.kube.ownership import Stamp
from components.settings import Settings
from ops.command_line import option_of
from ops.errors import UserError
from ops.volumes.volume import Location, Reference, Volume

FORMAT = 1


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, alias_generator=to_camel, populate_by_name=True)


class Data(_Part):
    """Where the data is; see `ops.volumes.volume.Location`."""

    type: str
    path: str = ""
    driver: str = ""
    handle: str = ""
    fs_type: str = ""


class SavedClaim(_Part):
    """The claim that the volume is, or was last, bound to.

    Without a UID it is reserved for that claim.
    """

    namespace: str
    name: str
    uid: str = ""


class Adoption(_Part):
    """Whether the volume can be given back to its claim as things are, and how, or why not."""

    possible: bool
    how: str


class VolumeProblem(_Part):
    """What is wrong with a volume now: in two words, as the rest of a sentence that begins with its
    name, and what to do about it.
    """

    mark: str
    fact: str
    todo: str


class SavedVolume(_Part):
    """One volume.

    Sizes in bytes, times in UTC (RFC 3339), `used_bytes` null where it can't be read.
    """

    service: str
    ordinal: int
    tier: str
    name: str
    uid: str
    stamped: bool
    phase: str
    storage_class: str
    capacity_bytes: int
    used_bytes: int | None
    access_modes: list[str]
    volume_mode: str
    created: str | None
    phase_since: str | None
    claim: SavedClaim | None
    node: str
    zone: str
    node_selector_terms: list[dict[str, Any]]
    data: Data
    adoption: Adoption
    problems: list[VolumeProblem] = []
    mount_options: list[str] | None = None  # none in lists of older versions
    attributes_class: str = ""


class LostClaim(_Part):
    """A claim whose volume isn't there any more."""

    namespace: str
    name: str
    volume: str


class SavedList(_Part):
    """The whole list of a stack."""

    format: int
    stack: str
    namespace: str
    cluster: dict[str, str]
    volumes: list[SavedVolume]
    lost_claims: list[LostClaim] = []


def read(path: Path, settings: Settings, known: Sequence[Volume]) -> Iterator[Volume]:
    """The volumes of a saved list that the cluster doesn't have: neither under their name nor with
    their data.

    Raises UserError for a file that is no such list, or another stack's.
    """
    makes_one = f"`python -m ops volumes{option_of(settings.stack)} --json > volumes.json` makes one."
    try:
        saved = SavedList.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file.", makes_one) from None
    except (ValueError, ValidationError) as problem:
        where = problem.errors()[0] if isinstance(problem, ValidationError) else None
        reason = f"{'.'.join(map(str, where['loc']))}: {where['msg']}" if where else str(problem)
        raise UserError(f"{path} is no list of volumes ({reason}).", makes_one) from None
    if saved.format != FORMAT:
        raise UserError(f"{path} has format {saved.format}, and this version reads {FORMAT}.", "Use the version that wrote it.")
    if (saved.stack, saved.namespace) != (settings.stack, settings.namespace.name):
        raise UserError(
            f"{path} lists the volumes of stack {saved.stack} in namespace {saved.namespace}, "
            f"not of {settings.stack} in {settings.namespace.name}.",
            "Give the list of this stack.",
        )
    names = {volume.name for volume in known}
    of_class = {tier.class_name: settings.provisioner.storage_class(tier.parameters).mount_options for tier in settings.tiers.values()}
    for each in saved.volumes:
        location = Location(**each.data.model_dump())
        usable = location.path or location.driver  # an in-tree disk can't be declared again
        if usable and each.name not in names and not any(location == volume.location for volume in known):
            yield Volume(
                name=each.name,
                location=location,
                storage_class=each.storage_class,
                capacity=each.capacity_bytes,
                access_modes=tuple(each.access_modes),
                claim=Reference(each.claim.namespace, each.claim.name) if each.claim else None,
                stamp=Stamp(saved.stack, each.service, each.ordinal, each.tier) if each.stamped else None,
                node_terms=tuple(each.node_selector_terms),
                volume_mode=each.volume_mode,
                exists=False,
                mount_options=tuple(of_class.get(each.storage_class, ()) if each.mount_options is None else each.mount_options),
                attributes_class=each.attributes_class,
            )
