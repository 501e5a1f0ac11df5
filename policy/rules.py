"""The rules: each is one function, whose text says why it is one, on plain data. It yields a
message for each violation.

A message names the object, the field with its value, the rule, and what works. What a preview
doesn't know yet violates nothing; `pulumi up` checks again, when it is known.
"""

from __future__ import annotations

import fnmatch
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from components.kube.classes import DEFAULT_CLASS
from components.kube.quantity import MI, bytes_of, quantity
from policy.claims import claims_of
from policy.resources import (
    CLAIM,
    NAMESPACE,
    POD_SPECS,
    STORAGE_CLASS,
    UNKNOWN,
    VOLUME,
    DeclaredClaim,
    DeclaredResource,
    class_of,
    get,
    items,
)
from policy.search import default_classes_in, makes_of_templates

LOCAL_PATH = "rancher.io/local-path"
EBS = ("ebs.csi.aws.com", "ebs.csi.eks.amazonaws.com")
GCE_PD = "pd.csi.storage.gke.io"
CLOUDS = (*EBS, GCE_PD)
PROVISIONERS = (LOCAL_PATH, *CLOUDS)
# Names that were built into Kubernetes once, and the drivers that took their place.
REPLACED = {"kubernetes.io/aws-ebs": EBS[0], "kubernetes.io/gce-pd": GCE_PD, "kubernetes.io/no-provisioner": LOCAL_PATH}

MOST_TITLES = 5  # of claims or other objects in one message

ACCESS_MODES = ("ReadWriteOnce", "ReadWriteOncePod")

LABELS = tuple(f"app.kubernetes.io/{name}" for name in ("name", "instance", "component", "part-of", "managed-by"))
LABELLED = {
    STORAGE_CLASS,
    CLAIM,
    VOLUME,
    NAMESPACE,
    "kubernetes:core/v1:ResourceQuota",
    "kubernetes:storage.k8s.io/v1:VolumeAttributesClass",
    "kubernetes:snapshot.storage.k8s.io/v1:VolumeSnapshotClass",
}

Violations = Iterator[str]


def _says(title: str, field: str, value: object, rule: str, works: str) -> str:
    shown = "(missing)" if value is None else json.dumps(value, ensure_ascii=False)
    return f"{title}: {field}: {shown}: {rule}. Works: {works}"


# --- classes --------------------------------------------------------------------------------------


def reclaim_policy_retain(resource: DeclaredResource) -> Violations:
    """A deleted claim must not take its data with it: a volume is given up by a person who looks at
    it, never as a side effect.

    A StorageClass without reclaimPolicy has Delete.
    """
    field = {STORAGE_CLASS: ("reclaimPolicy",), VOLUME: ("spec", "persistentVolumeReclaimPolicy")}.get(resource.object_type)
    if field is None:
        return
    found = resource.get(*field)
    kept = resource.is_patch or resource.object_type == VOLUME  # a PersistentVolume's own default is Retain
    if found in ("Retain", UNKNOWN) or (found is None and kept):
        return
    default = ", and without it Kubernetes takes Delete" if found is None else ""
    yield _says(resource.title, ".".join(field), found, f"data outlives its claim{default}", "Retain")


def wait_for_first_consumer(resource: DeclaredResource) -> Violations:
    """A volume that is made before its pod is scheduled may be in a zone, or on a node, where the
    pod can never run.

    A StorageClass without volumeBindingMode has Immediate.
    """
    found = _of_class(resource, "volumeBindingMode")
    if found not in ("WaitForFirstConsumer", UNKNOWN):
        default = "; without it Kubernetes takes Immediate" if found is None else ""
        rule = f"a volume is made where its first pod is scheduled{default}"
        yield _says(resource.title, "volumeBindingMode", found, rule, "WaitForFirstConsumer")


def never_the_default_class(resource: DeclaredResource) -> Violations:
    """A claim that names no class must not land on a tier: the tier's space is allocated to the
    services that ask for it by name.
    """
    found = list(default_classes_in(resource))
    if resource.object_type == STORAGE_CLASS:
        annotations = resource.get("metadata", "annotations")
        found = [(f"metadata.annotations[{each}]", "true") for each in DEFAULT_CLASS if get(annotations, each) in ("true", True)]
    for field, value in found:
        yield _says(resource.title, field, value, "a tier is used by name, never by default", '"false"' if value == "true" else "false")


def known_provisioner(resource: DeclaredResource) -> Violations:
    """Parameters of other drivers are checked by nobody before the first pod fails."""
    found = _of_class(resource, "provisioner")
    if found not in (*PROVISIONERS, UNKNOWN):
        works = REPLACED.get(str(found), f"one of {', '.join(PROVISIONERS)}")
        yield _says(resource.title, "provisioner", found, "a driver that this project knows the rules and limits of", works)


