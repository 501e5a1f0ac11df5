"""The list of a stack's volumes: what belongs to it, and for each whether and how it can be given
back to its claim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from rich import box
from rich.table import Table

from components.kube import labels
from components.kube.attributes import TAKEN_OFF, give_back
from components.kube.bindings import BrokenBinding, broken, unreachable
from components.kube.expansion import unfinished
from components.kube.ownership import parse_claim_name
from components.kube.quantity import as_quantity
from components.settings import Settings
from ops.volumes.matching import AdoptionPlan, is_own, maybe_own, unfit
from ops.volumes.saved import FORMAT, Adoption, Data, LostClaim, SavedClaim, SavedList, SavedVolume, VolumeProblem
from ops.volumes.stack_volumes import ObservedVolumes, StackVolumes
from ops.volumes.trouble import to_do_for_binding, to_do_for_node
from ops.volumes.volume import Reference, Volume
from ops.volumes.wanted import Wanted


def of_stack(settings: Settings, wanted: Sequence[Wanted], seen: ObservedVolumes) -> list[Volume]:
    """The volumes that are the stack's: bound to a claim of it, labelled for it, reserved for a
    claim of it, or last used by one.
    """
    bound = {
        (claim["metadata"]["uid"], claim["spec"]["volumeName"])
        for claim in seen.claims
        if claim["spec"].get("volumeName") and labels.stack_of(labels.of(claim)) == settings.stack
    }

    def ours(volume: Volume) -> bool:
        if volume.of_canary:
            return False
        if volume.claim and (volume.claim.uid, volume.name) in bound:
            return True
        return volume.marked_for == settings.stack or any(is_own(each, volume) or maybe_own(each, volume) for each in wanted)

    return [volume for volume in seen.volumes if ours(volume)]


def records(stack: StackVolumes, seen: ObservedVolumes, used: Mapping[str, int], adopt: str) -> list[SavedVolume]:
    """The stack's volumes, by service and ordinal.

    `adopt` is the command that adopts, for the words on it.
    """
    plan = stack.plan(seen)
    found = [
        _record(stack.settings, volume, used.get(volume.name), _adoption(stack, seen, plan, volume, adopt), seen)
        for volume in of_stack(stack.settings, stack.wanted, seen)
    ]
    return sorted(found, key=lambda each: (each.service, each.ordinal, each.phase, each.created or "", each.name))


def lost_claims(settings: Settings, seen: ObservedVolumes) -> list[BrokenBinding]:
    """The stack's claims whose volume isn't there any more."""
    ours = [claim for claim in seen.claims if labels.stack_of(labels.of(claim)) == settings.stack]
    there = [{"metadata": {"name": volume.name}} for volume in seen.volumes if volume.exists]
    return [each for each in broken(ours, there) if each.gone]


def saved_list(settings: Settings, found: list[SavedVolume], lost: Sequence[BrokenBinding] = ()) -> SavedList:
    """The whole list, in the form that is printed with --json."""
    without = [LostClaim(namespace=each.namespace, name=each.claim, volume=each.volume) for each in lost]
    cluster = {"context": settings.cluster.context, "identifier": settings.cluster.identifier}
    return SavedList(
        format=FORMAT, stack=settings.stack, namespace=settings.namespace.name, cluster=cluster, volumes=found, lost_claims=without
    )


def _record(settings: Settings, volume: Volume, used: int | None, adoption: Adoption, seen: ObservedVolumes) -> SavedVolume:
    named = parse_claim_name(volume.claim.name) if volume.claim else None
    service, ordinal = (volume.stamp.service, volume.stamp.ordinal) if volume.stamp else named or ("", -1)
    tier = volume.stamp.tier if volume.stamp else volume.storage_class.removesuffix(f"-{settings.provisioner.name}")
    return SavedVolume(
        service=service,
        ordinal=ordinal,
        tier=tier,
        name=volume.name,
        uid=volume.uid,
        stamped=volume.stamp is not None,
        phase=volume.phase or "NoObject",
        storage_class=volume.storage_class,
        capacity_bytes=volume.capacity,
        used_bytes=used,
        access_modes=list(volume.access_modes),
        volume_mode=volume.volume_mode,
        created=_written(volume.created),
        phase_since=_written(volume.since),
        claim=SavedClaim(namespace=volume.claim.namespace, name=volume.claim.name, uid=volume.claim.uid) if volume.claim else None,
        node=volume.node,
        zone=volume.zone,
        node_selector_terms=[dict(term) for term in volume.node_terms],
        data=Data(
            type=volume.location.type,
            path=volume.location.path,
            driver=volume.location.driver,
            handle=volume.location.handle,
            fs_type=volume.location.fs_type,
        ),
        adoption=adoption,
        problems=list(_problems(settings, volume, seen)),
        mount_options=list(volume.mount_options),
        attributes_class=volume.attributes_class or volume.annotations.get(TAKEN_OFF, ""),
    )


def _problems(settings: Settings, volume: Volume, seen: ObservedVolumes) -> Iterator[VolumeProblem]:
    claim = volume.claim or Reference("", "")
    if volume.deleting and volume.phase == "Bound":
        binding = BrokenBinding(claim.namespace, claim.name, volume.name, "now")
        fact = "is being deleted, and goes with its claim"
        yield VolumeProblem(mark="being deleted", fact=fact, todo=to_do_for_binding(binding, settings.stack))
    uid = volume.claim.uid if volume.claim else ""
    for each in unfinished(found for found in seen.claims if uid and found["metadata"]["uid"] == uid):
        mark = "not growing" if each.refused else f"growing to {as_quantity(each.asks)}"
        yield VolumeProblem(mark=mark, fact=each.lack, todo=each.todo)
    taken = volume.annotations.get(TAKEN_OFF, "")
    for found in seen.claims if taken and uid and volume.phase == "Bound" else ():
        if found["metadata"]["uid"] == uid and not found["spec"].get("volumeAttributesClassName"):
            fact = f"had the VolumeAttributesClass {taken} before it was adopted, and its claim names none"
            yield VolumeProblem(mark="no attributes class", fact=fact, todo=f"`{give_back(claim.namespace, claim.name, taken)}`")
    where = unreachable(volume.node_terms, seen.nodes)
    if where:
        mark = f"{'no' if where.missing else 'unready'} {'node there' if where.returns else 'node'}"
        yield VolumeProblem(mark=mark, fact=where.fact, todo=to_do_for_node(where, str(claim)))


def _adoption(stack: StackVolumes, seen: ObservedVolumes, plan: AdoptionPlan, volume: Volume, adopt: str) -> Adoption:
    """Whether a volume can be adopted as things are, in words that say how, or why not."""
    if any(given.name == volume.name for given in plan.gives.values()):
        return Adoption(possible=True, how=f"{'reserved; ' if volume.reserved else ''}{adopt}")
    if volume.phase == "Bound":
        return Adoption(possible=False, how="in use")
    own = next((each for each in stack.wanted if is_own(each, volume)), None)
    likely = own or next((each for each in stack.wanted if maybe_own(each, volume)), None)
    if likely is None:
        whose = volume.stamp or volume.claim or "nobody that can be told"
        going = "being deleted" if volume.going else f"no claim in the settings of stack {stack.settings.stack} is that of {whose}"
        return Adoption(possible=False, how=going)
    held = next((claim["spec"].get("volumeName") for claim in seen.claims if claim["metadata"]["name"] == likely.name), None)
    problem = unfit(likely, volume, seen.volumes, seen.nodes)
    if problem or held:
        bound = f"{likely.name} is bound to {held}: stop its pods and delete that claim first"
        return Adoption(possible=False, how=f"it {problem}" if problem else bound)
    why = "one of several" if own else "not stamped"
    return Adoption(possible=True, how=f"{why}: by choice alone, {likely.setting(volume.name)}, then {adopt}")


def table(found: Sequence[SavedVolume], now: datetime) -> Table:
    """The list for people; what is long, where the data is and how it is adopted or why not, stands
    below it (`details`).
    """
    shown = Table("Volume of", "Tier", box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Size", "Used"):
        shown.add_column(title, justify="right")
    for title in ("Phase", "Age", "Last claim", "Node or zone", "Adoption"):
        shown.add_column(title)
    for each in found:
        last = f"{each.claim.namespace}/{each.claim.name}" if each.claim else "–"
        created = datetime.fromisoformat(each.created) if each.created else None
        shown.add_row(
            whose(each),
            each.tier,
            readable(each.capacity_bytes),
            "?" if each.used_bytes is None else readable(each.used_bytes),
            ", ".join([each.phase, *([] if each.stamped else ["not stamped"]), *(problem.mark for problem in each.problems)]),
            age((now - created).total_seconds()) if created else "–",
            last,
            each.node or each.zone or "any",
            "in use" if each.phase == "Bound" else "possible" if each.adoption.possible else "no",
        )
    return shown


def details(found: Sequence[SavedVolume]) -> list[str]:
    """Per volume its name and where its data is; below that what is wrong with it, and how it is
    adopted, or why it can't be.
    """
    lines = []
    for each in found:
        lines.append(f"{whose(each)}: {each.name}, {each.data.path or each.data.handle or each.data.type}")
        lines += [f"  {problem.fact}: {problem.todo}" for problem in each.problems]
        if each.phase != "Bound":
            lines.append(f"  {'to adopt it' if each.adoption.possible else 'not adopted'}: {each.adoption.how}")
    return lines


def whose(each: SavedVolume) -> str:
    """The replica whose data it is: `kafka 1`."""
    return f"{each.service} {each.ordinal}" if each.service else "?"


def readable(size: float) -> str:
    """Bytes with the unit that people would use: `3.30 GiB`, `12.1 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.{2 if unit == 'GiB' else 1}f} {unit}"
        size /= 1024
    return f"{size:.2f} TiB"


def age(seconds: float) -> str:
    """A time span with one unit: `45 s`, `12 min`, `3 h`, `30 d`."""
    for unit, length, next_one in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < next_one:
            return f"{int(seconds) // length} {unit}"
    return f"{int(seconds) // 86400} d"


def _written(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z") if moment else None
