"""Where claims of a tier may land: its zones or its nodes, and what keeps pods out of one.

As the scheduler sees it (Kubernetes 1.34, plugins VolumeBinding, NodeAffinity, TaintToleration and
NodeUnschedulable). All functions take classes and nodes as the API's JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.kube import labels
from components.kube.api import Json

ZONE = "topology.kubernetes.io/zone"
LINUX = {"kubernetes.io/os": "linux"}  # the probe's image and the file systems are for it
CORDONED = "node.kubernetes.io/unschedulable"  # the taint that stands for `kubectl cordon`
# Taints that Kubernetes sets by itself and takes away again, as of a node that isn't ready.
PASSING = "node.kubernetes.io/"
SHOWN_NODES = 3


@dataclass(frozen=True)
class Place:
    """A zone or a node where claims may land.

    `kind` is `zone` or `node`, `key` the label of a zone's nodes.
    `obstacle` says why no pod can run there; it is empty where one can.
    """

    kind: str
    name: str
    key: str = ""
    obstacle: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    def has(self, node: Json) -> bool:
        """Whether a node is there."""
        return labels.of(node).get(self.key) == self.name if self.key else bool(node["metadata"]["name"] == self.name)

    @property
    def affinity(self) -> Json:
        """What holds a pod to this place.

        A node is named itself: its label `kubernetes.io/hostname` may be another name.
        """
        kind, key = ("matchExpressions", self.key) if self.key else ("matchFields", "metadata.name")
        term = {kind: [{"key": key, "operator": "In", "values": [self.name]}]}
        return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}


def zones_named(storage_class: Mapping[str, Any]) -> dict[str, str]:
    """The zones that a class restricts its volumes to, each with the label's key it has for them.

    A key for zones ends with `/zone`: Kubernetes' own, and those of the drivers.
    """
    found: dict[str, str] = {}
    for term in storage_class.get("allowedTopologies") or []:
        for expression in term.get("matchLabelExpressions") or []:
            if expression["key"].endswith("/zone"):
                found |= {zone: expression["key"] for zone in expression["values"] if zone not in found}
    return found


def zones(storage_class: Mapping[str, Any], nodes: Sequence[Json], pod: Mapping[str, Any]) -> list[Place]:
    """Each zone where the class allows volumes; those of its nodes where it names none.

    `pod` is what the settings have in `canary.pod`.
    """
    named = zones_named(storage_class)
    if not named:
        within = (labels.of(node).get(ZONE) for node in nodes if not (_selects_not(node, pod) or _class_excludes(node, storage_class)))
        named = dict.fromkeys(sorted({zone for zone in within if zone}), ZONE)
    return [_zone(zone, key, storage_class, nodes, pod) for zone, key in named.items()]


def nodes_of(storage_class: Mapping[str, Any], nodes: Iterable[Json], pod: Mapping[str, Any]) -> list[Place]:
    """Each node where the class allows volumes, the node selector pods, and its taints as well.

    A node that is cordoned or not ready is one: claims may land there when that has passed.
    """
    found = []
    for node in nodes:
        if _selects_not(node, pod) or _class_excludes(node, storage_class):
            continue
        taints = _taints(node, pod)
        if all(taint["key"].startswith(PASSING) for taint in taints):
            name = node["metadata"]["name"]
            found.append(Place("node", name, obstacle=f"node {name} {_tainted(taints)}" if taints else ""))
    return sorted(found, key=lambda place: place.name)


def _zone(zone: str, key: str, storage_class: Mapping[str, Any], nodes: Sequence[Json], pod: Mapping[str, Any]) -> Place:
    place = Place("zone", zone, key)
    inside = [node for node in nodes if place.has(node)]
    if not inside:
        return Place("zone", zone, key, f"no node in zone {zone}: none has the label {key}={zone}")
    reasons = {node["metadata"]["name"]: _reason(node, storage_class, pod) for node in inside}
    if not all(reasons.values()):
        return place
    shown = "; ".join(f"{name} {reason}" for name, reason in list(reasons.items())[:SHOWN_NODES])
    more = f" and {len(reasons) - SHOWN_NODES} more" if len(reasons) > SHOWN_NODES else ""
    return Place("zone", zone, key, f"no node in zone {zone} takes the canary's pods: {shown}{more}")


def _reason(node: Json, storage_class: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    """Why a pod can't run on a node; empty where it can."""
    return _selects_not(node, pod) or _class_excludes(node, storage_class) or _tainted(_taints(node, pod))


def _selects_not(node: Json, pod: Mapping[str, Any]) -> str:
    found = labels.of(node)
    missing = [f"{key}={value}" for key, value in {**LINUX, **pod.get("nodeSelector", {})}.items() if found.get(key) != value]
    return f"lacks the label {' and '.join(missing)}" if missing else ""


def _class_excludes(node: Json, storage_class: Mapping[str, Any]) -> str:
    """One of the class's terms must hold, where it has any, and in it every expression."""
    terms, found = storage_class.get("allowedTopologies") or [], labels.of(node)
    held = (all(found.get(each["key"]) in each["values"] for each in term.get("matchLabelExpressions") or []) for term in terms)
    return "is not where the class allows volumes" if terms and not any(held) else ""


def _taints(node: Json, pod: Mapping[str, Any]) -> list[Mapping[str, str]]:
    """The taints of a node that keep a pod away."""
    found: list[Mapping[str, str]] = [
        taint for taint in node["spec"].get("taints") or [] if taint.get("effect") in ("NoSchedule", "NoExecute")
    ]
    if node["spec"].get("unschedulable") and not any(taint["key"] == CORDONED for taint in found):
        found.append({"key": CORDONED, "effect": "NoSchedule"})
    tolerations = pod.get("tolerations", [])
    return [taint for taint in found if not any(_tolerates(toleration, taint) for toleration in tolerations)]


def _tainted(taints: Sequence[Mapping[str, str]]) -> str:
    if any(taint["key"] == CORDONED for taint in taints):
        return "is cordoned"
    if not taints:
        return ""
    named = [f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}" for taint in taints]
    lasting = any(not taint["key"].startswith(PASSING) for taint in taints)
    return f"has the taint {' and '.join(named)}" + (", which canary.pod.tolerations doesn't tolerate" if lasting else "")


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, str]) -> bool:
    """As `Toleration.ToleratesTaint` of Kubernetes' API has it."""
    if toleration.get("effect") not in (None, "", taint["effect"]):
        return False
    if toleration.get("key") not in (None, "", taint["key"]):
        return False
    return toleration.get("operator") == "Exists" or str(toleration.get("value") or "") == taint.get("value", "")
