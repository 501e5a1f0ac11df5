"""Says at each preview and `up` what is wrong with the volumes that the stack's claims have.

Nothing here refuses anything: an `up` takes no volume away, and may be what mends the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi

from components.kube import labels
from components.kube.api import ApiError, KubeApi
from components.kube.bindings import broken, out_of_reach
from components.kube.classes import made_default_by
from components.kube.expansion import unfinished
from components.preflight.snapshot import ClaimSnapshot

Json = Mapping[str, Any]


def warn_of_volumes(api: KubeApi, snapshot: ClaimSnapshot, stack: str) -> None:
    """Warn of volumes of the stack's claims that are going, gone, out of reach or still to become
    larger, and of a class of the stack that has become the default one.

    What the user may not read isn't looked at.
    """
    claims = [claim for claim in snapshot.claims.values() if labels.stack_of(labels.of(claim)) == stack]
    if not claims:
        return
    volumes = _read(api, "/api/v1/persistentvolumes")
    nodes = _read(api, "/api/v1/nodes")
    classes = _read(api, f"/apis/storage.k8s.io/v1/storageclasses?labelSelector={labels.selector_of_stack(stack)}")
    for words in warnings(claims, volumes, nodes, classes or ()):
        pulumi.log.warn(f"{words}: `python -m ops drift --stack {stack}` says what to do")


def warnings(
    claims: Sequence[Json], volumes: Sequence[Json] | None, nodes: Sequence[Json] | None, classes: Sequence[Json]
) -> Iterator[str]:
    """What is wrong, a sentence without its end each; None is what could not be read."""
    if volumes is not None:
        yield from (each.fact for each in broken(claims, volumes))
    for found in out_of_reach(claims, volumes or (), nodes) if nodes is not None else ():
        if found.where.missing and not found.where.returns:
            claim, volume = found.claim["metadata"], found.volume["metadata"]
            yield f"the volume {volume['name']} of claim {claim['namespace']}/{claim['name']} {found.where.fact}"
    yield from (each.fact for each in unfinished(claims))
    for each in classes:
        for annotation in made_default_by(each):
            yield f"class {each['metadata']['name']} is the default class, by its annotation {annotation}"


def _read(api: KubeApi, path: str) -> Sequence[Json] | None:
    try:
        return api.items(path)
    except ApiError as problem:
        pulumi.log.debug(f"context {api.context}: {problem}")
        return None
