"""What each claim of a service would get from a set, and every reason why it may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from components.kube import labels
from ops.errors import UserError
from ops.snapshots.manifests import temporary_name
from ops.snapshots.sets import SetPart, SnapshotSet
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes
from ops.volumes.volume import Reference, Volume, give_up, retain
from ops.volumes.wanted import Wanted

FROM = "storage-tiers/from-snapshot"  # on a volume: the UID of the VolumeSnapshot that it was made from


@dataclass(frozen=True)
class Restored:
    """What one claim gets. `made` is the volume that an earlier run made of the snapshot; `moment`
    is that of the set.
    """

    wanted: Wanted
    part: SetPart
    moment: str
    made: Volume | None = None

    @property
    def size(self) -> int:
        """Bytes to ask for: what the claim asks for, and no less than the snapshot needs."""
        return max(self.wanted.capacity, self.part.size or 0)

    @property
    def temporary(self) -> Reference:
        """The claim that it is restored into at first."""
        return Reference(self.wanted.namespace, temporary_name(self.part.name))


def plan(stack: StackVolumes, found: SnapshotSet, seen: ObservedVolumes) -> list[Restored]:
    """What each claim of the set's service would get. Raises UserError with every doubt."""
    settings = stack.settings
    wanted = {each.ordinal: each for each in stack.wanted if each.service == found.service}
    if not found.complete:
        raise UserError(
            f"set {found.name} {found.lacks}: a service isn't restored from a part.",
            f"`python -m ops snapshot list --stack {settings.stack}` shows those that can be restored.",
        )
    if not wanted:
        raise UserError(f"set {found.name} is of service {found.service}, which stack {settings.stack} doesn't have in its settings.")
    most = max(part.ordinal for part in found.parts)
    if most not in wanted:
        raise UserError(
            f"set {found.name} has {found.count} volumes, and services.{found.service}.replicas is {len(wanted)}.",
            f"`pulumi config set --stack {settings.stack} --path services.{found.service}.replicas {most + 1}`, then again.",
        )
    targets = [Restored(wanted[part.ordinal], part, found.moment, _made(wanted[part.ordinal], part, seen)) for part in found.parts]
    problems = [f"  {each.wanted}: {problem}" for each in targets for problem in _problems(each, seen)]
    held = {claim["metadata"]["name"]: claim["spec"].get("volumeName") for claim in seen.claims}
    problems += [
        f"  {each}: the claim is bound and not in the set, and its state would be beside an older one. {_delete_claim(each, volume, seen)}"
        for ordinal, each in wanted.items()
        if ordinal > most and (volume := held.get(each.name))
    ]
    if problems:
        raise UserError("\n".join([f"set {found.name} can't be restored; nothing was made:", *problems]))
    return targets


def _made(wanted: Wanted, part: SetPart, seen: ObservedVolumes) -> Volume | None:
    return next((each for each in seen.volumes if is_made(each, wanted, part)), None)


def is_made(volume: Volume, wanted: Wanted, part: SetPart) -> bool:
    """Whether an earlier run made the volume of this snapshot, and no claim has used it since."""
    if not volume.exists or volume.going or volume.annotations.get(FROM) != part.uid or volume.claim is None:
        return False
    temporary = (wanted.namespace, temporary_name(part.name))
    unused = (volume.claim.namespace, volume.claim.name) == temporary and volume.phase == "Released"
    return unused or (volume.reserved and volume.claim == wanted.reference)


def _delete_claim(wanted: Wanted, held: str, seen: ObservedVolumes) -> str:
    """What to do about a claim that has a volume: its data outlives it."""
    kept = any(volume.name == held and volume.exists and volume.policy == "Retain" for volume in seen.volumes)
    first = "" if kept else f"First have its data outlive it: `{retain(held)}`. Then: "
    return f"{first}Stop its pods and delete the claim (`kubectl -n {wanted.namespace} delete pvc {wanted.name}`): its volume is retained"


def _problems(target: Restored, seen: ObservedVolumes) -> Iterator[str]:
    """Why a claim may not be given a restored volume."""
    wanted = target.wanted
    delete = f"`kubectl -n {wanted.namespace} delete pvc {wanted.name}`"
    claim = next((each for each in seen.claims if each["metadata"]["name"] == wanted.name), None)
    if claim is not None:
        held = claim["spec"].get("volumeName")
        if labels.stack_of(labels.of(claim)) != wanted.stack:
            yield f"a claim of this name is there that isn't stack {wanted.stack}'s. Delete or rename it ({delete})"
        elif claim["metadata"].get("deletionTimestamp"):
            yield "the claim is being deleted, and goes when no pod uses it any more. Stop the pods, then try again"
        elif held:
            yield (f"the claim is bound to {held}, and nothing is restored over data. {_delete_claim(wanted, held, seen)}")
        elif claim["spec"].get("storageClassName") != wanted.storage_class:
            yield f"the empty claim is of class {claim['spec'].get('storageClassName')}, the settings say {wanted.storage_class} ({delete})"
    if wanted.choice:
        yield (
            f"the setting adopt.{wanted.service}.{wanted.ordinal} names {wanted.choice} for it. Remove that: "
            f"`pulumi config rm --stack {wanted.stack} --path adopt.{wanted.service}.{wanted.ordinal}`"
        )
    made = target.made.name if target.made else ""
    for volume in seen.volumes:
        if volume.reserved and not volume.going and volume.claim == wanted.reference and volume.name != made:
            yield f"{volume.name} is reserved for it already. Let it go first: `{give_up(volume.name)}`"
