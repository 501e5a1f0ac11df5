"""Where claims of a tier may land: zones and nodes, and what keeps pods out of them."""

from __future__ import annotations

from typing import Any

import pytest

from components.canary.places import ZONE, Place, nodes_of, zones, zones_named

GKE = "topology.gke.io/zone"


def node(
    name: str,
    zone: str = "",
    *,
    key: str = ZONE,
    taints: list[str] | None = None,
    cordoned: bool = False,
    system: str = "linux",
    **found: str,
) -> Any:
    """A node; a taint is `key=value:effect`."""
    labels = {"kubernetes.io/os": system, **({key: zone} if zone else {}), **found}
    parts = [(text.partition(":")[0].partition("="), text.partition(":")[2]) for text in taints or []]
    made = [{"key": key, "effect": effect, **({"value": value} if value else {})} for (key, _, value), effect in parts]
    return {"metadata": {"name": name, "labels": labels}, "spec": {"taints": made or None, "unschedulable": cordoned}}


def allowing(*zones: str, key: str = ZONE, **others: list[str]) -> dict[str, Any]:
    """A class that restricts its volumes to these zones, and by other labels."""
    expressions = [{"key": key, "values": list(zones)}] if zones else []
    expressions += [{"key": name, "values": values} for name, values in others.items()]
    return {"allowedTopologies": [{"matchLabelExpressions": expressions}]}


def terms(storage_class: dict[str, Any]) -> list[Any]:
    return list(storage_class["allowedTopologies"])


@pytest.mark.parametrize(
    ("storage_class", "named"),
    [
        ({}, {}),
        ({"allowedTopologies": None}, {}),
        ({"allowedTopologies": [{}]}, {}),
        (allowing(hostname=["a"]), {}),
        (allowing("a", "b"), {"a": ZONE, "b": ZONE}),
        (allowing("a", key=GKE), {"a": GKE}),
        (
            {"allowedTopologies": [*allowing("a")["allowedTopologies"], *allowing("b", "a", key=GKE)["allowedTopologies"]]},
            {"a": ZONE, "b": GKE},
        ),
    ],
)
def test_the_zones_that_a_class_names(storage_class: dict[str, Any], named: dict[str, str]) -> None:
    assert zones_named(storage_class) == named


