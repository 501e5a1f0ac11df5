"""What the comparison needs: the stack's state by `pulumi stack export`, and the objects by the API. Nothing is written anywhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from kubernetes.client.exceptions import ApiException

from ops import cluster as api
from ops.drift.compare import CLAIM, Declared, Json, LiveObjects, Name
from ops.errors import UserError
from ops.pulumi_command import Pulumi

_KUBERNETES = "kubernetes:"  # types of Pulumi's kubernetes plugin: `kubernetes:<group>/<version>:<kind>`


def declared_objects(stack: str, pulumi: Pulumi | None = None) -> list[Declared]:
    """The Kubernetes objects in the state of `stack`.

    Raises UserError with pulumi's own words when it can't be had.
    """
    resources = (pulumi or Pulumi()).state(stack)["deployment"].get("resources") or []
    return [_declared(each) for each in resources if each["type"].startswith(_KUBERNETES) and not each.get("delete")]


def _declared(resource: Json) -> Declared:
    """A resource of the state; its id is `<namespace>/<name>`, or `<name>` for an object of the whole cluster."""
    fields = resource.get("inputs") or {}
    namespace, _, name = resource["id"].rpartition("/")
    group, kind = resource["type"].removeprefix(_KUBERNETES).split(":")
    return Declared(
        Name(kind, namespace, name),
        fields.get("apiVersion") or group.removeprefix("core/"),
        {key: value for key, value in fields.items() if key not in ("apiVersion", "kind")},
        ours=not resource.get("external", False),
    )


def look(cluster: api.Cluster, declared: Iterable[Declared]) -> LiveObjects:
    """Read what the state names, and all volumes. Raises UserError that names the right that is missing."""
    declared = list(declared)
    objects: dict[Name, Json] = {}
    namespaces = defaultdict(set)
    for each in declared:
        namespaces[each.api_version, each.name.kind].add(each.name.namespace)
    for (version, kind), found in namespaces.items():
        base = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        plural = _plural(cluster, base, kind)
        for namespace in found if plural else ():
            if namespace:
                for item in _get(cluster, f"{base}/namespaces/{namespace}/{plural}").get("items") or []:
                    objects[Name(kind, namespace, item["metadata"]["name"])] = item
            else:  # one by one: the right to read these alone is enough
                for each in declared:
                    if (each.api_version, each.name.kind) == (version, kind):
                        item = _get(cluster, f"{base}/{plural}/{each.name.name}")
                        objects.update({each.name: item} if item else {})
    claims = {name: item for name, item in objects.items() if name.kind == CLAIM}
    volumes = {item["metadata"]["name"]: item for item in _get(cluster, "/api/v1/persistentvolumes").get("items") or []} if declared else {}
    return LiveObjects(objects, volumes, claims)


def _plural(cluster: api.Cluster, base: str, kind: str) -> str:
    """What the API calls objects of a kind in its paths; empty for a kind that it doesn't have (any more)."""
    known = _get(cluster, base).get("resources") or []
    return next((each["name"] for each in known if each["kind"] == kind and "/" not in each["name"]), "")


def _get(cluster: api.Cluster, path: str) -> dict[str, Any]:
    """The JSON at a path of the API; empty for one that isn't there."""
    try:
        found: dict[str, Any] = cluster.call(
            cluster.api.call_api, path, "GET", response_type="object", auth_settings=["BearerToken"], _return_http_data_only=True
        )
    except ApiException as problem:
        if problem.status == 404:
            return {}
        raise UserError(
            f"the API of context {cluster.context} answered {problem.status} {problem.reason} for {path}.",
            "Looking takes the right to get and list what the stack has made, and all persistent volumes: see docs/drift.md.",
        ) from None
    return found
