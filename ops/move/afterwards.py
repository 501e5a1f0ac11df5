"""What comes after a move, with the commands: the services' start, and letting go of the old stack.

A stack is let go of only once everything that it has is proven to be on the new one.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from components.kube.api import Json
from components.kube.errors import ApiError
from components.kube.ownership import claim_name
from ops.errors import UserError
from ops.move.claims import ClaimSide, is_bound
from ops.move.planning import Sides
from ops.move.pods import claim_path
from ops.move.records import proven


class Unmoved(NamedTuple):
    """The replicas that a stack lacks, of those that belong on it; None where that isn't known, and
    why.
    """

    replicas: Sequence[tuple[str, int]] | None
    why: str = ""


def after_the_copy(sides: Sides, verdicts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a person does next, once all these moves are proven."""
    now = [str(each["volume"]) for each in verdicts if "done" not in each]
    if not now:
        yield "Nothing was done now. What both sides have by now isn't known; --verify reads the target again."
    else:
        of = "" if len(now) == len(verdicts) else f" of {', '.join(now)}"
        yield f"Both sides{of} are whole: the source is as it was."
    targets = [target for _, target in sides if target]
    if not targets:
        folders = {str(Path(each["target"]["folder"]).parent) for each in verdicts}
        for folder in sorted(folders):
            way = f"sudo -E {shlex.quote(sys.executable)} -m ops move --from-folder {shlex.quote(folder)} --to STACK"
            yield f"Later, from the folder to a stack: `{way}`"
        return
    source = next((source for source, _ in sides if source), None)
    left = unmoved(source, targets)
    yield from starting(targets, left)
    if source:
        yield from letting_go(source, targets[0], left)


def unmoved(source: ClaimSide | None, targets: Sequence[ClaimSide]) -> Unmoved:
    """What of the source's stack isn't on the target's; without a `source`, which was a folder
    then, what the services of these claims lack.
    """
    try:
        return Unmoved(_not_moved(source, targets[0]) if source else _not_filled(targets))
    except (ApiError, UserError) as problem:
        return Unmoved(None, str(problem))


def starting(targets: Sequence[ClaimSide], left: Unmoved) -> Iterator[str]:
    """The commands that start the services of these claims, for those that are there whole."""
    if left.replicas is None:
        yield f"Whether the services are whole on the new stack could not be looked at: {left.why}"
        return
    services = {target.service: target for target in targets}
    lacking = {name: [f"{name}-{number}" for service, number in left.replicas if service == name] for name in services}
    for name in services:
        if lacking[name]:
            yield f"Service {name} isn't whole on the new stack yet: {', '.join(lacking[name])} is to be moved before it starts."
    ready = [(name, side) for name, side in services.items() if not lacking[name]]
    if not ready:
        return
    stack = ready[0][1].settings.stack
    yield f"Next, start what uses the volumes, on stack {stack} (docs/consumers.md). Where it is a StatefulSet that has 0 replicas:"
    for name, side in ready:
        replicas = side.settings.services[name].replicas
        where = f"--context {side.api.context} -n {side.settings.namespace.name}"
        yield f"  kubectl {where} scale statefulset {name} --replicas={replicas}"


def letting_go(source: ClaimSide, target: ClaimSide, left: Unmoved) -> Iterator[str]:
    """How the source's stack goes, or what keeps it from that: everything that it has is to be
    proven on the target's.
    """
    old, new = source.settings, target.settings
    if left.replicas is None:
        yield f"What else stack {old.stack} has that isn't moved could not be looked at: {left.why}"
        return
    if left.replicas:
        names = ", ".join(f"{service}-{ordinal}" for service, ordinal in left.replicas)
        yield f"Stack {old.stack} isn't to be let go of yet: no move on this machine is proven that has put {names} onto stack {new.stack}."
        return
    yield f"Later, when nobody wants stack {old.stack} back (its volumes are retained until they are pruned):"
    if old.protect:
        yield f"  pulumi config set --stack {old.stack} storage-tiers:protect false && pulumi up --stack {old.stack}"
    # Without replicas they use no claim, but a namespace of the stack's own would take them along.
    sets = " ".join(old.services)
    yield f"  kubectl --context {source.api.context} -n {old.namespace.name} delete statefulset {sets} --ignore-not-found"
    yield f"  pulumi destroy --stack {old.stack}"
    yield f"  python -m ops volumes prune --stack {old.stack}"


def _not_moved(source: ClaimSide, target: ClaimSide) -> list[tuple[str, int]]:
    """The replicas of the source's stack whose volume no move of this machine has proven to be on a
    claim that the target's stack has now. A copy in a folder, or on a claim that was made anew
    since, is none.

    Raises ApiError, and UserError where what is kept of moves can't be read.
    """
    there = {claim["metadata"]["uid"] for _, claim in _claims(target)}
    moved = {uid for sources, targets in proven() if targets & there for uid in sources}
    return [replica for replica, claim in _claims(source) if is_bound(claim) and claim["metadata"]["uid"] not in moved]


def _not_filled(targets: Sequence[ClaimSide]) -> list[tuple[str, int]]:
    """The replicas of these services on whose claim no move has put anything. Raises as above."""
    filled = {uid for _, into in proven() for uid in into}
    services = {each.service for each in targets}
    claims = {replica: claim for replica, claim in _claims(targets[0]) if replica[0] in services}
    wanted = [(name, number) for name in services for number in range(targets[0].settings.services[name].replicas)]
    return sorted(each for each in wanted if each not in claims or claims[each]["metadata"]["uid"] not in filled)


def _claims(side: ClaimSide) -> Iterator[tuple[tuple[str, int], Json]]:
    """Those of its stack, by service and ordinal."""
    for service, settings in side.settings.services.items():
        for ordinal in range(settings.replicas):
            if claim := side.api.find(claim_path(side.settings.namespace.name, claim_name(service, ordinal))):
                yield (service, ordinal), claim
