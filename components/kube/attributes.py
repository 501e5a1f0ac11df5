"""The VolumeAttributesClasses of a stack, and what uses them.

Kubernetes keeps a class that a claim or a volume names (the finalizer
`kubernetes.io/vac-protection`): one that is deleted all the same stays, going, until nothing names
it any more. A retained volume names its class for good. No import beyond the standard library: a
destroy reads this too.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from components.kube import labels

PATH = "/apis/storage.k8s.io/v1/volumeattributesclasses"

# On a volume that was adopted: the class that it had. A claim gets it back when it is bound.
TAKEN_OFF = "storage-tiers/attributes-class"
WAS = "storage-tiers/was"  # and the name of its object then, by which the setting `adopt` may call it

Json = Mapping[str, Any]


class AttributesClass(NamedTuple):
    """A VolumeAttributesClass as the cluster has it."""

    name: str
    """Its name."""
    stack: str
    """The stack of this project that it is labelled for; empty for none."""
    tier: str
    """The tier that it is labelled for; empty for none."""
    driver: str
    """The CSI driver that it is for."""
    parameters: Mapping[str, str]
    """What it changes a volume to."""
    going: bool = False
    """Whether it is being deleted: no claim should name it any more."""

    @classmethod
    def of(cls, found: Json) -> AttributesClass:
        """From the API's JSON."""
        metadata = found["metadata"]
        marks, going = labels.of(found), bool(metadata.get("deletionTimestamp"))
        tier = marks.get(labels.COMPONENT, "")
        return cls(metadata["name"], labels.stack_of(marks), tier, found["driverName"], found.get("parameters") or {}, going)


class WantedAttributes(NamedTuple):
    """A class as the settings have it, under the name that it gets on this cluster."""

    name: str
    """Its name in Kubernetes."""
    driver: str
    """The CSI driver that it is for."""
    parameters: Mapping[str, str]
    """What it changes a volume to."""
    there: bool = False
    """Whether the cluster has it already, as the stack's own."""


def name_for(prefix: str, driver: str, parameters: Mapping[str, str], stack: str, found: Sequence[AttributesClass]) -> WantedAttributes:
    """The class for this content: one of the stack that is there, or else one with a name of its
    own.

    `prefix` is what its name begins with, `<class>-<name in the settings>`. The rest is a hash of
    the content, so that another content is another class: what is in a class never changes. The
    prefix alone is the name that classes had before they had a hash.
    """
    names = (prefix, *itertools.islice(_names(prefix, driver, parameters), 100))
    by_name = {each.name: each for each in found}
    for name in names:
        each = by_name.get(name)
        if each and each.stack == stack and not each.going and (each.driver, dict(each.parameters)) == (driver, dict(parameters)):
            return WantedAttributes(name, driver, parameters, there=True)
    # One that is going, or somebody else's, can't be had: the next name is free.
    return WantedAttributes(next(name for name in names[1:] if name not in by_name), driver, parameters)


def _names(prefix: str, driver: str, parameters: Mapping[str, str]) -> Iterator[str]:
    for number in itertools.count():
        content = [driver, dict(parameters), *([number] if number else [])]
        yield f"{prefix}-{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]}"


def users(claims: Iterable[Json], volumes: Iterable[Json]) -> Mapping[str, list[str]]:
    """What names each class, by the class's name: `claim data/data-kafka-0`, `volume pvc-…`.

    A claim names the one that it asks for, the one that it has, and the one that it is changed to.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for claim in claims:
        status = claim.get("status") or {}
        names = {
            claim["spec"].get("volumeAttributesClassName"),
            status.get("currentVolumeAttributesClassName"),
            (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
        }
        for name in sorted(filter(None, names)):
            found[name].append(f"claim {claim['metadata'].get('namespace')}/{claim['metadata']['name']}")
    for volume in volumes:
        if volume["spec"].get("volumeAttributesClassName"):
            found[volume["spec"]["volumeAttributesClassName"]].append(f"volume {volume['metadata']['name']}")
    return found


def taken_off(name: str) -> dict[str, str]:
    """The annotation of a volume that had this class before it was adopted."""
    return {TAKEN_OFF: name} if name else {}


def to_give_back(claim: Json, volume: Json) -> str:
    """The class that a bound claim's volume had before it was adopted; empty where there is none,
    or the claim names one again.

    Kubernetes binds a claim that names a class to no volume without it, and the other way round. So
    an adopted volume has none until its claim asks for it.
    """
    if claim["spec"].get("volumeAttributesClassName"):
        return ""
    return str((volume["metadata"].get("annotations") or {}).get(TAKEN_OFF, ""))


def give_back(namespace: str, claim: str, name: str) -> str:
    """The command by which a bound claim gets its volume's class back."""
    return f"""kubectl -n {namespace} patch pvc {claim} -p '{{"spec":{{"volumeAttributesClassName":"{name}"}}}}'"""
