"""What the API server refuses of a StorageClass, whatever its driver.

Sources: Kubernetes 1.34, pkg/apis/storage/validation/validation.go and apimachinery's
pkg/util/validation; what kubectl refuses before (strict field validation) is said to be so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from components.provisioners import PROVISIONERS, owners
from components.provisioners.findings import Finding
from components.provisioners.lint.metadata_fields import metadata_findings
from components.provisioners.lint.nodes import Twice
from components.provisioners.lint.topology_fields import topology_findings
from components.provisioners.lint.values import NO_FIELD, is_scalar, near, qualified, text_of, wrong
from components.provisioners.manifest import WAIT
from components.provisioners.remedies import Advice, Drop, Move, Remedy, Rename, Set

API_VERSION = "storage.k8s.io/v1"
FIELDS = (
    "apiVersion",
    "kind",
    "metadata",
    "provisioner",
    "parameters",
    "reclaimPolicy",
    "mountOptions",
    "allowVolumeExpansion",
    "volumeBindingMode",
    "allowedTopologies",
)
# Fields of a class that people write below `parameters`, where no driver reads them.
MISPLACED = ("reclaimPolicy", "mountOptions", "allowVolumeExpansion", "volumeBindingMode", "allowedTopologies")
_MOST_PARAMETERS = 512
_MOST_BYTES = 256 * 2**10


def keys_twice(twice: Iterable[Twice]) -> Iterator[Finding]:
    """Keys that are in one mapping twice, of which kubectl takes the last without a word."""
    for each in twice:
        rule = (
            f"there twice, in lines {each.first.line} and {each.last.line}: kubectl takes the last without a word, other readers refuse it"
        )
        yield wrong(each.place, str(each.place[-1]), rule, Drop(str(each.place[-1]), ignored=True, line=each.first.line))


def api_findings(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Every field that the API server refuses, or doesn't know."""
    yield from _head(document)
    for key in document:
        if key not in FIELDS:
            yield wrong((key,), document[key], NO_FIELD.format("a StorageClass"), _home(key, document))
    yield from metadata_findings(document)
    yield from _provisioner(document)
    yield from _parameters(document)
    yield from _choice(document, "reclaimPolicy", ("Retain", "Delete"), "Retain")
    yield from _choice(document, "volumeBindingMode", (WAIT, "Immediate"), WAIT)
    expansion = document.get("allowVolumeExpansion")
    if expansion is not None and not isinstance(expansion, bool):
        says = str(expansion).strip().lower()
        remedy = Set(says not in ("false", "no", "off", "0"), meant=says in ("true", "false", "yes", "no", "on", "off", "1", "0"))
        yield wrong(("allowVolumeExpansion",), expansion, "true or false, without quotes: the API server refuses the class", remedy)
    yield from _mount_options(document.get("mountOptions"))
    yield from topology_findings(document.get("allowedTopologies"))


def _head(document: Mapping[str, Any]) -> Iterator[Finding]:
    if document.get("kind") != "StorageClass":
        yield wrong(("kind",), document.get("kind"), "there is no such kind: StorageClass, in this case", Set("StorageClass", meant=True))
    version = document.get("apiVersion")
    if version != API_VERSION:
        old = version == "storage.k8s.io/v1beta1"
        rule = f"Kubernetes serves {API_VERSION} alone" + (" since 1.22" if old else "") + ": it refuses the class (`no matches for kind`)"
        yield wrong(("apiVersion",), "(missing)" if version is None else version, rule, Set(API_VERSION, meant=True))


def _home(key: str, document: Mapping[str, Any]) -> Remedy:
    """Where an unknown field belongs: under its right name, in the metadata, or the parameters."""
    meant = near(key, [name for name in FIELDS if name not in document])
    if meant:
        return Rename(meant)
    below = document.get("metadata")
    if key in ("name", "labels", "annotations") and (below is None or (isinstance(below, dict) and key not in below)):
        return Move(("metadata", key))
    below = document.get("parameters")
    if owners(key) and (below is None or (isinstance(below, dict) and key not in below)) and is_scalar(document[key]):
        return Move(("parameters", key), text_of(document[key]))
    return Drop(key)


