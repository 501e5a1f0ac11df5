"""What a remedy changes in a StorageClass, as single edits of places in its manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from components.provisioners.codecs import Codec, CommaList, Pairs
from components.provisioners.findings import Finding
from components.provisioners.lint.nodes import Place
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Add, Advice, Drop, Either, Move, Remedy, Rename, Replace, Set, Together

# Paths of findings that are fields of the class; all others are parameters.
FIELDS = (
    *("provisioner", "volumeBindingMode", "allowVolumeExpansion", "reclaimPolicy", "mountOptions"),
    "metadata.annotations.defaultVolumeType",
)
TOPOLOGY_PATHS = ("zones", "allowedTopologies")


class Edit(NamedTuple):
    """One change at a place: another value, another key (`value`), or nothing there any more."""

    place: Place
    action: Literal["put", "rename", "remove"]
    value: object = None


def place_of(manifest: StorageClassManifest, finding: Finding) -> Place:
    """Where in the manifest the cause of a finding is; empty for a size."""
    if finding.volume or finding.place:
        return finding.place
    if finding.path in TOPOLOGY_PATHS:
        return ("allowedTopologies",)
    if finding.path in FIELDS:
        return tuple(finding.path.split("."))
    return ("parameters", _spelled(manifest.parameters, finding.path))


def _spelled(parameters: Mapping[str, object], key: str) -> str:
    """The key as the class has it: a driver may take it in any case."""
    return key if key in parameters else next((each for each in parameters if each.lower() == key.lower()), key)


def edits_of(
    manifest: StorageClassManifest, finding: Finding, remedy: Remedy, codec: Codec[object] | None = None, zone_key: str = ""
) -> list[Edit]:
    """The edits that make the remedy of a finding; none for what is no change of a manifest.

    The values of a remedy for a parameter are strings, as the class has them.
    `codec` is that of the parameter, `zone_key` the driver's key of allowedTopologies for zones.
    """
    if isinstance(remedy, Either):
        return edits_of(manifest, finding, remedy.first, codec, zone_key)
    if isinstance(remedy, Replace):
        return _another_class(manifest, remedy)
    if isinstance(remedy, Together):
        edits = [edit for part in remedy.parts for edit in edits_of(manifest, finding, part, codec, zone_key)]
        removed = [edit.place for edit in edits if edit.action == "remove"]
        return [edit for edit in edits if edit.action == "remove" or edit.place not in removed]
    place = place_of(manifest, finding)
    if finding.volume or isinstance(remedy, Advice):
        edits = []
    elif finding.place:
        edits = _single(place, remedy)
    elif finding.path in TOPOLOGY_PATHS:
        edits = _topology(manifest, finding, remedy, zone_key)
    elif finding.path == "mountOptions":
        edits = _mount_option(manifest, finding, remedy)
    elif place[0] == "parameters":
        edits = _parameter(manifest, place, finding, remedy, codec)
    else:
        edits = _single(place, remedy)
    return edits


def _another_class(manifest: StorageClassManifest, new: Replace) -> list[Edit]:
    """The class of another driver: what is the same in it stays where it is."""
    old = manifest.parameters
    gone, added = [key for key in old if key not in new.parameters], [key for key in new.parameters if key not in old]
    edits = [Edit(("provisioner",), "put", new.provisioner)]
    for key in gone:
        renamed = next((each for each in added if each.endswith(f"/{key.lower()}") and new.parameters[each] == old[key]), None)
        edits.append(Edit(("parameters", key), "rename", renamed) if renamed else Edit(("parameters", key), "remove"))
        added = [each for each in added if each != renamed]
    edits.extend(Edit(("parameters", key), "put", new.parameters[key]) for key in added)
    for place, (key, _), (better, _) in zip(manifest.topology_places, manifest.topologies, new.topologies, strict=False):
        edits.extend([Edit((*place, "key"), "put", better)] if key != better else [])
    if new.topologies and not manifest.topologies:
        expressions = [{"key": key, "values": list(values)} for key, values in new.topologies]
        edits.append(Edit(("allowedTopologies",), "put", [{"matchLabelExpressions": expressions}]))
    return edits


def _single(place: Place, remedy: Remedy) -> list[Edit]:
    """A remedy for exactly what is at `place`."""
    match remedy:
        case Set():
            return [Edit(place, "put", remedy.value)]
        case Rename():
            return [*([Edit(place, "put", remedy.value)] if remedy.value is not None else []), Edit(place, "rename", remedy.to)]
        case Move():
            return [Edit(place, "remove"), Edit(remedy.to, "put", remedy.value)]
        case Drop():
            of_expression = place[0] == "allowedTopologies" and place[4:] in (("key",), ("values",))
            return [Edit(place[:-1] if of_expression else place, "remove")]
    return []


def _parameter(manifest: StorageClassManifest, place: Place, finding: Finding, remedy: Remedy, codec: Codec[object] | None) -> list[Edit]:
    parameters = manifest.parameters

    def at(key: str) -> Place:
        return ("parameters", _spelled(parameters, key))

    written = parameters.get(str(place[1]))
    match remedy:
        case Set():
            value = _in_list(written, finding, remedy.value, codec)
            edits = [Edit(place, "put", value), *_beside(remedy.with_, at)]
        case Add():
            edits = _beside(remedy.with_, at)
        case Rename():
            there = any(key.lower() == remedy.to.lower() and key != place[1] for key in parameters)
            moved = Edit(at(remedy.to), "put", written if remedy.value is None else remedy.value)
            renamed = [*([Edit(place, "put", remedy.value)] if remedy.value is not None else []), Edit(place, "rename", remedy.to)]
            edits = [Edit(place, "remove"), moved] if there else renamed
        case Drop() if isinstance(codec, CommaList | Pairs) and isinstance(written, str) and remedy.key in _entries(written):
            rest = ",".join(each for each in _entries(written) if each != remedy.key)
            edits = [Edit(place, "put", rest) if rest else Edit(place, "remove"), *_beside(remedy.with_, at)]
        case Drop():
            edits = [Edit(at(remedy.key), "remove"), *_beside(remedy.with_, at)]
        case _:
            edits = []
    return edits


def _beside(others: Mapping[str, object], at: Callable[[str], Place]) -> list[Edit]:
    return [Edit(at(key), "put", value) for key, value in others.items()]


def _entries(written: str) -> list[str]:
    return [each.strip() for each in written.split(",")]


def _in_list(written: object, finding: Finding, value: object, codec: Codec[object] | None) -> object:
    """The string for a list of which one entry is at fault: the others stay."""
    if not isinstance(codec, CommaList | Pairs) or not isinstance(written, str) or not isinstance(finding.value, str):
        return value
    entries, wrong = [_paired(each) for each in _entries(written)], _paired(finding.value)
    if wrong not in entries or len(entries) == 1:
        return value
    rest = [each for each in entries if each != wrong]
    keys = {each.partition("=")[0] for each in rest}
    new = [each for each in _entries(str(value)) if each not in rest and not (isinstance(codec, Pairs) and each.partition("=")[0] in keys)]
    return ",".join([*rest, *new])


def _paired(entry: str) -> str:
    """A pair without blanks around its parts, as findings have it."""
    key, equals, value = entry.partition("=")
    return f"{key.strip()}={value.strip()}" if equals else entry.strip()


def _mount_option(manifest: StorageClassManifest, finding: Finding, remedy: Remedy) -> list[Edit]:
    options = list(manifest.mount_options)
    wrong = [number for number, each in enumerate(options) if each == finding.value]
    match remedy:
        case Set() if wrong:
            there = isinstance(remedy.value, str) and remedy.value in options
            return [Edit(("mountOptions", number), "remove" if there or number != wrong[0] else "put", remedy.value) for number in wrong]
        case Drop() if remedy.key == "mountOptions" or len(wrong) == len(options):
            return [Edit(("mountOptions",), "remove")]
        case Drop():
            return [Edit(("mountOptions", number), "remove") for number in wrong]
    return []


def _topology(manifest: StorageClassManifest, finding: Finding, remedy: Remedy, zone_key: str) -> list[Edit]:
    """The zones of allowedTopologies, wherever in its terms they are."""
    if not isinstance(remedy, Set):
        return []
    if not manifest.topologies and isinstance(remedy.value, list | tuple):
        terms = [{"matchLabelExpressions": [{"key": zone_key, "values": list(remedy.value)}]}]
        return [Edit(("allowedTopologies",), "put", terms)]
    edits: list[Edit] = []
    wanted = list(remedy.value) if isinstance(remedy.value, list | tuple) else str(remedy.value).split(", ")
    given = False
    for place, (_, values) in zip(manifest.topology_places, manifest.topologies, strict=False):
        if isinstance(finding.value, list | tuple) and set(values) & set(finding.value):
            keep = [each for each in values if each in wanted] if given or set(wanted) <= set(values) else wanted
            given = True
            edits.append(Edit((*place, "values"), "put", keep) if keep else Edit(place, "remove"))
    return edits


def placed(manifest: StorageClassManifest, finding: Finding) -> list[Finding]:
    """The finding at each part of a list that it is about: a mount option, a zone, its key."""
    if finding.path == "mountOptions" and isinstance(finding.value, str) and not finding.place:
        options = manifest.mount_options
        places: list[Place] = [("mountOptions", number) for number, each in enumerate(options) if each == finding.value]
        return [finding._replace(place=each, remedy=_unless_there(finding, options)) for each in places] or [finding]
    if finding.path not in TOPOLOGY_PATHS or finding.place or not isinstance(finding.value, str):
        return [finding]
    found: list[Finding] = []
    for place, (key, values) in zip(manifest.topology_places, manifest.topologies, strict=False):
        in_term = [each for where, (each, _) in zip(manifest.topology_places, manifest.topologies, strict=True) if where[:2] == place[:2]]
        if key == finding.value:
            found.append(finding._replace(place=(*place, "key"), remedy=_unless_there(finding, in_term)))
        places = [(*place, "values", number) for number, each in enumerate(values) if each == finding.value]
        found.extend(finding._replace(place=each, remedy=_unless_there(finding, values)) for each in places)
    return found or [finding]


def _unless_there(finding: Finding, others: Sequence[str]) -> Remedy:
    """What is there already isn't set again."""
    there = isinstance(finding.remedy, Set) and finding.remedy.value in others
    return Drop(str(finding.value)) if there else finding.remedy


def parameters_after(parameters: Mapping[str, object], edits: Sequence[Edit]) -> dict[str, object]:
    """The parameters of a class after the edits that concern them."""
    result = dict(parameters)
    for edit in edits:
        if len(edit.place) != 2 or edit.place[0] != "parameters":
            continue
        key = str(edit.place[1])
        if edit.action == "put":
            result[key] = edit.value
        elif edit.action == "remove":
            result.pop(key, None)
        else:
            result = {str(edit.value) if name == key else name: value for name, value in result.items()}
    return result
