"""Which topics and groups come along, and what of a Kafka doesn't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ops.move.mirror.properties import left_out

# What a move leaves where it is: MirrorMaker doesn't copy it, or the target's own counts.
STAYS = (
    "ACLs, quotas, SCRAM users and delegation tokens",
    "share groups, and groups of Kafka Streams and Connect beyond their offsets",
    "of topics' settings min.insync.replicas, unclean.leader.election.enable, message.timestamp.type, the throttles of replication, "
    "and what is only a default of the source's brokers (the target's count)",
    "the cluster's ID, offsets as numbers, and the state of transactional producers",
)


def mirrored(topics: Iterable[str]) -> list[str]:
    """Those that come along, in order."""
    return sorted(each for each in topics if not left_out(each))


def not_mirrored(topics: Iterable[str]) -> dict[str, str]:
    """Those of people's that don't, with the reason: Kafka's own need not be told one by one."""
    return {each: why for each in sorted(topics) if (why := left_out(each)) and not each.startswith("__")}


def copies(topics: Mapping[str, Mapping[int, int]], brokers: int) -> int:
    """How many copies each partition gets at the target: as most have at the source, where there
    are so many brokers.
    """
    return min(max((each for name in mirrored(topics) for each in topics[name].values()), default=1), brokers)
