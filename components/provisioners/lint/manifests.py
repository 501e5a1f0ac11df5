"""Reads StorageClasses from Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from components.provisioners.findings import Finding
from components.provisioners.lint.fields import api_findings, keys_twice
from components.provisioners.lint.nodes import ManifestError, Plain, Twice, YamlNode, compose, find
from components.provisioners.manifest import StorageClassManifest

_GROUP = "storage.k8s.io"
_LONGEST_NAME = 320  # characters, of an object's kind and name: 63 and 253

__all__ = ["ClassSource", "ManifestError", "Manifests", "read_manifests"]


class ClassSource(NamedTuple):
    """A StorageClass in a text.

    `node` is where it is; `findings` are what the API server refuses of it, whatever its driver.
    """

    manifest: StorageClassManifest
    node: YamlNode
    findings: Sequence[Finding] = ()

    def line(self, place: tuple[str | int, ...]) -> int:
        """The line of what is at `place`, or of the nearest thing around it that is there."""
        while place:
            found = find(self.node, place)
            if found:
                key, value, _ = found
                return (key or value).line
            place = place[:-1]
        return self.node.line


@dataclass
class Manifests:
    """What a text has: `classes`, and the kind and name of every other object."""

    classes: list[ClassSource] = field(default_factory=list)
    others: list[str] = field(default_factory=list)


def read_manifests(text: str) -> Manifests:
    """The classes in `text`, and the other objects.

    `text` has one YAML or JSON document, several, or a List as kubectl prints it.
    Raises ManifestError.
    """
    found = Manifests()
    for node in compose(text):
        reader = Plain()
        document = reader.of(node)
        if document is not None:
            _sort(document, node, reader.twice, found)
    return found


def _sort(document: object, node: YamlNode, twice: Sequence[Twice], found: Manifests) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ManifestError("not a Kubernetes manifest: an object with apiVersion and kind", node.line)
    kind, items = document["kind"], document.get("items")
    if kind.endswith("List") and isinstance(items, list | None):
        above = {"kind": kind.removesuffix("List"), "apiVersion": document.get("apiVersion")} if kind != "List" else {}
        for number, item in enumerate(items or []):
            way = ("items", number)
            inside = [replace(each, place=each.place[2:]) for each in twice if each.place[:2] == way]
            of_item = find(node, way)
            assert of_item is not None
            _sort({**above, **item} if isinstance(item, dict) else item, of_item[1], inside, found)
    elif _is_class(kind, document.get("apiVersion")):
        findings = (*(keys_twice(twice) if twice else ()), *api_findings(document))
        found.classes.append(ClassSource(_manifest(document), node, findings))
    else:
        metadata = document.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        found.others.append(f"{kind} {name or 'without a name'}"[:_LONGEST_NAME])


def _is_class(kind: str, version: object) -> bool:
    """Whether it is Kubernetes' StorageClass, if in another spelling, and not somebody else's."""
    if kind.lower() != "storageclass":
        return False
    group = version.partition("/")[0] if isinstance(version, str) else ""
    return "." not in group or group == _GROUP or bool(get_close_matches(group, [_GROUP], 1, 0.8))


def _manifest(document: Mapping[str, Any]) -> StorageClassManifest:
    """The class, as far as its fields are of the right types; the others are findings."""
    metadata = _mapping(document, "metadata")
    topologies = {
        ("allowedTopologies", number, "matchLabelExpressions", nth): (str(expression.get("key")), _texts(expression, "values"))
        for number, term in _mappings(document, "allowedTopologies")
        for nth, expression in _mappings(term, "matchLabelExpressions")
        if isinstance(expression.get("key"), str)
    }
    return StorageClassManifest(
        name=str(metadata.get("name") or metadata.get("generateName") or "without a name"),
        provisioner=str(document.get("provisioner") or ""),
        parameters={key: "" if value is None else value for key, value in _mapping(document, "parameters").items()},
        reclaim_policy=str(document.get("reclaimPolicy") or "Delete"),
        binding_mode=str(document.get("volumeBindingMode") or "Immediate"),
        allow_volume_expansion=document.get("allowVolumeExpansion") is True,
        mount_options=_texts(document, "mountOptions"),
        topologies=list(topologies.values()),
        annotations={key: str(value) for key, value in _mapping(metadata, "annotations").items()},
        topology_places=list(topologies),
    )


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _texts(document: Mapping[str, Any], key: str) -> list[str]:
    value = document.get(key)
    return [str("" if each is None else each) for each in value] if isinstance(value, list) else []


def _mappings(document: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    """The mappings of a list, each with its number in it."""
    value = document.get(key)
    return [(number, each) for number, each in enumerate(value) if isinstance(each, dict)] if isinstance(value, list) else []