def encrypted_on_cloud(resource: DeclaredResource) -> Violations:
    """A cloud's disks and their snapshots are copied and shared by a click; encrypted ones are
    useless without the key.

    EBS volumes aren't encrypted unless the class says so, with the word true: the driver reads any
    other, also "True", as false. A kmsKeyId has the driver ask for encryption too. GCE encrypts
    every disk; there is nothing to turn on.
    """
    if resource.object_type != STORAGE_CLASS or resource.get("provisioner") not in EBS:
        return
    given = _of_class(resource, "parameters")
    if given is UNKNOWN:
        return
    parameters = {key.lower(): value for key, value in (given or {}).items()}  # as the driver reads them
    encrypted = parameters.get("encrypted")
    if encrypted not in ("true", UNKNOWN) and parameters.get("kmskeyid") in (None, ""):
        yield _says(resource.title, "parameters.encrypted", encrypted, "volumes on EBS are encrypted", '"true"')


def _of_class(resource: DeclaredResource, field: str) -> Any:  # noqa: ANN401
    """A field of a StorageClass; UNKNOWN for any other object, and for one that a patch leaves as
    it is.
    """
    found = resource.get(field) if resource.object_type == STORAGE_CLASS else UNKNOWN
    return UNKNOWN if found is None and resource.is_patch else found


# --- claims and volumes ---------------------------------------------------------------------------


def single_writer_access(resource: DeclaredResource) -> Violations:
    """A database or broker is its volume's only writer; block storage on several nodes at once ends
    in errors or a broken file system.
    """
    found = [(claim.title, claim.modes_field, claim.modes) for claim in claims_of(resource)]
    if resource.object_type == VOLUME:
        found = [(resource.title, "spec.accessModes", resource.get("spec", "accessModes"))]
    for title, field, modes in found:
        for mode in items(modes):
            if mode not in ACCESS_MODES:
                yield _says(title, field, mode, "a volume has one writer", " or ".join(ACCESS_MODES))


def no_host_folders(resource: DeclaredResource) -> Violations:
    """A folder of a node is gone with the node, has no size, and is seen by every other pod that
    names it.

    local-path is the one place for such volumes: its provisioner makes and owns the folders. A
    DaemonSet, which tends the nodes themselves, may have them.
    """
    if resource.object_type == VOLUME:
        if _is_local_path(resource):
            return
        for source in ("hostPath", "local"):
            found = resource.get("spec", source)
            if found:
                rule = "a node's own folder holds data only as a volume of local-path"
                yield _says(resource.title, f"spec.{source}", get(found, "path") or None, rule, "a claim on a tier's StorageClass")
    path = POD_SPECS.get(resource.object_type)
    for volume in items(resource.get(*path, "volumes")) if path else []:
        found = get(volume, "hostPath")
        if found:
            field = f"{'.'.join(path or ())}.volumes[{get(volume, 'name')}].hostPath"
            yield _says(resource.title, field, get(found, "path") or None, "a pod's data is on a claim", "persistentVolumeClaim")


def _is_local_path(volume: DeclaredResource) -> bool:
    by = volume.get("metadata", "annotations", "pv.kubernetes.io/provisioned-by")
    storage_class, _ = class_of(volume.get("metadata"), volume.get("spec"))
    return by in (LOCAL_PATH, UNKNOWN) or storage_class is UNKNOWN or str(storage_class).endswith("-local-path")


def claims_on_allowed_tiers(resource: DeclaredResource, classes: Sequence[str]) -> Violations:
    """What a claim costs, and what it keeps, is decided by its class: which ones a stack may use is
    decided beforehand.
    """
    named = [(claim.title, claim.class_field, claim.storage_class) for claim in claims_of(resource) if claim.whole or claim.storage_class]
    if resource.object_type == VOLUME:  # one without a class is for claims that name none, or the volume
        found, field = class_of(resource.get("metadata"), resource.get("spec"))
        named = [(resource.title, field, found)] if found else []
    for title, field, found in named:
        if found is not UNKNOWN and found not in classes:
            default = "; without one the cluster's default class is taken" if found is None else ""
            yield _says(title, field, found, f"a class that this stack may use{default}", " or ".join(classes))


def claims_within_allocation(resources: Iterable[DeclaredResource], limits: Mapping[str, str]) -> Violations:
    """Storage is budgeted by tier: who wants more changes the budget first, where it is seen.

    A claim that a StatefulSet finds under the name of its template is counted once.
    """
    claims = [claim for resource in resources for claim in claims_of(resource)]
    own = {(claim.namespace, claim.name) for claim in claims if claim.name and claim.whole and not claim.ordinals}
    asked: dict[str, list[tuple[DeclaredClaim, Fraction]]] = defaultdict(list)
    for claim in claims:
        size = _bytes(claim.size) * (claim.replicas - _made_already(claim, own))
        if isinstance(claim.storage_class, str) and size:
            asked[claim.storage_class].append((claim, size))
    for storage_class, limit in limits.items():
        total = sum((size for _, size in asked[storage_class]), Fraction(0))
        if total > bytes_of(limit):
            titles = _listed([claim.title for claim, _ in asked[storage_class]])
            rule = f"all claims of a class ask for no more than the pack's config gives it, {limit}; these do: {titles}"
            works = f"smaller claims, or at least {_shown_size(total)} for {storage_class} in the config of claims-within-allocation"
            yield _says(f"StorageClass {storage_class}", "spec.resources.requests.storage", _shown_size(total), rule, works)


