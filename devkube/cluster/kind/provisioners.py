"""More instances of Kind's own provisioner, each answering to another driver's name."""

from __future__ import annotations

import json
import re
from typing import Any

from devkube.cluster.kind.nodes import KindNode, kubectl

_NAME = "local-path-provisioner"
_NAMESPACE = f"--namespace={_NAME.removesuffix('-provisioner')}-storage"
BUILT_IN = "rancher.io/local-path"


def add_provisioners(node: KindNode, names: tuple[str, ...]) -> None:
    """Make a deployment like Kind's own for each of these names, and wait until it runs.

    Kind's own keeps answering to its name: two of one name would race.
    """
    others = [name for name in names if name != BUILT_IN]
    if not others:
        return
    own = json.loads(kubectl(node, "get", "deployment", _NAME, _NAMESPACE, "--output=json"))
    for name in others:
        copy = _copy(own, name)
        kubectl(node, "apply", "--filename=-", stdin=json.dumps(copy))
        kubectl(node, "rollout", "status", f"deployment/{copy['metadata']['name']}", _NAMESPACE, "--timeout=50s", "--request-timeout=0")


def _copy(deployment: dict[str, Any], name: str) -> dict[str, Any]:
    slug = f"{_NAME}-{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}"
    template = json.loads(json.dumps(deployment["spec"]["template"]))
    labels = {"app": slug}
    template["metadata"]["labels"] = labels
    container = template["spec"]["containers"][0]
    words = container.get("args") or container["command"]
    words += ["--provisioner-name", name]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": slug, "namespace": deployment["metadata"]["namespace"], "labels": labels},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }
