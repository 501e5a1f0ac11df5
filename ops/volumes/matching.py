"""Which old volume goes to which claim: pure decisions, made for all claims together before
anything is changed.

Nothing is guessed. A volume goes to a claim when its stamp says so, or (for data without a
PersistentVolume) the name of its directory, or the setting `adopt`; and when it could carry the
claim. Where that leaves a doubt at one claim, no claim gets anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from components.kube import labels
from components.kube.node_affinity import describe, served_by
from components.kube.quantity import as_quantity
from components.settings import NEW_VOLUME
from ops.volumes.volume import Volume, give_up, retain
from ops.volumes.wanted import Wanted

Json = Mapping[str, Any]

_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)
Declare = Callable[[Wanted, str], Volume | str]  # a volume for data that no object names, or why there can be none


@dataclass(frozen=True)
class AdoptionPlan:
    """What an adoption would do. With `problems` it does nothing.

    `gives` has the volume for each claim that gets one; `bound` the claims that have theirs, `new`
    those that no old volume was found for.
    """

    gives: Mapping[Wanted, Volume] = field(default_factory=dict)
    bound: Sequence[Wanted] = ()
    new: Sequence[Wanted] = ()
    problems: Sequence[tuple[Wanted, str]] = ()


def make_plan(
    wanted: Sequence[Wanted], claims: Iterable[Json], volumes: Sequence[Volume], nodes: Sequence[Json], declare: Declare | None = None
) -> AdoptionPlan:
    """Decide for all of `wanted`.

    `claims` are those in their namespace, `volumes` all there are, found data without an object
    included.
    """
    by_name = {claim["metadata"]["name"]: claim for claim in claims}
    gives: dict[Wanted, Volume] = {}
    bound, new = [], []
    problems: list[tuple[Wanted, str]] = []
    for each in wanted:
        claim = by_name.get(each.name)
        problem = next(_claim_problems(each, claim, volumes), "")
        if problem:
            problems.append((each, problem))
        elif claim and claim["spec"].get("volumeName"):
            bound.append(each)
        else:
            found = _choose(each, volumes, nodes, declare)
            if isinstance(found, Volume):
                gives[each] = found
            elif found:
                problems.append((each, found))
            else:
                new.append(each)
    problems += _given_twice(gives)
    return AdoptionPlan(gives, bound, new, problems)


def _claim_problems(wanted: Wanted, claim: Json | None, volumes: Sequence[Volume]) -> Iterator[str]:
    """Why the claim that is there can't be given a volume.

    Nothing for one that isn't there, is empty, or has the right one.
    """
    if claim is None:
        return
    metadata, spec, phase = claim["metadata"], claim["spec"], (claim.get("status") or {}).get("phase")
    held, storage_class = spec.get("volumeName"), spec.get("storageClassName")
    delete = f"`kubectl -n {wanted.namespace} delete pvc {wanted.name}`"
    if labels.stack_of(labels.of(claim)) != wanted.stack:
        yield f"a claim of this name is there that isn't stack {wanted.stack}'s. Delete or rename it ({delete})"
    if metadata.get("deletionTimestamp"):
        yield "the claim is being deleted, and goes when no pod uses it any more. Stop the pods, then try again"
    volume = next((each for each in volumes if each.exists and each.name == held), None)
    lost = f"the claim has lost its volume {held}, whose object was deleted. Delete the claim ({delete}), then try again"
    if phase == "Lost":
        yield lost
    if volume and volume.deleting:
        what = f"the volume {held} is being deleted, and goes with the claim{_kept(volume, volumes)}"
        yield f"{what}. Stop the pods, delete the claim ({delete}), then try again"
    if held and wanted.choice and wanted.choice not in (NEW_VOLUME, held):
        if not any(each.name == held and each.named(wanted.choice) for each in volumes):
            yield (
                f"the claim is bound to {held} already, and the setting adopt.{wanted.service}.{wanted.ordinal} names {wanted.choice}. "
                f"Remove that setting; or stop the pods and delete the claim ({delete}), which retains {held}"
            )
    elif held and phase != "Pending" and volume is None:
        yield lost
    elif not held and storage_class != wanted.storage_class:
        yield f"the empty claim is of class {storage_class}, the settings say {wanted.storage_class}. Delete the claim ({delete})"


def _kept(volume: Volume, volumes: Sequence[Volume]) -> str:
    """What becomes of the data of a volume that is being deleted, as a part of a sentence."""
    kept = next((each.name for each in volumes if each.exists and not each.deleting and volume.location.shares(each.location)), "")
    if kept:
        return f"; its data is declared as {kept} too"
    return "" if volume.policy == "Retain" else f" and its data, unless its policy becomes Retain: `{retain(volume.name)}`"


def _choose(wanted: Wanted, volumes: Sequence[Volume], nodes: Sequence[Json], declare: Declare | None) -> Volume | str | None:
    """The volume for a claim, a problem in words, or None where no old volume is there.

    A claim for which two volumes are reserved is bound to either: so no other one may be.
    """
    found = _find(wanted, volumes, nodes, declare)
    given = found.name if isinstance(found, Volume) else ""
    waiting = [each.name for each in volumes if each.reserved and not each.going and each.claim == wanted.reference and each.name != given]
    if isinstance(found, str) or not waiting:
        return found
    setting = f"adopt.{wanted.service}.{wanted.ordinal}: {wanted.choice}: " if wanted.choice else ""
    return (
        f"{setting}{waiting[0]} is reserved for this claim already, which could be bound to that instead of {given or 'an empty volume'}. "
        f"Let it go first: `{give_up(waiting[0])}`"
    )


def _find(wanted: Wanted, volumes: Sequence[Volume], nodes: Sequence[Json], declare: Declare | None) -> Volume | str | None:
    if wanted.choice == NEW_VOLUME:
        return None
    if wanted.choice:
        return _chosen(wanted, wanted.choice, volumes, nodes, declare)
    own = [volume for volume in volumes if is_own(wanted, volume)]
    waiting = [volume for volume in own if volume.reserved and volume.claim == wanted.reference]
    own = waiting or own
    if len(own) == 1:
        problem = unfit(wanted, own[0], volumes, nodes)
        return f"its volume {own[0].name} {problem}" if problem else own[0]
    unidentified = [] if own else [volume for volume in volumes if maybe_own(wanted, volume)]
    if not own and not unidentified:
        return None
    what = f"{len(own)} volumes were its own" if own else "nothing but the name of its last claim says that this volume was its own"
    if len(unidentified) > 1:
        what = f"{len(unidentified)} volumes may have been its own"
    found = sorted(own or unidentified, key=lambda volume: (volume.created or _BEFORE_ALL, volume.name))
    lines = [f"      {volume.name}  {_in_short(volume)}" for volume in found]
    one = found[0].name if len(found) == 1 else "<one of these>"
    return "\n".join([f"{what}:", *lines, f"    Choose: {wanted.setting(one)} (or `{NEW_VOLUME}` for an empty one)"])


def is_own(wanted: Wanted, volume: Volume) -> bool:
    """Whether a volume that nobody uses says by itself that it holds this claim's data."""
    if volume.of_canary or volume.going or volume.phase == "Bound":
        return False
    if volume.marked_for or not volume.exists:
        return volume.stamp is not None and _same(volume, wanted)
    return volume.reserved and volume.claim == wanted.reference


