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
from components.provisioners.lint.nodes import Place, Twice
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
_METADATA = (
    "name",
    "generateName",
    "namespace",
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "labels",
    "annotations",
    "ownerReferences",
    "finalizers",
    "managedFields",
)
# Fields of a class that people write below `parameters`, where no driver reads them.
MISPLACED = ("reclaimPolicy", "mountOptions", "allowVolumeExpansion", "volumeBindingMode", "allowedTopologies")
_MOST_PARAMETERS = 512
_MOST_BYTES = 256 * 2**10
_NO_FIELD = "no field of {}: kubectl refuses it (`unknown field`), and other clients drop it without a word"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_NAME_PART = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")


def _wrong(place: Place, value: object, rule: str, remedy: Remedy) -> Finding:
    return Finding("error", "", value, rule, remedy, place=place)


def keys_twice(twice: Iterable[Twice]) -> Iterator[Finding]:
    """Keys that are in one mapping twice, of which kubectl takes the last without a word."""
    for each in twice:
        rule = (
            f"there twice, in lines {each.first.line} and {each.last.line}: kubectl takes the last without a word, other readers refuse it"
        )
        yield _wrong(each.place, str(each.place[-1]), rule, Drop(str(each.place[-1]), ignored=True, line=each.first.line))


def api_findings(document: Mapping[str, Any]) -> Iterator[Finding]:
    """Every field that the API server refuses, or doesn't know."""
    yield from _head(document)
    for key in document:
        if key not in FIELDS:
            yield _wrong((key,), document[key], _NO_FIELD.format("a StorageClass"), _home(key, document))
    yield from _metadata(document)
    yield from _provisioner(document)
    yield from _parameters(document)
    yield from _choice(document, "reclaimPolicy", ("Retain", "Delete"), "Retain")
    yield from _choice(document, "volumeBindingMode", (WAIT, "Immediate"), WAIT)
    expansion = document.get("allowVolumeExpansion")
    if expansion is not None and not isinstance(expansion, bool):
        says = str(expansion).strip().lower()
        remedy = Set(says not in ("false", "no", "off", "0"), meant=says in ("true", "false", "yes", "no", "on", "off", "1", "0"))
        yield _wrong(("allowVolumeExpansion",), expansion, "true or false, without quotes: the API server refuses the class", remedy)
    yield from _mount_options(document.get("mountOptions"))
    yield from _topologies(document.get("allowedTopologies"))


def _head(document: Mapping[str, Any]) -> Iterator[Finding]:
    if document.get("kind") != "StorageClass":
        yield _wrong(("kind",), document.get("kind"), "there is no such kind: StorageClass, in this case", Set("StorageClass", meant=True))
    version = document.get("apiVersion")
    if version != API_VERSION:
        old = version == "storage.k8s.io/v1beta1"
        rule = f"Kubernetes serves {API_VERSION} alone" + (" since 1.22" if old else "") + ": it refuses the class (`no matches for kind`)"
        yield _wrong(("apiVersion",), "(missing)" if version is None else version, rule, Set(API_VERSION, meant=True))


def _home(key: str, document: Mapping[str, Any]) -> Remedy:
    """Where an unknown field belongs: under its right name, in the metadata, or the parameters."""
    near = _near(key, [name for name in FIELDS if name not in document])
    if near:
        return Rename(near)
    below = document.get("metadata")
    if key in ("name", "labels", "annotations") and (below is None or (isinstance(below, dict) and key not in below)):
        return Move(("metadata", key))
    below = document.get("parameters")
    if owners(key) and (below is None or (isinstance(below, dict) and key not in below)) and _is_scalar(document[key]):
        return Move(("parameters", key), text_of(document[key]))
    return Drop(key)


def _near(key: str, names: Sequence[str]) -> str | None:
    folded = {re.sub("[-_ ]", "", name.lower()): name for name in names}
    found = get_close_matches(re.sub("[-_ ]", "", key.lower()), folded, 1, 0.85)
    return folded[found[0]] if found else None


