"""The switch of a live move of Kafka, and calling one off.

Kafka can't be closed for writes from outside, so producers have to be stopped before. That nothing
comes any more is looked at when the switch begins, and again once the mirror was stopped.
"""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any

from components.canary.signals import deferred
from components.kube.errors import ApiError
from ops.errors import UserError
from ops.move.conversation import Broken
from ops.move.kept import PROVEN
from ops.move.mirror.brokers import Partition
from ops.move.mirror.checks import delete_command
from ops.move.mirror.pairs import ComparedPartitions
from ops.move.mirror.pod import Group
from ops.move.mirror.properties import internal_topics
from ops.move.mirror.run import CANCELLING, ENDING, FOLLOWING, MIRRORING, MirrorMove
from ops.move.pods import sweep

_STILL = 5.0  # seconds in which no record may come


def switch(move: MirrorMove) -> dict[str, Any]:
    """Wait for the last record, end the mirror, compare what is left, and set the groups' offsets.

    Raises UserError, also where the source still grows, Broken and ApiError. Until the groups have
    their offsets it can be run again from the beginning.
    """
    with move.kept.alone():
        if move.state == PROVEN:
            sweep(move.targets[0].api, move.targets[0].settings.namespace.name, move.id)  # a cut run's
            return {**move.kept.record()["verdict"], "done": "before"}
        move.check_not_cancelled()
        if move.state not in (FOLLOWING, ENDING):
            raise UserError(f"{move.title}: there is no mirror that has caught up.", "Run it with --live first.")
        if move.state == FOLLOWING:
            _bring_the_rest(move)
        return _clear_up(move)


