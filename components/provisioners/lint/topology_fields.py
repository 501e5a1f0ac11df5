"""What the API server refuses of a class's `allowedTopologies`.

Sources: Kubernetes 1.34, ValidateTopologySelectorTerm in pkg/apis/core/validation/validation.go;
kubectl's strict field validation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from components.provisioners.findings import Finding
from components.provisioners.lint.nodes import Place
from components.provisioners.lint.values import NO_FIELD, is_scalar, qualified, text_of, wrong
from components.provisioners.remedies import Drop, Rename, Set


def topology_findings(terms: object) -> Iterator[Finding]:
    """Every term, expression and value that the API server refuses, or doesn't know."""
    place: Place = ("allowedTopologies",)
    if terms is None:
        return
    if not isinstance(terms, list):
        remedy = Set([terms], meant=True) if isinstance(terms, dict) else Drop("allowedTopologies")
        yield wrong(place, terms, "a list of terms: the API server refuses the class", remedy)
        return
    for number, term in enumerate(terms):
        here = (*place, number)
        if not isinstance(term, dict):
            yield wrong(here, term, "a mapping with matchLabelExpressions: the API server refuses the class", Drop(json.dumps(term)))
            continue
        if term in terms[:number]:
            yield wrong(here, term, "the same term as one above: the API server refuses the class", Drop("this term", ignored=True))
        yield from _strange(term, here, ("matchLabelExpressions",))
        yield from _expressions(term.get("matchLabelExpressions"), (*here, "matchLabelExpressions"))


def _strange(written: Mapping[str, Any], place: Place, known: Sequence[str]) -> Iterator[Finding]:
    for key in written:
        if key not in known:
            meant = get_close_matches(key.lower(), [name.lower() for name in known if name not in written], 1, 0.6)
            remedy = Rename(next(name for name in known if name.lower() == meant[0])) if meant else Drop(key, ignored=written[key] == "In")
            yield wrong((*place, key), written[key], NO_FIELD.format("a topology term"), remedy)


def _expressions(expressions: object, place: Place) -> Iterator[Finding]:
    if expressions is None:
        return
    if not isinstance(expressions, list):
        remedy = Set([expressions], meant=True) if isinstance(expressions, dict) else Drop("matchLabelExpressions")
        yield wrong(place, expressions, "a list of expressions: the API server refuses the class", remedy)
        return
    keys: list[object] = []
    for number, expression in enumerate(expressions):
        here = (*place, number)
        if not isinstance(expression, dict):
            rule = "a mapping with key and values: the API server refuses the class"
            yield wrong(here, expression, rule, Drop(json.dumps(expression)))
            continue
        yield from _strange(expression, here, ("key", "values"))
        key = expression.get("key")
        if not isinstance(key, str) or not qualified(key):
            yield wrong(
                (*here, "key"), "(missing)" if key is None else key, "the key of a label: the API server refuses the class", Drop("key")
            )
        elif key in keys:
            yield wrong((*here, "key"), key, "there twice in one term: the API server refuses the class", Drop(key))
        keys.append(key)
        yield from _values(expression.get("values"), (*here, "values"))


def _values(values: object, place: Place) -> Iterator[Finding]:
    rule = "a list of at least one text: the API server refuses the class"
    if not isinstance(values, list) or not values:
        remedy = Set([text_of(values)], meant=True) if values and is_scalar(values) else Drop("values")
        yield wrong(place, "(missing)" if values is None else values, rule, remedy)
        return
    for number, value in enumerate(values):
        if not isinstance(value, str):
            yield wrong((*place, number), value, rule, Set(text_of(value), meant=True) if is_scalar(value) else Drop(json.dumps(value)))
        elif value in values[:number]:
            yield wrong((*place, number), value, "listed twice: the API server refuses the class", Drop(value, ignored=True))