def _provisioner(document: Mapping[str, Any]) -> Iterator[Finding]:
    name = document.get("provisioner")
    if not isinstance(name, str) or not qualified(name.lower()):
        missing = name in (None, "")
        rule = "a class names its provisioner" if missing else "a name, perhaps after a domain and `/`"
        text = name.strip() if isinstance(name, str) else ""
        remedy = Set(text, meant=True) if qualified(text.lower()) else Set(_likely(document.get("parameters")))
        yield wrong(("provisioner",), "(missing)" if missing else name, f"{rule}: the API server refuses the class", remedy)


def _likely(parameters: object) -> str:
    """The driver that knows most of the parameters."""
    keys = [name for key in parameters for name in owners(str(key))] if isinstance(parameters, dict) else []
    return PROVISIONERS[max(PROVISIONERS, key=keys.count)].driver


def _parameters(document: Mapping[str, Any]) -> Iterator[Finding]:
    parameters = document.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        rule = "a mapping of texts: the API server refuses the class"
        pairs = parameters if isinstance(parameters, list) and all(isinstance(each, dict) for each in parameters) else []
        together = {key: value for each in pairs for key, value in each.items()}
        yield wrong(("parameters",), parameters, rule, Set(together, meant=True) if together else Drop("parameters"))
        return
    if len(parameters) > _MOST_PARAMETERS:
        rule = f"at most {_MOST_PARAMETERS} parameters: the API server refuses the class"
        yield wrong(("parameters",), f"{len(parameters)} parameters", rule, Advice("only those that the driver knows"))
    size = _bytes_of(parameters)
    if size > _MOST_BYTES:
        rule = f"at most {_MOST_BYTES // 2**10} KiB of parameters: the API server refuses the class"
        yield wrong(("parameters",), f"{size // 2**10} KiB", rule, Advice("shorter values"))
    if "" in parameters:
        yield wrong(("parameters", ""), parameters[""], "an empty key: the API server refuses the class", Drop(""))


def too_large(parameters: Mapping[str, object]) -> bool:
    """Whether the API server refuses the parameters for their number or size."""
    return len(parameters) > _MOST_PARAMETERS or _bytes_of(parameters) > _MOST_BYTES


def _bytes_of(parameters: Mapping[str, object]) -> int:
    return sum(len(key.encode()) + len(str(value).encode()) for key, value in parameters.items())


def _choice(document: Mapping[str, Any], field: str, choices: Sequence[str], safe: str) -> Iterator[Finding]:
    """A field with a few values, in this case.

    Of none at all Kubernetes has a default; an empty reclaimPolicy passes as well.
    """
    value = document.get(field)
    if value is None or value in choices or (value == "" and field == "reclaimPolicy"):
        return
    meant = get_close_matches(str(value).strip().lower(), [each.lower() for each in choices], 1, 0.6)
    works = next((each for each in choices if meant and each.lower() == meant[0]), safe)
    rule = f"{' or '.join(choices)}, in this case: the API server refuses the class"
    if value == "Recycle":
        rule = "Retain or Delete; Recycle is for volumes that are made by hand: the API server refuses the class"
    yield wrong((field,), value, rule, Set(works, meant=bool(meant) and value != "Recycle"))


def _mount_options(options: object) -> Iterator[Finding]:
    if options is None:
        return
    if not isinstance(options, list):
        each = [part for part in re.split("[, ]+", options) if part] if isinstance(options, str) else []
        rule = "a list of texts: the API server refuses the class"
        yield wrong(("mountOptions",), options, rule, Set(each, meant=True) if each else Drop("mountOptions"))
        return
    for number, option in enumerate(options):
        if not isinstance(option, str):
            remedy = Set(text_of(option), meant=True) if is_scalar(option) and option is not None else Drop(json.dumps(option))
            yield wrong(("mountOptions", number), option, "a text: the API server refuses the class", remedy)
