"""Which nodes a volume can be used on: a PersistentVolume's nodeAffinity, evaluated as the
scheduler does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

HOSTNAME = "kubernetes.io/hostname"


def served_by(terms: Sequence[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of `nodes` (the API's JSON) satisfies one of the nodeSelectorTerms.

    None at all are satisfied by every node.
    """
    return not terms or any(_matches(term, node) for node in nodes for term in terms)


def ready(node: Mapping[str, Any]) -> bool:
    """Whether a node is Ready: its kubelet reports, and says that it can run pods."""
    conditions = (node.get("status") or {}).get("conditions") or []
    return all(each["status"] == "True" for each in conditions if each["type"] == "Ready")


def names_node(terms: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the terms tie a volume to nodes by their names.

    A node of that name doesn't come by itself, while an autoscaler may start one in a zone.
    """
    expressions = [each for term in terms for each in [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])]]
    return any(each["key"] in (HOSTNAME, "metadata.name") for each in expressions)


def describe(terms: Sequence[Mapping[str, Any]]) -> str:
    """The terms in words: `node storage-tiers`, `zone eu-central-1a`, or the expressions as they
    are.
    """
    return " or ".join(
        " and ".join(_words(expression) for expression in [*(term.get("matchExpressions") or []), *(term.get("matchFields") or [])])
        for term in terms
    )


def _words(expression: Mapping[str, Any]) -> str:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    if operator == "In" and len(values) == 1 and (key == HOSTNAME or key.endswith("/zone")):
        return f"{'node' if key == HOSTNAME else 'zone'} {values[0]}"
    return " ".join([key, operator, ",".join(values)]).strip()


def _matches(term: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """A term without expressions matches nothing (Kubernetes API reference, NodeSelectorTerm)."""
    labels, fields = node["metadata"].get("labels") or {}, {"metadata.name": node["metadata"]["name"]}
    expressions, by_field = term.get("matchExpressions") or [], term.get("matchFields") or []
    return (
        bool(expressions or by_field)
        and all(_holds(each, labels) for each in expressions)
        and all(_holds(each, fields) for each in by_field)
    )


def _holds(expression: Mapping[str, Any], found: Mapping[str, str]) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    value = found.get(key)
    if operator in ("Gt", "Lt"):
        try:
            difference = int(value or "") - int(values[0])
        except ValueError:
            return False
        return difference > 0 if operator == "Gt" else difference < 0
    there = {"In": value in values, "NotIn": value not in values, "Exists": value is not None, "DoesNotExist": value is None}
    return there.get(operator, False)  # NotIn holds, as for all selectors, also where there is no such label