class TestZones:
    def test_each_zone_of_the_class_is_a_place_where_a_node_is(self) -> None:
        found = zones(allowing("a", "b", "c"), [node("1", "a"), node("2", "b"), node("3", "b"), node("4", "d")], {})
        assert [(place.name, place.obstacle) for place in found] == [
            ("a", ""),
            ("b", ""),
            ("c", "no node in zone c: none has the label topology.kubernetes.io/zone=c"),
        ]

    def test_the_label_is_the_drivers_own(self) -> None:
        found = zones(allowing("a", key=GKE), [node("1", "a")], {})
        assert found[0].obstacle == "no node in zone a: none has the label topology.gke.io/zone=a"
        assert not zones(allowing("a", key=GKE), [node("1", "a", key=GKE)], {})[0].obstacle

    @pytest.mark.parametrize(
        ("inside", "pod", "reason"),
        [
            (node("1", "a", cordoned=True), {}, "1 is cordoned"),
            (node("1", "a", cordoned=True), {"tolerations": [{"operator": "Exists"}]}, ""),
            (
                node("1", "a", taints=["dedicated=db:NoSchedule"]),
                {},
                "1 has the taint dedicated=db:NoSchedule, which canary.pod.tolerations doesn't tolerate",
            ),
            (node("1", "a", taints=["dedicated=db:NoSchedule"]), {"tolerations": [{"key": "dedicated", "value": "db"}]}, ""),
            (node("1", "a", taints=["dedicated=db:NoSchedule"]), {"tolerations": [{"key": "dedicated", "operator": "Exists"}]}, ""),
            (
                node("1", "a", taints=["dedicated=db:NoExecute"]),
                {"tolerations": [{"key": "dedicated", "value": "db", "effect": "NoSchedule"}]},
                "1 has the taint dedicated=db:NoExecute, which canary.pod.tolerations doesn't tolerate",
            ),
            (
                node("1", "a", taints=["dedicated=db:NoSchedule"]),
                {"tolerations": [{"key": "dedicated", "value": "x"}]},
                "1 has the taint dedicated=db:NoSchedule, which canary.pod.tolerations doesn't tolerate",
            ),
            (node("1", "a", taints=["busy:PreferNoSchedule"]), {}, ""),
            (node("1", "a", pool="x"), {"nodeSelector": {"pool": "x"}}, ""),
            (node("1", "a"), {"nodeSelector": {"pool": "x"}}, "1 lacks the label pool=x"),
            (node("1", "a", system="windows"), {}, "1 lacks the label kubernetes.io/os=linux"),
        ],
    )
    def test_what_keeps_pods_out_of_its_only_node(self, inside: Any, pod: dict[str, Any], reason: str) -> None:
        (place,) = zones(allowing("a"), [inside, node("2", "b")], pod)
        assert place.obstacle == (f"no node in zone a takes the canary's pods: {reason}" if reason else "")

    def test_one_node_that_takes_pods_is_enough(self) -> None:
        (place,) = zones(allowing("a"), [node("1", "a", cordoned=True), node("2", "a")], {})
        assert not place.obstacle

    def test_many_nodes_are_not_all_named(self) -> None:
        (place,) = zones(allowing("a"), [node(str(number), "a", cordoned=True) for number in range(9)], {})
        assert place.obstacle.endswith(": 0 is cordoned; 1 is cordoned; 2 is cordoned and 6 more")

    def test_a_class_may_ask_for_more_than_a_zone(self) -> None:
        asked = allowing("a", "b", compute=["auto"])
        first, second = zones(asked, [node("1", "a", compute="auto"), node("2", "b")], {})
        assert not first.obstacle
        assert second.obstacle == "no node in zone b takes the canary's pods: 2 is not where the class allows volumes"

    def test_of_a_class_that_names_none_those_of_the_nodes(self) -> None:
        found = zones({}, [node("1", "b"), node("2", "a"), node("3", "c", cordoned=True), node("4"), node("5", "d", pool="x")], {})
        assert [(place.name, bool(place.obstacle)) for place in found] == [("a", False), ("b", False), ("c", True), ("d", False)]
        assert [place.name for place in zones({}, [node("1", "b"), node("5", "d", pool="x")], {"nodeSelector": {"pool": "x"}})] == ["d"]
        assert zones({}, [node("4")], {}) == []


class TestNodes:
    def test_each_node_that_can_have_a_pod_is_a_place(self) -> None:
        inside = [node("2", "a"), node("1", "b"), node("3", "c"), node("4", "a", taints=["control:NoSchedule"])]
        assert [place.name for place in nodes_of({}, inside, {})] == ["1", "2", "3"]
        assert [place.name for place in nodes_of(allowing("a"), inside, {})] == ["2"]
        assert [place.name for place in nodes_of({}, inside, {"tolerations": [{"key": "control", "operator": "Exists"}]})] == [
            "1",
            "2",
            "3",
            "4",
        ]

    def test_one_that_is_away_for_a_while_is_named(self) -> None:
        inside = [node("1", cordoned=True), node("2", taints=["node.kubernetes.io/not-ready:NoSchedule"]), node("3")]
        assert [place.obstacle for place in nodes_of({}, inside, {})] == [
            "node 1 is cordoned",
            "node 2 has the taint node.kubernetes.io/not-ready:NoSchedule",
            "",
        ]

    def test_one_that_is_away_and_reserved_for_others_is_none(self) -> None:
        assert nodes_of({}, [node("1", cordoned=True, taints=["control:NoSchedule"])], {}) == []


def test_a_place_knows_its_nodes() -> None:
    assert Place("zone", "a", ZONE).has(node("1", "a"))
    assert not Place("zone", "a", ZONE).has(node("a", "b"))
    assert Place("node", "1").has(node("1", "a"))
    assert not Place("node", "1").has(node("2", "1"))
