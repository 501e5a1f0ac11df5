"""What a live move of a Kafka says of itself, and its steps by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ops.console import duration
from ops.move.afterwards import letting_go, unmoved
from ops.move.mirror import checks
from ops.move.mirror.run import BEGUN, CANCELLING, ENDING, FOLLOWING, MIRRORING, MirrorMove
from ops.move.mirror.switching import cancel, switch
from ops.move.sizes import ASSUMED, seconds_for
from ops.volumes.listing import readable

_NAMED = 10  # of many


class KafkaMove:
    """A move, for ops.move.live_session."""

    def __init__(self, move: MirrorMove) -> None:
        self.move = move
        self.title = move.title
        self._seen: dict[str, Any] = {}

    @property
    def begins(self) -> bool:
        """Whether it has still to begin."""
        return self.move.state in ("", BEGUN)

    def problems(self) -> list[str]:
        """All that keeps it from beginning. Raises Broken and ApiError."""
        found = self.move.problems()
        if not found:
            self._seen = checks.seen(self.move.source, self.move.target)
        return found

    def planned(self) -> dict[str, Any]:
        """What is known of it, for programs."""
        seconds = round(seconds_for(self._seen["bytes"], ASSUMED), 1) if self._seen.get("bytes") else None
        return {"move": self.move.id, "volume": self.title, "state": self.move.state, **self._seen, "seconds": seconds}

    def foreseen(self) -> Iterator[str]:
        """The same for people, once there is no problem."""
        seen = self._seen
        topics = seen["topics"]
        brokers = f"{_count(seen['brokers'][0], 'broker')} to {seen['brokers'][1]}"
        records = f"at most {_count(seen['offsets'], 'record')}"
        yield f"{self.title}: Kafka, {brokers}; {_count(len(topics), 'topic')}, {_count(sum(topics.values()), 'partition')}, {records}"
        size, room = seen["bytes"], readable(seen["targetBytes"])
        if size:
            time = duration(seconds_for(size, ASSUMED))
            each = f"{readable(size)} for each copy ({seen['copies']} of each partition), to claims of {room} in all"
            yield f"  {each}; copied and compared in about {time}, at {ASSUMED:.0f} MB/s"
        elif seen["offsets"]:
            yield f"  How large they are the brokers don't tell; the claims of the new ones have {room} in all"
        else:
            yield f"  Nothing is in them yet; the claims of the new ones have {room} in all"
        if topics:
            yield f"  Topics: {_several(f'{name} ({number})' for name, number in topics.items())}"
        yield f"  Groups whose offsets are set at the switch: {_several(seen['groups']) or 'none'}"
        yield f"  A pod at the target has to reach the source's brokers at one of: {'; '.join(seen['addresses'])}"
        for warning in checks.warnings(seen):
            yield f"  {warning}"
        yield "  Without --plan MirrorMaker 2 begins to copy, in a pod at the target, and the source goes on."

    def do(self, step: str) -> dict[str, Any]:
        """`follow`, `switch` or `cancel`. Raises UserError, Broken and ApiError."""
        if step == "cancel":
            return cancel(self.move)
        return switch(self.move) if step == "switch" else self.move.follow()

    def after(self, command: str) -> str:
        """What is so after a step that failed, and how to go on."""
        state = self.move.state
        if state == ENDING:
            return f"Everything is at the target, and compared. `{command} --switch` goes on."
        if state == CANCELLING:
            return f"The source is as it was. `{command} --cancel` goes on."
        if state in (MIRRORING, FOLLOWING):
            step = f"`{command}` goes on" + (f", and so does `{command} --switch`" if state == FOLLOWING else "")
            return f"The source is as it was, and what was copied stays. {step}; `{command} --cancel` ends the mirror."
        return f"The source is as it was. `{command}` begins anew."

    def said(self, step: str, verdict: dict[str, Any], command: str) -> Iterator[str]:
        """What a person reads after a step."""
        if step == "cancel":
            yield from self._called_off(verdict)
        elif verdict["verdict"] == FOLLOWING:
            yield f"{self.title}: the target has caught up. {_compared(verdict)}"
            yield f"  MirrorMaker goes on by itself, in pod {self.move.pod.name}: what is written meanwhile comes along."
            yield f"  Each partition that it makes has {_count(verdict['copies'], 'copy', 'copies')}."
            for warning in checks.warnings(verdict):
                yield f"  {warning}"
            yield from _deleted(verdict)
            yield "Next: stop the producers, then the consumers, and switch:"
            yield f"  {command} --switch"
            yield f"To call it off: {command} --cancel"
        else:
            yield from self._switched(verdict)

    def _called_off(self, verdict: dict[str, Any]) -> Iterator[str]:
        if not verdict["found"]:
            yield f"{self.title}: there was nothing to call off."
            return
        yield f"{self.title}: called off: MirrorMaker, its pod and its own topics are removed. The source is as it was."
        if verdict["topics"]:
            yield f"What was copied is at the target still: {_several(verdict['topics'])}. To delete it:"
            yield f"  {verdict['delete']}"

    def _switched(self, verdict: dict[str, Any]) -> Iterator[str]:
        if verdict.get("done"):
            yield f"{self.title} was switched before ({verdict['provenAt']}), and nothing was done."
            return
        target = verdict["target"]
        yield f"{self.title}: everything is on stack {target['stack']}. {_compared(verdict)}"
        yield from _deleted(verdict)
        for topic, why in verdict["notMirrored"].items():
            yield f"  Topic {topic} hasn't come along: {why}."
        for name, partitions in verdict["offsetsNotSet"].items():
            yield f"  Group {name}: offsets of {_several(partitions)} have nowhere to go: these partitions weren't mirrored."
        for name, offsets in verdict.get("offsetsBeyondEnd", {}).items():  # a record of before may lack it
            places = _several(f"{partition} (offset {at}, end {end})" for partition, (at, end) in offsets.items())
            yield f"  Group {name}: offsets are beyond the source's end, and were set to the target's end: {places}."
            yield "    The source may have lost records that this group had read (an unclean leader election)."
        yield f"Groups that go on where they stood: {_several(verdict['groups']) or 'none'}"
        yield f"Send consumers, then producers, to the brokers of stack {target['stack']} (bootstrap.servers):"
        yield f"  {verdict['bootstrap']}"
        yield "The source is whole, and nothing was written to it. Whatever is still written there doesn't come along any more."
        yield from letting_go(self.move.sources[0], self.move.targets[0], unmoved(self.move.sources[0], self.move.targets))


def _deleted(verdict: dict[str, Any]) -> Iterator[str]:
    if verdict["deletedAtSource"]:
        yield f"  Deleted at the source meanwhile, and at the target still: {_several(verdict['deletedAtSource'])}."


def _compared(verdict: dict[str, Any]) -> str:
    topics = verdict["topics"].values()
    partitions, records = sum(each["partitions"] for each in topics), verdict["records"]
    what = f"{_count(len(topics), 'topic')}, {_count(partitions, 'partition')}"
    text = f"{what}, {_count(records, 'record')}: compared one by one, and equal."
    at_target, at_source = (sum(each[key] for each in topics) for key in ("targetOnly", "sourceOnly"))
    if at_target:
        text += f" {_count(at_target, 'record')} at the front of the target's logs were removed by the source's retention meanwhile."
    if at_source:
        text += f" {_count(at_source, 'record')} at the front of the source's logs were removed by the target's retention."
    return text


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _several(names: Any) -> str:  # noqa: ANN401 - an iterable of texts, or a mapping
    known = list(names)
    more = len(known) - _NAMED
    return ", ".join(known[:_NAMED]) + (f" and {more} more" if more > 0 else "")
