"""What the comparison needs: the stack's state by `pulumi stack export`, the objects by the API.

Nothing is written anywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from http import HTTPStatus

from components.kube.api import KubeApi
from components.kube.discovery import Discovery
from components.kube.errors import ApiError
from ops.drift.objects import CLAIM, Declared, Json, LiveObjects, Name
from ops.pulumi_command import Pulumi

_KUBERNETES = "kubernetes:"  # types of Pulumi's kubernetes plugin: `kubernetes:<group>/<version>:<kind>`


def declared_objects(stack: str, pulumi: Pulumi | None = None) -> list[Declared]:
    """The Kubernetes objects in the state of `stack`.

    Raises UserError with pulumi's own words when it can't be had.
    """
    resources = (pulumi or Pulumi()).state(stack)["deployment"].get("resources") or []
    return [_declared(each) for each in resources if each["type"].startswith(_KUBERNETES) and not each.get("delete")]


def _declared(resource: Json) -> Declared:
    """A resource of the state.

    Its id is `<namespace>/<name>`, or `<name>` for an object of the whole cluster.
    """
    fields = resource.get("inputs") or {}
    namespace, _, name = resource["id"].rpartition("/")
    group, kind = resource["type"].removeprefix(_KUBERNETES).split(":")
    return Declared(
        Name(kind, namespace, name),
        fields.get("apiVersion") or group.removeprefix("core/"),
        {key: value for key, value in fields.items() if key not in ("apiVersion", "kind")},
        ours=not resource.get("external", False),
    )


def look(api: KubeApi, declared: Iterable[Declared]) -> LiveObjects:
    """Read what the state names, and all volumes and nodes.

    Raises ApiError, for a right that is missing as well; but not for that to list the nodes, which
    is no more than asked for.
    """
    declared = list(declared)
    discovery = Discovery(api)
    objects: dict[Name, Json] = {}
    namespaces = defaultdict(set)
    for each in declared:
        namespaces[each.api_version, each.name.kind].add(each.name.namespace)
    for (version, kind), found in namespaces.items():
        resource = discovery.find(version, kind)
        if resource is None:
            continue
        for namespace in found:
            if namespace:
                for item in api.items(resource.path(namespace)):
                    objects[Name(kind, namespace, item["metadata"]["name"])] = item
            else:  # one by one: the right to read these alone is enough
                for each in declared:
                    if (each.api_version, each.name.kind) == (version, kind):
                        alone = api.find(resource.path(name=each.name.name))
                        objects.update({each.name: alone} if alone else {})
    claims = {name: item for name, item in objects.items() if name.kind == CLAIM}
    volumes = {item["metadata"]["name"]: item for item in api.items("/api/v1/persistentvolumes")} if declared else {}
    bound = any(item["spec"].get("volumeName") for item in claims.values())
    return LiveObjects(objects, volumes, claims, _nodes(api) if bound else ())


def _nodes(api: KubeApi) -> Sequence[Json] | None:
    try:
        return api.items("/api/v1/nodes")
    except ApiError as problem:
        if problem.status == HTTPStatus.FORBIDDEN:
            return None
        raise
