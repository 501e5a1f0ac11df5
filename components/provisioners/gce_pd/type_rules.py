"""Rules for the disk type, and for the sizes that a type has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from components.kube.quantity import GI, quantity
from components.provisioners.findings import Finding, RequestedVolume, error, poor_size, warning, wrong_size
from components.provisioners.gce_pd.limits import (
    BALANCED,
    BALANCED_PER_GIB,
    DEFAULT_TYPE,
    DYNAMIC,
    FIXED_BELOW,
    HIGHLY_AVAILABLE,
    REGIONAL_STANDARD_GIB,
    TYPES,
)
from components.provisioners.gce_pd.parameters import GcePdParameters
from components.provisioners.remedies import Drop, Set


def types_of(p: GcePdParameters) -> tuple[str, ...]:
    """The types that a volume of the class may get; none for one that isn't known here."""
    wanted = (p.hyperdisk_type or "hyperdisk-balanced", p.pd_type or "pd-balanced") if p.type == DYNAMIC else (p.type or DEFAULT_TYPE,)
    return tuple(kind for kind in wanted if kind in TYPES)


def disk_type(p: GcePdParameters) -> Iterator[Finding]:
    """The driver checks no type; the API does, when the first pod comes."""
    kind = p.type
    if kind is not None and kind not in TYPES and kind != DYNAMIC:
        known = ", ".join([*TYPES, DYNAMIC])
        owner = "; this one is ebs's" if re.fullmatch("gp[23]|io[12]|st1|sc1|standard", kind) else ""
        near = difflib.get_close_matches(re.sub("[_ ]+", "-", kind.strip().lower()), [*TYPES, DYNAMIC], 1, 0.85)
        works = near[0] if near else "pd-balanced"
        yield error("type", kind, f"the disk types are {known}{owner}", Set(works))
    if (kind or DEFAULT_TYPE) == "pd-standard":
        rule = "a hard disk, too slow for databases and logs at these sizes (0.75 IOPS a GiB)"
        yield warning("type", kind or "(missing)", rule, Set("pd-balanced"))
    if kind == HIGHLY_AVAILABLE:
        rule = "it needs a driver that is set up for it (--enable-hdha): others refuse the class"
        yield warning("type", kind, rule, Set("hyperdisk-balanced"))
    if kind == "hyperdisk-ml":
        rule = "made to be written once and read by many: for neither databases nor logs"
        yield warning("type", kind, rule, Set("hyperdisk-balanced"))
    yield from _types_of_dynamic(p)
    if kind == DYNAMIC:
        rule = "it needs driver 1.23 or newer with --dynamic-volumes: others refuse the class"
        yield warning("type", kind, rule, Set("hyperdisk-balanced"))


def _types_of_dynamic(p: GcePdParameters) -> Iterator[Finding]:
    """The two types of a dynamic class, and which is taken where both can be had."""
    choices = {"hyperdisk-type": p.hyperdisk_type, "pd-type": p.pd_type, "disk-type-preference": p.disk_type_preference}
    for key, wanted in choices.items():
        if wanted is None:
            continue
        beginning = key.removesuffix("type")
        if p.type != DYNAMIC:
            yield error(key, wanted, f"it needs `type: {DYNAMIC}`: the driver refuses the class", Drop(key))
        elif key == "disk-type-preference":
            if wanted not in ("hyperdisk-type", "pd-type"):
                yield error(key, wanted, "hyperdisk-type or pd-type: the driver refuses the class", Set("hyperdisk-type"))
        elif wanted not in TYPES or not wanted.startswith(beginning):
            works = "hyperdisk-balanced" if key == "hyperdisk-type" else "pd-balanced"
            yield error(key, wanted, f"a disk type that begins with `{beginning}`", Set(works))


def size(kind: str, volume: RequestedVolume, *, regional: bool) -> Iterator[Finding]:
    """The driver never rounds a size up to the type's least.

    "Rounding up results in unexpected costs" (issue #2038).
    """
    least, most = TYPES[kind].gib
    if regional and kind == "pd-standard":
        least = REGIONAL_STANDARD_GIB
    if not least <= volume.gib <= most:
        what = f"{'regional ' if regional else ''}{kind}"
        bound = least if volume.gib < least else most
        rule = (
            f"a volume of type {what} has from {quantity(least * GI)} to {quantity(most * GI)}: the API refuses {quantity(volume.gib * GI)}"
        )
        yield wrong_size(volume, rule, quantity(bound * GI))
    elif kind in BALANCED and volume.gib < FIXED_BELOW:
        iops = BALANCED_PER_GIB * volume.gib
        rule = (
            f"below {FIXED_BELOW}Gi a {kind} has {iops} IOPS, no more and no less, and drivers of before May 2025 can't make it larger: "
            "`Requested provisioned IOPS cannot be smaller than 3000` (issue #1816)"
        )
        yield poor_size(volume, rule, f"{FIXED_BELOW}Gi")