def _metadata(document: Mapping[str, Any]) -> Iterator[Finding]:
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, dict):
        remedy = Set({"name": _as_name(metadata) if isinstance(metadata, str) else "fast"})
        yield _wrong(("metadata",), metadata, "a mapping with the name of the class: the API server refuses the class", remedy)
        return
    metadata = metadata or {}
    for key in metadata:
        if key not in _METADATA:
            near = _near(key, [name for name in _METADATA if name not in metadata])
            yield _wrong(("metadata", key), metadata[key], _NO_FIELD.format("metadata"), Rename(near) if near else Drop(key))
    yield from _name(metadata)
    for field in ("labels", "annotations"):
        yield from _texts_by_key(metadata.get(field), field)


def _name(metadata: Mapping[str, Any]) -> Iterator[Finding]:
    name, place = metadata.get("name"), ("metadata", "name")
    if name in (None, ""):
        if not metadata.get("generateName"):
            yield _wrong(place, "(missing)", "a class has a name: the API server refuses it", Set("fast"))
    elif not isinstance(name, str):
        yield _wrong(
            place, name, "a text, in quotes: the API server refuses the class", Set(_as_name(text_of(name)), meant=_is_scalar(name))
        )
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        rule = "at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends: the API server refuses the class"
        yield _wrong(place, name, rule, Set(_as_name(name)))


def _as_name(text: str) -> str:
    """The nearest name that a class can have."""
    parts = (re.sub("[^a-z0-9]+", "-", part).strip("-") for part in text.lower().split("."))
    return ".".join(filter(None, parts))[:253].strip("-.") or "fast"


def _texts_by_key(value: object, field: str) -> Iterator[Finding]:
    """Labels or annotations."""
    if value is not None and not isinstance(value, dict):
        yield _wrong(("metadata", field), value, "a mapping of texts: the API server refuses the class", Drop(field))
    for key, text in (value or {}).items() if isinstance(value, dict) else ():
        place = ("metadata", field, key)
        if not qualified(key if field == "labels" else key.lower()):
            rule = (
                "a key is a name of at most 63 letters, digits, `-`, `_` and `.`, perhaps after a domain and `/`: the API server refuses it"
            )
            yield _wrong(place, key, rule, Drop(key))
        elif text is not None and not isinstance(text, str):
            rule = "a text, in quotes: the API server refuses the class"
            yield _wrong(place, text, rule, Set(text_of(text), meant=True) if _is_scalar(text) else Drop(key))
        elif field == "labels" and text and (len(text) > 63 or not _NAME_PART.fullmatch(text)):
            rule = "a label's value is at most 63 letters, digits, `-`, `_` and `.`: the API server refuses the class"
            yield _wrong(place, text, rule, Set(re.sub("[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")))


def qualified(name: str) -> bool:
    """Whether it is a name as keys of labels and provisioners are, perhaps after a domain."""
    domain, slash, last = name.rpartition("/")
    return (
        len(last) <= 63
        and _NAME_PART.fullmatch(last) is not None
        and (not slash or (len(domain) <= 253 and _SUBDOMAIN.fullmatch(domain) is not None))
    )


def _provisioner(document: Mapping[str, Any]) -> Iterator[Finding]:
    name = document.get("provisioner")
    if not isinstance(name, str) or not qualified(name.lower()):
        missing = name in (None, "")
        rule = "a class names its provisioner" if missing else "a name, perhaps after a domain and `/`"
        text = name.strip() if isinstance(name, str) else ""
        remedy = Set(text, meant=True) if qualified(text.lower()) else Set(_likely(document.get("parameters")))
        yield _wrong(("provisioner",), "(missing)" if missing else name, f"{rule}: the API server refuses the class", remedy)


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
        yield _wrong(("parameters",), parameters, rule, Set(together, meant=True) if together else Drop("parameters"))
        return
    if len(parameters) > _MOST_PARAMETERS:
        rule = f"at most {_MOST_PARAMETERS} parameters: the API server refuses the class"
        yield _wrong(("parameters",), f"{len(parameters)} parameters", rule, Advice("only those that the driver knows"))
    size = _bytes_of(parameters)
    if size > _MOST_BYTES:
        rule = f"at most {_MOST_BYTES // 2**10} KiB of parameters: the API server refuses the class"
        yield _wrong(("parameters",), f"{size // 2**10} KiB", rule, Advice("shorter values"))
    if "" in parameters:
        yield _wrong(("parameters", ""), parameters[""], "an empty key: the API server refuses the class", Drop(""))


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
    yield _wrong((field,), value, rule, Set(works, meant=bool(meant) and value != "Recycle"))


