"""Which nodes a volume can be used on."""

from __future__ import annotations

from typing import Any

import pytest

from components.kube.node_affinity import describe, served_by

NODE = {"metadata": {"name": "n1", "labels": {"kubernetes.io/hostname": "h1", "topology.kubernetes.io/zone": "a", "size": "8"}}}


def term(key: str, operator: str, *values: str, by: str = "matchExpressions") -> dict[str, Any]:
    return {by: [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("terms", "served"),
    [
        ([], True),
        ([{}], False),  # a term without expressions matches nothing
        ([term("kubernetes.io/hostname", "In", "h1", "h2")], True),
        ([term("kubernetes.io/hostname", "In", "h2")], False),
        ([term("kubernetes.io/hostname", "In", "h2"), term("topology.kubernetes.io/zone", "In", "a")], True),
        (
            [
                {
                    "matchExpressions": [
                        *term("size", "Exists")["matchExpressions"],
                        *term("topology.kubernetes.io/zone", "In", "b")["matchExpressions"],
                    ]
                }
            ],
            False,
        ),
        ([term("kubernetes.io/hostname", "NotIn", "h1")], False),
        ([term("missing", "NotIn", "x")], True),
        ([term("size", "Exists")], True),
        ([term("missing", "Exists")], False),
        ([term("missing", "DoesNotExist")], True),
        ([term("size", "DoesNotExist")], False),
        ([term("size", "Gt", "7")], True),
        ([term("size", "Gt", "8")], False),
        ([term("size", "Lt", "9")], True),
        ([term("size", "Lt", "8")], False),
        ([term("kubernetes.io/hostname", "Gt", "1")], False),
        ([term("missing", "Lt", "1")], False),
        ([term("metadata.name", "In", "n1", by="matchFields")], True),
        ([term("metadata.name", "In", "n2", by="matchFields")], False),
        ([term("size", "Unheard", "8")], False),
    ],
)
def test_served(terms: list[dict[str, Any]], served: bool) -> None:
    assert served_by(terms, [NODE]) is served
    assert served_by(terms, []) is (terms == [])


def test_in_words() -> None:
    terms = [
        term("kubernetes.io/hostname", "In", "h1"),
        term("topology.ebs.csi.aws.com/zone", "In", "eu-central-1a"),
        term("size", "Gt", "7"),
    ]
    assert describe(terms) == "node h1 or zone eu-central-1a or size Gt 7"
