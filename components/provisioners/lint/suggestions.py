"""What works in place of what a class has: as the class needs it, and tried by the rules.

A rule's remedy has typed values, and looks at one figure.
Here it becomes strings, and is held against all rules: what would still be an error at the same
key is mended further, and where nothing helps the key goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from typing import Any

from components.provisioners.base import Provisioner
from components.provisioners.codecs import Codec
from components.provisioners.findings import Finding, RequestedVolume
from components.provisioners.lint.driver import driver_findings
from components.provisioners.lint.mending import Edit, edits_of, parameters_after, place_of
from components.provisioners.lint.reading import key_of, keys_of
from components.provisioners.manifest import StorageClassManifest
from components.provisioners.remedies import Add, Advice, Drop, Either, Move, Remedy, Rename, Set, Together, as_yaml

_MOST_STEPS = 6
# Findings of one class that are tried, and fewer with long values, so that the work has a bound.
_MOST_TRIED = 64
_MOST_CHARACTERS = 2**19


@dataclass(frozen=True)
class Suggestions:
    """What works for the findings of one class, with volumes of these sizes."""

    provisioner: Provisioner[Any]
    manifest: StorageClassManifest
    volumes: Sequence[RequestedVolume]

    def remedy(self, finding: Finding) -> Remedy:
        """What works for a finding, with values as the class has them."""
        if finding.place:
            return self._of_field(finding)
        if finding.volume or not self._is_parameter(finding):
            return finding.remedy
        written = self.written(finding.path, finding.remedy)
        self._tried.add(id(finding))
        if finding.severity != "error" or isinstance(written, Move) or len(self._tried) > self._most_tried:
            return written
        candidates = [each for each in self._candidates(finding, written) if not isinstance(each, Advice)]
        clean = (each for each in candidates if not self._left(finding, each))
        furthered = (better for each in reversed(candidates) if (better := self._furthered(finding, each)) is not None)
        return next(chain(clean, furthered), written)

    def edits(self, finding: Finding, remedy: Remedy) -> list[Edit]:
        """The changes of the manifest that make a remedy."""
        zone_key = next((key for key, kind in self.provisioner.topology_keys.items() if kind == "zone"), "")
        return edits_of(self.manifest, finding, remedy, self._codec(finding.path), zone_key)

    def written(self, key: str, remedy: Remedy) -> Remedy:
        """A remedy with its values as strings, as the class has them."""
        match remedy:
            case Set():
                return remedy._replace(value=self._as_string(key, remedy.value), with_=self._strings(remedy.with_))
            case Add():
                return remedy._replace(with_=self._strings(remedy.with_))
            case Drop():
                return remedy._replace(with_=self._strings(remedy.with_))
            case Rename() if remedy.value is not None:
                return remedy._replace(value=self._as_string(remedy.to, remedy.value))
            case Either():
                first, second = self.written(key, remedy.first), self.written(key, remedy.second)
                assert isinstance(first, Set | Add | Rename | Drop)
                assert isinstance(second, Set | Add | Rename | Drop)
                return Either(first, second)
        return remedy

    def _of_field(self, finding: Finding) -> Remedy:
        """What works for a field that the API server refuses: what the driver takes as well."""
        remedy, name = finding.remedy, str(finding.place[0])
        value = remedy.value if isinstance(remedy, Set | Move) else finding.value
        name = remedy.to if isinstance(remedy, Rename) else remedy.to[-1] if isinstance(remedy, Move) else name
        if isinstance(remedy, Drop) or len(finding.place) > 2:
            return remedy
        if name == "allowVolumeExpansion":
            changed = replace(self.manifest, allow_volume_expansion=value is True)
        elif name == "volumeBindingMode":
            changed = replace(self.manifest, binding_mode=str(value))
        elif name == "mountOptions" and isinstance(value, list):
            changed = replace(self.manifest, mount_options=value)
        else:
            return remedy
        refused = [each for each in self.provisioner.class_findings(changed) if each.path == name and each.severity == "error"]
        if not refused:
            return remedy
        better = refused[0].remedy
        return better if isinstance(better, Set) and finding.place == (name,) else Drop(str(finding.place[-1]))

    def _is_parameter(self, finding: Finding) -> bool:
        """Whether it is about a parameter: one that the driver or the class has."""
        return finding.path in self.manifest.parameters or key_of(self.provisioner, finding.path) is not None

    def _candidates(self, finding: Finding, written: Remedy) -> Iterator[Remedy]:
        """The remedy of the rule, then what it may have to be."""
        if isinstance(written, Either):
            yield written
            yield written.first
            yield written.second
        elif isinstance(written, Set) and written.value == "":
            pass  # the rule knows no value
        else:
            yield written
        if isinstance(written, Set):
            example = self._example(finding.path)
            if example and finding.path in self.manifest.parameters:
                yield Set(example)
        elif isinstance(written, Rename) and written.value is None and (example := self._example(written.to)):
            yield written._replace(value=example)
        elif isinstance(written, Advice):
            yield Drop(finding.path)

    def _furthered(self, finding: Finding, remedy: Remedy) -> Remedy | None:
        """The remedy with what the errors that are left at its key want besides; None at an end."""
        parts: list[Set | Add | Rename | Drop] = []
        parts = _added(parts, remedy, finding.path)
        for _ in range(_MOST_STEPS):
            now = parts[0] if len(parts) == 1 else Together(tuple(parts))
            left = self._left(finding, now)
            if not left:
                return now
            more = self.written(left[0].path, left[0].remedy)
            more = more.first if isinstance(more, Either) else more
            if isinstance(more, Set) and more.value == "":
                more = Set(self._example(left[0].path))
            after = _added(parts, more, finding.path)
            if after == parts:
                break
            parts = after
        dropped = Drop(finding.path)
        return dropped if not self._left(finding, dropped) else None

    def _left(self, finding: Finding, remedy: Remedy) -> list[Finding]:
        """The errors at the same key when the remedy is made; of an Either with each of both."""
        if isinstance(remedy, Either):
            return [*self._left(finding, remedy.first), *self._left(finding, remedy.second)]
        edits = self.edits(finding, remedy)
        places = {place_of(self.manifest, finding), *(edit.place for edit in edits if edit.action == "put")}
        places |= {("parameters", str(edit.value)) for edit in edits if edit.action == "rename"}
        parameters = parameters_after({**self._known, **self._of(finding.path)}, edits)
        changed = replace(self.manifest, parameters=parameters)
        found = driver_findings(self.provisioner, changed, self.volumes)
        return [each for each in found if each.severity == "error" and not each.volume and place_of(changed, each) in places]

    @cached_property
    def _known(self) -> dict[str, object]:
        """The parameters that the driver knows; the others have no bearing on them."""
        parameters = self.manifest.parameters
        if self.manifest.provisioner not in self.provisioner.drivers:
            return dict(parameters)  # they are translated for the driver, each in its own way
        return {key: value for key, value in parameters.items() if key_of(self.provisioner, key) is not None}

    @cached_property
    def _most_tried(self) -> int:
        length = sum(len(value) for value in self.manifest.parameters.values() if isinstance(value, str))
        return max(1, min(_MOST_TRIED, _MOST_CHARACTERS // max(1, length)))

    @cached_property
    def _tried(self) -> set[int]:
        """The findings that were tried by the rules."""
        return set()

    def _of(self, key: str) -> dict[str, object]:
        return {key: self.manifest.parameters[key]} if key in self.manifest.parameters else {}

    def _codec(self, key: str) -> Codec[Any] | None:
        """How the parameter is written, whatever the case of its key."""
        keys = keys_of(self.provisioner)
        return keys.codecs.get(keys.lower.get(key.lower(), ""))

    def _example(self, key: str) -> str:
        """An example of the parameter, as a class has it; empty for one that isn't known."""
        codec, keys = self._codec(key), keys_of(self.provisioner)
        setting = keys.settings.get(key.lower())
        example = str((keys.fields[setting].examples or [""])[0]) if setting else ""
        return codec.of_example(example) if codec else example

    def _as_string(self, key: str, value: object) -> str:
        """A value as the class has it; a text is that already, or one entry of a list."""
        codec = self._codec(key)
        return codec.write(value) if codec and not isinstance(value, str) else as_yaml(value)

    def _strings(self, others: Mapping[str, object]) -> dict[str, object]:
        return {key: self._as_string(key, value) for key, value in others.items()}


def _added(parts: Sequence[Set | Add | Rename | Drop], more: Remedy, key: str) -> list[Set | Add | Rename | Drop]:
    """The parts of a remedy for `key` with one more; a later value takes an earlier's place."""
    if isinstance(more, Either):
        more = more.first
    if not isinstance(more, Set | Add | Rename | Drop):
        return list(parts)
    renamed = next((each for each in parts if isinstance(each, Rename)), None)
    if isinstance(more, Drop) and more.key in (key, renamed.to if renamed else key):
        return [Drop(key, more.with_)]
    if isinstance(more, Set):
        rest = [each for each in parts if not isinstance(each, Set | Rename)]
        with_ = {key: value for each in parts if isinstance(each, Set) for key, value in each.with_.items()} | dict(more.with_)
        if renamed:
            return [renamed._replace(value=more.value), *rest, *([Add(with_)] if with_ else [])]
        return [more._replace(with_=with_), *rest]
    if isinstance(more, Rename):
        written = next((each.value for each in parts if isinstance(each, Set)), None)
        rest = [each for each in parts if not isinstance(each, Set | Rename)]
        return [more._replace(value=written if more.value is None else more.value), *rest]
    return [*parts, more]
