"""Claims and default classes in what has no fixed form: custom resources of any kind, and the
values of Helm releases.

They are found by the names that operators and charts give them: `storageClassName` and
`storageClass` wherever they are, `class` beside a size, and what has the fields of a claim. A class
that is named in another way isn't seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from components.kube.classes import DEFAULT_CLASS
from policy.resources import RELEASE, UNKNOWN, DeclaredClaim, DeclaredResource, get

# What makes objects of templates, which aren't seen here, by API group and kind.
_TEMPLATES = {
    ("helm.sh", "Release"),
    ("helm.toolkit.fluxcd.io", "HelmRelease"),
    ("kustomize.toolkit.fluxcd.io", "Kustomization"),
    ("helm.cattle.io", "HelmChart"),
    ("argoproj.io", "Application"),
    ("argoproj.io", "ApplicationSet"),
}

_CLASSES = ("storageClassName", "storageClass", "class")  # the last one beside a size alone
_SIZES = (("requests", "storage"), ("size",), ("storage",), ("capacity",))
_PODS = ("replicas", "replicaCount", "instances", "count")  # of what stands below it

# A class's name is a DNS subdomain (apimachinery, IsDNS1123Subdomain). What object stores call a
# storage class, such as STANDARD_IA, is none.
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_SIZE = re.compile(r"[0-9.]+([kMGTPE]|[KMGTPE]i)")


def root_of(resource: DeclaredResource) -> str:
    """Where in a resource its own words begin, `spec` or `values`; empty where it isn't searched.

    Kubernetes' own groups have no dot, or end with .k8s.io: their form is known. Operators' may end
    with .x-k8s.io.
    """
    if resource.type == RELEASE:
        return "values"
    own = "." not in resource.group or resource.group.endswith(".k8s.io") or resource.group == "helm.sh"
    return "" if own else "spec"


def makes_of_templates(resource: DeclaredResource) -> bool:
    """Whether the objects that come of it are made elsewhere, of templates."""
    return (resource.group, resource.object_kind) in _TEMPLATES


def claims_in(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    """Everything in a resource that looks like a claim."""
    root = root_of(resource)
    for path, found, pods in _mappings(root, resource.get(root), 1):
        claim = _claim(resource, path, found, pods)
        if claim:
            yield claim


def default_classes_in(resource: DeclaredResource) -> Iterator[tuple[str, Any]]:
    """Each place in a resource that makes a class the default one, and its value: one of the
    annotations, or what charts of provisioners have for it.
    """
    root = root_of(resource)
    for path, found, _ in _mappings(root, resource.get(root), 1) if root else []:
        keys: list[str] = list(DEFAULT_CLASS)
        if re.search(r"storageclass|persistence", path, re.IGNORECASE):
            keys += ["enabled"] if path.endswith(".defaultStorageClass") else ["defaultClass"]
        yield from ((_below(path, key), found[key]) for key in keys if str(found.get(key)).lower() == "true")


def _mappings(path: str, value: Any, pods: int) -> Iterator[tuple[str, Mapping[str, Any], int]]:  # noqa: ANN401
    """Every mapping, with its path and the number of pods that it or the next one around it names.

    What is turned off by `enabled: false` is left out.
    """
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _mappings(f"{path}[{index}]", item, pods)
    elif isinstance(value, Mapping) and value.get("enabled") is not False:
        numbers = [int(number) for key in _PODS if isinstance(number := value.get(key), int | float) and number is not True]
        yield path, value, (pods := max(numbers[0], 0) if numbers else pods)
        for key, below in value.items():
            yield from _mappings(_below(path, key), below, pods)


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if key.replace("-", "").isalnum() else f"{path}[{key}]"


def _claim(resource: DeclaredResource, path: str, found: Mapping[str, Any], pods: int) -> DeclaredClaim | None:
    """The claim that a mapping stands for; None where it neither has the form of a claim's spec nor
    names a class.

    An empty name leaves the class to the operator or the chart, but in a claim's own spec.
    """
    asked = _asked(found)
    size = asked if asked is not None else next(filter(_is_size, (get(found, *each) for each in _SIZES)), None)
    modes = found.get("accessModes") or ([found["accessMode"]] if found.get("accessMode") else None)
    key = next((key for key in _CLASSES if found.get(key) is not None and (size or key != "class")), _CLASSES[0])
    name = found.get(key)
    if name == "" and asked is None:
        name = None
    if name not in (None, "", UNKNOWN) and not (isinstance(name, str) and _NAME.fullmatch(name)):
        return None
    if name is None and asked is None and not (modes and size):
        return None
    return DeclaredClaim(
        resource.title,
        storage_class=name,
        class_field=f"{path}.{key}",
        size=size,
        modes=modes,
        modes_field=f"{path}.{'accessModes' if 'accessModes' in found else 'accessMode'}",
        replicas=pods,
        whole=asked is not None and not makes_of_templates(resource),
    )


def _asked(found: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """What a claim's spec asks for, as no container does; None for a pattern that claims match."""
    requests = get(found, "resources", "requests")
    asked = requests.get("storage") if isinstance(requests, Mapping) else None
    return None if isinstance(asked, str) and not asked[:1].isdecimal() else asked


def _is_size(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, str) and _SIZE.fullmatch(value) is not None