def _mount_options(options: object) -> Iterator[Finding]:
    if options is None:
        return
    if not isinstance(options, list):
        each = [part for part in re.split("[, ]+", options) if part] if isinstance(options, str) else []
        rule = "a list of texts: the API server refuses the class"
        yield _wrong(("mountOptions",), options, rule, Set(each, meant=True) if each else Drop("mountOptions"))
        return
    for number, option in enumerate(options):
        if not isinstance(option, str):
            remedy = Set(text_of(option), meant=True) if _is_scalar(option) and option is not None else Drop(json.dumps(option))
            yield _wrong(("mountOptions", number), option, "a text: the API server refuses the class", remedy)


def _topologies(terms: object) -> Iterator[Finding]:
    place: Place = ("allowedTopologies",)
    if terms is None:
        return
    if not isinstance(terms, list):
        remedy = Set([terms], meant=True) if isinstance(terms, dict) else Drop("allowedTopologies")
        yield _wrong(place, terms, "a list of terms: the API server refuses the class", remedy)
        return
    for number, term in enumerate(terms):
        here = (*place, number)
        if not isinstance(term, dict):
            yield _wrong(here, term, "a mapping with matchLabelExpressions: the API server refuses the class", Drop(json.dumps(term)))
            continue
        if term in terms[:number]:
            yield _wrong(here, term, "the same term as one above: the API server refuses the class", Drop("this term", ignored=True))
        yield from _strange(term, here, ("matchLabelExpressions",))
        yield from _expressions(term.get("matchLabelExpressions"), (*here, "matchLabelExpressions"))


def _strange(written: Mapping[str, Any], place: Place, known: Sequence[str]) -> Iterator[Finding]:
    for key in written:
        if key not in known:
            near = get_close_matches(key.lower(), [name.lower() for name in known if name not in written], 1, 0.6)
            remedy = Rename(next(name for name in known if name.lower() == near[0])) if near else Drop(key, ignored=written[key] == "In")
            yield _wrong((*place, key), written[key], _NO_FIELD.format("a topology term"), remedy)


def _expressions(expressions: object, place: Place) -> Iterator[Finding]:
    if expressions is None:
        return
    if not isinstance(expressions, list):
        remedy = Set([expressions], meant=True) if isinstance(expressions, dict) else Drop("matchLabelExpressions")
        yield _wrong(place, expressions, "a list of expressions: the API server refuses the class", remedy)
        return
    keys: list[object] = []
    for number, expression in enumerate(expressions):
        here = (*place, number)
        if not isinstance(expression, dict):
            rule = "a mapping with key and values: the API server refuses the class"
            yield _wrong(here, expression, rule, Drop(json.dumps(expression)))
            continue
        yield from _strange(expression, here, ("key", "values"))
        key = expression.get("key")
        if not isinstance(key, str) or not qualified(key):
            yield _wrong(
                (*here, "key"), "(missing)" if key is None else key, "the key of a label: the API server refuses the class", Drop("key")
            )
        elif key in keys:
            yield _wrong((*here, "key"), key, "there twice in one term: the API server refuses the class", Drop(key))
        keys.append(key)
        yield from _values(expression.get("values"), (*here, "values"))


def _values(values: object, place: Place) -> Iterator[Finding]:
    rule = "a list of at least one text: the API server refuses the class"
    if not isinstance(values, list) or not values:
        remedy = Set([text_of(values)], meant=True) if values and _is_scalar(values) else Drop("values")
        yield _wrong(place, "(missing)" if values is None else values, rule, remedy)
        return
    for number, value in enumerate(values):
        if not isinstance(value, str):
            yield _wrong((*place, number), value, rule, Set(text_of(value), meant=True) if _is_scalar(value) else Drop(json.dumps(value)))
        elif value in values[:number]:
            yield _wrong((*place, number), value, "listed twice: the API server refuses the class", Drop(value, ignored=True))


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float)


def text_of(value: object) -> str:
    """A value as a text: what was written, where it is a number, or true or false."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