def maybe_own(wanted: Wanted, volume: Volume) -> bool:
    """Whether an unstamped Released volume was last used by a claim of this name, on this class."""
    return (
        volume.phase == "Released"
        and not volume.marked_for
        and not volume.going
        and volume.storage_class == wanted.storage_class
        and volume.claim is not None
        and (volume.claim.namespace, volume.claim.name) == (wanted.namespace, wanted.name)
    )


def _same(volume: Volume, wanted: Wanted) -> bool:
    stamp = volume.stamp
    return stamp is not None and (stamp.stack, stamp.service, stamp.ordinal) == (wanted.stack, wanted.service, wanted.ordinal)


def unfit(wanted: Wanted, volume: Volume, volumes: Iterable[Volume], nodes: Sequence[Json], *, chosen: bool = False) -> str:
    """Why a volume that is this claim's can't carry it, as the rest of a sentence that begins with
    its name; ``""`` where it can.

    A volume that was `chosen`, and is stamped for this claim, may have been used under another
    claim's name.
    """
    return next(_lacks(wanted, volume, volumes, nodes, chosen), "")


def _lacks(wanted: Wanted, volume: Volume, volumes: Iterable[Volume], nodes: Sequence[Json], chosen: bool) -> Iterator[str]:
    if volume.going:
        yield "is being deleted"
    if volume.phase == "Bound":
        yield f"is bound to {volume.claim}"
    if volume.phase == "Failed":
        yield f"is in phase Failed ({volume.message or 'no reason given'}): `kubectl describe pv {volume.name}`"
    if volume.reserved and volume.claim != wanted.reference:
        yield f"is reserved for {volume.claim}. To let it go: `{give_up(volume.name)}`"
    last = volume.claim
    if last and (last.namespace, last.name) != (wanted.namespace, wanted.name) and not (chosen and _same(volume, wanted)):
        yield f"was last the volume of {last}. To take it all the same: {wanted.setting(volume.name)}"
    if volume.storage_class != wanted.storage_class:
        yield (
            f"is of class {volume.storage_class or '(none)'}, the claim of {wanted.storage_class}: a volume stays on its class. "
            f"Put the service back on the tier that it was on, or begin anew: {wanted.setting(NEW_VOLUME)}"
        )
    if volume.capacity < wanted.capacity:
        later = " (more once it is bound: the volume grows then)" if wanted.grows else ""
        yield (
            f"has {as_quantity(volume.capacity)}, the claim asks for {wanted.size}. "
            f"Set services.{wanted.service}.size to no more than it has{later}, or begin anew: {wanted.setting(NEW_VOLUME)}"
        )
    if wanted.access_mode not in volume.access_modes:
        yield (
            f"allows {', '.join(volume.access_modes)}, the claim asks for {wanted.access_mode}. "
            f"Set services.{wanted.service}.accessMode to {volume.access_modes[0] if volume.access_modes else 'one that it allows'}"
        )
    if volume.volume_mode != "Filesystem":
        yield f"is a device without a file system (volumeMode {volume.volume_mode})"
    if not served_by(volume.node_terms, nodes):
        there = ", ".join(sorted(node["metadata"]["name"] for node in nodes)) or "none"
        yield f"is usable on {describe(volume.node_terms)} alone, and the cluster has no such node (nodes: {there})"
    others = [other for other in volumes if other.exists and other.name != volume.name and (other.phase == "Bound" or not other.deleting)]
    sharing = [other.name for other in others if volume.location.shares(other.location)]
    if sharing:
        yield f"has its data in {volume.location}, which volume {sharing[0]} names too"


