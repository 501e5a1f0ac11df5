"""What a merge would do: the plan of the base against the plan of the head.

It takes the base for what runs now. What is really there is for a preview with the stack's state to
say, and for the program's own checks; a review needs neither. The rules by which an object is
replaced are Kubernetes', the plugin's and the program's. What must not be merged is what the
program's own check refuses, by the same rules (components/preflight/claim_rules.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.kube.ownership import parse_claim_name
from components.kube.quantity import bytes_of
from components.preflight import claim_rules
from components.preflight.claim_rules import SIZE, ClaimFinding, ClaimValues, Effect, is_within
from review.plan import Planned, PreviewPlan

Action = Literal["create", "change", "replace", "delete", "release"]

CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
CLAIM = "kubernetes:core/v1:PersistentVolumeClaim"
NAMESPACE = "kubernetes:core/v1:Namespace"
COMMAND = "command:local:Command"
PROVIDER = "pulumi:providers:kubernetes"
NAMESPACE_COMPONENT = "storage-tiers:index:ServiceNamespace"

# Of every object (pulumi-kubernetes, provider/pkg/provider/diff.go).
_NAMES = ("metadata.name", "metadata.namespace")

# By type, the fields of which another value means another object. Of a class the plugin knows the
# first two; of the other two the program says so itself (replace_on_changes in
# components/storage_tier.py), because Kubernetes refuses to change them.
REPLACING: Mapping[str, Sequence[str]] = {
    CLASS: ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"),
    CLAIM: tuple(claim_rules.REPLACING),
    "kubernetes:core/v1:ConfigMap": ("data", "binaryData"),
    "kubernetes:core/v1:ResourceQuota": ("spec.scopes",),
    "kubernetes:storage.k8s.io/v1:VolumeAttributesClass": ("driverName", "parameters"),
    "kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass": ("driver", "parameters", "deletionPolicy"),
    COMMAND: ("triggers",),
    PROVIDER: ("clusterIdentifier",),
}
_CLUSTER_KEYS = {"clusterIdentifier": "identifier"}  # as the settings call it
# Without an identifier the plugin takes another way to a cluster for another cluster (provider.go,
# DiffConfig).
WAYS_TO_A_CLUSTER = ("context", "cluster", "kubeconfig")


@dataclass(frozen=True)
class Field:
    """A field with another value; None stands for none."""

    path: str
    base: Any
    head: Any


@dataclass(frozen=True)
class Change:
    """What happens to one object.

    `because` are those of `fields` (or the objects it belongs to) for which it is replaced.
    """

    action: Action
    resource: Planned
    fields: tuple[Field, ...] = ()
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """All that a merge would do, and the `problems` for which it must not be done.

    Each of these has the object, the rule and what works.
    """

    changes: tuple[Change, ...]
    problems: tuple[str, ...]

    def of(self, action: Action) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.action == action]


def compare(base: PreviewPlan | None, head: PreviewPlan) -> Comparison:
    """What the head's plan does to what the base's has made.

    `base` is None where there was none, and everything is new.
    """
    before = _objects(base) if base else {}
    after = _objects(head)
    changes = list(_changes(before, after, head))
    replaced = {change.resource.urn for change in changes if change.action == "replace"}
    changes = [_with_its_provider(change, replaced) for change in changes]
    touched = {change.resource.urn for change in changes}
    changes += [
        Change("replace", resource, (), (after[resource.provider].title,))
        for urn, resource in after.items()
        if urn in before and urn not in touched and resource.provider in replaced
    ]
    order: Sequence[Action] = ("delete", "replace", "change", "release", "create")
    changes.sort(key=lambda change: (order.index(change.action), change.resource.type, change.resource.title))
    return Comparison(tuple(changes), tuple(_problems(changes, before, after)))


def _objects(plan: PreviewPlan) -> dict[str, Planned]:
    """What stands for something outside Pulumi.

    No components, and not the providers that Pulumi makes by itself.
    """
    return {
        urn: resource
        for urn, resource in plan.resources.items()
        if resource.custom and not (resource.type.startswith("pulumi:providers:") and resource.name.startswith("default"))
    }


def _changes(before: Mapping[str, Planned], after: Mapping[str, Planned], head: PreviewPlan) -> Iterator[Change]:
    for urn, resource in before.items():
        if urn not in after:
            # ServiceNamespace with `create: false`: Pulumi lets go of a namespace that it only
            # reads from then on.
            handed_over = resource.type == NAMESPACE and NAMESPACE_COMPONENT in resource.parent and resource.parent in head.resources
            yield Change("release" if handed_over else "delete", resource)
            continue
        fields = tuple(_fields(resource, after[urn]))
        if fields:
            because = tuple(field.path for field in fields if _replaces(after[urn], field.path, resource))
            yield Change("replace" if because else "change", after[urn], fields, because)
    for urn, resource in after.items():
        if urn not in before:
            yield Change("create", resource)


def _with_its_provider(change: Change, replaced: set[str]) -> Change:
    """A changed object is replaced when its provider is: that one stands for another cluster."""
    if change.action == "change" and change.resource.provider in replaced:
        provider = change.resource.provider.rsplit("::", 1)[-1]
        return Change("replace", change.resource, change.fields, (f"Provider {provider}",))
    return change


def _fields(before: Planned, after: Planned) -> Iterator[Field]:
    yield from _differences("", before.inputs, after.inputs)
    if before.protect != after.protect:
        yield Field("(protect)", before.protect, after.protect)


def _differences(path: str, before: Any, after: Any) -> Iterator[Field]:  # noqa: ANN401 - of any type
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            name = f".{key}" if key.replace("-", "").isalnum() else f"[{key}]"
            yield from _differences(f"{path}{name}".removeprefix("."), before.get(key), after.get(key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(f"{path}[{index}]", one, other)
    elif before != after:
        yield Field(path, before, after)


def _replaces(resource: Planned, path: str, before: Planned) -> bool:
    paths = [*REPLACING.get(resource.type, ()), *(_NAMES if resource.type.startswith("kubernetes:") else ())]
    if resource.type == PROVIDER and not before.inputs.get("clusterIdentifier"):
        paths += WAYS_TO_A_CLUSTER
    return is_within(path, paths)


# --- what must not be merged ----------------------------------------------------------------------


def _problems(changes: Sequence[Change], before: Mapping[str, Planned], after: Mapping[str, Planned]) -> Iterator[str]:
    claims = _ClaimProblems(changes, before, after)
    homes = {claim.inputs["metadata"].get("namespace") for claim in before.values() if claim.type == CLAIM}
    for change in changes:
        base = before.get(change.resource.urn)
        if base is None:
            continue
        if base.type == CLAIM:
            yield from claims.of(change, base)
        elif base.type == NAMESPACE and base.inputs["metadata"]["name"] in homes and change.action in ("delete", "replace"):
            yield (
                f"{base.title}: {_would_be(change)}: Kubernetes deletes every claim in a namespace with it. Works: the namespace "
                f"{base.inputs['metadata']['name']} as it is (`namespace.create: false` lets go of it without deleting it)"
            )


class _ClaimProblems:
    """Says of a claim in a plan what the rules find on its change."""

    def __init__(self, changes: Sequence[Change], before: Mapping[str, Planned], after: Mapping[str, Planned]) -> None:
        self.changes = {change.resource.urn: change for change in changes}
        self.before = before
        self.after = after
        self.classes = {each.inputs["metadata"]["name"]: each for each in after.values() if each.type == CLASS}

    def of(self, change: Change, base: Planned) -> Iterator[str]:
        """Every problem of one claim; a lost one is lost once, whatever else is changed on it."""
        if change.action == "delete":
            yield self._deleted(base)
        elif change.action == "replace":
            yield self._replaced(change, base)
        else:
            for finding in (*claim_rules.compare(_values(base), _values(change.resource)), *self._size(change, base)):
                yield from (_refused(field, finding, base) for field in change.fields if is_within(field.path, [finding.field]))

    def _deleted(self, base: Planned) -> str:
        metadata = base.inputs["metadata"]
        service, ordinal = parse_claim_name(metadata["name"]) or ("", None)
        now, earlier = (sorted(_ordinals(plan, service, metadata.get("namespace"))) for plan in (self.after, self.before))
        finding = claim_rules.removed(ordinal, len(now))
        if ordinal is None:
            reason, kept = "", "the claim as it is"
        elif now:
            reason, kept = f" (services.{service}.replicas: {len(now)})", str(len(earlier))
        else:
            reason, kept = f" (services.{service}: (missing))", "the service as it was"
        context = self.before[base.provider].inputs.get("context", "") if base.provider in self.before else ""
        delete = claim_rules.delete_command(context, metadata.get("namespace", "default"), [metadata["name"]])
        works = claim_rules.keep_or_give_up(kept, delete, 1, "merge in spite of this")
        return f"{base.title}: would be deleted{reason}: {finding.rule}. Works: {works}"

    def _replaced(self, change: Change, base: Planned) -> str:
        old = _values(base)
        found = [each for each in claim_rules.compare(old, _values(change.resource)) if each.effect is Effect.REPLACED]
        if found:
            kept = " and ".join(_kept(each.field, old[each.field]) for each in found)
            works = claim_rules.keep_or_copy(kept, "stack" if any(each.field == claim_rules.NAMESPACE for each in found) else "service")
        else:
            cluster = next(field for field in self.changes[change.resource.provider].fields if field.path in self._keys(change))
            found = [claim_rules.another_cluster(_CLUSTER_KEYS.get(cluster.path, cluster.path))]
            works = claim_rules.keep_or_part(_kept(cluster.path, cluster.base))
        return f"{base.title}: {_would_be(change)}: {'; '.join(each.rule for each in found)}. Works: {works}"

    def _keys(self, change: Change) -> tuple[str, ...]:
        """What the cluster of a claim is told by, and is another now."""
        return self.changes[change.resource.provider].because

    def _size(self, change: Change, base: Planned) -> Iterator[ClaimFinding]:
        old, new = (_bytes(_value_at(each.inputs, SIZE)) for each in (base, change.resource))
        if old is None or new is None:
            return
        storage_class = self.classes.get(str(_value_at(base.inputs, claim_rules.STORAGE_CLASS)))
        grows = storage_class is None or storage_class.inputs.get("allowVolumeExpansion") is True
        yield from claim_rules.compare_sizes(old, new, storage_class.title if storage_class else "", grows)


def _refused(field: Field, finding: ClaimFinding, base: Planned) -> str:
    if finding.field == SIZE:
        works = claim_rules.keep_or_copy(str(field.base))
        return f"{base.title}: {field.path}: {field.head}: {finding.rule}, and it is {field.base}. Works: {works}"
    return f"{base.title}: {field.path}: {json.dumps(field.head)}: {finding.rule}. Works: {json.dumps(field.base)}"


def _kept(path: str, value: Any) -> str:  # noqa: ANN401 - of any type
    if value is None:
        return f"without {path}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value)


def _ordinals(plan: Mapping[str, Planned], service: str, namespace: str | None) -> Iterator[int]:
    """Which replicas of a service have a claim in a plan."""
    for claim in plan.values():
        metadata = claim.inputs["metadata"] if claim.type == CLAIM else {}
        named = parse_claim_name(str(metadata.get("name")))
        if named and named[0] == service and metadata.get("namespace") == namespace:
            yield named[1]


def _values(claim: Planned) -> ClaimValues:
    return {field: _value_at(claim.inputs, field) for field in claim_rules.FIELDS}


def _value_at(inputs: Mapping[str, Any], path: str) -> Any:  # noqa: ANN401 - of any type
    value: Any = inputs
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _bytes(size: object) -> int | None:
    try:
        return bytes_of(str(size))
    except ValueError:  # not known yet
        return None


def _would_be(change: Change) -> str:
    if change.action == "delete":
        return "would be deleted"
    was = {field.path: field.base for field in change.fields}
    now = {field.path: field.head for field in change.fields}
    reasons = [f"{path} {was[path]} -> {now[path]}" if path in was else f"{path} is replaced" for path in change.because]
    return f"would be replaced ({', '.join(reasons)})"
