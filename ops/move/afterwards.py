"""What comes after a move, with the commands: the services' start, and letting go of the old stack.

A stack is let go of only once everything that it has is proven to be elsewhere.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.kube.api import KubeApi
from components.kube.errors import ApiError
from components.kube.ownership import claim_name
from components.settings import Settings
from ops.errors import UserError
from ops.move.claims import ClaimSide, is_bound
from ops.move.pods import claim_path
from ops.move.records import proven_sources

Sides = Sequence[tuple[ClaimSide | None, ClaimSide | None]]


def after_the_copy(sides: Sides, verdicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a person does next, once all these moves are proven."""
    if all("done" in each for each in verdicts):
        yield "Nothing was done now. What both sides have by now isn't known; --verify reads the target again."
    else:
        yield "Both sides are whole: the source is as it was."
    if not any(target for _, target in sides):
        folders = {str(Path(each["target"]["folder"]).parent) for each in verdicts}
        for folder in sorted(folders):
            way = f"sudo -E {shlex.quote(sys.executable)} -m ops move --from-folder {shlex.quote(folder)} --to STACK"
            yield f"Later, from the folder to a stack: `{way}`"
        return
    source = next((source for source, _ in sides if source), None)
    try:
        left = unproven(source.api, source.settings) if source else []
    except (ApiError, UserError) as problem:
        yield f"What else stack {source.settings.stack if source else ''} has that isn't moved could not be looked at: {problem}"
        yield from _starting(sides, [])
        return
    yield from _starting(sides, left)
    if source:
        yield from _gone(source.api.context, source.settings, left)


def letting_go(api: KubeApi, source: Settings) -> Iterator[str]:
    """How the old stack goes, or what keeps it from that."""
    try:
        yield from _gone(api.context, source, unproven(api, source))
    except (ApiError, UserError) as problem:
        yield f"What else stack {source.stack} has that isn't moved could not be looked at: {problem}"


def unproven(api: KubeApi, stack: Settings) -> list[tuple[str, int]]:
    """The replicas of a stack with a volume that no move of this machine has proven a copy of.

    Raises ApiError, and UserError where what is kept of moves can't be read.
    """
    moved = proven_sources()
    found = []
    for service, settings in stack.services.items():
        for ordinal in range(settings.replicas):
            claim = api.find(claim_path(stack.namespace.name, claim_name(service, ordinal)))
            if claim and is_bound(claim) and claim["metadata"]["uid"] not in moved:
                found.append((service, ordinal))
    return found


def _starting(sides: Sides, left: Sequence[tuple[str, int]]) -> Iterator[str]:
    services: dict[str, ClaimSide] = {target.service: target for _, target in sides if target}
    lacking = {name: [f"{name}-{number}" for service, number in left if service == name] for name in services}
    for name in services:
        if lacking[name]:
            missing = ", ".join(lacking[name])
            yield f"Service {name} isn't whole on the new stack yet: {missing} of the old one is to be moved before it starts."
    ready = [(name, side) for name, side in services.items() if not lacking[name]]
    if not ready:
        return
    stack = ready[0][1].settings.stack
    yield f"Next, start what uses the volumes, on stack {stack} (docs/consumers.md). Where it is a StatefulSet that has 0 replicas:"
    for name, side in ready:
        replicas = side.settings.services[name].replicas
        where = f"--context {side.api.context} -n {side.settings.namespace.name}"
        yield f"  kubectl {where} scale statefulset {name} --replicas={replicas}"


def _gone(context: str, source: Settings, left: Sequence[tuple[str, int]]) -> Iterator[str]:
    if left:
        names = ", ".join(f"{service}-{ordinal}" for service, ordinal in left)
        yield f"Stack {source.stack} isn't to be let go of yet: of {names} no move on this machine is proven."
        return
    yield f"Later, when nobody wants stack {source.stack} back (its volumes are retained until they are pruned):"
    if source.protect:
        yield f"  pulumi config set --stack {source.stack} storage-tiers:protect false && pulumi up --stack {source.stack}"
    # Without replicas they use no claim, but a namespace of the stack's own would take them along.
    sets = " ".join(source.services)
    yield f"  kubectl --context {context} -n {source.namespace.name} delete statefulset {sets} --ignore-not-found"
    yield f"  pulumi destroy --stack {source.stack}"
    yield f"  python -m ops volumes prune --stack {source.stack}"