def _bring_the_rest(move: MirrorMove) -> None:
    move.mirror()
    groups = _idle_groups(move)
    move.tell("looking whether anything is still written to the source", f"for {_STILL:.0f} s")
    ends = move.source.ends(move.partitions())
    time.sleep(_STILL)
    _check_still(move, ends)
    comparison = move.comparison
    comparison.catch_up(ends, move.check)
    move.tell("ending MirrorMaker", "")
    move.pod.stop_mirror()
    move.tell("comparing", "what is left")
    comparison.finish(ends)
    move.tell("setting the groups' offsets", ", ".join(sorted(groups)[:10]))
    groups = _idle_groups(move)
    told, lost = _set_groups(move, groups, ends)
    _check_unmoved(move, groups)
    _check_still(move, ends)
    verdict = {
        **move.report(),
        "verdict": PROVEN,
        "bootstrap": move.target.bootstrap,
        "groups": told,
        "offsetsNotSet": lost,
        "offsetsBeyondEnd": _beyond(groups, ends),
        "ends": {f"{topic}-{number}": end for (topic, number), end in sorted(ends.items())},
        "provenAt": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    # With MirrorMaker's own topics its offsets go: from here on it must not be started again.
    move.kept.save(state=ENDING, verdict=verdict)


def _check_still(move: MirrorMove, before: Mapping[Partition, int]) -> None:
    """The source's ends are what they were, and no transaction is open. Raises UserError."""
    partitions = move.partitions()
    now, readable = move.source.ends(partitions), move.source.committed_ends(partitions)
    grown = [f"{topic}-{number}" for (topic, number), end in now.items() if before.get((topic, number)) != end]
    gone = [f"{topic}-{number}" for topic, number in before if (topic, number) not in now]
    if grown or gone:
        what = [*([f"{', '.join(grown[:10])} grew"] if grown else []), *([f"{', '.join(gone[:10])} went"] if gone else [])]
        raise UserError(
            f"{move.title}: the source is still written to: {'; '.join(what)}.",
            "Stop the producers, and whoever else writes (Streams, Connect), and run it again.",
        )
    written = move.source.written_ends(partitions)
    unseen = [f"{topic}-{number}" for (topic, number), end in now.items() if written.get((topic, number), end) > end]
    if unseen:
        raise UserError(
            f"{move.title}: records were written to the source that not all of its replicas have yet, so that nobody can read them: "
            f"{', '.join(unseen[:10])}.",
            "Look why a broker lags (`kafka-topics.sh --describe --under-replicated-partitions`), and run it again.",
        )
    held = [
        f"{topic}-{number} from offset {readable[topic, number]} on"
        for topic, number in now
        if readable[topic, number] < now[topic, number]
    ]
    if held:
        raise UserError(
            f"{move.title}: transactions are open at the source: {', '.join(held[:10])}.",
            "Stop these producers in order. One that died is ended by its broker after its transaction.timeout.ms; one that hangs for "
            "longer by `kafka-transactions.sh abort`. Then run it again.",
        )


def _idle_groups(move: MirrorMove) -> dict[str, Group]:
    """The source's groups with offsets; none has a member. Raises UserError."""
    source, target = move.source, move.target
    groups = {name: each for name, each in move.pod.groups(source.bootstrap).items() if each.offsets}
    busy = sorted(name for name, each in groups.items() if each.members)
    if busy:
        raise UserError(
            f"{move.title}: groups of the source have members still: {', '.join(busy)}.",
            "Stop these consumers, and run it again: what they read from now on would be read twice.",
        )
    there = move.pod.groups(target.bootstrap)
    busy = sorted(name for name in groups if name in there and there[name].members)
    if busy:
        raise UserError(
            f"{move.title}: groups of the target have members already: {', '.join(busy)}.",
            "Stop these consumers, and run it again: their offsets are set by the switch.",
        )
    return groups


def _check_unmoved(move: MirrorMove, before: Mapping[str, Group]) -> None:
    """The groups stand where they stood when their offsets were taken. Raises UserError."""
    now = _idle_groups(move)
    moved = sorted(name for name in {*before, *now} if name not in before or name not in now or before[name].offsets != now[name].offsets)
    if moved:
        raise UserError(
            f"{move.title}: groups of the source have read on meanwhile: {', '.join(moved[:10])}.",
            "Stop these consumers, and run it again: what they have read would be read twice.",
        )


def _set_groups(
    move: MirrorMove, groups: Mapping[str, Group], mirrored: Container[Partition]
) -> tuple[dict[str, dict[str, list[int]]], dict[str, list[str]]]:
    """Set each group's offsets at the target.

    What was set is returned, from and to; and partitions whose offsets have nowhere to go.
    """
    wanted: dict[Partition, list[int]] = {}
    for group in groups.values():
        for partition, offset in group.offsets.items():
            if partition in mirrored:
                wanted.setdefault(partition, []).append(offset)
    offsets = move.comparison.translated(wanted)
    told: dict[str, dict[str, list[int]]] = {}
    lost: dict[str, list[str]] = {}
    for name, group in sorted(groups.items()):
        made = {each: offsets[each][at] for each, at in sorted(group.offsets.items()) if each in mirrored}
        if made:
            move.pod.set_group(move.target.bootstrap, name, made)
            told[name] = {f"{each[0]}-{each[1]}": [group.offsets[each], to] for each, to in made.items()}
        missing = sorted(f"{topic}-{number}" for topic, number in group.offsets if (topic, number) not in mirrored)
        if missing:
            lost[name] = missing
    return told, lost


def _beyond(groups: Mapping[str, Group], ends: Mapping[Partition, int]) -> dict[str, dict[str, list[int]]]:
    """Offsets behind the end of their partition at the source, with that end, by group.

    A group that has read so far has read records that the source has lost since, as after an
    unclean election of a leader. Or somebody has set such an offset.
    """
    found = {
        name: {f"{each[0]}-{each[1]}": [at, ends[each]] for each, at in sorted(group.offsets.items()) if at > ends.get(each, at)}
        for name, group in sorted(groups.items())
    }
    return {name: each for name, each in found.items() if each}


def _clear_up(move: MirrorMove) -> dict[str, Any]:
    move.tell("removing MirrorMaker's topics and pod", "")
    _remove_topics(move)
    verdict: dict[str, Any] = move.kept.record()["verdict"]
    with deferred():
        move.kept.save(state=PROVEN)
        move.pod.remove()
    ComparedPartitions(move.kept).forget()
    return verdict


def _remove_topics(move: MirrorMove) -> None:
    """MirrorMaker ends, and its own topics go."""
    move.has_pod()
    move.pod.stop_mirror()
    move.choose(move.target)
    move.pod.delete_topics(move.target.bootstrap, internal_topics(move.id))


def cancel(move: MirrorMove) -> dict[str, Any]:
    """Remove the mirror and its own topics. What it has copied stays at the target.

    Raises UserError where the switch was done, Broken and ApiError.
    """
    found: dict[str, Any] = {"verdict": "cancelled", "volume": move.title, "move": move.id, "found": False}
    with move.kept.alone():
        if move.state in ("", PROVEN):
            return found
        if move.state == ENDING:
            raise UserError(f"{move.title}: everything was switched already.", "Run it with --live --switch to end it.")
        copied = move.state in (MIRRORING, FOLLOWING, CANCELLING)
        try:
            if copied:
                move.kept.save(state=CANCELLING)  # without its topics MirrorMaker would copy all anew
                _remove_topics(move)
            move.pod.remove()
        except (UserError, Broken, ApiError) as problem:
            raise UserError(f"{move.title}: it isn't called off yet: {problem}", _by_hand(move)) from None
        compared = ComparedPartitions(move.kept)
        topics = sorted({name for name, _ in compared} & set(move.target.topics())) if copied else []
        compared.forget()
        move.kept.forget()
        return {**found, "found": True, "topics": topics, "delete": delete_command(move.target, topics) if topics else ""}


def _by_hand(move: MirrorMove) -> str:
    """What ends a move whose target is gone."""
    side = move.targets[0]
    where = f"kubectl --context {side.api.context} -n {side.settings.namespace.name}"
    return (
        f"Run the same command again. If the target's brokers are gone for good: `{where} delete pod,configmap {move.pod.name} "
        f"--ignore-not-found`, and remove the folder {move.kept.folder}."
    )
