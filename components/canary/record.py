"""The ConfigMap with a tier's last verdict. The next proof shows its figures beside its own."""

from __future__ import annotations

import json
from typing import Any

from components.canary import objects
from components.canary.manifests import canary_labels
from components.canary.plan import ProofPlan
from components.kube.api import KubeApi

SHOWN = ("provenAt", "writeMBps", "writeIOPS", "syncMs", "secondsToRunning")


def load(api: KubeApi, plan: ProofPlan) -> dict[str, Any] | None:
    """The figures of the last proof of the plan's tier, or of its place.

    None where there are none. Raises ApiError.
    """
    found = api.find(objects.namespaced(plan.namespace, "configmaps", _name(plan)))
    if found is None:
        return None
    try:
        remembered = json.loads(found["data"]["verdict"])
        if plan.place:
            remembered = next(each for each in remembered["places"] if each.get(plan.place.kind) == plan.place.name and "syncMs" in each)
        return {key: remembered.get(key) for key in SHOWN}
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):  # somebody has changed it, or the place is new
        return None


def save(api: KubeApi, plan: ProofPlan, verdict: dict[str, Any]) -> None:
    """Keep a verdict for the next run. Raises ApiError."""
    name, data = _name(plan), {"verdict": json.dumps({**verdict, "previous": None})}
    if api.patch(objects.namespaced(plan.namespace, "configmaps", name), {"data": data}) is None:
        metadata = {"name": name, "namespace": plan.namespace, "labels": canary_labels(plan.instance, plan.tier)}
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        objects.create(api, objects.namespaced(plan.namespace, "configmaps"), manifest)


def _name(plan: ProofPlan) -> str:
    return f"canary-{plan.tier}-proven"
