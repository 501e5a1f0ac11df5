"""Volumes, claims and nodes for tests of the decisions about them, as the API's JSON has them."""

from __future__ import annotations

from typing import Any

from components.kube import labels
from components.kube.ownership import Stamp, parse_claim_name
from components.settings import Settings, load
from ops.volumes.volume import Volume
from ops.volumes.wanted import Wanted, wanted_claims
from tests.unit.mocked_program import dev_config

STREAMING = "streaming-local-path"
NODE = {"metadata": {"name": "here", "labels": {"kubernetes.io/hostname": "here"}}}


def settings(**changes: Any) -> Settings:
    return load(dev_config(**changes), "dev")


def wanted(name: str = "data-kafka-1", **changes: Any) -> Wanted:
    return next(each for each in wanted_claims(settings(**changes)) if each.name == name)


def stamp(service: str = "kafka", ordinal: int = 1, stack: str = "dev", tier: str = "streaming") -> dict[str, str]:
    return Stamp(stack, service, ordinal, tier).labels


def on(*hosts: str) -> dict[str, Any]:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": list(hosts)}]}]
    return {"required": {"nodeSelectorTerms": terms}}


def volume(
    name: str = "pv1", last: str | None = "data/data-kafka-1", marks: dict[str, str] | None = None, phase: str = "Released", **spec: Any
) -> Volume:
    """A volume of the streaming tier that was last that of `last`.

    `spec` replaces or (with None) removes fields of its spec.
    """
    namespace, _, claim = (last or "").partition("/")
    made = {
        "capacity": {"storage": "3380Mi"},
        "accessModes": ["ReadWriteOnce"],
        "persistentVolumeReclaimPolicy": "Retain",
        "storageClassName": STREAMING,
        "local": {"path": f"/volumes/{name}"},
        "nodeAffinity": on("here"),
        "claimRef": {"namespace": namespace, "name": claim, "uid": f"of-{name}"} if last else None,
        **spec,
    }
    return Volume.of(
        {
            "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1", "labels": marks or {}},
            "spec": {key: value for key, value in made.items() if value is not None},
            "status": {"phase": phase},
        }
    )


def reserved(name: str = "pv1", last: str = "data/data-kafka-1", **more: Any) -> Volume:
    namespace, _, claim = last.partition("/")
    return volume(name, last, phase="Available", claimRef={"namespace": namespace, "name": claim}, **more)


def claim(name: str = "data-kafka-1", volume: str | None = None, *, stack: str = "dev", phase: str = "", **metadata: Any) -> dict[str, Any]:
    parsed = parse_claim_name(name) or ("", 0)
    tier = "database" if parsed[0] == "postgres" else "streaming"
    return {
        "metadata": {"name": name, "uid": f"claim-{name}", "labels": labels.recommended(parsed[0], stack, tier), **metadata},
        "spec": {"storageClassName": f"{tier}-local-path", **({"volumeName": volume} if volume else {})},
        "status": {"phase": phase or ("Bound" if volume else "Pending")},
    }