def _made_already(claim: DeclaredClaim, own: set[tuple[Any, str]]) -> int:
    """How many of a template's claims, or of a patch's, the program declares by themselves."""
    if not claim.whole and (claim.namespace, claim.name) in own:
        return claim.replicas
    ordinals = [_ordinal(name, claim.name) for namespace, name in own if claim.ordinals and namespace == claim.namespace]
    return sum(ordinal in claim.ordinals for ordinal in ordinals)


def _ordinal(name: str, template: str) -> int:
    prefix, _, ordinal = name.rpartition("-")
    return int(ordinal) if prefix == template and ordinal.isdecimal() else -1


def _bytes(size: Any) -> Fraction:  # noqa: ANN401
    """Nothing where it isn't known, and where it is no size: Kubernetes refuses that one."""
    try:
        return Fraction(bytes_of(str(size)))
    except ValueError:
        return Fraction(0)


def _shown_size(size: Fraction) -> str:
    return quantity(math.ceil(size / MI) * MI)


# --- the stack ------------------------------------------------------------------------------------


def project_labels(resource: DeclaredResource) -> Violations:
    """By its labels an object is found, counted, healed and cleaned up; one without them is
    nobody's.

    They are Kubernetes' recommended ones, with the stack as the instance.
    """
    labels = resource.get("metadata", "labels")
    if resource.object_type not in LABELLED or resource.is_patch or labels is UNKNOWN:
        return
    expected = {"app.kubernetes.io/instance": resource.stack, "app.kubernetes.io/managed-by": "pulumi"}
    for label in LABELS:
        found, wanted = get(labels, label), expected.get(label)
        if found is UNKNOWN or (found == wanted if wanted else found):
            continue
        rule = f"{resource.kind} objects carry the labels {', '.join(LABELS)}"
        yield _says(resource.title, f"metadata.labels[{label}]", found, rule, wanted or "components/kube/labels.py, or a text of your own")


def production_is_protected(resources: Iterable[DeclaredResource], stacks: Sequence[str] | None) -> Violations:
    """A slip in a stack file must not delete what people work with: Pulumi then refuses, until
    someone takes the protection away.

    `stacks` are the names, or patterns of them, of production stacks. Without these it is every
    stack with a class on a cloud provisioner, and every stack named prod….
    """
    everything = list(resources)
    if not everything or not _is_production(everything, stacks):
        return
    claims = [claim for resource in everything for claim in claims_of(resource) if not claim.ephemeral]
    namespaces = {claim.namespace for claim in claims if isinstance(claim.namespace, str)}
    for resource in everything:
        holds_claims = resource.object_type == NAMESPACE and resource.get("metadata", "name") in namespaces
        if (resource.object_type == CLAIM or holds_claims) and not (resource.protect or resource.is_patch):
            rule = f"claims and their namespace are protected in a production stack, as {resource.stack} is"
            yield _says(resource.title, "the resource option protect", False, rule, "true (here the setting `protect: true`)")


def storage_out_of_sight(resources: Iterable[DeclaredResource]) -> Violations:
    """Who reads that no rule is broken must know what no rule has seen: the objects that Helm or an
    operator makes of templates elsewhere.

    Of these only the values are looked at. It is advice, and one message for a stack.
    """
    found = [resource for resource in resources if makes_of_templates(resource)]
    if found:
        titles = _listed([resource.title for resource in found])
        rule = "what these make of templates and of files with values isn't seen, only the values in the program itself"
        works = "helm.v4.Chart instead of a Release, or `helm template … | python -m components.provisioners check -` for their classes"
        yield _says(f"Stack {found[0].stack}", "templates", titles, rule, works)


def _listed(titles: Sequence[str]) -> str:
    more = len(titles) - MOST_TITLES
    return ", ".join(titles[:MOST_TITLES]) + (f" and {more} more" if more > 0 else "")


def _is_production(resources: Sequence[DeclaredResource], stacks: Sequence[str] | None) -> bool:
    stack = resources[0].stack
    if stacks is not None:
        return any(fnmatch.fnmatchcase(stack, pattern) for pattern in stacks)
    on_cloud = any(resource.object_type == STORAGE_CLASS and resource.get("provisioner") in CLOUDS for resource in resources)
    return on_cloud or fnmatch.fnmatchcase(stack, "prod*")
