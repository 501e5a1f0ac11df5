"""What keeps a live move of Kafka from beginning, and what one has to know before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ops.move import pods
from ops.move.claims import ClaimSide
from ops.move.mirror.brokers import Kafka, Partition
from ops.move.mirror.topics import STAYS, copies, mirrored, not_mirrored
from ops.move.sizes import with_spare
from ops.volumes.listing import readable

_SOURCE_RIGHTS = (
    *((verb, "pods", "") for verb in ("get", "list")),
    ("list", "services", ""),
    *((verb, "pods/portforward", "") for verb in ("create", "get")),
)
_TARGET_RIGHTS = tuple(dict.fromkeys((*pods.RIGHTS, *_SOURCE_RIGHTS)))
_SHARE = "share"  # the protocol of share groups
_NAMED = 10  # of many


def lacking(side: ClaimSide, *, at_target: bool) -> list[str]:
    """The rights that are missing in the namespace of one end. Raises ApiError."""
    rights = _TARGET_RIGHTS if at_target else _SOURCE_RIGHTS
    return pods.lacking(side.api, side.settings.namespace.name, "a live move of Kafka", rights)


def of_both(source: Kafka, target: Kafka) -> Iterator[str]:
    """What they are to one another."""
    if source.cluster == target.cluster:
        yield (
            f"the brokers of stacks {source.stack} and {target.stack} have one cluster ID, {source.cluster}: they are one Kafka, or "
            "nothing tells them apart, and MirrorMaker might copy a Kafka to itself. Give the new one an ID of its own (CLUSTER_ID, of "
            "`kafka-storage.sh random-uuid`): its empty volumes have to be formatted anew with it"
        )
    theirs = {each for listener in target.listeners for each in listener.addresses}
    same = [theirs.intersection(each.addresses) for each in source.listeners]
    if all(same):  # of two networks they may be the same by chance: from the target's pod they are the target
        yield (
            f"the brokers of stacks {source.stack} and {target.stack} send clients to the same addresses "
            f"({', '.join(map(str, sorted(set().union(*same))))}): MirrorMaker would copy a Kafka to itself"
        )


def of_target(source: Kafka, target: Kafka) -> Iterator[str]:
    """Topics that are there with records of their own, or more partitions, and names that Kafka
    doesn't take beside others. Raises Broken.
    """
    there, wanted = target.topics(), source.topics()
    yield from _colliding(target, mirrored(wanted), there)
    more = [name for name in mirrored(wanted) if len(there.get(name, {})) > len(wanted[name])]
    if more:
        yield (
            f"topics of stack {target.stack} have more partitions than at the source: {_several(more)}. Records with the same key would be "
            f"parted. To delete them, with what is in them: `{delete_command(target, more)}`"
        )
    partitions = [(name, number) for name in mirrored(wanted) for number in there.get(name, {})]
    full = sorted({name for name, _ in _with_records(target, partitions)})
    if full:
        yield (
            f"topics of stack {target.stack} hold records already: {_several(full)}. A move takes topics that aren't there, or are empty. "
            f"To delete them, with what is in them: `{delete_command(target, full)}`"
        )
    yield from _too_small(source, target)


def _too_small(source: Kafka, target: Kafka) -> Iterator[str]:
    """That the claims of the target can't hold what comes along. Where no sizes are enforced a
    volume has the room of its node's disk.
    """
    side = target.brokers[0].side
    if not side.settings.provisioner.enforces_size:
        return
    once, times = size(source), copies(source.topics(), len(target.brokers))
    room = sum(each.side.size for each in target.brokers)
    used = sum(sum(each) for each in target.sizes().values())
    if with_spare(once * times) > room - used:
        yield (
            f"the claims of stack {target.stack} are too small: what comes along has {readable(once)}, with {times} of each partition "
            f"{readable(once * times)}, which takes {readable(with_spare(once * times))}, and they have {readable(room)}, of which "
            f"{readable(used)} are used. Make them larger: `services.{side.service}.size` in Pulumi.{target.stack}.yaml, then "
            f"`pulumi up --stack {target.stack}`"
        )


def size(source: Kafka) -> int:
    """The bytes of one copy of all that comes along, the largest one of each partition.

    0 where its brokers don't tell. Raises Broken.
    """
    found = source.sizes()
    wanted = set(mirrored({topic for topic, _ in found}))
    return sum(max(each) for (topic, _), each in found.items() if topic in wanted)


def _colliding(target: Kafka, wanted: Iterable[str], there: Iterable[str]) -> Iterator[str]:
    """Names that differ by . and _ alone: Kafka makes no topic whose name collides with another's
    (they would share the names of their metrics).
    """
    alike: dict[str, list[str]] = {}
    for name in sorted({*wanted, *there}):
        alike.setdefault(name.replace(".", "_"), []).append(name)
    for name in wanted:
        others = [each for each in alike[name.replace(".", "_")] if each != name]
        if others and name not in there:
            held = [each for each in others if each in there]
            yield (
                f"topic {name} can't be made at stack {target.stack}: Kafka takes no names that differ by . and _ alone, and "
                + (
                    f"{_several(held)} is there. To delete it, with what is in it: `{delete_command(target, held)}`"
                    if held
                    else f"{_several(others)} would come along too. Delete one of them at the source, or move without --live"
                )
            )


def _with_records(kafka: Kafka, partitions: list[Partition]) -> list[Partition]:
    starts, ends = kafka.starts(partitions), kafka.ends(partitions)
    return [each for each in partitions if ends[each] > starts[each]]


def delete_command(kafka: Kafka, topics: Iterable[str]) -> str:
    """How topics are deleted. The tool takes patterns: a dot would stand for any character."""
    broker = kafka.brokers[0]
    where = f"kubectl --context {broker.side.api.context} -n {broker.side.settings.namespace.name} exec {broker.pod} --"
    tool = "java -cp '/opt/kafka/libs/*' org.apache.kafka.tools.TopicCommand"
    pattern = "|".join(each.replace(".", "[.]") for each in topics)
    return f"{where} {tool} --bootstrap-server {kafka.bootstrap} --delete --topic '{pattern}'"


def seen(source: Kafka, target: Kafka) -> dict[str, Any]:
    """What would come along. Raises Broken."""
    topics = source.topics()
    partitions = [(name, number) for name in mirrored(topics) for number in topics[name]]
    starts, ends = source.starts(partitions), source.ends(partitions)
    groups = source.groups()
    return {
        "brokers": [len(source.brokers), len(target.brokers)],
        "cluster": source.cluster,
        "addresses": [listener.bootstrap for listener in source.listeners],
        "topics": {name: len(topics[name]) for name in mirrored(topics)},
        "offsets": sum(ends[each] - starts[each] for each in partitions),
        "bytes": size(source),
        "copies": copies(topics, len(target.brokers)),
        "targetBytes": sum(each.side.size for each in target.brokers),
        "groups": sorted(name for name, protocol in groups.items() if protocol != _SHARE),
        "shareGroups": sorted(name for name, protocol in groups.items() if protocol == _SHARE),
        "notMirrored": not_mirrored(topics),
    }


def warnings(known: dict[str, Any]) -> Iterator[str]:
    """What doesn't come along, of what `seen` has found."""
    for topic, why in known["notMirrored"].items():
        yield f"Topic {topic} doesn't come along: {why}."
    if known.get("shareGroups"):
        yield f"Share groups don't come along: {_several(known['shareGroups'])}."
    yield f"What stays: {'; '.join(STAYS)}."


def _several(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
