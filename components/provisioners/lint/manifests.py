"""Reads StorageClasses from Kubernetes manifests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from components.provisioners.manifest import StorageClassManifest


class ManifestError(ValueError):
    """A text that is no Kubernetes manifest; the message says why."""


def read_manifests(text: str) -> tuple[list[StorageClassManifest], list[str]]:
    """The classes in `text`, and the kind and name of every other object.

    `text` has one YAML or JSON document, several, or a List as kubectl prints it.
    Raises ManifestError.
    """
    classes: list[StorageClassManifest] = []
    others: list[str] = []
    try:
        documents = list(yaml.load_all(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValueError) as problem:  # ValueError: a date that is none
        raise ManifestError(f"not YAML: {' '.join(str(problem).split())}") from None
    for document in documents:
        if document is not None:
            _sort(document, classes, others)
    return classes, others


def _sort(document: object, classes: list[StorageClassManifest], others: list[str]) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ManifestError("not a Kubernetes manifest: an object with apiVersion and kind")
    kind, items = document["kind"], document.get("items")
    if kind.endswith("List") and isinstance(items, list | None):
        for item in items or []:
            _sort({"kind": kind.removesuffix("List"), **item} if isinstance(item, dict) else item, classes, others)
    elif kind == "StorageClass":
        classes.append(_manifest(document))
    else:
        name = _mapping(document, "metadata").get("name", "without a name")
        others.append(f"{kind} {name}")


def _manifest(document: Mapping[str, Any]) -> StorageClassManifest:
    metadata = _mapping(document, "metadata")
    topologies = [
        (str(expression.get("key")), _texts(expression, "values"))
        for term in _list(document, "allowedTopologies")
        for expression in _list(term, "matchLabelExpressions")
    ]
    return StorageClassManifest(
        name=str(metadata.get("name", "without a name")),
        provisioner=str(document.get("provisioner", "")),
        parameters={str(key): value for key, value in _mapping(document, "parameters").items()},
        reclaim_policy=str(document.get("reclaimPolicy") or "Delete"),
        binding_mode=str(document.get("volumeBindingMode") or "Immediate"),
        allow_volume_expansion=document.get("allowVolumeExpansion") is True,
        mount_options=_texts(document, "mountOptions"),
        topologies=topologies,
        annotations={str(key): str(value) for key, value in _mapping(metadata, "annotations").items()},
    )


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    value = {} if value is None else value
    if not isinstance(value, dict):
        raise ManifestError(f"not a Kubernetes manifest: {key} is a mapping")
    return value


def _texts(document: Mapping[str, Any], key: str) -> list[str]:
    value = document.get(key)
    value = [] if value is None else value
    if not isinstance(value, list):
        raise ManifestError(f"not a Kubernetes manifest: {key} is a list of texts")
    return [str(each) for each in value]


def _list(document: object, key: str) -> list[Mapping[str, Any]]:
    value = document.get(key) if isinstance(document, dict) else ""
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ManifestError(f"not a Kubernetes manifest: {key} is a list of mappings")
    return value
