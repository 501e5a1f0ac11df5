"""What is wrong with the volumes of the stack's claims."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.kube import labels
from components.kube.attributes import give_back, to_give_back
from components.kube.bindings import broken, is_of, out_of_reach
from components.kube.expansion import unfinished
from components.kube.ownership import Stamp
from components.kube.quantity import as_quantity
from ops.command_line import option_of
from ops.drift.objects import CLAIM, VOLUME, Declared, Difference, Json, LiveObjects, Name, shown
from ops.volumes.trouble import to_do_for_binding, to_do_for_node
from ops.volumes.volume import give_up, retain


def of_claim(declared: Declared, cluster: LiveObjects, stack: str) -> Iterator[Difference]:
    """What is wrong with the volume that a claim is bound to."""
    live = cluster.objects.get(declared.name)
    if live is None:
        return
    for each in broken([live], cluster.volumes.values()):
        todo = to_do_for_binding(each, stack)
        if not each.gone:
            yield Difference(Name(VOLUME, "", each.volume), "is being deleted", "no", f"since {each.since}", todo)
        elif live.get("status", {}).get("phase") != "Lost":  # that is told of the claim
            yield Difference(declared.name, "its volume exists", "yes", f"no {each.volume}", todo)
    volume = cluster.volumes.get(live["spec"].get("volumeName") or "")
    if volume is None:
        return  # an unbound claim has none
    name = Name(VOLUME, "", volume["metadata"]["name"])
    if not is_of(volume, live):
        claim = f"claim {declared.name.namespace}/{declared.name.name}"
        todo = f"don't start its pods: see `python -m ops volumes{option_of(stack)}`"
        yield Difference(name, "spec.claimRef", claim, _reference(volume["spec"].get("claimRef") or {}), todo)
        return
    policy = volume["spec"].get("persistentVolumeReclaimPolicy")
    if policy != "Retain":
        yield Difference(name, "spec.persistentVolumeReclaimPolicy", "Retain", shown(policy), retain(name.name))
    had = to_give_back(live, volume)
    if had:
        todo = f"its volume had it before it was adopted: `{give_back(declared.name.namespace, declared.name.name, had)}`"
        yield Difference(declared.name, "spec.volumeAttributesClassName", had, "(none)", todo)
    yield from _stamped(declared, volume, stack)
    yield from _nodes([live], [volume], cluster.nodes, found_missing=True)


def growing(claims: Iterable[Json], *, worked_on: bool) -> Iterator[Difference]:
    """Volumes that are still to become larger.

    `worked_on`: those that somebody is at just now; otherwise those that wait for a person.
    """
    for each in unfinished(claims):
        if each.worked_on is worked_on:
            found = f"{as_quantity(each.has) if each.has else '(not said)'}: {each.cause}"
            yield Difference(Name(CLAIM, each.namespace, each.claim), "status.capacity", as_quantity(each.asks), found, each.todo)


def unused_reservations(claims: Mapping[Name, Declared], cluster: LiveObjects) -> Iterator[Difference]:
    """Volumes that are reserved for a claim which is not there, or has another volume: an adoption
    that was not finished.
    """
    for volume in cluster.volumes.values():
        reference = volume["spec"].get("claimRef") or {}
        name = Name(CLAIM, reference.get("namespace", ""), reference.get("name", ""))
        if reference.get("uid") or name not in claims:
            continue
        live = cluster.objects.get(name)
        own = Name(VOLUME, "", volume["metadata"]["name"])
        if live is None:
            todo = "`pulumi up --refresh` makes the claim, which is then bound to it"
            yield Difference(own, "is reserved for a claim", f"{name.namespace}/{name.name}", "there is no such claim", todo)
        elif live["spec"].get("volumeName") not in (None, "", own.name):
            todo = f"give it up: {give_up(own.name)}"
            yield Difference(
                own, "is reserved for a claim", f"{name.namespace}/{name.name}", f"that has {live['spec']['volumeName']}", todo
            )


def waiting_for_nodes(claims: Mapping[Name, Declared], cluster: LiveObjects) -> Iterator[Difference]:
    """Volumes that no node can use just now, and one can again without anybody's help: a node that
    isn't Ready, or a zone in which an autoscaler starts one.
    """
    there = [cluster.objects[name] for name in claims if name in cluster.objects]
    yield from _nodes(there, cluster.volumes.values(), cluster.nodes, found_missing=False)


def _nodes(claims: Iterable[Json], volumes: Iterable[Json], nodes: Sequence[Json] | None, *, found_missing: bool) -> Iterator[Difference]:
    """That no node can use the volume of a claim.

    `found_missing`: where nobody but a person brings the node back; otherwise all other reasons.
    """
    for each in out_of_reach(claims, volumes, nodes) if nodes is not None else ():
        where, claim = each.where, each.claim["metadata"]
        if not is_of(each.volume, each.claim) or found_missing is not (where.missing and not where.returns):
            continue
        found = f"{where.where} alone, {'which is not there' if where.missing else 'which is not Ready'}"
        todo = to_do_for_node(where, f"{claim['namespace']}/{claim['name']}")
        yield Difference(Name(VOLUME, "", each.volume["metadata"]["name"]), "is usable on", "a node of the cluster", found, todo)


def _stamped(declared: Declared, volume: Json, stack: str) -> Iterator[Difference]:
    name, stamp, found = Name(VOLUME, "", volume["metadata"]["name"]), _stamp(declared), labels.of(volume)
    wrong = {key: found.get(key, "(none)") for key, value in stamp.labels.items() if found.get(key) != value}
    if wrong:
        says = f"{stamp}, tier {stamp.tier}"
        words = "(none)" if not stamp.labels.keys() & found.keys() else ", ".join(f"{key}={value}" for key, value in wrong.items())
        foreign = any(key in found for key in wrong)
        todo = f"`python -m ops volumes{option_of(stack)}` labels it" + ("; find out who labelled it otherwise" if foreign else "")
        yield Difference(name, "metadata.labels: whose data it holds", says, words, todo)


def _stamp(claim: Declared) -> Stamp:
    """By which a volume says whose data it holds, after its claim is gone as well."""
    own, ordinal = claim.fields["metadata"]["labels"], claim.name.name.rpartition("-")[2]
    return Stamp(own[labels.INSTANCE], own[labels.NAME], int(ordinal), own[labels.COMPONENT])


def _reference(reference: Json) -> str:
    if not reference:
        return "(none)"
    return f"claim {reference.get('namespace')}/{reference.get('name')} with uid {reference.get('uid') or '(none)'}"