def _chosen(wanted: Wanted, choice: str, volumes: Sequence[Volume], nodes: Sequence[Json], declare: Declare | None) -> Volume | str:
    """The volume that the setting `adopt` names, or why it can't be had."""
    setting = f"adopt.{wanted.service}.{wanted.ordinal}: {choice}"
    named = [volume for volume in volumes if volume.named(choice)]
    there = [volume for volume in named if not volume.deleting] or named  # one that is going may have been declared anew
    found = [volume for volume in there if volume.name == choice] or there
    if len(found) > 1:
        return f"{setting} is the data of several volumes: {', '.join(volume.name for volume in found)}. Name one of these"
    if not found:
        made = declare(wanted, choice) if declare else "no volume of the cluster has that name, path or handle"
        if isinstance(made, str):
            return f"{setting}: {made}. `python -m ops volumes --stack {wanted.stack}` lists the volumes"
        found = [made]
    volume = found[0]
    stranger = _stranger(wanted, volume)
    if stranger:
        return f"{setting}: {stranger}"
    problem = unfit(wanted, volume, volumes, nodes, chosen=True)
    return f"{setting}: the volume {volume.name} {problem}" if problem else volume


def _stranger(wanted: Wanted, volume: Volume) -> str:
    """Why a chosen volume is somebody else's, with the way to hand it over knowingly.

    ``""`` for one that may be had.
    """
    if volume.of_canary:
        return f"{volume.name} is a canary's volume, which holds nobody's data"
    whose = ""
    if volume.marked_for and not _same(volume, wanted):
        whose = str(volume.stamp) if volume.stamp else f"stack {volume.marked_for}, by labels that are damaged"
        whose = f"{volume.name} is labelled as the volume of {whose}"
    elif not volume.marked_for and volume.claim and (volume.claim.namespace, volume.claim.name) != (wanted.namespace, wanted.name):
        whose = f"{volume.name} was last the volume of {volume.claim}"
    if not whose:
        return ""
    if not volume.exists:
        return f"{whose}. If it is meant for {wanted.name} all the same, give the directory a name of its own and name that"
    hand_over = " ".join(f"{key}={value}" for key, value in wanted.stamp.labels.items())
    return f"{whose}. To hand it over knowingly: `kubectl label pv {volume.name} --overwrite {hand_over}`"


def _given_twice(gives: Mapping[Wanted, Volume]) -> list[tuple[Wanted, str]]:
    problems = []
    pairs = list(gives.items())
    for index, (wanted, volume) in enumerate(pairs):
        for other, others in pairs[:index]:
            if volume.name == others.name or volume.location.shares(others.location):
                problem = f"the volume {volume.name} is that of {other} as well. Choose one for each: {wanted.setting('…')}"
                problems.append((wanted, problem))
    return problems


def _in_short(volume: Volume) -> str:
    made = f"made {volume.created:%Y-%m-%d %H:%M} UTC, " if volume.created else ""
    since = f" since {volume.since:%Y-%m-%d %H:%M} UTC" if volume.since else ""
    return f"{made}{volume.phase or 'no volume object'}{since}, {volume.location}"
