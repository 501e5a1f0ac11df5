"""What a remedy changes in a StorageClass, as single edits of places in its manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.provisioners.codecs import Codec, CommaList, Pairs
from components.provisioners.findings import Finding
from components.provisioners.lint.nodes import Place
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Add, Advice, Drop, Either, Move, Remedy, Rename, Set, Together

# Paths of findings that are fields of the class; all others are parameters.
FIELDS = ("volumeBindingMode", "allowVolumeExpansion", "reclaimPolicy", "mountOptions", "metadata.annotations.defaultVolumeType")
TOPOLOGY_PATHS = ("zones", "allowedTopologies")


@dataclass(frozen=True)
class Edit:
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


def edits_of(manifest: StorageClassManifest, finding: Finding, remedy: Remedy, codec: Codec[object] | None = None) -> list[Edit]:
    """The edits that make the remedy of a finding; none for what is no change of a manifest.

    The values of a remedy for a parameter are strings, as the class has them.
    `codec` is that of the parameter.
    """
    if isinstance(remedy, Either):
        return edits_of(manifest, finding, remedy.first, codec)
    if isinstance(remedy, Together):
        return [edit for part in remedy.parts for edit in edits_of(manifest, finding, part, codec)]
    place = place_of(manifest, finding)
    if finding.volume or isinstance(remedy, Advice):
        edits = []
    elif finding.place:
        edits = _single(place, remedy)
    elif finding.path in TOPOLOGY_PATHS:
        edits = _topology(manifest, finding, remedy)
    elif finding.path == "mountOptions":
        edits = _mount_option(manifest, finding, remedy)
    elif place[0] == "parameters":
        edits = _parameter(manifest, place, finding, remedy, codec)
    else:
        edits = _single(place, remedy)
    return edits


def _single(place: Place, remedy: Remedy) -> list[Edit]:
    """A remedy for exactly what is at `place`."""
    match remedy:
        case Set():
            return [Edit(place, "put", remedy.value)]
        case Rename():
            return [Edit(place, "rename", remedy.to)]
        case Move():
            return [Edit(place, "remove"), Edit(remedy.to, "put", remedy.value)]
        case Drop():
            of_expression = len(place) == 5 and place[4] in ("key", "values") and remedy.key in ("key", "values", *_text(place))
            return [Edit(place[:-1] if of_expression else place, "remove")]
    return []


def _text(place: Place) -> tuple[str, ...]:
    return tuple(str(each) for each in place)


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


def _topology(manifest: StorageClassManifest, finding: Finding, remedy: Remedy) -> list[Edit]:
    """The keys and values of allowedTopologies, wherever in its terms they are."""
    if not isinstance(remedy, Set) or not manifest.topology_places:
        return []
    edits: list[Edit] = []
    wanted = list(remedy.value) if isinstance(remedy.value, list | tuple) else None
    given = False
    for place, (key, values) in zip(manifest.topology_places, manifest.topologies, strict=True):
        if key == finding.value:
            edits.append(Edit((*place, "key"), "put", remedy.value))
        elif wanted is not None and isinstance(finding.value, list | tuple):
            keep = [each for each in values if each in wanted] if given or set(wanted) <= set(values) else wanted
            given = True
            edits.append(Edit((*place, "values"), "put", keep) if keep else Edit(place, "remove"))
        elif finding.value in values:
            edits.extend(_entry(place, values, finding.value, remedy.value))
    return edits


def _entry(place: Place, values: Sequence[str], wrong: object, better: object) -> list[Edit]:
    numbers = [number for number, each in enumerate(values) if each == wrong]
    there = better in values
    return [Edit((*place, "values", number), "remove" if there or number != numbers[0] else "put", better) for number in numbers]


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
