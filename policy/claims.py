"""The claims that come of a resource: its own, those of its pods, and those that an operator or a
chart makes of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from policy import operators, search
from policy.resources import CLAIM, DAEMON_SET, POD_SPECS, STATEFUL_SET, DeclaredClaim, DeclaredResource, count, get, items

_PODS = {**POD_SPECS, DAEMON_SET: ("spec", "template", "spec")}


def claims_of(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    """Every claim that comes of a resource; none where it is no object of Kubernetes."""
    known = operators.KNOWN.get((resource.group, resource.object_kind))
    found = known(resource) if known else search.claims_in(resource) if search.root_of(resource) else _built_in(resource)
    # A Release names the namespace of what it makes, others of its kind their own.
    namespace = resource.get("namespace") if search.makes_of_templates(resource) else resource.namespace
    for claim in found:
        yield replace(claim, namespace=namespace, whole=claim.whole and not resource.is_patch)


def _built_in(resource: DeclaredResource) -> Iterator[DeclaredClaim]:
    if resource.object_type == CLAIM:
        yield DeclaredClaim.by_template(resource.title, resource.properties, name=str(resource.get("metadata", "name") or ""))
    pods = count(resource.get("spec", "replicas"))
    if resource.object_type == STATEFUL_SET:
        for template in items(resource.get("spec", "volumeClaimTemplates")):
            name = get(template, "metadata", "name") or "(unnamed)"
            first = count(resource.get("spec", "ordinals", "start") or 0)
            yield DeclaredClaim.by_template(
                f"{resource.title}, claim template {name}",
                template,
                replicas=pods,
                name=f"{name}-{resource.get('metadata', 'name')}",  # as the StatefulSet's controller calls them
                ordinals=range(first, first + pods),
            )
    path = _PODS.get(resource.object_type)
    for volume in items(resource.get(*path, "volumes")) if path else []:
        template = get(volume, "ephemeral", "volumeClaimTemplate")
        if get(template, "spec"):
            title = f"{resource.title}, ephemeral volume {get(volume, 'name') or '(unnamed)'}"
            yield DeclaredClaim.by_template(title, template, replicas=pods, ephemeral=True)
